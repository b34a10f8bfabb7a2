"""What a schema cannot say of a release spec: that names exist, that nothing waits for itself, that options fit."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tke_provider.domain.documents import Problem, nearest
from tke_provider.domain.exposure import QCLOUD
from tke_provider.domain.freezes import Freeze
from tke_provider.domain.load_balancers import CONTROLLERS
from tke_provider.domain.metrics import Gate, fill
from tke_provider.domain.quarantine import read as quarantine_of
from tke_provider.exceptions import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from tke_provider.domain.documents import Path

_SIZED = ("size", "claim", "secret", "config", "memory")
_TASKS = {"changes", "tested"}
_OPTIONS = {
    "rolling": set[str](),
    "canary": {"steps", "pause", "traffic", "gates", "smoke_tests"},
    "blue-green": {"keep", "gates", "smoke_tests"},
}
_WORDS_OF_A_VERSION = dict.fromkeys(("service", "namespace", "version", "workload", "pods"), "x")
_WORDS_OF_A_PLACE = dict.fromkeys(("application", "environment", "namespace"), "x")
_OF_A_POD = ("namespace", "secrets", "pull_secrets")


def mistakes(content: Mapping[str, Any]) -> Iterator[Problem]:
    """Find what is wrong with a spec that fits its schema."""
    environments: Sequence[Mapping[str, Any]] = content["environments"]
    services: Mapping[str, Mapping[str, Any]] = content["services"]
    yield from _dependencies(services)
    yield from _places(environments)
    for name, given in services.items():
        if name in {*_TASKS, *(each["name"] for each in environments)}:
            yield Problem(("services", name), f"another part of the DAG is called {name!r}, too: give it another name")
        yield from _forms(name, given, [each["name"] for each in environments])
        yield from _ways_in(name, given, environments)
        yield from _volumes(name, given, environments)
        yield from _unit_tests(("services", name, "test"), given.get("test", {}))
    for number, each in enumerate(environments):
        yield from _references(("environments", number), each, services)
        yield from _freezes(("environments", number), each.get("freezes", ()))
        yield from _watch(("environments", number, "watch", "gates"), each.get("watch", {}).get("gates", ()))
    yield from _builds(content)


def _dependencies(services: Mapping[str, Mapping[str, Any]]) -> Iterator[Problem]:
    needs = {name: given.get("depends_on", ()) for name, given in services.items()}
    for name, others in needs.items():
        for number, other in enumerate(others):
            if other not in services:
                path = ("services", name, "depends_on", number)
                yield Problem(path, f"there is no service {other!r}: {nearest(other, services)}")
    if circle := circular({name: [each for each in others if each in services] for name, others in needs.items()}):
        path = ("services", circle[0], "depends_on", needs[circle[0]].index(circle[1]))
        yield Problem(path, f"each waits for the next, none can be first: {' → '.join(circle)}")


def _places(environments: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    """Find environments that could not be told apart, or would overwrite one another."""
    names: set[str] = set()
    namespaces: set[tuple[str, ...]] = set()
    for number, each in enumerate(environments):
        if each["name"] in names:
            yield Problem(
                ("environments", number, "name"),
                f"a second environment is called {each['name']!r}: give it another name",
            )
        where = (each.get("connection", ""), each.get("cluster", ""), each["namespace"])
        if where in namespaces and each["name"] not in names:
            yield Problem(
                ("environments", number, "namespace"), f"another environment is in namespace {each['namespace']}, too"
            )
        names.add(each["name"])
        namespaces.add(where)


def _references(path: Path, environment: Mapping[str, Any], services: Mapping[str, Any]) -> Iterator[Problem]:
    """Find services that an environment names and that do not exist, or have no short form to change."""
    named: list[tuple[Path, str]] = [
        ((*path, "smoke_tests", number, "service"), test["service"])
        for number, test in enumerate(environment.get("smoke_tests", ()))
    ]
    named += [((*path, "values", name), name) for name in environment.get("values", ())]
    for place, name in named:
        if name not in services:
            yield Problem(place, f"there is no service {name!r}: {nearest(name, services)}")
        elif "values" in place and "workload" not in services[name]:
            yield Problem(place, f"service {name} has no workload, its short form, that values could change")


def _freezes(path: Path, freezes: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    for number, freeze in enumerate(freezes):
        place = (*path, "freezes", number)
        if freeze.keys() - {"name", "zone"} not in ({"from", "until"}, {"cron", "hours"}):
            yield Problem(place, "a freeze has either from and until, or cron and hours")
        elif wrong := _refused(freeze_of, freeze):
            yield Problem(place, wrong)


def _refused(read: Callable[[Any], object], given: object) -> str:
    """Return why a value cannot be read; empty where it can."""
    try:
        read(given)
    except (InputError, ValueError) as error:
        return str(error).rstrip(".")
    return ""


def freeze_of(given: Mapping[str, Any]) -> Freeze:
    """Return the freeze that a mapping describes.

    :raises InputError: when zone or cron make no sense, or it ends before it begins.
    """
    named = {"name": given["name"], "zone": given["zone"]}
    if "cron" in given:
        return Freeze(**named, cron=given["cron"], duration=timedelta(hours=given["hours"]))
    return Freeze(**named, start=given["from"], end=given["until"])


def _forms(name: str, given: Mapping[str, Any], environments: Sequence[str]) -> Iterator[Problem]:
    """Find what is wrong with how a service becomes manifests."""
    path: Path = ("services", name)
    if ("manifests" in given) == ("workload" in given):
        yield Problem(path, f"service {name} needs either manifests or workload, its short form")
    manifests = given.get("manifests")
    if isinstance(manifests, Mapping):
        for other in manifests.keys() - set(environments):
            yield Problem(
                (*path, "manifests", other), f"there is no environment {other!r}: {nearest(other, environments)}"
            )
        for missing in set(environments) - manifests.keys():
            yield Problem((*path, "manifests"), f"environment {missing} has no manifests of {name}")
    strategy = given.get("strategy", "rolling")
    if isinstance(strategy, Mapping):
        yield from _options((*path, "strategy"), strategy)


def _short_forms(
    name: str, given: Mapping[str, Any], environments: Sequence[Mapping[str, Any]]
) -> list[tuple[Path, Mapping[str, Any]]]:
    """Return the short form of a service, and what environments lay over it."""
    listed: list[tuple[Path, Mapping[str, Any]]] = [(("services", name, "workload"), given.get("workload", {}))]
    return listed + [
        (("environments", number, "values", name), each.get("values", {}).get(name, {}))
        for number, each in enumerate(environments)
    ]


def _ways_in(name: str, given: Mapping[str, Any], environments: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    """Find options of a CLB where there is none, and canaries that nothing could give their share."""
    forms = _short_forms(name, given, environments)
    ingresses = [(path, form["ingress"]) for path, form in forms if "ingress" in form]
    for path, ingress in ingresses:
        if (made := ingress.get("class_name", QCLOUD)) != QCLOUD:
            for option in sorted({"subnet", "existing", "direct"} & ingress.keys()):
                yield Problem((*path, "ingress", option), f"an ingress of class {made} has no {option}")
    strategy = given.get("strategy")
    traffic = strategy.get("traffic") if isinstance(strategy, Mapping) and "workload" in given else None
    where = ("services", name, "strategy", "traffic")
    classes = {ingress.get("class_name", QCLOUD) for _, ingress in ingresses}
    if traffic == "ingress" and not classes - {QCLOUD}:
        yield Problem(where, f"{name} has no ingress with the class_name of ingress-nginx")
    if traffic != "clb":
        return
    kinds = ["Service"] if any("load_balancer" in form for _, form in forms) else []
    kinds += ["Ingress"] if QCLOUD in classes else []
    if not kinds:
        yield Problem(where, f"{name} has neither a load_balancer nor an ingress of class {QCLOUD}")
    said = {key for _, form in forms for key in form.get("pod_annotations", {})}
    for key in sorted(CONTROLLERS[kind].weight for kind in kinds):
        if key not in said:
            yield Problem(where, f'the pods of {name} do not say what they weigh: give pod_annotations {key}: "10"')


def _volumes(name: str, given: Mapping[str, Any], environments: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    """Find volumes that make no sense, in the short form and in what environments lay over it."""
    strategy = given.get("strategy", "rolling")
    kind = strategy["type"] if isinstance(strategy, Mapping) else strategy
    for path, form in _short_forms(name, given, environments):
        volumes = form.get("volumes", ())
        for number, volume in enumerate(volumes):
            yield from _volume((*path, "volumes", number), volume)
        if kind != "rolling" and any("size" in each and not each.get("shared") for each in volumes):
            yield Problem((*path, "volumes"), f"{name} has a disk for each pod, so it can only roll, and not {kind}")


def _options(path: Path, strategy: Mapping[str, Any]) -> Iterator[Problem]:
    for option in strategy.keys() - _OPTIONS[strategy["type"]] - {"type"}:
        yield Problem((*path, option), f"{strategy['type']} has no {option}")
    steps = strategy.get("steps", ())
    if list(steps) != sorted(set(steps)):
        yield Problem((*path, "steps"), "each step has to be larger than the one before")
    yield from _gates((*path, "gates"), strategy.get("gates", ()), _WORDS_OF_A_VERSION)


def _gates(path: Path, gates: Sequence[Mapping[str, Any]], words: Mapping[str, str]) -> Iterator[Problem]:
    """Find gates that make no sense, or name something that nobody fills in."""

    def read(given: Mapping[str, Any]) -> None:
        gate = Gate.parse(given)
        for query in (gate.query, gate.baseline, gate.samples):
            if query is not None:
                fill(query, words)

    for number, gate in enumerate(gates):
        if wrong := _refused(read, gate):
            yield Problem((*path, number), wrong)


def _watch(path: Path, gates: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    """Find gates that nobody could ask once every service is of the new version."""
    yield from _gates(path, gates, _WORDS_OF_A_PLACE)
    for number, gate in enumerate(gates):
        if any(key.endswith("_baseline") for key in gate) and "baseline" not in gate:
            sentence = "the old version has gone by then: give a baseline, such as the same query with offset 1d"
            yield Problem((*path, number), sentence)


def _unit_tests(path: Path, test: Mapping[str, Any]) -> Iterator[Problem]:
    if "min_coverage" in test and "coverage" not in test:
        yield Problem((*path, "min_coverage"), "it needs coverage, the path of the report that tells it")
    if wrong := _refused(quarantine_of, test.get("quarantine")):
        yield Problem((*path, "quarantine"), wrong)
    if test.get("runner", "engine") == "engine":
        for option in _OF_A_POD:
            if option in test:
                yield Problem((*path, option), f"the engine has no {option}: write runner: pod, or leave it out")


def _builds(content: Mapping[str, Any]) -> Iterator[Problem]:
    if "buildkit" in content:
        url = content["git"]["url"]
        if not url.startswith(("https://", "http://")) or not url.endswith(".git"):
            yield Problem(("git", "url"), "BuildKit fetches the commit itself: write an https URL that ends in .git")
    elif "," in content.get("platform", ""):
        yield Problem(("platform",), "the engine builds for one platform: add buildkit, or leave one of them")


def _volume(path: Path, volume: Mapping[str, Any]) -> Iterator[Problem]:
    if sum(each in volume for each in _SIZED) != 1:
        yield Problem(path, f"a volume has exactly one of {', '.join(_SIZED)}")
    if volume.get("shared") and volume.get("storage_class", "cbs") == "cbs":
        yield Problem(
            path, "a disk (storage class cbs) cannot be shared: name the storage_class of a file system (CFS)"
        )


# --- order ------------------------------------------------------------------------------------------------------------


def in_order(waits: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the names, each after those that it waits for, and otherwise as they were written."""
    ordered: dict[str, None] = {}

    def add(name: str) -> None:
        for other in waits[name]:
            if other not in ordered:
                add(other)
        ordered[name] = None

    for name in waits:
        add(name)
    return list(ordered)


def circular(waits: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the names of a circle, the first again at its end; empty where there is none."""
    done: set[str] = set()

    def walk(name: str, above: list[str]) -> list[str]:
        if name in above:
            return [*above[above.index(name) :], name]
        if name in done:
            return []
        found = next(filter(None, (walk(other, [*above, name]) for other in waits[name])), [])
        done.add(name)
        return found

    return next(filter(None, (walk(name, []) for name in waits)), [])
