"""The part of a release spec's DAG that releases to one environment: ask, promote, deploy, look."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import TaskGroup, chain, literal

from tke_provider.domain.isolation import closed
from tke_provider.domain.workloads import manifests
from tke_provider.operators.approvals import TkeApprovalOperator
from tke_provider.operators.blue_green import TkeBlueGreenDeployOperator
from tke_provider.operators.canaries import TkeCanaryDeployOperator
from tke_provider.operators.freezes import TkeFreezeWindowOperator
from tke_provider.operators.manifests import TkeApplyOperator, TkeDiffOperator
from tke_provider.operators.metrics import TkeMetricGateOperator
from tke_provider.operators.promotions import TcrPromoteImageOperator
from tke_provider.operators.rollbacks import TkeUndoReleasesOperator
from tke_provider.operators.rollouts import TkeDeployServiceOperator
from tke_provider.operators.scans import TcrScanGateOperator
from tke_provider.operators.smoke_tests import TkeSmokeTestOperator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.providers.common.compat.sdk import BaseOperator

    from tke_provider.domain.specs import Environment, Question, Scan, Service, Spec, Watch


class Release:
    """The tasks of one environment.

    :param here: the environment that the images are in.
    :param git: the arguments that name the commit.
    """

    def __init__(self, spec: Spec, environment: Environment, here: Environment, git: Mapping[str, Any]) -> None:
        self.spec = spec
        self.environment = environment
        self.here = here
        self.git = git

    def lay_out(self, images: Mapping[str, Any]) -> tuple[TaskGroup, dict[str, Any]]:
        """Make the tasks, and return their group and the images as they are named in this environment."""
        environment, there = self.environment, dict(images)
        with TaskGroup(group_id=environment.name) as group:
            steps: list[Any] = []
            if environment.scan:
                steps.append(self._scans(environment.scan, images))
            approval = self._approval(images, steps) if environment.approval else None
            if environment.freezes:
                answer = of(approval) if approval else None
                steps.append(TkeFreezeWindowOperator(task_id="freeze", freezes=environment.freezes, approval=answer))
            if self._moves():
                with TaskGroup(group_id="promote") as promote:
                    there = {name: self._promote(name, image) for name, image in images.items()}
                steps.append(promote)
            if rules := closed(self.spec, environment):
                steps.append(self._close(rules))
            group_of_deploys, deploys = self._deploys(there, approval)
            checks = self._checks()
            chain(*steps, group_of_deploys, *checks)
            if self.spec.undo == "together":
                [group_of_deploys, *checks] >> self._undo(deploys)
        return group, there

    def _moves(self) -> bool:
        """Whether the images have to be promoted: an environment runs what is in its own repositories."""
        here, there = self.here, self.environment
        return (there.registry, there.repositories) != (here.registry, here.repositories)

    # --- before -----------------------------------------------------------------------------------------------------

    def _scans(self, scan: Scan, images: Mapping[str, Any]) -> TaskGroup:
        """Let only images go on in which the scanner found little; they are still where they came from."""
        asked: dict[str, Any] = {"registry_id": self.here.registry, "tke_conn_id": self.here.connection}
        if scan.limits:
            asked["limits"] = dict(scan.limits)
        with TaskGroup(group_id="scan") as group:
            for name, image in images.items():
                TcrScanGateOperator(task_id=name, image=image, start_scan=scan.start, deferrable=True, **asked)
        return group

    def _approval(self, images: Mapping[str, Any], steps: list[Any]) -> TkeApprovalOperator:
        """Ask a person, who is shown what would change."""
        given = self.environment.approval
        assert given  # noqa: S101  # the caller has looked
        diffs: dict[str, Any] = {}
        if self.environment.registry == self.here.registry:
            with TaskGroup(group_id="diff") as group:
                diffs = {each.name: of(self._diff(each)) for each in self.spec.services}
            steps.append(group)
        changes = "ti.xcom_pull(task_ids='changes')"
        why = "".join(f"- {each.name}: {{{{ {changes}['{each.name}']['reason'] }}}}\n" for each in self.spec.services)
        tested = "".join(f"- {each.name}: {self._tested(each)}\n" for each in self.spec.services)
        approval = TkeApprovalOperator(
            task_id="approval",
            subject=f"Release {self.spec.application} {{{{ params.commit[:12] }}}} to {self.environment.name}?",
            commit="{{ params.commit }}",
            images=images,
            diffs=diffs,
            note=f"### Changes\n\n{why}\n### Unit tests\n\n{tested}",
            freezes=self.environment.freezes,
            response_timeout=timedelta(seconds=given.timeout),
            assigned_users=[{"id": name, "name": name} for name in given.approvers] or None,
            retries=0,
        )
        steps.append(approval)
        return approval

    def _diff(self, service: Service) -> TkeDiffOperator:
        """Compare what is live with what would be, once the image is promoted."""
        image = f"ti.xcom_pull(task_ids='{service.name}.image')"
        host, digest = f"{{{{ {image}['repository'].split('/')[0] }}}}", f"{{{{ {image}['digest'] }}}}"
        return TkeDiffOperator(
            task_id=service.name,
            images={service.container: f"{host}/{self.environment.repositories}/{service.name}@{digest}"},
            namespace=self.environment.namespace,
            **self._manifests(service),
            **cluster_of(self.environment),
        )

    def _promote(self, name: str, image: Any) -> Any:
        promote = TcrPromoteImageOperator(
            task_id=name,
            image=image,
            to_repository=f"{self.environment.repositories}/{name}",
            registry_id=self.here.registry,
            to_registry_id=self.environment.registry,
            tke_conn_id=self.environment.connection,
        )
        return of(promote)

    def _close(self, rules: list[dict[str, Any]]) -> TkeApplyOperator:
        namespace = self.environment.namespace
        made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        placed = [{**each, "metadata": {**each["metadata"], "namespace": namespace}} for each in rules]
        return TkeApplyOperator(task_id="isolation", manifests=literal([made, *placed]), **cluster_of(self.environment))

    # --- deploy -----------------------------------------------------------------------------------------------------

    def _deploys(
        self, images: Mapping[str, Any], approval: TkeApprovalOperator | None
    ) -> tuple[TaskGroup, dict[str, TkeDeployServiceOperator]]:
        """Return one deploy a service, each after those that it depends on."""
        with TaskGroup(group_id="deploy") as group:
            deploys = {each.name: self._deploy(each, images[each.name], approval) for each in self.spec.services}
            for service in self.spec.services:
                [deploys[other] for other in service.depends_on] >> deploys[service.name]
        return group, deploys

    def _deploy(self, service: Service, image: Any, approval: TkeApprovalOperator | None) -> TkeDeployServiceOperator:
        kind, options = self._strategy(service)
        return kind(
            task_id=service.name,
            service=service.name,
            images={service.container: image},
            namespace=self.environment.namespace,
            create_namespace=self.environment.create_namespace,
            timeout=service.timeout,
            deferrable=True,
            approver=f"{{{{ ti.xcom_pull(task_ids='{approval.task_id}')['approver'] }}}}" if approval else None,
            checks=[self._tested(service)],
            **self._manifests(service),
            **cluster_of(self.environment),
            **options,
        )

    def _strategy(self, service: Service) -> tuple[type[TkeDeployServiceOperator], dict[str, Any]]:
        """Return the operator of the service's strategy, and its options. Where no user is, it simply rolls."""
        strategy = service.strategy
        if strategy.type == "rolling" or self.environment is self.spec.environments[0]:
            return TkeDeployServiceOperator, {}
        options: dict[str, Any] = {
            "gates": list(strategy.gates),
            "smoke_tests": [_asked(each, service.port) for each in strategy.smoke_tests],
            "prometheus_conn_id": self.environment.prometheus,
        }
        if strategy.type == "blue-green":
            return TkeBlueGreenDeployOperator, {**options, **({} if strategy.keep is None else {"keep": strategy.keep})}
        if strategy.steps:
            options["steps"] = [{"weight": weight, "pause": strategy.pause or 0} for weight in strategy.steps]
        if strategy.traffic:
            options["traffic"] = strategy.traffic
        return TkeCanaryDeployOperator, options

    def _manifests(self, service: Service) -> dict[str, Any]:
        """Return where the manifests of a service are, or the manifests of its short form."""
        if path := service.manifests.get(self.environment.name):
            return {**self.git, "manifests_path": path}
        made = manifests(
            service.workload[self.environment.name],
            name=service.name,
            container=service.container,
            port=service.port,
            application=self.spec.application,
            namespace=self.environment.namespace,
        )
        # What was written is what is meant: "{{" in a command, or an argument that ends with ".yaml", is no template.
        return {"manifests": literal(made)}

    def _tested(self, service: Service) -> str:
        """Return what the unit tests said, as a template."""
        if not service.test:
            return f"{service.name} has no unit tests"
        pulled = f"ti.xcom_pull(task_ids='{service.name}.unit_tests')"
        return f"{{{{ ({pulled} or {{}}).get('reason', 'tested when it was built') }}}}"

    def _undo(self, deploys: Mapping[str, TkeDeployServiceOperator]) -> TkeUndoReleasesOperator:
        """Put back what was deployed here where a part of it, or a check, fails.

        A teardown waits until all is done, runs whatever became of it, and leaves the run's state to the others.
        """
        undo = TkeUndoReleasesOperator(
            task_id="undo",
            releases={name: of(deploy) for name, deploy in deploys.items()},
            namespace=self.environment.namespace,
            **cluster_of(self.environment),
        )
        undo.as_teardown()
        return undo

    # --- look -------------------------------------------------------------------------------------------------------

    def _checks(self) -> list[TaskGroup | TkeMetricGateOperator]:
        """Return what is looked at once everything is up, in this order."""
        checks: list[TaskGroup | TkeMetricGateOperator] = []
        if self.environment.smoke_tests:
            checks.append(self._smoke_tests())
        if self.environment.watch:
            checks.append(self._watch(self.environment.watch))
        return checks

    def _smoke_tests(self) -> TaskGroup:
        ports = {each.name: each.port for each in self.spec.services}
        with TaskGroup(group_id="smoke_tests") as group:
            for number, test in enumerate(self.environment.smoke_tests, 1):
                TkeSmokeTestOperator(
                    task_id=f"{test.service}_{number}",
                    namespace=self.environment.namespace,
                    service=test.service,
                    timeout=test.timeout,
                    **_asked(test, ports[test.service]),
                    **cluster_of(self.environment),
                )
        return group

    def _watch(self, watch: Watch) -> TkeMetricGateOperator:
        """Look at the metrics of the whole for a while."""
        environment = self.environment
        return TkeMetricGateOperator(
            task_id="watch",
            gates=list(watch.gates),
            new={
                "application": self.spec.application,
                "environment": environment.name,
                "namespace": environment.namespace,
            },
            looks=watch.looks,
            interval=watch.interval,
            max_failed=watch.max_failed,
            prometheus_conn_id=environment.prometheus,
            tke_conn_id=environment.connection,
            region=environment.region,
            deferrable=True,
        )


def of(operator: BaseOperator) -> Any:
    """Return what a task returns, as an argument of another: Airflow puts the value in its place."""
    return operator.output


def cluster_of(environment: Environment) -> dict[str, Any]:
    """Return the arguments that name the environment's cluster."""
    return {"tke_conn_id": environment.connection, "cluster_id": environment.cluster, "region": environment.region}


def _asked(question: Question, port: int) -> dict[str, Any]:
    """Return the arguments of a smoke test."""
    return {
        "port": port,
        "path": question.path,
        "contains": question.contains,
        "expected_status": question.expected_status,
        "in_a_row": question.in_a_row,
    }
