"""What is asked of iptables and of the CNI plug-ins."""

from __future__ import annotations

import ipaddress

from local.kubernetes import ADDRESS, BRIDGE, PODS, SERVICES
from local.kubernetes.network import RULES, chain_removal, cni_configuration

LISTING = """\
-P INPUT ACCEPT
-N DOCKER-USER
-N KUBE-FORWARD
-N KUBE-SERVICES
-A INPUT -m comment --comment "kubernetes health check service ports" -j KUBE-SERVICES
-A INPUT -j DOCKER-USER
-A KUBE-SERVICES -d 10.96.0.1/32 -j KUBE-FORWARD
-A DOCKER-USER -j RETURN
"""


def test_only_the_chains_of_kube_proxy_and_the_jumps_to_them_are_removed() -> None:
    assert chain_removal(LISTING) == [
        '-D INPUT -m comment --comment "kubernetes health check service ports" -j KUBE-SERVICES',
        "-F KUBE-FORWARD",
        "-F KUBE-SERVICES",
        "-X KUBE-FORWARD",
        "-X KUBE-SERVICES",
    ]


def test_a_table_without_kube_proxy_is_left_alone() -> None:
    assert chain_removal("-P INPUT ACCEPT\n-N DOCKER\n-A INPUT -j DOCKER\n") == []


def test_every_rule_is_about_the_bridge() -> None:
    assert all(BRIDGE in rule for rule in RULES)


def test_pods_are_let_through_to_pods_before_they_are_kept_from_the_rest() -> None:
    forward = [rule[2:] for rule in RULES if rule[:2] == ("filter", "FORWARD")]
    assert forward == [("-i", BRIDGE, "-o", BRIDGE, "-j", "ACCEPT"), ("-i", BRIDGE, "-j", "DROP")]


def test_no_pod_is_given_the_address_of_the_bridge_or_of_a_service() -> None:
    (ranges,) = cni_configuration()["plugins"][0]["ipam"]["ranges"]  # type: ignore[index]
    (given,) = ranges
    assert (given["subnet"], given["gateway"]) == (PODS, ADDRESS)
    assert not ipaddress.ip_network(PODS).overlaps(ipaddress.ip_network(SERVICES))
