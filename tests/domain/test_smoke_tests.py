from __future__ import annotations

import pytest

from tke_provider.domain.smoke_tests import (
    SmokeTest,
    backends,
    judge_command,
    judge_health,
    judge_http,
    judge_tcp,
    target_port,
)
from tke_provider.exceptions import InputError


@pytest.mark.parametrize(
    ("status", "body", "contains", "expect_json", "wrong"),
    [
        (200, "fine", None, None, ""),
        (200, '{"commit": "abc", "more": 1}', "commit", {"commit": "abc"}, ""),
        (503, "no\n backend", None, None, "answered 503: no backend, and not with 200"),
        (404, "", None, None, "answered 404 with an empty body, and not with 200"),
        (200, "fine", "great", None, "answered 200: fine, without 'great'"),
        (
            200,
            '{"commit": "old"}',
            None,
            {"commit": "abc"},
            'answered 200: {"commit": "old"}, where commit is not \'abc\'',
        ),
        (200, "<html>", None, {"commit": "abc"}, "answered 200: <html>, where commit is not 'abc'"),
        (200, "[]", None, {"commit": None}, "answered 200: [], where commit is not None"),
    ],
)
def test_an_answer_is_compared_and_what_was_seen_is_said(status, body, contains, expect_json, wrong):
    test = SmokeTest(service="web", contains=contains, expect_json=expect_json)
    assert judge_http(test, status, body).wrong == wrong


def test_a_port_that_takes_connections_is_good_whatever_it_says_unless_more_is_expected():
    assert judge_tcp(SmokeTest(service="db", probe="tcp"), b"").wrong == ""
    mail = SmokeTest(service="mail", probe="tcp", contains="220 ")
    assert judge_tcp(mail, b"220 mail.example ESMTP").wrong == ""
    assert judge_tcp(mail, b"").wrong == "took the connection and said nothing, without '220 '"
    assert judge_tcp(mail, b"\xff 554 no").wrong == "took the connection and said '\ufffd 554 no', without '220 '"


@pytest.mark.parametrize(
    ("status", "wrong"),
    [
        (1, ""),
        (0, "is UNKNOWN, and not SERVING"),
        (2, "is NOT_SERVING, and not SERVING"),
        (9, "is status 9, and not SERVING"),
    ],
)
def test_only_serving_is_healthy(status, wrong):
    assert judge_health(status).wrong == wrong


@pytest.mark.parametrize(
    ("exit_code", "output", "contains", "wrong"),
    [
        (0, "", None, ""),
        (0, "ready now", "ready", ""),
        (0, "", "ready", "ended with exit code 0 without a word, without 'ready'"),
        (2, "no such\n table", None, "ended with exit code 2: no such table"),
        (1, "", None, "ended with exit code 1 without a word"),
    ],
)
def test_a_command_has_to_succeed_and_to_say_what_is_expected(exit_code, output, contains, wrong):
    test = SmokeTest(service="db", probe="exec", command=("check",), contains=contains)
    assert judge_command(test, exit_code, output).wrong == wrong


def test_of_a_long_output_the_end_is_shown_for_there_the_error_is():
    test = SmokeTest(service="db", probe="exec", command=("check",))
    assert judge_command(test, 1, "x" * 5000 + " the error").wrong.endswith("the error")


@pytest.mark.parametrize(
    ("given", "probe", "where"),
    [
        ({"service": "web"}, "http", "default/web:80/"),
        ({"service": "db", "port": 5432, "probe": "tcp"}, "tcp", "tcp://default/db:5432"),
        ({"service": "api", "port": "rpc", "probe": "grpc"}, "grpc", "grpc://default/api:rpc"),
        ({"service": "db", "probe": "exec", "command": ("pg_isready", "-q")}, "exec", "pg_isready in default/db"),
        ({"url": "https://web.example/x"}, "http", "https://web.example/x"),
        ({"url": "tcp://10.0.0.5:5432"}, "tcp", "tcp://10.0.0.5:5432"),
        ({"url": "grpcs://api.example:443"}, "grpc", "grpcs://api.example:443"),
    ],
)
def test_what_is_asked_is_named_and_an_address_says_how_it_is_asked(given, probe, where):
    test = SmokeTest(**given)
    assert (test.probe, test.where) == (probe, where)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "either service or url"),
        ({"service": "a", "url": "http://a"}, "either service or url"),
        ({"url": "tcp://a"}, "has no port"),
        ({"url": "ftp://a"}, "is no http, https, tcp, grpc or grpcs URL"),
        ({"service": "a", "probe": "exec"}, "belong together"),
        ({"service": "a", "command": ("true",)}, "belong together"),
        ({"service": "a", "in_a_row": 0}, "in_a_row is 0"),
    ],
)
def test_what_cannot_be_asked_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        SmokeTest(**given)


def pod(name: str, *, ready: bool = True, labels: dict | None = None, going: bool = False) -> dict:
    metadata = {"name": name, "labels": labels or {"app": "web", "zone": "a"}}
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    container = {"ports": [{"name": "rpc", "containerPort": 9000}]}
    return {
        "metadata": metadata | ({"deletionTimestamp": "now"} if going else {}),
        "spec": {"containers": [container]},
        "status": {"conditions": [condition]},
    }


def service(**spec: object) -> dict:
    return {"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, **spec}}


def test_only_ready_pods_that_the_service_selects_are_asked():
    pods = [
        pod("b"),
        pod("a"),
        pod("c", ready=False),
        pod("d", labels={"app": "other"}),
        pod("e", going=True),
        {"metadata": {"name": "f"}},
    ]
    assert [each["metadata"]["name"] for each in backends(service(), pods)] == ["a", "b"]


def test_a_service_without_a_selector_is_asked_by_its_address():
    with pytest.raises(InputError, match="Service web has no selector"):
        backends(service(selector=None), [])


@pytest.mark.parametrize("target", [9000, "rpc", None])
def test_a_port_of_the_service_leads_to_one_of_the_pod(target):
    port = {"name": "main", "port": 9000 if target is None else 80, **({"targetPort": target} if target else {})}
    assert target_port(service(ports=[port]), "main", pod("a")) == 9000
    assert target_port(service(ports=[port]), port["port"], pod("a")) == 9000
    assert target_port(service(ports=[port]), str(port["port"]), pod("a")) == 9000


def test_ports_that_do_not_exist_are_named():
    with pytest.raises(InputError, match="Service web has no port 81, but 80"):
        target_port(service(ports=[{"port": 80}]), 81, pod("a"))
    with pytest.raises(InputError, match="Pod a has no port named http"):
        target_port(service(ports=[{"port": 80, "targetPort": "http"}]), 80, pod("a"))
