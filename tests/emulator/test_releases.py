"""TKE's release API, asked by Tencent's SDK and answered by the real helm on the real cluster."""

from __future__ import annotations

import json
import os
import threading
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.emulator.conftest import CLUSTER, serving
from tke_provider.emulator.cloud import Cloud, Settings
from tke_provider.emulator.models import PendingRelease

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.emulator.conftest import Emulator


@pytest.fixture
def helm(stack, tmp_path: Path) -> Iterator[Emulator]:
    from local.helm.program import program

    kubeconfig = Path(os.environ["TKE_TEST_KUBECONFIG"])
    settings = Settings(tmp_path / "state.json", temporary=True, kubeconfig=kubeconfig, helm=str(program()))
    with serving(settings) as emulator:
        yield emulator


@pytest.fixture
def where(helm) -> Iterator[dict[str, str]]:
    """A namespace of its own, and a release in it."""
    from kubernetes import client, config

    name = f"cloud-helm-{uuid.uuid4().hex[:8]}"
    with config.new_client_from_config(os.environ["TKE_TEST_KUBECONFIG"]) as connection:
        api = client.CoreV1Api(connection)
        api.create_namespace({"metadata": {"name": name}})
        try:
            yield {"ClusterId": CLUSTER, "Namespace": name, "Name": "web"}
        finally:
            api.delete_namespace(name)


def ended(helm: Emulator, answer: dict[str, Any]) -> dict[str, Any]:
    """The change that was asked for, once helm is through with it; empty when it went well."""
    for thread in threading.enumerate():
        if thread.name.startswith("helm "):
            thread.join(60)
    found = helm.tke("DescribeClusterPendingReleases", ClusterId=CLUSTER)["ReleaseSet"]
    return next((each for each in found if each["ID"] == answer["Release"]["ID"]), {})


def release(helm: Emulator, where: dict[str, str]) -> dict[str, Any] | None:
    found = helm.tke(
        "DescribeClusterReleases", ClusterId=CLUSTER, Namespace=where["Namespace"], ReleaseName=where["Name"]
    )["ReleaseSet"]
    return found[0] if found else None


def values(**given: object) -> dict[str, str]:
    return {"RawOriginal": json.dumps(given), "ValuesType": "json"}


@pytest.mark.stack
def test_a_release_is_installed_upgraded_rolled_back_and_removed(helm, where, charts, refused):
    first = {"Chart": charts.add("web", "1.0.0", greeting="hello"), "ChartFrom": "other"}
    begun = helm.tke("CreateClusterRelease", **where, **first)
    assert begun["Release"]["Status"] == "pending-install"
    assert ended(helm, begun) == {}
    assert {"Revision": "1", "Status": "deployed", "ChartName": "web"}.items() <= release(helm, where).items()

    charts.add("web", "1.1.0-rc.1")
    second = {"Chart": "web", "ChartRepoURL": charts.url, "ChartVersion": "1.1.0-rc.1", "ChartFrom": "other"}
    assert ended(helm, helm.tke("UpgradeClusterRelease", **where, **second, Values=values(greeting="ni hao"))) == {}
    details = helm.tke("DescribeClusterReleaseDetails", **where)["Release"]
    assert (details["Version"], details["ChartVersion"]) == (2, "1.1.0-rc.1")
    assert json.loads(details["Config"]) == {"greeting": "ni hao"}
    assert 'greeting: "ni hao"' in details["Manifest"]

    assert ended(helm, helm.tke("RollbackClusterRelease", **where, Revision=1)) == {}
    history = helm.tke("DescribeClusterReleaseHistory", **where)["ReleaseHistorySet"]
    assert [(each["Revision"], each["Status"]) for each in history] == [
        (1, "superseded"),
        (2, "superseded"),
        (3, "deployed"),
    ]
    assert history[-1]["Description"] == "Rollback to 1"

    assert ended(helm, helm.tke("UninstallClusterRelease", **where)) == {}
    assert release(helm, where) is None
    with refused("FailedOperation.MarketReleaseOperation", "release: not found"):
        helm.tke("DescribeClusterReleaseDetails", **where)


@pytest.mark.stack
def test_what_failed_stays_pending_with_helms_words_until_it_is_cancelled(helm, where, charts):
    chart = {"Chart": charts.add("web", "1.0.0"), "ChartFrom": "other"}
    failed = ended(helm, helm.tke("CreateClusterRelease", **where, **chart))
    assert failed["Status"] == "failed"
    assert failed["Condition"].startswith("install release error: ")
    assert "a greeting is needed" in failed["Condition"]
    assert helm.tke("CancelClusterRelease", ID=failed["ID"])["Release"]["ID"] == failed["ID"]
    assert helm.tke("DescribeClusterPendingReleases", ClusterId=CLUSTER)["ReleaseSet"] == []


