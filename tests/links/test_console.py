from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import BaseOperator

from tke_provider.links.console import ClusterLink, ImageLink, NodePoolLink, WorkloadLink

IDS = {
    "region": "ap-guangzhou",
    "cluster_id": "cls-1",
    "namespace": "shop",
    "service": "web",
    "node_pool_id": "np-1",
    "registry_id": "tcr-1",
    "image": {"repository": "shop.tencentcloudcr.com/prod/a/web", "digest": f"sha256:{'0' * 64}", "commit": ""},
}
LINKS = [ClusterLink(), WorkloadLink(), NodePoolLink(), ImageLink()]


def link_of(link, **ids) -> str:
    operator = BaseOperator(task_id="task")
    for name, value in ids.items():
        object.__setattr__(operator, name, value)
    return link.get_link(operator, ti_key=None)


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        (ClusterLink(), "tke2/cluster/sub/list/basic/info?rid=1&clusterId=cls-1"),
        (WorkloadLink(), "tke2/cluster/sub/detail/resource/deployment?rid=1&clusterId=cls-1&resourceIns=web&np=shop"),
        (NodePoolLink(), "tke2/cluster/sub/list/nodeManage/nodePool?rid=1&clusterId=cls-1"),
        (ImageLink(), "tcr/repository/details/tcr-1/prod/a%2Fweb/1"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_link_is_computed_from_the_ids_of_the_operator(link, expected):
    assert link_of(link, **IDS) == f"https://console.cloud.tencent.com/{expected}"


def test_a_workload_of_another_kind_has_its_own_page():
    assert "/resource/statefulset?" in link_of(WorkloadLink(), **IDS, kind="StatefulSet")


def test_a_build_links_to_the_repository_that_it_pushes_to():
    ids = {**IDS, "image": None, "repository": "shop.tencentcloudcr.com/prod/web"}
    assert link_of(ImageLink(), **ids).endswith("/tcr-1/prod/web/1")
    assert link_of(ImageLink(), **IDS | {"repository": "prod/web"}).endswith("/tcr-1/prod/web/1")


def test_an_image_that_was_never_rendered_has_no_link():
    assert link_of(ImageLink(), **IDS | {"image": "{{ ti.xcom_pull('build') }}"}) == ""


@pytest.mark.parametrize("link", LINKS, ids=lambda link: link.name)
def test_without_ids_there_is_no_link(link):
    assert link_of(link) == ""


def test_ids_that_are_no_text_are_no_ids():
    assert link_of(ClusterLink(), region=None, cluster_id=["cls-1"]) == ""


def test_a_region_that_is_newer_than_we_is_left_to_the_console():
    assert link_of(ClusterLink(), region="ap-newest", cluster_id="cls-1").endswith("/info?clusterId=cls-1")
