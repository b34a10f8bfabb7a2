from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import traceback

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
    with pytest.raises(ValueError, match=r"state\.json is not a state of this emulator \(.+\); move it away"):
        Cloud(Settings(path))
    assert path.read_text() == '{"uin": 1}'


@pytest.mark.parametrize(
    "content", ['{"keys": {"AKIDx": {"secret_key": ["hidden"]}}}', '"hidden', '{"uin": ["hidden"]}']
)
def test_what_is_wrong_with_a_state_is_said_without_its_content(tmp_path, content):
    path = tmp_path / "state.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"state\.json is not a state of this emulator") as caught:
        Cloud(Settings(path))
    shown = "".join(traceback.format_exception(caught.value))
    assert "hidden" not in shown
    assert "AKIDx" not in shown


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
        process.communicate(timeout=60)
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


CONTEXT = (
    "current-context: a\ncontexts: [{name: a, context: {cluster: a, user: a}}]\nclusters: [{name: a, cluster: {%s}}]\n"
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("user: [hidden", "is no kubeconfig: it is not YAML"),
        ("current-context: hidden", "is no kubeconfig: its current context"),
        (CONTEXT % "server: https://127.0.0.1:1" + "users: []", "is no kubeconfig: its current context"),
        (CONTEXT % "server: https://127.0.0.1:1" + "users: [{name: a, user: {token: hidden}}]", "Connection refused"),
        (CONTEXT % "certificate-authority: gone" + "users: [{name: a, user: {token: hidden}}]", "No such file"),
    ],
)
def test_a_cluster_that_cannot_be_used_ends_the_program_with_a_sentence(tmp_path, content, message, capsys):
    from tke_provider.emulator.__main__ import main

    path = tmp_path / "kubeconfig"
    path.write_text(f"apiVersion: v1\nkind: Config\n{content}\n")
    assert main(["--port", "0", "--kubeconfig", str(path)]) == 2
    said = capsys.readouterr().err.strip()
    assert (said.count("\n"), said.startswith("emulator: "), message in said) == (0, True, True), said
    assert "hidden" not in said


@pytest.mark.parametrize("package", ["uvicorn", "starlette.concurrency", "kubernetes"])
def test_a_package_that_is_missing_is_named_with_the_way_to_get_it(tmp_path, package, monkeypatch, capsys):
    from tke_provider.emulator.__main__ import main

    monkeypatch.setitem(sys.modules, package, None)  # the import then fails as that of a package not installed
    for module in ("app", "nodes"):
        monkeypatch.delitem(sys.modules, f"tke_provider.emulator.{module}", raising=False)
    path = tmp_path / "kubeconfig"
    path.write_text(f"apiVersion: v1\nkind: Config\n{CONTEXT % 'server: x'}users: [{{name: a, user: {{}}}}]\n")
    assert main(["--port", "0", "--kubeconfig", str(path)]) == 2
    said = capsys.readouterr().err
    assert said == f"emulator: {package} is not installed; run: pip install 'airflow-provider-tke[emulator]'\n"
