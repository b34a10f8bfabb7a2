"""Traefik, as a process beside the cluster: its Ingresses of ingress-nginx's class, served on loopback."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from local.golang import Source, compiled
from local.kubernetes.daemons import environment, healthy
from local.kubernetes.identities import ADMIN
from local.part import Part
from local.process import Daemon, wait_until

PORT = 16295
HEALTH_PORT = 16296
URL = f"http://127.0.0.1:{PORT}"
MODULE = "github.com/traefik/traefik/v3"

SOURCE = Source(
    name="traefik",
    version="v3.7.13",
    module=Path(__file__).parent,
    packages=(f"{MODULE}/cmd/traefik",),
    ldflags="",
    links={},
    minutes=4,
    filled={"lego": "github.com/go-acme/lego/v5@v5.4.1"},
    go=(1, 26),
)


class Ingress(Part):
    """Serves every Ingress whose class is that of ``k8s.io/ingress-nginx``, by its Host, on one port."""

    name: ClassVar[str] = "ingress"
    needs: ClassVar[tuple[str, ...]] = ("kubernetes",)
    on_request: ClassVar[bool] = True

    def answers(self) -> bool:
        # A cluster of the user's own has its own.
        return self.settings.kubeconfig is not None or healthy(f"http://127.0.0.1:{HEALTH_PORT}/ping")

    def start(self) -> None:
        compiled(SOURCE)
        daemon = self._daemon()
        daemon.start()
        wait_until(self.answers, "the ingress controller answers", daemons=[daemon])

    def stop(self) -> None:
        self._daemon().stop()

    def _daemon(self) -> Daemon:
        options = {
            "global.checknewversion": "false",
            "global.sendanonymoususage": "false",
            "entrypoints.web.address": f"127.0.0.1:{PORT}",
            "entrypoints.traefik.address": f"127.0.0.1:{HEALTH_PORT}",
            "ping": "true",
            "providers.kubernetesingressnginx": "true",
            # A request that it asks a second pod for would be lost without anybody knowing.
            "providers.kubernetesingressnginx.proxynextupstream": "off",
        }
        argv = [str(SOURCE.programs / "traefik"), *(f"--{name}={value}" for name, value in options.items())]
        env = {**environment(), "KUBECONFIG": str(ADMIN.kubeconfig_file)}
        return Daemon(self.name, argv, self.log, self.folder, env=env)
