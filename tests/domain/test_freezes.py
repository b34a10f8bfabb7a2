from __future__ import annotations

import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tke_provider.domain.freezes import Freeze, frozen_at
from tke_provider.exceptions import InputError

SHANGHAI = ZoneInfo("Asia/Shanghai")
FESTIVAL = Freeze(name="Spring Festival", zone="Asia/Shanghai", start="2027-02-05", end="2027-02-12")
WEEKENDS = Freeze(name="weekend", zone="Asia/Shanghai", cron="0 18 * * 5", duration=timedelta(hours=63))


def at(text: str, zone: ZoneInfo = SHANGHAI) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ("2027-02-04 23:59", None),
        ("2027-02-05 00:00", "releases are frozen (Spring Festival) until 2027-02-12 00:00 CST"),
        ("2027-02-11 23:59", "releases are frozen (Spring Festival) until 2027-02-12 00:00 CST"),
        ("2027-02-12 00:00", None),
    ],
)
def test_a_freeze_says_which_it_is_and_until_when(now, said):
    frozen = frozen_at(at(now), [FESTIVAL])
    assert (frozen and str(frozen)) == said


def test_its_zone_counts_and_not_that_of_the_question():
    assert frozen_at(at("2027-02-04 16:00", ZoneInfo("UTC")), [FESTIVAL])
    assert not frozen_at(at("2027-02-04 15:59", ZoneInfo("UTC")), [FESTIVAL])


def test_a_freeze_that_comes_every_week_ends_every_week():
    frozen = frozen_at(at("2026-11-28 12:00"), [WEEKENDS])
    assert str(frozen) == "releases are frozen (weekend) until 2026-11-30 09:00 CST"
    assert not frozen_at(at("2026-11-30 09:00"), [WEEKENDS])


def test_freezes_that_follow_one_another_end_with_the_last():
    # It begins as the festival ends.
    more = Freeze(name="stocktaking", zone="UTC", start="2027-02-11 16:00", end="2027-02-12 00:00")
    frozen = frozen_at(at("2027-02-10"), [FESTIVAL, more])
    assert str(frozen) == "releases are frozen (Spring Festival, stocktaking) until 2027-02-12 00:00 UTC"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"start": "2027-02-05"}, "'x' does not say when it is; give start and end, or cron and duration"),
        ({"start": "2027-02-05", "end": "2027-02-06", "cron": "* * * * *"}, "does not say when it is"),
        ({"start": "tomorrow", "end": "2027-02-06"}, "'x' is at 'tomorrow'"),
        ({"start": "2027-02-05T00:00+08:00", "end": "2027-02-06"}, "name one zone"),
        ({"start": "2027-02-06", "end": "2027-02-05"}, "not after its start"),
        ({"cron": "0 18 * * 5", "duration": timedelta(0)}, "lasts 0:00:00"),
        ({"cron": "0 18 * *", "duration": timedelta(1)}, "is no cron expression"),
        ({"start": "2027-02-05", "end": "2027-02-06", "zone": "Beijing"}, "'Beijing' is no time zone"),
    ],
)
def test_a_freeze_that_makes_no_sense_is_refused_when_the_dag_is_parsed(given, said):
    with pytest.raises(InputError, match=re.escape(said)):
        Freeze(**{"name": "x", "zone": "Asia/Shanghai", **given})


def test_a_freeze_that_never_ends_still_has_an_answer():
    always = Freeze(name="closed", zone="Asia/Shanghai", cron="0 0 * * *", duration=timedelta(days=1))
    assert frozen_at(at("2027-03-01 12:00"), [always]) == ("closed", at("2027-04-02 00:00"))


def test_an_instant_without_zone_is_refused():
    with pytest.raises(InputError, match="has no time zone"):
        frozen_at(datetime(2027, 2, 5), [FESTIVAL])  # noqa: DTZ001
