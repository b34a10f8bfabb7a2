"""From a release spec to the DAG that takes a commit to production."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import DAG, Param, TaskGroup, chain, task
from airflow.providers.standard.operators.empty import EmptyOperator

from tke_provider.domain.specs import Spec, load
from tke_provider.exceptions import NotFoundError
from tke_provider.operators.changes import TkeDetectChangesOperator
from tke_provider.operators.checks import TkeRunTestsOperator
from tke_provider.operators.images import TkeBuildImageOperator
from tke_provider.recipes.environments import Release, cluster_of, of

if TYPE_CHECKING:
    from tke_provider.domain.changes import ServiceChange
    from tke_provider.domain.images import ImageDict
    from tke_provider.domain.specs import Service, UnitTests

_RETRIES = {"retries": 2, "retry_delay": timedelta(seconds=10)}


def cicd_dag(spec: Spec | Path | str, **kwargs: Any) -> DAG:
    """Return the DAG of a release spec: build what changed, test, release to one environment after the other.

    ``docs/specs.md`` explains the spec. A run is started with a commit: from the form, by the API, or by a webhook.

    :param spec: a release spec, or the path of its YAML file, or its text.
    :param kwargs: of the DAG; they win over what the recipe would say, such as ``dag_id``, which is the
        application's name.
    :return: the DAG; assign it to a variable of the DAG file.
    :raises ManifestError: that tells every mistake in the spec with its line.
    :raises NotFoundError: when there is no such file.
    """
    spec = spec if isinstance(spec, Spec) else _read(spec)
    given = {
        "dag_id": spec.application,
        "doc_md": f"From a commit to {', '.join(each.name for each in spec.environments)}, as its release spec says.",
        "params": _form(spec),
        "max_active_runs": 1,
        "default_args": _RETRIES,
        "tags": ["tke", "delivery", spec.application],
        **({"max_active_tasks": spec.concurrency} if spec.concurrency else {}),
    }
    with DAG(schedule=kwargs.pop("schedule", None), **{**given, **kwargs}) as dag:
        _lay_out(spec)
    return dag


def _read(spec: Path | str) -> Spec:
    if isinstance(spec, str) and "\n" in spec:
        return load(spec)
    path = Path(spec)
    try:
        return load(path.read_text(encoding="utf-8"), path.name)
    except OSError as error:
        raise NotFoundError(
            f"The release spec {path} cannot be read", cause=str(error.strerror), way_out="correct its path"
        ) from error


def _form(spec: Spec) -> dict[str, Param]:
    """Return what a person is asked for who starts a run."""
    form = {
        "git_url": Param(
            spec.git.url,
            type="string",
            minLength=1,
            title="Git repository",
            description="Where the commit is cloned from.",
        ),
        "commit": Param(
            type="string",
            pattern="^[0-9a-f]{40}$",
            title="Commit",
            description="The full SHA, 40 digits, as `git rev-parse HEAD` prints it.",
        ),
        "build": Param(
            "changed",
            type="string",
            enum=["changed", "all"],
            title="Build",
            description="Only services that the commit changes, and those that depend on them; or all.",
        ),
    }
    if spec.base_image:
        form["base_image"] = Param(
            spec.base_image,
            type="string",
            minLength=1,
            title="Base image",
            description="What the Dockerfiles build upon. After a change of it, build all.",
        )
    return form


def _lay_out(spec: Spec) -> None:
    """Make all tasks, and say what waits for what."""
    git = {"git_url": "{{ params.git_url }}", "commit": "{{ params.commit }}", "git_conn_id": spec.git.connection}
    changes = _changes(spec, git)
    images = {service.name: _build(spec, service, changes, git) for service in spec.services}
    # Nothing is released before every service is built and tested.
    before: Any = EmptyOperator(task_id="tested")
    list(images.values()) >> before
    here = spec.environments[0]
    for environment in spec.environments:
        release = Release(spec, environment, here, git)
        group, images = release.lay_out(images)
        chain(before, group)
        before, here = group, environment


def _changes(spec: Spec, git: dict[str, Any]) -> TkeDetectChangesOperator:
    sources = {
        each.name: {
            "paths": [each.path, *each.inputs],
            "depends_on": list(each.depends_on),
            "container": each.container,
        }
        for each in spec.services
    }
    first = spec.environments[0]
    return TkeDetectChangesOperator(
        task_id="changes",
        services=sources,
        build="{{ params.build }}",
        skip={name: f"{name}.build" for name in sources},
        namespace=first.namespace,
        **git,
        **cluster_of(first),
    )


def _build(spec: Spec, service: Service, changes: TkeDetectChangesOperator, git: dict[str, Any]) -> Any:
    """Return the image to release: the one that is built and tested here, or else the one that is live."""
    base = {"BASE": "{{ params.base_image }}"} if spec.base_image else {}
    first = spec.environments[0]
    registry: dict[str, Any] = {"registry_id": first.registry, "tke_conn_id": first.connection}
    with TaskGroup(group_id=service.name):
        build = TkeBuildImageOperator(
            task_id="build",
            subdirectory=service.path,
            dockerfile=service.dockerfile,
            target=service.target,
            build_args={**base, **spec.build_args, **service.build_args},
            repository=f"{first.repositories}/{service.name}",
            platform=spec.platform,
            **_builder(spec),
            **git,
            **registry,
        )
        image: Any = choose_image(of(build), of(changes), service.name)
        changes >> build >> image
        if service.test:
            tests = TkeRunTestsOperator(task_id="unit_tests", image=of(build), **_tests(spec, service.test), **registry)
            build >> tests >> image
    return image


def _builder(spec: Spec) -> dict[str, Any]:
    """Return the arguments that say who builds: BuildKit in the first environment's cluster, or else the engine."""
    given = spec.buildkit
    if given is None:
        return {}
    return {
        "builder": "buildkit",
        "buildkit_image": given.image,
        "buildkit_daemon": given.daemon,
        "buildkit_conn_id": given.connection,
        "buildkit_config": given.config,
        "namespace": given.namespace,
        "cluster_id": spec.environments[0].cluster,
        "region": spec.environments[0].region,
        "cache_tag": given.cache,
        "secrets": dict(given.secrets),
        "attestations": dict(given.attestations),
    }


def _tests(spec: Spec, test: UnitTests) -> dict[str, Any]:
    """Return the arguments of a service's unit tests."""
    first = spec.environments[0]
    pod: dict[str, Any] = {
        "runner": "pod",
        "namespace": test.namespace,
        "secrets": list(test.secrets),
        "pod_spec": {"imagePullSecrets": [{"name": each} for each in test.pull_secrets]} if test.pull_secrets else None,
        "cluster_id": first.cluster,
        "region": first.region,
    }
    return {
        "command": test.command if isinstance(test.command, str) else list(test.command),
        "report_path": test.report,
        "coverage_path": test.coverage or "",
        "min_coverage": test.min_coverage,
        "quarantine": list(test.quarantine),
        "memory": test.memory,
        "cpus": test.cpus,
        "timeout": test.timeout,
        "reports_path": spec.reports.path if spec.reports else "",
        "reports_url": (spec.reports.url or "") if spec.reports else "",
        **(pod if test.runner == "pod" else {}),
    }


# Skipped builds and tests are no failure; a failed one is.
@task(task_id="image", trigger_rule="none_failed", multiple_outputs=False)
def choose_image(built: ImageDict | None, changes: dict[str, ServiceChange], service: str) -> ImageDict | None:
    """Return what was built, or, where nothing had to be, what is live."""
    return built if changes[service]["build"] else changes[service]["image"]
