from __future__ import annotations

import math
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tke_provider.clients.prometheus import Prometheus
from tke_provider.exceptions import (
    CredentialError,
    ForbiddenError,
    InputError,
    NotFoundError,
    ThrottledError,
    UnavailableError,
)

ERRORS = 'sum(rate(requests_total{status="500",version="bad"}[5m]))'


async def value(prometheus, query: str, at: float | None = None) -> float | None:
    async with Prometheus(prometheus.url, prometheus.login) as source:
        return await source.value(query, at or time.time())


@pytest.mark.stack
async def test_one_series_is_a_value(prometheus):
    assert await value(prometheus, ERRORS) == pytest.approx(0.5)


@pytest.mark.stack
async def test_a_scalar_is_a_value(prometheus):
    assert await value(prometheus, "scalar(queue_length)") == 120


@pytest.mark.stack
async def test_no_series_is_no_value(prometheus):
    assert await value(prometheus, "nothing_of_that_name") is None


@pytest.mark.stack
async def test_the_value_is_that_of_the_instant(prometheus):
    assert await value(prometheus, "queue_length", time.time() - 86400) is None


@pytest.mark.stack
async def test_a_division_by_nothing_is_what_prometheus_says_it_is(prometheus):
    assert math.isnan(await value(prometheus, "scalar(nothing) / 0"))


@pytest.mark.stack
@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("sum(rate(", "bad_data: .*parse error: unclosed left parenthesis"),
        ("requests_total * on(service) requests_total", "execution: .*many-to-many matching not allowed"),
        ("requests_total", r"makes 7 numbers: for \{__name__=\"requests_total\", .*make it one"),
        ("queue_length[5m]", "makes a matrix"),
    ],
)
async def test_a_query_that_makes_no_number_is_refused_in_prometheus_own_words(prometheus, query, words):
    with pytest.raises(InputError, match=words):
        await value(prometheus, query)


@pytest.mark.stack
async def test_a_wrong_login_is_named_without_its_secret(prometheus):
    with pytest.raises(CredentialError, match="Unauthorized") as caught:
        async with Prometheus(prometheus.url, (prometheus.login[0], "hunter2")) as source:
            await source.value("up", time.time())
    assert "hunter2" not in str(caught.value)


@pytest.mark.stack
async def test_values_over_a_window_come_oldest_first_with_their_instants(prometheus):
    now = time.time()
    async with Prometheus(prometheus.url, prometheus.login) as source:
        values = await source.values("queue_length", now - 60, now, 15)
        assert await source.values("nothing", now - 60, now, 15) == []
    assert [value for _, value in values] == [120] * 5
    assert [round(at - now) for at, _ in values] == [-60, -45, -30, -15, 0]


async def test_a_question_to_the_cloud_is_refused():
    query = {"namespace": "QCE/TKE2", "metric": "K8sPodCpuCoreUsed", "dimensions": {}}
    with pytest.raises(InputError, match=r"cannot be asked .*in PromQL"):
        async with Prometheus("http://127.0.0.1:1") as source:
            await source.value(query, 0)


async def test_a_server_that_does_not_answer_may_answer_later():
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1 does not answer"):
        async with Prometheus("http://127.0.0.1:1", patience=0) as source:
            await source.value("up", 0)


@pytest.fixture
def proxy():
    """What may stand before Prometheus, and fail in its place: a healthy Prometheus gives none of these answers."""
    answers: list[tuple[int, str]] = []
    seen: list[str | None] = []

    class Proxy(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append(self.headers["Authorization"])
            self.rfile.read(int(self.headers["Content-Length"]))
            status, body = answers.pop(0) if len(answers) > 1 else answers[0]
            self.send_response(status)
            self.send_header("Location", "/login")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", answers, seen
        server.shutdown()
        thread.join()


GOOD = (200, '{"status": "success", "data": {"resultType": "scalar", "result": [0, "7"]}}')


async def test_a_passing_failure_is_asked_again_with_the_same_token(proxy):
    url, answers, seen = proxy
    answers += [(503, '{"status": "error", "errorType": "timeout", "error": "query timed out"}'), (502, "oops"), GOOD]
    async with Prometheus(url, token="t0ken") as source:
        assert await source.value("up", 0) == 7
    assert seen == ["Bearer t0ken"] * 3


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        ((503, '{"error": "query timed out", "errorType": "timeout"}'), UnavailableError, "timeout: query timed out"),
        ((429, "slow down"), ThrottledError, "slow down"),
        ((403, "no"), ForbiddenError, "HTTP status 403: no"),
        ((404, "404 page not found"), NotFoundError, "404 page not found"),
        ((302, ""), InputError, "this is not Prometheus' API"),
        ((200, "<html>"), InputError, "HTTP status 200: <html>"),
    ],
)
async def test_every_other_answer_says_who_must_act(proxy, answer, error, words):
    url, answers, _ = proxy
    answers.append(answer)
    with pytest.raises(error, match=words):
        async with Prometheus(url, patience=0) as source:
            await source.value("up", 0)
