"""``python -m local.elastic``: a load comes, pods follow it, nodes follow the pods; it goes, and both shrink."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from local import STATE, StackError, stack
from local.airflow_api import AirflowApi
from local.chart import Panel, png, svg
from local.elastic_shop import NAMESPACE, PORT
from local.elastic_stage import Stage
from local.endpoints import read
from local.load import Load
from tke_provider.emulator.capacity import amount

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: What this story needs, and no more.
PARTS = ("registry", "base-image", "kubernetes", "dns", "kwok", "prometheus", "adapter", "emulator", "airflow")
CHART = STATE / "elastic" / "elastic.png"
_EVERY = 2.0  # seconds between two looks
_CALM = 5  # seconds of less load before the HPA lets pods go
_SHARE = 20  # the load would keep so many pods busy; the HPA's maximum is less
_REPEAT = 20.0  # seconds after which a line is repeated though nothing changed


@dataclass(frozen=True)
class Size:
    """How large the story is.

    :param rate: requests a second.
    :param pods: the most.
    :param nodes: the most.
    :param grow: seconds until everything must have grown.
    :param shrink: seconds until everything must have shrunk.
    """

    rate: float = 20
    pods: int = 14
    nodes: int = 10
    grow: float = 150
    shrink: float = 180


@dataclass(frozen=True)
class Sample:
    """What was seen at one instant."""

    at: float
    load: float
    wanted: int
    ready: int
    homeless: int
    nodes_wanted: int
    nodes_ready: int
    seen: str = ""

    def __str__(self) -> str:
        clock = f"{int(self.at) // 60}:{int(self.at) % 60:02}"
        homeless = f", {self.homeless} find no node" if self.homeless else ""
        pods = f"pods {self.ready:>2} of {self.wanted:>2}{homeless}"
        nodes = f"nodes {self.nodes_ready} of {self.nodes_wanted}"
        return f"  {clock:>5}  {self.load:>4.0f} req/s   {nodes:<14} {pods:<32} {self.seen}"


class Story:
    """The loop, watched.

    :param stage: where it plays.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.samples: list[Sample] = []
        self._began = time.monotonic()
        self._kept: set[str] = set()
        self._asked = (self._began, 0)
        self._told = ("", 0.0)

    def configure(self, api: AirflowApi, size: Size) -> None:
        """Let Airflow write the bounds: of the pods an HPA, of the nodes the pool's."""
        each = max(1, int(size.rate * self.stage.answer_size() / _SHARE))
        conf = {"namespace": NAMESPACE, "service": "shop", "node_pool": self.stage.pool}
        sizes = {"most_pods": size.pods, "most_nodes": size.nodes, "calm": _CALM}
        api.unpause("elastic")
        run_id = api.start("elastic", {**conf, **sizes, "network_out": str(each)})
        print(f"\nelastic  {self.stage.where.airflow_url}/dags/elastic/runs/{run_id}\n")
        for task in api.follow("elastic", run_id):
            print(f"  {task['task_id']:<8} {task['state']}  {api.result('elastic', run_id, task['task_id'])}")
        if api.state("elastic", run_id) != "success":
            raise StackError(f"Run {run_id} of elastic failed: see its log")

    def play(self, size: Size) -> None:
        """Let the load come and go.

        :raises StackError: when something does not grow or shrink in time; says how far it came.
        """
        self._began = time.monotonic()
        print(f"\n{size.rate:.0f} requests a second come. Waiting until {size.pods} pods are ready:")
        with Load(self.stage.core, NAMESPACE, PORT, size.rate) as load:
            self._watch(load, lambda now: now.ready >= size.pods and not now.homeless, size.grow, "the shop has grown")
        print("\nThe load has ended. Waiting until one pod is left, and the pool is empty:")
        self._watch(load, lambda now: now.wanted == 1 and now.nodes_ready == 0, size.shrink, "everything has shrunk")

    def draw(self, file: Path) -> None:
        """Draw what was seen."""
        seen = self.samples
        panels = [
            Panel("Load", {"requests a second": [each.load for each in seen]}),
            Panel("Pods", {"wanted": [each.wanted for each in seen], "ready": [each.ready for each in seen]}),
            Panel(
                "Nodes", {"wanted": [each.nodes_wanted for each in seen], "ready": [each.nodes_ready for each in seen]}
            ),
        ]
        png(svg("Pods follow the load, nodes follow the pods", [each.at for each in seen], panels), file)

    def _watch(self, load: Load, until: Callable[[Sample], bool], seconds: float, what: str) -> None:
        deadline = time.monotonic() + seconds
        while not until(now := self._look(load)):
            if time.monotonic() > deadline:
                raise StackError(f"Waited {seconds:.0f} s in vain until {what}. At last:\n{now}")
            time.sleep(_EVERY)

    def _look(self, load: Load) -> Sample:
        pods, nodes = self.stage.shop_pods(), self.stage.nodes()
        real = [pod for pod in pods if pod["spec"].get("nodeName") == self.stage.node]
        load.pods = [pod["metadata"]["name"] for pod in real if _ready(pod)]
        for name in set(load.pods) - self._kept:
            self.stage.keep(name)
            self._kept.add(name)
        hpa = self.stage.hpas.read_namespaced_horizontal_pod_autoscaler("shop", NAMESPACE)
        sample = Sample(
            at=time.monotonic() - self._began,
            load=self._rate(load),
            wanted=self.stage.apps.read_namespaced_deployment("shop", NAMESPACE).spec.replicas,
            ready=sum(map(_ready, pods)),
            homeless=sum(not pod["spec"].get("nodeName") for pod in pods),
            nodes_wanted=self.stage.pool_size(),
            nodes_ready=sum(map(_ready, nodes)),
            seen=_seen(hpa),
        )
        self._tell(sample)
        return sample

    def _rate(self, load: Load) -> float:
        (before, answered), now = self._asked, time.monotonic()
        self._asked = (now, load.answered)
        # Another load counts from its own zero.
        return max(0.0, load.answered - answered) / max(0.1, now - before)

    def _tell(self, sample: Sample) -> None:
        self.samples.append(sample)
        sizes = f"{sample.wanted} {sample.ready} {sample.homeless} {sample.nodes_wanted} {sample.nodes_ready}"
        if sizes != self._told[0] or sample.at - self._told[1] > _REPEAT:
            print(sample, flush=True)
            self._told = (sizes, sample.at)


