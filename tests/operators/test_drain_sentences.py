"""What a drain says of its nodes when it fails. Nothing is drained: ``test_nodes.py`` does so on a real API server."""

from __future__ import annotations

import asyncio

import pytest

from tests.live_cluster import run_of
from tke_provider.domain.verdicts import expired
from tke_provider.exceptions import DeadlineError, InputError
from tke_provider.operators.nodes import TkeDrainNodesOperator
from tke_provider.triggers.nodes import DrainTrigger


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """A drain of which each step succeeds at once, but for the pods that stay; how often its nodes were opened."""
    opened: list[str] = []

    async def done(*_: object) -> None:
        pass

    async def wait(_: DrainTrigger):
        return expired("1 pod still to leave 1 node")

    async def open_nodes(operator: TkeDrainNodesOperator, _: object) -> str:
        opened.append(str(operator.nodes))
        return "they are open again"

    monkeypatch.setattr(TkeDrainNodesOperator, "change", done)
    monkeypatch.setattr(TkeDrainNodesOperator, "_open", open_nodes)
    monkeypatch.setattr(DrainTrigger, "wait", wait)
    return opened


def drain(nodes: str = "a,b") -> TkeDrainNodesOperator:
    return TkeDrainNodesOperator(task_id="drain", nodes=nodes, deferrable=False)


async def test_nodes_that_are_not_empty_in_time_are_opened_and_told_of_once(asked):
    with pytest.raises(DeadlineError, match="Nodes a, b are not drained, and they are open again"):
        await drain().perform(run_of())
    assert asked == ["a,b"]


async def test_a_drain_that_is_killed_says_how_its_nodes_are(asked, monkeypatch, capsys):
    async def wait(_: DrainTrigger) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(DrainTrigger, "wait", wait)
    with pytest.raises(asyncio.CancelledError):
        await drain().perform(run_of())
    assert "Killed while it drained a, b; they are open again" in capsys.readouterr().out
    assert asked == ["a,b"]


async def test_no_node_is_opened_where_none_is_named(asked):
    with pytest.raises(InputError, match="No node is named"):
        await drain(" , ").perform(run_of())
    assert asked == []
