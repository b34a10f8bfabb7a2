from __future__ import annotations

import time

import pytest
from tencentcloud.common.exception import TencentCloudSDKException

from tests.emulator.conftest import CLUSTER, NATIVE
from tests.waiting import until
from tke_provider.emulator.models import Trouble
from tke_provider.emulator.trouble import RateLimit, take


def test_throttling_meets_as_many_calls_as_it_was_told(emulator, refused):
    emulator.admin("POST", "trouble", kind="throttle", action="DescribeClusters", count=2)
    for _ in range(2):
        with refused("RequestLimitExceeded", "frequency limit"):
            emulator.tke("DescribeClusters")
    assert emulator.tke("DescribeClusters")["TotalCount"] == 1


def test_a_trouble_can_let_the_first_calls_pass(emulator, refused):
    emulator.admin("POST", "trouble", kind="error", action="DescribeClusters", skip=1, code="InternalError.Db")
    emulator.tke("DescribeClusters")
    with refused("InternalError.Db"):
        emulator.tke("DescribeClusters")


def test_a_server_error_is_no_envelope(emulator, refused):
    emulator.admin("POST", "trouble", kind="server_error", status=502)
    with refused("ServerNetworkError"):
        emulator.tke("DescribeClusters")


def test_an_expired_token_is_refused(emulator, refused):
    emulator.admin("POST", "trouble", kind="expired_token")
    with refused("AuthFailure.TokenFailure"):
        emulator.tke("DescribeClusters")


def test_a_lost_answer_leaves_the_write_done(emulator, refused):
    emulator.admin("POST", "trouble", kind="lost_answer", action="ModifyNodePoolDesiredCapacityAboutAsg")
    with refused("ClientNetworkError", "without response"):
        emulator.desire(4)
    assert emulator.pool()["DesiredNodesNum"] == 4
    stored = emulator.cloud.file.load()
    assert stored.clusters[CLUSTER].pools["np-regular0"].desired == 4


def test_a_slow_answer_comes_after_its_client_gave_up(emulator):
    from tencentcloud.tke.v20220501.tke_client import TkeClient

    emulator.admin("POST", "trouble", kind="slow", action="ScaleNodePool", seconds=2)
    client = emulator.client(TkeClient)
    client.profile.httpProfile.reqTimeout = 1
    client = TkeClient(emulator.credential, emulator.region, client.profile)
    with pytest.raises(TencentCloudSDKException, match="timed out"):
        client.call_json("ScaleNodePool", {"ClusterId": CLUSTER, "NodePoolId": NATIVE, "Replicas": 3})
    until(lambda: emulator.native()["Native"]["Replicas"] == 3, 60, "it was done nevertheless")


def test_sold_out_machines_do_not_come_and_only_the_scaling_group_says_why(emulator):
    emulator.admin("POST", "trouble", kind="sold_out", count=None, available=1)
    emulator.desire(4)
    pool = emulator.pool()
    assert (pool["DesiredNodesNum"], pool["NodeCountSummary"]["AutoscalingAdded"]["Normal"]) == (4, 2)
    latest = emulator.activities()[0]
    assert latest["StatusCode"] == "PARTIALLY_SUCCESSFUL"
    assert "sold out" in latest["StatusMessageSimplified"]

    emulator.admin("DELETE", "trouble")
    assert emulator.pool()["NodeCountSummary"]["AutoscalingAdded"]["Normal"] == 4
    assert emulator.activities()[0]["StatusCode"] == "SUCCESSFUL"


def test_the_documented_rate_is_held_for_each_action(emulator, refused):
    now = time.time()
    emulator.cloud.clock.now = lambda: now
    try:
        for _ in range(20):
            emulator.tke("DescribeClusterStatus")
        with refused("RequestLimitExceeded"):
            emulator.tke("DescribeClusterStatus")
        emulator.tke("DescribeClusters")
    finally:
        emulator.cloud.clock.now = time.time


def test_the_twenty_first_call_of_a_second_is_one_too_many():
    limit = RateLimit(20)
    for _ in range(20):
        limit.check("caller", 100.0)
    with pytest.raises(Exception, match="RequestLimitExceeded"):
        limit.check("caller", 100.9)
    limit.check("another", 100.9)
    limit.check("caller", 101.0)


def test_a_trouble_without_count_stays():
    troubles = [Trouble("t", "throttle", count=None)]
    for _ in range(3):
        assert take(troubles, ("throttle",), "Any") is troubles[0]
