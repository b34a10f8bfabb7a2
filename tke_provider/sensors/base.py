"""How every sensor asks: once, and where that is not the end, in the triggerer or as Airflow's sensors do."""

from __future__ import annotations

import abc
import asyncio
import time
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException, BaseSensorOperator, conf

from tke_provider.domain.verdicts import State, Verdict, VerdictEvent

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from tke_provider.triggers.base import TkeBaseTrigger


class TkeBaseSensor(BaseSensorOperator, abc.ABC):
    """Waits for a final verdict; a subclass supplies the trigger that looks for it.

    Ends at once where waiting cannot help, and where the answer is neither yes nor no.

    :param tke_conn_id: connection to Tencent Cloud.
    :param deferrable: whether to wait in the triggerer; default: ``[operators] default_deferrable``.
    """

    def __init__(
        self,
        *,
        tke_conn_id: str = "tke_default",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.tke_conn_id = tke_conn_id
        self.deferrable = deferrable

    @abc.abstractmethod
    def trigger(self, deadline: float) -> TkeBaseTrigger:
        """Return what looks.

        :param deadline: when to give up, in seconds since the epoch.
        """

    @property
    def within(self) -> float:
        """When the wait is given up, in seconds; Airflow holds no ``execution_timeout`` while a task is deferred."""
        if self.deferrable and self.execution_timeout:
            return min(self.timeout, self.execution_timeout.total_seconds())
        return self.timeout

    def execute(self, context: Context) -> Any:
        """Look once; where that is not the end, wait without a worker, or as any sensor."""
        if not self.deferrable:
            return super().execute(context)
        if not self.poke(context):
            self.defer(trigger=self.trigger(time.time() + self.within), method_name="execute_complete")
        return None

    def poke(self, context: Context) -> bool:  # noqa: ARG002  # Airflow's signature
        """Look once."""
        verdict = asyncio.run(self.trigger(time.time() + self.timeout).verdict())
        self.log.info("%s", verdict.reason)
        if verdict.state not in {State.PASSED, State.PENDING}:
            raise AirflowFailException(_sentence(verdict.reason))
        return verdict.state is State.PASSED

    def execute_complete(self, context: Context, event: VerdictEvent | None = None) -> None:  # noqa: ARG002
        """End as the trigger says."""
        verdict = Verdict.from_event(event)
        if verdict.state is State.EXPIRED:
            raise AirflowFailException(_sentence(f"Not within {self.within:g} seconds: {verdict.reason}"))
        if verdict.state is not State.PASSED:
            raise AirflowFailException(_sentence(verdict.reason))
        self.log.info("%s", verdict.reason)


def _sentence(reason: str) -> str:
    """End a reason with a full stop; one that was an error's has it already."""
    return f"{reason.rstrip('.')}."
