"""Saying what a task would change, instead of changing it."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any

from tke_provider.domain.choices import check_choice
from tke_provider.domain.rehearsals import rehearsal
from tke_provider.operators.base import TkeBaseOperator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

    from tke_provider.domain.rehearsals import Line, Rehearsal


class TkeRehearsableOperator(TkeBaseOperator, abc.ABC):
    """Changes something, or only says what it would change. Stands first among the bases of an operator.

    :param dry_run: ``True`` or ``False``, no template: check everything and write nothing; the task then returns a
        :class:`~tke_provider.domain.rehearsals.Rehearsal`: what there is and what that would become, who owns it, and
        what stands against the change, object by object in ``rows`` and as a page for an approval in ``markdown``.
        What would end the task for its input ends a dry run, too.
    """

    def __init__(self, *, dry_run: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_choice("dry_run", dry_run, (False, True))  # any text would be true
        self.changes_nothing = dry_run  # Airflow has a method of the argument's name

    @abc.abstractmethod
    async def rehearse(self, context: Context) -> Sequence[Line]:
        """Look at what would be changed, and write nothing."""

    def execute(self, context: Context) -> Any:
        """Do the task's work, or say what it would be."""
        if self.changes_nothing:
            return self.run_coroutine(self._shown(context))
        return super().execute(context)

    async def _shown(self, context: Context) -> Rehearsal:
        shown = rehearsal(self.task_id, await self.rehearse(context))
        self.log.info("%s", shown["markdown"])
        return shown
