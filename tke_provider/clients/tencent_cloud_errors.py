"""The error codes of Tencent Cloud, sorted by who must act.

The prefix of a code does not tell: ``InternalError.Param`` is a bad argument, ``InternalError.ClusterNotFound`` a
wrong id, and few codes of that prefix pass by themselves. So whole codes are matched. They are those that the API
metadata and the SDK publish per action.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from tke_provider.exceptions import (
    BusyError,
    CapacityError,
    ConflictError,
    CredentialError,
    ForbiddenError,
    InputError,
    NotFoundError,
    ThrottledError,
    TkeError,
    UnavailableError,
)


class Asked(NamedTuple):
    """What was asked for, to name it in an error."""

    service: str
    action: str
    subject: str
    region: str

    def __str__(self) -> str:
        where = f" in {self.region}" if self.region else ""
        return f"{self.service}:{self.action}{f' of {self.subject}' if self.subject else ''}{where}"


class _Class(NamedTuple):
    codes: re.Pattern[str]
    kind: type[TkeError]
    way_out: str


def _class(codes: str, kind: type[TkeError], way_out: str) -> _Class:
    return _Class(re.compile(codes), kind, way_out)


# The first match counts. {asked.…} is filled in.
_CLASSES = (
    _class(
        r"RequestLimitExceeded(\..+)?|LimitExceeded\.LimitedAccess",
        ThrottledError,
        "let fewer tasks run at the same time; a retry helps",
    ),
    _class(
        r"UnauthorizedOperation(\..+)?|AuthFailure\.UnauthorizedOperation|\w+\.(CamNoAuth|NoRBACPermissions)"
        r"|\w+\.(ErrUnauthorized|ErrorTcrUnauthorized)|Ip(InBlack|NotInWhite)list"
        r"|\w+\.(AccountUserNotAuthenticated|MarketGetAuthFailed)",
        ForbiddenError,
        "allow {asked.service}:{asked.action} on it to the identity of the connection, in Cloud Access Management",
    ),
    _class(
        r"AuthFailure\.SignatureExpire",
        CredentialError,
        "set this machine's clock, which differs from the cloud's by more than 5 minutes",
    ),
    _class(
        r"AuthFailure\.TokenFailure",
        CredentialError,
        "renew the temporary key of the connection, which has expired, or use a credential source that renews itself",
    ),
    _class(r"AuthFailure(\..+)?|InvalidCredential", CredentialError, "check SecretId and SecretKey of the connection"),
    _class(
        # "Recodr" is how the cloud spells it.
        r"ResourceNotFound(\..+)?|\w+\.\w*(NotFound|NotExists?|Recodr?NotFound|ErrNotExist)",
        NotFoundError,
        "check the id, and that it lies in the region {asked.region}",
    ),
    _class(
        r"OperationDenied|ResourceInUse|ResourceBusy|ResourceUnavailable(\..+)?|\w+\.(ClusterState|TaskAlreadyRunning)"
        r"|\w+\.ErrorConflict",
        BusyError,
        "wait until the change that is under way has ended; a retry helps",
    ),
    _class(
        r"\w+\.ErrorTcrResourceConflict",
        ConflictError,
        "use what is there, or another name",
    ),
    _class(
        r"LimitExceeded(\..+)?|Resource(Insufficient|sSoldOut)(\..+)?|\w+\.(Quota\w+|QuotaOverLimit|ErrorOverLimit)"
        r"|\w+\.(Trade)?InsufficientBalance",
        CapacityError,
        "raise the quota, top up the account, or use another instance type or zone, as the code says",
    ),
    _class(
        r"InternalError(\.(UnexpectedInternal|UnexceptedInternal|Unknown|ErrorTcrInternal|ExeTimeout|Depends\w+))?"
        r"|FailedOperation\.(DataQueryFailed|DbQueryFailed|DimQueryRequestFailed)"
        r"|\w+\.(Db|DbError|DbAffectivedRows|Component(Client|Clinet)Http|KubeClientConnection|UnexpectedError)"
        r"|ServiceUnavailable|\w+\.MarketInternalServerError",
        UnavailableError,
        "wait; a retry helps",
    ),
    _class(
        r"InvalidParameter(Value)?(\..+)?|MissingParameter(\..+)?|UnknownParameter(\..+)?|UnsupportedOperation(\..+)?"
        r"|\w+\.(Param|WebIdentityTokenError)|InvalidAction|InvalidRequest|NoSuch(Product|Version)|UnsupportedRegion"
        r"|OperationDenied\..+|ResourceInUse\..+"
        r"|\w+\.(Cidr\w+|InvalidPrivateNetworkCidr|EmptyClusterNotSupport|ClusterForbiddenToDelete)",
        InputError,
        "correct what the cause names",
    ),
)


def error_of(asked: Asked, code: str, message: str, request_id: str) -> TkeError:
    """Return our error for one of the cloud's.

    An unknown code becomes a plain :class:`TkeError`, on which no retry is made: guessing that it passes by itself
    would repeat what may have worked.
    """
    kind, way_out = _classify(code, message)
    return kind(
        f"Tencent Cloud refused {asked}",
        cause=f"{code}: {message.rstrip('. ')} (request {request_id})",
        way_out=way_out.format(asked=asked),
    )


def _classify(code: str, message: str) -> tuple[type[TkeError], str]:
    # DeleteClusterNodePool says so of a pool that is gone.
    if code == "InternalError.Param" and "not found" in message.lower():
        code = "ResourceNotFound"
    for each in _CLASSES:
        if each.codes.fullmatch(code):
            return each.kind, each.way_out
    return TkeError, "look the code up in the documentation of {asked.service}:{asked.action}"
