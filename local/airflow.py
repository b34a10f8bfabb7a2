"""Airflow as it is run: API server, scheduler, DAG processor, triggerer, LocalExecutor."""

from __future__ import annotations

import json
import os
import secrets
import sys
import urllib.request
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

from local import ROOT, StackError, engine
from local import endpoints as at
from local.buildkit.certificates import issue_certificates
from local.emulator import secret_key
from local.part import Part
from local.postgres import Postgres
from local.process import Daemon, run, stop_all, wait_until
from local.registry import write_secret

#: Scheduler and triggerer would serve their logs on every network of the machine; the API server reads the files.
_PROGRAMS = {
    "api-server": (),
    "scheduler": ("--skip-serve-logs",),
    "dag-processor": (),
    "triggerer": ("--skip-serve-logs",),
}
#: What each is called in the answer to a health question.
_HEALTH = ("metadatabase", "scheduler", "dag_processor", "triggerer")
#: The heavy packages that tasks of ours import; not our own, which change under a developer's hands.
_PRELOADED = (
    "airflow.sdk.execution_time.task_runner",
    "airflow.providers.docker.hooks.docker",
    "git",
    "httpx",
    "junitparser",
    "tencentcloud.common.common_client_async",
)
_USERS = {"admin": "admin", "operator": "op", "user": "user", "viewer": "viewer"}


class Airflow(Part):
    """An Airflow of its own, on the checkout's ``dags/`` and the installed provider."""

    name: ClassVar[str] = "airflow"
    needs: ClassVar[tuple[str, ...]] = ("engine", "registry")

    @property
    def log(self) -> Path:
        return self.folder / "scheduler.log"

    def answers(self) -> bool:
        if not self._runs_on(self.settings.database):
            return False
        # The health page trusts heartbeats of the last 30 s, also those of somebody killed since.
        return all(daemon.pid_file.exists() and daemon.running() for daemon in self._daemons({})) and _healthy()

    def start(self) -> None:
        if not self._runs_on(self.settings.database):
            self.stop()
        if self.settings.database == "postgres" and not self._postgres.answers():
            # What loses its database ends, sooner or later.
            stop_all(self._daemons({}))
            self._postgres.start()
        environment = self.environment()
        self._migrate(environment)
        (self.folder / "database").write_text(self.settings.database)
        daemons = self._daemons(environment)
        began = datetime.now(timezone.utc)
        for daemon in daemons:
            daemon.start()
        wait_until(lambda: _healthy(began), "Airflow is healthy", timeout=120, daemons=daemons)

    def stop(self) -> None:
        stop_all(self._daemons({}))
        self._postgres.stop()

    def _runs_on(self, database: str) -> bool:
        """Whether its processes, if there are any, were started on this database."""
        mark = self.folder / "database"
        return mark.exists() and mark.read_text() == database

    @property
    def _postgres(self) -> Postgres:
        return Postgres(self.folder / "postgres")

    def _daemons(self, environment: dict[str, str]) -> list[Daemon]:
        program = str(_program())
        return [
            Daemon(name, [program, name, *options], self.folder / f"{name}.log", self.folder, environment, self.folder)
            for name, options in _PROGRAMS.items()
        ]

    def environment(self) -> dict[str, str]:
        """The whole environment of its processes: ours, but no other Airflow's."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
        # Without compiled modules each start and each task's imports take twice as long.
        inherited.pop("PYTHONDONTWRITEBYTECODE", None)
        path = f"{_program().parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        return {**inherited, "PATH": path, "DOCKER_HOST": engine.host(), **self.variables()}

    def variables(self) -> dict[str, str]:
        """Everything Airflow is told; nothing of it stands in a file that could go stale."""
        return {
            "AIRFLOW_HOME": str(self.folder),
            # What the example DAGs would else have to be edited for.
            "BASE_IMAGE": at.BASE_IMAGE,
            "SHOP_GIT_URL": at.SHOP_GIT_URL,
            "TKE_CLUSTER_ID": at.CLUSTER_ID,
            "BUILDKIT_IMAGE": at.BUILDKIT_IMAGE,
            # A daemon in a pod reaches the registry, which listens on loopback, by the node's own network.
            "BUILDKIT_POD_SPEC": json.dumps({"hostNetwork": True}),
            **{f"AIRFLOW__{name}": value for name, value in self._options().items()},
            **{f"AIRFLOW_CONN_{name}": json.dumps(value) for name, value in _connections().items()},
        }

    def _options(self) -> dict[str, str]:
        postgres = self.settings.database == "postgres"
        database = self._postgres.url() if postgres else f"sqlite:///{self._data / 'airflow.db'}"
        return {
            "CORE__DAGS_FOLDER": str(ROOT / "dags"),
            "CORE__LOAD_EXAMPLES": "False",
            # Examples with a schedule begin when somebody switches them on.
            "CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
            "CORE__EXECUTOR": "LocalExecutor",
            # More workers than this lock one another out of SQLite.
            "CORE__PARALLELISM": "8" if postgres else "4",
            "CORE__FERNET_KEY": self._secret("fernet_key"),
            "CORE__TEST_CONNECTION": "Enabled",
            "CORE__EXECUTION_API_SERVER_URL": f"{at.AIRFLOW_URL}/execution/",
            "CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{user}:{role}" for user, role in _USERS.items()),
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(_logins()),
            "DATABASE__SQL_ALCHEMY_CONN": database,
            "API__HOST": "127.0.0.1",
            "API__PORT": str(at.AIRFLOW_PORT),
            "API__BASE_URL": at.AIRFLOW_URL,
            "API__SECRET_KEY": self._secret("api_key"),
            "API_AUTH__JWT_SECRET": self._secret("jwt_key"),
            # A second's rest between any two tasks is most of a quick pipeline's time.
            "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.1",
            # Every task is a fork of the scheduler's workers: what these have imported costs it nothing.
            "SCHEDULER__MP_START_METHOD": "forkserver",
            "SCHEDULER__MP_FORKSERVER_PRELOAD": ",".join(_PRELOADED),
            # A worker may notice only at its next heartbeat that a task has ended.
            "WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
            # An edited DAG is there while its author still looks.
            "DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
        }

    @property
    def _data(self) -> Path:
        return self.folder / self.settings.database

    def _secret(self, name: str) -> str:
        file = self.folder / name
        if not file.exists():
            # 32 bytes in base64 with its padding is what Fernet wants, and good for the others.
            write_secret(file, secrets.token_urlsafe(32) + "=")
        return file.read_text()

    def _migrate(self, environment: dict[str, str]) -> None:
        """Bring the database to this Airflow's schema; a start on one that is there already saves the seconds."""
        self._data.mkdir(exist_ok=True)
        mark = self.folder / f"{self.settings.database}.schema"
        installed = version("apache-airflow-core")
        if mark.exists() and mark.read_text() == installed and any(self._data.iterdir()):
            return
        run([_program(), "db", "migrate"], "making Airflow's database", env=environment)
        mark.write_text(installed)


