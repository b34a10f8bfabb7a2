from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import ssl
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tke_provider.clients.credentials import RenewedKey, StaticKey
from tke_provider.clients.tencent_cloud import Key, TencentCloudClient, split_endpoint
from tke_provider.clients.tencent_cloud_errors import Asked, error_of
from tke_provider.exceptions import (
    BusyError,
    CapacityError,
    CredentialError,
    ForbiddenError,
    InputError,
    NotFoundError,
    ThrottledError,
    TkeError,
    UnavailableError,
)

if TYPE_CHECKING:
    from pathlib import Path

READ = ("tke", "2018-05-25", "DescribeClusters", {"ClusterIds": ["cls-local000"]})
WRITE = ("tke", "2018-05-25", "ModifyClusterNodePool", {"ClusterId": "cls-local000", "NodePoolId": "np-x", "Name": "x"})


def client_of(cloud, *, secret_key=None, patience=30.0):
    credentials = StaticKey(cloud.secret_id, secret_key or cloud.secret_key)
    return TencentCloudClient(credentials, cloud.region, endpoint=cloud.endpoint, patience=patience)


@pytest.fixture
async def client(cloud):
    async with client_of(cloud) as client:
        yield client


@pytest.fixture
async def write(client):
    """A change that works, as the arguments of a call."""
    pools = await client.call("tke", "2018-05-25", "DescribeClusterNodePools", {"ClusterId": "cls-local000"})
    pool = pools["NodePoolSet"][0]["NodePoolId"]
    return (*WRITE[:3], {**WRITE[3], "NodePoolId": pool})


@contextlib.asynccontextmanager
async def client_of_a_server_that_answers(answer: bytes):
    """Every call gets the same bytes: what the emulator, being correct, never sends."""

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with TencentCloudClient(StaticKey("AKID", "key"), "ap-guangzhou", endpoint=endpoint) as client:
            yield client


