"""Where the parts are reached and with what login: for the demo, the tests and the shell."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from local import STATE
from local.part import Settings

if TYPE_CHECKING:
    from pathlib import Path

REGISTRY_PORT = 5050
EMULATOR_PORT = 8790
AIRFLOW_PORT = 8780

#: Images are named ``<REGISTRY_HOST>/<namespace>/<repository>``; the same for the engine and for pods.
REGISTRY_HOST = f"127.0.0.1:{REGISTRY_PORT}"
REGISTRY_USER = "tke"
REGISTRY_PASSWORD_FILE = STATE / "registry" / "password"
BASE_IMAGE = f"{REGISTRY_HOST}/base/python:bookworm"

#: BuildKit's daemon, as pods reach it; its certificates, and those of who may call it; what a pod calls it with.
BUILDKIT_ADDRESS = "tcp://10.199.0.1:16280"
BUILDKIT_FOLDER = STATE / "buildkit"
BUILDKIT_IMAGE = f"{REGISTRY_HOST}/base/buildkitd:v0.34.2"

#: Of the cluster that is started here.
KUBECONFIG_FILE = STATE / "kubernetes" / "admin.kubeconfig"

EMULATOR_URL = f"http://127.0.0.1:{EMULATOR_PORT}"
PROMETHEUS_URL = "http://127.0.0.1:16290"
#: Where Prometheus asks for what to scrape.
TARGETS_PORT = 16291
SECRET_ID = "AKIDlocalstack0000000000000000000000"  # noqa: S105 - an id, not a secret
SECRET_KEY_FILE = STATE / "emulator" / "secret_key"
REGION = "ap-guangzhou"
CLUSTER_ID = "cls-local000"
REGISTRY_ID = "tcr-local000"

GITEA_PORT = 8770
GITEA_URL = f"http://127.0.0.1:{GITEA_PORT}"
GITEA_USER = "shop"
GITEA_PASSWORD_FILE = STATE / "gitea" / "password"
SHOP_GIT_URL = f"{GITEA_URL}/{GITEA_USER}/shop.git"

AIRFLOW_URL = f"http://127.0.0.1:{AIRFLOW_PORT}"
AIRFLOW_USER = "admin"
#: User → password, as Airflow's SimpleAuthManager reads it.
AIRFLOW_LOGINS_FILE = STATE / "airflow" / "logins.json"
#: The connection that pushes to the Git host are delivered to, and the secret they are signed with.
PUSH_CONN_ID = "shop_push"
PUSH_SECRET_FILE = STATE / "airflow" / "push_secret"


@dataclass(frozen=True)
class Endpoints:
    """Addresses and logins of the stack that is up; passwords are left out of its ``repr``."""

    engine_host: str
    kubeconfig: Path
    registry_password: str = field(repr=False)
    secret_key: str = field(repr=False)
    airflow_password: str = field(repr=False)
    gitea_password: str = field(repr=False)
    registry_host: str = REGISTRY_HOST
    registry_user: str = REGISTRY_USER
    registry_password_file: Path = REGISTRY_PASSWORD_FILE
    base_image: str = BASE_IMAGE
    emulator_url: str = EMULATOR_URL
    prometheus_url: str = PROMETHEUS_URL
    secret_id: str = SECRET_ID
    region: str = REGION
    cluster_id: str = CLUSTER_ID
    registry_id: str = REGISTRY_ID
    gitea_url: str = GITEA_URL
    gitea_user: str = GITEA_USER
    airflow_url: str = AIRFLOW_URL
    airflow_user: str = AIRFLOW_USER

    def environment(self) -> dict[str, str]:
        """The same for a shell, under the names that kubectl, docker and tccli know."""
        return {
            "KUBECONFIG": str(self.kubeconfig),
            "DOCKER_HOST": self.engine_host,
            "REGISTRY": self.registry_host,
            "REGISTRY_USER": self.registry_user,
            "REGISTRY_PASSWORD": self.registry_password,
            "BASE_IMAGE": self.base_image,
            "TENCENTCLOUD_ENDPOINT": self.emulator_url,
            "TENCENTCLOUD_SECRET_ID": self.secret_id,
            "TENCENTCLOUD_SECRET_KEY": self.secret_key,
            "TENCENTCLOUD_REGION": self.region,
            "PROMETHEUS_URL": self.prometheus_url,
            "GITEA_URL": self.gitea_url,
            "GITEA_USER": self.gitea_user,
            "GITEA_PASSWORD": self.gitea_password,
            "AIRFLOW_URL": self.airflow_url,
            "AIRFLOW_USER": self.airflow_user,
            "AIRFLOW_PASSWORD": self.airflow_password,
        }


def read(settings: Settings | None = None) -> Endpoints:
    """Where everything is; what has never been up has an empty password.

    :param settings: of the stack; by default those of the one that is up.
    """
    from local import engine, owner

    if settings is None:
        recorded = owner.read()
        settings = recorded.settings if recorded else Settings()
    logins = json.loads(_text(AIRFLOW_LOGINS_FILE) or "{}")
    return Endpoints(
        engine_host=engine.host(),
        kubeconfig=kubeconfig(settings),
        registry_password=_text(REGISTRY_PASSWORD_FILE),
        secret_key=_text(SECRET_KEY_FILE),
        airflow_password=logins.get(AIRFLOW_USER, ""),
        gitea_password=_text(GITEA_PASSWORD_FILE),
    )


def kubeconfig(settings: Settings) -> Path:
    """The user's cluster where one is given, else ours."""
    return settings.kubeconfig or KUBECONFIG_FILE


def _text(file: Path) -> str:
    return file.read_text() if file.exists() else ""
