"""Airflow's own page with the board in it, and answers made up for it: no database, no scheduler, no cluster."""

from __future__ import annotations

import contextlib
import hashlib
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests import servers
from tke_provider import plugin
from tke_provider.domain.approvals import approval_body

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.requests import Request
    from starlette.responses import Response

STATIC = Path(plugin.__file__).parent / "static"
NOW = datetime.now(timezone.utc)
DIFF = (
    "1 changed, 2 unchanged.\n\n**Deployment production/shop** changed\n\n```diff\n"
    "@@ -10,7 +10,7 @@\n       containers:\n-      - image: shop@sha256:bbbb\n+      - image: shop@sha256:aaaa\n```"
)
PLAN = """\
name: {name}
time_zone: Asia/Shanghai
targets:
  shop:
    service: {{namespace: production, name: shop}}
    usual: 12
  nodes:
    node_pool: web
    usual: 5
windows:
  - {{name: night, cron: "0 22 * * *", duration: 8h, sizes: {{shop: 4, nodes: 2}}}}
  - {{name: promotion, priority: 5, from: {day} 08:00, until: {day} 20:00, sizes: {{shop: 40, nodes: 16}}}}
"""


class Answers:
    """What Airflow answers, by path; a test changes what it needs. A function gets the request."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Have an Airflow in which nothing was released yet."""
        self.asked: list[tuple[str, str]] = []
        self.queries: dict[str, dict[str, str]] = {}
        self.by_path: dict[str, Any] = {**_AIRFLOW, "/tke/api/releases": [], "/tke/api/calendars": []}
        self.by_path["/tke/api/changes"] = {"markdown": DIFF}
        self.by_path["/api/v2/dags"] = {"dags": [], "total_entries": 0}
        self.by_path[HITL] = {"hitl_details": [], "total_entries": 0}
        self.live: Callable[[str, str], Any] = lambda _namespace, _service: healthy()

    def to(self, method: str, path: str, query: Any) -> Any:
        self.asked.append((method, path))
        self.queries[path] = dict(query)
        if path == "/tke/api/live":
            return self.live(query["namespace"], query["service"])
        return self.by_path.get(path, {})


HITL = "/api/v2/dags/~/dagRuns/~/hitlDetails"
_MENU = ["Assets", "Audit Log", "Config", "Connections", "Dags", "Docs", "HITL Review", "Plugins", "Pools", "Variables"]
_AIRFLOW: dict[str, Any] = {
    "/ui/config": {
        "fallback_page_limit": 100,
        "auto_refresh_interval": 30,
        "hide_paused_dags_by_default": False,
        "instance_name": "Airflow",
        "enable_swagger_ui": True,
        "require_confirmation_dag_change": False,
        "default_wrap": False,
        "test_connection": "Disabled",
        "dashboard_alert": [],
        "show_external_log_redirect": False,
        "multi_team": False,
        "theme": None,
    },
    "/ui/auth/menus": {"authorized_menu_items": _MENU, "extra_menu_items": []},
    "/ui/auth/me": {"id": "1", "username": "Sam"},
    "/api/v2/version": {"version": "3", "git_version": None},
    "/api/v2/plugins": {
        "plugins": [
            {
                "name": "tke",
                "appbuilder_views": [],
                "external_views": [],
                "react_apps": list(plugin.TkePlugin.react_apps),
            }
        ],
        "total_entries": 1,
    },
}


def release(service: str, namespace: str, cluster: str = "cls-abcd1234", **more: Any) -> dict[str, Any]:
    """Return a release as the board's API tells of it."""
    digest = hashlib.sha256(f"{service} {namespace}".encode()).hexdigest()
    return {
        "service": service,
        "namespace": namespace,
        "cluster": cluster,
        "uri": f"tke://{cluster}/{namespace}/{service}",
        "commit": hashlib.sha256(service.encode()).hexdigest()[:40],
        "images": {service: f"tcr-demo.tencentcloudcr.com/{namespace}/{service}@sha256:{digest}"},
        "revision": 7,
        "who": "sam",
        "approver": "alex" if namespace == "production" else "",
        "at": (NOW - timedelta(minutes=37)).isoformat(),
        "dag_id": "ci_cd",
        "run_id": "manual__2026-11-02T08:00:00+00:00",
        "task_id": "deploy",
        **more,
    }


def record(revision: int, stage: str = "live", **more: Any) -> dict[str, Any]:
    """Return one line of a history."""
    started = NOW - timedelta(days=30 - revision)
    return {
        "revision": revision,
        "commit": f"{revision:x}" * 40,
        "strategy": "rolling",
        "reason": "",
        "who": "sam",
        "approver": "alex",
        "restores": 0,
        "changes": "1 changed, 2 unchanged",
        "stage": stage,
        "started": started.isoformat(),
        "finished": (started + timedelta(seconds=40 + 17 * revision)).isoformat(),
        "duration": 40.0 + 17 * revision,
        "images": {"shop/web": f"tcr-demo.tencentcloudcr.com/shop@sha256:{f'{revision:x}' * 64}"},
        "way_back": {"shop/web": f"tcr-demo.tencentcloudcr.com/shop@sha256:{f'{revision - 1:x}' * 64}"},
        "checks": ["passed: 12 tests passed"],
        **more,
    }


