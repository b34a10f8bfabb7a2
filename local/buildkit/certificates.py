"""Who may build: certificates of an authority for this daemon alone, since whoever builds is as good as root."""

from __future__ import annotations

from local.endpoints import BUILDKIT_FOLDER
from local.kubernetes import ADDRESS
from local.kubernetes.certificates import Authority
from local.lock import locked
from local.registry import write_secret


def issue_certificates() -> None:
    """Make them, once: the daemon serves with them, and Airflow's connection holds the client's."""
    folder = BUILDKIT_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, "make BuildKit's certificates"):
        if (folder / "client-key.pem").exists():
            return
        authority = Authority("buildkit")
        pairs = {"server": authority.issue("buildkitd", addresses=[ADDRESS]), "client": authority.issue("buildctl")}
        (folder / "ca.pem").write_text(authority.pair.certificate)
        for name, pair in pairs.items():
            (folder / f"{name}.pem").write_text(pair.certificate)
            write_secret(folder / f"{name}-key.pem", pair.key)
