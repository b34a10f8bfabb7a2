from __future__ import annotations

import json

from tencentcloud.common.exception import TencentCloudSDKException

from tke_provider.emulator.audit import redact


def test_every_call_is_noted_with_who_what_and_outcome(emulator):
    emulator.desire(2)
    try:
        emulator.desire(99)
    except TencentCloudSDKException as e:
        request_id = e.requestId
    calls = emulator.admin("GET", "audit?action=ModifyNodePoolDesiredCapacityAboutAsg")["calls"]
    assert [(call["request"]["DesiredCapacity"], call["code"]) for call in calls] == [
        (2, ""),
        (99, "InvalidParameterValue.Size"),
    ]
    assert calls[1]["request_id"] == request_id
    assert {call["who"] for call in calls} == {"qcs::cam:100000000001:uin/100000000001"}
    assert {call["region"] for call in calls} == {"ap-guangzhou"}
    failed = emulator.admin("GET", "audit?code=InvalidParameterValue.Size")["calls"]
    assert failed == calls[1:]


def test_a_trouble_is_noted_with_the_call_it_met(emulator, refused):
    emulator.admin("POST", "trouble", kind="throttle", action="DescribeClusters")
    with refused("RequestLimitExceeded"):
        emulator.tke("DescribeClusters", ClusterIds=["cls-1"])
    (call,) = emulator.admin("GET", "audit")["calls"]
    assert (call["trouble"], call["code"], call["request"]) == (
        "throttle",
        "RequestLimitExceeded",
        {"ClusterIds": ["cls-1"]},
    )


def test_the_log_lies_beside_the_state_as_json_lines(emulator):
    emulator.tke("DescribeClusters")
    assert emulator.cloud.audit.path.name == "state.audit.jsonl"
    last = emulator.cloud.audit.path.read_text().splitlines()[-1]
    assert json.loads(last)["action"] == "DescribeClusters"


def test_secrets_are_left_out():
    request = {"WebIdentityToken": "a", "Native": {"Password": "b", "KeyIds": ["c"]}, "Tags": [{"Key": "d"}]}
    assert redact(request) == {
        "WebIdentityToken": "***",
        "Native": {"Password": "***", "KeyIds": "***"},
        "Tags": [{"Key": "d"}],
    }
