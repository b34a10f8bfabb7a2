"""What surrounds the services of a namespace: shown, applied, pruned, and found to be as applied.

Copy this file and put your own manifests in; ``manifests`` also takes the path of a file beside the DAG, and
``git_url``, ``commit`` and ``manifests_path`` read them at a commit.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param, chain

from tke_provider.operators.manifests import TkeApplyOperator, TkeDiffOperator
from tke_provider.sensors.manifests import TkeDriftSensor

# Every object carries the label, so that one which is taken out of here is found, and deleted.
SET = {"app.kubernetes.io/part-of": "shop-surroundings"}

MANIFESTS = """
apiVersion: v1
kind: Namespace
metadata:
  name: {{ params.namespace }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: opening-hours
  namespace: {{ params.namespace }}
  labels: {app.kubernetes.io/part-of: shop-surroundings}
data:
  open: "{{ params.open }}"
---
apiVersion: v1
kind: ResourceQuota
metadata:
  name: shop
  namespace: {{ params.namespace }}
  labels: {app.kubernetes.io/part-of: shop-surroundings}
spec:
  hard: {pods: "50"}
"""

FORM = {
    "namespace": Param(
        "surroundings", type="string", minLength=1, title="Namespace", description="Where in the cluster it runs."
    ),
    "open": Param(
        "8-20",
        type="string",
        minLength=1,
        title="Opening hours",
        description="From hour to hour, as the sign at the door says.",
    ),
}

with DAG(
    dag_id="apply_and_drift",
    schedule=None,
    params=FORM,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=10)},
    tags=["tke", "delivery"],
    doc_md=__doc__,
) as dag:
    # [START diff]
    diff = TkeDiffOperator(task_id="diff", manifests=MANIFESTS)
    # [END diff]
    # [START apply]
    apply = TkeApplyOperator(task_id="apply", manifests=MANIFESTS, prune=SET)
    # [END apply]
    # [START drift]
    in_sync = TkeDriftSensor(
        task_id="in_sync",
        manifests=MANIFESTS,
        expect="in_sync",
        poke_interval=5,
        timeout=60,
    )
    # [END drift]
    chain(diff, apply, in_sync)
