import asyncio
import tempfile

import pytest
import yaml

from tests.live_cluster import account, until, with_token
from tke_provider.clients.kubernetes import Cluster
from tke_provider.domain.manifests import ObjectRef
from tke_provider.exceptions import (
    CapacityError,
    ConflictError,
    CredentialError,
    ForbiddenError,
    InputError,
    NotFoundError,
    UnavailableError,
)

pytestmark = pytest.mark.stack


def settings(place, name="a", **data):
    metadata = {"name": name, "namespace": place.namespace, "labels": {"app": "test"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


async def test_what_is_applied_is_there_and_what_is_left_out_later_is_gone(place):
    ref = place.ref("ConfigMap", "a", "v1")
    assert await place.cluster.get(ref) is None
    await place.cluster.apply(settings(place, a="1", b="2"))
    await place.cluster.apply(settings(place, b="3"))
    assert (await place.cluster.get(ref))["data"] == {"b": "3"}


async def test_a_dry_run_changes_nothing(place):
    assert (await place.cluster.apply(settings(place, a="1"), dry_run=True))["data"] == {"a": "1"}
    assert await place.cluster.get(place.ref("ConfigMap", "a", "v1")) is None


async def test_apply_takes_a_field_over_from_whoever_wrote_it(place):
    await place.cluster.create(settings(place, a="theirs"))
    assert (await place.cluster.apply(settings(place, a="ours")))["data"] == {"a": "ours"}


async def test_a_list_is_read_to_its_last_page(place, monkeypatch):
    monkeypatch.setattr("tke_provider.clients.kubernetes._PAGE", 2)
    for number in range(5):
        await place.cluster.apply(settings(place, f"a-{number}"))
    listed = await place.cluster.list("v1", "ConfigMap", place.namespace, label_selector="app=test")
    assert [each["metadata"]["name"] for each in listed] == [f"a-{number}" for number in range(5)]
    assert {(each["apiVersion"], each["kind"]) for each in listed} == {("v1", "ConfigMap")}


async def test_a_selector_of_fields_selects(place):
    await place.cluster.apply(settings(place, "a"))
    await place.cluster.apply(settings(place, "b"))
    listed = await place.cluster.list("v1", "ConfigMap", place.namespace, field_selector="metadata.name=b")
    assert [each["metadata"]["name"] for each in listed] == ["b"]


async def test_plurals_are_asked_for_not_guessed(place):
    policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}
    metadata = {"name": "a", "namespace": place.namespace}
    await place.cluster.apply({**policy, "metadata": metadata, "spec": {"podSelector": {}}})
    assert len(await place.cluster.list("networking.k8s.io/v1", "NetworkPolicy", place.namespace)) == 1


@pytest.mark.parametrize("api_version", ["example.com/v1", "apps/v1", "v1"])
async def test_a_kind_that_is_not_served_is_no_empty_answer(place, api_version):
    with pytest.raises(NotFoundError, match=f"serves no kind Gadget of {api_version}"):
        await place.cluster.list(api_version, "Gadget", place.namespace)


async def test_an_object_without_its_namespace_is_refused(place):
    with pytest.raises(InputError, match="ConfigMap a has no namespace"):
        await place.cluster.get(ObjectRef("v1", "ConfigMap", "", "a"))


async def test_a_merge_patch_removes_what_is_null(place):
    await place.cluster.apply(settings(place, a="1", b="2"))
    patched = await place.cluster.patch(place.ref("ConfigMap", "a", "v1"), {"data": {"a": None}})
    assert patched["data"] == {"b": "2"}


async def test_a_patch_of_another_version_is_a_conflict(place):
    version = (await place.cluster.apply(settings(place, a="1")))["metadata"]["resourceVersion"]
    await place.cluster.apply(settings(place, a="2"))
    body = {"metadata": {"resourceVersion": version}, "data": {"a": "3"}}
    with pytest.raises(ConflictError, match="did not patch configmaps a in namespace"):
        await place.cluster.patch(place.ref("ConfigMap", "a", "v1"), body)


async def test_creating_what_exists_is_a_conflict(place):
    await place.cluster.create(settings(place))
    with pytest.raises(ConflictError, match="already exists"):
        await place.cluster.create(settings(place))


async def test_scale_writes_the_scale_alone(place):
    workload = place.workload(replicas=0)
    workload["metadata"]["namespace"] = place.namespace
    await place.cluster.apply(workload)
    assert (await place.cluster.scale(place.ref("Deployment"), 2))["kind"] == "Scale"
    assert (await place.cluster.get(place.ref("Deployment")))["spec"]["replicas"] == 2


async def test_deleting_says_whether_there_was_something(place):
    await place.cluster.apply(settings(place))
    ref = place.ref("ConfigMap", "a", "v1")
    assert await place.cluster.delete(ref) is True
    assert await place.cluster.delete(ref) is False


async def test_a_namesake_is_not_deleted(place):
    await place.cluster.apply(settings(place))
    with pytest.raises(ConflictError, match="UID in the precondition"):
        await place.cluster.delete(place.ref("ConfigMap", "a", "v1"), uid="another")


async def test_a_watch_yields_what_is_there_and_what_changes(place):
    await place.cluster.apply(settings(place, a="1"))
    seen = []

    async def follow():
        async for kind, changed in place.cluster.watch("v1", "ConfigMap", place.namespace, label_selector="app=test"):
            seen.append((kind, changed["data"]))

    following = asyncio.create_task(follow())

    async def told(*events):
        async def look():
            return seen == list(events)

        await until(look)

    await told(("ADDED", {"a": "1"}))
    await place.cluster.apply(settings(place, a="2"))
    await told(("ADDED", {"a": "1"}), ("MODIFIED", {"a": "2"}))
    following.cancel()
    await asyncio.wait({following})


async def test_a_watch_ends_when_the_cluster_closes_it(place):
    assert [event async for event in place.cluster.watch("v1", "Pod", place.namespace, seconds=1)] == []


async def test_refused_objects_are_refused_in_the_clusters_words(place):
    broken = place.workload(replicas=-1)
    broken["metadata"]["namespace"] = place.namespace
    with pytest.raises(InputError, match=r"spec\.replicas: Invalid value: -1"):
        await place.cluster.apply(broken)


async def test_a_used_up_quota_is_a_matter_of_capacity(place):
    metadata = {"name": "few", "namespace": place.namespace}
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": {"configmaps": "1"}}}
    await place.cluster.create(quota)

    async def counted():
        return (await place.cluster.get(ObjectRef.of(quota))).get("status", {}).get("used")

    await until(counted)

    async def many():
        for number in range(9):
            await place.cluster.create(settings(place, f"a-{number}"))

    with pytest.raises(CapacityError, match="has no quota left to create configmaps"):
        await many()


async def test_an_unknown_token_is_a_matter_of_credentials(kubeconfig):
    async with Cluster(with_token(kubeconfig, "expired"), name="cls-1") as cluster:
        with pytest.raises(CredentialError, match="Cluster cls-1 does not know who is asking"):
            await cluster.list("v1", "Pod")


async def test_credentials_are_renewed_once_when_they_are_no_longer_taken(kubeconfig):
    asked = []

    async def renew():
        asked.append(1)
        return kubeconfig

    async with Cluster(with_token(kubeconfig, "expired"), renew=renew) as cluster:
        assert await cluster.list("v1", "Namespace")
        assert await cluster.list("v1", "Namespace")
    assert len(asked) == 1


async def test_a_missing_right_is_named_as_verb_and_resource(place, kubeconfig):
    async with Cluster(await account(place, kubeconfig)) as cluster:
        with pytest.raises(ForbiddenError, match="grant the verb patch on deployments/scale to the connection's user"):
            await cluster.scale(place.ref("Deployment"), 1)


async def test_a_cluster_that_is_not_there_is_out_of_reach(monkeypatch):
    monkeypatch.setattr("tke_provider.clients.kubernetes_connection._ATTEMPTS", 1)
    user = {"users": [{"name": "b", "user": {}}], "contexts": [{"name": "c", "context": {"cluster": "a", "user": "b"}}]}
    nowhere = {"current-context": "c", **user, "clusters": [{"name": "a", "cluster": {"server": "http://127.0.0.1:1"}}]}
    async with Cluster(yaml.safe_dump(nowhere), name="cls-1") as cluster:
        with pytest.raises(UnavailableError, match="Cluster cls-1 is out of reach"):
            await cluster.namespaced("v1", "ConfigMap")


async def test_a_service_without_ready_pods_is_unavailable_and_a_missing_one_not_found(place):
    metadata = {"name": "web", "namespace": place.namespace}
    spec = {"selector": {"app": "none"}, "ports": [{"port": 80}]}
    await place.cluster.apply({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})

    async def known():
        try:
            return await place.cluster.proxy(place.namespace, "web", 80)
        except NotFoundError:  # the API server's own view of services lags a moment behind
            return None

    with pytest.raises(UnavailableError, match="no endpoints available"):
        await until(known)
    with pytest.raises(NotFoundError, match='services "none" not found'):
        await place.cluster.proxy(place.namespace, "none", 80)


def any_file(folder):
    return list(folder.iterdir())


async def test_no_certificate_is_left_on_a_disk(kubeconfig, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    async with Cluster(kubeconfig) as cluster:
        await cluster.namespaced("v1", "ConfigMap")
    assert not any_file(tmp_path)
