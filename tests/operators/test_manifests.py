"""Manifests shown, applied and pruned, on the live cluster."""

from __future__ import annotations

import asyncio
import subprocess

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from tests.live_cluster import image, named, run_of
from tke_provider.clients import leases
from tke_provider.domain.manifests import ObjectRef
from tke_provider.exceptions import BusyError
from tke_provider.operators.manifests import TkeApplyOperator, TkeDiffOperator

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("connected")]

SET = {"app.kubernetes.io/part-of": "shop"}


def config(name: str = "settings", labels: dict | None = None, **data: str) -> dict:
    metadata = {"name": name, **({"labels": labels} if labels else {})}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data or {"a": "1"}}


def claim(name: str = "data") -> dict:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "labels": SET}, "spec": spec,
    }  # fmt: skip


async def run(operator: TkeDiffOperator, run_id: str = "run-1"):
    return await asyncio.to_thread(operator.execute, run_of(run_id))


def apply(place, *manifests: dict, **more) -> TkeApplyOperator:
    return TkeApplyOperator(task_id="apply", manifests=list(manifests), namespace=place.namespace, **more)


async def refusal(operator: TkeDiffOperator) -> str:
    with pytest.raises(AirflowFailException) as caught:
        await run(operator)
    return str(caught.value)


async def names(place, kind: str = "ConfigMap") -> set[str]:
    found = await place.cluster.list("v1", kind, place.namespace)
    return {each["metadata"]["name"] for each in found} - {"kube-root-ca.crt"}


async def test_what_is_applied_is_there_and_applying_it_again_changes_nothing(place):
    first = await run(apply(place, config(), place.workload()))
    again = await run(apply(place, config(), place.workload()), "run-2")
    assert first["counts"] == {"created": 2, "changed": 0, "deleted": 0, "unchanged": 0}
    assert again["counts"] == {"created": 0, "changed": 0, "deleted": 0, "unchanged": 2}
    live = await place.cluster.get(place.ref("ConfigMap", "settings", "v1"))
    assert live["data"] == {"a": "1"}
    assert live["metadata"]["annotations"]["tke.airflow/operation"].startswith("shop.deploy.")


async def test_a_dry_run_shows_the_diff_and_changes_nothing(place, capsys):
    await run(apply(place, config(a="1")))
    shown = await run(apply(place, config(a="2"), dry_run=True))
    assert "-  a: '1'\n+  a: '2'" in shown["markdown"]
    assert "+  a: '2'" in capsys.readouterr().out
    assert (await place.cluster.get(place.ref("ConfigMap", "settings", "v1")))["data"] == {"a": "1"}


async def test_another_managers_field_is_refused_by_name_and_nothing_is_changed(place):
    edited = config(a="theirs")
    edited["metadata"]["namespace"] = place.namespace
    request = await place.cluster._on(ObjectRef.of(edited), "patch", query={"fieldManager": "somebody"})
    await place.cluster._json(request._replace(body=edited, content="application/apply-patch+yaml"))
    said = await refusal(apply(place, config("other"), config(a="ours")))
    assert '"somebody"' in said
    assert ".data.a" in said
    assert await names(place) == {"settings"}
    await run(apply(place, config(a="ours"), force=True))
    assert (await place.cluster.get(place.ref("ConfigMap", "settings", "v1")))["data"] == {"a": "ours"}


async def test_one_bad_manifest_keeps_all_others_from_being_applied(place):
    bad = config("bad")
    bad["dta"] = {}
    assert "dta" in await refusal(apply(place, config("good"), bad))
    assert await names(place) == set()


async def test_nothing_is_deleted_unless_asked(place):
    await run(apply(place, config("old", SET), config("new", SET)))
    await run(apply(place, config("new", SET)))
    assert await names(place) == {"old", "new"}


async def test_pruning_deletes_what_we_applied_and_no_longer_name(place):
    await run(apply(place, config("old", SET), config("new", SET)))
    seen = await run(apply(place, config("new", SET), prune=SET))
    assert await names(place) == {"new"}
    assert seen["counts"] == {"created": 0, "changed": 0, "deleted": 1, "unchanged": 1}


async def test_pruning_spares_data_other_peoples_objects_and_other_sets(place):
    theirs = config("theirs", SET)
    theirs["metadata"]["namespace"] = place.namespace
    await place.cluster.create(theirs)
    await run(apply(place, config("kept", SET), claim(), config("elsewhere", {"app.kubernetes.io/part-of": "x"})))
    # Claims are among the manifests still, so that those of the cluster are looked at.
    seen = await run(apply(place, config("kept", SET), claim("more"), prune=SET))
    assert seen["counts"]["deleted"] == 0
    assert await names(place) == {"kept", "theirs", "elsewhere"}
    assert await names(place, "PersistentVolumeClaim") == {"data", "more"}


