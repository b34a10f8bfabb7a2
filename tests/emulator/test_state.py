from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys

import httpx
import pytest

from tests.emulator.conftest import SECRET_ID, SECRET_KEY, serving
from tke_provider.emulator.cloud import Cloud, Settings
from tke_provider.emulator.state import StateFile


def test_what_was_written_is_there_after_a_restart(tmp_path):
    settings = Settings(tmp_path / "state.json", SECRET_ID, SECRET_KEY)
    with serving(settings) as emulator:
        emulator.desire(5)
        emulator.admin("POST", "trouble", kind="throttle", action="Any")
        before = [
            node["InstanceId"]
            for node in emulator.tke("DescribeClusterInstances", ClusterId="cls-local000")["InstanceSet"]
        ]
    with serving(settings) as emulator:
        after = [
            node["InstanceId"]
            for node in emulator.tke("DescribeClusterInstances", ClusterId="cls-local000")["InstanceSet"]
        ]
        assert len(emulator.admin("GET", "trouble")["troubles"]) == 1
    assert len(after) == 6
    assert after == before


def test_only_its_owner_may_read_the_state(tmp_path):
    Cloud(Settings(tmp_path / "state.json"))
    assert stat.S_IMODE((tmp_path / "state.json").stat().st_mode) == 0o600


def test_a_made_key_stays_and_a_given_one_takes_its_place(tmp_path):
    made = Cloud(Settings(tmp_path / "state.json")).state
    again = Cloud(Settings(tmp_path / "state.json")).state
    assert again.root == made.root
    given = Cloud(Settings(tmp_path / "state.json", secret_id="AKIDmine", secret_key="mine")).state
    assert (given.root, given.keys["AKIDmine"].secret_key, len(given.keys)) == ("AKIDmine", "mine", 1)


def test_a_file_that_is_no_state_is_left_alone_and_named(tmp_path):
    path = tmp_path / "state.json"
    path.write_text('{"uin": 1}')
    with pytest.raises(ValueError, match=r"state\.json is not a state of this emulator; move it away"):
        Cloud(Settings(path))
    assert path.read_text() == '{"uin": 1}'


def test_what_has_not_changed_is_not_written(tmp_path):
    cloud = Cloud(Settings(tmp_path / "state.json"))
    assert cloud.file.save(cloud.state) is False
    cloud.state.serial += 1
    assert cloud.file.save(cloud.state) is True
    assert StateFile(tmp_path / "state.json").load() == cloud.state


def test_the_program_serves_and_leaves_nothing_behind(tmp_path):
    argv = [sys.executable, "-m", "tke_provider.emulator", "--port", "0", "--clock", "node:looks=1"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(tmp_path)})
    try:
        line = process.stdout.readline()
        url = line.split(" on ")[1].split(",")[0]
        with httpx.Client(trust_env=False) as client:
            assert client.get(f"{url}/_emulator/clock").json() == {"node": {"mode": "looks", "amount": 1.0}}
            state = json.loads(next(tmp_path.glob("*/state.json")).read_text())
            key = state["keys"][state["root"]]["secret_key"]
        assert key not in line
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert list(tmp_path.iterdir()) == []
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--port", "0", "--host", "0.0.0.0"], "whole network"),
        (["--port", "0", "--clock", "soon"], "is no pace"),
        (["--port", "0", "--clock", "moon:told"], "is no kind"),
        (["--port", "0", "--kubeconfig", "/nonexistent"], "there is no file /nonexistent"),
    ],
)
def test_wrong_flags_are_refused_with_a_sentence(argv, message, capsys):
    from tke_provider.emulator.__main__ import main

    with pytest.raises(SystemExit):
        main(argv)
    assert message in capsys.readouterr().err
