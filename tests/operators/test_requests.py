"""Requests go on through a whole release, until the last old pod has ended, and none is lost."""

import asyncio
import collections
import contextlib
import time

import httpx
import pytest

from tests.live_cluster import deploy, refused, released, run_of, until
from tke_provider.domain.pods import Shutdown
from tke_provider.operators.blue_green import TkeBlueGreenDeployOperator
from tke_provider.operators.canaries import TkeCanaryDeployOperator

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("connected"), pytest.mark.timeout(600)]

# It ends as soon as it is told to, in the middle of whatever it does: what it must not lose, its pod has to wait for.
SERVER = """
import http.server, os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        version, status = sys.argv[1], int(sys.argv[2])
        self.send_response(status)
        self.send_header("Content-Length", str(len(version)))
        self.end_headers()
        self.wfile.write(version.encode())
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("", 8080), Answer).serve_forever()
"""


def manifests(version: str, status: int = 200, replicas: int = 2) -> list[dict]:
    """A service that answers with its version, and ends as the short form lets one end."""
    drain = Shutdown().drain
    labels = {"app": "web"}
    container = {
        "name": "web",
        "image": "web",
        "command": ["python3", "-c", SERVER, version, str(status)],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
        "lifecycle": {"preStop": {"sleep": {"seconds": drain}}},
    }
    pod = {"containers": [container], "terminationGracePeriodSeconds": drain + 5}
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": labels},
        "template": template,
        "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
    }
    ports = [{"port": 80, "targetPort": 8080}]
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web"},
            "spec": {"selector": labels, "ports": ports},
        },
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec},
    ]


class Load:
    """What was answered, by version, and what was not."""

    def __init__(self, url: str, **headers: str) -> None:
        self.url, self.headers = url, headers
        self.answers: collections.Counter[str] = collections.Counter()
        self.lost: list[str] = []
        self.since = time.monotonic()

    async def ask_on(self) -> None:
        """Ask over a new connection each time, as many users do; note when one is lost, and how long it took."""
        while True:
            asked = time.monotonic()
            if wrong := await self.ask():
                now = time.monotonic()
                self.lost.append(f"{asked - self.since:.1f} s after the first answer, in {now - asked:.1f} s: {wrong}")
            await asyncio.sleep(0.02)

    async def ask(self) -> str:
        """Ask once, and say what is wrong with the answer."""
        try:
            async with httpx.AsyncClient(timeout=30) as http:  # long: what is slow is not lost
                answer = await http.get(self.url, headers=self.headers)
        except httpx.HTTPError as error:
            return repr(error)
        self.answers[answer.text] += 1
        return "" if answer.is_success else str(answer.status_code)

    async def is_answered(self) -> bool:
        return not await self.ask()


async def load(place):
    """Requests to the address of the Service."""
    live = await place.cluster.get(place.ref("Service", "web", "v1"))
    return Load(f"http://{live['spec']['clusterIP']}/")


@contextlib.asynccontextmanager
async def going_on(requests: Load):
    """Ask, four at a time."""
    # Of a service that is new, the node hears a moment after its pods are up, and refuses all requests until then.
    await until(requests.is_answered)
    requests.since = time.monotonic()
    asking = [asyncio.create_task(requests.ask_on()) for _ in range(4)]
    try:
        yield requests
    finally:
        for each in asking:
            each.cancel()
        await asyncio.wait(asking)


def task(kind, place, image, *given, **more):
    return kind(
        task_id="deploy",
        namespace=place.namespace,
        manifests=manifests(*given),
        images={"web": image},
        timeout=120,
        poll_interval=0.5,
        service="web",
        **more,
    )


async def test_a_canary_loses_no_request_and_gives_the_new_version_its_share(place, python):
    await released(task(TkeCanaryDeployOperator, place, python, "old"))
    smoke = [{"contains": "new"}]
    canary = task(
        TkeCanaryDeployOperator,
        place,
        python,
        "new",
        steps=[{"weight": 33, "pause": 4}, {"weight": 50, "pause": 4}],
        smoke_tests=smoke,
    )
    async with going_on(await load(place)) as requests:
        await until(lambda: _answered(requests, "old"))
        await released(canary, run_of("run-2"))
        await until(lambda: ended(place))
        await until(lambda: only(requests, "new"))
    assert requests.lost == []
    assert requests.answers["old"] > 20
    assert requests.answers["new"] > 20


async def test_blue_green_loses_no_request(place, python):
    await released(task(TkeBlueGreenDeployOperator, place, python, "old"))
    release = task(TkeBlueGreenDeployOperator, place, python, "new", keep=3, smoke_tests=[{"contains": "new"}])
    async with going_on(await load(place)) as requests:
        await until(lambda: _answered(requests, "old"))
        await released(release, run_of("run-2"))
        await until(lambda: ended(place))
        await until(lambda: only(requests, "new"))
    assert requests.lost == []


async def test_a_canary_that_answers_wrongly_is_taken_away(place, python):
    await released(task(TkeCanaryDeployOperator, place, python, "old"))
    bad = task(TkeCanaryDeployOperator, place, python, "bad", 500, smoke_tests=[{}])
    said = await refused(bad, run_of("run-2"))
    assert "step 1 of 2" in said
    assert "answered 500: bad, and not with 200" in said
    assert "serves again" in said


@pytest.mark.parametrize("exposed", [True, False])
async def test_what_may_lose_requests_is_named_where_some_are_sent_to_it(place, capsys, exposed):
    service, _ = manifests("old")
    service["spec"]["selector"] = {"app": "web" if exposed else "other"}
    await released(deploy(place, "a", place.workload(), service))
    said = capsys.readouterr().out
    assert ("may lose requests: no container has a preStop hook" in said) is exposed


async def _answered(requests: Load, version: str) -> bool:
    return requests.answers[version] > 0


async def ended(place) -> bool:
    """Whether no pod is left that is on its way out."""
    pods = await place.cluster.list("v1", "Pod", place.namespace)
    return not any("deletionTimestamp" in each["metadata"] for each in pods)


async def only(requests: Load, version: str) -> bool:
    before = requests.answers.copy()
    await until(lambda: _answers_since(requests, before))
    return (requests.answers - before).keys() == {version}


async def _answers_since(requests: Load, before: collections.Counter[str]) -> bool:
    return sum((requests.answers - before).values()) >= 20
