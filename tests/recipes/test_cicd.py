from __future__ import annotations

import dataclasses
import itertools
import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tke_provider.domain.scans import NONE_SEVERE
from tke_provider.domain.specs import load
from tke_provider.exceptions import ManifestError, NotFoundError
from tke_provider.operators.blue_green import TkeBlueGreenDeployOperator
from tke_provider.operators.canaries import TkeCanaryDeployOperator
from tke_provider.operators.rollouts import TkeDeployServiceOperator
from tke_provider.recipes import cicd_dag

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import DAG

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = """\
application: shop
git: {url: https://example.com/shop.git}
base_image: python:3
environments:
  - {name: test, namespace: shop-test, repositories: test}
  - {name: live, namespace: shop-live, repositories: production, approval: {}}
services:
"""
DIAMOND = (
    ENVIRONMENTS
    + """\
  base: {path: base, workload: {}}
  left: {path: left, depends_on: [base], workload: {}, strategy: {type: blue-green, keep: 60}}
  right: {path: right, depends_on: [base], workload: {}, strategy: {type: canary, steps: [25], pause: 60}}
  top: {path: top, depends_on: [left, right], test: {command: pytest}, manifests: top/manifests.yaml}
"""
)


def upstream(dag: DAG, task_id: str) -> set[str]:
    return set(dag.get_task(task_id).upstream_task_ids)


def everything_before(dag: DAG, task_id: str) -> set[str]:
    return {each.task_id for each in dag.get_task(task_id).get_flat_relatives(upstream=True)}


def test_one_service_is_a_whole_journey():
    dag = cicd_dag(ENVIRONMENTS + "  web: {path: web, test: {command: pytest}, workload: {}}\n")
    order = ["changes", "web.build", "web.unit_tests", "web.image", "tested", "test.deploy.web", "live.approval"]
    order += ["live.promote.web", "live.deploy.web"]
    for before, after in itertools.pairwise(order):
        assert before in everything_before(dag, after)


def test_a_dependent_is_deployed_after_what_it_depends_on():
    dag = cicd_dag(DIAMOND)
    for environment in ("test", "live"):
        assert f"{environment}.deploy.base" in upstream(dag, f"{environment}.deploy.left")
        assert {f"{environment}.deploy.left", f"{environment}.deploy.right"} <= upstream(
            dag, f"{environment}.deploy.top"
        )


def test_independent_services_wait_for_nothing_of_one_another():
    dag = cicd_dag(DIAMOND)
    assert "test.deploy.right" not in everything_before(dag, "test.deploy.left")
    assert not {"base.build", "left.build"} & everything_before(dag, "right.image")


def test_nothing_is_deployed_before_every_service_is_tested():
    dag = cicd_dag(DIAMOND)
    for name in ("base", "left", "right", "top"):
        assert {f"{each}.image" for each in ("base", "left", "right", "top")} <= everything_before(
            dag, f"test.deploy.{name}"
        )


def test_a_build_that_is_skipped_does_not_skip_the_release():
    dag = cicd_dag(DIAMOND)
    assert dag.get_task("top.image").trigger_rule == "none_failed"
    assert upstream(dag, "top.image") == {"changes", "top.build", "top.unit_tests"}
    assert upstream(dag, "top.unit_tests") == {"top.build"}
    assert dag.get_task("changes").skip_tasks["top"] == "top.build"
    assert all(dag.get_task(each).trigger_rule == "all_success" for each in ("tested", "test.deploy.base", "top.build"))


def test_production_is_reached_through_the_approval_alone():
    dag = cicd_dag(DIAMOND)
    roots = [task.task_id for task in dag.tasks if task.task_id.startswith(("live.promote", "live.deploy"))]
    assert all("live.approval" in everything_before(dag, each) for each in roots)
    assert {f"test.deploy.{each}" for each in ("base", "left", "right", "top")} <= everything_before(
        dag, "live.approval"
    )


def test_users_meet_a_strategy_only_after_the_first_environment():
    dag = cicd_dag(DIAMOND)
    assert type(dag.get_task("test.deploy.right")) is TkeDeployServiceOperator
    canary = dag.get_task("live.deploy.right")
    assert type(canary) is TkeCanaryDeployOperator
    assert (canary.steps, canary.traffic) == ([{"weight": 25, "pause": 60}], "replicas")
    blue_green = dag.get_task("live.deploy.left")
    assert (type(blue_green), blue_green.keep) == (TkeBlueGreenDeployOperator, 60)
    assert type(dag.get_task("live.deploy.top")) is TkeDeployServiceOperator


