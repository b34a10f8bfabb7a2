from __future__ import annotations

from local.ingress.controller import MODULE, SOURCE, Ingress
from local.part import Settings


def test_it_tells_the_version_that_is_compiled():
    assert f"\t{MODULE} {SOURCE.version} " in (SOURCE.module / "go.mod").read_text()


def test_what_a_dependency_is_filled_with_is_of_the_release_that_is_needed():
    needed = (SOURCE.module / "go.mod").read_text()
    assert [f"\t{release.replace('@', ' ')} " in needed for release in SOURCE.filled.values()] == [True]


def test_it_listens_on_loopback_alone():
    addresses = [word.split("=")[1] for word in Ingress(Settings())._daemon().argv if ".address=" in word]
    assert [address.split(":")[0] for address in addresses] == ["127.0.0.1"] * 2
