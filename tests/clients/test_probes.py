"""How running services are asked: over addresses, and through the API server of a real cluster."""

from __future__ import annotations

import asyncio
import contextlib
from concurrent import futures

import pytest

from tests.live_cluster import account, until
from tke_provider.clients.kubernetes import Cluster
from tke_provider.clients.probes import ask_service, ask_url
from tke_provider.domain.smoke_tests import Answer, SmokeTest
from tke_provider.exceptions import ForbiddenError, InputError, NotFoundError, UnavailableError

# As little HTTP/2 as a healthy answer takes: the image has no gRPC. Frames: RFC 9113, 4.1.
GRPC = r"""
import socketserver, struct
def frame(kind, flags, stream, body=b""):
    return struct.pack("!I", len(body))[1:] + bytes([kind, flags]) + struct.pack("!I", stream) + body
def field(name, value):
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value
class Healthy(socketserver.StreamRequestHandler):
    def handle(self):
        self.rfile.read(24)
        self.wfile.write(frame(4, 0, 0))
        while head := self.rfile.read(9):
            body = self.rfile.read(int.from_bytes(head[:3], "big"))
            kind, flags, stream = head[3], head[4], int.from_bytes(head[5:9], "big")
            if kind == 4 and not flags & 1:
                self.wfile.write(frame(4, 1, 0))
            if kind == 0 and flags & 1:
                self.wfile.write(frame(1, 4, stream, b"\x88" + field(b"content-type", b"application/grpc")))
                self.wfile.write(frame(0, 0, stream, b"\0\0\0\0\2\x08\x01"))
                self.wfile.write(frame(1, 5, stream, field(b"grpc-status", b"0")))
socketserver.ThreadingTCPServer(("", 9000), Healthy).serve_forever()
"""
MAIL = """
import socketserver
class Mail(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(b"220 mail ready\\n")
        self.request.recv(100)
socketserver.TCPServer(("", 2525), Mail).serve_forever()
"""