@pytest.mark.stack
def test_a_chart_that_wants_a_login_gets_it_and_a_redirect_is_not_followed(helm, where, charts):
    url = charts.add("web", "1.0.0", greeting="hello")
    charts.login = ("user", "chart-password")
    refused = ended(helm, helm.tke("CreateClusterRelease", **where, Chart=url, ChartFrom="other"))
    assert "401" in refused["Condition"]
    login = {"Username": "user", "Password": "chart-password"}
    assert ended(helm, helm.tke("CreateClusterRelease", **where, Chart=url, ChartFrom="other", **login)) == {}
    named = {"Chart": "web", "ChartRepoURL": charts.url, "ChartFrom": "other"}
    assert ended(helm, helm.tke("UpgradeClusterRelease", **where, **named, **login)) == {}
    moved = {"Chart": f"{charts.url}/moved.tgz", "ChartFrom": "other"}
    assert "302" in ended(helm, helm.tke("UpgradeClusterRelease", **where, **moved, **login))["Condition"]
    assert "chart-password" not in helm.cloud.settings.state.read_text()
    assert "chart-password" not in helm.cloud.audit.path.read_text()


@pytest.mark.stack
def test_every_answer_has_only_the_published_fields(helm, where, charts):
    from tests.emulator.test_app import strange
    from tke_provider.emulator import validation

    chart = {"Chart": charts.add("web", "1.0.0", greeting="hello"), "ChartFrom": "other"}
    answers = {"CreateClusterRelease": helm.tke("CreateClusterRelease", **where, **chart)}
    ended(helm, answers["CreateClusterRelease"])
    for action in ("DescribeClusterReleaseDetails", "DescribeClusterReleaseHistory"):
        answers[action] = helm.tke(action, **where)
    for action in ("DescribeClusterReleases", "DescribeClusterPendingReleases"):
        answers[action] = helm.tke(action, ClusterId=CLUSTER)
    described = validation.metadata("tke", "2018-05-25")
    for action, answer in answers.items():
        assert strange(described["objects"], described["actions"][action]["output"], answer) == [], action


@pytest.mark.stack
def test_tccli_sees_what_helm_did(helm, where, charts, tmp_path):
    from tests.emulator.test_clients import tccli_for

    chart = {"Chart": charts.add("web", "1.0.0", greeting="hello"), "ChartFrom": "other"}
    ended(helm, helm.tke("CreateClusterRelease", **where, **chart))
    named = ("--ClusterId", CLUSTER, "--Namespace", where["Namespace"])
    shown = tccli_for(helm, tmp_path)("tke", "DescribeClusterReleases", *named)
    assert json.loads(shown.stdout)["ReleaseSet"][0]["Status"] == "deployed", shown


@pytest.mark.parametrize(
    ("given", "code", "message"),
    [
        ({}, "FailedOperation.MarketReleaseOperation", "runs no helm: it stands in front of no cluster"),
        ({"Name": "Web"}, "InvalidParameter.Param", "not a valid release name"),
        ({"ChartFrom": "tke-market"}, "FailedOperation.MarketReleaseOperation", "no application market"),
        ({"Chart": "web"}, "InvalidParameter.Param", "URL of a *.tgz"),
    ],
)
def test_what_cannot_be_installed_is_refused_with_a_documented_error(emulator, refused, given, code, message):
    chart = {"Chart": "http://127.0.0.1:1/web-1.0.0.tgz", "ChartFrom": "other"}
    with refused(code, message):
        emulator.tke("CreateClusterRelease", ClusterId=CLUSTER, Namespace="a", **{"Name": "web", **chart, **given})


def test_a_change_that_the_emulators_end_cut_short_has_failed(tmp_path):
    settings = Settings(tmp_path / "state.json")
    cloud = Cloud(settings)
    cut = PendingRelease.of("upgrade", "shop", "web", 0)
    cloud.state.clusters[CLUSTER].pending[cut.id] = cut
    cloud.save()
    (found,) = Cloud(settings).state.clusters[CLUSTER].pending.values()
    assert (found.state, found.condition) == ("failed", "the emulator ended while helm was at work")
