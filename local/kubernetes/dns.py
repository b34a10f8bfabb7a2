"""CoreDNS on the bridge's address: services call one another by name."""

from __future__ import annotations

from typing import ClassVar

from local.kubernetes import ADDRESS, DNS_READY_PORT, DOMAIN
from local.kubernetes.daemons import daemon, healthy
from local.kubernetes.identities import DNS
from local.kubernetes.programs import SOURCE
from local.part import Part
from local.process import Daemon, wait_until


class Dns(Part):
    """Names of the cluster only: pods have no way to anything else."""

    name: ClassVar[str] = "dns"
    needs: ClassVar[tuple[str, ...]] = ("kubernetes",)

    def answers(self) -> bool:
        return self.settings.kubeconfig is not None or healthy(f"http://127.0.0.1:{DNS_READY_PORT}/ready")

    def start(self) -> None:
        corefile = self.folder / "Corefile"
        corefile.write_text(configuration())
        process = self._daemon()
        process.start()
        wait_until(self.answers, "CoreDNS answers", daemons=[process])

    def stop(self) -> None:
        self._daemon().stop()

    def _daemon(self) -> Daemon:
        return daemon(SOURCE.programs / "coredns", ["-conf", str(self.folder / "Corefile")], self.folder)


def configuration() -> str:
    """The Corefile. No cache: answers come from memory anyway, and a new service is known at once."""
    return f"""\
.:53 {{
    bind {ADDRESS}
    errors
    ready 127.0.0.1:{DNS_READY_PORT}
    kubernetes {DOMAIN} in-addr.arpa ip6.arpa {{
        kubeconfig {DNS.kubeconfig_file}
        pods insecure
    }}
}}
"""