# --- addresses ----------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def listening(answer):
    """A TCP server that does this with each connection; its address."""
    running = []

    async def handle(reader, writer):
        running.append(asyncio.current_task())
        try:
            with contextlib.suppress(ConnectionError):
                await answer(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    await asyncio.gather(*running)


async def test_a_port_that_takes_connections_is_enough_and_a_greeting_may_be_wanted():
    async def greet(_, writer):
        writer.write(b"220 mail\r\n")
        await writer.drain()

    async with listening(greet) as address:
        assert (await ask_url(SmokeTest(url=f"tcp://{address}"))).wrong == ""
        assert (await ask_url(SmokeTest(url=f"tcp://{address}", contains="220 "))).wrong == ""
        wrong = (await ask_url(SmokeTest(url=f"tcp://{address}", contains="250 "))).wrong
        assert wrong == "took the connection and said '220 mail', without '250 '"


async def test_a_port_where_nobody_listens_does_not_answer():
    with pytest.raises(UnavailableError, match=r"tcp://127\.0\.0\.1:1 does not answer: Connect call failed"):
        await ask_url(SmokeTest(url="tcp://127.0.0.1:1"))


async def test_an_answer_without_end_is_read_to_a_bound():
    async def flood(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async with listening(flood) as address:
        assert (await ask_url(SmokeTest(url=f"http://{address}/"))).wrong == ""


async def test_an_answer_that_is_not_what_its_header_says_is_no_answer():
    async def lie(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nrats")
        await writer.drain()

    async with listening(lie) as address:
        with pytest.raises(UnavailableError, match="does not answer"):
            await ask_url(SmokeTest(url=f"http://{address}/"))


async def test_an_answer_that_drips_is_given_up(monkeypatch):
    monkeypatch.setattr("tke_provider.clients.probes._SECONDS", 0.5)

    async def drip(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.1)

    async with listening(drip) as address:
        with pytest.raises(UnavailableError, match=r"does not answer: no answer within 0\.5 s"):
            await ask_url(SmokeTest(url=f"http://{address}/"))


@pytest.fixture
def health():
    """A gRPC server whose health service says what it is told, by service; its address."""
    import grpc

    told: dict[bytes, bytes] = {}

    def check(request: bytes, context: grpc.ServicerContext) -> bytes:
        if request not in told:
            context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return told[request]

    method = grpc.unary_unary_rpc_method_handler(check, request_deserializer=bytes, response_serializer=bytes)
    handler = grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": method})
    server = grpc.server(futures.ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers([handler])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield told, f"127.0.0.1:{port}"
    server.stop(None).wait()


@pytest.mark.parametrize(
    ("service", "request_", "answer", "wrong"),
    [
        ("", b"", b"\x08\x01", ""),
        ("shop.v1.Shop", b"\x0a\x0cshop.v1.Shop", b"\x08\x01", ""),
        ("", b"", b"\x08\x02", "is NOT_SERVING, and not SERVING"),
        ("", b"", b"", "is UNKNOWN, and not SERVING"),
        ("other", b"", b"\x08\x01", "answered NOT_FOUND: unknown service"),
    ],
)
async def test_a_grpc_server_says_how_it_is(health, service, request_, answer, wrong):
    told, address = health
    told[request_] = answer
    assert (await ask_url(SmokeTest(url=f"grpc://{address}", grpc_service=service))).wrong == wrong


async def test_a_grpc_server_that_is_not_there_does_not_answer():
    with pytest.raises(UnavailableError, match="The gRPC server does not answer: UNAVAILABLE"):
        await ask_url(SmokeTest(url="grpc://127.0.0.1:1"))


# --- services of a cluster ----------------------------------------------------------------------------------------


@pytest.fixture
async def mail(place, running_pod):
    """A service of a pod that greets on a named port."""
    ports = [{"name": "smtp", "containerPort": 2525}, {"name": "nothing", "containerPort": 2526}]
    await running_pod("mail", ["python3", "-c", MAIL], ports, listens=2525)
    exposed = [{"name": each["name"], "port": each["containerPort"], "targetPort": each["name"]} for each in ports]
    metadata = {"name": "mail", "namespace": place.namespace}
    spec = {"selector": {"app": "mail"}, "ports": exposed}
    await place.cluster.create({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
    return place


def ask(place, probe: str, **more: object):
    test = SmokeTest(**{"service": "mail", "namespace": place.namespace, "probe": probe, **more})
    return ask_service(place.cluster, test, 0)


@pytest.mark.stack
async def test_a_services_port_is_asked_in_a_pod_of_it(mail):
    assert (await ask(mail, "tcp", port="smtp")).wrong == ""
    assert (await ask(mail, "tcp", port=2525, contains="220 mail")).wrong == ""
    with pytest.raises(UnavailableError, match="takes no connection"):
        await ask(mail, "tcp", port="nothing")
    with pytest.raises(InputError, match="Service mail has no port 25, but 2525, 2526"):
        await ask(mail, "tcp", port=25)


@pytest.mark.stack
async def test_a_command_is_run_in_a_pod_of_the_service(mail):
    assert (await ask(mail, "exec", command=("echo", "ready"), contains="ready")).wrong == ""
    failing = await ask(mail, "exec", command=("sh", "-c", "echo no table >&2; exit 2"))
    assert failing.wrong == "ended with exit code 2: no table"
    with pytest.raises(InputError, match="no-such-program"):
        await ask(mail, "exec", command=("no-such-program",))


@pytest.mark.stack
async def test_a_grpc_service_says_how_it_is_through_the_api_server(place, running_pod):
    await running_pod("api", ["python3", "-c", GRPC], listens=9000)
    metadata = {"name": "api", "namespace": place.namespace}
    spec = {"selector": {"app": "api"}, "ports": [{"port": 80, "targetPort": 9000}]}
    await place.cluster.create({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
    for _ in range(2):
        assert await ask(place, "grpc", service="api", port=80) == Answer("is SERVING")


@pytest.mark.stack
async def test_a_missing_right_is_told_and_not_taken_for_a_service_that_is_down(mail, kubeconfig):
    rules = [{"apiGroups": [""], "resources": ["pods", "services"], "verbs": ["get", "list"]}]
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "rules": rules}
    async with Cluster(await account(mail, kubeconfig, role)) as cluster:
        for probe in ("tcp", "grpc"):
            test = SmokeTest(service="mail", namespace=mail.namespace, probe=probe, port="smtp")
            with pytest.raises(ForbiddenError, match="pods/portforward"):
                await ask_service(cluster, test, 0)


@pytest.mark.stack
async def test_what_speaks_no_grpc_is_not_healthy(mail):
    with pytest.raises(UnavailableError, match="does not answer"):
        await ask(mail, "grpc", port="smtp")
    with pytest.raises(UnavailableError, match="takes no connection"):
        await ask(mail, "grpc", port="nothing")


@pytest.mark.stack
async def test_a_service_that_is_not_there_or_has_no_pod_is_told_apart(place):
    with pytest.raises(NotFoundError, match='services "mail" not found'):
        await ask(place, "tcp")
    metadata = {"name": "mail", "namespace": place.namespace}
    spec = {"selector": {"app": "mail"}, "ports": [{"port": 80}]}
    await place.cluster.create({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
    assert await ask(place, "tcp") is None
    assert await ask(place, "exec", command=("true",)) is None
    with pytest.raises(UnavailableError, match="no endpoints available"):
        await until(lambda: ask(place, "http"))  # none at first: what a controller makes of the Service takes a moment
