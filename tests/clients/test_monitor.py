from __future__ import annotations

import time

import pytest

from tke_provider.clients.credentials import StaticKey
from tke_provider.clients.metrics import ask
from tke_provider.clients.monitor import Monitor
from tke_provider.clients.tencent_cloud import TencentCloudClient
from tke_provider.domain.metrics import Gate
from tke_provider.domain.verdicts import State
from tke_provider.exceptions import InputError

POD = {"tke_cluster_instance_id": "cls-local000", "workload_name": "{service}"}
CPU = {"namespace": "QCE/TKE2", "metric": "K8sWorkloadCpuCoreUsed", "dimensions": POD}
WEB = {**CPU, "dimensions": {"tke_cluster_instance_id": "cls-local000", "workload_name": "web"}}
NODE = {"namespace": "QCE/CVM", "metric": "CPUUsage", "dimensions": {"InstanceId": "ins-1"}}


@pytest.fixture
async def monitor(cloud):
    credentials = StaticKey(cloud.secret_id, cloud.secret_key)
    async with Monitor(TencentCloudClient(credentials, cloud.region, endpoint=cloud.endpoint)) as monitor:
        yield monitor


def tell(cloud, query: dict, *values: float | None) -> float:
    """Let a metric have been each of the values for a minute, the last one until now, and return that now.

    Whoever asks later may do so in another minute.
    """
    now = time.time()
    for ago, value in enumerate(reversed(values)):
        at = 0 if ago == len(values) - 1 else (now // 60 - ago) * 60
        told = {name: query[name] for name in ("namespace", "metric", "dimensions")}
        cloud._ask("POST", "metrics", {**told, "value": value, "since": at})
    return now


@pytest.mark.parametrize("query", [WEB, NODE])
async def test_a_metric_of_containers_and_one_of_machines_are_asked_each_in_its_way(cloud, monitor, query):
    tell(cloud, query, 2.5)
    assert await monitor.value(query, time.time()) == 2.5


@pytest.mark.parametrize(("statistic", "value"), [("avg", 4), ("max", 6), ("min", 2), ("sum", 12), ("last", 6)])
async def test_a_statistic_is_made_of_the_window(cloud, monitor, statistic, value):
    now = tell(cloud, NODE, 2, 4, 6)
    assert await monitor.value({**NODE, "statistic": statistic, "window": 150 + now % 60 - 30}, now) == value


async def test_gaps_are_left_out(cloud, monitor):
    now = tell(cloud, NODE, None, 4, None)
    assert await monitor.value({**NODE, "window": 600}, now) == 4


async def test_what_was_never_measured_has_no_value(monitor):
    assert await monitor.value(NODE, time.time()) is None
    assert await monitor.value(WEB, time.time()) is None


async def test_values_come_oldest_first(cloud, monitor):
    now = tell(cloud, NODE, 2, 4)
    assert [value for _, value in await monitor.values(NODE, now - 120, now, 15)] == [2, 4]


async def test_a_gate_asks_the_cloud_as_it_asks_prometheus(cloud, monitor):
    tell(cloud, WEB, 2.5)
    gate = Gate("CPU", CPU, at_most=2)
    verdict = await ask(monitor, gate, new={"service": "web"})
    assert (verdict.state, verdict.reason) == (State.FAILED, "CPU is 2.5, above the 2 allowed")
    assert (await ask(monitor, gate, new={"service": "other"})).state is State.INCONCLUSIVE


async def test_promql_is_refused(monitor):
    with pytest.raises(InputError, match="cannot be asked 'up'; ask Prometheus"):
        await monitor.value("up", 0)


async def test_what_the_cloud_refuses_is_told_in_its_words(monitor):
    with pytest.raises(InputError, match="InvalidParameterValue: Period 7 is none of"):
        await monitor.value({**WEB, "period": 7}, time.time())
