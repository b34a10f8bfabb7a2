from __future__ import annotations

import json
import re

import pytest

from tests.emulator.conftest import CLUSTER, REGULAR
from tke_provider.emulator import validation
from tke_provider.emulator.errors import CloudError
from tke_provider.emulator.services import SERVICES

# These published examples write numbers and booleans as strings, against their own types.
SLOPPY = {"AssumeRoleWithWebIdentity", "CreateNamespace", "DescribeImages"}


def published_examples():
    for (service, version), actions in SERVICES.items():
        folder = validation.services_folder() / {"as": "autoscaling"}.get(service, service)
        text = (folder / f"v{version.replace('-', '')}" / "examples.json").read_text(encoding="utf-8")
        examples = json.loads(text)["actions"]
        for action in actions:
            for example in examples.get(action, []):
                body = re.search(r"\n\n(\{.*\})\s*$", example["input"], re.DOTALL)
                if body and action not in SLOPPY:
                    yield service, version, action, json.loads(body[1])


def test_every_published_example_is_a_valid_request():
    examples = list(published_examples())
    assert len(examples) > 30
    for service, version, action, body in examples:
        validation.check_action(service, version, action)
        validation.check_parameters(service, version, action, body)


def test_every_emulated_action_is_a_published_one():
    for (service, version), actions in SERVICES.items():
        for action in actions:
            validation.check_action(service, version, action)


@pytest.mark.parametrize(
    ("params", "code", "message"),
    [
        ({"ClusterId": CLUSTER, "NodePoolId": REGULAR}, "MissingParameter", "`DesiredCapacity`"),
        ({"ClusterId": CLUSTER, "NodePoolId": None, "DesiredCapacity": 1}, "MissingParameter", "`NodePoolId`"),
        ({"ClusterId": CLUSTER, "NodePoolId": REGULAR, "DesiredCapacity": "1"}, "InvalidParameter", "Capacity`"),
        ({"ClusterId": CLUSTER, "NodePoolId": REGULAR, "DesiredCapacity": True}, "InvalidParameter", "Capacity`"),
        ({"ClusterId": CLUSTER, "NodePoolId": REGULAR, "DesiredCapacity": 1, "X": 1}, "UnknownParameter", "`X`"),
    ],
)
def test_missing_mistyped_and_unknown_parameters_are_named(emulator, refused, params, code, message):
    with refused(code, message):
        emulator.tke("ModifyNodePoolDesiredCapacityAboutAsg", **params)


def test_a_wrong_type_deep_inside_is_named_by_its_path():
    params = {"ClusterId": CLUSTER, "Filters": [{"Name": "NodePoolsId", "Values": ["np-1", 2]}]}
    with pytest.raises(CloudError, match=r"`Filters\.0\.Values\.1`"):
        validation.check_parameters("tke", "2018-05-25", "DescribeClusterNodePools", params)


def test_a_negative_number_where_none_can_be_is_refused():
    params = {"RoleArn": "x", "RoleSessionName": "y", "DurationSeconds": -1}
    with pytest.raises(CloudError, match="InvalidParameter"):
        validation.check_parameters("sts", "2018-08-13", "AssumeRole", params)


def test_what_is_not_there_is_refused_by_its_kind(emulator, refused):
    from tencentcloud.common.common_client import CommonClient

    def call(service, version, action):
        emulator.client(lambda *args: CommonClient(service, version, *args)).call_json(action, {})

    with refused("NoSuchProduct"):
        call("nosuchthing", "2018-05-25", "DescribeClusters")
    with refused("NoSuchVersion"):
        call("tke", "2001-01-01", "DescribeClusters")
    with refused("InvalidAction"):
        call("tke", "2018-05-25", "DescribeNothing")
    with refused("FailedOperation.DeprecatedAPI"):
        call("tke", "2018-05-25", "DescribeClusterSecurity")
    with refused("UnsupportedOperation", "it knows AcquireClusterAdminRole"):
        call("tke", "2018-05-25", "DescribeVersions")


def test_an_unknown_region_is_refused(emulator, refused):
    emulator = emulator.as_(emulator.credential.secret_id, emulator.credential.secret_key)
    emulator.region = "ap-atlantis"
    with refused("UnsupportedRegion"):
        emulator.tke("DescribeClusters")


def test_without_tccli_the_program_says_what_to_install(monkeypatch, capsys):
    from tke_provider.emulator.__main__ import main

    monkeypatch.setattr(validation.importlib.util, "find_spec", lambda name: None)
    validation.services_folder.cache_clear()
    try:
        assert main(["--port", "0"]) == 2
    finally:
        validation.services_folder.cache_clear()
    assert "pip install 'airflow-provider-tke[emulator]'" in capsys.readouterr().err
