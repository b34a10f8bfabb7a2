from __future__ import annotations

import asyncio
import contextlib
import json
import time

import pytest

from tke_provider.clients.credentials import AssumedRole, CvmRole, PodIdentity, RenewedKey, StaticKey
from tke_provider.clients.tencent_cloud import Key, TencentCloudClient
from tke_provider.exceptions import CredentialError, InputError, NotFoundError, UnavailableError

ROLE = "qcs::cam::uin/{}:roleName/airflow"


@pytest.fixture
def account(cloud):
    """The number of the emulated account."""
    import httpx

    return httpx.get(f"{cloud.endpoint}/_emulator").json()["account"]


async def who_am_i(credentials, cloud):
    async with TencentCloudClient(credentials, cloud.region, endpoint=cloud.endpoint) as client:
        return await client.call("sts", "2018-08-13", "GetCallerIdentity", {})


class Fetched(RenewedKey):
    """A temporary key whose source is a list; an exception in it is raised."""

    def __init__(self, *answers, announce=None):
        super().__init__(announce)
        self.answers = list(answers)

    async def fetch(self):
        await asyncio.sleep(0)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def lasting(seconds: float, name: str = "AKID") -> Key:
    return Key(name, "key", "token", time.time() + seconds)


async def test_a_role_is_assumed_once_and_used_for_many_calls(cloud, account):
    role = AssumedRole(StaticKey(cloud.secret_id, cloud.secret_key), ROLE.format(account), endpoint=cloud.endpoint)
    assert (await who_am_i(role, cloud))["UserId"] == "airflow:airflow-provider-tke"
    await who_am_i(role, cloud)
    assert len(cloud.calls("AssumeRole")) == 1


async def test_an_expired_token_is_replaced_by_taking_the_role_again(cloud, account):
    role = AssumedRole(StaticKey(cloud.secret_id, cloud.secret_key), ROLE.format(account), endpoint=cloud.endpoint)
    await role.key()
    cloud.trouble("expired_token", "GetCallerIdentity")
    assert (await who_am_i(role, cloud))["UserId"] == "airflow:airflow-provider-tke"
    assert len(cloud.calls("AssumeRole")) == 2


async def test_a_role_that_does_not_exist_is_named(cloud):
    role = AssumedRole(StaticKey(cloud.secret_id, cloud.secret_key), ROLE.format(1), endpoint=cloud.endpoint)
    with pytest.raises(NotFoundError, match="sts:AssumeRole of qcs::cam::uin/1:roleName/airflow"):
        await role.key()


async def test_a_key_is_renewed_five_minutes_before_it_ends():
    fetched = Fetched(lasting(299), lasting(7200, "second"))
    await fetched.key()
    assert (await fetched.key()).secret_id == "second"
    assert (await fetched.key()).secret_id == "second"


async def test_a_hiccup_while_the_old_key_works_stops_nobody():
    fetched = Fetched(lasting(299), UnavailableError("no answer", way_out="wait"))
    first = await fetched.key()
    assert await fetched.key() == first


async def test_a_hiccup_after_the_old_key_ended_is_raised():
    fetched = Fetched(lasting(-1), UnavailableError("no answer", way_out="wait"))
    await fetched.key()
    with pytest.raises(UnavailableError):
        await fetched.key()


async def test_a_refusal_is_raised_though_the_old_key_works():
    fetched = Fetched(lasting(299), CredentialError("the role is gone", way_out="bind it"))
    await fetched.key()
    with pytest.raises(CredentialError):
        await fetched.key()


async def test_a_refusal_of_the_key_before_drops_no_newer_one():
    fetched = Fetched(lasting(7200, "first"), lasting(7200, "second"))
    first = await fetched.key()
    assert fetched.forget(first), "another one can be had"
    second = await fetched.key()
    assert fetched.forget(first), "the one that is there already"
    assert await fetched.key() is second


async def test_calls_that_are_refused_together_renew_their_key_once(cloud):
    fetched = Fetched(
        Key("AKIDgone", "key", "token", time.time() + 7200), Key(cloud.secret_id, cloud.secret_key, "", 2e9)
    )
    answers = await asyncio.gather(*(who_am_i(fetched, cloud) for _ in range(5)))
    assert len(answers) == 5
    assert fetched.answers == []


