"""Who calls: TC3-HMAC-SHA256 verified against what the request's own ``SignedHeaders`` lists.

Source: [D cloud.tencent.com/document/api "签名方法 v3"], read also from the Python SDK's signer.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from tke_provider.emulator.errors import CloudError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tke_provider.emulator.models import Key

ALGORITHM = "TC3-HMAC-SHA256"
MAX_SKEW = 300
"""Seconds between the caller's clock and ours ("签名方法 v3": five minutes)."""

_AUTHORIZATION = re.compile(
    rf"{ALGORITHM} +Credential=(?P<id>[^/,\s]+)/(?P<date>\d{{4}}-\d\d-\d\d)/(?P<service>[a-z0-9]+)/tc3_request, *"
    r"SignedHeaders=(?P<headers>[a-z0-9;_-]+), *Signature=(?P<signature>[0-9a-f]{64})"
)


@dataclass(frozen=True)
class Scope:
    """The parts of an ``Authorization`` header."""

    secret_id: str
    date: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str


def parse(authorization: str) -> Scope:
    """Take an ``Authorization`` header apart.

    :raises CloudError: It is missing, or no TC3-HMAC-SHA256 header, or does not sign content type and host.
    """
    found = _AUTHORIZATION.fullmatch(authorization.strip())
    if not found:
        raise CloudError(
            "AuthFailure.InvalidAuthorization",
            f"The `Authorization` header is not `{ALGORITHM} Credential=…, SignedHeaders=…, Signature=…`.",
        )
    signed = tuple(found["headers"].split(";"))
    if not {"content-type", "host"} <= set(signed):
        raise CloudError("AuthFailure.InvalidAuthorization", "SignedHeaders must list content-type and host.")
    return Scope(found["id"], found["date"], found["service"], signed, found["signature"])


def sign(scope: Scope, secret_key: str, timestamp: str, headers: Mapping[str, str], body: bytes) -> str:
    """The signature that a POST of this body with these (lower-cased) headers must carry."""
    unsigned = headers.get("x-tc-content-sha256") == "UNSIGNED-PAYLOAD"
    payload = b"UNSIGNED-PAYLOAD" if unsigned else body
    lines = "".join(f"{name}:{headers.get(name, '').strip().lower()}\n" for name in scope.signed_headers)
    names = ";".join(scope.signed_headers)
    canonical = f"POST\n/\n\n{lines}\n{names}\n{hashlib.sha256(payload).hexdigest()}"
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"{ALGORITHM}\n{timestamp}\n{scope.date}/{scope.service}/tc3_request\n{hashed}"
    key = f"TC3{secret_key}".encode()
    for part in (scope.date, scope.service, "tc3_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


def verify(scope: Scope, keys: Mapping[str, Key], headers: Mapping[str, str], body: bytes, now: float) -> Key:
    """The key with which the request was signed.

    :raises CloudError: Its time, its key, its token or its signature is not right, in this order.
    """
    timestamp = headers.get("x-tc-timestamp", "")
    _check_time(scope, timestamp, now)
    key = keys.get(scope.secret_id)
    if key is None:
        raise CloudError("AuthFailure.SecretIdNotFound", "The SecretId is not found, please ensure that it is correct.")
    token = headers.get("x-tc-token", "")
    if not hmac.compare_digest(token.encode(), key.token.encode()):
        raise CloudError("AuthFailure.TokenFailure", "The token is missing or does not belong to the SecretId.")
    if key.expires and now >= key.expires:
        raise CloudError("AuthFailure.TokenFailure", "The token has expired.")
    if not hmac.compare_digest(scope.signature, sign(scope, key.secret_key, timestamp, headers, body)):
        # Message: as the cloud's own examples show it [D 1388/114322].
        raise CloudError(
            "AuthFailure.SignatureFailure",
            "The provided credentials could not be validated. Please check your signature is correct.",
        )
    return key


def _check_time(scope: Scope, timestamp: str, now: float) -> None:
    if not timestamp.isdecimal() or abs(now - int(timestamp)) > MAX_SKEW:
        raise CloudError(
            "AuthFailure.SignatureExpire",
            f"X-TC-Timestamp `{timestamp}` is more than {MAX_SKEW} seconds away from the server's {int(now)}.",
        )
    if datetime.fromtimestamp(int(timestamp), timezone.utc).strftime("%Y-%m-%d") != scope.date:
        raise CloudError(
            "AuthFailure.SignatureFailure", "The date in Credential is not the UTC date of X-TC-Timestamp."
        )
