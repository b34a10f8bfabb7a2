"""Whether a node pool has its size."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException, BaseSensorOperator, conf

from tke_provider.domain.verdicts import State, Verdict, VerdictEvent
from tke_provider.links.console import NodePoolLink
from tke_provider.triggers.scaling import NodePoolTrigger

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class TkeNodePoolSensor(BaseSensorOperator):
    """Waits until a node pool is at rest, with every node that it is set to ready and open to pods.

    Fails at once when the cloud gave up on more nodes, with its reason, or when there is no such pool.

    :param node_pool: id (``np-xxxxxxxx``) or name.
    :param cluster_id: ``cls-xxxxxxxx``; default: the connection's.
    :param tke_conn_id: connection to Tencent Cloud.
    :param region: of the cluster; default: the connection's.
    :param deferrable: whether to wait in the triggerer; default: ``[operators] default_deferrable``.
    """

    template_fields = ("cluster_id", "node_pool", "region", "tke_conn_id")
    operator_extra_links = (NodePoolLink(),)

    def __init__(
        self,
        *,
        node_pool: str,
        cluster_id: str | None = None,
        tke_conn_id: str = "tke_default",
        region: str | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.node_pool = node_pool
        self.cluster_id = cluster_id
        self.tke_conn_id = tke_conn_id
        self.region = region
        self.deferrable = deferrable

    @property
    def node_pool_id(self) -> str:
        """The pool, as the console link calls it."""
        return self.node_pool

    def execute(self, context: Context) -> Any:
        """Look once; where that is not the end, wait without a worker, or as any sensor."""
        if not self.deferrable:
            return super().execute(context)
        if not self.poke(context):
            self.defer(trigger=self._trigger(), method_name="execute_complete")
        return None

    def poke(self, context: Context) -> bool:  # noqa: ARG002  # Airflow's signature
        """Look once."""
        return self._passed(asyncio.run(self._trigger().verdict()))

    def execute_complete(self, context: Context, event: VerdictEvent | None = None) -> None:  # noqa: ARG002
        """End as the trigger says."""
        verdict = Verdict.from_event(event)
        if not self._passed(verdict):
            raise AirflowFailException(f"Node pool {self.node_pool} did not come to rest in time: {verdict.reason}.")

    def _passed(self, verdict: Verdict) -> bool:
        if verdict.state is State.FAILED:
            raise AirflowFailException(f"Node pool {self.node_pool} will not come to rest: {verdict.reason}.")
        self.log.info("%s", verdict.reason)
        return verdict.state is State.PASSED

    def _trigger(self) -> NodePoolTrigger:
        return NodePoolTrigger(
            tke_conn_id=self.tke_conn_id,
            cluster_id=self.cluster_id,
            node_pool=self.node_pool,
            region=self.region,
            deadline=time.time() + self.timeout,
            poll_interval=self.poke_interval,
        )
