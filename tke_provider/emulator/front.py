"""An API call's way in and out: signature, action, version, region, trouble, parameters, then the service.

The codes of its errors, and of those of ``validation``, are common to all services: documented [D 1388/114322], but for
those that begin with ``NoSuch``, ``Unknown`` and ``Unsupported`` [K].
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tke_provider.emulator import signature, trouble, validation
from tke_provider.emulator.audit import Record, redact
from tke_provider.emulator.cloud import Call, Cloud
from tke_provider.emulator.errors import CloudError, missing
from tke_provider.emulator.models import Json, Key
from tke_provider.emulator.services import SERVICES

if TYPE_CHECKING:
    from collections.abc import Mapping

# The one action that is called before there is a key: "Authorization must be SKIP" [M].
_UNSIGNED = ("sts", "2018-08-13", "AssumeRoleWithWebIdentity")
# "Region: not required", says the documentation of TCSS [D 1163/53165]; of STS [K].
_WITHOUT_REGION = ("sts", "tcss")
# The cloud's regions [K]. Which product is in which of them is not looked at.
REGIONS = frozenset(
    {
        *("ap-bangkok", "ap-beijing", "ap-beijing-fsi", "ap-chengdu", "ap-chongqing", "ap-guangzhou"),
        *("ap-hongkong", "ap-jakarta", "ap-mumbai", "ap-nanjing", "ap-osaka", "ap-seoul", "ap-shanghai"),
        *("ap-shanghai-fsi", "ap-shenzhen-fsi", "ap-singapore", "ap-taipei", "ap-tokyo", "eu-frankfurt"),
        *("na-ashburn", "na-siliconvalley", "na-toronto", "sa-saopaulo"),
    }
)


@dataclass(frozen=True)
class Answer:
    """What goes back.

    :param delay: Seconds to wait before it does.
    :param hang_up: Close the connection instead.
    """

    body: bytes
    status: int = 200
    delay: float = 0
    hang_up: bool = False


def answer(cloud: Cloud, method: str, headers: Mapping[str, str], body: bytes) -> Answer:
    """Perform one request and answer it.

    :param method: The HTTP method.
    :param headers: By lower-cased name.
    """
    with cloud.lock:
        record = Record(
            time=cloud.clock.now(),
            version=headers.get("x-tc-version", ""),
            action=headers.get("x-tc-action", ""),
            region=headers.get("x-tc-region", ""),
            client=headers.get("x-tc-requestclient", ""),
            request_id=str(uuid.uuid4()),
        )
        try:
            content = _perform(cloud, method, headers, body, record)
        except CloudError as e:
            record.code, record.message = e.code, e.message
            content = {"Error": {"Code": e.code, "Message": e.message}}
        except trouble.ServerError as e:
            record.code = str(e)
            cloud.audit.add(record)
            return Answer(b"Service Unavailable", status=e.status)
        # The write is on disk before anybody hears of it, and before its answer can get lost.
        met = trouble.take(cloud.state.troubles, trouble.AFTERWARDS, record.action)
        record.trouble = record.trouble or (met.kind if met else "")
        cloud.save()
        cloud.audit.add(record)
    envelope = json.dumps({"Response": {**content, "RequestId": record.request_id}}).encode()
    if met is None:
        return Answer(envelope)
    return Answer(envelope, delay=met.seconds, hang_up=met.kind == "lost_answer")


def _perform(cloud: Cloud, method: str, headers: Mapping[str, str], body: bytes, record: Record) -> Json:
    if method != "POST":
        raise CloudError("UnsupportedProtocol", f"This emulator takes POST with a JSON body, not {method}.")
    record.service, key = _authenticate(cloud, headers, body, record)
    service, version, action = record.service, record.version, record.action
    if not action:
        raise missing("X-TC-Action")
    validation.check_action(service, version, action)
    given = _parse(body)
    record.request = redact(given)
    _check_region(service, record.region)
    met = trouble.take(cloud.state.troubles, trouble.INSTEAD, action)
    if met:
        record.trouble = met.kind
        trouble.strike(met)
    cloud.rate.check((record.who, record.region, action), cloud.clock.now())
    params = validation.check_parameters(service, version, action, given)
    handler = SERVICES.get((service, version), {}).get(action)
    if handler is None:
        known = ", ".join(sorted(SERVICES.get((service, version), {}))) or "no action of this version"
        raise CloudError("UnsupportedOperation", f"The emulator does not know {action}; it knows {known}.")
    return handler(Call(cloud, action, record.region, key, params))


def _authenticate(cloud: Cloud, headers: Mapping[str, str], body: bytes, record: Record) -> tuple[str, Key]:
    authorization = headers.get("authorization", "")
    if authorization == "SKIP" and ("sts", record.version, record.action) == _UNSIGNED:
        record.who = "anonymous"
        return "sts", Key("", arn="", type="", user_id="")
    scope = signature.parse(authorization)
    record.who = scope.secret_id
    record.service = scope.service
    key = signature.verify(scope, cloud.state.keys, headers, body, cloud.clock.now())
    record.who = key.arn
    return scope.service, key


def _check_region(service: str, region: str) -> None:
    if service in _WITHOUT_REGION:
        return
    if not region:
        raise missing("X-TC-Region")
    if region not in REGIONS:
        raise CloudError("UnsupportedRegion", f"The region `{region}` is not supported.")


def _parse(body: bytes) -> Json:
    try:
        given = json.loads(body or b"{}")
    except ValueError as e:
        raise CloudError("InvalidRequest", f"The request body is not JSON: {e}") from e
    if not isinstance(given, dict):
        raise CloudError("InvalidRequest", "The request body is not a JSON object.")
    return given
