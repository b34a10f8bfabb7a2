"""Changes: which services a commit makes something else of, and which stay what they are."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from tke_provider.domain.images import ImageDict


class ServiceChange(TypedDict):
    """What a commit means for one service, as it lies in XCom.

    :param build: whether its image has to be built.
    :param reason: why, or why not, in one sentence.
    :param image: the image that stays, where nothing has to be built; else none.
    """

    build: bool
    reason: str
    image: ImageDict | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a service is made of.

    :param paths: files and folders of the repository; ``.`` is all of it.
    :param depends_on: services that it needs.
    :param container: which container has its image.
    """

    paths: tuple[str, ...]
    depends_on: tuple[str, ...] = ()
    container: str = ""


def touched(paths: Iterable[str], changed: Iterable[str]) -> str | None:
    """Return the first changed file that is one of the paths, or lies in one of them; ``None`` where there is none."""
    folders = [path.strip("/").removeprefix("./") for path in paths]
    for file in changed:
        if any(folder in {".", ""} or file == folder or file.startswith(f"{folder}/") for folder in folders):
            return file
    return None


def affected(needs: Mapping[str, Collection[str]], reasons: Mapping[str, str]) -> dict[str, str]:
    """Return every service that has to be built, with the reason why.

    A service is built anew when it changed itself, or when one that it depends on is built anew: only its own tests
    know what it expects of the other. Nothing else is built.

    :param needs: which services each depends on; must be free of circles.
    :param reasons: why those are built that changed themselves.
    """
    found = dict(reasons)
    pending = True
    while pending:
        new = {
            name: f"depends on {cause}, which is built"
            for name, others in needs.items()
            if name not in found and (cause := next((other for other in others if other in found), None))
        }
        found |= new
        pending = bool(new)
    return found
