"""The release spec: an application's way from a commit to production, as its team writes it down.

What every key means, and which values it takes, stands once, in ``release_spec.schema.json``, which editors use, too.
Here are the values that it is read into, and what a schema cannot say: that names exist, and that nothing waits for
itself.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from tke_provider.domain.documents import read
from tke_provider.domain.freezes import Freeze  # noqa: TC001  # read by get_type_hints
from tke_provider.domain.pods import Quantity  # noqa: TC001  # read by get_type_hints
from tke_provider.domain.spec_checks import freeze_of, in_order, mistakes
from tke_provider.domain.workloads import Workload

if TYPE_CHECKING:
    from collections.abc import Sequence

SCHEMA = "release_spec.schema.json"
"""The JSON Schema, a file of this package."""
T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Git:
    """Where commits come from."""

    url: str
    connection: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BuildKit:
    """Who builds where the worker has no engine.

    :param secrets: by id, the connection whose password it is.
    """

    image: str
    daemon: Literal["shared", "rootless", "privileged"] = "shared"
    config: str | None = None
    connection: str = "buildkit_default"
    namespace: str = "default"
    cache: str | None = None
    secrets: Mapping[str, str] = dataclasses.field(default_factory=dict)
    attestations: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reports:
    """Where the reports of tests are kept."""

    path: str
    url: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A person has to agree."""

    timeout: int = 14400
    approvers: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """A closed namespace."""

    quota: Mapping[str, Quantity] = dataclasses.field(default_factory=dict)
    allow_from: tuple[str, ...] = ()
    allow_to: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question, and its good answer."""

    path: str = "/"
    contains: str | None = None
    expected_status: int = 200
    in_a_row: int = 3


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SmokeTest(Question):
    """One question that only a working whole answers."""

    service: str
    timeout: int = 120


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What the registry's scanner may have found in an image."""

    limits: Mapping[str, int] = dataclasses.field(default_factory=dict)
    start: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What metrics have to be once everything is up.

    :param gates: each the plain form of a :class:`~tke_provider.domain.metrics.Gate`.
    """

    gates: tuple[Mapping[str, Any], ...]
    looks: int = 5
    interval: int = 60
    max_failed: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """One place that a release goes to.

    :param values: what differs here from a service's short form, by service, as it was written.
    """

    name: str
    namespace: str
    repositories: str
    registry: str | None = None
    connection: str = "tke_default"
    cluster: str | None = None
    region: str | None = None
    create_namespace: bool = True
    scan: Scan | None = None
    approval: Approval | None = None
    prometheus: str = "prometheus_default"
    freezes: tuple[Freeze, ...] = ()
    isolation: Isolation | None = None
    smoke_tests: tuple[SmokeTest, ...] = ()
    watch: Watch | None = None
    values: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class UnitTests:
    """How a service's unit tests are run.

    :param quarantine: each the plain form of an :class:`~tke_provider.domain.quarantine.Entry`.
    """

    command: tuple[str, ...] | str
    report: str = "/tmp/junit.xml"  # noqa: S108  # within the container
    timeout: int = 1800
    coverage: str | None = None
    min_coverage: float | None = None
    quarantine: tuple[Mapping[str, str], ...] = ()
    memory: str = "2g"
    cpus: float = 1.0
    runner: Literal["engine", "pod"] = "engine"
    namespace: str = "default"
    secrets: tuple[str, ...] = ()
    pull_secrets: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """How a new version gets to its users.

    :param gates: each the plain form of a :class:`~tke_provider.domain.metrics.Gate`.
    """

    type: Literal["rolling", "canary", "blue-green"] = "rolling"
    steps: tuple[int, ...] = ()
    pause: int | None = None
    traffic: Literal["replicas", "ingress", "clb"] | None = None
    keep: int | None = None
    gates: tuple[Mapping[str, Any], ...] = ()
    smoke_tests: tuple[Question, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service: from a folder of the commit to pods.

    :param manifests: path by environment; empty for the short form.
    :param workload: the short form by environment, each with that environment's values; empty for manifests.
    """

    name: str
    path: str
    container: str
    inputs: tuple[str, ...] = ()
    dockerfile: str = "Dockerfile"
    target: str | None = None
    build_args: Mapping[str, str] = dataclasses.field(default_factory=dict)
    test: UnitTests | None = None
    depends_on: tuple[str, ...] = ()
    port: int = 80
    manifests: Mapping[str, str] = dataclasses.field(default_factory=dict)
    workload: Mapping[str, Workload] = dataclasses.field(default_factory=dict)
    strategy: Strategy = dataclasses.field(default_factory=Strategy)
    timeout: int = 600


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """A release spec.

    :param environments: in the order of release.
    :param services: each after those that it depends on.
    :param undo: whether a failure takes back what the run brought to that environment as a whole.
    """

    application: str
    git: Git
    environments: tuple[Environment, ...]
    services: tuple[Service, ...]
    base_image: str | None = None
    build_args: Mapping[str, str] = dataclasses.field(default_factory=dict)
    platform: str | None = None
    buildkit: BuildKit | None = None
    reports: Reports | None = None
    concurrency: int | None = None
    undo: Literal["alone", "together"] = "alone"

    def dependents(self, service: str) -> list[Service]:
        """Return the services that depend on this one directly."""
        return [each for each in self.services if service in each.depends_on]


