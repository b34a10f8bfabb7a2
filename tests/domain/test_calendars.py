from __future__ import annotations

from datetime import date

import pytest

from tke_provider.domain.calendars import Calendar, check_country
from tke_provider.exceptions import InputError

SATURDAY, THURSDAY = date(2026, 10, 10), date(2026, 10, 1)


@pytest.mark.parametrize(
    ("day", "worked"),
    [
        (SATURDAY, True),  # made up for the National Day's week
        (THURSDAY, False),  # National Day
        (date(2026, 11, 23), True),  # a Monday
        (date(2026, 11, 22), False),  # a Sunday
    ],
)
def test_mainland_china_works_as_the_state_council_announced(day, worked):
    assert Calendar(holidays="CN").is_workday(day) is worked


def test_without_a_country_weekdays_are_worked():
    assert [Calendar().is_workday(day) for day in (SATURDAY, THURSDAY)] == [False, True]


def test_the_company_s_own_days_count_more_than_the_law():
    calendar = Calendar(holidays="CN", days_off=frozenset({SATURDAY}), workdays=frozenset({THURSDAY}))
    assert [calendar.is_workday(day) for day in (SATURDAY, THURSDAY)] == [False, True]


def test_a_year_that_was_not_announced_yet_is_refused_and_never_guessed():
    calendar = Calendar(holidays="CN")
    assert not calendar.knows(2100)
    with pytest.raises(InputError, match=r"holidays of 2100 in mainland China are not known .* upgrade it"):
        calendar.is_workday(date(2100, 1, 4))


def test_unless_the_plan_says_that_weekdays_decide_then():
    calendar = Calendar(holidays="CN", unknown_years="weekdays", days_off=frozenset({date(2100, 1, 5)}))
    assert [calendar.is_workday(date(2100, 1, day)) for day in (2, 4, 5)] == [False, True, False]


@pytest.mark.parametrize(("country", "day"), [("SG", date(2026, 8, 10)), ("DE-BY", date(2026, 1, 6))])
def test_other_countries_have_their_holidays_too(country, day):
    check_country(country)
    assert not Calendar(holidays=country).is_workday(day)
    assert Calendar(holidays="DE-BE").is_workday(date(2026, 1, 6)), "Epiphany is none in Berlin"


def test_a_country_that_does_not_exist_is_refused():
    with pytest.raises(InputError, match="knows no XX"):
        check_country("XX")
