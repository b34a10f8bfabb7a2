"""STS 2018-08-13: who am I, and temporary keys of a role."""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from tke_provider.emulator.errors import CloudError
from tke_provider.emulator.models import Json, Key
from tke_provider.emulator.state import new_secret

if TYPE_CHECKING:
    from tke_provider.emulator.cloud import Call, Cloud, Handler

_ROLE = re.compile(r"qcs::cam::uin/(?P<uin>\d+):role(?:Name)?/(?P<role>[\w.@/-]+)")
# Default and bound of DurationSeconds [M].
_DEFAULT_SECONDS = 7200
_MOST_SECONDS = 43200
# An expired key answers "token expired" for a day, then it is unknown: the emulator's own choice.
_REMEMBERED = 86400


def get_caller_identity(call: Call) -> Json:
    """Who signed. ``Type`` and ``Arn`` are those of the published examples: one of a user, one of a role [M].

    ``PrincipalId`` of a role is the account that asked for its key [M]; here that is always the one there is.
    """
    uin = call.cloud.state.uin
    return {
        "Arn": call.key.arn,
        "AccountId": uin,
        "UserId": call.key.user_id,
        "PrincipalId": uin,
        "Type": call.key.type,
    }


def assume_role(call: Call) -> Json:
    """A temporary key of a role of this account; every role name is taken to exist."""
    return _issue(call)


def assume_role_with_web_identity(call: Call) -> Json:
    """The same for the bearer of an OIDC token. Its signature is not checked, its expiry is."""
    expires = _expiry(call.params["WebIdentityToken"])
    if expires is not None and expires <= call.cloud.clock.now():
        # Code: [G].
        raise CloudError("InvalidParameter.WebIdentityTokenError", "The web identity token has expired.")
    return _issue(call)


def _issue(call: Call) -> Json:
    cloud, params = call.cloud, call.params
    role = _role(cloud, params["RoleArn"])
    seconds = params.get("DurationSeconds", _DEFAULT_SECONDS)
    if not 0 < seconds <= _MOST_SECONDS:
        # The bound is in [M], the code in [G].
        raise CloudError(
            "InvalidParameter.OverTimeError", f"DurationSeconds must be 1 to {_MOST_SECONDS}, not {seconds}."
        )
    now = cloud.clock.now()
    _forget_old_keys(cloud, now)
    secret_id, secret_key = new_secret()
    expires = int(now) + seconds
    uin = cloud.state.uin
    cloud.state.keys[secret_id] = Key(
        secret_key,
        # As in the published example of GetCallerIdentity [M], with the role's name where the cloud has its number.
        arn=f"qcs::sts:{uin}:assumed-role/{role}",
        type="CAMRole",
        user_id=f"{role}:{params['RoleSessionName']}",
        token=secrets.token_urlsafe(48),
        expires=expires,
    )
    return {
        "Credentials": {
            "Token": cloud.state.keys[secret_id].token,
            "TmpSecretId": secret_id,
            "TmpSecretKey": secret_key,
        },
        "ExpiredTime": expires,
        "Expiration": datetime.fromtimestamp(expires, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _role(cloud: Cloud, arn: str) -> str:
    found = _ROLE.fullmatch(arn)
    if not found:
        raise CloudError("InvalidParameter.ParamError", f"RoleArn `{arn}` is not qcs::cam::uin/<uin>:roleName/<name>.")
    if found["uin"] != cloud.state.uin:
        raise CloudError("ResourceNotFound.RoleNotFound", f"There is no role {arn}; this account is {cloud.state.uin}.")
    return found["role"]


def _forget_old_keys(cloud: Cloud, now: float) -> None:
    keys = cloud.state.keys
    for secret_id in [each for each, key in keys.items() if key.expires and key.expires + _REMEMBERED < now]:
        del keys[secret_id]


def _expiry(token: str) -> float | None:
    """``exp`` of a JWT; None for anything that has none."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"])
    except (IndexError, KeyError, TypeError, ValueError, binascii.Error):
        return None


ACTIONS: dict[str, Handler] = {
    "AssumeRole": assume_role,
    "AssumeRoleWithWebIdentity": assume_role_with_web_identity,
    "GetCallerIdentity": get_caller_identity,
}
