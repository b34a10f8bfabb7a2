from __future__ import annotations

from local.elastic_shop import objects
from tke_provider.emulator.capacity import Machine
from tke_provider.emulator.nodes import KWOK_TAINT, POOL


def _node(name: str, **labels: str) -> dict:
    status = {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"}}
    taints = [KWOK_TAINT] if POOL in labels else []
    return {"metadata": {"name": name, "labels": labels}, "spec": {"taints": taints}, "status": status}


def test_the_shop_runs_on_the_real_node_and_on_its_own_pool_alone():
    made = {(each["kind"], each["metadata"]["name"]): each for each in objects("image", "1", "real", "np-mine0000")}
    pod = {"metadata": {}, "spec": made["Deployment", "shop"]["spec"]["template"]["spec"]}
    for node, fits in (
        (_node("real"), True),
        (_node("ins-1", **{POOL: "np-mine0000"}), True),
        (_node("ins-2", **{POOL: "np-others00"}), False),
        (_node("other"), False),
    ):
        assert Machine.of(node).fits(pod) is fits


def test_only_the_shop_is_scraped_and_every_service_has_a_name():
    made = list(objects("image", "1", "real", "np-mine0000"))
    assert [each["metadata"]["name"] for each in made if each["kind"] == "Service"] == ["prices", "stock", "shop"]
    scraped = [
        each for each in made if each["kind"] == "Deployment" and each["spec"]["template"]["metadata"]["annotations"]
    ]
    assert [each["metadata"]["name"] for each in scraped] == ["shop"]