async def test_many_at_once_share_one_renewal():
    fetched = Fetched(lasting(7200))
    keys = await asyncio.gather(*(fetched.key() for _ in range(20)))
    assert len(set(keys)) == 1


def test_a_key_serves_one_event_loop_after_another():
    fetched = Fetched(lasting(7200))
    assert asyncio.run(fetched.key()) == asyncio.run(fetched.key())


async def test_a_new_key_is_announced_before_anybody_uses_it():
    announced = []

    async def announce(key):
        announced.append(key)

    fetched = Fetched(lasting(7200), announce=announce)
    assert [await fetched.key()] == announced
    await fetched.key()
    assert len(announced) == 1


@contextlib.asynccontextmanager
async def metadata_service(answers: dict[str, str]):
    """What a virtual machine of the cloud asks, by path; nothing else in the stack plays it."""

    async def serve(reader, writer):
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        body = answers.get(path.removeprefix("/latest/meta-data/cam/security-credentials/"))
        status = "404 Not Found" if body is None else "200 OK"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body or '')}\r\n\r\n{body or ''}".encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


KEY = {"Code": "Success", "TmpSecretId": "AKIDcvm", "TmpSecretKey": "key", "Token": "token", "ExpiredTime": 2e9}


async def test_a_machine_uses_the_role_that_is_bound_to_it():
    async with metadata_service({"": "airflow", "airflow": json.dumps(KEY)}) as address:
        assert await CvmRole(metadata=address).key() == Key("AKIDcvm", "key", "token", 2e9)


@pytest.mark.parametrize("answers", [{}, {"": ""}, {"": "airflow", "airflow": '{"Code": "Failed"}'}])
async def test_a_machine_without_a_role_is_told_to_bind_one(answers):
    async with metadata_service(answers) as address:
        with pytest.raises(CredentialError, match="bind a role"):
            await CvmRole(metadata=address).key()


async def test_elsewhere_than_on_a_machine_of_the_cloud_the_wait_is_short(unused_tcp_port):
    with pytest.raises(UnavailableError, match=r"metadata service.*choose another credential source"):
        await CvmRole(metadata=f"http://127.0.0.1:{unused_tcp_port}").key()


async def test_a_metadata_service_that_hangs_is_given_up():
    hung_up = asyncio.Event()

    async def say_nothing(reader, writer):
        await reader.read()
        writer.close()
        await writer.wait_closed()
        hung_up.set()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(UnavailableError, match="ReadTimeout"):
            await CvmRole(metadata=address, timeout=0.5).key()
        await hung_up.wait()


@pytest.fixture
def pod(tmp_path, account):
    """The environment that the cluster's webhook gives to a pod."""
    token = tmp_path / "token"
    token.write_text("web.identity.token\n")
    return {
        "TKE_REGION": "ap-guangzhou",
        "TKE_PROVIDER_ID": "cls-local000",
        "TKE_WEB_IDENTITY_TOKEN_FILE": str(token),
        "TKE_ROLE_ARN": ROLE.format(account),
    }


async def test_a_pod_uses_the_role_of_its_service_account(cloud, pod):
    identity = PodIdentity(environment=pod, endpoint=cloud.endpoint)
    assert (await who_am_i(identity, cloud))["UserId"] == "airflow:airflow-provider-tke"
    (call,) = cloud.calls("AssumeRoleWithWebIdentity")
    assert call["request"]["ProviderId"] == "cls-local000"


async def test_a_process_without_pod_identity_is_told_what_is_missing(pod):
    del pod["TKE_ROLE_ARN"]
    with pytest.raises(CredentialError, match="TKE_ROLE_ARN not set; bind a role"):
        await PodIdentity(environment=pod).key()


async def test_a_token_that_cannot_be_read_is_named(pod):
    pod["TKE_WEB_IDENTITY_TOKEN_FILE"] = "/nowhere/token"
    with pytest.raises(CredentialError, match="/nowhere/token: No such file"):
        await PodIdentity(environment=pod).key()


async def test_an_expired_pod_token_is_an_input_error_not_a_wait(cloud, pod, tmp_path):
    import base64

    claims = base64.urlsafe_b64encode(json.dumps({"exp": 1}).encode()).decode().rstrip("=")
    (tmp_path / "token").write_text(f"e30.{claims}.sig")
    with pytest.raises(InputError, match="expired"):
        await PodIdentity(environment=pod, endpoint=cloud.endpoint).key()