def self_signed(folder: Path) -> ssl.SSLContext:
    """What a server proves itself with, that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.timezone.utc)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + dt.timedelta(hours=1))
    signed = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    pem = folder / "self-signed.pem"
    pem.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + signed)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


def http(body: bytes, kind: str = "application/json") -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s" % (kind.encode(), len(body), body)


async def test_a_call_returns_what_stands_in_response(client):
    answer = await client.call(*READ)
    assert answer["Clusters"][0]["ClusterId"] == "cls-local000"


async def test_a_further_client_reads_no_authorities(client, cloud, monkeypatch):
    await client.call(*READ)

    def read(**_: object) -> None:
        raise AssertionError("authorities are read again: a triggerer's loop stands still meanwhile")

    monkeypatch.setattr("ssl.create_default_context", read)  # how httpx reads them
    async with client_of(cloud) as another:
        assert (await another.call(*READ))["TotalCount"] == 1


async def test_a_cloud_that_cannot_prove_who_it_is_is_not_spoken_to(tmp_path, unused_tcp_port):
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", unused_tcp_port, ssl=self_signed(tmp_path)):
        endpoint = f"https://127.0.0.1:{unused_tcp_port}"
        async with TencentCloudClient(StaticKey("A", "k"), "ap-guangzhou", endpoint=endpoint, patience=0) as client:
            with pytest.raises(UnavailableError, match="CERTIFICATE_VERIFY_FAILED"):
                await client.call(*READ)


async def test_the_cloud_sees_which_program_calls(client, cloud):
    await client.call(*READ)
    assert "airflow-provider-tke" in cloud.calls("DescribeClusters")[0]["client"]


async def test_a_wrong_key_is_said_in_one_sentence_and_asked_once(cloud):
    async with client_of(cloud, secret_key="wrong") as client:
        with pytest.raises(CredentialError) as raised:
            await client.call(*READ)
    assert "tke:DescribeClusters of cls-local000 in ap-guangzhou: AuthFailure.SignatureFailure" in str(raised.value)
    assert str(raised.value).endswith("check SecretId and SecretKey of the connection.")
    assert "wrong" not in str(raised.value)
    assert len(cloud.calls("DescribeClusters")) == 1


async def test_a_throttled_change_is_repeated_because_it_was_not_made(client, cloud, write, caplog):
    caplog.set_level(logging.INFO)
    cloud.trouble("throttle", "ModifyClusterNodePool", count=2)
    await client.call(*write)
    assert [call["code"] for call in cloud.calls("ModifyClusterNodePool")] == ["RequestLimitExceeded"] * 2 + [""]
    assert "Again in" in caplog.text
    assert "RequestLimitExceeded" in caplog.text


async def test_patience_with_throttling_ends(cloud):
    cloud.trouble("throttle", count=None)
    async with client_of(cloud, patience=0.2) as client:
        with pytest.raises(ThrottledError, match="fewer tasks") as raised:
            await client.call(*READ)
    assert raised.value.retryable


@pytest.mark.parametrize(
    "trouble",
    [{"kind": "lost_answer"}, {"kind": "server_error"}, {"kind": "error", "code": "InternalError"}],
    ids=lambda trouble: trouble["kind"],
)
async def test_a_read_is_repeated(client, cloud, trouble):
    cloud.trouble(action="DescribeClusters", **trouble)
    assert (await client.call(*READ))["TotalCount"] == 1
    assert len(cloud.calls("DescribeClusters")) == 2


@pytest.mark.parametrize(
    "trouble",
    [{"kind": "lost_answer"}, {"kind": "server_error"}, {"kind": "error", "code": "InternalError"}],
    ids=lambda trouble: trouble["kind"],
)
async def test_a_change_without_an_answer_is_never_repeated(client, cloud, write, trouble):
    cloud.trouble(action="ModifyClusterNodePool", **trouble)
    with pytest.raises(UnavailableError) as raised:
        await client.call(*write)
    assert raised.value.retryable
    assert len(cloud.calls("ModifyClusterNodePool")) == 1


async def test_a_change_that_was_lost_says_that_it_may_have_been_made(client, cloud, write):
    cloud.trouble("lost_answer", "ModifyClusterNodePool")
    with pytest.raises(UnavailableError, match=r"no answer to tke:ModifyClusterNodePool of np-.* may have been made"):
        await client.call(*write)


async def test_an_internal_error_that_means_bad_input_is_not_repeated(client, cloud):
    cloud.trouble("error", "DescribeClusters", code="InternalError.Param", message="Namespace and Name must be set")
    with pytest.raises(InputError, match="Namespace and Name must be set"):
        await client.call(*READ)
    assert len(cloud.calls("DescribeClusters")) == 1


async def test_a_change_that_was_never_sent_is_repeated(cloud, unused_tcp_port, write, caplog):
    caplog.set_level(logging.INFO)
    credentials = StaticKey("AKID", "key")
    endpoint = f"http://127.0.0.1:{unused_tcp_port}"
    async with TencentCloudClient(credentials, "ap-guangzhou", endpoint=endpoint, patience=0.3) as client:
        with pytest.raises(UnavailableError, match="ConnectError"):
            await client.call(*write)
    assert "Again in" in caplog.text


class Renewed(RenewedKey):
    """A temporary key that another one follows; the first is not one that the cloud knows."""

    def __init__(self, *keys: Key) -> None:
        super().__init__()
        self.keys = list(keys)

    async def fetch(self) -> Key:
        return self.keys.pop(0)


async def test_a_refused_temporary_key_is_replaced_once(cloud, write):
    renewed = Renewed(Key("AKIDgone", "gone", "gone"), Key(cloud.secret_id, cloud.secret_key))
    async with TencentCloudClient(renewed, cloud.region, endpoint=cloud.endpoint) as client:
        await client.call(*write)
    assert [bool(call["code"]) for call in cloud.calls("ModifyClusterNodePool")] == [True, False]


async def test_an_expired_token_that_nobody_renews_is_said(client, cloud):
    cloud.trouble("expired_token")
    with pytest.raises(CredentialError, match="renew the temporary key"):
        await client.call(*READ)


async def test_an_error_is_seen_behind_any_content_type():
    body = b'{"Response": {"Error": {"Code": "ResourceInUse", "Message": "busy"}, "RequestId": "1"}}'
    async with client_of_a_server_that_answers(http(body, "application/json; charset=utf-8")) as client:
        with pytest.raises(BusyError, match=r"ResourceInUse: busy \(request 1\)"):
            await client.call(*WRITE)


@pytest.mark.parametrize("answer", [b"", http(b"<html>"), http(b'{"a": 1}'), b"HTTP/1.1 200 OK\r\n\r\n"])
async def test_an_answer_that_is_none_is_an_unavailable_cloud(answer):
    async with client_of_a_server_that_answers(answer) as client:
        with pytest.raises(UnavailableError, match="gave no answer to tke:ModifyClusterNodePool"):
            await client.call(*WRITE)


async def test_debug_logs_show_no_answer(client, caplog):
    caplog.set_level(logging.DEBUG)
    params = {"RoleArn": "qcs::cam::uin/100000000001:roleName/x", "RoleSessionName": "test"}
    answer = await client.call("sts", "2018-08-13", "AssumeRole", params)
    assert answer["Credentials"]["TmpSecretKey"] not in caplog.text
    assert answer["Credentials"]["Token"] not in caplog.text


def test_a_key_shows_only_its_id():
    assert repr(Key("AKID", "key", "token")) == "Key(secret_id='AKID', expires=inf)"


@pytest.mark.parametrize(
    "endpoint",
    ["127.0.0.1:80", "ftp://host", "https://host/path", "https://", "https://host?a=b", "http://[::1", "http://h:abc"],
)
def test_an_endpoint_is_scheme_and_host(endpoint):
    with pytest.raises(InputError, match=r"API endpoint '.*; write (it as scheme|http)://"):
        split_endpoint(endpoint)


@pytest.mark.parametrize(
    ("region", "endpoint", "expected"),
    [
        ("ap-guangzhou", "", ("https", None)),
        ("ap-shanghai-fsi", "", ("https", "tke.ap-shanghai-fsi.tencentcloudapi.com")),
        ("ap-guangzhou", "https://{service}.intl.tencentcloudapi.com", ("https", "tke.intl.tencentcloudapi.com")),
        ("ap-guangzhou", "http://127.0.0.1:8790", ("http", "127.0.0.1:8790")),
    ],
)
def test_the_endpoint_follows_region_and_override(region, endpoint, expected):
    assert TencentCloudClient(None, region, endpoint=endpoint)._address("tke") == expected


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("RequestLimitExceeded", ThrottledError),
        ("RequestLimitExceeded.UinLimitExceeded", ThrottledError),
        ("LimitExceeded.LimitedAccess", ThrottledError),
        ("InternalError.ExeTimeout", UnavailableError),
        ("FailedOperation.DataQueryFailed", UnavailableError),
        ("InternalError.ClusterNotFound", NotFoundError),
        ("InvalidParameter.ClusterNotFound", NotFoundError),
        ("FailedOperation.ClusterNotFound", NotFoundError),
        ("ResourceNotFound.ClusterNotFound", NotFoundError),
        ("ResourceNotFound", NotFoundError),
        ("InternalError.VpcRecodrNotFound", NotFoundError),
        ("OperationDenied", BusyError),
        ("ResourceUnavailable.ClusterState", BusyError),
        ("FailedOperation.ClusterState", BusyError),
        ("OperationDenied.ClusterInDeletionProtection", InputError),
        ("ResourceInUse.ExistRunningPod", InputError),
        ("UnauthorizedOperation", ForbiddenError),
        ("InternalError.CamNoAuth", ForbiddenError),
        ("AuthFailure.UnauthorizedOperation", ForbiddenError),
        ("AuthFailure.SecretIdNotFound", CredentialError),
        ("LimitExceeded", CapacityError),
        ("ResourcesSoldOut", CapacityError),
        ("InternalError.QuotaMaxNodLimit", CapacityError),
        ("FailedOperation.TradeInsufficientBalance", CapacityError),
        ("InvalidParameterValue.Size", InputError),
        ("MissingParameter", InputError),
        ("FailedOperation.Param", InputError),
        ("InternalError", UnavailableError),
        ("InternalError.UnexceptedInternal", UnavailableError),
        ("FailedOperation.ComponentClinetHttp", UnavailableError),
        ("FailedOperation.CvmDeletionProtection", TkeError),
        ("SomethingNew", TkeError),
    ],
)
def test_an_error_code_says_who_must_act(code, kind):
    assert type(error_of(Asked("tke", "X", "cls-1", "ap-guangzhou"), code, "m", "r")) is kind


def test_an_unknown_code_is_not_retried():
    assert not error_of(Asked("tke", "X", "", ""), "FailedOperation.Brand.New", "m", "r").retryable


def test_bad_input_that_means_gone_is_not_found():
    error = error_of(Asked("tke", "DeleteClusterNodePool", "np-1", ""), "InternalError.Param", "np-1 Not Found", "r")
    assert type(error) is NotFoundError


def test_a_missing_permission_names_the_action_to_allow():
    error = error_of(Asked("tke", "DescribeClusters", "", "ap-guangzhou"), "UnauthorizedOperation.CamNoAuth", "no", "r")
    assert "allow tke:DescribeClusters" in str(error)


async def test_first_calls_at_the_same_time_share_one_connection(client, monkeypatch):
    made, connect = [], client._connect
    monkeypatch.setattr(client, "_connect", lambda *which: made.append(which) or connect(*which))
    await asyncio.gather(*(client.call(*READ) for _ in range(5)))
    assert made == [READ[:2]]