def test_a_canary_goes_by_an_ingress_where_the_spec_says_so():
    ingress = "workload: {ingress: {host: a.example.com, class_name: nginx}}"
    text = f"{ENVIRONMENTS}  web: {{path: web, {ingress}, strategy: {{type: canary, traffic: ingress}}}}\n"
    canary = cicd_dag(text).get_task("live.deploy.web")
    assert canary.traffic == "ingress"
    (made,) = [each for each in canary.manifests.value if each["kind"] == "Ingress"]
    assert made["spec"]["ingressClassName"] == "nginx"


def test_manifests_come_from_the_commit_and_short_forms_from_the_spec():
    dag = cicd_dag(DIAMOND)
    top, left = dag.get_task("live.deploy.top"), dag.get_task("live.deploy.left")
    assert (top.manifests_path, top.commit, top.manifests) == ("top/manifests.yaml", "{{ params.commit }}", None)
    assert {each["kind"] for each in left.manifests.value} >= {"Deployment", "Service", "PodDisruptionBudget"}


def test_a_short_form_is_no_template():
    form = 'workload: {command: [run, --config=app.yaml], env: {A: "{{ params.commit }}", B: "${#A}"}}'
    operator = cicd_dag(ENVIRONMENTS + f"  web: {{path: web, {form}}}\n").get_task("test.deploy.web")
    written = operator.manifests.value
    operator.images = {}
    operator.render_template_fields({"ti": None, "params": {}})
    assert operator.manifests == written


def test_environments_that_share_repositories_promote_nothing():
    dag = cicd_dag(DIAMOND.replace("repositories: production", "repositories: test"))
    assert not [each for each in dag.task_ids if "promote" in each]
    assert "test.deploy.top" in everything_before(dag, "live.deploy.top")


def test_each_environment_is_in_its_own_cluster():
    here = "repositories: test, connection: near, cluster: cls-near, region: ap-guangzhou}"
    there = "repositories: production, connection: far, cluster: cls-far, region: ap-beijing, registry: tcr-far"
    dag = cicd_dag(DIAMOND.replace("repositories: test}", here).replace("repositories: production", there))
    seen = {
        (each.task_id.split(".")[0], each.tke_conn_id, each.cluster_id, each.region)
        for each in dag.tasks
        if each.task_id.startswith(("test.deploy", "live.deploy"))
    }
    assert seen == {("test", "near", "cls-near", "ap-guangzhou"), ("live", "far", "cls-far", "ap-beijing")}
    promote = dag.get_task("live.promote.top")
    assert (promote.tke_conn_id, promote.registry_id, promote.to_registry_id) == ("far", None, "tcr-far")


def test_a_closed_namespace_is_closed_before_anything_runs_in_it():
    dag = cicd_dag(DIAMOND.replace("repositories: test}", "repositories: test, isolation: {}}"))
    assert "test.isolation" in everything_before(dag, "test.deploy.base")


def test_a_freeze_is_looked_at_right_before_the_change():
    freeze = "{name: New Year, zone: Asia/Shanghai, from: 2026-02-14 00:00, until: 2026-02-24 00:00}"
    dag = cicd_dag(DIAMOND.replace("approval: {}", f"approval: {{}}, freezes: [{freeze}]"))
    assert "live.approval" in everything_before(dag, "live.freeze")
    assert "live.freeze" in everything_before(dag, "live.promote.base")


def test_smoke_tests_come_last():
    dag = cicd_dag(DIAMOND.replace("repositories: test}", "repositories: test, smoke_tests: [{service: top}]}"))
    assert "test.deploy.top" in everything_before(dag, "test.smoke_tests.top_1")
    assert "test.smoke_tests.top_1" in everything_before(dag, "live.approval")


def test_metrics_are_watched_after_the_smoke_tests_and_before_the_next_environment():
    watch = "watch: {looks: 3, interval: 5, gates: [{name: errors, query: 'x{ns=\"{namespace}\"}', at_most: 1}]}"
    dag = cicd_dag(
        DIAMOND.replace("repositories: test}", f"repositories: test, smoke_tests: [{{service: top}}], {watch}}}")
    )
    task = dag.get_task("test.watch")
    assert (task.looks, task.interval, task.new["namespace"], task.deferrable) == (3, 5, "shop-test", True)
    assert "test.smoke_tests.top_1" in everything_before(dag, "test.watch")
    assert "test.watch" in everything_before(dag, "live.approval")


