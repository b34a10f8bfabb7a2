"""Smoke tests: whether a running service does what its users expect."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from tke_provider.domain.checks import Check, without_tests
from tke_provider.domain.choices import check_choice
from tke_provider.domain.images import Image, ImageDict
from tke_provider.domain.smoke_tests import PROBES, Probe, SmokeTest
from tke_provider.domain.verdicts import State, Verdict
from tke_provider.exceptions import ChecksFailedError, InputError
from tke_provider.links.console import ClusterLink
from tke_provider.operators.base import TkeWaitingOperator, locate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

    from tke_provider.triggers.smoke_tests import SmokeTestTrigger


class TkeSmokeTestOperator(TkeWaitingOperator):
    """Asks a service until it has answered as expected several times in a row. Changes nothing.

    The service is asked through the Kubernetes API server, which needs no route to the pods; with ``url`` it is
    asked as its users do.

    :param service: name of the Kubernetes service.
    :param namespace: where it is.
    :param port: its port, by number or name.
    :param probe: how to ask; those of Kubernetes:

        * ``http``: by the API server's proxy (verb ``get`` on ``services/proxy``).
        * ``tcp``: whether a ready pod takes a connection (``get`` and ``create`` on ``pods/portforward``).
        * ``grpc``: whether a ready pod is ``SERVING`` by ``grpc.health.v1`` (the same).
        * ``exec``: whether ``command`` succeeds in a ready pod (``get`` and ``create`` on ``pods/exec``).

        The last three ask the ready pods in turn, from within the pod: a NetworkPolicy is not noticed.
    :param path: path and query to ask for, over HTTP.
    :param url: what to ask instead of the service, without a login: ``http://``, ``https://``, ``tcp://host:port``,
        ``grpc://host:port`` or, with TLS, ``grpcs://host:port``. A redirect is not followed: it is the answer.
    :param expected_status: the HTTP status that a good answer has.
    :param contains: text that a good answer has in its body, in the first words after a TCP connection, or in the
        command's output.
    :param expect_json: what a good answer has at the top level of its JSON body, such as ``{"commit": "…"}``; it
        may have more.
    :param grpc_service: whose health to ask for; default: the whole server's.
    :param command: program and arguments to run in a pod, which must end with exit code 0 within 10 s. Stored as
        plain text: nothing secret.
    :param container: the pod's container to run it in; default: the pod's default.
    :param in_a_row: good answers in a row that make a pass. The first wrong one starts the count again.
    :param image: what is supposed to answer; named in the result, not verified.
    :param cluster_id: ``cls-xxxxxxxx``; default: the connection's.
    :param region: default: the connection's.
    :param timeout: seconds until the answers have to be good.

    :return: ``{"verdict", "counts", "reason", "image", "reports"}``; the counts are zero.
    :raises ChecksFailedError: when it does not answer as expected in time; says what it answered last. No retry.
    """

    template_fields = (
        "cluster_id",
        "command",
        "contains",
        "expect_json",
        "image",
        "namespace",
        "path",
        "region",
        "service",
        "tke_conn_id",
        "url",
    )
    operator_extra_links = (ClusterLink(),)

    def __init__(
        self,
        *,
        service: str = "",
        namespace: str = "default",
        port: int | str = 80,
        probe: Probe = "http",
        path: str = "/",
        url: str | None = None,
        expected_status: int = 200,
        contains: str | None = None,
        expect_json: dict[str, Any] | None = None,
        grpc_service: str = "",
        command: Sequence[str] = (),
        container: str = "",
        in_a_row: int = 3,
        image: ImageDict | str | None = None,
        cluster_id: str | None = None,
        region: str | None = None,
        timeout: float = 120.0,
        poll_interval: float = 2.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(timeout=timeout, poll_interval=poll_interval, **kwargs)
        check_choice("probe", probe, PROBES)
        self.service = service
        self.namespace = namespace
        self.port = port
        self.probe = probe
        self.path = path
        self.url = url
        self.expected_status = expected_status
        self.contains = contains
        self.expect_json = expect_json
        self.grpc_service = grpc_service
        self.command = command
        self.container = container
        self.in_a_row = in_a_row
        self.image = image
        self.cluster_id = cluster_id
        self.region = region

    async def change(self, context: Context) -> None:  # noqa: ARG002  # nothing is changed
        """Check the inputs."""
        self._test()
        if self.image:
            Image.parse(self.image)
        if not self.url:
            await locate(self)

    def trigger(self, context: Context, deadline: float) -> SmokeTestTrigger:  # noqa: ARG002  # the inputs say it all
        """Return what asks."""
        from tke_provider.triggers.smoke_tests import SmokeTestTrigger

        return SmokeTestTrigger(
            test=dataclasses.asdict(self._test()),
            cluster_id=self.cluster_id,
            region=self.region,
            tke_conn_id=self.tke_conn_id,
            deadline=deadline,
            poll_interval=self.poll_interval,
        )

    async def conclude(self, context: Context, verdict: Verdict) -> Check:  # noqa: ARG002
        """Return the check, or say what the service answered last."""
        if verdict.state is State.PASSED:
            image = str(Image.parse(self.image)) if self.image else ""
            return without_tests(verdict, image)
        where = self.url or f"{self.namespace}/{self.service}"
        late = f" within {self.within:g} s" if verdict.state is State.EXPIRED else ""
        raise ChecksFailedError(
            f"The smoke test of {where} did not pass{late}",
            cause=verdict.reason,
            way_out="look at the logs of its pods, and at what the test expects",
        )

    def _test(self) -> SmokeTest:
        if isinstance(self.command, str):
            raise InputError(f"command of task {self.task_id} is a text", way_out="pass a list: program and arguments")
        given = {field.name: getattr(self, field.name) for field in dataclasses.fields(SmokeTest)}
        whole = {name: self._whole_number(name) for name in ("in_a_row", "expected_status")}
        return SmokeTest(**{**given, **whole, "command": tuple(map(str, self.command))})

    def _whole_number(self, name: str) -> int:
        """Read a number, which a template makes a text."""
        given = getattr(self, name)
        if not str(given).isdecimal():
            raise InputError(f"{name} is {given!r}", way_out="write a whole number")
        return int(given)