def healthy(**more: Any) -> dict[str, Any]:
    """Return how a service is."""
    crashed = "Deployment production/shop: 2 of 3 new pods crash: Error (exit code 1); its last lines: no database"
    records = [record(7), record(6, "rolled-back", reason=crashed), record(5, restores=3), record(4), record(3)]
    figures = {"deployment_frequency": 0.7, "lead_time": 5400.0, "change_failure_rate": 0.2, "time_to_restore": 240.0}
    said = {"health": "healthy", "reason": "3 of 3 pods are up", "ready": 3, "wanted": 3, "holder": "", "drift": []}
    return {**said, "records": records, "dora": {**figures, "incomplete": ["shop"]}, **more}


def question(number: int, subject: str, body: str, **more: Any) -> dict[str, Any]:
    """Return something that waits for a person."""
    task = {"id": f"ti-{number}", "dag_id": "ci_cd", "dag_run_id": "manual__1", "task_id": "approval", "map_index": -1}
    told = {"subject": subject, "body": body, "options": ["Approve", "Reject"], "params": {}, "multiple": False}
    return {"task_instance": task, **told, "created_at": NOW.isoformat(), **more}


def body() -> str:
    """Return what a person decides by, as the approval task writes it."""
    digest = f"sha256:{'a' * 64}"
    image = {"repository": "tcr-demo.tencentcloudcr.com/production/shop", "digest": digest, "commit": "c" * 40}
    check = {"verdict": "passed", "counts": {}, "reason": "212 tests passed", "image": f"x.example/shop@{digest}"}
    diffs = {"shop": {"counts": {}, "objects": [], "markdown": DIFF}}
    return approval_body(commit="c" * 40, images={"shop": image}, checks={"unit tests": check}, diffs=diffs)


def tabs(dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
    """Return what Airflow's own pages of a DAG, a run and a task ask for, by path."""
    dag = {"dag_id": dag_id, "dag_display_name": dag_id, "tags": [], "params": {}, "is_paused": False, "owners": []}
    none_yet = dict.fromkeys(("start_date", "end_date", "logical_date", "note"))
    run = {"dag_id": dag_id, "dag_run_id": run_id, "dag_versions": [], "state": "success", "conf": {}, **none_yet}
    run |= {"run_type": "manual", "run_after": NOW.isoformat(), "dag_display_name": dag_id, "triggered_by": "ui"}
    task = {"task_id": task_id, "task_display_name": task_id, "params": {}, "extra_links": [], "class_ref": {}}
    nothing = ("dag_warnings", "backfills", "import_errors", "hitl_details", "dag_runs")
    none: dict[str, Any] = {**{each: [] for each in nothing}, "total_entries": 0}
    paths = ("/api/v2/dagWarnings", "/ui/backfills", "/api/v2/importErrors")
    of_dag = ("dagRuns", "dagRuns/~/hitlDetails", f"dagRuns/{run_id}/hitlDetails")
    return {
        **dict.fromkeys(paths, none),
        **{f"/api/v2/dags/{dag_id}/{path}": none for path in of_dag},
        **{f"/ui/grid/{what}/{dag_id}": [] for what in ("runs", "structure")},
        f"/ui/dags/{dag_id}/latest_run": None,
        f"/api/v2/dags/{dag_id}": dag,
        f"/api/v2/dags/{dag_id}/details": dag,
        f"/api/v2/dags/{dag_id}/tasks/{task_id}": task,
        f"/api/v2/dags/{dag_id}/dagRuns/{run_id}": run,
    }


def starter(dag_id: str, tag: str, **params: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a DAG as a list has it, and its details."""
    dag = {"dag_id": dag_id, "dag_display_name": dag_id, "tags": [{"name": tag, "dag_id": dag_id}], "is_paused": False}
    return dag, {**dag, "params": params}


def calendars() -> list[dict[str, Any]]:
    """Return two plans as the board's API tells of them, one of them broken."""
    from tke_provider.plugin.plans import _calendar

    start = NOW.replace(minute=0, second=0, microsecond=0)
    text = PLAN.format(name="nights-and-promotions", day=(NOW + timedelta(days=3)).date())
    broken = {"error": "Line 3: there is no time zone Mars/Olympus; name one of the IANA database"}
    return [{"dag_id": "scheduled_scaling", **_calendar(text, start)}, {"dag_id": "of_another_planet", **broken}]


@contextlib.contextmanager
def serving(answers: Answers) -> Iterator[str]:
    """Serve Airflow's page and these answers; yields the address."""
    with servers.serving(_app(answers), abruptly=True) as url:
        yield url


def _app(answers: Answers) -> Any:
    import airflow
    from starlette.applications import Starlette
    from starlette.responses import HTMLResponse, JSONResponse
    from starlette.routing import Mount, Route
    from starlette.staticfiles import StaticFiles

    ui = Path(airflow.__file__).parent / "ui" / "dist"
    page = (ui / "index.html").read_text().replace("{{ backend_server_base_url }}", "/")

    async def told(request: Request) -> Response:
        path = request.url.path
        if not path.startswith(("/api/", "/ui/", "/tke/")):
            return HTMLResponse(page)
        said = answers.to(request.method, path, request.query_params)
        if callable(said):
            said = said(json.loads(await request.body() or b"{}"))
        status, said = said if isinstance(said, tuple) else (200, said)
        return JSONResponse(said, status)

    files = [("/static/i18n", ui / "i18n"), ("/static", ui), ("/tke/static", STATIC)]
    mounts = [Mount(path, StaticFiles(directory=folder)) for path, folder in files]
    return Starlette(routes=[*mounts, Route("/{path:path}", told, methods=["GET", "POST", "PATCH"])])
