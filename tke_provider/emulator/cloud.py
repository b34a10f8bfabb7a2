"""The emulated cloud as one object, and one call to it."""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from tke_provider.emulator import clusters
from tke_provider.emulator import state as states
from tke_provider.emulator.audit import Audit
from tke_provider.emulator.clock import Clock, Pace
from tke_provider.emulator.errors import CloudError
from tke_provider.emulator.trouble import RATE, RateLimit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tke_provider.emulator.cluster_autoscaler import ClusterAutoscaler
    from tke_provider.emulator.cron_scalers import CronScalers
    from tke_provider.emulator.helm import Helm
    from tke_provider.emulator.models import Cluster, Json, Key, Registry, State
    from tke_provider.emulator.nodes import NodeKeeper
    from tke_provider.emulator.registry import RegistryReader

T = TypeVar("T")


@dataclass(frozen=True)
class Settings:
    """What the program was started with.

    :param state: The state file.
    :param secret_id: The account's SecretId; ``""`` keeps the stored one or makes one.
    :param secret_key: Its SecretKey.
    :param kubeconfig: The real cluster behind ``cls-local000``.
    :param helm: The program that makes releases there: a path, or a name on ``PATH``.
    :param registry: URL of the real registry behind ``tcr-local000``.
    :param paces: What a fresh state's clock says.
    :param rate: Calls per second of one action and caller; 0 for no limit.
    :param pools: The ids of a fresh state's pools, by type: clouds in front of the same cluster want different ones.
    :param temporary: Nothing outlives the process: its Node objects are removed at its end.
    """

    state: Path
    secret_id: str = ""
    secret_key: str = field(default="", repr=False)
    kubeconfig: Path | None = None
    helm: str = "helm"
    registry: str = ""
    registry_user: str = ""
    registry_password: str = field(default="", repr=False)
    paces: dict[str, Pace] = field(default_factory=dict)
    rate: int = RATE
    pools: Mapping[str, str] = field(default_factory=states.FIRST_POOLS.copy)
    temporary: bool = False


class Cloud:
    """Everything a call can reach. Whoever touches the state holds ``lock``.

    :param settings: What the program was started with.
    :raises ValueError: The state file cannot be read.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.lock = threading.RLock()
        self.file = states.StateFile(settings.state)
        self.audit = Audit(settings.state.with_suffix(".audit.jsonl"))
        self.state = self._adopt(self.file.load())
        self.clock = Clock(self.state.paces)
        self.rate = RateLimit(settings.rate)
        self.nodes: NodeKeeper | None = None
        self.autoscaler: ClusterAutoscaler | None = None
        self.registry: RegistryReader | None = None
        self.cron_scalers: CronScalers | None = None
        self.helm: Helm | None = None
        self.save()

    def _adopt(self, stored: State | None) -> State:
        settings = self.settings
        made_id, made_key = states.new_secret()
        if stored is None:
            fresh = states.first_state(settings.secret_id or made_id, settings.secret_key or made_key, settings.pools)
            fresh.paces = dict(settings.paces)
            return fresh
        if settings.secret_id or settings.secret_key:
            key = stored.keys.pop(stored.root).secret_key
            stored.root = settings.secret_id or stored.root
            stored.keys[stored.root] = states.root_key(stored.uin, settings.secret_key or key)
        stored.paces.update(settings.paces)
        for cluster in stored.clusters.values():
            for pending in cluster.pending.values():
                if pending.state != "failed":
                    pending.state, pending.condition = "failed", "the emulator ended while helm was at work"
        return stored

    def reset(self) -> None:
        """Back to the first state; the account's key stays."""
        before = self.state
        self.state = states.first_state(before.root, before.keys[before.root].secret_key, self.settings.pools)
        self.state.owner = before.owner
        self.state.paces = dict(self.settings.paces)
        self.clock.paces = self.state.paces
        self.audit.clear()
        self.rate = RateLimit(self.settings.rate)
        self.save()

    def save(self) -> None:
        """Keep what has changed, and let the real cluster follow."""
        if self.file.save(self.state) and self.nodes:
            self.nodes.wake()

    def new_address(self) -> str:
        """An address for a machine that no other has."""
        self.state.serial += 1
        return f"10.0.{self.state.serial // 250}.{self.state.serial % 250 + 1}"


@dataclass(frozen=True)
class Call:
    """One request that has passed the front: the caller is known and the parameters are valid."""

    cloud: Cloud
    action: str
    region: str
    key: Key
    params: Json

    def cluster(self, code: str) -> Cluster:
        """The cluster of parameter ``ClusterId``.

        :param code: What this action answers if there is none: at least five codes are in use ([G], [T]).
        """
        clusters.settle(self.cloud)
        found = self.cloud.state.clusters.get(self.params["ClusterId"])
        if found is None or found.region != self.region:
            raise CloudError(code, f"cluster {self.params['ClusterId']} not found in {self.region}")
        return found

    def registry(self) -> Registry:
        """The registry of parameter ``RegistryId``."""
        found = self.cloud.state.registries.get(self.params["RegistryId"])
        if found is None or found.region != self.region:
            raise CloudError(
                "ResourceNotFound.TcrResourceNotFound",
                f"registry {self.params['RegistryId']} not found in {self.region}",
            )
        return found


if TYPE_CHECKING:
    Handler = Callable[[Call], Json]


def filters(call: Call, known: tuple[str, ...], code: str = "InvalidParameter.Param") -> dict[str, list[str]]:
    """The request's ``Filters`` as name to values.

    :param known: The names this action knows.
    :param code: What it answers to another. The message is that of a published example [M].
    """
    found: dict[str, list[str]] = defaultdict(list)
    for each in call.params.get("Filters", []):
        if each["Name"] not in known:
            raise CloudError(code, f"Filter Name:{each['Name']} not supported")
        found[each["Name"]] += each["Values"]
    return dict(found)


def page(items: list[T], params: Json) -> list[T]:
    """The rows from ``Offset`` on, ``Limit`` of them."""
    offset = params.get("Offset", 0)
    return items[offset : offset + limit_of(params)]


def limit_of(params: Json) -> int:
    """How many rows a page has: at most 100, by default 20, as with 0 in a published example [M]."""
    return min(params.get("Limit") or 20, 100)
