"""Which days are worked: weekdays, statutory holidays with their make-up workdays, and a company's own days.

Holidays are data of packages that follow the law: ``chinesecalendar`` for mainland China, where the State Council
announces each year's holidays and make-up workdays in the November before, and ``holidays`` for every other country.
A year that the package does not know is refused, not guessed.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Literal

from tke_provider.exceptions import InputError

if TYPE_CHECKING:
    from collections.abc import Container
    from datetime import date

CHINA = "CN"
_SATURDAY = 5
UnknownYears = Literal["refuse", "weekdays"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """Says of every day whether it is worked.

    :param holidays: country as in ISO 3166-1, such as ``CN`` or ``SG``; with a subdivision as in ``DE-BY``. Empty: no
        statutory holidays.
    :param days_off: days that are not worked, whatever the law says.
    :param workdays: days that are worked, whatever the law says.
    :param unknown_years: years whose holidays the package does not know: ``refuse``, or go by ``weekdays`` alone.
    """

    holidays: str = ""
    days_off: frozenset[date] = frozenset()
    workdays: frozenset[date] = frozenset()
    unknown_years: UnknownYears = "refuse"

    def is_workday(self, day: date) -> bool:
        """Return whether the day is worked.

        :raises InputError: when the package does not know the holidays of that year, or no such country.
        """
        if day in self.workdays:
            return True
        if day in self.days_off:
            return False
        by_week = day.weekday() < _SATURDAY
        if not self.holidays:
            return by_week
        if self.holidays != CHINA:
            return by_week and day not in _country(self.holidays)
        worked = _worked_in_china(day)
        if worked is not None:
            return worked
        if self.unknown_years == "weekdays":
            return by_week
        raise InputError(
            f"The holidays of {day.year} in mainland China are not known to the installed chinesecalendar",
            way_out="upgrade it (the State Council announces a year's holidays in the November before), list that"
            " year's days under calendar.days_off and calendar.workdays with unknown_years: weekdays, or shorten the"
            " plan",
        )

    def knows(self, year: int) -> bool:
        """Whether the statutory holidays of a year are known; where there are none to know, they are."""
        from datetime import date

        return self.holidays != CHINA or _worked_in_china(date(year, 1, 1)) is not None


def check_country(name: str) -> None:
    """Refuse a country whose holidays no package knows.

    :raises InputError: naming it, or the package that is missing.
    """
    if name and name != CHINA:
        _country(name)


def _worked_in_china(day: date) -> bool | None:
    """Return whether the day is worked by law, make-up workdays included; nothing for a year that is not known."""
    import chinese_calendar

    try:
        return bool(chinese_calendar.is_workday(day))
    except NotImplementedError:
        return None


@functools.cache
def _country(name: str) -> Container[date]:
    try:
        import holidays
    except ImportError as error:
        raise InputError(
            f"The holidays of {name} need the package holidays, which is not installed",
            way_out="install airflow-provider-tke[holidays] where the tasks run",
        ) from error
    country, _, subdivision = name.partition("-")
    try:
        return holidays.country_holidays(country, subdiv=subdivision or None)
    except NotImplementedError as error:
        raise InputError(
            f"The package holidays knows no {name}", cause=str(error), way_out="use an ISO code, as in SG or DE-BY"
        ) from error
