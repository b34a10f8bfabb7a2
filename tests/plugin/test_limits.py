"""What is too slow, too large or too much is refused over a real socket, leaves one line, and starts nothing."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import hmac
import json
import logging
import socket
from urllib.parse import urlsplit

import pytest

from tests.plugin.conftest import CONNECTION, REPOSITORY
from tests.waiting import until
from tke_provider.plugin import webhooks
from tke_provider.plugin.webhooks import AT_ONCE, MAX_BODY, MAX_HEADERS, Places

BODY = json.dumps({"ref": "refs/heads/main", "after": "e" * 40, "repository": {"clone_url": REPOSITORY}}).encode()


@pytest.fixture
def lines(caplog):
    """What the receiver logged."""
    caplog.set_level(logging.INFO, webhooks.__name__)
    return lambda: [record.getMessage() for record in caplog.records if record.name == webhooks.__name__]


@pytest.fixture
def connect(client, monkeypatch):
    """A socket to the server, with the head of a delivery written to it; more are its headers."""
    opened = []
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", json.dumps(CONNECTION))

    def connect(body: bytes = BODY, source: str = "shop", **more: object) -> socket.socket:
        where = urlsplit(str(client.base_url))
        opened.append(made := socket.create_connection((where.hostname, where.port), timeout=30))
        signature = hmac.new(CONNECTION["password"].encode(), body, hashlib.sha256).hexdigest()
        headers = {"Host": "t", "X-GitHub-Event": "push", "X-Hub-Signature-256": f"sha256={signature}"}
        headers |= {name.replace("_", "-"): value for name, value in more.items()}
        text = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        made.sendall(f"POST /webhooks/{source} HTTP/1.1\r\n{text}\r\n".encode())
        return made

    yield connect
    for each in opened:
        each.close()


def answer(made: socket.socket) -> tuple[int, str]:
    """The status of the answer, and all of it."""
    read = b""
    while b"}" not in read and (part := made.recv(65536)):
        read += part
    return int(read.split(b" ")[1]), read.decode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def test_a_delivery_in_pieces_is_taken(connect, runs, lines):
    made = connect(Transfer_Encoding="chunked")
    made.sendall(chunk(BODY[:9]) + chunk(BODY[9:]) + chunk(b""))
    assert answer(made)[0] == 202
    assert len(runs()) == 1
    assert len(lines()) == 1


def test_a_body_that_trickles_in_is_cut_off_though_it_never_pauses_for_long(connect, runs, lines, monkeypatch):
    monkeypatch.setattr(webhooks, "PATIENCE", 0.3)
    made = connect(Content_Length=len(BODY))
    made.settimeout(0.02)
    read, sent = b"", 0
    while not read and sent < len(BODY) - 1:
        made.sendall(BODY[sent : sent + 1])
        sent += 1
        try:
            read = made.recv(65536)
        except TimeoutError:
            continue
    assert read.split(b" ")[1] == b"408"
    assert [line.partition(",")[0] for line in lines()] == ["Delivery from 'shop': 408"]
    assert runs() == []


def test_a_body_that_says_it_is_too_large_is_refused_before_a_byte_of_it(connect, runs, lines):
    assert answer(connect(Content_Length=MAX_BODY + 1))[0] == 413
    assert [line.partition(",")[0] for line in lines()] == ["Delivery from 'shop': 413"]
    assert runs() == []


def test_a_body_that_does_not_say_how_large_it_is_is_read_no_further_than_allowed(connect, runs, lines):
    made = connect(Transfer_Encoding="chunked")
    piece = chunk(b" " * 65536)
    for _ in range(MAX_BODY // 65536):
        made.sendall(piece)
    made.sendall(chunk(b" "))  # no end: nothing more is waited for
    assert answer(made)[0] == 413
    assert [line.partition(",")[0] for line in lines()] == ["Delivery from 'shop': 413"]
    assert runs() == []


def test_headers_without_end_are_refused(connect, runs, lines):
    many = {f"X_Many_{number}": "x" * 100 for number in range(MAX_HEADERS // 100)}
    assert answer(connect(Content_Length=len(BODY), **many))[0] == 431
    assert [line.partition(",")[0] for line in lines()] == ["Delivery from 'shop': 431"]
    assert runs() == []


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "GZIP"])
def test_a_compressed_body_is_refused_though_it_is_signed(connect, runs, lines, coding):
    packed = gzip.compress(BODY)
    made = connect(packed, Content_Length=len(packed), Content_Encoding=coding)
    made.sendall(packed)
    assert answer(made)[0] == 415
    assert [line.partition(",")[0] for line in lines()] == ["Delivery from 'shop': 415"]
    assert runs() == []


def test_more_than_a_source_may_send_is_told_when_to_come_again(connect, runs, lines, monkeypatch):
    limited = CONNECTION | {"extra": CONNECTION["extra"] | {"per_minute": 1}}
    first = connect(Content_Length=len(BODY))
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", json.dumps(limited))
    first.sendall(BODY)
    assert answer(first)[0] == 202
    second = connect(Content_Length=len(BODY))
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", json.dumps(limited))
    second.sendall(BODY)
    status, text = answer(second)
    assert status == 429
    assert 1 <= int(text.lower().partition("retry-after: ")[2].split("\r")[0]) <= 60
    assert [line.partition(",")[0] for line in lines()] == ["Delivery from 'shop': 202", "Delivery from 'shop': 429"]
    assert len(runs()) == 1


def test_more_than_are_read_at_once_are_asked_to_come_again_but_none_that_proved_itself(
    connect, runs, lines, monkeypatch
):
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", json.dumps(CONNECTION))

    def other(status: int) -> None:
        made = connect(source="other", Content_Length=len(BODY))
        made.sendall(BODY)
        assert answer(made)[0] == status

    other(202)
    waiting = [connect(Content_Length=len(BODY)) for _ in range(AT_ONCE)]
    until(lambda: _one_too_many(connect), 90, "the receiver is full")
    other(200)
    waiting[0].sendall(BODY)
    assert answer(waiting[0])[0] == 202
    assert len(runs()) == 2


def test_a_source_has_so_many_places_and_who_never_proved_himself_shares_as_many():
    places = Places()
    places.proved("shop")
    with contextlib.ExitStack() as stack:
        assert all(stack.enter_context(places.taken(name)) for name in [f"made-up-{n}" for n in range(AT_ONCE)])
        assert not stack.enter_context(places.taken("another"))
        # In another case it is the same source.
        assert all(stack.enter_context(places.taken(name)) for name in ["shop", "SHOP"] * (AT_ONCE // 2))
        assert not stack.enter_context(places.taken("shop"))
    with places.taken("another") as free:
        assert free


def _one_too_many(connect) -> bool:
    made = connect(Content_Length=len(BODY))
    made.settimeout(0.3)
    try:
        status, text = answer(made)
    except TimeoutError:  # it is one of those that are read
        return False
    return status == 429 and "retry-after: 1" in text.lower()


def test_a_sender_that_hangs_up_leaves_one_line(connect, runs, lines):
    made = connect(Content_Length=len(BODY))
    made.sendall(BODY[:10])
    made.close()
    until(lines, 90, "it is logged")
    assert [line.partition(",")[0] for line in lines()] == ["Delivery from 'shop': 400"]
    assert runs() == []
