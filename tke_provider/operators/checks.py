"""Checks: whether an image does what its tests say, and a service what its users expect."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

from tke_provider.domain.checks import Check, judge, no_tests, read_junit
from tke_provider.domain.hosts import split_url
from tke_provider.domain.images import Image, ImageDict
from tke_provider.domain.verdicts import State, Verdict
from tke_provider.exceptions import ChecksFailedError, InconclusiveError, InputError
from tke_provider.operators.base import TkeWaitingOperator, operation_of
from tke_provider.operators.images import TkeImageOperator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from tke_provider.clients.engine import Ended, Run
    from tke_provider.triggers.checks import SmokeTestTrigger


class TkeRunTestsOperator(TkeImageOperator):
    """Runs the tests that an image holds, in a container of exactly that digest, and judges their JUnit report.

    The container gets no privileges, and no network unless asked. It is removed however the task ends; what a
    killed worker left behind is removed by the task's next try.

    :param image: what the build task returned, or ``repository@sha256:…``.
    :param command: program and arguments, or one line that is split as a shell would; it has to write the report.
    :param report_path: where the command leaves its JUnit report within the container.
    :param environment: variables for the command. Whoever may ask the engine sees them: nothing secret.
    :param timeout: seconds until the command is killed.
    :param memory: limit as the engine writes it, such as ``512m``.
    :param cpus: limit in CPUs.
    :param network: the engine's network to join; default: none at all.
    :param docker_url: the engine to run on; default: ``DOCKER_HOST``, else ``/var/run/docker.sock``.

    :return: ``{"verdict", "counts": {"tests", "failures", "errors", "skipped"}, "reason", "image"}``.
    :raises ChecksFailedError: when a test fails, or the command says no; no retry. Nothing was deployed.
    :raises InconclusiveError: when no test ran, the report is missing or unreadable, or the command was killed.
    :raises DeadlineError: when the command took longer than ``timeout``.
    """

    template_fields = tuple(
        sorted(
            (
                *TkeImageOperator.template_fields,
                "command",
                "docker_url",
                "environment",
                "image",
                "memory",
                "network",
                "report_path",
            )
        )
    )

    def __init__(
        self,
        *,
        image: ImageDict | str,
        command: Sequence[str] | str,
        report_path: str = "/tmp/junit.xml",  # noqa: S108  # within the container
        environment: Mapping[str, str] | None = None,
        timeout: float = 1800.0,
        memory: str = "2g",
        cpus: float = 1.0,
        network: str = "none",
        docker_url: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.image = image
        self.command = command
        self.report_path = report_path
        self.environment = environment
        self.timeout = timeout
        self.memory = memory
        self.cpus = cpus
        self.network = network
        self.docker_url = docker_url

    async def perform(self, context: Context) -> Check:
        """Run the command and judge what it left."""
        from tke_provider.hooks.engine import EngineHook

        image = Image.parse(self.image)
        run = self._run(operation_of(context).id)
        hook = self.registry_hook()
        engine = await EngineHook(hook, image.host, self.docker_url).engine()
        ended = await engine.run(image, run, lambda line: self.log.info("%s", line))
        await self.locate(hook, image.repository)
        return self._conclude(image, ended)

    def _run(self, operation: str) -> Run:
        from tke_provider.clients.engine import Run

        command = self._words()
        if not command:
            raise InputError(f"Task {self.task_id} has no command", way_out="pass the command that runs the tests")
        return Run(
            operation=operation,
            command=tuple(command),
            environment=self.texts("environment"),
            report=self.report_path,
            timeout=self.timeout,
            memory=self.memory,
            cpus=self.cpus,
            network=self.network,
        )

    def _words(self) -> list[str]:
        if not isinstance(self.command, str):
            return [str(word) for word in self.command]
        try:
            return shlex.split(self.command)
        except ValueError as error:
            raise InputError(
                f"The command of task {self.task_id} cannot be split",
                cause=str(error),
                way_out="close its quotes, or pass a list of program and arguments",
            ) from error

    def _conclude(self, image: Image, ended: Ended) -> Check:
        report = read_junit(ended.report) if ended.report else None
        verdict = judge(report, ended.exit_code)
        if verdict.state is State.PASSED:
            self.log.info("%s: %s", image, verdict.reason)
            counts = report.counts if report else no_tests()
            return Check(verdict=verdict.state.value, counts=counts, reason=verdict.reason, image=str(image))
        if verdict.state is State.FAILED:
            raise ChecksFailedError(
                f"{image} does not pass its tests",
                cause=verdict.reason,
                way_out="correct the code; the task's log has the tests' whole output",
            )
        raise _inconclusive(image, verdict, ended, self.memory)


def _inconclusive(image: Image, verdict: Verdict, ended: Ended, memory: str) -> InconclusiveError:
    if ended.out_of_memory:
        return InconclusiveError(
            f"The tests of {image} used more memory than the {memory} that they may",
            cause=verdict.reason,
            way_out="raise memory, or find out what uses it",
        )
    return InconclusiveError(
        f"The tests of {image} say nothing",
        cause=verdict.reason,
        way_out="look at their output in the task's log, and make command write its JUnit report to report_path",
    )


class TkeSmokeTestOperator(TkeWaitingOperator):
    """Asks a service until it has answered as expected several times in a row. Changes nothing.

    The service is asked through the Kubernetes API server, which needs no route to the pods; with ``url`` it is
    asked as its users do.

    :param service: name of the Kubernetes service.
    :param namespace: where it is.
    :param port: its port, by number or name.
    :param path: path and query to ask for.
    :param url: an ``http`` or ``https`` URL, without a login, to ask instead of the service. A redirect is not
        followed: it is the answer.
    :param expected_status: the HTTP status that a good answer has.
    :param contains: text that a good answer has in its body.
    :param expect_json: what a good answer has at the top level of its JSON body, such as ``{"commit": "…"}``; it
        may have more.
    :param in_a_row: good answers in a row that make a pass. The first wrong one starts the count again.
    :param image: what is supposed to answer; named in the result, not verified.
    :param cluster_id: ``cls-xxxxxxxx``; default: the connection's.
    :param region: default: the connection's.
    :param timeout: seconds until the answers have to be good.

    :return: ``{"verdict", "counts", "reason", "image"}``; the counts are zero.
    :raises ChecksFailedError: when it does not answer as expected in time; says what it answered last. No retry.
    """

    template_fields = (
        "cluster_id",
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

    def __init__(
        self,
        *,
        service: str = "",
        namespace: str = "default",
        port: int | str = 80,
        path: str = "/",
        url: str | None = None,
        expected_status: int = 200,
        contains: str | None = None,
        expect_json: dict[str, Any] | None = None,
        in_a_row: int = 3,
        image: ImageDict | str | None = None,
        cluster_id: str | None = None,
        region: str | None = None,
        timeout: float = 120.0,
        poll_interval: float = 2.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(timeout=timeout, poll_interval=poll_interval, **kwargs)
        self.service = service
        self.namespace = namespace
        self.port = port
        self.path = path
        self.url = url
        self.expected_status = expected_status
        self.contains = contains
        self.expect_json = expect_json
        self.in_a_row = in_a_row
        self.image = image
        self.cluster_id = cluster_id
        self.region = region

    async def change(self, context: Context) -> None:  # noqa: ARG002  # nothing is changed
        """Check the inputs."""
        if bool(self.service) == bool(self.url):
            raise InputError(f"Task {self.task_id} needs either service or url", way_out="pass exactly one of them")
        if self.url:
            split_url("url", self.url)
        if not re.fullmatch("0*[1-9][0-9]*", str(self.in_a_row)):
            raise InputError(f"in_a_row is {self.in_a_row!r}", way_out="ask at least once, a whole number of times")
        self.in_a_row = int(self.in_a_row)
        if self.image:
            Image.parse(self.image)

    def trigger(self, context: Context, deadline: float) -> SmokeTestTrigger:  # noqa: ARG002  # the inputs say it all
        """Return what asks."""
        from tke_provider.triggers.checks import SmokeTestTrigger

        same = {name: getattr(self, name) for name in SmokeTestTrigger.arguments}
        return SmokeTestTrigger(
            tke_conn_id=self.tke_conn_id, deadline=deadline, poll_interval=self.poll_interval, **same
        )

    async def conclude(self, context: Context, verdict: Verdict) -> Check:  # noqa: ARG002
        """Return the check, or say what the service answered last."""
        if verdict.state is State.PASSED:
            image = str(Image.parse(self.image)) if self.image else ""
            return Check(verdict=verdict.state.value, counts=no_tests(), reason=verdict.reason, image=image)
        where = self.url or f"{self.namespace}/{self.service}"
        late = f" within {self.timeout:g} s" if verdict.state is State.EXPIRED else ""
        raise ChecksFailedError(
            f"The smoke test of {where} did not pass{late}",
            cause=verdict.reason,
            way_out="look at the logs of its pods, and at what the test expects",
        )
