"""Options of a cluster's autoscaler: the words for them, what may be said, and what a look at the cloud tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypedDict, get_args

from tke_provider.domain.choices import check_choice
from tke_provider.domain.scaling import whole_number
from tke_provider.exceptions import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Expander = Literal["random", "most-pods", "least-waste"]
Value = bool | int | str
_ALL_PERCENT = 100


class AutoscalerOptions(TypedDict, total=False):
    """What may be set, by the words of Kubernetes' own cluster autoscaler; times are minutes.

    ``ClusterAsGroupOption`` of https://cloud.tencent.com/document/api/457/31866 says what each means, and its default.
    """

    scale_down_enabled: bool
    """Whether machines that idle go at all."""
    expander: Expander
    """Which pool grows where several could."""
    max_empty_bulk_delete: int
    """How many machines may go at once."""
    scale_down_delay: int
    """Minutes after the cluster grew in which no machine goes."""
    scale_down_unneeded_time: int
    """Minutes that a machine idles before it goes."""
    scale_down_utilization_threshold: int
    """Per cent of a machine's resources that its pods request, below which it idles."""
    skip_nodes_with_local_storage: bool
    """Whether a machine stays whose pods keep data on it."""
    skip_nodes_with_system_pods: bool
    """Whether a machine stays that has pods of ``kube-system`` other than those of DaemonSets."""
    ignore_daemonsets_utilization: bool
    """Whether pods of DaemonSets do not count as use."""
    ok_total_unready_count: int
    """How many machines may be unready, whatever their share."""
    max_total_unready_percentage: int
    """Per cent of unready machines beyond which the autoscaler stops."""
    scale_down_unready_time: int
    """Minutes that a machine is unready before it may go."""
    unregistered_node_removal_time: int
    """Minutes until a machine is given up that does not join."""


class Change(TypedDict):
    """One option, as it was and as it is."""

    before: Value | None
    after: Value | None


class _Option(NamedTuple):
    api: str
    read: Callable[[str, object], Value]


def _switch(name: str, value: object) -> bool:
    said = {"true": True, "false": False}.get(str(value).strip().lower())
    if said is None:
        raise InputError(f"{name} is {value!r}", way_out="write true or false")
    return said


def _expander(name: str, value: object) -> str:
    check_choice(name, value, get_args(Expander))
    return str(value)


def _percent(name: str, value: object) -> int:
    number = whole_number(name, value)
    if number > _ALL_PERCENT:
        raise InputError(f"{name} is {number}", way_out="give a percentage, 0 to 100")
    return number


_OPTIONS: dict[str, _Option] = {
    "scale_down_enabled": _Option("IsScaleDownEnabled", _switch),
    "expander": _Option("Expander", _expander),
    "max_empty_bulk_delete": _Option("MaxEmptyBulkDelete", whole_number),
    "scale_down_delay": _Option("ScaleDownDelay", whole_number),
    "scale_down_unneeded_time": _Option("ScaleDownUnneededTime", whole_number),
    "scale_down_utilization_threshold": _Option("ScaleDownUtilizationThreshold", _percent),
    "skip_nodes_with_local_storage": _Option("SkipNodesWithLocalStorage", _switch),
    "skip_nodes_with_system_pods": _Option("SkipNodesWithSystemPods", _switch),
    "ignore_daemonsets_utilization": _Option("IgnoreDaemonSetsUtilization", _switch),
    "ok_total_unready_count": _Option("OkTotalUnreadyCount", whole_number),
    "max_total_unready_percentage": _Option("MaxTotalUnreadyPercentage", _percent),
    "scale_down_unready_time": _Option("ScaleDownUnreadyTime", whole_number),
    "unregistered_node_removal_time": _Option("UnregisteredNodeRemovalTime", whole_number),
}


def check_words(words: Iterable[str]) -> None:
    """Refuse a word that is no option: the cloud would pass it over.

    :raises InputError: naming the first such word.
    """
    for word in words:
        if word not in _OPTIONS:
            raise InputError(f"The cluster autoscaler has no option {word!r}", way_out=f"use {', '.join(_OPTIONS)}")


def check_options(options: object) -> dict[str, Value]:
    """Return the options as the cloud takes them, which a template may have rendered to text.

    :raises InputError: when one is unknown, makes no sense, or none is given.
    """
    if not isinstance(options, Mapping):
        raise InputError(
            f"The options of the cluster autoscaler are {options!r}", way_out="give a dict of options to values"
        )
    check_words(options)
    if not options:
        raise InputError("No option of the cluster autoscaler is to be set", way_out="give at least one")
    return {word: _OPTIONS[word].read(word, value) for word, value in options.items()}


def request(options: Mapping[str, Value]) -> dict[str, Value]:
    """Return checked options by the API's names."""
    return {_OPTIONS[word].api: value for word, value in options.items()}


def parse(answer: Mapping[str, Any] | None) -> dict[str, Value | None]:
    """Return every option that the cloud tells, ``None`` where it tells no value; none at all where it has none."""
    return {word: answer.get(option.api) for word, option in _OPTIONS.items()} if answer else {}


def missing(live: Mapping[str, Value | None], wanted: Mapping[str, Value]) -> dict[str, Value]:
    """Return what is still to be set."""
    return {word: value for word, value in wanted.items() if live.get(word) != value}


def changes(before: Mapping[str, Value | None], after: Mapping[str, Value | None]) -> dict[str, Change]:
    """Return every option that differs between two looks, also one that nobody asked for."""
    return {
        word: {"before": before.get(word), "after": value} for word, value in after.items() if before.get(word) != value
    }
