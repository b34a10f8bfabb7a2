"""Checks: whether an image does what its tests say."""

from __future__ import annotations

import datetime as dt
import shlex
from typing import TYPE_CHECKING, Any, Literal

from tke_provider.domain import quarantine
from tke_provider.domain.checks import Check, judge, no_tests, read_junit
from tke_provider.domain.choices import check_choice
from tke_provider.domain.coverage import check_minimum, judge_coverage, read_cobertura
from tke_provider.domain.images import Image, ImageDict
from tke_provider.domain.runs import Run
from tke_provider.domain.verdicts import State, Verdict
from tke_provider.exceptions import ChecksFailedError, InconclusiveError, InputError, TkeError
from tke_provider.hooks.reports import ReportsHook, folder_of
from tke_provider.links.console import ImageLink
from tke_provider.links.reports import ReportsLink
from tke_provider.operators.base import operation_of
from tke_provider.operators.images import TkeImageOperator
from tke_provider.operators.run_pods import TkePodRunOperator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from tke_provider.domain.checks import Report
    from tke_provider.domain.runs import Ended

_RUNNERS = ("engine", "pod")
_NO_NETWORK = "none"
_NOT_OF = {"engine": ("pod_spec", "secrets", "service_account"), "pod": ("docker_url", "network")}


