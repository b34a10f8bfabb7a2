from __future__ import annotations

import pytest

from tke_provider.domain.autoscalers import assess, manifest, metrics_of
from tke_provider.domain.manifests import ObjectRef
from tke_provider.domain.scaling import Bounds
from tke_provider.domain.verdicts import State
from tke_provider.exceptions import InputError

HPA = ObjectRef("autoscaling/v2", "HorizontalPodAutoscaler", "production", "web")
WEB = ObjectRef("apps/v1", "Deployment", "production", "web")


def hpa(minimum: int = 2, **metrics: object) -> dict:
    return manifest(HPA, WEB, Bounds(minimum, 10), metrics)


def test_an_hpa_looks_at_cpu_memory_and_network():
    made = hpa(cpu=60, memory="70%", network_out="2M")
    assert made["spec"]["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    assert (made["spec"]["minReplicas"], made["spec"]["maxReplicas"]) == (2, 10)
    cpu, memory, network = made["spec"]["metrics"]
    assert cpu == {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}},
    }
    assert memory["resource"]["target"]["averageUtilization"] == 70
    assert network == {
        "type": "Pods",
        "pods": {
            "metric": {"name": "k8s_pod_network_transmit_bytes_bw"},
            "target": {"type": "AverageValue", "averageValue": "2M"},
        },
    }


def test_any_other_metric_goes_by_its_name_in_tke():
    (metric,) = hpa(k8s_pod_rate_cpu_core_used_request=80.0)["spec"]["metrics"]
    assert metric["pods"]["metric"]["name"] == "k8s_pod_rate_cpu_core_used_request"
    assert metric["pods"]["target"]["averageValue"] == "80"


def test_what_it_looks_at_is_read_back():
    assert metrics_of(hpa(cpu=60, network_in="500k")) == {"cpu": "60%", "k8s_pod_network_receive_bytes_bw": "500k"}


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ({}, "would look at nothing"),
        ({"cpu": "much"}, "The target for cpu is 'much'"),
        ({"cpu": 0.6}, "whole number of per cent"),
        ({"network_out": 0}, "more than zero"),
        ({"network_out": "fast"}, "more than zero"),
        ({"network_out": -1}, "more than zero"),
        ({"Network": 1}, "'Network' is no metric; name cpu, memory, network_in, network_out"),
    ],
)
def test_a_metric_that_makes_no_sense_is_refused(metrics, words):
    with pytest.raises(InputError, match=words):
        hpa(**metrics)


def test_an_hpa_does_not_go_down_to_nothing():
    with pytest.raises(InputError, match="cannot go down to 0"):
        hpa(0, cpu=60)


def seen(*names: str, **conditions: tuple[str, str]) -> dict:
    told = {"AbleToScale": ("True", ""), "ScalingActive": ("True", ""), **conditions}
    listed = [{"type": kind, "status": status, "reason": "R", "message": text} for kind, (status, text) in told.items()]
    current = [{"type": "Pods", "pods": {"metric": {"name": name}}} for name in names]
    return {**hpa(network_in=1, network_out=1), "status": {"conditions": listed, "currentMetrics": current}}


BOTH = ("k8s_pod_network_receive_bytes_bw", "k8s_pod_network_transmit_bytes_bw")


@pytest.mark.parametrize(
    ("live", "state", "words"),
    [
        (hpa(network_in=1), State.PENDING, "was not looked after yet"),
        (seen(*BOTH), State.PASSED, "sees k8s_pod_network_receive_bytes_bw, k8s_pod_network_transmit_bytes_bw"),
        (seen(BOTH[0]), State.PENDING, "has no value of k8s_pod_network_transmit_bytes_bw yet"),
        (seen(*BOTH, ScalingActive=("False", "no metrics")), State.PENDING, "does not scale: R: no metrics"),
        (seen(*BOTH, AbleToScale=("False", "no such thing")), State.PENDING, "does not scale: R: no such thing"),
    ],
)
def test_an_hpa_works_once_it_sees_all_its_metrics(live, state, words):
    verdict = assess(live)
    assert verdict.state is state
    assert words in verdict.reason
