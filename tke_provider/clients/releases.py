"""A release in the cluster: begun, applied, judged, finished or undone, by whichever strategy, from any process.

Whatever is done is announced in its record first, and all that is needed to go on, or back, is read from there. So a
process may die between any two lines here, and another one takes up the same release.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import logging
from typing import TYPE_CHECKING, Any

from tke_provider.clients import leases
from tke_provider.clients.objects import (
    ImmutableError,
    apply,
    autoscalers,
    keep_size,
    place,
    prepare,
    put,
    size_of,
    stuck_pods,
)
from tke_provider.clients.rollouts import parts_of
from tke_provider.clients.tracks import clear, ingresses_first, is_narrowed, stop_requests, widen
from tke_provider.domain.diffs import difference, summary
from tke_provider.domain.manifests import ObjectRef, is_rolled_out
from tke_provider.domain.releases import (
    SERVICE,
    TYPE,
    Record,
    Stage,
    begin,
    decode,
    encode,
    may_delete,
    may_write,
    record_of,
    revision_of,
    surplus,
)
from tke_provider.domain.rollouts import crashing, pods_of_newest
from tke_provider.domain.tracks import is_second
from tke_provider.domain.verdicts import State, Verdict, failed
from tke_provider.exceptions import BusyError, ConflictError, InputError, TkeError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from tke_provider.clients.kubernetes import Cluster, Objects
    from tke_provider.domain.manifests import Manifest

log = logging.getLogger(__name__)

_LAST_LINES = 10


# --- records --------------------------------------------------------------------------------------------------------


async def history(cluster: Cluster, namespace: str, service: str) -> list[Record]:
    """Return the records of a service's releases, newest first; none where there was no release."""
    secrets = await cluster.list("v1", "Secret", namespace, label_selector=f"{SERVICE}={service}")
    records = (decode(each) for each in secrets if each.get("type") == TYPE)  # others may bear the label, too
    return sorted(records, key=lambda record: record.revision, reverse=True)


async def read(cluster: Cluster, namespace: str, service: str) -> Record | None:
    """Return the record of the service's newest release, or ``None`` where there was none.

    Waits ask for it at every look, and a record is large: of the others, the names alone are read.
    """
    names = await cluster.names("v1", "Secret", namespace, f"{SERVICE}={service}")
    for revision in sorted(map(revision_of, names), reverse=True):  # the newest, unless it was deleted in this moment
        if record := await numbered(cluster, namespace, service, revision):
            return record
    return None


async def numbered(cluster: Cluster, namespace: str, service: str, revision: int) -> Record | None:
    """Return one record; ``None`` where it is not there any more."""
    secret = await cluster.get(record_of(namespace, service, revision))
    return decode(secret) if secret else None


async def write(cluster: Cluster, record: Record) -> Record:
    """Write the record over the version of it that was read, and return it as it stands there; a new one is created.

    :raises ConflictError: when another process has written it since, or has taken its number.
    """
    secret = encode(record)
    return decode(await (cluster.apply if record.version else cluster.create)(secret))


async def _write_down(cluster: Cluster, record: Record, previous: Record | None) -> Record:
    """Write down a release that begins, and return its record as it stands there.

    One that died is marked first: that keeps its process from going on, should it wake up. Who dies right after that
    loses nothing, for a record that is the newest keeps being the way back.

    :raises BusyError: when another operation was quicker.
    """
    try:
        if previous and previous.op != record.op and previous.stage in {Stage.APPLYING, Stage.UNDOING}:
            reason = previous.reason or f"it died, and {record.op} took over"
            left = dataclasses.replace(previous, stage=Stage.ABANDONED, reason=reason, finished=record.started)
            await write(cluster, left)
        return await write(cluster, record)
    except ConflictError as error:
        there = await read(cluster, record.namespace, record.service)
        if there and there.op == record.op and there.stage is Stage.APPLYING:
            return there  # the same task runs twice at once: both go on with what was written first
        raise BusyError(
            f"{record.service} in namespace {record.namespace} is being released by somebody else too",
            cause=error.cause,
            way_out="try again in a minute",
        ) from error


# --- the release ----------------------------------------------------------------------------------------------------


class OvertakenError(ConflictError):
    """Another process went on with a release while this one was not looking."""


