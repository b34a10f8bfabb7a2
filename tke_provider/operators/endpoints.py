"""The two ways to a cluster's API server: inside the private network, and from the internet."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any, TypedDict

from tke_provider.domain.verdicts import State, Verdict
from tke_provider.exceptions import InputError, NotFoundError, UnavailableError
from tke_provider.links.console import ClusterLink
from tke_provider.operators.base import TkeWaitingOperator, open_tke
from tke_provider.operators.clusters import TO_SHOW
from tke_provider.operators.scaling import failure
from tke_provider.triggers.clusters import EndpointTrigger

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow.providers.common.compat.sdk import Context

    from tke_provider.clients.tke import Tke

_OPENING = {"Created", "Creating"}
_CLOSING = {"NotFound", "Deleting", "Deleted"}


class Opened(TypedDict):
    """An endpoint that was opened or closed, as it lies in XCom."""

    cluster_id: str
    endpoint: str
    reason: str


class _EndpointOperator(TkeWaitingOperator):
    """What opening and closing share."""

    template_fields: Collection[str] = ("cluster_id", "region", "tke_conn_id")
    operator_extra_links = (ClusterLink(),)

    def __init__(
        self,
        *,
        external: bool,
        cluster_id: str | None = None,
        region: str | None = None,
        timeout: float = 900.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(timeout=timeout, **kwargs)
        self.external = external
        self.cluster_id = cluster_id
        self.region = region

    @property
    def _which(self) -> dict[str, Any]:
        return {
            "tke_conn_id": self.tke_conn_id,
            "cluster_id": self.cluster_id,
            "region": self.region,
            "external": self.external,
            "poll_interval": self.poll_interval,
        }

    @property
    def _name(self) -> str:
        return "public" if self.external else "private"


class TkeOpenEndpointOperator(_EndpointOperator):
    """Open a way to a cluster's API server, and wait until it is there; the cluster's kubeconfig leads through it.

    The cloud opens one only where the cluster has a running node. The public one may need two more minutes until it
    answers everywhere, as the Terraform provider allows it.

    :param external: the public endpoint, or the one inside the private network. One that is open stays as it is.
    :param cluster_id: ``cls-xxxxxxxx``; default: the connection's.
    :param subnet_id: where the private one gets its address (``subnet-xxxxxxxx``, in the cluster's VPC).
    :param security_group: who may use the public one (``sg-xxxxxxxx``).
    :param bandwidth: of the public one, in Mbit/s, paid by traffic.
    :param region: default: the connection's.
    :param timeout: seconds until it is open.
    :returns: the cluster's id, ``public`` or ``private``, and one sentence.
    :raises InputError: when subnet or security group is missing, or the cluster has no running node.
    :raises BusyError: while the cluster, or this endpoint, is being changed; a retry helps.
    :raises UnavailableError: when the cloud could not open it; in its words.
    :raises DeadlineError: when it is not open in time.
    """

    template_fields = ("cluster_id", "region", "security_group", "subnet_id", "tke_conn_id")

    def __init__(
        self,
        *,
        subnet_id: str | None = None,
        security_group: str | None = None,
        bandwidth: int = 10,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.subnet_id = subnet_id
        self.security_group = security_group
        self.bandwidth = bandwidth
        self._asked = 0.0

    @property
    def settings(self) -> dict[str, object]:
        """The checked parameters of ``CreateClusterEndpoint``."""
        if not self.external:
            if not self.subnet_id:
                raise InputError("The private endpoint needs a subnet", way_out="pass subnet_id (subnet-xxxxxxxx)")
            return {"SubnetId": self.subnet_id}
        if not self.security_group:
            raise InputError(
                "The public endpoint needs a security group, which says who may use it",
                way_out="pass security_group (sg-xxxxxxxx)",
            )
        internet = {"InternetChargeType": "TRAFFIC_POSTPAID_BY_HOUR", "InternetMaxBandwidthOut": self.bandwidth}
        more = json.dumps({"InternetAccessible": internet})
        return {"SecurityGroup": self.security_group, "ExtensiveParameters": more}

    async def change(self, context: Context) -> None:  # noqa: ARG002
        """Ask for it, unless that was done. There is one of each, so asking twice makes no second."""
        settings = self.settings
        async with await open_tke(self) as tke:
            self._asked, until = time.time(), time.monotonic() + TO_SHOW
            while not await self._is_opening(tke):
                if await self._ask(tke, settings, until):
                    return
                await asyncio.sleep(self.poll_interval)

    def trigger(self, context: Context, deadline: float) -> EndpointTrigger:  # noqa: ARG002
        """Return what waits until it is open."""
        return EndpointTrigger(wanted="open", asked=self._asked, deadline=deadline, **self._which)

    async def conclude(self, context: Context, verdict: Verdict) -> Opened:  # noqa: ARG002
        """Say that it is open, or why not."""
        async with await open_tke(self):
            pass  # the cluster's id is known now
        if verdict.state is not State.PASSED:
            problem = f"The {self._name} endpoint of cluster {self.cluster_id} is not open"
            way_out = "remove the cause and run the task again"
            raise failure(problem, verdict, UnavailableError, way_out)
        return {"cluster_id": str(self.cluster_id), "endpoint": self._name, "reason": verdict.reason}

    async def _is_opening(self, tke: Tke) -> bool:
        return (await tke.endpoint(str(self.cluster_id), external=self.external)).status in _OPENING

    async def _ask(self, tke: Tke, settings: dict[str, object], until: float) -> bool:
        try:
            await tke.open_endpoint(str(self.cluster_id), external=self.external, settings=settings)
        except UnavailableError as error:
            if time.monotonic() > until:
                raise
            self.log.warning("%s Looking at what became of it.", error)
            return False
        return True


class TkeCloseEndpointOperator(_EndpointOperator):
    """Close a way to a cluster's API server, and wait until it is closed. What is closed already stays so.

    :param external: the public endpoint, or the one inside the private network.
    :param cluster_id: ``cls-xxxxxxxx``; default: the connection's.
    :param region: default: the connection's.
    :param timeout: seconds until it is closed.
    :returns: the cluster's id, ``public`` or ``private``, and one sentence.
    :raises DeadlineError: when it is not closed in time.
    """

    async def change(self, context: Context) -> None:  # noqa: ARG002
        """Ask for it, unless that was done."""
        async with await open_tke(self) as tke:
            endpoint = await tke.endpoint(str(self.cluster_id), external=self.external)
            if endpoint.status in _CLOSING:
                return
            try:
                await tke.close_endpoint(str(self.cluster_id), external=self.external)
            except NotFoundError:
                self.log.info("It was closed meanwhile")

    def trigger(self, context: Context, deadline: float) -> EndpointTrigger:  # noqa: ARG002
        """Return what waits until it is closed."""
        return EndpointTrigger(wanted="closed", deadline=deadline, **self._which)

    async def conclude(self, context: Context, verdict: Verdict) -> Opened:  # noqa: ARG002
        """Say that it is closed, or why not."""
        async with await open_tke(self):
            pass  # the cluster's id is known now
        if verdict.state is not State.PASSED:
            problem = f"The {self._name} endpoint of cluster {self.cluster_id} is not closed"
            raise failure(problem, verdict, UnavailableError, "run the task again to wait for it")
        return {"cluster_id": str(self.cluster_id), "endpoint": self._name, "reason": verdict.reason}
