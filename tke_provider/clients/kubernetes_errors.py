"""What a refusal of the Kubernetes API means, and for whom.

Status codes: https://kubernetes.io/docs/reference/using-api/api-concepts/ and the ``Status`` object's ``code``.
"""

from __future__ import annotations

import ssl
from http import HTTPStatus

from tke_provider.exceptions import (
    BusyError,
    CapacityError,
    ConflictError,
    CredentialError,
    ForbiddenError,
    InputError,
    NotFoundError,
    OwnedError,
    ThrottledError,
    TkeError,
    UnavailableError,
)

# By what the cluster says, before its status code: the same code covers cases for different people.
_BY_WORDS = {
    "exceeded quota": (CapacityError, "has no quota left to {request}", "raise the quota, or ask for less"),
    "being terminated": (BusyError, "is deleting the namespace, so it did not {request}", "wait until it is gone"),
    "disruption budget": (BusyError, "does not {request} yet", "wait until enough other pods are healthy"),
    "admission webhook": (InputError, "refuses to {request}", "change what the webhook objects to"),
    "Apply failed with": (OwnedError, "did not {request}", "leave these fields to them, or take them over by force"),
    # Server-side apply answers 500 to a field that the schema does not have.
    "failed to create typed patch object": (InputError, "refuses to {request}", "correct the manifest"),
}
_BY_STATUS = {
    HTTPStatus.UNAUTHORIZED: (
        CredentialError,
        "does not know who is asking",
        "check the connection's credentials, or renew the kubeconfig",
    ),
    HTTPStatus.FORBIDDEN: (
        ForbiddenError,
        "does not allow to {request}",
        "grant the verb {verb} on {resource} to the connection's user",
    ),
    HTTPStatus.NOT_FOUND: (NotFoundError, "finds nothing to {request}", "check namespace and name"),
    HTTPStatus.CONFLICT: (
        ConflictError,
        "did not {request}",
        "look again: somebody else created or changed it meanwhile",
    ),
    HTTPStatus.GONE: (UnavailableError, "has moved on, so it did not {request}", "begin again"),
    HTTPStatus.TOO_MANY_REQUESTS: (ThrottledError, "asks for fewer calls, so it did not {request}", "wait a little"),
}


def refusal(code: int, words: str, cluster: str, verb: str, resource: str, request: str) -> TkeError:
    """Return the error that a refusal is to us.

    :param code: the HTTP status.
    :param words: what the cluster said.
    :param verb: the verb of RBAC that was needed.
    :param resource: the resource it was needed on.
    :param request: the whole request in words, as in ``patch deployments web in namespace test``.
    """
    kind, problem, way_out = _meaning(code, words)
    return kind(
        f"Cluster {cluster} {problem.format(request=request)}",
        cause=words or f"HTTP {code}",
        way_out=way_out.format(verb=verb, resource=resource),
    )


def _meaning(code: int, words: str) -> tuple[type[TkeError], str, str]:
    for phrase, meaning in _BY_WORDS.items():
        # A webhook that cannot be reached is no answer about the object.
        if phrase in words and "failed calling webhook" not in words:
            return meaning
    if code in _BY_STATUS:
        return _BY_STATUS[HTTPStatus(code)]
    if code < HTTPStatus.INTERNAL_SERVER_ERROR:
        return InputError, "refuses to {request}", "correct the manifest"
    return UnavailableError, "did not {request}", "try again"


def untrusted(error: BaseException | None) -> bool:
    """Whether the server's certificate was refused, which httpx tells only by what it was raised from."""
    while error and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error is not None
