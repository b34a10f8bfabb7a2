"""Rehearse a scaling plan, and bring everything in it to the size that should hold now."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TypedDict

from tke_provider.clients.plans import bring_all, find, is_due
from tke_provider.clients.pools import bring_pool, find_pools
from tke_provider.domain.plan_documents import parse
from tke_provider.domain.plans import Kind, Plan, show_size
from tke_provider.domain.proposals import Proposal, Row, markdown, propose
from tke_provider.domain.verdicts import State, Verdict
from tke_provider.domain.windows import check_instant
from tke_provider.exceptions import DeadlineError, InputError, NotFoundError, OwnedError, RolloutError, TkeError
from tke_provider.hooks.kubernetes import TkeKubernetesHook
from tke_provider.hooks.tke import TkeHook
from tke_provider.operators.base import TkeBaseOperator, operation_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from airflow.providers.common.compat.sdk import Context

    from tke_provider.clients.kubernetes import Cluster
    from tke_provider.clients.plans import Found
    from tke_provider.clients.pools import FoundPool
    from tke_provider.clients.tke import Tke

_MOST_TOLD = 10


class RowResult(TypedDict):
    """What became of one object, as it lies in XCom.

    ``state`` is ``to change`` or ``blocked`` in a rehearsal; else ``done``, ``failed``, or ``verified`` where an
    earlier try had written it.
    """

    ref: str
    before: str
    after: str
    owner: str
    state: str
    reason: str


class PlanResult(TypedDict):
    """What a plan would change, or changed, as it lies in XCom.

    ``rows`` holds what changed or should have, not what was right already; ``markdown`` is the page for approval.
    """

    plan: str
    at: str
    frozen: str
    unchanged: int
    rows: list[RowResult]
    cost_now: float
    cost_then: float
    markdown: str


@dataclasses.dataclass(slots=True)
class _Place:
    """One cluster with what the plan sizes in it."""

    cluster_id: str
    cluster: Cluster
    tke: Tke | None
    found: list[Found] = dataclasses.field(default_factory=list)
    pools: list[FoundPool] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(slots=True)
class _Survey:
    """What there is, and what the plan would change of it."""

    proposal: Proposal
    services: list[tuple[_Place, Found, Row]]
    pools: list[tuple[_Place, FoundPool, Row]]
    missing: list[str]


class _TkePlanOperator(TkeBaseOperator):
    """Reads a plan and looks at everything in it.

    :param plan: YAML, or the path of a ``.yaml`` file beside the DAG; ``docs/plans.md`` says what it holds.
    :param at: the instant whose sizes should hold, ISO 8601 with zone; default: when the task runs.
    :param cluster_id: for targets that name no cluster; default: the connection's.
    :param region: of the clusters; default: the connection's.
    """

    template_fields = ("at", "cluster_id", "plan", "region", "tke_conn_id")
    template_ext = (".yaml", ".yml")
    template_fields_renderers = {"plan": "yaml"}  # noqa: RUF012  # Airflow's own declaration

    def __init__(
        self,
        *,
        plan: str,
        at: str | None = None,
        cluster_id: str | None = None,
        region: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.plan = plan
        self.at = at
        self.cluster_id = cluster_id
        self.region = region

    @property
    def instant(self) -> datetime:
        """The instant whose sizes should hold."""
        if not self.at:
            return datetime.now(timezone.utc)
        try:
            instant = datetime.fromisoformat(self.at.replace("Z", "+00:00"))
        except ValueError as error:
            raise InputError(
                f"at is {self.at!r}", way_out="write an instant as in 2026-11-11T00:00:00+08:00"
            ) from error
        check_instant(instant)
        return instant

    async def _survey(self, places: Sequence[_Place], plan: Plan, operation: str, *, closely: bool) -> _Survey:
        missing: list[str] = []
        for place in places:
            targets = [each for each in plan.targets.values() if self._cluster_of(each.cluster) == place.cluster_id]
            within = [each for each in targets if each.kind is not Kind.NODE_POOL]
            place.found, absent = await find(place.cluster, within, operation, closely=closely)
            missing += absent
            if place.tke and (pools := [each for each in targets if each.kind is Kind.NODE_POOL]):
                place.pools, absent = await find_pools(place.tke, place.cluster_id, pools)
                missing += absent
        services = [(place, each) for place in places for each in place.found]
        pools_found = [(place, each) for place in places for each in place.pools]
        presents = [each.present for _, each in services] + [each.present for _, each in pools_found]
        proposal = propose(plan, self.instant, presents)
        rows = list(proposal.rows)
        return _Survey(
            proposal,
            [(place, each, row) for (place, each), row in zip(services, rows, strict=False)],
            [(place, each, row) for (place, each), row in zip(pools_found, rows[len(services) :], strict=True)],
            missing,
        )

    @contextlib.asynccontextmanager
    async def _places(self, plan: Plan) -> AsyncIterator[list[_Place]]:
        """Open every cluster of the plan."""
        hook = TkeHook(self.tke_conn_id, self.region)
        connection = await hook.connection()
        self.cluster_id = self.cluster_id or connection.cluster_id
        self.region = self.region or connection.region
        async with contextlib.AsyncExitStack() as stack:
            pooled = any(each.kind is Kind.NODE_POOL for each in plan.targets.values())
            tke = await stack.enter_async_context(await hook.tke()) if pooled else None
            places = []
            for cluster_id in dict.fromkeys(self._cluster_of(each.cluster) for each in plan.targets.values()):
                opened = await TkeKubernetesHook(self.tke_conn_id, cluster_id or None, self.region).cluster()
                places.append(_Place(cluster_id, await stack.enter_async_context(opened), tke))
            yield places

    def _cluster_of(self, named: str) -> str:
        return named or self.cluster_id or ""


class TkeScalePlanOperator(_TkePlanOperator):
    """Show what a scaling plan would change now, or at another instant; changes nothing.

    Of every object: its size and the one that should hold, who owns the number, what stands against the change (a
    freeze, an owner, a lease that somebody holds, bounds, quota, pods that wait already), and what it costs.

    :returns: a :class:`PlanResult`; ``{{ ti.xcom_pull(task_ids='…')['markdown'] }}`` is a page for an approval task.
    :raises ManifestError: when the plan cannot be understood; tells every mistake with its line.
    :raises InputError: when a calendar does not know the year, or a target does not exist.
    """

    async def perform(self, context: Context) -> PlanResult:
        """Look, and say what would be done."""
        plan = parse(self.plan)
        async with self._places(plan) as places:
            survey = await self._survey(places, plan, operation_of(context).id, closely=True)
        _refuse_missing(plan, survey.missing)
        proposal = survey.proposal
        rows = [_result(row, "to change", row.reason) for row in proposal.changes]
        rows += [_result(row, "blocked", "; ".join(row.blockers)) for row in proposal.blocked]
        result = _plan_result(proposal, rows)
        self.log.info("%s", result["markdown"])
        return result


class TkeApplyScheduleOperator(_TkePlanOperator):
    """Bring everything in a scaling plan to the size that should hold now.

    What grows, grows nodes first, waits until they are ready and open to pods, and then pods, until they are available.
    What shrinks, shrinks pods first and then nodes. Only what is wrong is written, so a late, missed, repeated or
    killed run heals. What fails is told object by object, and everything else is done; then the task fails. It keeps
    its worker meanwhile: what it waits for are many things at once, of which one decides when the next begins.

    :param concurrency: how many services are changed at a time.
    :param per_second: how many services are begun in a second; each takes about five calls of the cluster's API.
    :param service_timeout: seconds to wait for the pods of each service.
    :param pool_timeout: seconds to wait for the nodes of each pool.
    :param poll_interval: seconds between two looks.
    :returns: a :class:`PlanResult`; a freeze changes nothing and is no failure.
    :raises ManifestError: when the plan cannot be understood. Nothing was changed.
    :raises BusyError: when other operations held some objects; a retry helps, the rest is done.
    :raises TkeError: of the kind of the first failure otherwise; tells every failure, the rest is done.
    """

    def __init__(
        self,
        *,
        concurrency: int = 50,
        per_second: float = 20.0,
        service_timeout: float = 300.0,
        pool_timeout: float = 1800.0,
        poll_interval: float = 5.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.concurrency = concurrency
        self.per_second = per_second
        self.service_timeout = service_timeout
        self.pool_timeout = pool_timeout
        self.poll_interval = poll_interval

    async def perform(self, context: Context) -> PlanResult:
        """Nodes up, pods up and down, nodes down."""
        plan, operation = parse(self.plan), operation_of(context).id
        async with self._places(plan) as places:
            survey = await self._survey(places, plan, operation, closely=False)
            if survey.proposal.warning:
                self.log.warning("%s", survey.proposal.warning)
            if survey.proposal.frozen:
                self.log.info("Nothing is changed: freeze %s", survey.proposal.frozen)
                return _plan_result(survey.proposal, [])
            done = await self._pools(survey, plan, operation, "up")
            done += await self._services(places, survey, operation)
            done += await self._pools(survey, plan, operation, "down")
        result = _plan_result(survey.proposal, [_outcome(row, what) for row, what in done])
        context["ti"].xcom_push(key="result", value=result)
        self._refuse_failures(plan, survey, done)
        return result

    async def _services(
        self, places: Iterable[_Place], survey: _Survey, operation: str
    ) -> list[tuple[Row, Verdict | TkeError]]:
        done: list[tuple[Row, Verdict | TkeError]] = []
        for place in places:
            here = [(found, row) for where, found, row in survey.services if where is place]
            work = [(found, row) for found, row in here if is_due(found, row, operation)]
            self.log.info("Cluster %s: %d of %d objects to change", place.cluster_id, len(work), len(here))
            done += await bring_all(
                place.cluster,
                work,
                operation,
                concurrency=self.concurrency,
                per_second=self.per_second,
                timeout=self.service_timeout,
                poll_interval=self.poll_interval,
            )
        for row, what in done:
            self._say(row, what)
        return done

    async def _pools(
        self, survey: _Survey, plan: Plan, operation: str, direction: str
    ) -> list[tuple[Row, Verdict | TkeError]]:
        work = [each for each in survey.pools if not each[2].blockers and each[1].moves(each[2].direction) == direction]

        async def one(place: _Place, pool: FoundPool, row: Row) -> tuple[Row, Verdict | TkeError]:
            assert place.tke is not None  # noqa: S101  # it found the pool
            try:
                return row, await bring_pool(
                    place.tke,
                    place.cluster,
                    place.cluster_id,
                    pool,
                    row,
                    operation,
                    through_bounds=plan.targets[row.target].on_owner == "bounds",
                    deadline=time.monotonic() + self.pool_timeout,
                    poll_interval=self.poll_interval,
                )
            except TkeError as error:
                return row, error

        done = list(await asyncio.gather(*(one(*each) for each in work)))
        for row, what in done:
            self._say(row, what)
        return done

    def _say(self, row: Row, what: Verdict | TkeError) -> None:
        sizes = f"{show_size(row.before)} to {show_size(row.after)}"
        if isinstance(what, Verdict) and what.state is State.PASSED:
            self.log.info("%s: %s, %s", row.ref, sizes, row.reason)
        else:
            self.log.warning("%s: not %s: %s", row.ref, sizes, what.reason if isinstance(what, Verdict) else what)

    def _refuse_failures(self, plan: Plan, survey: _Survey, done: Sequence[tuple[Row, Verdict | TkeError]]) -> None:
        """Tell every failure; of their kinds, the first that no retry mends decides."""
        failures: list[tuple[str, TkeError]] = [(each, NotFoundError(each, way_out="-")) for each in survey.missing]
        failures += [(row.ref, _blocked(row)) for row in survey.proposal.blocked]
        failures += [(row.ref, error) for row, what in done if (error := _error(row, what))]
        if not failures:
            return
        kinds = [error for _, error in failures if not error.retryable] or [error for _, error in failures]
        told = [error.cause or error.problem for _, error in failures[:_MOST_TOLD]]
        more = f"; and {len(failures) - _MOST_TOLD} more" if len(failures) > _MOST_TOLD else ""
        raise type(kinds[0])(
            f"{len(failures)} of {len(survey.proposal.rows) + len(survey.missing)} objects of plan {plan.name} are not"
            " as they should be",
            cause="; ".join(told) + more,
            way_out="remove the causes and run the task again; everything else is done",
        )


def _blocked(row: Row) -> TkeError:
    why = "; ".join(row.blockers)
    kind = OwnedError if "is written by" in why else InputError
    return kind(f"{row.ref} is not changed", cause=f"{row.ref}: {why}", way_out="-")


def _error(row: Row, what: Verdict | TkeError) -> TkeError | None:
    if isinstance(what, TkeError):
        return what
    if what.state is State.PASSED:
        return None
    kind = DeadlineError if what.state is State.EXPIRED else RolloutError
    return kind(f"{row.ref} does not come to {show_size(row.after)}", cause=what.reason, way_out="-")


def _outcome(row: Row, what: Verdict | TkeError) -> RowResult:
    if isinstance(what, Verdict):
        done = "done" if row.direction != "none" else "verified"
        return _result(row, done if what.state is State.PASSED else "failed", what.reason)
    return _result(row, "failed", str(what))


def _result(row: Row, state: str, reason: str) -> RowResult:
    before, after = show_size(row.before), show_size(row.after)
    return {"ref": row.ref, "before": before, "after": after, "owner": row.owner, "state": state, "reason": reason}


def _plan_result(proposal: Proposal, rows: list[RowResult]) -> PlanResult:
    return {
        "plan": proposal.plan,
        "at": proposal.at.isoformat(),
        "frozen": proposal.frozen,
        "unchanged": sum(row.direction == "none" for row in proposal.rows),
        "rows": rows,
        "cost_now": proposal.cost_now,
        "cost_then": proposal.cost_then,
        "markdown": markdown(proposal),
    }


def _refuse_missing(plan: Plan, missing: Sequence[str]) -> None:
    if missing:
        raise NotFoundError(
            f"Plan {plan.name} names what does not exist", cause="; ".join(missing), way_out="correct the plan"
        )
