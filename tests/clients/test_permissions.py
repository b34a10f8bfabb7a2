"""The policy that docs/connection.md tells people to grant is the list of calls that the clients make."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Rights of the registry's own protocol, which no call of the API stands for.
REGISTRY = {"tcr:PullRepository", "tcr:PushRepository"}


SPEAKERS = (
    "clients/credentials.py",
    "clients/helm.py",
    "clients/monitor.py",
    "clients/tcr.py",
    "clients/tcss.py",
    "clients/tke.py",
    "hooks/tke.py",
)
VERBS = "Describe|Get|List|Modify|Create|Scale|Delete|Upgrade|Rollback|Uninstall|Cancel|Duplicate"
ACTION = re.compile(rf'"((?:{VERBS})[A-Z]\w+)"')


def test_the_policy_names_every_action_that_is_called_and_no_other():
    called = {action for path in SPEAKERS for action in ACTION.findall((ROOT / "tke_provider" / path).read_text())}
    policy = json.loads(re.search(r"```json\n(.*?)```", (ROOT / "docs" / "connection.md").read_text(), re.DOTALL)[1])
    granted = {action for statement in policy["statement"] for action in statement["action"]} - REGISTRY
    assert {action.partition(":")[2] for action in granted} == called


def test_nobody_else_calls_the_cloud():
    sources = (ROOT / "tke_provider").rglob("*.py")
    callers = {path.relative_to(ROOT / "tke_provider").as_posix() for path in sources if ".call(" in path.read_text()}
    assert callers - {"clients/tencent_cloud.py"} == set(SPEAKERS)
