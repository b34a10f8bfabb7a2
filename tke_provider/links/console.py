"""Pages of the Tencent Cloud console, from ids that the operator holds.

A link reads what the operator knows when its task ends or defers, in the worker: templates are rendered by then. The
contract is by attribute: ``region`` and ``cluster_id``; beside them ``namespace`` and ``service`` (with ``kind`` where
it is no Deployment) for a workload, ``node_pool_id`` for a node pool; ``registry_id``, and ``repository`` or
``image``, for an image. An operator that takes one of them from its connection writes it to the attribute. Where an id
is missing there is no link.

The console's addresses are not documented, so none of them is certain. Those of cluster, workload and node pools are as
people quote them in public pages; that of an image repository is quoted for the personal edition alone, and unverified
for an enterprise registry.
"""

from __future__ import annotations

import urllib.parse
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import BaseOperatorLink

from tke_provider.domain.images import Image, split_host
from tke_provider.exceptions import InputError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

_CONSOLE = "https://console.cloud.tencent.com"
# What the console calls a region. 1, 4, 9 and 33 are seen in public addresses; the rest is DescribeRegions' RegionId as
# far as known, unverified. Without it the console shows the region that was looked at last.
_REGION_IDS = {
    "ap-guangzhou": 1,
    "ap-shanghai": 4,
    "ap-hongkong": 5,
    "ap-shanghai-fsi": 7,
    "ap-beijing": 8,
    "ap-singapore": 9,
    "ap-shenzhen-fsi": 11,
    "na-siliconvalley": 15,
    "ap-chengdu": 16,
    "eu-frankfurt": 17,
    "ap-seoul": 18,
    "ap-chongqing": 19,
    "na-ashburn": 22,
    "ap-bangkok": 23,
    "ap-tokyo": 25,
    "ap-nanjing": 33,
    "ap-beijing-fsi": 46,
    "ap-jakarta": 72,
    "sa-saopaulo": 74,
}


def cluster_url(region: str, cluster_id: str) -> str:
    """Return the page of a cluster, or nothing without its id."""
    return _page("tke2/cluster/sub/list/basic/info", region, clusterId=cluster_id) if cluster_id else ""


def workload_url(region: str, cluster_id: str, kind: str, namespace: str, name: str) -> str:
    """Return the page of a Deployment, StatefulSet or DaemonSet, or nothing without its name."""
    if not (cluster_id and namespace and name):
        return ""
    page = f"tke2/cluster/sub/detail/resource/{kind.lower()}"
    return _page(page, region, clusterId=cluster_id, resourceIns=name, np=namespace)


def node_pool_url(region: str, cluster_id: str, node_pool_id: str) -> str:
    """Return the node pools of a cluster, which is as near to one pool as quoted addresses lead."""
    if not (cluster_id and node_pool_id):
        return ""
    return _page("tke2/cluster/sub/list/nodeManage/nodePool", region, clusterId=cluster_id)


def image_url(region: str, registry_id: str, repository: str) -> str:
    """Return the page of an image repository.

    :param repository: without the registry: ``namespace/name``.
    """
    if not (registry_id and "/" in repository and region in _REGION_IDS):
        return ""
    namespace, _, name = repository.partition("/")
    parts = (registry_id, namespace, urllib.parse.quote(name, safe=""), str(_REGION_IDS[region]))
    return f"{_CONSOLE}/tcr/repository/details/{'/'.join(parts)}"


class ClusterLink(BaseOperatorLink):
    """The cluster that a task worked on."""

    name = "TKE cluster"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002  # Airflow's signature
        """Return its page in the console."""
        return cluster_url(_of(operator, "region"), _of(operator, "cluster_id"))


class WorkloadLink(BaseOperatorLink):
    """The workload that a task changed."""

    name = "TKE workload"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002  # Airflow's signature
        """Return its page in the console."""
        return workload_url(
            _of(operator, "region"),
            _of(operator, "cluster_id"),
            _of(operator, "kind") or "Deployment",
            _of(operator, "namespace"),
            _of(operator, "service"),
        )


class NodePoolLink(BaseOperatorLink):
    """The node pool that a task scaled."""

    name = "TKE node pool"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002  # Airflow's signature
        """Return its page in the console."""
        return node_pool_url(_of(operator, "region"), _of(operator, "cluster_id"), _of(operator, "node_pool_id"))


class ImageLink(BaseOperatorLink):
    """The repository of the image that a task made or used."""

    name = "TCR image"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002  # Airflow's signature
        """Return its page in the console."""
        repository = _of(operator, "repository") or _repository(getattr(operator, "image", None))
        return image_url(_of(operator, "region"), _of(operator, "registry_id"), split_host(repository)[1])


def _repository(image: object) -> str:
    """Return where an image lies; nothing for what a failed task left unrendered."""
    try:
        return Image.parse(image).repository  # type: ignore[arg-type]  # refused below when it is something else
    except InputError:
        return ""


def _of(operator: BaseOperator, attribute: str) -> str:
    value = getattr(operator, attribute, None)
    return value if isinstance(value, str) else ""


def _page(path: str, region: str, **query: str) -> str:
    where = {"rid": str(_REGION_IDS[region])} if region in _REGION_IDS else {}
    return f"{_CONSOLE}/{path}?{urllib.parse.urlencode({**where, **query})}"
