"""Smoke tests: what a running service is asked, and which answer is good."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from tke_provider.domain.hosts import split_url
from tke_provider.domain.rollouts import serves
from tke_provider.exceptions import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tke_provider.domain.manifests import Manifest

Probe: TypeAlias = Literal["http", "tcp", "grpc", "exec"]
PROBES: tuple[Probe, ...] = ("http", "tcp", "grpc", "exec")
"""The four that Kubernetes knows: https://kubernetes.io/docs/concepts/workloads/pods/probes/."""

_SCHEMES: dict[str, Probe] = {"http": "http", "https": "http", "tcp": "tcp", "grpc": "grpc", "grpcs": "grpc"}
_SHOWN_CHARACTERS = 200
_NAME_LIMIT = 127  # bytes whose number is one byte on the wire
_ABSENT = object()
# https://github.com/grpc/grpc/blob/master/doc/health-checking.md
_SERVING = 1
_HEALTH = {0: "UNKNOWN", _SERVING: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}


@dataclasses.dataclass(frozen=True, slots=True)
class SmokeTest:
    """One question, and its good answer. It is what a trigger stores, so nothing in it is secret.

    The parameters are those of :class:`~tke_provider.operators.smoke_tests.TkeSmokeTestOperator`.
    """

    service: str = ""
    namespace: str = "default"
    port: int | str = 80
    probe: Probe = "http"
    path: str = "/"
    url: str | None = None
    expected_status: int = 200
    contains: str | None = None
    expect_json: Mapping[str, Any] | None = None
    grpc_service: str = ""
    command: tuple[str, ...] = ()
    container: str = ""
    in_a_row: int = 3

    def __post_init__(self) -> None:
        """Refuse what cannot be asked.

        :raises InputError: naming the parameter.
        """
        if bool(self.service) == bool(self.url):
            raise InputError("A smoke test needs either service or url", way_out="pass exactly one of them")
        if self.url:
            parts = split_url("url", self.url, tuple(_SCHEMES))
            object.__setattr__(self, "probe", _SCHEMES[parts.scheme])
            if self.probe != "http" and not parts.port:
                raise InputError(f"url {self.url!r} has no port", way_out=f"write it as {parts.scheme}://host:port")
        if bool(self.command) != (self.probe == "exec"):
            raise InputError("command and probe 'exec' belong together", way_out="pass both, or neither")
        if len(self.grpc_service.encode()) > _NAME_LIMIT:
            raise InputError("grpc_service is no name", way_out="write it as package.Service")
        if self.in_a_row < 1:
            raise InputError(f"in_a_row is {self.in_a_row}", way_out="ask at least once")

    @property
    def where(self) -> str:
        """What is asked, to be read by a person."""
        if self.url:
            return self.url
        if self.probe == "exec":
            return f"{self.command[0]} in {self.namespace}/{self.service}"
        scheme = "" if self.probe == "http" else f"{self.probe}://"
        return f"{scheme}{self.namespace}/{self.service}:{self.port}{self.path if self.probe == 'http' else ''}"


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    :param seen: the answer in words: ``answered 200``.
    :param wrong: what is wrong with it; empty when nothing is.
    """

    seen: str
    wrong: str = ""


def judge_http(test: SmokeTest, status: int, body: str) -> Answer:
    """Compare status and body with what is expected."""
    return Answer(f"answered {status}", _wrong_http(test, status, body))


def judge_tcp(test: SmokeTest, greeting: bytes) -> Answer:
    """Compare what a port said first, if it has to say anything."""
    text = greeting.decode(errors="replace")
    if test.contains is not None and test.contains not in text:
        said = f"said {short(text)!r}" if greeting else "said nothing"
        return Answer("took the connection", f"took the connection and {said}, without {test.contains!r}")
    return Answer("took the connection")


def judge_health(status: int) -> Answer:
    """Read a ``grpc.health.v1`` status."""
    name = _HEALTH.get(status, f"status {status}")
    return Answer(f"is {name}", "" if status == _SERVING else f"is {name}, and not SERVING")


def judge_command(test: SmokeTest, exit_code: int, output: str) -> Answer:
    """Compare a command's exit code with 0, and its output with what is expected."""
    said = f": {short(output[-_SHOWN_CHARACTERS:])}" if output.strip() else " without a word"
    seen = f"ended with exit code {exit_code}"
    if exit_code:
        return Answer(seen, f"{seen}{said}")
    if test.contains is not None and test.contains not in output:
        return Answer(seen, f"{seen}{said}, without {test.contains!r}")
    return Answer(seen)


def short(text: str) -> str:
    """Return the beginning of a text in one line."""
    return " ".join(text.split())[:_SHOWN_CHARACTERS]


def _wrong_http(test: SmokeTest, status: int, body: str) -> str:
    seen = f"answered {status}: {short(body)}" if body.strip() else f"answered {status} with an empty body"
    if status != test.expected_status:
        return f"{seen}, and not with {test.expected_status}"
    if test.contains is not None and test.contains not in body:
        return f"{seen}, without {test.contains!r}"
    for name, value in (test.expect_json or {}).items():
        found = _member(body, name)
        if found != value:
            return f"{seen}, where {name} is not {value!r}"
    return ""


def _member(body: str, name: str) -> object:
    try:
        return json.loads(body)[name]
    except (ValueError, KeyError, TypeError, IndexError):
        return _ABSENT


def backends(service: Manifest, pods: Iterable[Manifest]) -> list[Manifest]:
    """Return the ready pods behind a service, by name.

    :raises InputError: when the service selects none by itself.
    """
    selector = (service.get("spec") or {}).get("selector")
    name = service["metadata"]["name"]
    if not selector:
        raise InputError(f"Service {name} has no selector, so its pods are not known", way_out="pass url instead")
    found = [pod for pod in pods if serves(pod) and selector.items() <= (pod["metadata"].get("labels") or {}).items()]
    return sorted(found, key=lambda pod: str(pod["metadata"]["name"]))


def target_port(service: Manifest, port: int | str, pod: Manifest) -> int:
    """Return the port of a pod that a service's port, by number or name, leads to.

    :raises InputError: when the service has no such port, or the pod does not have the port's name.
    """
    ports = (service.get("spec") or {}).get("ports") or ()
    name = service["metadata"]["name"]
    for each in ports:
        if str(port) in {str(each.get("port")), each.get("name")}:
            target = each.get("targetPort", each["port"])
            return target if isinstance(target, int) else _named_port(pod, target)
    known = ", ".join(str(each.get("port")) for each in ports) or "none"
    raise InputError(f"Service {name} has no port {port}, but {known}", way_out="correct port")


def _named_port(pod: Manifest, name: str) -> int:
    for container in pod["spec"].get("containers") or ():
        for each in container.get("ports") or ():
            if each.get("name") == name:
                return int(each["containerPort"])
    raise InputError(f"Pod {pod['metadata']['name']} has no port named {name}", way_out="name it in its container")
