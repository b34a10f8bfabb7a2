"""The elastic loop, whole: a load comes, pods and nodes follow it, and both shrink again when it goes."""

from __future__ import annotations

import httpx
import pytest

from local.elastic import Size, tell

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("adapter")]

MOST_PODS, MOST_NODES = 9, 3


@pytest.fixture(scope="module")
def seen(airflow, tmp_path_factory):
    chart = tmp_path_factory.mktemp("elastic") / "chart.png"
    samples = tell(Size(rate=15, pods=MOST_PODS, nodes=MOST_NODES, grow=400, shrink=400), chart)
    return samples, chart


def test_pods_follow_the_load_and_nodes_follow_the_pods(seen):
    samples, _ = seen
    assert (samples[0].wanted, samples[0].nodes_ready) == (1, 0)
    assert any(each.homeless for each in samples), "no pod ever lacked a node"
    grown = next(each for each in samples if each.ready == MOST_PODS)
    assert grown.nodes_ready >= 1
    assert (samples[-1].wanted, samples[-1].nodes_ready) == (1, 0)


def test_the_cluster_autoscaler_has_the_options_of_the_dag(seen, airflow):
    state = httpx.get(f"{airflow.emulator_url}/_emulator/state", trust_env=False, timeout=60).json()
    assert state["clusters"]["cls-local000"]["autoscaler"]["Expander"] == "least-waste"


def test_no_size_ever_leaves_its_bounds(seen):
    samples, _ = seen
    assert {1 <= each.wanted <= MOST_PODS for each in samples} == {True}
    assert {0 <= each.nodes_wanted <= MOST_NODES for each in samples} == {True}


def test_the_chart_is_a_picture(seen):
    _, chart = seen
    assert chart.read_bytes().startswith(b"\x89PNG\r\n")
