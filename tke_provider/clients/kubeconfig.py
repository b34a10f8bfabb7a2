"""A kubeconfig, read into what a connection needs. It stays in memory: nothing is written to a disk."""

from __future__ import annotations

import base64
import binascii
import contextlib
import dataclasses
import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tke_provider.exceptions import CredentialError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

_WAY_OUT = "pass a kubeconfig as `kubectl config view --raw --flatten --minify` prints it"


@dataclasses.dataclass(frozen=True, slots=True)
class Access:
    """Where a cluster answers, and how to be let in. Its representation shows no secret.

    :param server: URL of the API server, without a trailing slash.
    :param namespace: the context's namespace; ``default`` where it names none.
    :param headers: headers that authenticate a request; empty where the client certificate does.
    :param tls: the TLS settings, client certificate included; ``False`` for plain HTTP.
    """

    server: str
    namespace: str
    headers: dict[str, str] = dataclasses.field(repr=False)
    tls: ssl.SSLContext | bool = dataclasses.field(repr=False)


def secrets_of(text: str) -> list[str]:
    """Return every value in a kubeconfig that must not be shown; none where it cannot be read."""
    import yaml

    try:
        users = yaml.safe_load(text).get("users") or []
        values = [
            (each.get("user") or {}).get(name) for each in users for name in ("token", "password", "client-key-data")
        ]
    except (yaml.YAMLError, AttributeError):
        return []
    return [value for value in values if isinstance(value, str) and value]


def parse(text: str) -> Access:
    """Read the current context of a kubeconfig.

    Certificates, tokens and passwords are understood, in line or as files. Credential plugins are not: they are
    programs of one workstation, which a worker does not have.

    :raises InputError: when it is no kubeconfig, or names a context, cluster or user that it does not have.
    :raises CredentialError: when its certificates cannot be used, or it logs in by a credential plugin.
    """
    import yaml

    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError:
        # The parser's own words quote the text, which holds keys; a chained error would show them in the task's log.
        raise InputError("The kubeconfig is not YAML", way_out=_WAY_OUT) from None
    if not isinstance(config, dict):
        raise InputError("The kubeconfig is no mapping", way_out=_WAY_OUT)
    context = _named(config, "context", config.get("current-context"))
    cluster = _named(config, "cluster", context.get("cluster"))
    user = _named(config, "user", context.get("user"))
    server = str(cluster.get("server") or "").rstrip("/")
    if not server.startswith(("https://", "http://")):
        raise InputError(f"The kubeconfig's server {server!r} is no URL", way_out=_WAY_OUT)
    tls = _tls(cluster, user) if server.startswith("https://") else False
    return Access(server, str(context.get("namespace") or "default"), _headers(user), tls)


def _named(config: dict[str, Any], kind: str, name: object) -> dict[str, Any]:
    for entry in config.get(f"{kind}s") or ():
        if isinstance(entry, dict) and entry.get("name") == name and isinstance(entry.get(kind), dict):
            return dict(entry[kind])
    raise InputError(f"The kubeconfig has no {kind} named {name!r}", way_out=_WAY_OUT)


def _headers(user: dict[str, Any]) -> dict[str, str]:
    if "exec" in user or "auth-provider" in user:
        raise CredentialError(
            "The kubeconfig logs in by a credential plugin, which a worker does not have",
            way_out="use a kubeconfig with a client certificate or a service account's token",
        )
    token = user.get("token")
    if not token and user.get("tokenFile"):
        token = _token(str(user["tokenFile"]))
    if token:
        return {"Authorization": f"Bearer {token}"}
    if user.get("username"):
        pair = f"{user['username']}:{user.get('password', '')}"
        return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
    return {}


def _token(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not text"
        raise CredentialError(
            f"The kubeconfig's tokenFile {path} cannot be read", cause=cause or str(error), way_out=_WAY_OUT
        ) from error


def _tls(cluster: dict[str, Any], user: dict[str, Any]) -> ssl.SSLContext:
    try:
        authority = _material(cluster, "certificate-authority")
        context = ssl.create_default_context(cadata=authority.decode() if authority else None)
        if cluster.get("insecure-skip-tls-verify"):
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        certificate, key = _material(user, "client-certificate"), _material(user, "client-key")
        if certificate and key:
            with _memory_file(certificate) as certificate_path, _memory_file(key) as key_path:
                context.load_cert_chain(certificate_path, key_path)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise CredentialError(
            "The certificates in the kubeconfig cannot be used", cause=str(error), way_out=_WAY_OUT
        ) from error
    return context


def _material(entry: dict[str, Any], name: str) -> bytes:
    if entry.get(f"{name}-data"):
        try:
            return base64.b64decode(str(entry[f"{name}-data"]), validate=False)
        except binascii.Error as error:
            raise ValueError(f"{name}-data is not base64") from error
    return Path(str(entry[name])).read_bytes() if entry.get(name) else b""


@contextlib.contextmanager
def _memory_file(content: bytes) -> Iterator[str]:
    """A path to content that is on no disk: OpenSSL reads client certificates from paths only."""
    descriptor = os.memfd_create("tke", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
