"""Options that have a few spellings, each of which does something else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tke_provider.exceptions import InputError

if TYPE_CHECKING:
    from collections.abc import Collection


def check_choice(name: str, value: object, choices: Collection[object]) -> None:
    """Refuse a misspelt option when the DAG is parsed: taken for another, it would do the opposite.

    :raises InputError: when the value is none of the choices.
    """
    if value not in choices:
        raise InputError(f"{name} is {value!r}", way_out=f"write one of {', '.join(map(repr, choices))}")
