"""Going back to a release that was good."""

from __future__ import annotations

import copy
import dataclasses
from typing import TYPE_CHECKING, Any

from tke_provider.domain.releases import way_back
from tke_provider.exceptions import InputError
from tke_provider.operators.releases import TkeReleaseOperator

if TYPE_CHECKING:
    from collections.abc import Collection

    from tke_provider.clients.kubernetes import Cluster
    from tke_provider.domain.manifests import Manifest
    from tke_provider.domain.releases import Record


class TkeRollbackServiceOperator(TkeReleaseOperator):
    """Puts back an earlier release of a service and waits until it serves.

    What was applied then is read from the release's record in the cluster: neither git nor Airflow's history is
    needed. Going back is a release of its own, with a record and a way back; objects that only later releases have
    stay. Without ``revision`` and ``digest`` it is the last good release: the one before what serves, or what served
    before a release that did not come up. What was left by a rollback before is passed over. The other parameters are
    those of :class:`~tke_provider.operators.releases.TkeReleaseOperator`.

    :param service: how the release is named.
    :param revision: number of the release, as ``record`` of a :class:`~tke_provider.domain.rollouts.Release` says.
    :param digest: of an image that the release ran, instead of its number.
    :return: a :class:`~tke_provider.domain.rollouts.Release`.
    :raises NotFoundError: when no such release is written down, or it was never found good; says which there are.
    :raises RolloutError: when it does not come up any more; what served before is put back.
    """

    template_fields: Collection[str] = tuple(sorted((*TkeReleaseOperator.template_fields, "digest", "revision")))
    strategy = "rollback"

    def __init__(
        self, *, service: str, revision: int | str | None = None, digest: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(service=service, **kwargs)
        self.revision = revision
        self.digest = digest

    async def intend(self, cluster: Cluster, draft: Record) -> tuple[Record, list[Manifest]]:
        """Return what was applied then; a retry goes where its first try went."""
        from tke_provider.clients.releases import history

        revision = self._number()
        records = await history(cluster, draft.namespace, draft.service)
        if records and records[0].op == draft.op:
            target, restores = records[0], records[0].restores
        else:
            target = way_back(records, revision, self.digest or "")
            restores = target.restores or target.revision
        self.log.info(
            "Going back to release %d of %s (%s)", restores, target.service, target.commit or "commit unknown"
        )
        draft = dataclasses.replace(draft, commit=target.commit, images=target.images, restores=restores)
        return draft, copy.deepcopy(list(target.applied))

    def _number(self) -> int | None:
        """Read the number, which a template makes a text."""
        if self.revision in {None, ""}:
            return None
        if self.digest or not str(self.revision).isdecimal():
            raise InputError(f"revision is {self.revision!r}", way_out="give the number of a release, or its digest")
        return int(str(self.revision))
