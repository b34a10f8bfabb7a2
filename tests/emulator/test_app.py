from __future__ import annotations

import json

import httpx


def test_errors_come_with_status_200_and_a_bare_content_type(emulator):
    with httpx.Client(trust_env=False) as client:
        answer = client.post(emulator.url, json={})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["Response"]["Error"]["Code"] == "AuthFailure.InvalidAuthorization"
    assert answer.json()["Response"]["RequestId"]


def test_get_is_refused_in_the_same_envelope(emulator):
    with httpx.Client(trust_env=False) as client:
        answer = client.get(emulator.url)
    assert answer.json()["Response"]["Error"]["Code"] == "UnsupportedProtocol"


def test_a_body_that_is_no_json_object_is_refused(emulator, refused):
    from tencentcloud.sts.v20180813.sts_client import StsClient

    with refused("InvalidRequest"):
        emulator.client(StsClient).call_json("GetCallerIdentity", [])


def test_the_sdks_models_understand_the_answers(emulator):
    from tencentcloud.tke.v20180525 import models
    from tencentcloud.tke.v20180525.tke_client import TkeClient

    client = emulator.client(TkeClient)
    clusters = client.DescribeClusters(models.DescribeClustersRequest())
    assert [each.ClusterName for each in clusters.Clusters] == ["local"]
    request = models.DescribeClusterNodePoolsRequest()
    request.ClusterId = "cls-local000"
    (pool,) = client.DescribeClusterNodePools(request).NodePoolSet
    assert pool.NodeCountSummary.AutoscalingAdded.Normal == 1


def test_the_asynchronous_client_is_served_too(emulator):
    import asyncio

    from tencentcloud.tke.v20220501 import models
    from tencentcloud.tke.v20220501.tke_client_async import TkeClient

    async def ask():
        async with emulator.client(TkeClient) as client:
            request = models.DescribeNodePoolsRequest()
            request.ClusterId = "cls-local000"
            return await client.DescribeNodePools(request)

    assert [pool.Type for pool in asyncio.run(ask()).NodePools] == ["Regular", "Native", "Super"]


def test_every_answer_has_only_the_published_fields(emulator):
    """The names of everything that is answered stand in the published metadata."""
    from tke_provider.emulator import validation

    asked = [
        (emulator.tke, "2018-05-25", "DescribeClusters", {}),
        (emulator.tke, "2018-05-25", "DescribeClusterStatus", {}),
        (emulator.tke, "2018-05-25", "DescribeClusterEndpoints", {"ClusterId": "cls-local000"}),
        (emulator.tke, "2018-05-25", "DescribeClusterNodePools", {"ClusterId": "cls-local000"}),
        (emulator.tke, "2018-05-25", "DescribeClusterInstances", {"ClusterId": "cls-local000"}),
        (emulator.tke, "2018-05-25", "DescribeClusterVirtualNodePools", {"ClusterId": "cls-local000"}),
        (emulator.tke2022, "2022-05-01", "DescribeNodePools", {"ClusterId": "cls-local000"}),
        (emulator.tke2022, "2022-05-01", "DescribeClusterInstances", {"ClusterId": "cls-local000"}),
        (emulator.tke2022, "2022-05-01", "DescribeClusterMachines", {"ClusterId": "cls-local000"}),
        (emulator.tcr, "2019-09-24", "DescribeInstances", {}),
        (emulator.tcr, "2019-09-24", "DescribeNamespaces", {"RegistryId": "tcr-local000"}),
    ]
    for ask, version, action, params in asked:
        described = validation.metadata("tcr" if ask == emulator.tcr else "tke", version)
        name = described["actions"][action]["output"]
        assert strange(described["objects"], name, ask(action, **params)) == [], action


def strange(objects, name, value):
    """The fields of an answer that its description does not have."""
    members = {member["name"]: member["member"] for member in objects[name]["members"]}
    found = [f"{name}.{key}" for key in value if key not in members]
    for key, item in value.items():
        of = members.get(key)
        for each in item if isinstance(item, list) else [item]:
            if of in objects and isinstance(each, dict):
                found += strange(objects, of, each)
    return found


def test_the_remote_control_says_where_things_are(emulator):
    answer = emulator.admin("GET", "")
    assert answer["ready"] is True
    assert answer["clusters"] == ["cls-local000"]
    assert emulator.credential.secret_key not in json.dumps(emulator.admin("GET", "state"))


def test_nonsense_to_the_remote_control_is_answered_with_a_sentence(emulator):
    with httpx.Client(trust_env=False, base_url=emulator.url) as client:
        kind = client.post("/_emulator/clock", json={"weather": {}})
        trouble = client.post("/_emulator/trouble", json={"kind": "locusts"})
        body = client.post("/_emulator/trouble", content=b"[1")
    assert (kind.status_code, trouble.status_code, body.status_code) == (400, 400, 400)
    assert "no such kind; there are default, cluster, endpoint" in kind.json()["error"]
    assert "no kind of trouble; there are throttle" in trouble.json()["error"]