def _program() -> Path:
    program = Path(sys.executable).parent / "airflow"
    if not program.exists():
        raise StackError(
            f"There is no Airflow beside {sys.executable}; run `make setup`, then .venv/bin/python -m local"
        )
    return program


def _logins() -> Path:
    """The users' passwords, made once."""
    if not at.AIRFLOW_LOGINS_FILE.exists():
        passwords = {user: secrets.token_urlsafe(12) for user in _USERS}
        write_secret(at.AIRFLOW_LOGINS_FILE, json.dumps(passwords))
    return at.AIRFLOW_LOGINS_FILE


def push_secret() -> str:
    """What the Git host signs its deliveries with, made once."""
    if not at.PUSH_SECRET_FILE.exists():
        write_secret(at.PUSH_SECRET_FILE, secrets.token_urlsafe(24))
    return at.PUSH_SECRET_FILE.read_text()


def _connections() -> dict[str, dict[str, object]]:
    """Connections that every DAG finds, in Airflow's JSON form."""
    return {
        "TKE_DEFAULT": {
            "conn_type": "tke",
            "login": at.SECRET_ID,
            "password": secret_key(),
            "extra": {
                "region": at.REGION,
                "cluster_id": at.CLUSTER_ID,
                "registry_id": at.REGISTRY_ID,
                "use_external_endpoint": True,
                "api_endpoint": at.EMULATOR_URL,
            },
        },
        at.PUSH_CONN_ID.upper(): {
            "conn_type": "tke_webhook",
            "password": push_secret(),
            "extra": {"sender": "gitea", "dag_id": "ci_cd", "repositories": at.SHOP_GIT_URL},
        },
        "PROMETHEUS_DEFAULT": {"conn_type": "prometheus", "host": at.PROMETHEUS_URL},
        "BUILDKIT_DEFAULT": _buildkit(),
        "DOCKER_DEFAULT": {
            "conn_type": "docker",
            "host": at.REGISTRY_HOST,
            "login": at.REGISTRY_USER,
            "password": at.REGISTRY_PASSWORD_FILE.read_text(),
        },
    }


def _buildkit() -> dict[str, object]:
    """The connection to BuildKit's daemon, which may come up later."""
    issue_certificates()
    files = {"ca_certificate": "ca.pem", "client_certificate": "client.pem", "private_key": "client-key.pem"}
    paths = {name: at.BUILDKIT_FOLDER / file for name, file in files.items()}
    host, _, port = at.BUILDKIT_ADDRESS.removeprefix("tcp://").partition(":")
    extra = {name: path.read_text() for name, path in paths.items()}
    return {"conn_type": "generic", "host": host, "port": int(port), "extra": extra}


def _healthy(since: datetime | None = None) -> bool:
    """Whether all of Airflow says it is well, by heartbeats after ``since`` where it is given."""
    try:
        with urllib.request.urlopen(f"{at.AIRFLOW_URL}/api/v2/monitor/health", timeout=5) as response:  # noqa: S310
            health = json.load(response)
    except (OSError, ValueError):
        return False
    for name in _HEALTH:
        if (health.get(name) or {}).get("status") != "healthy":
            return False
        beat = health[name].get(f"latest_{name}_heartbeat")
        if since and beat and datetime.fromisoformat(beat.replace("Z", "+00:00")) < since:
            return False
    return True
