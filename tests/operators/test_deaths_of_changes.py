"""A worker that dies while it applies, goes back or takes back: its retry completes that, and nothing is done twice."""

from __future__ import annotations

import pytest

from tests.live_cluster import deploy, image, named, released, run_of, until
from tests.operators import test_manifests, test_rollbacks_together
from tests.operators.test_canaries import serving
from tests.operators.test_manifests import SET, config
from tests.operators.test_rollouts import free
from tests.process_of_a_release import END, RETRY, at_length, killed_after, path_of
from tke_provider.clients import releases
from tke_provider.domain.releases import Stage
from tke_provider.operators.manifests import TkeApplyOperator
from tke_provider.operators.rollbacks import TkeRollbackServiceOperator, TkeUndoReleasesOperator

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("connected"), pytest.mark.timeout(600)]


async def revision(place, name: str = "web") -> str:
    """How many versions a Deployment has had."""
    live = await place.cluster.get(place.ref("Deployment", name))
    return live["metadata"]["annotations"]["deployment.kubernetes.io/revision"]


async def history(place, name: str = "web") -> list[tuple[int, Stage]]:
    records = await releases.history(place.cluster, place.namespace, name)
    return [(each.revision, each.stage) for each in records]


@pytest.mark.parametrize("moment", ["PATCH .*/configmaps/first", *at_length("DELETE .*/configmaps/old", END)])
async def test_a_worker_killed_while_it_applies_is_completed_by_the_retry(place, moment):
    await test_manifests.run(test_manifests.apply(place, config("old", SET), place.workload()), "run-1")
    newer = place.workload(replicas=2)
    newer["spec"]["template"]["metadata"]["annotations"] = {"version": "2"}
    given = {"task_id": "apply", "namespace": place.namespace, "prune": SET}
    given["manifests"] = [config("first", SET), config("second", SET), newer]
    for each in given["manifests"]:
        each["metadata"]["labels"] = SET
    await killed_after(moment, path_of(TkeApplyOperator), given, "run-2")
    await released(TkeApplyOperator(**given), RETRY)
    assert await test_manifests.names(place) == {"first", "second"}

    async def second() -> bool:  # its controller counts once it has looked
        return await revision(place) == "2"

    await until(second)
    assert await free(place)
    again = await released(TkeApplyOperator(**given, dry_run=True), RETRY)
    assert again["counts"] == {"created": 0, "changed": 0, "deleted": 0, "unchanged": 3}


@pytest.mark.parametrize("moment", ["PATCH .*/configmaps/web", *at_length("POST .*/secrets", END)])
async def test_a_worker_killed_while_it_goes_back_goes_back_once(place, moment):
    for digit in "ab":
        manifests = [place.workload(), config("web", value=digit)]
        await released(deploy(place, digit, *manifests), run_of(f"release-{digit}"))
    given = {"task_id": "rollback", "namespace": place.namespace, "service": "web", "poll_interval": 0.5}
    await killed_after(moment, path_of(TkeRollbackServiceOperator), given, "run-2")
    release = await released(TkeRollbackServiceOperator(**given), RETRY)
    assert (release["images"], release["previous"]) == ({"web/web": named("a")}, {"web/web": named("b")})
    assert await history(place) == [(3, Stage.LIVE), (2, Stage.LIVE), (1, Stage.LIVE)]
    assert (await place.cluster.get(place.ref("ConfigMap", "web", "v1")))["data"] == {"value": "a"}
    assert (await revision(place), await serving(place)) == ("3", named("a"))
    assert await free(place)


class Undo(TkeUndoReleasesOperator):
    """Told what failed in its run; there is no Airflow to ask."""

    def _failures(self, _: object) -> list[str]:
        return ["smoke_test"]


@pytest.mark.parametrize(
    "moment", ["PATCH .*/deployments/stock", *at_length("PATCH .*/secrets/tke-release.shop.v1", END)]
)
async def test_a_worker_killed_while_it_takes_a_run_back_leaves_each_service_taken_back_once(place, moment):
    given: dict = {"task_id": "undo", "namespace": place.namespace, "poll_interval": 0.5, "releases": {}}
    for name in ("stock", "shop"):
        old, new = place.workload(name=name), place.workload(name=name)
        old["metadata"]["namespace"] = place.namespace
        old["spec"]["template"]["spec"]["containers"][0]["image"] = named("a")
        await place.cluster.create(old)
        known = {"manifests": [new], "images": {"web": image("b")}, "service": name}
        given["releases"][name] = await released(deploy(place, **known), run_of(f"release-{name}"))
    await killed_after(moment, path_of(Undo), given, "run-2")
    await released(Undo(**given), RETRY)
    for name in given["releases"]:
        assert await test_rollbacks_together.serving(place, name) == named("a")
        assert await history(place, name) == [(1, Stage.ROLLED_BACK)]
        assert await revision(place, name) == "3"
