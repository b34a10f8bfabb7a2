"""prometheus-adapter: Prometheus' metrics as the API that the HPA reads, under TKE's names."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from local import StackError
from local import endpoints as at
from local.golang import Source, compiled
from local.kubernetes import ADDRESS, API_URL
from local.kubernetes.certificates import Authority
from local.kubernetes.cluster import kubectl
from local.kubernetes.daemons import environment, healthy
from local.kubernetes.identities import ADMIN
from local.part import Part
from local.process import Daemon, wait_until
from local.registry import write_secret

if TYPE_CHECKING:
    from collections.abc import Iterator

PORT = 16292
_NAMESPACE, _SERVICE = "kube-system", "metrics-adapter"
_AUTHENTICATION = ("extension-apiserver-authentication", "--namespace=kube-system")
_APIS = (("metrics.k8s.io", "v1beta1"), ("custom.metrics.k8s.io", "v1beta1"), ("custom.metrics.k8s.io", "v1beta2"))

SOURCE = Source(
    name="prometheus-adapter",
    version="v0.12.0",
    module=Path(__file__).parent,
    packages=("sigs.k8s.io/prometheus-adapter/cmd/adapter",),
    ldflags="",
    links={},
    minutes=3,
)


class Adapter(Part):
    """Runs beside the cluster, on the bridge; the API server passes questions about metrics on to it."""

    name: ClassVar[str] = "adapter"
    needs: ClassVar[tuple[str, ...]] = ("kubernetes", "prometheus")

    def answers(self) -> bool:
        # A cluster of the user's own has its own.
        return self.settings.kubeconfig is not None or all(
            healthy(f"{API_URL}/apis/{group}/{version}") for group, version in _APIS
        )

    def start(self) -> None:
        if "requestheader-client-ca-file" not in kubectl("get", "configmap", *_AUTHENTICATION, "--output=json"):
            # Made known to it all the same, the adapter would keep every namespace from being deleted.
            raise StackError("The API server that is up passes no questions on: `down kubernetes`, then `up` again")
        compiled(SOURCE)
        authority = Authority("airflow-provider-tke metrics adapter")
        pair = authority.issue(_SERVICE, (), (ADDRESS, f"{_SERVICE}.{_NAMESPACE}.svc"))
        write_secret(self._file("tls.crt"), pair.certificate)
        write_secret(self._file("tls.key"), pair.key)
        # The adapter reads YAML, of which JSON is a part.
        self._file("rules.yaml").write_text(json.dumps(rules(), indent=2))
        daemon = self._daemon()
        daemon.stop()  # it would go on with the certificate before
        daemon.start()
        known = {"apiVersion": "v1", "kind": "List", "items": list(objects(authority.pair.certificate))}
        self._file("objects.json").write_text(json.dumps(known))
        kubectl("apply", "--server-side", "--force-conflicts", "--filename", str(self._file("objects.json")))
        wait_until(self.answers, "the API server passes questions about metrics on", daemons=[daemon])

    def stop(self) -> None:
        # An API that is known and does not answer keeps every namespace from being deleted.
        if self._file("objects.json").exists() and healthy(f"{API_URL}/readyz"):
            kubectl("delete", "--ignore-not-found", "--filename", str(self._file("objects.json")))
            self._file("objects.json").unlink()
        self._daemon().stop()

    def _file(self, name: str) -> Path:
        return self.folder / name

    def _daemon(self) -> Daemon:
        options = {
            "config": self._file("rules.yaml"),
            "prometheus-url": at.PROMETHEUS_URL,
            # How often it looks which series there are; a new pod's are unknown until then.
            "metrics-relist-interval": "10s",
            "bind-address": ADDRESS,
            "secure-port": PORT,
            "tls-cert-file": self._file("tls.crt"),
            "tls-private-key-file": self._file("tls.key"),
            **{f"{what}-kubeconfig": ADMIN.kubeconfig_file for what in ("lister", "authentication", "authorization")},
        }
        argv = [str(SOURCE.programs / "adapter"), *(f"--{name}={value}" for name, value in options.items())]
        return Daemon(self.name, argv, self.log, self.folder, env=environment())


def rules() -> dict[str, Any]:
    """What it asks Prometheus for, by the adapter's own documentation ("Metrics Discovery and Presentation").

    CPU and memory are the kubelet's. Bytes a pod sends are the application's own count, because the bridge of this
    cluster has none per pod; they go by the name that the metric has in TKE.
    """
    cpu, memory = "container_cpu_usage_seconds_total", "container_memory_working_set_bytes"
    rate = "sum by (<<.GroupBy>>) (rate({}{{<<.LabelMatchers>>}}[30s]))"
    level = "sum by (<<.GroupBy>>) ({}{{<<.LabelMatchers>>}})"
    resources = {"overrides": {each: {"resource": each} for each in ("namespace", "pod", "node")}}
    common = {"resources": resources, "containerLabel": "container"}
    return {
        "resourceRules": {
            "cpu": {
                "containerQuery": rate.format(cpu),
                "nodeQuery": rate.format("node_cpu_usage_seconds_total"),
                **common,
            },
            "memory": {
                "containerQuery": level.format(memory),
                "nodeQuery": level.format("node_memory_working_set_bytes"),
                **common,
            },
            "window": "30s",
        },
        "rules": [
            _rule("http_response_bytes_total", "k8s_pod_network_transmit_bytes_bw", rate),
            _rule(cpu, "k8s_pod_cpu_core_used", rate),
            _rule(memory, "k8s_pod_mem_usage_bytes", level),
        ],
    }


def objects(authority: str) -> Iterator[dict[str, Any]]:
    """What makes the API server pass questions on: a service whose only endpoint is this process.

    :param authority: the certificate, as PEM, that the adapter's is signed with.
    """
    metadata = {"name": _SERVICE, "namespace": _NAMESPACE}
    port = {"name": "https", "port": 443, "targetPort": PORT, "protocol": "TCP"}
    yield {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": [port]}}
    yield {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {**metadata, "labels": {"kubernetes.io/service-name": _SERVICE}},
        "addressType": "IPv4",
        "ports": [{"name": "https", "port": PORT, "protocol": "TCP"}],
        "endpoints": [{"addresses": [ADDRESS], "conditions": {"ready": True}}],
    }
    for group, version in _APIS:
        spec = {
            "service": {**metadata, "port": 443},
            "group": group,
            "version": version,
            "caBundle": base64.b64encode(authority.encode()).decode(),
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
        }
        metadata_ = {"name": f"{version}.{group}"}
        yield {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": metadata_, "spec": spec}


def _rule(series: str, name: str, query: str) -> dict[str, Any]:
    return {
        "seriesQuery": f'{series}{{namespace!="",pod!=""}}',
        "resources": {"overrides": {each: {"resource": each} for each in ("namespace", "pod")}},
        "name": {"as": name},
        "metricsQuery": query.format("<<.Series>>"),
    }
