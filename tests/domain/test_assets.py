from __future__ import annotations

import dataclasses
import datetime as dt

import pytest
from airflow.providers.common.compat.sdk import Asset

from tke_provider.domain.assets import release_event, release_uri
from tke_provider.domain.releases import Record

WORKLOAD = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "shop"},
    "spec": {"template": {"spec": {"containers": [{"name": "web", "image": "new"}]}}},
}
NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.timezone.utc)


def test_the_uri_names_cluster_namespace_and_service():
    assert release_uri("cls-ABC", "production", "shop") == "tke://cls-abc/production/shop"


@pytest.mark.parametrize("written", ["tke://cls-1/production/shop", "TKE://CLS-1/production/shop/"])
def test_airflow_brings_a_uri_into_its_one_form(written):
    assert Asset(written).uri == "tke://cls-1/production/shop"


@pytest.mark.parametrize(
    "written", ["tke://cls-1/shop", "tke://cls-1/a/b/c", "tke:///production/shop", "tke://c/a/b?x=1"]
)
def test_a_uri_that_names_no_service_is_refused_with_the_form(written):
    with pytest.raises(ValueError, match="write tke://<cluster>/<namespace>/<service>"):
        Asset(written)


def test_the_event_tells_who_what_how_long_and_the_way_back():
    record = Record(
        service="shop", namespace="production", op="dag.task.1", revision=7, commit="c" * 40, images={"shop": "new"},
        previous={"shop/shop": "old"}, who="ann", approver="bob", checks=("12 tests passed",),
        diff={"counts": {"created": 1, "changed": 2, "unchanged": 0}, "objects": [], "markdown": "-  key: old"},
        started=NOON, finished=NOON + dt.timedelta(seconds=42),
    )  # fmt: skip
    event = release_event(record, "cls-1")
    assert (event["who"], event["approver"], event["commit"]) == ("ann", "bob", "c" * 40)
    assert (event["images"], event["way_back"]) == ({"shop": "new"}, {"shop/shop": "old"})
    assert event["changes"] == "1 created, 2 changed"
    given_none = dataclasses.replace(record, images={}, applied=(WORKLOAD,))
    assert release_event(given_none, "cls-1")["images"] == {"shop/web": "new"}
    assert (event["duration"], event["checks"], event["revision"]) == (42.0, ["12 tests passed"], 7)
