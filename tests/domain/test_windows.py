from __future__ import annotations

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tke_provider.domain.windows import CronWindow, Window, size_at
from tke_provider.exceptions import InputError

SHANGHAI = ZoneInfo("Asia/Shanghai")
BERLIN = ZoneInfo("Europe/Berlin")
OFFICE = Window(size=5, zone="Asia/Shanghai", start="08:00", end="20:00", days="1-5")
# Berlin's clock jumps from 02:00 to 03:00 on 29 March 2026, and from 03:00 back to 02:00 on 25 October 2026.
SPRING = datetime(2026, 3, 29, 1, tzinfo=timezone.utc)
AUTUMN = datetime(2026, 10, 25, 1, tzinfo=timezone.utc)

minutes = st.integers(0, 24 * 60 - 1)
zones = st.sampled_from(
    ["Asia/Shanghai", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]
)
instants = st.one_of(
    # Hypothesis takes its bounds without a zone.
    st.datetimes(datetime(2024, 1, 1), datetime(2030, 12, 31), timezones=st.just(timezone.utc)),  # noqa: DTZ001
    st.builds(lambda at, by: at + timedelta(minutes=by), st.sampled_from([SPRING, AUTUMN]), st.integers(-180, 180)),
)


def clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


@pytest.mark.parametrize(
    ("at", "size"),
    [
        ("2026-11-23 07:59:59", 1),
        ("2026-11-23 08:00:00", 5),
        ("2026-11-23 19:59:59", 5),
        ("2026-11-23 20:00:00", 1),
        ("2026-11-21 12:00:00", 1),
    ],
)
def test_a_window_holds_from_its_start_until_just_before_its_end_on_its_days(at: str, size: int) -> None:
    assert size_at(datetime.fromisoformat(at).replace(tzinfo=SHANGHAI), [OFFICE], otherwise=1) == size


def test_the_same_instant_gives_the_same_size_in_whatever_zone_it_is_written() -> None:
    now = datetime(2026, 11, 23, 0, 30, tzinfo=timezone.utc)
    assert size_at(now, [OFFICE], otherwise=1) == size_at(now.astimezone(BERLIN), [OFFICE], otherwise=1) == 5


@pytest.mark.parametrize(
    ("at", "size"), [("2026-11-27 23:30", 2), ("2026-11-28 05:59", 2), ("2026-11-28 06:00", 9), ("2026-11-28 23:30", 9)]
)
def test_a_window_past_midnight_belongs_to_the_day_on_which_it_starts(at: str, size: int) -> None:
    friday_night = Window(size=2, zone="Asia/Shanghai", start="22:00", end="06:00", days="5")
    assert size_at(datetime.fromisoformat(at).replace(tzinfo=SHANGHAI), [friday_night], otherwise=9) == size


def test_where_windows_overlap_the_earlier_in_the_list_wins() -> None:
    lunch = Window(size=9, zone="Asia/Shanghai", start="11:00", end="13:00")
    noon = datetime(2026, 11, 23, 12, tzinfo=SHANGHAI)
    assert size_at(noon, [lunch, OFFICE], otherwise=1) == 9
    assert size_at(noon, [OFFICE, lunch], otherwise=1) == 5


def test_a_skipped_time_happens_as_the_clock_jumps() -> None:
    window = Window(size=5, zone="Europe/Berlin", start="02:30", end="04:00")
    assert not window.holds(SPRING - timedelta(seconds=1))
    assert window.holds(SPRING)
    assert window.holds(SPRING + timedelta(minutes=59))
    assert not window.holds(SPRING + timedelta(hours=1))


def test_a_repeated_time_is_the_first_of_the_two_and_the_window_does_not_flap() -> None:
    window = Window(size=5, zone="Europe/Berlin", start="02:30", end="04:00")
    held = [window.holds(AUTUMN + timedelta(minutes=by)) for by in range(-60, 180, 10)]
    # The first 02:30 is half an hour before the clock is turned back, and 04:00 two hours after.
    assert held == [False] * 3 + [True] * 15 + [False] * 6


@given(boundaries=st.lists(minutes, min_size=3, max_size=3, unique=True), zone=zones, now=instants)
def test_windows_that_share_their_boundaries_cover_every_instant_exactly_once(
    boundaries: list[int], zone: str, now: datetime
) -> None:
    first, second, third = sorted(boundaries)
    day = [(first, second), (second, third), (third, first)]
    windows = [Window(size=1, zone=zone, start=clock(start), end=clock(end)) for start, end in day]
    assert sum(window.holds(now) for window in windows) == 1


@given(now=instants)
def test_a_cron_window_that_outlasts_its_period_always_holds(now: datetime) -> None:
    assert CronWindow(size=1, zone="Europe/Berlin", cron="0 * * * *", duration=timedelta(hours=3)).holds(now)


def test_a_cron_window_ends_when_its_duration_has_elapsed() -> None:
    sale = CronWindow(size=50, zone="Asia/Shanghai", cron="0 22 10 11 *", duration=timedelta(hours=26))
    opens = datetime(2026, 11, 10, 22, tzinfo=SHANGHAI)
    assert size_at(opens, [sale], otherwise=5) == 50
    assert size_at(opens + timedelta(hours=25, minutes=59), [sale], otherwise=5) == 50
    assert size_at(opens + timedelta(hours=26), [sale], otherwise=5) == 5
    assert size_at(opens - timedelta(seconds=1), [sale], otherwise=5) == 5


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"zone": "Asia/Peking"}, "'Asia/Peking' is no time zone"),
        ({"zone": "../etc/passwd"}, "'../etc/passwd' is no time zone"),
        ({"start": "8:00"}, "'8:00' is no time of day"),
        ({"end": "24:00"}, "'24:00' is no time of day"),
        ({"days": "monday"}, "is no cron expression"),
        ({"size": -1}, "a size of -1"),
    ],
)
def test_a_window_that_cannot_be_understood_is_refused_by_name(wrong: dict[str, object], named: str) -> None:
    right: dict[str, object] = {"size": 1, "zone": "UTC", "start": "08:00", "end": "20:00"}
    with pytest.raises(InputError, match=named.replace("..", r"\.\.")):
        Window(**{**right, **wrong})  # type: ignore[arg-type]


@pytest.mark.parametrize("cron", ["* * * *", "0 8 * * * *", "every day", "61 * * * *", "0 0 30 2 *", "r(0-5) R * * *"])
def test_a_cron_window_needs_five_fields_and_a_time_that_comes(cron: str) -> None:
    with pytest.raises(InputError, match="is no cron expression"):
        CronWindow(size=1, zone="UTC", cron=cron, duration=timedelta(hours=1))


def test_a_window_without_length_is_refused() -> None:
    with pytest.raises(InputError, match="duration above zero"):
        CronWindow(size=1, zone="UTC", cron="0 8 * * *", duration=timedelta(0))


def test_an_instant_without_zone_is_refused() -> None:
    with pytest.raises(InputError, match="has no time zone"):
        size_at(datetime(2026, 11, 23, 12), [OFFICE], otherwise=1)  # noqa: DTZ001