class TkeRunTestsOperator(TkeImageOperator, TkePodRunOperator):
    """Runs the tests that an image holds, in a container of exactly that digest, and judges the reports they write.

    The container gets no new privileges, and no network on an engine unless asked. It is removed however the task
    ends. On an engine, what a killed worker left is removed by the next try; in a cluster, the next try finds the pod
    by its name and waits on, so that no test runs twice.

    :param image: what the build task returned, or ``repository@sha256:…``.
    :param command: program and arguments, or one line that is split as a shell would; it has to write the reports.
    :param runner: ``engine``, a Docker engine that the worker reaches, or ``pod``, the cluster.
    :param report_path: where the command leaves its JUnit report within the container. In a pod its folder is an empty
        volume, which hides what the image has there.
    :param coverage_path: where it leaves a Cobertura report, likewise; default: there is none.
    :param min_coverage: percentage of lines that have to be covered. Wants ``coverage_path``.
    :param quarantine: flaky tests whose failure does not count, each as ``{"test", "reason", "until"}``: the name as
        ``class::name`` (``*`` for any text), why, and the last day (UTC) of it, after which it counts again.
    :param reports_path: folder that keeps the whole reports, as Airflow's ``ObjectStoragePath`` has it
        (``s3://connection@bucket/folder``); default: they are not kept. What tests print into them is kept with them.
    :param reports_url: where people read what lies at ``reports_path``, for the task's link *Test reports*.
    :param environment: variables for the command. Whoever may ask engine or cluster sees them: nothing secret.
    :param timeout: seconds until the command is killed; in a cluster, scheduling and pulling count.
    :param memory: limit, such as ``512m`` or ``2g``.
    :param cpus: limit in CPUs. A pod requests what its limits are.
    :param network: the engine's network to join; default: none at all.
    :param docker_url: the engine to run on; default: ``DOCKER_HOST``, else ``/var/run/docker.sock``.
    :param namespace: of the pod, as the following are.
    :param secrets: names of Secrets there, whose entries become variables. Their values are masked in this task's log
        where the connection may read them.
    :param service_account: default: the namespace's, without its token.
    :param reader_image: keeps the reports until they are read; it needs ``sleep`` and ``head``. Default: the tested
        image.
    :param pod_spec: more of the pod's specification: ``nodeSelector``, ``tolerations``, ``imagePullSecrets``.
    :param cluster_id: ``cls-xxxxxxxx``; default: the connection's.
    :param region: default: the connection's.
    :param deferrable: wait for the pod in the triggerer. Its output is then logged when it has ended, not line by line.
        An engine is waited for in the worker.

    :return: ``{"verdict", "counts": {"tests", "failures", "errors", "skipped", "quarantined"}, "reason", "image",
        "reports"}``.
    :raises ChecksFailedError: when a test fails, too little is covered, or the command says no; no retry. Nothing was
        deployed.
    :raises InconclusiveError: when no test ran, a report is missing or unreadable, or the command was killed.
    :raises DeadlineError: when the command took longer than ``timeout``.
    :raises InputError: when it cannot be started: the command, the image or a Secret does not exist.
    """

    template_fields = tuple(
        sorted(
            (
                *TkeImageOperator.template_fields,
                "cluster_id",
                "command",
                "coverage_path",
                "docker_url",
                "environment",
                "image",
                "memory",
                "min_coverage",
                "namespace",
                "network",
                "pod_spec",
                "quarantine",
                "reader_image",
                "region",
                "report_path",
                "reports_path",
                "reports_url",
                "secrets",
                "service_account",
            )
        )
    )
    operator_extra_links = (ImageLink(), ReportsLink())

    def __init__(
        self,
        *,
        image: ImageDict | str,
        command: Sequence[str] | str,
        runner: Literal["engine", "pod"] = "engine",
        report_path: str = "/tmp/junit.xml",  # noqa: S108  # within the container
        coverage_path: str = "",
        min_coverage: float | str | None = None,
        quarantine: Sequence[Mapping[str, Any]] | None = None,
        reports_path: str = "",
        reports_url: str = "",
        environment: Mapping[str, str] | None = None,
        timeout: float = 1800.0,
        poll_interval: float = 2.0,
        memory: str = "2g",
        cpus: float = 1.0,
        network: str = _NO_NETWORK,
        docker_url: str | None = None,
        namespace: str = "default",
        secrets: Sequence[str] = (),
        service_account: str = "",
        reader_image: str = "",
        pod_spec: Mapping[str, Any] | None = None,
        cluster_id: str | None = None,
        region: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(timeout=timeout, poll_interval=poll_interval, **kwargs)
        check_choice("runner", runner, _RUNNERS)
        self.image = image
        self.command = command
        self.runner = runner
        self.report_path = report_path
        self.coverage_path = coverage_path
        self.min_coverage = min_coverage
        self.quarantine = quarantine
        self.reports_path = reports_path
        self.reports_url = reports_url
        self.environment = environment
        self.memory = memory
        self.cpus = cpus
        self.network = network
        self.docker_url = docker_url
        self.namespace = namespace
        self.secrets = secrets
        self.service_account = service_account
        self.reader_image = reader_image
        self.pod_spec = pod_spec
        self.cluster_id = cluster_id
        self.region = region
        self.reports_link = ""

    async def perform(self, context: Context) -> Any:
        """Run the command and judge what it left."""
        self._check()
        if self.runner == "engine":
            return await self._on_engine(context)
        return await super().perform(context)

    # --- on an engine ---------------------------------------------------------------------------------------------

    async def _on_engine(self, context: Context) -> Check:
        from tke_provider.hooks.engine import EngineHook

        image, run = self.what(context)
        hook = self.registry_hook()
        engine = await EngineHook(hook, image.host, self.docker_url).engine()
        ended = await engine.run(image, run, self.say)
        await self.locate(hook, image.repository)
        return await self.ended(context, image, ended)

    # --- what was asked, and what came back -----------------------------------------------------------------------

    def _check(self) -> None:
        """Refuse what cannot be meant, before anything is started."""
        quarantine.read(self.quarantine)
        if check_minimum(self.min_coverage) is not None and not self.coverage_path:
            raise InputError(
                f"Task {self.task_id} has min_coverage and no coverage_path",
                way_out="say where the command leaves its Cobertura report",
            )
        if self.reports_path:
            ReportsHook(self.reports_path).check()
        if isinstance(self.secrets, str):
            raise InputError(f"secrets of task {self.task_id} is a text", way_out="pass a list of names")
        for name in _NOT_OF[self.runner]:
            if getattr(self, name) and getattr(self, name) != _NO_NETWORK:
                raise InputError(
                    f"Task {self.task_id} has {name}, which runner {self.runner!r} does not know",
                    way_out="leave it out, or choose the other runner",
                )

    def what(self, context: Context) -> tuple[Image, Run]:
        """Return the image and the command."""
        command = self._words()
        if not command:
            raise InputError(f"Task {self.task_id} has no command", way_out="pass the command that runs the tests")
        run = Run(
            operation=operation_of(context).id,
            command=tuple(command),
            environment=self.texts("environment"),
            reports=tuple(path for path in (self.report_path, self.coverage_path) if path),
            timeout=self.timeout,
            memory=self.memory,
            cpus=self.cpus,
            network=self.network,
        )
        return Image.parse(self.image), run

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

    async def ended(self, context: Context, image: Image, ended: Ended) -> Check:
        """Judge what the command left."""
        kept = await self._keep(context, ended)
        report = self._report(ended)
        verdict = self._verdict(report, ended)
        if verdict.state is State.PASSED:
            self.log.info("%s: %s", image, verdict.reason)
            counts = report.counts if report else no_tests()
            return Check(
                verdict=verdict.state.value, counts=counts, reason=verdict.reason, image=str(image), reports=kept
            )
        if verdict.state is State.FAILED:
            raise ChecksFailedError(
                f"{image} does not pass its tests",
                cause=verdict.reason,
                way_out="correct the code; the task's log has the tests' whole output",
            )
        raise _inconclusive(image, verdict, ended, self.memory)

    def _report(self, ended: Ended) -> Report | None:
        report = read_junit(ended.reports.get(self.report_path, b""))
        if report is None:
            return None
        today = dt.datetime.now(dt.timezone.utc).date()
        report = quarantine.apply(report, quarantine.read(self.quarantine), today)
        for name, why in report.quarantined:
            self.log.warning("In quarantine: %s failed, and does not count (%s)", name, why)
        return report

    def _verdict(self, report: Report | None, ended: Ended) -> Verdict:
        verdict = judge(report, ended.exit_code)
        if not self.coverage_path or verdict.state is not State.PASSED:
            return verdict
        coverage = read_cobertura(ended.reports.get(self.coverage_path, b""))
        covered = judge_coverage(coverage, check_minimum(self.min_coverage) or 0)
        return Verdict(covered.state, f"{verdict.reason}; {covered.reason}")

    async def _keep(self, context: Context, ended: Ended) -> str:
        """Keep the reports. They decide by what they say, not by whether a storage has room for them."""
        names = {self.report_path: "junit.xml", self.coverage_path: "cobertura.xml"}
        files = {names[path]: content for path, content in ended.reports.items()}
        if not self.reports_path or not files:
            return ""
        ti = context["ti"]
        instance = ti.task_id if (ti.map_index or -1) < 0 else f"{ti.task_id}.{ti.map_index}"
        folder = folder_of(ti.dag_id, ti.run_id, instance, ti.try_number)
        try:
            kept = await ReportsHook(self.reports_path).keep(folder, files)
        except TkeError as error:
            self.log.warning("%s", error)
            return ""
        self.reports_link = f"{self.reports_url.rstrip('/')}/{folder}/junit.xml" if self.reports_url else ""
        self.log.info("Reports: %s", kept)
        return kept


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
