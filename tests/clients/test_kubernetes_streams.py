"""What a pod streams, on a real kubelet."""

from __future__ import annotations

import pytest

from tke_provider.clients.kubernetes_streams import Channels, execute, forward
from tke_provider.exceptions import InputError, NotFoundError, UnavailableError

ECHO = """
import socketserver, sys
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"220 ready\\n")
        for line in self.rfile:
            self.wfile.write(line)
socketserver.TCPServer.allow_reuse_address = True
socketserver.TCPServer(("", 7000), Echo).serve_forever()
"""


@pytest.fixture
async def pod(running_pod) -> str:
    """A pod that echoes lines on port 7000."""
    return await running_pod("echo", ["python3", "-c", ECHO], listens=7000)


@pytest.mark.stack
async def test_a_command_says_what_it_printed_on_which_stream_and_how_it_ended(place, pod):
    line = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    done = await execute(place.cluster, place.namespace, pod, "", ["python3", "-c", line])
    assert (done.exit_code, done.out, done.err, done.whole) == (3, b"out\n", b"err\n", True)


@pytest.mark.stack
async def test_every_byte_of_a_large_output_arrives(place, pod):
    line = "import sys; sys.stdout.buffer.write(bytes(range(256)) * 20000)"
    done = await execute(place.cluster, place.namespace, pod, "", ["python3", "-c", line], limit=2**23)
    assert done.out == bytes(range(256)) * 20000
    kept = await execute(place.cluster, place.namespace, pod, "", ["python3", "-c", line], limit=1000)
    assert (len(kept.out), kept.whole, kept.exit_code) == (1000, False, 0)


@pytest.mark.stack
async def test_a_program_that_the_container_lacks_is_named(place, pod):
    with pytest.raises(InputError, match="no-such-program in pod echo cannot be run"):
        await execute(place.cluster, place.namespace, pod, "", ["no-such-program"])


@pytest.mark.stack
async def test_a_command_without_end_is_given_up(place, pod):
    with pytest.raises(UnavailableError, match=r"sleep in pod echo did not end within 0\.5 s"):
        await execute(place.cluster, place.namespace, pod, "", ["sleep", "60"], timeout=0.5)


@pytest.mark.stack
async def test_a_pod_that_does_not_exist_is_named(place):
    with pytest.raises(NotFoundError, match='pods "nobody" not found'):
        await execute(place.cluster, place.namespace, "nobody", "", ["true"])


@pytest.mark.stack
async def test_a_port_answers_in_both_directions(place, pod):
    async def one_line() -> bytes:
        said = b""
        while not said.endswith(b"\n"):
            said += await connection.read()
        return said

    async with forward(place.cluster, place.namespace, pod, 7000) as connection:
        assert await one_line() == b"220 ready\n"
        long = b"x" * 100_000 + b"\n"
        await connection.write(long)
        assert await one_line() == long


@pytest.mark.stack
async def test_a_port_where_nothing_listens_says_so(place, pod):
    async with forward(place.cluster, place.namespace, pod, 7001) as connection:
        with pytest.raises(UnavailableError, match=r"Port 7001 of pod echo takes no connection: .*refused"):
            await connection.read()


class Wire:
    """A connection that was recorded."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = list(chunks)
        self.sent = b""

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self.chunks.pop(0) if self.chunks else b""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.sent += buffer


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        ((b"\x82\x03\x01ab",), (1, b"ab")),
        ((b"\x82", b"\x03\x01", b"ab"), (1, b"ab")),
        ((b"\x02\x02\x01a\x80\x01b",), (1, b"ab")),
        ((b"\x02\x02\x01a\x89\x00\x80\x01b",), (1, b"ab")),
        ((b"\x82\x7e\x01\x00\x02" + b"x" * 255,), (2, b"x" * 255)),
        ((b"\x88\x02\x03\xe8",), None),
        ((), None),
        ((b"\x82\x7f",), None),
        ((b"\x82\x05\x01a",), None),
    ],
    ids=["whole", "in bits", "in parts", "a ping between", "long", "closed", "gone", "gone in the head", "gone inside"],
)
async def test_messages_are_put_together_from_whatever_arrives(chunks, message):
    assert await Channels(Wire(*chunks)).receive() == message


async def test_a_ping_is_answered_and_what_is_sent_is_masked():
    wire = Wire(b"\x89\x02hi\x82\x02\x01a")
    assert await Channels(wire).receive() == (1, b"a")
    head, mask, body = wire.sent[:2], wire.sent[2:6], wire.sent[6:]
    assert head == b"\x8a\x82"
    assert bytes(byte ^ mask[index % 4] for index, byte in enumerate(body)) == b"hi"


async def test_a_message_that_no_memory_should_hold_is_refused():
    with pytest.raises(UnavailableError, match="a message of 4294967296 bytes"):
        await Channels(Wire(b"\x82\x7f\x00\x00\x00\x01\x00\x00\x00\x00")).receive()
