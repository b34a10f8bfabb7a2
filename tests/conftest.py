"""What every test gets: an Airflow home of its own, and the local stack where it is marked to need it.

Airflow reads its configuration when it is first imported, so the environment is set before anything else.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

_HOME = tempfile.TemporaryDirectory(prefix="airflow-provider-tke-tests-")
os.environ |= {
    "AIRFLOW_HOME": _HOME.name,
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__DAGS_FOLDER": str(Path(__file__).parents[1] / "dags"),
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_HOME.name}/airflow.db",
    # A key for the tests alone; without one, Airflow writes the next one into every new home.
    "AIRFLOW__CORE__FERNET_KEY": "dGVzdHMtb25seS10ZXN0cy1vbmx5LXRlc3RzLW9ubHk=",
}

STACK_PARTS = ("engine", "registry", "base-image", "kubernetes", "dns", "kwok", "emulator")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every marked test what its mark promises, the slowest part last."""
    for item in items:
        if item.get_closest_marker("e2e"):
            item.add_marker(pytest.mark.usefixtures("airflow"))
            item.add_marker(pytest.mark.timeout(900))
        elif item.get_closest_marker("stack"):
            item.add_marker(pytest.mark.usefixtures("stack"))
    items.sort(key=lambda item: bool(item.get_closest_marker("e2e")))


@pytest.fixture(scope="session")
def stack():
    """Bring up every part that is no Airflow, and take down afterwards what was not up before."""
    with _up(STACK_PARTS):
        yield


@pytest.fixture(scope="session")
def airflow(stack):
    """Bring up Airflow on PostgreSQL, as people run it."""
    from local import endpoints

    with _up(("airflow",)):
        yield endpoints.read()


class _up:  # noqa: N801  # a context manager, named as it reads
    def __init__(self, parts: tuple[str, ...]) -> None:
        self.parts = parts

    def __enter__(self) -> None:
        from local import endpoints, stack
        from local.part import Settings

        given = os.environ.get("KUBECONFIG")
        self.before = {name for name, up in stack.status().items() if up}
        stack.up(self.parts, Settings(kubeconfig=Path(given) if given else None, database="postgres"))
        where = endpoints.read()
        os.environ |= {
            "TKE_TEST_KUBECONFIG": str(where.kubeconfig),
            "TKE_TEST_REGISTRY": where.registry_host,
            "TKE_TEST_REGISTRY_USER": where.registry_user,
            "TKE_TEST_REGISTRY_PASSWORD_FILE": str(where.registry_password_file),
            "DOCKER_HOST": where.engine_host,
        }

    def __exit__(self, *_: object) -> None:
        from local import stack

        started = [name for name, up in stack.status().items() if up and name not in self.before]
        if self.before:
            stack.down(started)
        else:
            stack.down(())
