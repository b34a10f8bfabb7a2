"""Where the elastic loop plays: a namespace with the shop, a node pool of its own, and a cloud that takes its time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx

from local import StackError
from local.elastic_shop import NAMESPACE, POOL_LABEL, PORT, SIMULATED, objects
from local.process import wait_until
from tke_provider.emulator.capacity import Machine, alive

if TYPE_CHECKING:
    from typing_extensions import Self

    from local.endpoints import Endpoints

POOL = "elastic"
#: Seconds until a machine that was ordered is there, and that one does nothing before it goes; minutes in the cloud.
_JOINING, _IDLE = 8, 15
#: How many pods of the shop the real node has room for. With a single one, an HPA that knows nothing of the others
#: would hardly find its way back.
_ROOM = 4
_LARGEST = 4.0  # CPUs of a simulated node


class Stage:
    """Set by entering, cleared away by leaving.

    :param where: a stack that is up.
    """

    def __init__(self, where: Endpoints) -> None:
        from kubernetes import client, config

        self.where = where
        connection = config.new_client_from_config(str(where.kubeconfig))
        self.core = client.CoreV1Api(connection)
        self.apps = client.AppsV1Api(connection)
        self.hpas = client.AutoscalingV2Api(connection)
        self.pool = self.node = ""

    def __enter__(self) -> Self:
        self._clear()
        self._pace({"node": {"mode": "seconds", "amount": _JOINING}, "idle": {"mode": "seconds", "amount": _IDLE}})
        self.pool = self._make_pool()
        self.node, cpu = self._real_node()
        print(
            f"each pod asks for {cpu} CPU, so that {self.node} has room for {_ROOM}; pool {self.pool} has no node yet"
        )
        self._make_shop(f"{cpu}")
        wait_until(lambda: self._ready() == 1, "the shop's first pod is ready", timeout=120)
        return self

    def __exit__(self, *_: object) -> None:
        self._clear()
        self._pace({"node": {"mode": "at once"}, "idle": {"mode": "seconds", "amount": 600}})

    def answer_size(self) -> int:
        """Return how many bytes the shop answers with."""
        pod = self.shop_pods()[0]["metadata"]["name"]
        asked = self.core.connect_get_namespaced_pod_proxy(f"{pod}:{PORT}", NAMESPACE, _preload_content=False)
        return len(asked.data)

    def shop_pods(self) -> list[dict[str, Any]]:
        """Return the shop's pods that nobody deletes."""
        listed = self.core.list_namespaced_pod(NAMESPACE, label_selector="app=shop", _preload_content=False)
        return [pod for pod in json.loads(listed.data)["items"] if "deletionTimestamp" not in pod["metadata"]]

    def nodes(self) -> list[dict[str, Any]]:
        """Return the pool's nodes."""
        listed = self.core.list_node(label_selector=f"{POOL_LABEL}={self.pool}", _preload_content=False)
        return list(json.loads(listed.data)["items"])

    def pool_size(self) -> int:
        """Return how many nodes the pool shall have, as the cloud says."""
        return int(self._tke("DescribeClusterNodePoolDetail", NodePoolId=self.pool)["NodePool"]["DesiredNodesNum"])

    def keep(self, pod: str) -> None:
        """Let a pod be the last to go: that which answers, rather than a simulated one."""
        annotations = {"controller.kubernetes.io/pod-deletion-cost": "100"}
        self.core.patch_namespaced_pod(pod, NAMESPACE, {"metadata": {"annotations": annotations}})

    def _ready(self) -> int:
        return self.apps.read_namespaced_deployment("shop", NAMESPACE).status.ready_replicas or 0

    def _make_shop(self, cpu: str) -> None:
        from kubernetes import utils

        self.core.create_namespace({"metadata": {"name": NAMESPACE}})
        for each in objects(self.where.base_image, cpu, self.node, self.pool):
            utils.create_from_dict(self.core.api_client, each, namespace=NAMESPACE)

    def _make_pool(self) -> str:
        made = self._tke(
            "CreateClusterNodePool",
            Name=POOL,
            AutoScalingGroupPara=json.dumps({"MinSize": 0, "MaxSize": 0, "DesiredCapacity": 0}),
            LaunchConfigurePara="{}",
            InstanceAdvancedSettings={},
            EnableAutoscale=False,
        )
        return str(made["NodePoolId"])

    def _real_node(self) -> tuple[str, float]:
        """Its name, and what a pod may ask for if four are to fit."""
        nodes = json.loads(self.core.list_node(_preload_content=False).data)["items"]
        real = [node for node in nodes if SIMULATED not in (node["metadata"].get("annotations") or {})]
        if not real:
            raise StackError("The cluster has no real node, so nothing can bear a load")
        listed = json.loads(self.core.list_pod_for_all_namespaces(_preload_content=False).data)["items"]
        pods = [pod for pod in listed if alive(pod) and pod["spec"].get("nodeName") == real[0]["metadata"]["name"]]
        free = float(Machine.of(real[0], pods).free["cpu"])
        # Two hundredths stay for what else may start there.
        return str(real[0]["metadata"]["name"]), round(min(_LARGEST, free * 0.98 / _ROOM), 2)

    def _clear(self) -> None:
        from kubernetes.client import ApiException

        try:
            self.core.delete_namespace(NAMESPACE)
        except ApiException as e:
            if e.status != httpx.codes.NOT_FOUND:
                raise StackError(f"The namespace {NAMESPACE} cannot be deleted: {e.reason}") from e
        named = [pool for pool in self._tke("DescribeClusterNodePools")["NodePoolSet"] if pool["Name"] == POOL]
        if named:
            self._tke("DeleteClusterNodePool", NodePoolIds=[pool["NodePoolId"] for pool in named], KeepInstance=False)
        wait_until(self._gone, f"the namespace {NAMESPACE} is gone", timeout=120)

    def _gone(self) -> bool:
        return NAMESPACE not in {each.metadata.name for each in self.core.list_namespace().items}

    def _pace(self, paces: dict[str, Any]) -> None:
        answer = httpx.post(f"{self.where.emulator_url}/_emulator/clock", json=paces, trust_env=False)
        if answer.is_error:
            raise StackError(f"The emulator refused a clock of {paces}: {answer.text}")

    def _tke(self, action: str, **params: object) -> dict[str, Any]:
        from tencentcloud.common.common_client import CommonClient
        from tencentcloud.common.credential import Credential
        from tencentcloud.common.profile.client_profile import ClientProfile
        from tencentcloud.common.profile.http_profile import HttpProfile

        host = self.where.emulator_url.removeprefix("http://")
        profile = ClientProfile(httpProfile=HttpProfile(protocol="http", endpoint=host))
        credential = Credential(self.where.secret_id, self.where.secret_key)
        client = CommonClient("tke", "2018-05-25", credential, self.where.region, profile)
        answer = client.call_json(action, {"ClusterId": self.where.cluster_id, **params})
        return dict(answer["Response"])
