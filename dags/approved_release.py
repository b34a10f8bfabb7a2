"""A release that a person approves by what would change, not in a freeze, and that the team hears of.

Copy this file and set the freezes. The image is one that was built and tested, by digest; ``ci_cd`` shows that part.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param, chain

from tke_provider.domain.freezes import Freeze
from tke_provider.notifications.wecom import WeComNotifier
from tke_provider.operators.approvals import TkeApprovalOperator
from tke_provider.operators.freezes import TkeFreezeWindowOperator
from tke_provider.operators.manifests import TkeDiffOperator
from tke_provider.operators.rollouts import TkeDeployServiceOperator

# [START freezes]
FREEZES = [
    Freeze(name="Spring Festival", zone="Asia/Shanghai", start="2027-02-05", end="2027-02-12"),
    Freeze(name="weekend", zone="Asia/Shanghai", cron="0 18 * * 5", duration=timedelta(hours=63)),
]
# [END freezes]

FORM = {
    "git_url": Param(
        "https://example.com/shop.git",
        type="string",
        minLength=1,
        title="Git repository",
        description="Where the commit is cloned from.",
    ),
    "commit": Param(type="string", pattern="^[0-9a-f]{40}$", title="Commit", description="Where the manifests are."),
    "image": Param(type="string", pattern="@sha256:[0-9a-f]{64}$", title="Image", description="repository@sha256:…"),
    "namespace": Param(
        "production", type="string", minLength=1, title="Namespace", description="Where in the cluster it runs."
    ),
}

with DAG(
    dag_id="approved_release",
    schedule=None,
    params=FORM,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=10)},
    tags=["tke", "delivery"],
    doc_md=__doc__,
) as dag:
    WHAT = {
        "git_url": "{{ params.git_url }}",
        "commit": "{{ params.commit }}",
        "manifests_path": "prices/manifests.yaml",
        "images": {"prices": "{{ params.image }}"},
        "namespace": "{{ params.namespace }}",
    }
    # [START approval]
    diff = TkeDiffOperator(task_id="diff", **WHAT)
    approval = TkeApprovalOperator(
        task_id="approval",
        subject="Release prices to {{ params.namespace }}?",
        commit="{{ params.commit }}",
        images=WHAT["images"],
        diffs={"prices": diff.output},
        freezes=FREEZES,
    )
    # [END approval]
    # [START freeze]
    not_frozen = TkeFreezeWindowOperator(task_id="not_frozen", freezes=FREEZES, approval=approval.output)
    # [END freeze]
    # [START release]
    release = TkeDeployServiceOperator(
        task_id="release",
        **WHAT,
        create_namespace=True,
        approver=approval.output["approver"],
        deferrable=True,
        timeout=180,
        on_success_callback=WeComNotifier(),
        on_failure_callback=WeComNotifier(),
    )
    # [END release]
    chain(diff, approval, not_frozen, release)
