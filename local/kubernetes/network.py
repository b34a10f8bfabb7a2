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
_FROM_OUTSIDE = ("!", "-i", BRIDGE, "-m", "addrtype", "!", "--src-type", "LOCAL")
#: Each with its table, in the order in which they must stand at the head of their chains.
RULES = (
    # Only pods and this machine itself may call pods, services and the bridge's address.
    ("raw", "PREROUTING", "-d", PODS, *_FROM_OUTSIDE, "-j", "DROP"),
    ("raw", "PREROUTING", "-d", SERVICES, *_FROM_OUTSIDE, "-j", "DROP"),
    ("filter", "INPUT", "-i", BRIDGE, "-j", "ACCEPT"),
    # dockerd sets the policy to DROP, and bridged packets pass here.
    ("filter", "FORWARD", "-i", BRIDGE, "-o", BRIDGE, "-j", "ACCEPT"),
    # Nothing of the pods reaches the machine's network.
    ("filter", "FORWARD", "-i", BRIDGE, "-j", "DROP"),
)

#: Chains of kube-proxy. Its own --cleanup leaves some of them.
_PROXY_CHAINS = "KUBE-"
_TABLES = ("filter", "nat", "mangle")


def network_is_up() -> bool:
    """Whether the bridge and the firewall's rules are there: a restarted firewall forgets rules of others."""
    return bridge_exists() and all(_succeeds(*_command("-C", rule)) for rule in RULES)


def set_up_network() -> None:
    """Make the bridge with its gateway address, the route to services, the rules and the CNI configuration."""
    if not bridge_exists():
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
        run(_command("-I", rule), "adding a firewall rule for the bridge")
    CNI_CONFIGURATION.mkdir(parents=True, exist_ok=True)
    file = CNI_CONFIGURATION / "10-bridge.conflist"
    # containerd reads it at every change, even half written.
    if not file.exists():
        file.write_text(json.dumps(cni_configuration(), indent=2))


def cni_configuration() -> dict[str, object]:
    """How a pod gets onto the bridge.

    No ``portmap``: a host port would listen on the machine's network.
    """
    ipam = {
        "type": "host-local",
        "ranges": [[{"subnet": PODS, "gateway": ADDRESS}]],
        "routes": [{"dst": "0.0.0.0/0", "gw": ADDRESS}],
        "dataDir": str(CNI_STATE),
    }
    # hairpinMode: a pod that calls its own service is sent back through the port it came from. Not isGateway: the
    # bridge has its address already, and the plug-in would switch on forwarding for the whole machine.
    bridge = {"type": "bridge", "bridge": BRIDGE, "hairpinMode": True, "ipam": ipam}
    return {"cniVersion": "0.4.0", "name": NETWORK, "plugins": [bridge]}


def tear_down_network() -> None:
    """Remove the bridge and every rule and chain of ours and kube-proxy's.

    Without a bridge or a rule of ours, kube-proxy's chains are those of somebody else's cluster.
    """
    if not bridge_exists() and not any(_succeeds(*_command("-C", rule)) for rule in RULES):
        return
    _remove_rules()
    for program in ("iptables", "ip6tables"):
        for table in _TABLES:
            _remove_proxy_chains(program, table)
    if bridge_exists():
        _ip("link", "delete", BRIDGE)


def _remove_rules() -> None:
    for rule in RULES:
        while _succeeds(*_command("-D", rule)):
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


def _command(action: str, rule: tuple[str, ...]) -> tuple[str, ...]:
    table, chain, *matches = rule
    return ("iptables", "-w", "-t", table, action, chain, *_MARK, *matches)


def bridge_exists() -> bool:
    """Whether the bridge is there; pods that were on one that is gone are cut off for good."""
    return Path(f"/sys/class/net/{BRIDGE}").exists()


def _ip(*arguments: str) -> None:
    run(["ip", *arguments], "setting up the bridge")


def _succeeds(*argv: str) -> bool:
    try:
        return subprocess.run(argv, check=False, capture_output=True).returncode == 0
    except FileNotFoundError as e:
        raise StackError(f"{argv[0]} is missing; run: apt-get install iptables iproute2") from e
