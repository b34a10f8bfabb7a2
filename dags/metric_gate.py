"""Watch a new version beside the old one, and let it go on only while its metrics are good.

Copy the gates into the DAG that releases your service: between the first pods of a new version and all of them. Both
versions are asked about the same minutes, so that a bad hour of everybody is not blamed on the new one.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param, chain

from tke_provider.operators.metrics import TkeMetricGateOperator
from tke_provider.sensors.metrics import TkeMetricSensor

# [START gates]
OF = 'namespace="{namespace}",version="{version}"'
REQUESTS = f"sum(increase(http_requests_total{{{OF}}}[1m]))"
ERRORS = f'(sum(increase(http_requests_total{{{OF},status=~"5.."}}[1m])) or vector(0))'
LATENCY = f"histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket{{{OF}}}[1m])))"

GATES = [
    {
        "name": "error rate",
        "query": f"{ERRORS} / {REQUESTS}",
        "at_most": 0.05,
        "at_most_times_baseline": 1.5,
        "slack": 0.01,
        "samples": REQUESTS,
        "min_samples": 20,
    },
    {"name": "95th percentile of latency", "query": LATENCY, "at_most": 2.0},
]
# [END gates]

FORM = {
    "namespace": Param(
        "production", type="string", minLength=1, title="Namespace", description="Where in the cluster it runs."
    ),
    "version": Param(
        type="string", minLength=1, title="New version", description="Its label `version` in the metrics."
    ),
    "before": Param(
        type="string", minLength=1, title="Old version", description="What the new version is compared with."
    ),
    "looks": Param(
        5, type="integer", minimum=1, maximum=1000, title="Looks", description="How often the metrics are asked."
    ),
    "interval": Param(
        60,
        type="integer",
        minimum=1,
        maximum=3600,
        title="Seconds between two looks",
        description="How long between two of them.",
    ),
}

with DAG(
    dag_id="metric_gate",
    schedule=None,
    params=FORM,
    tags=["tke", "delivery"],
    doc_md=__doc__,
) as dag:
    new = {"namespace": "{{ params.namespace }}", "version": "{{ params.version }}"}
    # [START sensor]
    traffic = TkeMetricSensor(
        task_id="traffic",
        gates=[{"name": "requests in a minute", "query": REQUESTS, "at_least": 20}],
        new=new,
        poke_interval=5,
        timeout=600,
        deferrable=True,
    )
    # [END sensor]
    # [START gate]
    gate = TkeMetricGateOperator(
        task_id="gate",
        gates=GATES,
        new=new,
        old={"version": "{{ params.before }}"},
        looks="{{ params.looks }}",
        interval="{{ params.interval }}",
        deferrable=True,
    )
    # [END gate]
    chain(traffic, gate)
