"""Who delivers pushes: how each host signs a delivery, and how it writes down what was pushed.

A sender is a pair of pure functions. ``authentic`` says whether a delivery comes from who knows the secret; ``read``
returns what was pushed, or why there is nothing to build. Where a host signs the body, the signature is over its raw
bytes; where it does not (GitLab without a signing token, Gitee, Gongfeng, TCR), whoever learns the token can write any
body, which is why a run never gets an address that a delivery claims.

Formats: GitHub docs.github.com/webhooks, GitLab docs.gitlab.com/user/project/integrations/webhook_events, its
signatures gitlab.com/gitlab-org/gitlab/-/merge_requests/230944 and www.standardwebhooks.com, Gitea
docs.gitea.com/usage/webhooks, Gitee help.gitee.com/webhook, CODING open.coding.net/webhooks and its Jenkins plugin
(coding-webhook-plugin), Gongfeng git.tencent.com/help/menu/manual/git_webhooks.html, TCR cloud.tencent.com/document/
product/1141/40187.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote

from tke_provider.domain.pushes import Push
from tke_provider.exceptions import InputError

Headers = Mapping[str, str]
"""With names in lower case."""
Payload = dict[str, Any]

HOUR = 3600.0
MINUTES = 300.0
_NO_SECONDS = 1e11  # in the year 5138
_BRANCH = re.compile(r"(?:refs/heads/|head/)?(.+)", re.DOTALL)
_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_MOST_IMAGES = 20
"""Of one delivery: each starts a run."""


class Sender(NamedTuple):
    """One kind of host.

    :param authentic: from secret, headers, body and the time in seconds: does the sender know the secret?
    :param read: from headers and payload: what was pushed, or why there is nothing to build.
    """

    authentic: Callable[[str, Headers, bytes, float], bool]
    read: Callable[[Headers, Payload], tuple[Push, ...] | str]


def payload_of(headers: Headers, body: bytes) -> Payload:
    """Return the JSON object of a delivery, sent as such or in the field ``payload`` of a form.

    :raises InputError: when it is neither. The body is not quoted: it may hold a token.
    """
    way_out = "let the host send JSON"
    try:
        text = body.decode("utf-8")
        if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            text = parse_qs(text, strict_parsing=True, max_num_fields=16)["payload"][0]
        payload = json.loads(text)
    except (ValueError, KeyError, RecursionError) as error:
        raise InputError("The delivery is no JSON", cause=type(error).__name__, way_out=way_out) from None
    if not isinstance(payload, dict):
        raise InputError("The delivery is no JSON object", way_out=way_out)
    return payload


def is_authentic(kind: str, secret: str, headers: Headers, body: bytes, now: float) -> bool:
    """Whether a delivery comes from who knows the secret; nobody knows an empty one.

    :param kind: one of ``SENDERS``.
    :param now: seconds since 1970; deliveries that say when they were sent are refused when that is long ago.
    """
    return bool(secret.strip()) and SENDERS[kind].authentic(secret, headers, body, now)


# --- who sends ------------------------------------------------------------------------------------------------------


def equal(one: str, other: str) -> bool:
    """Compare in a time that tells nothing about where they differ."""
    return hmac.compare_digest(one.encode(errors="surrogatepass"), other.encode(errors="surrogatepass"))


def _mac(secret: str, message: bytes, algorithm: str = "sha256") -> str:
    return hmac.new(secret.encode(), message, algorithm).hexdigest()


def _signed(header: str, prefix: str = "sha256=", algorithm: str = "sha256") -> Callable[..., bool]:
    def authentic(secret: str, headers: Headers, body: bytes, now: float) -> bool:  # noqa: ARG001
        return equal(headers.get(header, ""), prefix + _mac(secret, body, algorithm))

    return authentic


def _token(*names: str) -> Callable[..., bool]:
    def authentic(secret: str, headers: Headers, body: bytes, now: float) -> bool:  # noqa: ARG001
        # Servers read headers as latin-1; secrets are UTF-8.
        known = secret.encode().decode("latin-1")
        return any(equal(headers.get(name, ""), known) for name in names)

    return authentic


def _fresh(at: str, now: float, within: float) -> bool:
    """Whether a time, in seconds or milliseconds as hosts differ, is about now."""
    try:
        sent = float(at)
    except ValueError:
        return False
    return abs(now - (sent / 1000 if sent > _NO_SECONDS else sent)) <= within


def _gitee(secret: str, headers: Headers, body: bytes, now: float) -> bool:  # noqa: ARG001  # the body is not signed
    token, at = headers.get("x-gitee-token", ""), headers.get("x-gitee-timestamp", "")
    mac = hmac.new(secret.encode(), f"{at}\n{secret}".encode(), hashlib.sha256).digest()
    # The documentation encodes the signature for URLs, the host does not.
    known = equal(token, secret) or equal(unquote(token), base64.b64encode(mac).decode())
    return known and _fresh(at, now, HOUR)


def _coding(secret: str, headers: Headers, body: bytes, now: float) -> bool:
    if "x-coding-signature" in headers:
        return _signed("x-coding-signature", "sha1=", "sha1")(secret, headers, body, now)
    if "x-coding-delivery" in headers:  # version 2, which signs whenever the hook has a token
        return False
    try:  # version 1 signs nothing and carries the token
        return equal(_text(payload_of(headers, body), "token"), secret)
    except InputError:
        return False


def _gitlab(secret: str, headers: Headers, body: bytes, now: float) -> bool:
    if "webhook-signature" in headers:  # its signing token; without one it sends its secret token
        return _standard(secret, headers, body, now)
    return _token("x-gitlab-token")(secret, headers, body, now)


def _standard(secret: str, headers: Headers, body: bytes, now: float) -> bool:
    """Whether a signature of the Standard Webhooks holds; there may be several, while a secret is replaced."""
    number, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    message = f"{number}.{at}.".encode(errors="surrogatepass") + body
    known = "v1," + base64.b64encode(hmac.new(_standard_key(secret), message, hashlib.sha256).digest()).decode()
    return any(equal(each, known) for each in headers["webhook-signature"].split()) and _fresh(at, now, MINUTES)


def _standard_key(secret: str) -> bytes:
    """Return the key that a secret of that form spells in base64; one that spells none is the key itself."""
    try:
        spelt = base64.b64decode(secret.removeprefix("whsec_"), validate=True) if secret.startswith("whsec_") else b""
    except ValueError:
        spelt = b""
    return spelt or secret.encode()


def _gongfeng(secret: str, headers: Headers, body: bytes, now: float) -> bool:
    at = headers.get("x-send-timestamp", "")
    return _token("x-token", "x-gitlab-token")(secret, headers, body, now) and (not at or _fresh(at, now, HOUR))


def _generic(secret: str, headers: Headers, body: bytes, now: float) -> bool:
    at = headers.get("x-timestamp", "")
    mac = _mac(secret, at.encode() + b"." + body)
    return equal(headers.get("x-signature", ""), f"sha256={mac}") and _fresh(at, now, MINUTES)


# --- what was pushed ------------------------------------------------------------------------------------------------


def _event(header: str, *wanted: str) -> Callable[[Headers, Payload], tuple[Push, ...] | str]:
    def read(headers: Headers, payload: Payload) -> tuple[Push, ...] | str:
        event = headers.get(header, "")
        return _git(payload) if event in wanted else "event is no push"

    return read


def _git(payload: Payload) -> tuple[Push, ...] | str:
    ref, commit = _text(payload, "ref"), _text(payload, "after")
    if not commit.strip("0"):
        return "ref was deleted"
    if ref.startswith("refs/") and not ref.startswith(("refs/heads/", "refs/tags/")):
        return "ref is neither a branch nor a tag"
    repositories = [each for name in ("project", "repository") if isinstance(each := payload.get(name), dict)]
    branch = "" if ref.startswith("refs/tags/") else _BRANCH.sub(r"\1", ref)
    if not ref:
        raise InputError("The delivery names no ref", way_out="see its format")
    push = Push(
        urls=tuple(dict.fromkeys(url for each in repositories for name in _URLS if (url := _text(each, name)))),
        branch=branch,
        tag=ref.removeprefix("refs/tags/") if not branch else "",
        commit=commit if branch else _tagged(payload) or commit,
        before=_sha(payload, "before"),
        paths=_paths(payload),
    )
    return (push,)


def _tagged(payload: Payload) -> str:
    """Return the commit behind a tag: ``after`` is the tag itself where the tag carries a message."""
    head = payload.get("head_commit")
    return _text(payload, "checkout_sha") or (_text(head, "id") if isinstance(head, dict) else "")


_URLS = ("clone_url", "git_http_url", "https_url", "html_url", "web_url", "ssh_url", "git_ssh_url", "git_url", "url")
_MOST_COMMITS = 2048
"""What GitHub lists at most, without saying how many there were."""
_CHANGES = ("added", "modified", "removed")


def _paths(payload: Payload) -> tuple[str, ...] | None:
    """Return the changed files; none where the list may be short of some, as it is after a forced push."""
    commits = payload.get("commits")
    if not isinstance(commits, list) or not commits or payload.get("forced") or payload.get("created"):
        return None
    total = payload.get("total_commits_count", payload.get("total_commits", len(commits)))
    if total != len(commits) or len(commits) >= _MOST_COMMITS or not _text(payload, "before").strip("0"):
        return None
    if not all(isinstance(each, dict) and isinstance(each.get(how), list) for each in commits for how in _CHANGES):
        return None
    return tuple(sorted({str(path) for each in commits for how in _CHANGES for path in each[how]}))


def _image(headers: Headers, payload: Payload) -> tuple[Push, ...] | str:  # noqa: ARG001  # the body alone says it
    if _text(payload, "type") not in {"pushImage", "PUSH_ARTIFACT"}:
        return "event is no push"
    data = payload.get("event_data")
    resources = data.get("resources") if isinstance(data, dict) else None
    if not isinstance(resources, list) or not resources or not all(isinstance(each, dict) for each in resources):
        raise InputError("The delivery names no image", way_out="see its format")
    if len(resources) > _MOST_IMAGES:
        raise InputError(f"The delivery names more than {_MOST_IMAGES} images", way_out="push fewer at a time")
    return tuple(
        Push(
            urls=(_text(each, "resource_url").partition("@")[0].removesuffix(f":{_text(each, 'tag')}"),),
            tag=_text(each, "tag"),
            digest=_text(each, "digest"),
        )
        for each in resources
    )


def _plain(headers: Headers, payload: Payload) -> tuple[Push, ...] | str:  # noqa: ARG001  # the body alone says it
    paths = payload.get("paths")
    push = Push(
        urls=(_text(payload, "repository"),),
        branch=_text(payload, "branch"),
        tag=_text(payload, "tag"),
        commit=_text(payload, "commit"),
        digest=_text(payload, "digest"),
        before=_sha(payload, "before"),
        paths=tuple(map(str, paths)) if isinstance(paths, Sequence) and not isinstance(paths, str) else None,
    )
    return (push,)


def _sha(payload: Payload, name: str) -> str:
    value = _text(payload, name)
    return value if _SHA.fullmatch(value) else ""


def _text(payload: Payload, name: str) -> str:
    value = payload.get(name)
    return value if isinstance(value, str) else ""


SENDERS: Mapping[str, Sender] = {
    "github": Sender(_signed("x-hub-signature-256"), _event("x-github-event", "push")),
    "gitlab": Sender(_gitlab, _event("x-gitlab-event", "Push Hook", "Tag Push Hook")),
    "gitea": Sender(_signed("x-gitea-signature", ""), _event("x-gitea-event", "push")),
    "gitee": Sender(_gitee, _event("x-gitee-event", "Push Hook", "Tag Push Hook")),
    "coding": Sender(_coding, _event("x-coding-event", "push")),
    "gongfeng": Sender(_gongfeng, _event("x-event", "Push Hook", "Tag Push Hook")),
    "tcr": Sender(_token("authorization", "x-webhook-token"), _image),
    "generic": Sender(_generic, _plain),
}
