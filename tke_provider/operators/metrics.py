"""Let metrics decide: whether a version goes on, and how many pods a service has."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import TYPE_CHECKING, Any, Literal, get_args

from tke_provider.clients.scaling import find_number
from tke_provider.domain.checks import Check, without_tests
from tke_provider.domain.choices import check_choice
from tke_provider.domain.demand import SIZED_AT, Choice, Policy, choose
from tke_provider.domain.images import Image
from tke_provider.domain.manifests import annotation
from tke_provider.domain.metrics import Gate, check_query, fill, number
from tke_provider.domain.operations import SIZED_BY
from tke_provider.domain.scaling import Bounds, Decision, owned, whole_number
from tke_provider.domain.verdicts import State, Verdict
from tke_provider.exceptions import ChecksFailedError, InconclusiveError, InputError
from tke_provider.hooks.metrics import MetricsHook
from tke_provider.operators.base import TkeWaitingOperator, open_cluster, operation_of
from tke_provider.operators.scaling import TkeScaleServiceOperator
from tke_provider.triggers.metrics import MetricGateTrigger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from tke_provider.clients.scaling import Number
    from tke_provider.domain.images import ImageDict
    from tke_provider.domain.metrics import Query
    from tke_provider.domain.rehearsals import Line
    from tke_provider.domain.verdicts import VerdictEvent

OnNoAnswer = Literal["fail", "wait"]

_GRACE_SECONDS = 600.0
_CHOICE = "choice"  # XCom key: outlives a deferral, unlike an attribute


class TkeMetricGateOperator(TkeWaitingOperator):
    """Lets a version go on only while its metrics are good. Changes nothing.

    All gates are asked at one instant after the other; the task ends as soon as the verdict is certain. The first
    look comes one ``interval`` after the start, so that there is something to see. No data, NaN, and fewer samples
    than asked for, say nothing, which is never a pass.

    :param gates: each ``{"name", "query"}`` and at least one bound, as ``docs/metrics.md`` explains.
    :param new: what ``{word}`` in a query stands for where the new version is asked for, such as
        ``{"service": "shop", "version": "…"}``.
    :param old: the same for the old version; words that it lacks are those of ``new``.
    :param looks: how many looks have to say something.
    :param max_failed: how many of them may fail.
    :param interval: seconds from one look to the next.
    :param inconclusive: after a look that says nothing, ``fail``, or ``wait`` and look once more.
    :param image: what is looked at; named in the result, not verified.
    :param prometheus_conn_id: connection to Prometheus, for queries in PromQL.
    :param region: of the cloud's resources, for queries to Tencent Cloud's monitoring; default: the connection's.
    :param timeout: seconds until enough looks have said something; default: ten minutes more than they take.
    :return: ``{"verdict", "counts", "reason", "image", "reports"}``; the counts are zero.
    :raises ChecksFailedError: when more looks than ``max_failed`` fail; says the value and its bound. No retry.
    :raises InconclusiveError: when the metrics say nothing; says what is missing. A retry begins anew.
    :raises InputError: when a gate makes no sense, or its query is not understood; before the first look.
    """

    template_fields = (
        "gates",
        "image",
        "interval",
        "looks",
        "max_failed",
        "new",
        "old",
        "prometheus_conn_id",
        "region",
        "tke_conn_id",
    )

    def __init__(
        self,
        *,
        gates: Sequence[Mapping[str, Any]],
        new: Mapping[str, str] | None = None,
        old: Mapping[str, str] | None = None,
        looks: int | str = 5,
        max_failed: int | str = 0,
        interval: float | str = 60.0,
        inconclusive: OnNoAnswer = "fail",
        image: ImageDict | str | None = None,
        prometheus_conn_id: str = "prometheus_default",
        region: str | None = None,
        timeout: float | None = None,
        defer_after: float = 0.0,
        **kwargs: Any,
    ) -> None:
        # The first look is an interval away, so there is nothing to wait for in the worker.
        super().__init__(timeout=timeout or 0.0, defer_after=defer_after, **kwargs)
        self.gates = gates
        self.new = new
        self.old = old
        self.looks = looks
        self.max_failed = max_failed
        self.interval = interval
        check_choice("inconclusive", inconclusive, get_args(OnNoAnswer))
        self.inconclusive = inconclusive
        self.image = image
        self.prometheus_conn_id = prometheus_conn_id
        self.region = region
        self._start = 0.0

    @property
    def seconds(self) -> float:
        """How long it may take in all."""
        return self.timeout or _GRACE_SECONDS + whole_number("looks", self.looks) * number("interval", self.interval)

    async def change(self, context: Context) -> None:  # noqa: ARG002  # nothing is changed
        """Check the inputs, and that whoever is asked understands the queries."""
        if not whole_number("looks", self.looks) or not number("interval", self.interval) > 0:
            raise InputError("A gate without looks says nothing", way_out="give looks and interval of more than zero")
        if self.image:
            Image.parse(self.image)
        if not self.gates:
            raise InputError(f"Task {self.task_id} has no gate", way_out="pass at least one")
        gates = [Gate.parse(each) for each in self.gates]
        hook = MetricsHook(self.prometheus_conn_id, self.tke_conn_id, self.region)
        before = await hook.ask(gates, new=self.new, old=self.old)
        self.log.info("Before the first look: %s", before.reason)
        self._start = time.time()

    def trigger(self, context: Context, deadline: float) -> MetricGateTrigger:  # noqa: ARG002
        """Return what asks."""
        return MetricGateTrigger(
            tke_conn_id=self.tke_conn_id,
            deadline=deadline,
            poll_interval=self.poll_interval,
            gates=self.gates,
            new=self.new or {},
            old=self.old or {},
            prometheus_conn_id=self.prometheus_conn_id,
            region=self.region,
            start=self._start,
            interval=number("interval", self.interval),
            looks=whole_number("looks", self.looks),
            max_failed=whole_number("max_failed", self.max_failed),
            wait_for_data=self.inconclusive == "wait",
        )

    async def conclude(self, context: Context, verdict: Verdict) -> Check:  # noqa: ARG002
        """Return the check, or say which value is not good, or not known."""
        names = ", ".join(str(each.get("name")) for each in self.gates)
        if verdict.state is State.PASSED:
            image = str(Image.parse(self.image)) if self.image else ""
            return without_tests(verdict, image)
        if verdict.state is State.FAILED:
            raise ChecksFailedError(
                f"The metrics ({names}) are not good",
                cause=verdict.reason,
                way_out="look at what the new version does differently, or at the bound",
            )
        raise InconclusiveError(
            f"The metrics ({names}) say nothing",
            cause=verdict.reason,
            way_out="make sure that the version gets requests and is scraped, or ask over a longer time",
        )


class TkeScaleOnMetricOperator(TkeScaleServiceOperator):
    """Give a service as many pods as a metric asks for, and wait until every one of them is available.

    For what an HPA cannot see, such as the length of a queue, or cannot weigh, such as a calendar of the business; a
    DAG runs it every few minutes. The size is ``ceil(value / target)`` within ``minimum`` and ``maximum``.

    Without data nothing is changed. Where an HPA or KEDA writes the size, the task refuses and names it, unless
    ``on_owner`` has it move the lower bound of that. Everything else is as with
    :class:`~tke_provider.operators.scaling.TkeScaleServiceOperator`.

    :param query: PromQL, or a question to Tencent Cloud's monitoring, for all pods together. ``{namespace}`` and
        ``{service}`` in it stand for those of the service.
    :param target: how much one pod takes, in the metric's own unit.
    :param minimum: the least pods.
    :param maximum: the most pods.
    :param tolerance: how far the value per pod may lie from the target, as a part of it, before anything changes.
    :param stabilise_up: seconds; the least that the metric asked for in them is taken before pods are added.
    :param stabilise_down: seconds; the most that it asked for in them is taken before pods are removed.
    :param cooldown: seconds after a change of the size in which this task makes no other one.
    :param step: seconds between two values of the past that are looked at.
    :param prometheus_conn_id: connection to Prometheus, for a query in PromQL.
    :return: a :class:`~tke_provider.domain.scaling.Decision`; its reason names the value.
    :raises InconclusiveError: when there is no value. Nothing was changed.
    """

    template_fields = tuple(
        sorted(
            {*TkeScaleServiceOperator.template_fields, "query", "target", "prometheus_conn_id"} - {"replicas"},
        )
    )

    def __init__(
        self,
        *,
        query: Query,
        target: float | str,
        minimum: int | str,
        maximum: int | str,
        tolerance: float = 0.1,
        stabilise_up: float = 0.0,
        stabilise_down: float = 300.0,
        cooldown: float = 60.0,
        step: float = 15.0,
        prometheus_conn_id: str = "prometheus_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(replicas=0, minimum=minimum, maximum=maximum, **kwargs)
        self.query = query
        self.target = target
        self.tolerance = tolerance
        self.stabilise_up = stabilise_up
        self.stabilise_down = stabilise_down
        self.cooldown = cooldown
        self.step = step
        self.prometheus_conn_id = prometheus_conn_id

    @property
    def policy(self) -> Policy:
        """The checked policy."""
        bounds = Bounds(whole_number("minimum", self.minimum), whole_number("maximum", self.maximum))
        steady = {name: getattr(self, name) for name in ("tolerance", "stabilise_up", "stabilise_down", "cooldown")}
        return Policy(number("target", self.target), bounds, **steady)

    async def rehearse(self, context: Context) -> list[Line]:
        """Choose the size, and say what would become of it."""
        async with await open_cluster(self) as cluster:
            found = await find_number(cluster, self.ref)
        choice = await self._choose(found)
        self.replicas = choice.size
        return [dataclasses.replace(each, why=choice.reason) for each in await super().rehearse(context)]

    async def perform(self, context: Context) -> Any:
        """Choose the size; where it is the present one already, leave it at that."""
        async with await open_cluster(self) as cluster:
            found = await find_number(cluster, self.ref)
        if found.owner and self.on_owner == "refuse":
            raise owned(str(self.ref), found.owner)
        choice = await self._choose(found)
        self.log.info("%s: %s", self.ref, choice.reason)
        # What an earlier try of this task has written is waited for.
        if choice.size == found.value and annotation(found.live, SIZED_BY) != operation_of(context).id:
            return self._decision(found, choice)
        context["ti"].xcom_push(key=_CHOICE, value=list(choice))
        self.replicas = choice.size
        return await super().perform(context)

    def execute_complete(self, context: Context, event: VerdictEvent | None = None) -> Any:
        """Conclude with the size that was chosen before the task was deferred."""
        self.replicas = self._chosen(context).size
        return super().execute_complete(context, event)

    async def conclude(self, context: Context, verdict: Verdict) -> Decision:
        """Give the lease back, and say what was decided, and by which value."""
        decision = await super().conclude(context, verdict)
        decision["reason"] = f"{self._chosen(context).reason}; {decision['reason']}"
        return decision

    async def _choose(self, found: Number) -> Choice:
        policy, now = self.policy, time.time()
        query = fill(self.query, {"namespace": self.namespace, "service": self.name})
        check_query(query)
        past = max(policy.stabilise_up, policy.stabilise_down)
        hook = MetricsHook(self.prometheus_conn_id, self.tke_conn_id, self.region)
        async with await hook.source(query) as source:
            value = await source.value(query, now)
            history = await source.values(query, now - past, now, self.step) if past else []
        if value is None or not math.isfinite(value):
            raise InconclusiveError(
                f"There is no value to size {self.ref} by",
                cause=f"{query!r} is {value}",
                way_out="look at who provides the metric; until then the size stays as it is",
            )
        sized_at = annotation(found.live, SIZED_AT)
        return choose(
            policy, found.value, value, history, now=now, sized_at=float(sized_at) if sized_at.isdecimal() else None
        )

    def _chosen(self, context: Context) -> Choice:
        return Choice(*context["ti"].xcom_pull(key=_CHOICE, map_indexes=context["ti"].map_index))

    def _decision(self, found: Number, choice: Choice) -> Decision:
        owner = str(found.owner or "")
        return {
            "target": str(self.ref),
            "from": found.value,
            "to": choice.size,
            "reason": choice.reason,
            "owner": owner,
        }
