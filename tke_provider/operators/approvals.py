"""A person decides, by what the pipeline found out."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException, Param
from airflow.providers.standard.operators.hitl import ApprovalOperator

from tke_provider.domain.approvals import APPROVE, OVERRIDE, Approval, approval_body, approver_of, overrides
from tke_provider.domain.freezes import Freeze, frozen_at

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from tke_provider.domain.checks import Check
    from tke_provider.domain.diffs import DiffDict
    from tke_provider.domain.images import ImageDict


class TkeApprovalOperator(ApprovalOperator):
    """Airflow's approval, with a body that shows what would be released: diff, digests, test results and commit.

    Rejects by itself when nobody answers in time; a rejection skips what follows. Diffs hide the values of Secrets. A
    check that was of another image than those to be released is pointed out. All but ``freezes`` are templates.

    :param subject: the question, as in ``Release {{ params.commit[:12] }} to production?``.
    :param commit: what is released.
    :param images: by service, as build or promotion returned them.
    :param checks: by what was checked, as the checks returned them.
    :param diffs: by service, as :class:`~tke_provider.operators.manifests.TkeDiffOperator` returned them.
    :param note: more Markdown for the end of the body.
    :param freezes: times in which nothing is released; to approve in one of them, a reason has to be filled in.
    :param response_timeout: how long to wait for an answer; default: 4 hours.
    :return: an :class:`~tke_provider.domain.approvals.Approval`; its ``approver`` is who goes into the release's
        record: ``TkeDeployServiceOperator(approver=approval.output["approver"])``.
    :raises AirflowFailException: when somebody approves in a freeze without a reason. Clear the task to ask again.
    """

    template_fields: Sequence[str] = ("body", "checks", "commit", "diffs", "images", "note", "subject")

    def __init__(
        self,
        *,
        commit: str = "",
        images: Mapping[str, ImageDict | str] | None = None,
        checks: Mapping[str, Check] | None = None,
        diffs: Mapping[str, DiffDict] | None = None,
        note: str = "",
        freezes: Sequence[Freeze] = (),
        defaults: str | list[str] | None = ApprovalOperator.REJECT,
        response_timeout: timedelta | None = timedelta(hours=4),
        params: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        # Airflow hands over the DAG's params as well, of which a value may be missing: dict(params) would ask for it.
        fields = dict(params.items()) if params else {}
        if freezes:
            why = "Why to release although releases are frozen."
            fields[OVERRIDE] = reason = Param(None, type=["null", "string"], title="Reason", description=why)
            reason.source = "task"  # the form leaves out those of the DAG
        # Each of its parts is an XCom of its own, so that approval.output["approver"] is one.
        kwargs.setdefault("multiple_outputs", True)
        super().__init__(defaults=defaults, response_timeout=response_timeout, params=fields, **kwargs)
        self.commit = commit
        self.images = images
        self.checks = checks
        self.diffs = diffs
        self.note = note
        self.freezes = freezes

    def execute(self, context: Context) -> Any:
        """Ask."""
        self.body = approval_body(
            commit=self.commit,
            images=self.images,
            checks=self.checks,
            diffs=self.diffs,
            frozen=frozen_at(datetime.now(timezone.utc), self.freezes),
            note="\n\n".join(filter(None, (self.body, self.note))),
        )
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Approval:
        """Do as the answer says; a rejection skips what follows."""
        if "error" not in event:
            self._check_freeze(_approval(event))
        return _approval(super().execute_complete(context, event))

    def _check_freeze(self, approval: Approval) -> None:
        frozen = frozen_at(datetime.now(timezone.utc), self.freezes)
        if frozen and APPROVE in approval["chosen_options"] and not overrides(approval):
            raise AirflowFailException(
                f"{approval['approver'] or 'Nobody'} approved without a reason, but {frozen}; clear this task and give"
                " one, or approve after its end."
            )


def _approval(answer: Mapping[str, Any]) -> Approval:
    answered = answer["responded_at"]
    return {
        "chosen_options": list(answer["chosen_options"]),
        "params_input": dict(answer["params_input"] or {}),
        "approver": approver_of(answer["responded_by_user"]),
        "responded_at": answered if isinstance(answered, str) else answered.isoformat(),
    }