def _ready(thing: dict[str, object]) -> bool:
    status = thing.get("status")
    conditions = status.get("conditions") if isinstance(status, dict) else None
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions or ())


def _seen(hpa: Any) -> str:
    """What the HPA looks at, for the average pod."""
    values = [each.pods.current.average_value for each in hpa.status.current_metrics or () if each.pods]
    targets = [each.pods.target.average_value for each in hpa.spec.metrics if each.pods]
    if not values or not targets:
        return "HPA sees nothing yet"
    return f"HPA sees {amount(values[0]):.0f} bytes/s a pod for {amount(targets[0]):.0f}"


def tell(size: Size, chart: Path = CHART) -> list[Sample]:
    """Play it on a stack that is up, and return what was seen."""
    where = read()
    api = AirflowApi(where.airflow_url, where.airflow_user, where.airflow_password)
    with Stage(where) as stage:
        story = Story(stage)
        story.configure(api, size)
        try:
            story.play(size)
        finally:
            # What went wrong is best seen in it.
            if story.samples:
                story.draw(chart)
        return story.samples


def main() -> int:
    """Bring the stack up and show it."""
    argparse.ArgumentParser(prog="python -m local.elastic", description=__doc__).parse_args()
    try:
        stack.up(PARTS, stack.wanted_settings())
        samples = tell(Size())
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    except httpx.TransportError as error:
        print(f"Airflow went away in the middle ({error}): see `python -m local status`", file=sys.stderr)
        return 1
    most = max(samples, key=lambda each: each.wanted)
    print(f"\nfrom 1 pod to {most.wanted}, from 0 nodes to {max(each.nodes_ready for each in samples)}, and back")
    print(f"chart       {CHART}")
    print("The stack stays up until `make demo-down`.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
