"""KEDA's operator, as a process beside the cluster."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from local.golang import Source, compiled, module_folder
from local.kubernetes import API_URL
from local.kubernetes.certificates import Authority
from local.kubernetes.cluster import kubectl
from local.kubernetes.daemons import environment, healthy
from local.kubernetes.identities import ADMIN
from local.part import Part
from local.process import Daemon, wait_until
from local.registry import write_secret

HEALTH_PORT = 16293
METRICS_PORT = 16294
MODULE = "github.com/kedacore/keda/v2"
_CLUSTER_OBJECTS = "kube-system"
_API = f"{API_URL}/apis/keda.sh/v1alpha1"

SOURCE = Source(
    name="keda",
    version="v2.21.0",
    module=Path(__file__).parent,
    packages=(f"{MODULE}/cmd/operator",),
    ldflags=f"-X {MODULE}/version.Version=2.21.0",
    links={},
    minutes=8,
    go=(1, 26),
)


class Keda(Part):
    """Writes HPAs and moves sizes between zero and one; its server of external metrics is left out.

    Without that, an HPA of its making moves a size to its bounds, but not between them by a trigger's metric.
    """

    name: ClassVar[str] = "keda"
    needs: ClassVar[tuple[str, ...]] = ("kubernetes",)
    on_request: ClassVar[bool] = True

    def answers(self) -> bool:
        # A cluster of the user's own has its own.
        return self.settings.kubeconfig is not None or (
            healthy(f"http://127.0.0.1:{HEALTH_PORT}/readyz") and healthy(_API)
        )

    def start(self) -> None:
        compiled(SOURCE)
        authority = Authority("airflow-provider-tke KEDA")
        pair = authority.issue("keda", (), ("127.0.0.1",))
        write_secret(self.folder / "ca.crt", authority.pair.certificate)
        write_secret(self.folder / "tls.crt", pair.certificate)
        write_secret(self.folder / "tls.key", pair.key)
        kinds = module_folder(SOURCE, MODULE) / "config" / "crd"
        self._kinds.write_text(kubectl("kustomize", str(kinds)))
        kubectl("apply", "--server-side", "--force-conflicts", "--filename", str(self._kinds))
        kubectl("wait", "--for=condition=Established", "--timeout=30s", "--filename", str(self._kinds))
        daemon = self._daemon()
        daemon.start()
        wait_until(self.answers, "KEDA's operator answers", daemons=[daemon])

    def stop(self) -> None:
        daemon = self._daemon()
        if self._kinds.exists() and healthy(_API):
            # Each object keeps its namespace from being deleted until the operator lets it go, and nobody else does.
            daemon.start()
            kubectl("delete", "--ignore-not-found", "--timeout=60s", "--filename", str(self._kinds))
        self._kinds.unlink(missing_ok=True)
        daemon.stop()

    @property
    def _kinds(self) -> Path:
        return self.folder / "kinds.yaml"

    def _daemon(self) -> Daemon:
        options = {
            "enable-prometheus-metrics": "false",
            "health-probe-bind-address": f"127.0.0.1:{HEALTH_PORT}",
            # For its server of external metrics. It would not start without.
            "metrics-service-bind-address": f"127.0.0.1:{METRICS_PORT}",
            "cert-dir": self.folder,
        }
        env = {
            **environment(),
            "KUBECONFIG": str(ADMIN.kubeconfig_file),
            "WATCH_NAMESPACE": "",
            "POD_NAMESPACE": _CLUSTER_OBJECTS,
            "KEDA_CLUSTER_OBJECT_NAMESPACE": _CLUSTER_OBJECTS,
        }
        argv = [str(SOURCE.programs / "operator"), *(f"--{name}={value}" for name, value in options.items())]
        return Daemon(self.name, argv, self.log, self.folder, env=env)
