from __future__ import annotations

import json
import logging

import pytest
from airflow.providers.common.compat.sdk import Connection

from tke_provider.exceptions import CredentialError, InputError, NotFoundError
from tke_provider.hooks.tencent_cloud import TencentCloudHook, TkeConnection, _credentials


def read(**fields) -> TkeConnection:
    """Read a connection of these fields; those that are not its own are extras."""
    own = {name: fields.pop(name, default) for name, default in (("login", "AKID"), ("password", "key"))}
    return TkeConnection.read(Connection(conn_id="tke", conn_type="tke", **own, extra=json.dumps(fields)))


async def test_a_client_is_made_from_the_connection(cloud, monkeypatch):
    cloud.connect(monkeypatch)
    async with await TencentCloudHook().client() as client:
        answer = await client.call("tke", "2018-05-25", "DescribeClusters", {})
    assert answer["TotalCount"] == 1


async def test_the_task_may_name_another_region(cloud, monkeypatch):
    cloud.connect(monkeypatch)
    async with await TencentCloudHook(region="ap-shanghai").client() as client:
        await client.call("tke", "2018-05-25", "DescribeClusters", {})
    assert cloud.calls("DescribeClusters")[0]["region"] == "ap-shanghai"


async def test_a_missing_connection_is_named():
    with pytest.raises(NotFoundError, match="no connection nowhere; add one of type Tencent Kubernetes Engine"):
        await TencentCloudHook("nowhere").client()


async def test_a_missing_region_is_said(cloud, monkeypatch):
    cloud.connect(monkeypatch, region="")
    with pytest.raises(InputError, match="names no region"):
        await TencentCloudHook().client()


async def test_a_role_is_shared_by_all_hooks_of_a_process(cloud, monkeypatch):
    cloud.connect(monkeypatch, credential_source="role", role_arn="qcs::cam::uin/100000000001:roleName/airflow")
    for _ in range(2):
        async with await TencentCloudHook().client() as client:
            await client.call("tke", "2018-05-25", "DescribeClusters", {})
    assert len(cloud.calls("AssumeRole")) == 1


async def test_neither_key_nor_temporary_key_is_logged(cloud, monkeypatch):
    from airflow.sdk.log import redact

    cloud.connect(monkeypatch, credential_source="role", role_arn="qcs::cam::uin/100000000001:roleName/masked")
    hook = TencentCloudHook()
    async with await hook.client() as client:
        await client.call("tke", "2018-05-25", "DescribeClusters", {})
    key = await _credentials(await hook.connection()).key()
    for secret in (cloud.secret_key, key.secret_key, key.token):
        assert redact(f"it is {secret}") == "it is ***"


async def test_a_key_is_masked_as_it_is_used_not_only_as_it_was_pasted(cloud, monkeypatch):
    from airflow.sdk.log import redact

    cloud.connect(monkeypatch, password="pasted-with-a-line-end\n", sts_token=" pasted-with-a-blank")
    await TencentCloudHook().connection()
    assert redact("<pasted-with-a-line-end>") == "<***>"
    assert redact("<pasted-with-a-blank>") == "<***>"


async def test_a_log_at_debug_shows_no_secret(cloud, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    cloud.connect(monkeypatch)
    connection = await TencentCloudHook().connection()
    logging.getLogger("user").info("%r", connection)
    assert cloud.secret_key not in caplog.text


def test_extras_of_a_connection_uri_are_text():
    assert read(use_external_endpoint="true").use_external_endpoint is True
    assert read(use_external_endpoint="False").use_external_endpoint is False


def test_empty_fields_of_the_form_count_as_left_out():
    assert read(region=None, role_arn="", credential_source=None) == read()


def test_pasted_blanks_are_removed():
    assert (read(login=" AKID\n", region=" ap-guangzhou ").secret_id, read(password="key ").secret_key) == (
        "AKID",
        "key",
    )


def test_an_unknown_extra_is_named_with_the_known_ones():
    with pytest.raises(InputError, match=r"unknown extras: regoin; remove them.*region, registry_id"):
        read(regoin="ap-guangzhou")


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({"credential_source": "magic"}, "choose one of static, role, cvm, pod_identity"),
        ({"credential_source": "role"}, "fill in the role to assume"),
        ({"role_arn": "qcs::cam::uin/1:roleName/x"}, "choose the credential source role"),
        ({"use_external_endpoint": "perhaps"}, "write true or false"),
    ],
)
def test_contradictions_are_refused_before_any_call(extra, expected):
    with pytest.raises(InputError, match=expected):
        read(**extra)


@pytest.mark.parametrize("source", ["static", "role"])
def test_a_key_must_be_there_where_it_is_needed(source):
    role = {"role_arn": "qcs::cam::uin/1:roleName/x"} if source == "role" else {}
    with pytest.raises(CredentialError, match="lacks SecretId or SecretKey"):
        read(password="", credential_source=source, **role).check_key()


def test_a_kubeconfig_of_ones_own_needs_no_key():
    assert read(login="", password="", kubeconfig_secret="apiVersion: v1").kubeconfig_secret == "apiVersion: v1"


@pytest.mark.parametrize("source", ["cvm", "pod_identity"])
def test_machines_and_pods_need_no_key(source):
    read(login="", password="", credential_source=source).check_key()


@pytest.mark.parametrize(
    ("source", "expected"),
    [("static", "StaticKey"), ("role", "AssumedRole"), ("cvm", "CvmRole"), ("pod_identity", "PodIdentity")],
)
def test_the_credential_source_decides_where_keys_come_from(source, expected):
    role = {"role_arn": "qcs::cam::uin/1:roleName/x"} if source == "role" else {}
    assert type(_credentials(read(credential_source=source, **role))).__name__ == expected


def test_a_connection_shows_no_secret():
    shown = repr(read(password="key-secret", sts_token="token-secret", kubeconfig_secret="config-secret"))
    assert "-secret" not in shown


@pytest.mark.parametrize(
    ("kind", "extra", "problem"),
    [
        ("tke", '["ap-guangzhou"]', "The extra of connection mine is no JSON object"),
        ("tke", "region=s3cret", "The extra of connection mine is not JSON"),
        ("docker", "{}", "Connection mine is of type docker; name a connection of type tke"),
    ],
)
def test_a_connection_that_is_none_of_ours_is_refused(kind, extra, problem):
    with pytest.raises(InputError, match=problem) as caught:
        TkeConnection.read(Connection(conn_id="mine", conn_type=kind, extra=extra))
    assert "s3cret" not in str(caught.value)
