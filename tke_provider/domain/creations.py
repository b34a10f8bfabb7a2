"""Things that must not be made twice: how one made by this operation is told from one that was there before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from tke_provider.exceptions import ConflictError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MADE_BY = "tke.airflow/made-by"
"""Label of a node pool, and tag of a cluster: the operation that made it."""

IfExists = Literal["refuse", "use"]
"""What to do about a thing of the same name that another one made."""


class Made(Protocol):
    """A cluster or node pool."""

    @property
    def id(self) -> str:
        """As the cloud names it."""

    @property
    def name(self) -> str:
        """As its maker named it."""

    @property
    def made_by(self) -> str:
        """The mark of the operation that made it; empty where that was somebody else."""


M = TypeVar("M", bound=Made)


def mark(operation: str) -> str:
    """Return what an operation marks things with: the part of its id that tells runs apart, which a label can hold."""
    return operation.rpartition(".")[2]


def recognise(
    what: str, there: Iterable[M], name: str, made_by: str, if_exists: IfExists, *, made_id: str = ""
) -> M | None:
    """Return the one that this operation made, or may use; nothing where it is still to be made.

    :param what: of what kind they are, for errors.
    :param made_id: the id that the cloud answered with, where it did: tags may take a moment to show.
    :raises ConflictError: when there are several of this operation.
    :raises InputError: when the name belongs to another one.
    """
    there = list(there)
    if ours := [each for each in there if each.made_by == made_by or each.id == made_id]:
        if len(ours) > 1:
            raise ConflictError(
                f"Two tries of this task made a {what} each: {_list(ours)}",
                way_out="delete the one that is not needed, then run the task again",
            )
        return ours[0]
    named = [each for each in there if each.name == name]
    if named and (if_exists == "refuse" or len(named) > 1):
        raise InputError(
            f"There is a {what} named {name} already, which this task did not make: {_list(named)}",
            way_out='take another name, delete that one, or say if_exists="use" where it is the only one',
        )
    return named[0] if named else None


def check_confirmed(what: str, thing: Made, confirm: str) -> None:
    """Refuse to delete what nobody named a second time.

    :raises InputError: when the confirmation is neither its id nor its name.
    """
    if not confirm or confirm not in {thing.id, thing.name}:
        raise InputError(
            f"The deletion of {what} {thing.id} ({thing.name}) is not confirmed, for confirm is {confirm!r}",
            way_out=f"write confirm={thing.name or thing.id!r}, if it is this one that shall go",
        )


def merged(params: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters of a call with more of them, level by level; where both say something, the latter counts."""
    both = {
        name: merged(params[name], value)
        for name, value in more.items()
        if isinstance(value, dict) and isinstance(params.get(name), dict)
    }
    return {**params, **more, **both}


def _list(things: Iterable[Made]) -> str:
    return ", ".join(each.id for each in things)
