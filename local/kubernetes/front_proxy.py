"""What the API server proves itself with where it passes a question on to another one (API aggregation).

An authority of its own: whoever is signed by it is believed whatever user they name, so it must not be the one that
signs everybody's certificate (https://kubernetes.io/docs/tasks/extend-kubernetes/configure-aggregation-layer/).
"""

from __future__ import annotations

from local.kubernetes import FOLDER
from local.kubernetes.certificates import Authority
from local.registry import write_secret

_NAME = "front-proxy-client"
_FOLDER = FOLDER / "front-proxy"
_CA, _CERTIFICATE, _KEY = (_FOLDER / name for name in ("ca.crt", "client.crt", "client.key"))


def ensure_front_proxy() -> None:
    """Make its authority and certificate, unless they are there; they are gone after ``down``."""
    if _KEY.exists():
        return
    _FOLDER.mkdir(parents=True, exist_ok=True)
    authority = Authority("airflow-provider-tke front proxy")
    pair = authority.issue(_NAME)
    _CA.write_text(authority.pair.certificate)
    _CERTIFICATE.write_text(pair.certificate)
    write_secret(_KEY, pair.key)


def front_proxy_flags() -> tuple[str, ...]:
    """The API server's flags for it."""
    return (
        f"--requestheader-client-ca-file={_CA}",
        f"--requestheader-allowed-names={_NAME}",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={_CERTIFICATE}",
        f"--proxy-client-key-file={_KEY}",
        # What it passes questions on to runs beside the cluster, where service addresses need not lead.
        "--enable-aggregator-routing",
    )
