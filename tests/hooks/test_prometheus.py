from __future__ import annotations

import json

import pytest
from airflow.sdk.log import redact

from tke_provider.exceptions import InputError, NotFoundError
from tke_provider.hooks.prometheus import PrometheusHook


def connect(monkeypatch, **fields: object) -> None:
    whole = {"conn_type": "prometheus", "host": "10.0.0.9", **fields}
    monkeypatch.setenv("AIRFLOW_CONN_PROMETHEUS_DEFAULT", json.dumps(whole))


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({}, "http://10.0.0.9"),
        ({"port": 9090}, "http://10.0.0.9:9090"),
        ({"port": 9090, "schema": "https"}, "https://10.0.0.9:9090"),
        ({"host": "https://metrics.example/prometheus/"}, "https://metrics.example/prometheus"),
        ({"host": "http://10.0.0.9:9090", "port": 80}, "http://10.0.0.9:9090"),
        ({"conn_type": "http", "host": "metrics.example"}, "http://metrics.example"),
    ],
)
async def test_the_url_is_understood_however_it_is_written(monkeypatch, fields, url):
    connect(monkeypatch, **fields)
    assert (await PrometheusHook().prometheus()).url == url


async def test_secrets_are_masked(monkeypatch):
    connect(monkeypatch, login="1300000000", password="token-of-instance")
    await PrometheusHook().prometheus()
    connect(monkeypatch, extra={"bearer_token": "bearer-of-news"})
    prometheus = await PrometheusHook().prometheus()
    assert prometheus._headers == {"Authorization": "Bearer bearer-of-news"}
    assert redact("token-of-instance bearer-of-news") == "*** ***"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"host": ""}, "names no host"),
        ({"host": "ftp://10.0.0.9"}, "is no http or https URL"),
        ({"host": "http://me:hunter2@10.0.0.9"}, "carries a login"),
        ({"conn_type": "tke"}, "is of type tke"),
        ({"login": "a", "password": "b", "extra": {"bearer_token": "c"}}, "both a login and a bearer_token"),
    ],
)
async def test_a_connection_that_leads_nowhere_is_refused(monkeypatch, fields, words):
    connect(monkeypatch, **fields)
    with pytest.raises(InputError, match=words) as caught:
        await PrometheusHook().prometheus()
    assert "hunter2" not in str(caught.value)


async def test_a_connection_that_does_not_exist_is_named():
    with pytest.raises(NotFoundError, match="There is no connection nowhere"):
        await PrometheusHook("nowhere").prometheus()


@pytest.mark.stack
def test_the_button_of_the_form_says_whether_it_answers(prometheus, monkeypatch):
    assert PrometheusHook().test_connection() == (True, f"Prometheus at {prometheus.url} answers queries.")
    prometheus.connect(monkeypatch, password="hunter2")
    works, said = PrometheusHook().test_connection()
    assert not works
    assert "Unauthorized" in said
    assert "hunter2" not in said
