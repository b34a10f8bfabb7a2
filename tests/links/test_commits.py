from __future__ import annotations

from airflow.providers.common.compat.sdk import BaseOperator

from tke_provider.links.commits import CommitLink
from tke_provider.operators.images import TkeBuildImageOperator
from tke_provider.operators.rollouts import TkeDeployServiceOperator


def test_a_task_leads_to_its_commit():
    task = BaseOperator(task_id="task")
    for name, value in {"git_url": "https://github.com/team/shop.git", "commit": "a" * 40}.items():
        object.__setattr__(task, name, value)
    assert CommitLink().get_link(task, ti_key=None).endswith(f"/team/shop/commit/{'a' * 40}")


def test_a_task_without_one_has_no_link():
    assert CommitLink().get_link(BaseOperator(task_id="task"), ti_key=None) == ""


def test_builds_and_deploys_have_it():
    for operator in (TkeBuildImageOperator, TkeDeployServiceOperator):
        assert "Commit" in [link.name for link in operator.operator_extra_links]
