from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tke_provider.domain.dora import commit_time, figures, in_words
from tke_provider.domain.images import CREATED, REVISION
from tke_provider.domain.releases import Record, Stage
from tke_provider.exceptions import InputError

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
END = START + timedelta(days=10)
HOUR = timedelta(hours=1)


def release(revision: int, hours: float, stage: Stage = Stage.LIVE, lasted: float = 1.0, **more) -> Record:
    """A release that ended so many hours after the window began."""
    finished = START + hours * HOUR
    given = {"service": "shop", "namespace": "production", "op": f"op-{revision}", "commit": f"commit-{revision}"}
    return Record(
        revision=revision, stage=stage, started=finished - lasted * HOUR, finished=finished, **{**given, **more}
    )  # fmt: skip


def rollback(revision: int, hours: float, restores: int) -> Record:
    return release(revision, hours, strategy="rollback", restores=restores)


def seconds(hours: float) -> float:
    return hours * 3600


def test_good_releases_a_day_are_the_frequency():
    seen = figures([release(1, 10), release(2, 20), release(3, 30, Stage.ROLLED_BACK)], START, END)
    assert seen["releases"] == 3
    assert seen["deployment_frequency"] == 0.2


def test_the_lead_time_is_the_median_from_commit_to_good():
    committed = {f"commit-{n}": START + (10 * n - n) * HOUR for n in (1, 2, 3)}
    seen = figures([release(n, 10 * n) for n in (1, 2, 3)], START, END, committed)
    assert seen["lead_time"] == seconds(2)
    assert seen["lead_times_unknown"] == 0


def test_a_commit_whose_time_nobody_knows_is_unknown_and_not_guessed():
    seen = figures([release(1, 10), release(2, 20)], START, END, {"commit-2": START + 15 * HOUR})
    assert (seen["lead_time"], seen["lead_times_unknown"]) == (seconds(5), 1)
    assert figures([release(1, 10)], START, END)["lead_time"] is None


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({REVISION: "a", CREATED: "2026-01-01T00:00:00+00:00"}, START),
        ({REVISION: "a", CREATED: "2026-01-01T08:00:00+08:00"}, START),
        ({REVISION: "a", CREATED: "2026-01-01T00:00:00Z"}, START),
        ({REVISION: "b", CREATED: "2026-01-01T00:00:00Z"}, None),
        ({REVISION: "a", CREATED: "2026-01-01T00:00:00"}, None),
        ({REVISION: "a", CREATED: "yesterday"}, None),
        ({REVISION: "a"}, None),
        ({}, None),
    ],
)
def test_an_image_tells_the_time_of_its_own_commit_and_of_no_other(labels, said):
    assert commit_time(labels, "a") == said


def test_a_release_that_was_undone_by_itself_failed_and_lasted_until_the_old_version_was_back():
    seen = figures([release(1, 10), release(2, 20, Stage.ROLLED_BACK, lasted=0.5)], START, END)
    assert seen["change_failure_rate"] == 0.5
    assert seen["time_to_restore"] == seconds(0.5)


def test_a_live_release_that_was_rolled_back_failed_and_the_rollback_is_no_release():
    seen = figures([release(1, 10), release(2, 20), rollback(3, 23, restores=1)], START, END)
    assert (seen["releases"], seen["failures"]) == (2, 1)
    assert seen["time_to_restore"] == seconds(3)


def test_a_rollback_to_the_release_that_is_live_says_nothing_against_it():
    records = [release(1, 10), release(2, 20), release(3, 21, Stage.ROLLED_BACK), rollback(4, 23, restores=2)]
    assert figures(records, START, END)["failures"] == 1


def test_a_release_that_ends_as_the_window_does_is_of_the_next_one():
    assert figures([release(1, 240)], START, END)["releases"] == 0
    assert figures([release(1, 240)], END, END + HOUR)["releases"] == 1


def test_a_rollback_after_the_window_still_tells_that_a_release_of_the_window_failed():
    records = [release(1, 10), release(2, 239), rollback(3, 241, restores=1)]
    assert figures(records, START, END)["failures"] == 1


