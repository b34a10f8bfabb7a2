"""TKE's add-on ``tke-hpc-controller``: what a HorizontalPodCronscaler says happens in the real cluster.

Fields as in Tencent Cloud document 457/40956: six cron fields with the second first, on the clock of the cluster's
nodes, which here is this machine's. What was due while nobody looked is not made up for [G].
"""

from __future__ import annotations

import logging
import threading
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tke_provider.emulator.models import Json

log = logging.getLogger(__name__)

GROUP, VERSION, PLURAL = "autoscaling.cloud.tencent.com", "v1", "horizontalpodcronscalers"
_ROUND_SECONDS = 2
_NOT_FOUND, _CONFLICT = 404, 409
_SECOND = timedelta(seconds=1)


class Due(NamedTuple):
    """A rule whose time has come."""

    at: datetime
    scaler: str
    target: Json
    rule: Json


class CronScalers:
    """Plays the controller.

    :param api: A ``kubernetes.client.CoreV1Api`` of the cluster.
    :param now: Its clock; replaced where a test needs another time.
    """

    def __init__(self, api: Any, now: Callable[[], datetime] = lambda: datetime.now().astimezone()) -> None:
        self._client = api.api_client
        self._now = now
        self._since = now()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cron-scalers", daemon=True)

    def start(self) -> None:
        """Begin: install the kind of object where the cluster has none, and look every few seconds."""
        self._thread.start()

    def stop(self) -> None:
        """End, after the round that is under way."""
        self._stopped.set()
        self._thread.join()

    def reconcile(self) -> list[Due]:
        """Let happen what became due since the last look, the earliest first, and return it."""
        since, self._since = self._since, self._now()
        return self.happen(since, self._since)

    def happen(self, since: datetime, until: datetime) -> list[Due]:
        """Let happen what is due after an instant and until another, and return it."""
        happened = sorted(
            (each for scaler in self._scalers() for each in due(scaler, since, until)), key=lambda each: each.at
        )
        for each in happened:
            self._apply(each)
        return happened

    def install(self) -> None:
        """Make the cluster serve the kind, as the add-on does."""
        from kubernetes import client

        try:
            client.ApiextensionsV1Api(self._client).create_custom_resource_definition(_definition())
        except client.ApiException as e:
            if e.status != _CONFLICT:
                raise

    def _scalers(self) -> list[Json]:
        from kubernetes import client

        try:
            found = client.CustomObjectsApi(self._client).list_cluster_custom_object(GROUP, VERSION, PLURAL)
        except client.ApiException as e:
            if e.status != _NOT_FOUND:
                raise
            return []
        return list(found["items"])

    def _apply(self, each: Due) -> None:
        from kubernetes import client

        name, namespace = each.target["name"], each.target["namespace"]
        size = {"spec": {"replicas": each.rule.get("targetSize")}}
        bounds = {"spec": {"minReplicas": each.rule.get("minSize"), "maxReplicas": each.rule.get("maxSize")}}
        apps = client.AppsV1Api(self._client)
        write, body = {
            "deployment": (apps.patch_namespaced_deployment, size),
            "statefulset": (apps.patch_namespaced_stateful_set, size),
            "horizontalpodautoscaler": (
                client.AutoscalingV2Api(self._client).patch_namespaced_horizontal_pod_autoscaler,
                bounds,
            ),
        }[str(each.target["kind"]).lower()]
        try:
            write(name, namespace, body)
            log.info("%s: rule %s, due at %s: %s", each.scaler, each.rule.get("name"), each.at, body["spec"])
        except client.ApiException as e:
            log.warning("%s: rule %s cannot be carried out: HTTP %s", each.scaler, each.rule.get("name"), e.status)

    def _run(self) -> None:
        self._careful(self.install)
        while not self._stopped.wait(_ROUND_SECONDS):
            self._careful(self.reconcile)

    def _careful(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as e:  # noqa: BLE001 - the cluster may be down; the next round tries again
            log.warning("cannot look after HorizontalPodCronscalers: %s", e)


def due(scaler: Json, since: datetime, until: datetime) -> Iterator[Due]:
    """What of a scaler is due after an instant and until another: of each rule its last time in between."""
    from croniter import croniter

    spec, metadata = scaler["spec"], scaler["metadata"]
    target = {"namespace": metadata["namespace"], **spec["scaleTarget"]}
    for rule in spec.get("crons") or ():
        try:
            at = croniter(rule["schedule"], until + _SECOND, datetime, second_at_beginning=True).get_prev()
            excluded = any(_on_day(each, at) for each in rule.get("excludeDates") or ())
        except (KeyError, ValueError) as e:
            log.warning("%s: rule %s cannot be understood: %s", metadata["name"], rule.get("name"), e)
            continue
        if since < at <= until and not excluded:
            yield Due(at, f"{metadata['namespace']}/{metadata['name']}", target, rule)


def _on_day(expression: str, at: datetime) -> bool:
    """Whether a six-field expression means the day of an instant; its first three fields do not count."""
    from croniter import croniter

    days = " ".join(["*"] * 3 + expression.split()[3:])
    return bool(croniter.match(days, at, second_at_beginning=True))


def _definition() -> Json:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": VERSION, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {
        "kind": "HorizontalPodCronscaler",
        "plural": PLURAL,
        "singular": "horizontalpodcronscaler",
        "shortNames": ["hpc"],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }
