"""A group robot of WeCom (企业微信), spoken to as https://developer.work.weixin.qq.com/document/path/91770 says."""

from __future__ import annotations

import json
from typing import Any

from tke_provider.clients.tls import trusted
from tke_provider.exceptions import CredentialError, InputError, ThrottledError, TkeError, UnavailableError

ENDPOINT = "https://qyapi.weixin.qq.com"
MARKDOWN_BYTES = 4096
"""What the robot takes as one message, as UTF-8."""
_TIMEOUT = 10.0  # seconds
_CUT = "…"
_UNKNOWN_ROBOT = (CredentialError, "put the key of the group's robot into the connection's password")
# https://developer.work.weixin.qq.com/document/path/90313
_REFUSALS: dict[int, tuple[type[TkeError], str]] = {
    93000: _UNKNOWN_ROBOT,
    93008: _UNKNOWN_ROBOT,
    45009: (ThrottledError, "send fewer: a robot takes 20 messages a minute"),
}


async def send(key: str, markdown: str, endpoint: str = ENDPOINT) -> None:
    """Send one message to the group; a text that is too long is cut.

    :param key: what the robot's webhook URL ends with; a secret: whoever has it writes to the group.
    :raises CredentialError: when there is no robot with this key.
    :raises ThrottledError: when the robot was given more than 20 messages in a minute.
    :raises InputError: when the robot refuses the message, in its own words.
    :raises UnavailableError: when it does not answer.
    """
    import httpx

    body = {"msgtype": "markdown", "markdown": {"content": _fit(markdown)}}
    try:
        async with httpx.AsyncClient(timeout=_TIMEOUT, verify=trusted()) as session:
            answer = await session.post(f"{endpoint.rstrip('/')}/cgi-bin/webhook/send", params={"key": key}, json=body)
    except (httpx.HTTPError, OSError) as error:
        cause = (str(error) or type(error).__name__).replace(key, "***")
        raise UnavailableError(
            f"WeCom at {endpoint} is out of reach", cause=cause, way_out="check the worker's way to it, and try again"
        ) from None  # the chain names the whole URL
    if answer.is_error:
        raise UnavailableError(
            f"WeCom at {endpoint} did not take the message", cause=f"HTTP {answer.status_code}", way_out="try again"
        )
    _check(_decode(answer.text))


def _check(answer: dict[str, Any]) -> None:
    """Raise what an answer means; it has the status 200 whatever went wrong."""
    code, problem = answer.get("errcode"), "WeCom refused the message"
    if code == 0:
        return
    if code is None:
        raise UnavailableError(problem, cause="it answered without an errcode", way_out="check the connection's host")
    kind, way_out = _REFUSALS.get(code, (InputError, "see the code in WeCom's list of error codes"))
    raise kind(problem, cause=f"errcode {code}: {answer.get('errmsg', '')}", way_out=way_out)


def _decode(text: str) -> dict[str, Any]:
    try:
        answer = json.loads(text)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _fit(text: str) -> str:
    encoded = text.encode()
    if len(encoded) <= MARKDOWN_BYTES:
        return text
    return encoded[: MARKDOWN_BYTES - len(_CUT.encode())].decode(errors="ignore") + _CUT
