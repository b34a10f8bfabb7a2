"""The bridge that pods sit on, and what the firewall must know about it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from local import StackError
from local.kubernetes import ADDRESS, BRIDGE, FOLDER, PODS, SERVICES
from local.process import run

CNI_CONFIGURATION = FOLDER / "cni" / "net.d"
CNI_STATE = FOLDER / "cni" / "addresses"
NETWORK = "tke-local"

_MARK = ("-m", "comment", "--comment", "airflow-provider-tke")
#: In the order in which they must stand at the head of their chains. dockerd sets the FORWARD policy to DROP, and
#: bridged packets pass there. The rest keeps the machine's network out of the bridge, and pods out of that network.
RULES = (
    ("INPUT", "-i", BRIDGE, "-j", "ACCEPT"),
    ("INPUT", "-d", PODS, "-m", "addrtype", "!", "--src-type", "LOCAL", "-j", "DROP"),
    ("FORWARD", "-i", BRIDGE, "-o", BRIDGE, "-j", "ACCEPT"),
    ("FORWARD", "-i", BRIDGE, "-j", "DROP"),
    ("FORWARD", "-o", BRIDGE, "-j", "DROP"),
)

#: Chains of kube-proxy. Its own --cleanup leaves some of them.
_PROXY_CHAINS = "KUBE-"
_TABLES = ("filter", "nat", "mangle")


def network_is_up() -> bool:
    """Whether the bridge and the firewall's rules are there: a restarted firewall forgets rules of others."""
    return _bridge_exists() and all(_succeeds("iptables", "-w", "-C", *_rule(rule)) for rule in RULES)


def set_up_network() -> None:
    """Make the bridge with its gateway address, the route to services, the rules and the CNI configuration."""
    if not _bridge_exists():
        # Pods call services through the bridge itself: its traffic has to pass iptables, and come back to it.
        _ip("link", "add", BRIDGE, "type", "bridge", "nf_call_iptables", "1")
        _ip("address", "add", f"{ADDRESS}/24", "dev", BRIDGE)
        _ip("link", "set", BRIDGE, "up")
        # Calls of a service that does not exist stay here instead of leaving by the default route.
        _ip("route", "add", SERVICES, "dev", BRIDGE)
        # For this device only, unlike net.ipv4.ip_forward, and gone with it.
        Path(f"/proc/sys/net/ipv4/conf/{BRIDGE}/forwarding").write_text("1")
    _remove_rules()
    for rule in reversed(RULES):
        run(["iptables", "-w", "-I", *_rule(rule)], "adding a firewall rule for the bridge")
    CNI_CONFIGURATION.mkdir(parents=True, exist_ok=True)
    (CNI_CONFIGURATION / "10-bridge.conflist").write_text(json.dumps(cni_configuration(), indent=2))


def cni_configuration() -> dict[str, object]:
    """How a pod gets onto the bridge.

    No ``portmap``: a host port would listen on the machine's network.
    """
    ipam = {
        "type": "host-local",
        "ranges": [[{"subnet": PODS, "gateway": ADDRESS}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": str(CNI_STATE),
    }
    # hairpinMode: a pod that calls its own service is sent back through the port it came from.
    bridge = {"type": "bridge", "bridge": BRIDGE, "isGateway": True, "hairpinMode": True, "ipam": ipam}
    return {"cniVersion": "0.4.0", "name": NETWORK, "plugins": [bridge]}


def tear_down_network() -> None:
    """Remove the bridge and every rule and chain of ours and kube-proxy's; harmless when there is none."""
    _remove_rules()
    for program in ("iptables", "ip6tables"):
        for table in _TABLES:
            _remove_proxy_chains(program, table)
    if _bridge_exists():
        _ip("link", "delete", BRIDGE)


def _remove_rules() -> None:
    for rule in RULES:
        while _succeeds("iptables", "-w", "-D", *_rule(rule)):
            pass


def _remove_proxy_chains(program: str, table: str) -> None:
    # -S reads only: it neither creates nor loads the table's own chains.
    listed = subprocess.run([program, "-w", "-t", table, "-S"], check=False, capture_output=True, text=True)
    changes = chain_removal(listed.stdout)
    if changes:
        text = "\n".join((f"*{table}", *changes, "COMMIT", ""))
        run([f"{program}-restore", "--wait", "--noflush"], "removing kube-proxy's firewall rules", text=text)


def chain_removal(listing: str) -> list[str]:
    """What ``iptables-restore`` must do to a table, listed by ``iptables -S``, to rid it of kube-proxy's chains.

    Chains are emptied before any is deleted, since they refer to one another.
    """
    lines = listing.splitlines()
    chains = [line.split()[1] for line in lines if line.startswith(f"-N {_PROXY_CHAINS}")]
    jumps = [
        line.replace("-A", "-D", 1)
        for line in lines
        if line.startswith("-A") and not line.startswith(f"-A {_PROXY_CHAINS}") and f"-j {_PROXY_CHAINS}" in line
    ]
    return [*jumps, *(f"-F {chain}" for chain in chains), *(f"-X {chain}" for chain in chains)]


def _rule(rule: tuple[str, ...]) -> tuple[str, ...]:
    return (*rule, *_MARK)


def _bridge_exists() -> bool:
    return Path(f"/sys/class/net/{BRIDGE}").exists()


def _ip(*arguments: str) -> None:
    run(["ip", *arguments], "setting up the bridge")


def _succeeds(*argv: str) -> bool:
    try:
        return subprocess.run(argv, check=False, capture_output=True).returncode == 0
    except FileNotFoundError as e:
        raise StackError(f"{argv[0]} is missing; run: apt-get install iptables iproute2") from e
