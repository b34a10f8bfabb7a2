"""Tencent's command line client as a second witness, and the error codes that its SDK documents."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.emulator.conftest import CLUSTER, NATIVE

TCCLI = Path(sys.executable).with_name("tccli")
SOURCES = Path(__file__).parents[2] / "tke_provider" / "emulator"
# [D 1388/114322] and the gateway's own, common to all services.
COMMON = {
    "FailedOperation",
    "InternalError",
    "InvalidParameter",
    "LimitExceeded",
    "OperationDenied",
    "ResourceInUse",
    "ResourceNotFound",
}
CODE = re.compile(
    r'"((?:FailedOperation|InternalError|InvalidParameter|InvalidParameterValue|LimitExceeded|OperationDenied|'
    r'ResourceInUse|ResourceNotFound|ResourceUnavailable|UnsupportedOperation)(?:\.\w+)?)"'
)


def tccli_for(emulator, home):
    """Tencent's command line client for one emulator."""

    def run(*argv: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "HOME": str(home),
            "PATH": os.environ["PATH"],
            "TENCENTCLOUD_SECRET_ID": emulator.credential.secret_id,
            "TENCENTCLOUD_SECRET_KEY": emulator.credential.secret_key,
            "TENCENTCLOUD_REGION": emulator.region,
        }
        # It has no flag for plain http; an endpoint with a scheme does it.
        argv = (str(TCCLI), *argv, "--endpoint", emulator.url)
        return subprocess.run(argv, capture_output=True, text=True, env=environment, check=False, timeout=60)

    return run


@pytest.fixture
def tccli(emulator, tmp_path):
    return tccli_for(emulator, tmp_path)


def test_tccli_scales_a_native_pool(emulator, tccli):
    done = tccli(
        *("tke", "ScaleNodePool", "--version", "2022-05-01"),
        *("--ClusterId", CLUSTER, "--NodePoolId", NATIVE, "--Replicas", "4"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert emulator.native()["Native"]["ReadyReplicas"] == 4
    assert "_CLI_" in emulator.admin("GET", "audit?action=ScaleNodePool")["calls"][0]["client"]


def test_tccli_shows_the_error_of_the_cloud(tccli):
    failed = tccli("tke", "DescribeClusterNodePools", "--ClusterId", "cls-unknown")
    assert failed.returncode != 0
    assert "ResourceNotFound.ClusterNotFound" in failed.stdout + failed.stderr


@pytest.mark.parametrize(
    ("pattern", "package"),
    [
        ("sts.py", "sts.v20180813"),
        ("tke_2018_*.py", "tke.v20180525"),
        ("tke_2022.py", "tke.v20220501"),
        ("tcr.py", "tcr.v20190924"),
        ("tcss.py", "tcss.v20201101"),
        ("autoscaling.py", "autoscaling.v20180419"),
    ],
)
def test_every_error_code_is_documented_by_the_sdk(pattern, package):
    module = importlib.import_module(f"tencentcloud.{package}.errorcodes")
    documented = {value for name, value in vars(module).items() if name.isupper()} | COMMON
    used = {code for file in SOURCES.glob(pattern) for code in CODE.findall(file.read_text(encoding="utf-8"))}
    assert used - documented == set()