@dataclasses.dataclass(slots=True)
class ServiceRelease:
    """One release of a service, as its operation finds it in the cluster.

    :param record: what is written down of it.
    """

    cluster: Cluster
    record: Record

    @classmethod
    async def begin(
        cls, cluster: Cluster, draft: Record, manifests: Sequence[Manifest], beside: Sequence[Manifest] = ()
    ) -> ServiceRelease:
        """Let the cluster check everything, then write down what is intended and what is live.

        Applies nothing, but takes away the second version that a dead operation left.

        :param draft: what is intended.
        :param manifests: what is to be live when it is done.
        :param beside: what it needs only meanwhile.
        :raises InputError: when the cluster refuses a manifest.
        :raises BusyError: when another operation begins a release of the service at this very moment.
        """
        previous = await read(cluster, draft.namespace, draft.service)
        await place(cluster, [*manifests, *beside], draft.namespace)
        ready, live, answers = await prepare(cluster, [*manifests, *beside])
        # What died and left its second version there did not mean it to stay: that is none to go back to.
        live = {ref: None if is_second(manifest) else manifest for ref, manifest in live.items()}
        number = len(manifests)
        draft = dataclasses.replace(draft, applied=tuple(ready[:number]), meanwhile=tuple(ready[number:]))
        record = begin(previous, draft, live, _now())
        differences = [difference(record.before[ref], answers[ref]) for ref in record.targets()]
        record = dataclasses.replace(record, diff=summary(differences, "the record holds both versions whole"))
        record = await _write_down(cluster, record, previous)
        await clear(cluster, record)
        return cls(cluster, record)

    @classmethod
    async def find(cls, cluster: Cluster, namespace: str, service: str, op: str) -> ServiceRelease:
        """Return the release of an operation.

        :raises ConflictError: when a newer one was begun, or is about to be.
        """
        record = await read(cluster, namespace, service)
        if record is None or record.op != op:
            raise ConflictError(
                f"{service} in namespace {namespace} was released meanwhile by {record and record.op}",
                way_out="see what that one did; this task left it alone",
            )
        if record.stage is Stage.ABANDONED:  # whoever took it over has yet to write its own record, or died before
            raise _overtaken(record, record)
        return cls(cluster, record)

    async def note(self, **changes: Any) -> None:
        """Write down how far it got.

        Who was paused for long must not take a release back to where it was then: what another process wrote since
        stands, as :func:`~tke_provider.domain.releases.may_write` says.

        :raises OvertakenError: when another process went on with it, or a newer release took it over; names who.
        """
        try:
            self.record = await write(self.cluster, dataclasses.replace(self.record, **changes))
        except ConflictError as error:
            there = await numbered(self.cluster, self.record.namespace, self.record.service, self.record.revision)
            if there is None or not may_write(there, self.record, changes):
                raise _overtaken(self.record, there) from error
            self.record = there
            await self.note(**changes)

    async def apply(self, but: Collection[ObjectRef] = ()) -> list[ObjectRef]:
        """Apply everything that is to be live, and return it. May be repeated.

        A size with another writer has perhaps grown since it was written down, and is not made smaller.

        :param but: what is not to be applied yet.
        """
        scalers = await autoscalers(self.cluster, self.record.namespace)
        for manifest in self.record.applied:
            ref = ObjectRef.of(manifest)
            if ref not in but:
                live = await self.cluster.get(ref) if is_rolled_out(manifest) else None
                sized = keep_size(manifest, live, scalers)
                await put(self.cluster, max(sized, manifest, key=size_of))
        return [ref for ref in self.record.targets() if ref not in but]

    async def judge(self, verdict: Verdict) -> Verdict:
        """Return what a verdict means: a pass is none where something else runs, a failure has its last words."""
        if verdict.state is not State.PASSED:
            words = await self._last_words()
            said = f"; its last lines: {' | '.join(words)}" if words else ""
            return Verdict(verdict.state, verdict.reason + said)
        live = [await self.cluster.get(ref) for ref in self.record.workloads()]
        strays = [stray for each in live if each for stray in self.record.strays(each)]
        return failed(", ".join(strays)) if strays else verdict

    async def taken(self) -> list[ObjectRef]:
        """Return the workloads that somebody else changed since it began."""
        return [ref for ref in self.record.workloads() if self.record.is_taken(ref, await self.cluster.get(ref))]

    async def undo(self, reason: str) -> list[str]:
        """Put back what was there before, wherever the live object still is as the release left it.

        Objects that the release created are deleted, but for namespaces, volumes and definitions of custom resources;
        that comes last, so that what serves is back before what served meanwhile goes. First of all no Ingress
        leads to a canary any more, and a Service that was led past the second version leads to all pods again only
        when that is gone. May be repeated. Does not wait for the old version: until somebody has seen it serve, the
        record says that it is being undone.

        :param reason: why; kept in the record.
        :return: what was done, in words.
        """
        await self.note(stage=Stage.UNDOING, reason=reason)
        await stop_requests(self.cluster, self.record, {self.record.op, *self.record.ops})
        scalers = await autoscalers(self.cluster, self.record.namespace)
        done, narrowed = [], []
        for ref, before in sorted(self.record.before.items(), key=_made_last):
            live = await self.cluster.get(ref)
            if live is None or not self.record.undoes(live):
                continue
            if before is not None and is_narrowed(live, before):
                narrowed.append(before)
            else:
                done.append(await self._put_back(ref, before, live, scalers))
        await widen(self.cluster, self.record, narrowed)
        return [*done, *(f"{ObjectRef.of(each)} is as before" for each in narrowed)]

    async def _put_back(self, ref: ObjectRef, before: Manifest | None, live: Manifest, scalers: Objects) -> str:
        if before is None and not may_delete(ref):
            return f"{ref} stays, it may hold data"
        if before is not None:
            stuck = await stuck_pods(self.cluster, live)
            with contextlib.suppress(ImmutableError):
                await apply(self.cluster, keep_size(before, live, scalers))
                for pod in stuck:
                    await self.cluster.delete(ObjectRef.of(pod), uid=pod["metadata"]["uid"])
                return f"{ref} is as before"
        await self.cluster.delete(ref, uid=live["metadata"]["uid"])
        return f"{ref} is deleted" + ("; what it did before is not done again" if before else "")

    async def finish(self) -> None:
        """Mark it as live, and take away what was there only meanwhile, and records of long ago."""
        targets = set(self.record.targets())
        await stop_requests(self.cluster, self.record, {self.record.op, *self.record.ops})
        for ref, before in sorted(self.record.before.items(), key=_made_last):
            live = None if ref in targets else await self.cluster.get(ref)
            if live is not None and self.record.undoes(live):
                await self._put_back(ref, before, live, [])
        await self.note(stage=Stage.LIVE, finished=_now(), reason="")
        try:
            old = surplus(await history(self.cluster, self.record.namespace, self.record.service))
        except InputError as error:  # somebody damaged one of them; that is no reason against what is live now
            log.warning("No record of a release of long ago is deleted: %s", error)
            return
        for each in old:
            await self.cluster.delete(record_of(each.namespace, each.service, each.revision))

    async def undone(self) -> None:
        """Mark it as undone: what was there before is back."""
        await self.note(stage=Stage.ROLLED_BACK, finished=_now())

    async def settle(self, state: str | None) -> None:
        """End it as the person wants it who ended its task: keep it, put back what was before, or let a new try decide.

        :param state: of the task: ``success`` keeps; ``failed``, ``skipped`` and ``removed`` undo; any other means
            that the task is to run again. What is kept half-way is taken over by the next release.
        """
        if self.record.stage in {Stage.APPLYING, Stage.UNDOING}:
            if state in {"failed", "skipped", "removed"}:
                await self.undo(self.record.reason or f"its task was marked as {state}")
                await self.undone()
            elif state == "success" and await self._is_whole():
                await self.finish()
        await self.give_back()

    async def _is_whole(self) -> bool:
        """Whether everything that it releases was applied."""
        live = [await self.cluster.get(ref) for ref in self.record.targets()]
        return all(self.record.undoes(each) for each in live)

    async def hold(self) -> None:
        """Take its leases, or renew them.

        :raises BusyError: when somebody else has one by now.
        """
        for name in self.record.leases():
            await leases.renew(self.cluster, self.record.namespace, name, self.record.op)

    async def give_back(self) -> None:
        """Give its leases back."""
        services = [(self.record.namespace, name) for name in self.record.leases()]
        await leases.give_back(self.cluster, services, self.record.op)

    async def _last_words(self) -> list[str]:
        """Return the last lines of the first container that crashed; none where nothing crashed, or said anything."""
        for ref in {**dict.fromkeys(self.record.workloads()), **dict.fromkeys(self.record.awaited())}:
            workload = await self.cluster.get(ref)
            if workload is None:
                continue
            if crashed := crashing(pods_of_newest(workload, *await parts_of(self.cluster, workload))):
                pod, container, previous = crashed
                with contextlib.suppress(TkeError):  # the pod may be gone, and its log with it
                    said = await self.cluster.logs(ref.namespace, pod, container, _LAST_LINES, previous)
                    return [line.strip() for line in said.splitlines() if line.strip()]
        return []


def _overtaken(read_then: Record, there: Record | None) -> OvertakenError:
    """Return the error that says who went on with it."""
    now = f"it is {there.stage.value}, by {there.op}" if there else "its record is gone"
    return OvertakenError(
        f"Release {read_then.revision} of {read_then.service} in namespace {read_then.namespace} went on without this "
        f"process: {now}",
        cause=there.reason if there else "",
        way_out="see what became of it; this process left it alone",
    )


def _made_last(each: tuple[ObjectRef, Manifest | None]) -> tuple[bool, bool]:
    """Sort what was there before any release first, then Ingresses, then what they lead to."""
    ref, before = each
    return before is None, ingresses_first(ref)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.timezone.utc)