def test_each_service_is_undone_alone_where_nothing_else_was_asked_for():
    assert not [each for each in cicd_dag(DIAMOND).task_ids if each.endswith(".undo")]


@pytest.fixture
def together() -> DAG:
    watch = "watch: {gates: [{name: errors, query: up, at_most: 1}]}"
    checked = f"repositories: test, smoke_tests: [{{service: top}}], {watch}}}"
    return cicd_dag("undo: together\n" + DIAMOND.replace("repositories: test}", checked))


def test_what_is_undone_together_is_what_was_deployed_to_the_same_place_in_the_same_order(together):
    undo = together.get_task("live.undo")
    assert [*undo.releases] == ["base", "left", "right", "top"]
    assert [each.operator.task_id for each in undo.releases.values()] == [f"live.deploy.{n}" for n in undo.releases]
    assert (undo.namespace, undo.tke_conn_id) == ("shop-live", "tke_default")


def test_it_is_undone_when_a_deploy_a_smoke_test_or_the_metrics_fail_and_not_before_all_have_ended(together):
    deploys = {f"test.deploy.{each}" for each in ("base", "left", "right", "top")}
    assert upstream(together, "test.undo") == {*deploys, "test.smoke_tests.top_1", "test.watch"}
    assert together.get_task("test.undo").trigger_rule == "all_done_setup_success"


def test_an_undo_neither_keeps_the_next_environment_waiting_nor_makes_a_failed_run_good(together):
    assert together.get_task("test.undo").is_teardown
    assert not together.get_task("test.undo").on_failure_fail_dagrun
    assert not together.get_task("test.undo").downstream_task_ids
    assert "test.watch" in everything_before(together, "live.approval")


def test_an_image_is_scanned_where_it_is_before_anybody_is_asked():
    dag = cicd_dag(DIAMOND.replace("approval: {}", "approval: {}, scan: {limits: {critical: 0, high: 2}, start: true}"))
    gate = dag.get_task("live.scan.top")
    assert (gate.limits, gate.start_scan, gate.deferrable) == ({"critical": 0, "high": 2}, True, True)
    assert gate.image.operator.task_id == "top.image"
    assert {f"live.scan.{each}" for each in ("base", "left", "right", "top")} <= everything_before(dag, "live.approval")
    assert cicd_dag(DIAMOND.replace("approval: {}", "scan: {}")).get_task("live.scan.top").limits == NONE_SEVERE


def test_a_worker_without_an_engine_builds_by_buildkit_and_tests_in_a_pod():
    asked = "buildkit: {image: mirror/buildkit, namespace: builds, cache: cache, secrets: {npmrc: npm}}\n"
    test = "{command: pytest, runner: pod, namespace: checks, secrets: [db], pull_secrets: [tcr]}"
    where = "cluster: cls-test, connection: mine, region: ap-shanghai"
    here = ENVIRONMENTS.replace("repositories: test}", f"repositories: test, {where}}}")
    dag = cicd_dag(asked + here + f"  web: {{path: web, test: {test}, workload: {{}}}}\n")
    build, tests = dag.get_task("web.build"), dag.get_task("web.unit_tests")
    assert (build.builder, build.buildkit_image, build.buildkit_conn_id) == (
        "buildkit",
        "mirror/buildkit",
        "buildkit_default",
    )
    assert (build.namespace, build.cache_tag, build.secrets) == ("builds", "cache", {"npmrc": "npm"})
    assert (tests.runner, tests.namespace, tests.secrets) == ("pod", "checks", ["db"])
    assert tests.pod_spec == {"imagePullSecrets": [{"name": "tcr"}]}
    places = {(each.tke_conn_id, each.region, each.cluster_id) for each in (build, tests)}
    assert places == {("mine", "ap-shanghai", "cls-test")}
    assert (build.buildkit_daemon, build.buildkit_config) == ("shared", None)


def test_a_daemon_in_the_builds_own_pod_is_a_word_of_the_spec():
    asked = "buildkit: {image: mirror/buildkit, daemon: rootless, config: debug = true}\n"
    build = cicd_dag(asked + ENVIRONMENTS + "  web: {path: web, workload: {}}\n").get_task("web.build")
    assert (build.buildkit_daemon, build.buildkit_config) == ("rootless", "debug = true")


