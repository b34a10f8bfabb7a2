from __future__ import annotations

import time

import httpx
import pytest

from tests.emulator.conftest import SECRET_ID, SECRET_KEY
from tke_provider.emulator import signature
from tke_provider.emulator.errors import CloudError
from tke_provider.emulator.models import Key

# The published example of the cloud's documentation ("签名方法 v3").
DOC_ID, DOC_KEY, DOC_TIME = "AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE", "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE", 1551113065
DOC_BODY = b'{"Limit": 1, "Filters": [{"Values": ["\\u672a\\u547d\\u540d"], "Name": "instance-name"}]}'
DOC_HEADERS = {
    "content-type": "application/json; charset=utf-8",
    "host": "cvm.tencentcloudapi.com",
    "x-tc-timestamp": str(DOC_TIME),
    "x-tc-action": "DescribeInstances",
}


def authorization(signed: str, value: str, date: str = "2019-02-25") -> str:
    return f"TC3-HMAC-SHA256 Credential={DOC_ID}/{date}/cvm/tc3_request, SignedHeaders={signed}, Signature={value}"


@pytest.mark.parametrize(
    ("signed", "value"),
    [
        ("content-type;host", "72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168"),
        ("content-type;host;x-tc-action", "644be983de9a8a3f00db8eadaba61467c3b429e2215758ba897b738ca469fd26"),
    ],
)
def test_the_documented_signature_is_accepted_whatever_headers_it_signs(signed, value):
    keys = {DOC_ID: Key(DOC_KEY, arn="doc", type="CAMUser", user_id="1")}
    scope = signature.parse(authorization(signed, value))
    assert signature.verify(scope, keys, DOC_HEADERS, DOC_BODY, DOC_TIME + 299).arn == "doc"


@pytest.mark.parametrize("seconds", [-301, 301])
def test_a_clock_that_is_more_than_five_minutes_off_is_refused(seconds):
    scope = signature.parse(authorization("content-type;host", "0" * 64))
    with pytest.raises(CloudError) as caught:
        signature.verify(scope, {}, DOC_HEADERS, DOC_BODY, DOC_TIME + seconds)
    assert caught.value.code == "AuthFailure.SignatureExpire"


def test_a_credential_of_another_day_is_refused():
    scope = signature.parse(authorization("content-type;host", "0" * 64, date="2019-02-24"))
    with pytest.raises(CloudError) as caught:
        signature.verify(scope, {}, DOC_HEADERS, DOC_BODY, DOC_TIME)
    assert caught.value.code == "AuthFailure.SignatureFailure"


@pytest.mark.parametrize("header", ["", "SKIP", "Bearer x", authorization("host", "0" * 64)])
def test_anything_but_a_full_authorization_header_is_refused(header):
    with pytest.raises(CloudError) as caught:
        signature.parse(header)
    assert caught.value.code == "AuthFailure.InvalidAuthorization"


def test_a_wrong_secret_key_is_refused(emulator, refused):
    with refused("AuthFailure.SignatureFailure"):
        emulator.as_(SECRET_ID, "wrong").sts("GetCallerIdentity")


def test_an_unknown_secret_id_is_refused(emulator, refused):
    with refused("AuthFailure.SecretIdNotFound"):
        emulator.as_("AKIDnobody", SECRET_KEY).sts("GetCallerIdentity")


def test_a_changed_body_does_not_fit_its_signature(emulator):
    timestamp = str(int(time.time()))
    headers = {
        "content-type": "application/json",
        "host": emulator.address,
        "x-tc-timestamp": timestamp,
        "x-tc-action": "GetCallerIdentity",
        "x-tc-version": "2018-08-13",
    }
    scope = signature.Scope(SECRET_ID, time.strftime("%Y-%m-%d", time.gmtime()), "sts", ("content-type", "host"), "")
    signed = signature.sign(scope, SECRET_KEY, timestamp, headers, b"{}")
    headers["authorization"] = (
        f"TC3-HMAC-SHA256 Credential={SECRET_ID}/{scope.date}/sts/tc3_request, "
        f"SignedHeaders=content-type;host, Signature={signed}"
    )
    with httpx.Client(trust_env=False) as client:
        good = client.post(emulator.url + "/?ignored=1", content=b"{}", headers=headers).json()["Response"]
        bad = client.post(emulator.url, content=b"{ }", headers=headers).json()["Response"]
    assert good["UserId"] == "100000000001"
    assert bad["Error"]["Code"] == "AuthFailure.SignatureFailure"


def test_an_unsigned_payload_may_be_anything(emulator):
    from tencentcloud.common.profile.client_profile import ClientProfile
    from tencentcloud.common.profile.http_profile import HttpProfile
    from tencentcloud.sts.v20180813.sts_client import StsClient

    profile = ClientProfile(httpProfile=HttpProfile(protocol="http", endpoint=emulator.address))
    profile.unsignedPayload = True
    client = StsClient(emulator.credential, emulator.region, profile)
    assert client.call_json("GetCallerIdentity", {})["Response"]["Type"] == "CAMUser"
