"""Kubeconfigs and keys on disk."""

from __future__ import annotations

import base64
import stat
from typing import TYPE_CHECKING

import pytest
import yaml

from local.kubernetes import identities
from local.kubernetes.certificates import Authority
from local.kubernetes.identities import kubeconfig

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    pki = tmp_path / "pki"
    monkeypatch.setattr(identities, "PKI", pki)
    monkeypatch.setattr(identities, "KUBECONFIG_FILE", tmp_path / "admin.kubeconfig")
    for name in ("CA_FILE", "CA_KEY_FILE", "SERVICE_ACCOUNT_KEY_FILE", "SERVICE_ACCOUNT_PUBLIC_FILE"):
        monkeypatch.setattr(identities, name, pki / getattr(identities, name).name)
    return tmp_path


def test_a_kubeconfig_needs_no_other_file() -> None:
    authority = Authority("a test's authority")
    pair = authority.issue("admin", ["system:masters"])
    read = yaml.safe_load(kubeconfig("https://10.199.0.1:16443", authority.pair.certificate, "admin", pair))
    cluster, user = read["clusters"][0]["cluster"], read["users"][0]["user"]
    assert cluster["server"] == "https://10.199.0.1:16443"
    assert base64.b64decode(cluster["certificate-authority-data"]).decode() == authority.pair.certificate
    assert base64.b64decode(user["client-certificate-data"]).decode() == pair.certificate
    assert base64.b64decode(user["client-key-data"]).decode() == pair.key


def test_the_current_context_leads_to_the_cluster_and_the_user() -> None:
    authority = Authority("a test's authority")
    read = yaml.safe_load(kubeconfig("https://x", authority.pair.certificate, "who", authority.issue("who")))
    (context,) = (entry["context"] for entry in read["contexts"] if entry["name"] == read["current-context"])
    assert context["cluster"] in [entry["name"] for entry in read["clusters"]]
    assert context["user"] in [entry["name"] for entry in read["users"]]


def test_nobody_else_can_read_a_key(folder: Path) -> None:
    identities.ensure_identities()
    secrets = [*folder.glob("pki/*.key"), *folder.rglob("*.kubeconfig")]
    assert len(secrets) == 2 * len(identities.IDENTITIES) + 2
    assert {stat.S_IMODE(file.stat().st_mode) for file in secrets} == {0o600}


def test_a_kubeconfig_stays_valid_when_the_cluster_starts_again(folder: Path) -> None:
    identities.ensure_identities()
    before = (folder / "admin.kubeconfig").read_text()
    identities.ensure_identities()
    assert (folder / "admin.kubeconfig").read_text() == before


def test_a_half_made_set_is_made_anew_as_a_whole(folder: Path) -> None:
    identities.ensure_identities()
    before = identities.CA_FILE.read_text()
    identities.DNS.kubeconfig_file.unlink()
    identities.ensure_identities()
    assert identities.CA_FILE.read_text() != before
    assert all(identity.kubeconfig_file.exists() for identity in identities.IDENTITIES)


def test_certificates_that_programs_serve_with_name_loopback_or_the_bridge_alone() -> None:
    addresses = {address for identity in identities.IDENTITIES for address in identity.addresses}
    numbers = {address for address in addresses if address[0].isdigit()}
    assert numbers == {"127.0.0.1", "10.199.0.1", "10.96.0.1"}