def test_what_nobody_asked_for_is_built_and_tested_by_the_engine():
    dag = cicd_dag(DIAMOND)
    assert (dag.get_task("top.build").builder, dag.get_task("top.unit_tests").runner) == ("engine", "engine")


def test_coverage_quarantine_and_reports_are_those_of_the_tests():
    flaky = {"test": "shop::test_slow*", "reason": "SHOP-7", "until": "2030-12-31"}
    test = f"{{command: pytest, coverage: /tmp/c.xml, min_coverage: 80, quarantine: [{flaky}]}}"
    kept = 'reports: {path: "s3://reports", url: https://reports.example.com}\n'
    dag = cicd_dag(kept + ENVIRONMENTS + f"  web: {{path: web, test: {test}, workload: {{}}}}\n")
    tests = dag.get_task("web.unit_tests")
    tests._check()  # what the spec lets through, the task takes
    assert (tests.coverage_path, tests.min_coverage, tests.quarantine) == ("/tmp/c.xml", 80, [flaky])
    assert (tests.reports_path, tests.reports_url) == ("s3://reports", "https://reports.example.com")


def test_the_form_asks_for_what_changes_from_run_to_run():
    params = cicd_dag(DIAMOND).params
    assert set(params) == {"git_url", "commit", "build", "base_image"}
    assert params["git_url"] == "https://example.com/shop.git"


def test_arguments_of_the_dag_are_handed_on():
    dag = cicd_dag(DIAMOND, dag_id="mine", tags=["a"], default_args={"retries": 7})
    assert (dag.dag_id, dag.tags, dag.get_task("base.build").retries) == ("mine", {"a"}, 7)


def test_the_spec_names_the_dag_and_its_concurrency():
    dag = cicd_dag("concurrency: 3\n" + DIAMOND)
    assert (dag.dag_id, dag.max_active_tasks, dag.max_active_runs) == ("shop", 3, 1)


def test_a_spec_may_be_a_path_or_a_value(tmp_path):
    file = tmp_path / "shop.yaml"
    file.write_text(DIAMOND)
    spec = dataclasses.replace(load(DIAMOND), application="web")
    assert cicd_dag(file).task_ids == cicd_dag(str(file)).task_ids == cicd_dag(DIAMOND).task_ids
    assert cicd_dag(spec).dag_id == "web"


def test_a_circle_is_refused_with_its_line(tmp_path):
    file = tmp_path / "shop.yaml"
    file.write_text(DIAMOND.replace("base: {path: base,", "base: {path: base, depends_on: [top],"))
    with pytest.raises(ManifestError, match=r"shop\.yaml has a mistake: line 8: .*base → top → left → base"):
        cicd_dag(file)


def test_a_spec_that_is_not_there_is_named():
    with pytest.raises(NotFoundError, match=r"nowhere\.yaml cannot be read: No such file"):
        cicd_dag("nowhere.yaml")


def test_the_dag_can_be_stored():
    from airflow.serialization.serialized_objects import DagSerialization

    dag = cicd_dag("undo: together\n" + DIAMOND)
    stored = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    assert stored.task_dict.keys() == dag.task_dict.keys()


def test_the_documentation_shows_the_example_as_it_runs():
    example = (ROOT / "dags" / "release_spec.yaml").read_text()
    assert f"```yaml\n{example}```" in (ROOT / "docs" / "specs.md").read_text()


def test_the_short_form_in_the_documentation_is_one():
    page = (ROOT / "docs" / "specs.md").read_text()
    (form,) = re.findall(r"```yaml\n(workload:.*?)```", page, re.DOTALL)
    load(ENVIRONMENTS + "  shop:\n    path: shop\n" + textwrap.indent(form, "    "))


def test_builds_tests_and_metrics_in_the_documentation_are_understood():
    page = (ROOT / "docs" / "specs.md").read_text()
    shown = {}
    for text in re.findall(r"```yaml\n((?:buildkit|environments):.*?)```", page, re.DOTALL):
        shown |= yaml.safe_load(text.replace("2030-12-31", "'2030-12-31'"))
    spec = yaml.safe_load(ENVIRONMENTS + "  shop: {path: shop, workload: {}}")
    spec["environments"][0] |= {"watch": shown["environments"][0]["watch"]}
    spec["services"]["shop"] |= shown["services"]["shop"]
    dag = cicd_dag(yaml.safe_dump({**spec, "buildkit": shown["buildkit"], "reports": shown["reports"]}))
    assert {"test.watch", "shop.unit_tests"} <= set(dag.task_ids)
