"""Helm releases as TKE describes them, and what their state means."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any, TypedDict

import yaml

from tke_provider.domain.verdicts import Verdict, failed, passed, pending
from tke_provider.exceptions import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RELEASE_NAME = "meta.helm.sh/release-name"
"""Annotation: the release that an object belongs to. Helm sets it on everything it makes."""

# https://helm.sh/docs/helm/helm_status; the API's own list is the same.
_DEPLOYED, _FAILED = "deployed", "failed"


class HelmResult(TypedDict):
    """A release as it lies in XCom."""

    release: str
    namespace: str
    cluster: str
    chart: str
    revision: int
    previous: int


@dataclasses.dataclass(frozen=True, slots=True)
class HelmRelease:
    """The newest revision of a release.

    :param chart: name and version, as in ``redis-10.5.3``.
    :param description: what helm says of it, such as why it failed.
    """

    revision: int
    status: str
    chart: str
    description: str

    @property
    def deployed(self) -> bool:
        """Whether helm made all of it."""
        return self.status == _DEPLOYED

    @property
    def removed(self) -> bool:
        """Whether only its history is left."""
        return self.status == "uninstalled"

    @property
    def changing(self) -> bool:
        """Whether helm is at work on it."""
        return self.status.startswith("pending-") or self.status == "uninstalling"


@dataclasses.dataclass(frozen=True, slots=True)
class HelmChange:
    """A change of a release that is under way, or failed.

    :param condition: helm's own words where it failed.
    """

    id: str
    status: str
    condition: str

    @property
    def failed(self) -> bool:
        """Whether it will come to nothing."""
        return self.status == _FAILED


@dataclasses.dataclass(frozen=True, slots=True)
class HelmRevision:
    """One revision in a release's history."""

    revision: int
    status: str
    description: str

    @property
    def good(self) -> bool:
        """Whether helm made all of it, at its time."""
        return self.status in {_DEPLOYED, "superseded"}


@dataclasses.dataclass(frozen=True, slots=True)
class Chart:
    """What is installed.

    :param name: URL of a ``.tgz``, or a chart's name.
    :param repository: URL of the repository that the name is of; empty for TKE's application market.
    :param version: of a chart that is named; empty for the newest.
    :param market_namespace: where the market has it.
    """

    name: str
    repository: str = ""
    version: str = ""
    market_namespace: str = ""

    @property
    def parameters(self) -> dict[str, str]:
        """The API's parameters that say so."""
        given = {
            "Chart": self.name,
            "ChartFrom": "tke-market" if self.market_namespace else "other",
            "ChartRepoURL": self.repository,
            "ChartVersion": self.version,
            "ChartNamespace": self.market_namespace,
        }
        return {name: value for name, value in given.items() if value}

    def check(self) -> None:
        """Refuse what the cloud could not find.

        :raises InputError: when it does not say where the chart is.
        """
        if self._is_url and not self.name.endswith(".tgz"):
            raise InputError(
                f"Chart {self.name} is no URL of a .tgz",
                way_out="give the archive's own URL, without a redirect, or the chart's name and its repository",
            )
        if not self._is_url and bool(self.repository) == bool(self.market_namespace):
            raise InputError(
                f"Chart {self.name} is in no repository" if not self.repository else f"Chart {self.name} is in two",
                way_out="give the URL of a .tgz as chart, or repository, or market_namespace",
            )

    def is_in(self, release: HelmRelease) -> bool:
        """Whether a release is of this chart in this version, for certain; a chart's version never changes."""
        # Helm packs a chart into a file of that name; an archive called otherwise is never taken for the same.
        file = self.name.rpartition("/")[2].removesuffix(".tgz")
        return release.chart == (file if self._is_url else f"{self.name}-{self.version}")

    @property
    def _is_url(self) -> bool:
        return self.name.startswith(("http://", "https://"))


def assess(release: HelmRelease | None, change: HelmChange | None, after: int) -> Verdict:
    """Say whether a release came to a revision after another one.

    :param change: the change that makes it, while the cloud shows one.
    :param after: the revision before the change; 0 before an installation.
    """
    if change and change.failed:
        return failed(change.condition or "the cloud gives no reason")
    if release is None or release.revision <= after:
        return pending(f"the release is {change.status}" if change else "the release is not there yet")
    if release.deployed:
        return passed(f"revision {release.revision} ({release.chart}) is deployed")
    if release.status == _FAILED:
        return failed(release.description or "helm gives no reason")
    return pending(f"revision {release.revision} ({release.chart}) is {release.status}")


def assess_absence(release: HelmRelease | None, change: HelmChange | None) -> Verdict:
    """Say whether a release is gone."""
    if change and change.failed:
        return failed(change.condition or "the cloud gives no reason")
    if release is None and change is None:
        return passed("the release is gone")
    return pending(f"the release is {change.status if change else release.status if release else 'going'}")


def revision_before(history: Iterable[HelmRevision], current: int) -> int | None:
    """Return the newest revision before the current one that helm made whole."""
    return max((each.revision for each in history if each.good and each.revision < current), default=None)


def is_rollback(history: Iterable[HelmRevision], current: int, to: int | None = None) -> bool:
    """Whether the current revision is a rollback already, to the one given or to any. The words are helm's own."""
    said = next((each.description for each in history if each.revision == current and each.good), "")
    return said.startswith("Rollback to ") and to in {None, int(said.rpartition(" ")[2])}


def read_values(values: Mapping[str, Any] | str | None) -> dict[str, Any]:
    """Return a chart's values.

    :param values: a mapping, or YAML.
    :raises InputError: when they are no mapping.
    """
    try:
        read = yaml.safe_load(values) if isinstance(values, str) else values
    except yaml.YAMLError as error:
        raise InputError("The chart's values are not YAML", cause=str(error), way_out="correct them") from error
    if not isinstance(read or {}, dict):
        raise InputError(
            f"The chart's values are a {type(read).__name__}", way_out="give names and values, as in values.yaml"
        )
    return dict(read or {})


def same_values(wanted: dict[str, Any], config: str) -> bool:
    """Whether a release has these values, or would keep its own as none are wanted.

    :param config: as the cloud repeats them; in a form that is not known to be YAML they count as other ones.
    """
    if not wanted:
        return True
    try:
        return bool(json.dumps(yaml.safe_load(config) or {}, sort_keys=True) == json.dumps(wanted, sort_keys=True))
    except (yaml.YAMLError, TypeError):
        return False
