"""Approvals: what a person is shown before they answer, and what their answer means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from tke_provider.domain.images import Image

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tke_provider.domain.checks import Check
    from tke_provider.domain.diffs import DiffDict
    from tke_provider.domain.freezes import Frozen
    from tke_provider.domain.images import ImageDict

APPROVE = "Approve"
_SHOWN_CHARACTERS = 40_000
OVERRIDE = "release_in_spite_of_freeze"
"""Field of the form: why to release although releases are frozen."""


class Approval(TypedDict):
    """An answer as it lies in XCom.

    :param chosen_options: ``["Approve"]`` or ``["Reject"]``.
    :param params_input: what was filled in.
    :param approver: who answered; empty where nobody did in time.
    :param responded_at: when, as ISO 8601.
    """

    chosen_options: list[str]
    params_input: dict[str, Any]
    approver: str
    responded_at: str


def overrides(approval: Approval) -> str:
    """Return the approver's reason to release in spite of a freeze; empty where they gave none, or did not approve."""
    if APPROVE not in approval["chosen_options"] or not approval["approver"]:
        return ""
    return str(approval["params_input"].get(OVERRIDE) or "").strip()


def approver_of(user: object) -> str:
    """Return who answered, from what Airflow hands over (``{"id": …, "name": …}``)."""
    if not isinstance(user, dict):
        return ""
    return str(user.get("name") or user.get("id") or "")


def approval_body(
    *,
    commit: str = "",
    images: Mapping[str, ImageDict | str] | None = None,
    checks: Mapping[str, Check] | None = None,
    diffs: Mapping[str, DiffDict] | None = None,
    frozen: Frozen | None = None,
    note: str = "",
) -> str:
    """Return what a person decides by, as Markdown.

    :param images: by service; a check of another digest than these is pointed out.
    :param checks: by what was checked.
    :param diffs: by service, as :class:`~tke_provider.operators.manifests.TkeDiffOperator` returned them.
    :param frozen: the freeze that holds now.
    :param note: Markdown of the author of the DAG.
    """
    read = {name: Image.parse(image) for name, image in (images or {}).items()}
    parts = []
    if frozen:
        parts.append(f"⚠️ Now {frozen}. To release all the same, fill in why.")
    if commit:
        parts.append(f"Commit `{commit}`")
    if read:
        parts.append(_table(("Service", "Image", "Commit"), (_image_row(*each) for each in read.items())))
    if checks:
        tested = {image.digest for image in read.values()}
        rows = ((name, check["verdict"], _reason(check, tested)) for name, check in checks.items())
        parts.append(_table(("Check", "Verdict", "Why"), rows))
    room = _SHOWN_CHARACTERS // max(1, len(diffs or {}))
    parts += [f"### {name}: what would change\n\n{_shown(diff, room)}" for name, diff in (diffs or {}).items()]
    return "\n\n".join([*parts, *filter(None, [note])])


def _image_row(name: str, image: Image) -> tuple[str, str, str]:
    return name, f"`{image}`", f"`{image.commit[:12]}`" if image.commit else "unknown"


def _reason(check: Check, tested: set[str]) -> str:
    _, at, digest = check["image"].partition("@")
    other = f" ⚠️ of another image: `{check['image']}`" if at and tested and digest not in tested else ""
    return check["reason"] + other


def _shown(diff: DiffDict, room: int) -> str:
    """Return the diff, or where that is too long what becomes of each object."""
    if len(diff["markdown"]) <= room:
        return diff["markdown"]
    rows = ((each["object"], each["change"], f"+{each['added']} -{each['removed']}") for each in diff["objects"])
    return _table(("Object", "Change", "Lines"), rows) + "\n\nThe whole diff is in the log of the task that made it."


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", r"\|").split())
