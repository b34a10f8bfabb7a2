"""Debian's Prometheus: the metrics of the pods that ask to be scraped, and of the node's CPU and memory."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, ClassVar

from local import ROOT
from local import endpoints as at
from local.kubernetes import ADDRESS, API_PORT, NODE
from local.kubernetes.daemons import environment, healthy
from local.kubernetes.identities import ADMIN, CA_FILE
from local.packages import need
from local.part import Part
from local.process import Daemon, stop_all, wait_until

if TYPE_CHECKING:
    from pathlib import Path

_TARGETS_URL = f"http://127.0.0.1:{at.TARGETS_PORT}/"
_INTERVAL = "5s"
_RETENTION = "2d"


class Prometheus(Part):
    """Listens on loopback; what it has seen outlives ``down``."""

    name: ClassVar[str] = "prometheus"
    needs: ClassVar[tuple[str, ...]] = ("kubernetes",)

    def answers(self) -> bool:
        return healthy(f"{at.PROMETHEUS_URL}/-/ready") and healthy(_TARGETS_URL)

    def start(self) -> None:
        need("prometheus")
        # Prometheus reads YAML, of which JSON is a part.
        self._config.write_text(json.dumps(self.configuration(), indent=2))
        daemons = self._daemons()
        for daemon in daemons:
            daemon.start()
        wait_until(self.answers, "Prometheus answers", daemons=daemons)

    def stop(self) -> None:
        stop_all(self._daemons())

    def configuration(self) -> dict[str, Any]:
        """What is scraped; the kubelet only where its certificates are ours."""
        pods = {"job_name": "pods", "http_sd_configs": [{"url": _TARGETS_URL, "refresh_interval": _INTERVAL}]}
        jobs = [pods] if self.settings.kubeconfig else [pods, _kubelet()]
        return {"global": {"scrape_interval": _INTERVAL, "scrape_timeout": "4s"}, "scrape_configs": jobs}

    @property
    def _config(self) -> Path:
        return self.folder / "prometheus.yml"

    def _daemons(self) -> list[Daemon]:
        targets = [sys.executable, "-m", "local.targets", "--port", str(at.TARGETS_PORT)]
        targets += ["--kubeconfig", str(at.kubeconfig(self.settings))]
        # Simulated pods have no metrics, and may be many.
        targets += [] if self.settings.kubeconfig else ["--node", NODE]
        options = {
            "config.file": self._config,
            "web.listen-address": at.PROMETHEUS_URL.removeprefix("http://"),
            "storage.tsdb.path": self.folder / "data",
            "storage.tsdb.retention.time": _RETENTION,
        }
        server = ["prometheus", *(f"--{name}={value}" for name, value in options.items())]
        env = environment()
        return [
            Daemon("targets", targets, self.folder / "targets.log", self.folder, env=env, cwd=ROOT),
            Daemon(self.name, server, self.log, self.folder, env=env),
        ]


def _kubelet() -> dict[str, Any]:
    """CPU and memory of node and pods. The kubelet is reached through the API server, as anybody reaches it."""
    return {
        "job_name": "kubelet",
        "scheme": "https",
        "metrics_path": f"/api/v1/nodes/{NODE}/proxy/metrics/resource",
        "static_configs": [{"targets": [f"{ADDRESS}:{API_PORT}"], "labels": {"node": NODE}}],
        "tls_config": {
            "ca_file": str(CA_FILE),
            "cert_file": str(ADMIN.certificate_file),
            "key_file": str(ADMIN.key_file),
        },
    }
