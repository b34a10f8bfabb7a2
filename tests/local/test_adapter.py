from __future__ import annotations

import base64

import pytest

from local import StackError
from local.adapter import server
from local.adapter.server import Adapter, objects, rules
from local.kubernetes.certificates import Authority
from local.part import Settings


def test_a_service_without_pods_leads_to_the_process_beside_the_cluster():
    authority = Authority("test").pair.certificate
    service, slice_, *apis = objects(authority)
    assert "selector" not in service["spec"]
    assert slice_["metadata"]["labels"]["kubernetes.io/service-name"] == service["metadata"]["name"]
    assert slice_["ports"][0]["port"] == service["spec"]["ports"][0]["targetPort"] == server.PORT
    assert {each["metadata"]["name"] for each in apis} == {
        "v1beta1.metrics.k8s.io",
        "v1beta1.custom.metrics.k8s.io",
        "v1beta2.custom.metrics.k8s.io",
    }
    assert all(base64.b64decode(each["spec"]["caBundle"]).decode() == authority for each in apis)


def test_bytes_of_the_application_go_by_their_name_in_tke():
    (rule,) = [each for each in rules()["rules"] if "http_response_bytes_total" in each["seriesQuery"]]
    assert rule["name"] == {"as": "k8s_pod_network_transmit_bytes_bw"}
    assert rule["metricsQuery"] == "sum by (<<.GroupBy>>) (rate(<<.Series>>{<<.LabelMatchers>>}[30s]))"


def test_an_api_server_that_passes_nothing_on_is_not_told_of_it(monkeypatch):
    asked = []
    monkeypatch.setattr(server, "kubectl", lambda *words: asked.append(words) or "{}")
    with pytest.raises(StackError, match="passes no questions on"):
        Adapter(Settings()).start()
    assert [words[0] for words in asked] == ["get"]
