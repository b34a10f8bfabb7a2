"""Rehearse a scaling plan, and bring everything in it to the size that should hold now."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TypeAlias

from tke_provider.clients import leases
from tke_provider.clients.plan_targets import find
from tke_provider.clients.plans import bring_all, is_due
from tke_provider.clients.pools import PoolWork, find_pools, whole_pool
from tke_provider.clients.rehearsals import look_at_pools
from tke_provider.domain.choices import check_choice
from tke_provider.domain.plan_documents import parse
from tke_provider.domain.plan_results import (
    Outcome,
    PlanResult,
    blocked,
    plan_result,
    refuse_failures,
    refuse_missing,
    rehearsed,
)
from tke_provider.domain.plans import Kind, Plan
from tke_provider.domain.proposals import Proposal, Row, propose, stand_in
from tke_provider.domain.windows import check_instant
from tke_provider.exceptions import InputError, TkeError
from tke_provider.hooks.kubernetes import TkeKubernetesHook
from tke_provider.hooks.tke import TkeHook
from tke_provider.links.console import ClusterLink
from tke_provider.operators.base import TkeBaseOperator, operation_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from airflow.providers.common.compat.sdk import Context

    from tke_provider.clients.kubernetes import Cluster
    from tke_provider.clients.plan_targets import Found
    from tke_provider.clients.pools import FoundPool
    from tke_provider.clients.tke import Tke
    from tke_provider.domain.proposals import Direction


@dataclasses.dataclass(slots=True)
class _Place:
    """One cluster with what the plan sizes in it."""

    cluster_id: str
    cluster: Cluster
    tke: Tke | None
    found: list[Found] = dataclasses.field(default_factory=list)
    pools: list[FoundPool] = dataclasses.field(default_factory=list)


_Pool: TypeAlias = "tuple[_Place, FoundPool, Row]"


@dataclasses.dataclass(slots=True)
class _Survey:
    """What there is, and what the plan would change of it."""

    plan: Plan
    proposal: Proposal
    services: list[tuple[_Place, Found, Row]]
    pools: list[_Pool]
    missing: list[str]


def _compare(plan: Plan, now: datetime, places: Sequence[_Place], missing: list[str]) -> _Survey:
    services = [(place, each) for place in places for each in place.found]
    pools = [(place, each) for place in places for each in place.pools]
    proposal = propose(plan, now, [each.present for _, each in services] + [each.present for _, each in pools])
    rows = list(proposal.rows)
    return _Survey(
        plan,
        proposal,
        [(place, each, row) for (place, each), row in zip(services, rows, strict=False)],
        [(place, each, row) for (place, each), row in zip(pools, rows[len(services) :], strict=True)],
        missing,
    )


class _TkePlanOperator(TkeBaseOperator):
    """Reads a plan and looks at everything in it.

    :param plan: YAML, or the path of a ``.yaml`` file beside the DAG; ``docs/plans.md`` says what it holds.
    :param at: the instant whose sizes should hold, ISO 8601 with zone; default: when the task runs.
    :param cluster_id: for targets that name no cluster; default: the connection's.
    :param region: of the clusters; default: the connection's.
    """

    template_fields = ("at", "cluster_id", "plan", "region", "tke_conn_id")
    operator_extra_links = (ClusterLink(),)
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
                place.pools, absent = await find_pools(place.tke, place.cluster, place.cluster_id, pools, operation)
                missing += absent
        now = self.instant
        survey = _compare(plan, now, places, missing)
        if not closely:
            return survey
        for place in places:
            if place.tke:
                here = [(pool, row) for where, pool, row in survey.pools if where is place]
                place.pools = await look_at_pools(place.tke, place.cluster, place.cluster_id, here, operation)
        return _compare(plan, now, places, missing)

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

    async def _rehearse(self, context: Context) -> PlanResult:
        plan = parse(self.plan)
        async with self._places(plan) as places:
            survey = await self._survey(places, plan, operation_of(context).id, closely=True)
        refuse_missing(survey.proposal, survey.missing)
        result = rehearsed(survey.proposal)
        self.log.info("%s", result["markdown"])
        return result

    def _cluster_of(self, named: str) -> str:
        return named or self.cluster_id or ""


class TkeScalePlanOperator(_TkePlanOperator):
    """Show what a scaling plan would change now, or at another instant; changes nothing.

    Of every object: its size and the one that should hold, who owns the number, what stands against the change (a
    freeze, an owner, a lease that somebody holds, bounds, quota, pods that wait already, disruption budgets that keep
    nodes which have to go), and what it costs.

    :returns: a :class:`PlanResult`; ``{{ ti.xcom_pull(task_ids='…')['markdown'] }}`` is a page for an approval task.
    :raises ManifestError: when the plan cannot be understood; tells every mistake with its line.
    :raises InputError: when a calendar does not know the year, or a target does not exist.
    """

    async def perform(self, context: Context) -> PlanResult:
        """Look, and say what would be done."""
        return await self._rehearse(context)


class TkeApplyScheduleOperator(_TkePlanOperator):
    """Bring everything in a scaling plan to the size that should hold now.

    What grows, grows nodes first, waits until they are ready and open to pods, and then pods, until they are available.
    What shrinks, shrinks pods first and then nodes. Only what is wrong is written, so a late, missed, repeated or
    killed run heals. What fails is told object by object, and everything else is done; then the task fails. It keeps
    its worker meanwhile: what it waits for are many things at once, of which one decides when the next begins.

    :param concurrency: how many services are changed at a time.
    :param per_second: how many services are begun in a second; each takes about six calls of the cluster's API.
    :param service_timeout: seconds to wait for the pods of each service.
    :param pool_timeout: seconds to wait for the nodes of each pool.
    :param poll_interval: seconds between two looks.
    :param dry_run: change nothing, and return what :class:`TkeScalePlanOperator` does.
    :returns: a :class:`PlanResult`; a freeze changes nothing and is no failure.
    :raises ManifestError: when the plan cannot be understood. Nothing was changed.
    :raises InputError: when ``concurrency`` or ``per_second`` lets nothing through, or a calendar does not know the
        year. Nothing was changed.
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
        dry_run: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.concurrency = concurrency
        self.per_second = per_second
        self.service_timeout = service_timeout
        self.pool_timeout = pool_timeout
        self.poll_interval = poll_interval
        check_choice("dry_run", dry_run, (False, True))  # any text would be true
        self.changes_nothing = dry_run  # Airflow has a method of the argument's name

    async def perform(self, context: Context) -> PlanResult:
        """Nodes up, pods up and down, nodes down."""
        self._check_pace()
        if self.changes_nothing:
            return await self._rehearse(context)
        plan, operation = parse(self.plan), operation_of(context).id
        async with self._places(plan) as places:
            survey = await self._survey(places, plan, operation, closely=False)
            if survey.proposal.warning:
                self.log.warning("%s", survey.proposal.warning)
            if survey.proposal.frozen:
                self.log.info("Nothing is changed: freeze %s", survey.proposal.frozen)
                return plan_result(survey.proposal, [])
            done = await self._grow(survey, operation)
            done += await self._services(places, survey, operation)
            done += await self._pools(survey, survey.pools, operation, "down")
            await self._give_back(survey, operation)
        result = plan_result(survey.proposal, [each.result for each in done])
        context["ti"].xcom_push(key="result", value=result)
        refuse_failures(survey.proposal, survey.missing, done)
        return result

    def _check_pace(self) -> None:
        if self.concurrency < 1 or self.per_second <= 0:
            raise InputError(
                f"With a concurrency of {self.concurrency} and {self.per_second:g} services a second no plan would end",
                way_out="let at least one at a time, and more than none a second",
            )

    async def _services(self, places: Iterable[_Place], survey: _Survey, operation: str) -> list[Outcome]:
        done: list[Outcome] = []
        for place in places:
            here = [(found, row) for where, found, row in survey.services if where is place]
            work = [(found, row) for found, row in here if is_due(found, row, operation)]
            self.log.info("Cluster %s: %d of %d objects to change", place.cluster_id, len(work), len(here))
            brought = await bring_all(
                place.cluster,
                work,
                operation,
                concurrency=self.concurrency,
                per_second=self.per_second,
                timeout=self.service_timeout,
                poll_interval=self.poll_interval,
            )
            done += [Outcome(row, what) for row, what in brought]
        return self._told(done)

    async def _grow(self, survey: _Survey, operation: str) -> list[Outcome]:
        """Bring nodes, and those that the cloud does not have from the pools that stand in for theirs."""
        done = await self._pools(survey, survey.pools, operation, "up")
        for lacking in [each for each in done if each.missing]:
            name = survey.plan.targets[lacking.row.target].other_pool
            for number, (place, pool, row) in enumerate(survey.pools):
                if row.target == name:
                    lent = stand_in(survey.plan, survey.proposal, row, lacking.missing, lacking.row)
                    survey.pools[number] = (place, pool, lent)
        lent_by = [each for each in survey.pools if each[2].stands_in_for]
        twice = {row.target for _, _, row in lent_by}
        done = [each for each in done if each.row.target not in twice]
        done += [Outcome(row, blocked(row)) for _, _, row in lent_by if row.blockers]
        return done + await self._pools(survey, lent_by, operation, "up")

    async def _pools(
        self, survey: _Survey, pools: Sequence[_Pool], operation: str, direction: Direction
    ) -> list[Outcome]:
        work = [each for each in pools if not each[2].blockers and each[1].moves(each[2]) == direction]
        deadline = time.monotonic() + self.pool_timeout

        async def one(place: _Place, pool: FoundPool, row: Row) -> Outcome:
            assert place.tke is not None  # noqa: S101  # it found the pool
            task = PoolWork(place.tke, place.cluster, place.cluster_id, operation, deadline, self.poll_interval)
            try:
                return Outcome(row, *await task.bring(pool.pool, row, survey.plan.targets[row.target]))
            except TkeError as error:
                return Outcome(row, error)

        return self._told(list(await asyncio.gather(*(one(*each) for each in work))))

    async def _give_back(self, survey: _Survey, operation: str) -> None:
        """Give back the leases that an earlier try of this operation died with, where nothing was left to do."""
        for place, pool, _ in survey.pools:
            lease = whole_pool(pool.pool.id)
            await leases.give_back(place.cluster, [(lease.namespace, lease.name)], operation)

    def _told(self, done: list[Outcome]) -> list[Outcome]:
        for each in done:
            self.log.log(logging.WARNING if each.error or each.missing else logging.INFO, "%s", each)
        return done