def load(text: str, name: str = "The release spec") -> Spec:
    """Read a release spec.

    :param name: what errors call it, such as its file's name.
    :raises ManifestError: that tells every mistake with its line.
    """
    document = read(text, name=name, schema=SCHEMA)
    document.refuse(mistakes(document.content))
    return _spec(document.content)


# --- values -----------------------------------------------------------------------------------------------------------


def _spec(content: Mapping[str, Any]) -> Spec:
    environments: tuple[Environment, ...] = tuple(_environment(each) for each in content["environments"])
    services = {name: _service(name, given, environments) for name, given in content["services"].items()}
    given = {key: value for key, value in content.items() if key not in {"environments", "services"}}
    parts = {"git": Git, "buildkit": BuildKit, "reports": Reports}
    given |= {key: _build(kind, given[key]) for key, kind in parts.items() if key in given}
    ordered = tuple(services[name] for name in in_order({name: each.depends_on for name, each in services.items()}))
    return Spec(environments=environments, services=ordered, **given)


def _environment(given: Mapping[str, Any]) -> Environment:
    freezes = tuple(freeze_of(each) for each in given.get("freezes", ()))
    rest = {key: value for key, value in given.items() if key != "freezes"}
    return dataclasses.replace(_build(Environment, rest), freezes=freezes)


def _service(name: str, given: Mapping[str, Any], environments: Sequence[Environment]) -> Service:
    """Write out what stands there in short, and what each environment makes of it."""
    whole = {"name": name, "container": name, **given}
    strategy = given.get("strategy")
    if isinstance(strategy, str):
        whole["strategy"] = {"type": strategy}
    manifests = given.get("manifests")
    if isinstance(manifests, str):
        whole["manifests"] = {each.name: manifests for each in environments}
    short = whole.pop("workload", None)
    workload = (
        {} if short is None else {each.name: _workload(short, each.values.get(name, {})) for each in environments}
    )
    return dataclasses.replace(_build(Service, whole), workload=workload)


def _workload(short: Mapping[str, Any], values: Mapping[str, Any]) -> Workload:
    return _build(Workload, _laid_over(short, values))


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return both as one: mappings are merged, anything else is replaced."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        both = isinstance(value, Mapping) and isinstance(under, Mapping)
        merged[key] = _laid_over(under, value) if both else value  # type: ignore[arg-type]
    return merged


def _build(kind: type[T], given: Mapping[str, Any]) -> T:
    """Return the data class of a mapping that the schema has found good."""
    hints = typing.get_type_hints(kind)
    return kind(**{key: _value(hints[key], value) for key, value in given.items()})


def _value(hint: Any, value: Any) -> Any:
    """Return the value as the field has it: data classes for mappings, tuples for lists."""
    if typing.get_origin(hint) in {typing.Union, types.UnionType}:
        options = [each for each in typing.get_args(hint) if each is not type(None)]
        if isinstance(value, list):
            return _value(next(each for each in options if typing.get_origin(each) is tuple), value)
        classes = [each for each in options if dataclasses.is_dataclass(each)]
        return _value(classes[0], value) if classes and isinstance(value, dict) else value
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast("type[Any]", hint), value)
    if typing.get_origin(hint) is tuple:
        return tuple(_value(typing.get_args(hint)[0], each) for each in value)
    if typing.get_origin(hint) is Mapping:
        return {key: _value(typing.get_args(hint)[1], each) for key, each in value.items()}
    return value
