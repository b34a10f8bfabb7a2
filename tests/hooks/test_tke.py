from __future__ import annotations

import asyncio

import pytest

from tke_provider.exceptions import InputError
from tke_provider.hooks.tke import TkeHook


async def test_tke_answers_through_the_connection(cloud, monkeypatch):
    cloud.connect(monkeypatch)
    hook = TkeHook()
    async with await hook.tke() as tke:
        assert (await tke.endpoint(await hook.default_cluster(), external=True)).status == "Created"


async def test_a_connection_without_a_cluster_is_said(cloud, monkeypatch):
    cloud.connect(monkeypatch, cluster_id="")
    with pytest.raises(InputError, match="Neither the task nor connection tke_default names a cluster"):
        await TkeHook().default_cluster()


def test_the_test_button_says_who_you_are(cloud, monkeypatch):
    cloud.connect(monkeypatch)
    works, message = TkeHook().test_connection()
    assert works
    assert "of account 100000000001" in message
    assert "in region ap-guangzhou" in message


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"password": "wrong"}, "check SecretId and SecretKey"),
        ({"login": "AKIDnobody"}, "check SecretId and SecretKey"),
        ({"password": ""}, "lacks SecretId or SecretKey"),
        ({"region": ""}, "names no region"),
        ({"api_endpoint": "nowhere"}, "API endpoint 'nowhere' is no http or https URL"),
        ({"credential_source": "pod_identity"}, "has no pod identity"),
    ],
)
def test_the_test_button_says_in_one_sentence_what_is_wrong(cloud, monkeypatch, wrong, sentence):
    cloud.connect(monkeypatch, **wrong)
    works, message = TkeHook().test_connection()
    assert not works
    assert sentence in message
    assert message.count("\n") == 0
    assert message.endswith(".")


def test_the_test_button_works_beside_a_running_loop(cloud, monkeypatch):
    cloud.connect(monkeypatch)

    async def in_a_thread():
        return await asyncio.to_thread(TkeHook().test_connection)

    assert asyncio.run(in_a_thread())[0]