async def test_a_dry_run_shows_what_would_be_pruned_and_prunes_nothing(place):
    await run(apply(place, config("old", SET), config("new", SET)))
    seen = await run(apply(place, config("new", SET), prune=SET, dry_run=True))
    assert [(each["object"], each["change"]) for each in seen["objects"]] == [
        (f"ConfigMap {place.namespace}/old", "deleted")
    ]
    assert await names(place) == {"old", "new"}


@pytest.mark.parametrize(
    ("manifest", "prune", "said"),
    [(config(), SET, "lacks the label app.kubernetes.io/part-of=shop"), (config(), {}, "which would mean everything")],
    ids=["a member without the label", "no label"],
)
async def test_a_set_that_could_not_be_found_again_is_refused(place, manifest, prune, said):
    assert said in await refusal(apply(place, manifest, prune=prune))
    assert await names(place) == set()


async def test_a_namespace_goes_before_what_is_in_it(place):
    name = f"{place.namespace}-new"
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    inside = config()
    inside["metadata"]["namespace"] = name
    try:
        seen = await run(TkeApplyOperator(task_id="apply", manifests=[inside, namespace]))
        assert seen["counts"]["created"] == 2
        assert await place.cluster.get(ObjectRef("v1", "ConfigMap", name, "settings"))
    finally:
        await place.cluster.delete(ObjectRef.of(namespace))


async def test_a_kind_goes_before_what_is_of_it(place):
    group = f"{place.namespace}.example.com"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"teapots.{group}"},
        "spec": {
            "group": group,
            "names": {"kind": "Teapot", "plural": "teapots", "singular": "teapot"},
            "scope": "Namespaced",
            "versions": [version],
        },
    }
    teapot = {
        "apiVersion": f"{group}/v1",
        "kind": "Teapot",
        "metadata": {"name": "short", "namespace": place.namespace},
    }
    try:
        seen = await run(TkeApplyOperator(task_id="apply", manifests=[teapot, definition]))
        assert seen["counts"]["created"] == 2
    finally:
        await place.cluster.delete(ObjectRef.of(definition))


async def test_a_workload_that_is_being_changed_is_left_alone(place):
    await run(apply(place, place.workload()))
    await leases.acquire(place.cluster, place.namespace, "web", "another-release")
    with pytest.raises(BusyError, match="another-release"):
        await run(apply(place, place.workload(replicas=2)))
    await leases.release(place.cluster, place.namespace, "web", "another-release")
    await run(apply(place, place.workload(replicas=2)))
    assert (await place.cluster.get(place.ref("Deployment")))["spec"]["replicas"] == 2


async def test_the_size_that_an_autoscaler_wrote_stays(place):
    await run(apply(place, place.workload(replicas=1)))
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": place.namespace},
        "spec": {
            "minReplicas": 1,
            "maxReplicas": 5,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        },
    }
    await place.cluster.create(scaler)
    await place.cluster.scale(place.ref("Deployment"), 3)
    seen = await run(apply(place, place.workload(replicas=1)))
    assert seen["counts"]["unchanged"] == 1
    assert (await place.cluster.get(place.ref("Deployment")))["spec"]["replicas"] == 3


async def test_the_diff_shows_the_new_image_and_changes_nothing(place):
    workload = place.workload()
    await run(
        TkeApplyOperator(task_id="a", manifests=[workload], images={"web": image("a")}, namespace=place.namespace)
    )
    diff = TkeDiffOperator(task_id="d", manifests=[workload], images={"web": image("b")}, namespace=place.namespace)
    seen = await run(diff)
    assert f"-      - image: {named('a')}\n+      - image: {named('b')}\n" in seen["markdown"]
    live = await place.cluster.get(place.ref("Deployment"))
    assert live["spec"]["template"]["spec"]["containers"][0]["image"] == named("a")


async def test_the_diff_of_a_namespace_yet_to_be_made_shows_everything_as_new(place):
    diff = TkeDiffOperator(task_id="d", manifests=[config(a="1")], namespace=f"{place.namespace}-none")
    assert (await run(diff))["counts"]["created"] == 1


def committed(folder, text: str) -> dict:
    """Where manifests are, at one commit of a repository."""
    (folder / "a.yaml").write_text(text)
    git = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@example.com"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "a"]):
        subprocess.run([*git, *command], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    return {"git_url": str(folder), "commit": head, "manifests_path": "."}


@pytest.fixture
def commit(tmp_path) -> dict:
    """Where one ConfigMap named a is."""
    return committed(tmp_path, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")


async def test_no_secret_of_the_manifests_is_shown(place, tmp_path, capsys):
    secret = "{apiVersion: v1, kind: Secret, metadata: {name: key}, stringData: {key: hunter2}}"
    task = TkeApplyOperator(task_id="apply", namespace=place.namespace, **committed(tmp_path, secret))
    shown = str(await run(task)) + capsys.readouterr().out
    assert "(hidden)" in shown
    assert "hunter2" not in shown
    assert "aHVudGVyMg" not in shown


async def test_manifests_come_from_a_commit(place, commit):
    await run(TkeApplyOperator(task_id="apply", namespace=place.namespace, **commit))
    assert await names(place) == {"a"}
