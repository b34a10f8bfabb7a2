from __future__ import annotations

from local.keda.operator import MODULE, SOURCE, Keda
from local.part import Settings


def test_it_tells_the_version_that_is_compiled():
    assert f"\t{MODULE} {SOURCE.version} " in (SOURCE.module / "go.mod").read_text()
    assert f"version.Version={SOURCE.version.removeprefix('v')}" in SOURCE.ldflags


def test_it_listens_on_loopback_alone():
    addresses = [word.split("=")[1] for word in Keda(Settings())._daemon().argv if "bind-address" in word]
    assert [address.split(":")[0] for address in addresses] == ["127.0.0.1"] * 2