def test_a_release_that_died_failed_until_the_next_good_one():
    seen = figures([release(1, 10, Stage.ABANDONED, lasted=1), release(2, 12)], START, END)
    assert (seen["failures"], seen["time_to_restore"]) == (1, seconds(3))


def test_a_fix_forward_leaves_the_release_before_it_good():
    assert figures([release(1, 10), release(2, 20)], START, END)["failures"] == 0


def test_a_release_under_way_does_not_count_yet():
    running = Record(service="shop", namespace="production", op="x", revision=1, started=START + HOUR)
    assert figures([running], START, END)["releases"] == 0


def test_services_are_not_mixed_up():
    other = release(1, 10, service="stock")
    seen = figures([release(1, 10), release(2, 20), rollback(3, 22, restores=1), other], START, END)
    assert (seen["releases"], seen["failures"]) == (3, 1)


def test_nothing_known_is_none_and_not_zero():
    seen = figures([], START, END)
    assert (seen["lead_time"], seen["change_failure_rate"], seen["time_to_restore"]) == (None, None, None)
    assert "change failure rate unknown" in in_words(seen)


def test_a_window_that_reaches_beyond_what_is_kept_is_said_to():
    assert figures([release(7, 10)], START, END)["incomplete"] == ["shop"]
    assert figures([release(1, 10)], START, END)["incomplete"] == []
    assert figures([release(7, -10), release(8, 10)], START, END)["incomplete"] == []
    kept_to_go_back_to = release(1, -10)
    assert figures([kept_to_go_back_to, release(7, 10)], START, END)["incomplete"] == ["shop"]
    assert "earlier records of shop are no longer kept" in in_words(figures([release(7, 10)], START, END))


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [(END, START, "not after its start"), (START.replace(tzinfo=None), END, "has no time zone")],
)
def test_a_window_that_makes_no_sense_is_refused(start, end, said):
    with pytest.raises(InputError, match=said):
        figures([], start, end)


@st.composite
def histories(draw) -> list[Record]:
    """The records of one service, each later than the one before."""
    hours, records = draw(st.floats(-100, 100)), []
    for revision in range(1, draw(st.integers(0, 12)) + 1):
        hours += draw(st.floats(0.01, 60))
        if revision > 1 and draw(st.booleans()):
            records.append(rollback(revision, hours, restores=draw(st.integers(1, revision - 1))))
        else:
            stage = draw(st.sampled_from([Stage.LIVE, Stage.LIVE, Stage.ROLLED_BACK, Stage.ABANDONED, Stage.UNDOING]))
            records.append(release(revision, hours, stage, lasted=0.005))
    return records


@given(histories(), st.randoms())
def test_the_order_of_records_does_not_matter(records, random):
    shuffled = records[:]
    random.shuffle(shuffled)
    assert figures(shuffled, START, END) == figures(records, START, END)


@given(histories(), st.integers(1, 239))
def test_two_halves_of_a_window_have_as_many_releases_and_failures_as_the_whole(records, hours):
    middle = START + hours * HOUR
    whole, *halves = (figures(records, *window) for window in ((START, END), (START, middle), (middle, END)))
    for name in ("releases", "failures", "lead_times_unknown"):
        assert whole[name] == sum(half[name] for half in halves)


@given(histories())
def test_figures_stay_in_their_bounds(records):
    seen = figures(records, START, END)
    assert 0 <= seen["failures"] <= seen["releases"] <= len(records)
    assert seen["change_failure_rate"] is None or 0 <= seen["change_failure_rate"] <= 1
    assert seen["time_to_restore"] is None or seen["time_to_restore"] >= 0
    assert seen["deployment_frequency"] * 10 <= seen["releases"] + 1e-9


@given(histories(), st.timedeltas(timedelta(0), timedelta(days=365)))
def test_the_same_history_at_another_time_has_the_same_figures(records, later):
    import dataclasses

    moved = [dataclasses.replace(r, started=r.started + later, finished=r.finished + later) for r in records]
    before, after = figures(records, START, END), figures(moved, START + later, END + later)
    assert {**before, "start": "", "end": ""} == {**after, "start": "", "end": ""}
