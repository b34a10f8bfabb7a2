"""Whether releases are free now."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator

from tke_provider.domain.approvals import Approval, overrides
from tke_provider.domain.choices import check_choice
from tke_provider.domain.freezes import Freeze, Frozen, frozen_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

# Airflow fails a task that is resumed before it knows of the deferral.
_SETTLE = timedelta(seconds=10)


class FreezeDict(TypedDict):
    """What was found: the freeze that was overridden, by whom and why; all empty where releases were free."""

    freeze: str
    approver: str
    reason: str


class TkeFreezeWindowOperator(BaseOperator):
    """Lets a release pass outside of freezes only; put it right before what changes production.

    :param freezes: times in which nothing is released.
    :param on_freeze: ``refuse`` (default) fails, naming the freeze and its end; ``wait`` waits for the end in the
        triggerer, and looks again then.
    :param approval: what a :class:`~tke_provider.operators.approvals.TkeApprovalOperator` returned: where the approver
        gave a reason to release in spite of a freeze, it passes, and the reason is logged. Template.
    :return: ``{"freeze": …, "approver": …, "reason": …}``; empty texts where releases were free.
    """

    template_fields: Sequence[str] = ("approval",)

    def __init__(
        self,
        *,
        freezes: Sequence[Freeze],
        on_freeze: Literal["refuse", "wait"] = "refuse",
        approval: Approval | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.freezes = freezes
        self.on_freeze = on_freeze
        self.approval = approval
        check_choice("on_freeze", on_freeze, ("refuse", "wait"))

    def execute(self, context: Context, event: object = None) -> FreezeDict:  # noqa: ARG002  # resumed here, too
        """Pass, refuse, or wait and look again."""
        frozen = frozen_at(datetime.now(timezone.utc), self.freezes)
        if frozen is None:
            return {"freeze": "", "approver": "", "reason": ""}
        reason = overrides(self.approval) if self.approval else ""
        approver = self.approval["approver"] if self.approval and reason else ""
        if not reason:
            self._stop(frozen)
        self.log.warning("Although %s, %s releases: %s", frozen, approver, reason)
        return {"freeze": frozen.name, "approver": approver, "reason": reason}

    def _stop(self, frozen: Frozen) -> None:
        if self.on_freeze == "refuse":
            raise AirflowFailException(
                f"{self.task_id} does not pass: {frozen}; release then, or let an approver give a reason not to wait."
            )
        from airflow.providers.standard.triggers.temporal import DateTimeTrigger

        self.log.info("Waiting: %s", frozen)
        moment = max(frozen.until, datetime.now(timezone.utc) + _SETTLE)
        self.defer(trigger=DateTimeTrigger(moment=moment), method_name="execute")
