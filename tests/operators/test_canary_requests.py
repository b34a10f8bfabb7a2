"""Requests go on through whole canaries whose share an ingress controller gives them, and none is lost."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from local.ingress.controller import URL
from tests.live_cluster import released, run_of, until
from tests.operators.test_canary_traffic import ingress
from tests.operators.test_requests import Load, ended, going_on, manifests, only
from tests.process_of_a_release import RETRY, path_of, process
from tke_provider.domain.ingresses import API_VERSION, weight_of
from tke_provider.domain.manifests import ObjectRef
from tke_provider.operators.canaries import TkeCanaryDeployOperator

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.soak, pytest.mark.usefixtures("ingress_controller", "connected"), pytest.mark.timeout(600)]

ENOUGH = 400
"""So many answers tell a share."""
LONG = 600


@dataclasses.dataclass
class Shop:
    """A service behind an Ingress, which the controller serves."""

    place: object
    image: dict

    def arguments(self, version: str, **more: object) -> dict:
        front = ingress(self.place.namespace)  # of the class that is called so
        front["spec"]["rules"][0]["host"] = self.host
        return {
            "task_id": "deploy",
            "namespace": self.place.namespace,
            "manifests": [*manifests(version), front],
            "images": {"web": self.image},
            "service": "web",
            "traffic": "ingress",
            "timeout": 180,
            "poll_interval": 0.5,
            **more,
        }

    def release(self, version: str, **more: object) -> TkeCanaryDeployOperator:
        return TkeCanaryDeployOperator(**self.arguments(version, **more))

    @property
    def host(self) -> str:
        return f"{self.place.namespace}.example"

    async def takes(self, weight: int) -> bool:
        live = await self.place.cluster.get(self.place.ref("Ingress", "web-canary", API_VERSION))
        return weight_of(live) == str(weight)

    async def divided(self, requests: Load, weight: int) -> None:
        """Wait until the requests are divided so: within four standard deviations, which chance leaves alone."""
        share = weight / 100
        bound = 4 * math.sqrt(share * (1 - share) / ENOUGH)

        async def so() -> bool:
            before = requests.answers.copy()
            await until(lambda: enough(requests, before), 120)
            assert await self.takes(weight), "the step was over before its share was told"
            since = requests.answers - before
            return abs(since["new"] / since.total() - share) < bound

        await until(lambda: self.takes(weight), LONG)
        await until(so, LONG)

    async def served_by(self, requests: Load, version: str) -> None:
        """Wait until nothing goes any more, and this version alone answers."""
        await until(lambda: ended(self.place), 120)
        await until(lambda: only(requests, version))
        assert requests.lost == []


async def enough(requests: Load, before: object) -> bool:
    return (requests.answers - before).total() >= ENOUGH


@pytest_asyncio.fixture
async def shop(place, python) -> Iterator[Shop]:
    """A service that is released in an old version."""
    ref = ObjectRef(API_VERSION, "IngressClass", "", place.namespace)
    spec, metadata = {"controller": "k8s.io/ingress-nginx"}, {"name": ref.name}
    await place.cluster.create({"apiVersion": API_VERSION, "kind": ref.kind, "metadata": metadata, "spec": spec})
    try:
        made = Shop(place, python)
        await released(made.release("old"))
        yield made
    finally:
        await place.cluster.delete(ref)


async def test_each_step_gets_its_share_and_no_request_is_lost_to_the_end(shop):
    steps = [{"weight": weight, "pause": 60} for weight in (10, 50)]
    async with going_on(Load(URL, Host=shop.host)) as requests:
        going = asyncio.create_task(released(shop.release("new", steps=steps), run_of("run-2")))
        for weight in (10, 50):
            await shop.divided(requests, weight)
        await going
        await shop.served_by(requests, "new")


async def test_a_canary_that_is_called_off_loses_no_request_and_the_old_version_has_all(shop):
    operator = shop.release("new", steps=[{"weight": 50, "pause": LONG}])
    async with going_on(Load(URL, Host=shop.host)) as requests:
        going = asyncio.create_task(released(operator, run_of("run-2")))
        await shop.divided(requests, 50)
        operator.on_kill()
        with pytest.raises(asyncio.CancelledError):
            await going
        await shop.served_by(requests, "old")


async def test_a_version_that_is_rolled_out_by_hand_meanwhile_loses_no_request(shop):
    operator = shop.release("new", steps=[{"weight": 50, "pause": LONG}])
    theirs = {"spec": {"template": {"metadata": {"annotations": {"restarted": "by hand"}}}}}
    async with going_on(Load(URL, Host=shop.host)) as requests:
        going = asyncio.create_task(released(operator, run_of("run-2")))
        await shop.divided(requests, 50)
        await shop.place.cluster.patch(shop.place.ref("Deployment"), theirs)
        with pytest.raises(Exception, match="was rolled out by somebody else meanwhile"):
            await going
        await shop.served_by(requests, "old")


async def test_a_retry_that_takes_over_keeps_the_share_and_loses_no_request(shop):
    arguments = shop.arguments("new", steps=[{"weight": 25, "pause": LONG}])
    async with going_on(Load(URL, Host=shop.host)) as requests:
        async with process("operator", path_of(TkeCanaryDeployOperator), arguments, "run-2"):
            await shop.divided(requests, 25)
        await shop.divided(requests, 25)
        await released(shop.release("new", steps=[{"weight": 25, "pause": 1}]), RETRY)
        await shop.served_by(requests, "new")
