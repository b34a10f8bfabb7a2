"""The versions that are said and the versions that are compiled."""

from __future__ import annotations

from local.buildkit import programs as buildkit
from local.endpoints import BUILDKIT_IMAGE
from local.kubernetes import programs
from local.kwok import controller


def test_the_programs_report_the_version_that_go_mod_pins() -> None:
    assert f"\tk8s.io/kubernetes {programs.VERSION}\n" in (programs.SOURCE.module / "go.mod").read_text()
    assert f"k8s.io/component-base/version.gitVersion={programs.VERSION} " in programs.SOURCE.ldflags + " "


def test_kwok_is_called_by_the_version_that_go_mod_pins() -> None:
    assert f"\tsigs.k8s.io/kwok {controller.SOURCE.version} " in (controller.SOURCE.module / "go.mod").read_text()


def test_buildkit_and_its_image_are_called_by_the_version_that_go_mod_pins() -> None:
    assert f"\tgithub.com/moby/buildkit {buildkit.VERSION} " in (buildkit.SOURCE.module / "go.mod").read_text()
    assert BUILDKIT_IMAGE.endswith(f":{buildkit.VERSION}")


def test_every_name_of_the_one_binary_is_known_to_it() -> None:
    main = (programs.SOURCE.module / "cmd" / "kube" / "main.go").read_text()
    assert all(f'"{link}":' in main for link in programs.SOURCE.links)
