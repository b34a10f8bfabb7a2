"""What every test gets: an Airflow home of its own, and the local stack where it is marked to need it.

Airflow reads its configuration when it is first imported, so the environment is set before anything else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import tempfile
from pathlib import Path

import hypothesis
import pytest

from tests.servers import serving

# How long an example takes says how busy the machine is, not whether the code is right.
hypothesis.settings.register_profile(
    "tests", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], derandomize=True
)
hypothesis.settings.load_profile("tests")

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

pytest_plugins = (
    "tests.live_helm",
    "tests.live_builders",
    "tests.live_cluster",
    "tests.live_pods",
    "tests.live_prometheus",
    "tests.registry_and_engine",
)
_KEY_ID, _KEY = "AKIDtests", "secret-key-of-the-tests"
STACK_PARTS = (
    "engine",
    "registry",
    "base-image",
    "kubernetes",
    "dns",
    "kwok",
    "buildkit",
    "prometheus",
    "helm",
    "emulator",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every marked test what its mark promises; what takes longest begins first, where others run beside it."""
    for item in items:
        if item.get_closest_marker("e2e"):
            item.fixturenames.insert(0, "airflow")
            item.add_marker(pytest.mark.timeout(900))
        elif item.get_closest_marker("soak") or item.get_closest_marker("stack"):
            item.fixturenames.insert(0, "stack")
    items.sort(key=lambda item: (not item.get_closest_marker("aside"), bool(item.get_closest_marker("e2e"))))


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


@pytest.fixture(scope="session")
def adapter(stack):
    """Bring up what HPAs read their metrics from."""
    with _up(("adapter",)):
        yield


@pytest.fixture(scope="session")
def keda(stack):
    """Bring up KEDA's operator."""
    with _up(("keda",)):
        yield


@pytest.fixture(scope="session")
def ingress_controller(stack):
    """Bring up an ingress controller."""
    with _up(("ingress",)):
        yield


class _up:  # noqa: N801  # a context manager, named as it reads
    def __init__(self, parts: tuple[str, ...]) -> None:
        self.parts = parts

    def __enter__(self) -> None:
        from local import endpoints, stack

        self.before = {name for name, up in stack.status().items() if up}
        needed = {kind.name for kind in stack.with_needs(stack.select(self.parts))}
        self.ours = needed - self.before
        stack.up(self.parts, stack.wanted_settings(database="postgres"))
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

        if not self.before:
            stack.down(())
        elif self.ours:
            stack.down(self.ours)


@dataclasses.dataclass
class EmulatedCloud:
    """An emulated Tencent Cloud for one test, with the cluster cls-local000 and the registry tcr-local000."""

    endpoint: str
    secret_id: str
    secret_key: str
    region: str = "ap-guangzhou"

    def trouble(self, kind: str, action: str = "*", **more: object) -> None:
        """Let something go wrong with the next call of an action."""
        self._ask("POST", "trouble", {"kind": kind, "action": action, **more})

    def tell(self, what: str, **body: object) -> dict:
        """Use the emulator's remote control."""
        return self._ask("POST", what, body)

    def pool(self, name: str = "web") -> dict:
        """A node pool of the cluster as it is now; there are ``web``, ``native`` and ``super`` at first."""
        pools = self._ask("GET", "state", {})["clusters"]["cls-local000"]["pools"].values()
        return next(each for each in pools if each["name"] == name)

    def calls(self, action: str) -> list[dict]:
        """The calls of an action in this test, as the cloud saw them."""
        return self._ask("GET", "audit", {"action": action})["calls"]

    def _ask(self, method: str, what: str, body: dict[str, object]) -> dict:
        import httpx

        url = f"{self.endpoint}/_emulator/{what}"
        return httpx.request(method, url, json=body, timeout=60).raise_for_status().json()

    def connect(self, monkeypatch: pytest.MonkeyPatch, conn_id: str = "tke_default", **more: object) -> None:
        """Make it an Airflow connection; more are extras, or fields of the connection."""
        fields = {"login": self.secret_id, "password": self.secret_key}
        fields |= {name: more.pop(name) for name in ("login", "password") if name in more}
        extra = {"region": self.region, "cluster_id": "cls-local000", "registry_id": "tcr-local000"}
        extra |= {"api_endpoint": self.endpoint, **more}
        connection = {"conn_type": "tke", **fields, "extra": extra}
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))


def own_pools() -> dict[str, str]:
    """Ids for the first pools of a cloud that no other cloud has: their leases and nodes lie in one cluster."""
    from tke_provider.emulator.state import FIRST_POOLS, new_id

    return {kind: new_id("np") for kind in FIRST_POOLS}


@contextlib.contextmanager
def emulating(settings):
    """An emulator and its URL, in a thread of this process: it imports nothing of what is tested."""
    from tke_provider.emulator.app import App, running

    with running(settings) as cloud, serving(App(cloud)) as url:
        yield cloud, url


@pytest.fixture(scope="session")
def _emulator(tmp_path_factory):
    """One emulator for all tests."""
    from tke_provider.emulator.cloud import Settings

    state = tmp_path_factory.mktemp("emulator") / "state.json"
    with emulating(Settings(state, _KEY_ID, _KEY, pools=own_pools())) as emulator:
        yield emulator


@pytest.fixture
def cloud(_emulator) -> EmulatedCloud:
    """An emulated Tencent Cloud in its first state."""
    emulator, url = _emulator
    with emulator.lock:
        emulator.reset()
    return EmulatedCloud(url, _KEY_ID, _KEY)
