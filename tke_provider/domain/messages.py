"""Messages: what people read about a release, in one short Markdown text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tke_provider.domain.assets import ReleaseEvent

_REASON = 600  # characters


def release_message(release: ReleaseEvent, *, by: str = "", url: str = "") -> str:
    """Return the message that a service is live.

    :param release: what its event tells.
    :param by: what released it.
    :param url: where to read more.
    """
    where = f"**{release['namespace']}** ({release['cluster']})"
    lines = {
        "commit": f"`{release['commit']}`" if release["commit"] else "",
        **{name: f"`{image}`" for name, image in sorted(release["images"].items())},
        "started by": release["who"],
        "approved by": release["approver"],
        "restores": f"release {release['restores']}" if release["restores"] else "",
        "took": f"{release['duration']:.0f} s",
    }
    said = [f"> {name}: {value}" for name, value in lines.items() if value]
    return "\n".join([f"**{release['service']}** is live in {where}", *said, *_origin(by, url)])


def failure_message(what: str, reason: str, *, url: str = "") -> str:
    """Return the message that something went wrong.

    :param what: the task.
    :param reason: the error, which says what serves now.
    """
    return "\n".join([f"**{what}** failed", f"> {' '.join(reason.split())[:_REASON]}", *_origin("", url)])


def _origin(by: str, url: str) -> list[str]:
    link = f"[{by or 'log'}]({url})" if url else by
    return [link] if link else []
