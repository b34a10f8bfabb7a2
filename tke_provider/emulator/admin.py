"""The emulator's remote control under ``/_emulator``: clock, trouble, audit, state. Only for callers on this machine.

========  =====================  ============================================================================
GET       /_emulator             is it up, where is its state
GET POST  /_emulator/clock       paces by kind: ``{"node": {"mode": "looks", "amount": 2}}``
POST      /_emulator/tell        ``{"what": "np-…" | "node" | "pool" | "endpoint" | "cluster" | "*"}``: it is true now
GET POST  /_emulator/trouble     what is in store; put something in store (fields: ``models.Trouble``)
POST      /_emulator/metrics     what a metric is (fields: ``models.Measured``)
DELETE    /_emulator/trouble     nothing goes wrong any more; pools that are short of machines try again
POST      /_emulator/scan        what the scanner finds in an image: ``{"digest": …, "found": {"High": 2}}``
GET       /_emulator/audit       calls; ``?action=…&code=…&who=…&since=…`` filters
GET       /_emulator/state       everything, without secrets
POST      /_emulator/reset       back to the first state
========  =====================  ============================================================================
"""

from __future__ import annotations

from dataclasses import asdict, fields
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from starlette.routing import Route

from tke_provider.emulator import clusters, pools, tcss, trouble
from tke_provider.emulator.audit import Record, redact
from tke_provider.emulator.clock import KINDS, Pace, finish
from tke_provider.emulator.models import Cluster, Json, Measured, Trouble
from tke_provider.emulator.state import new_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from tke_provider.emulator.cloud import Cloud

    Handler = Callable[[Cloud, Json], Json]

_RECORD_FIELDS = {each.name for each in fields(Record)}


class RefusedError(ValueError):
    """The request makes no sense; the sentence says why."""


def create_admin(cloud: Cloud) -> Starlette:
    """The application under ``/_emulator``."""
    handlers: dict[tuple[str, str], Handler] = {
        ("/_emulator", "GET"): index,
        ("/_emulator/clock", "GET"): get_clock,
        ("/_emulator/clock", "POST"): set_clock,
        ("/_emulator/tell", "POST"): tell,
        ("/_emulator/trouble", "GET"): get_trouble,
        ("/_emulator/trouble", "POST"): add_trouble,
        ("/_emulator/trouble", "DELETE"): clear_trouble,
        ("/_emulator/metrics", "POST"): measure,
        ("/_emulator/scan", "POST"): set_scan,
        ("/_emulator/audit", "GET"): get_audit,
        ("/_emulator/state", "GET"): get_state,
        ("/_emulator/reset", "POST"): reset,
    }
    routes = [Route(path, _endpoint(cloud, handler), methods=[method]) for (path, method), handler in handlers.items()]
    return Starlette(routes=routes)


def _endpoint(cloud: Cloud, handler: Handler) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        if request.client is None or not ip_address(request.client.host).is_loopback:
            return JSONResponse({"error": "only for callers on this machine"}, 403)
        try:
            given = _given(await request.body()) or dict(request.query_params)
            return JSONResponse(await run_in_threadpool(_handle, cloud, handler, given))
        except ValueError as e:
            return JSONResponse({"error": str(e)}, 400)

    return endpoint


def _given(body: bytes) -> Json:
    return TypeAdapter(Json).validate_json(body) if body else {}


def _handle(cloud: Cloud, handler: Handler, given: Json) -> Json:
    with cloud.lock:
        answer = handler(cloud, given)
        cloud.save()
        return answer


def index(cloud: Cloud, _given: Json) -> Json:
    """Where things are."""
    state = cloud.state
    return {
        "ready": True,
        "account": state.uin,
        "secret_id": state.root,
        "state": str(cloud.settings.state),
        "audit": str(cloud.audit.path),
        "clusters": list(state.clusters),
        "registries": list(state.registries),
    }


def get_clock(cloud: Cloud, _given: Json) -> Json:
    """The paces."""
    return {kind: asdict(pace) for kind, pace in cloud.state.paces.items()}


def set_clock(cloud: Cloud, given: Json) -> Json:
    """Set the paces that are given; ``default`` is that of every kind without its own."""
    unknown = given.keys() - {"default", *KINDS}
    if unknown:
        raise RefusedError(f"{', '.join(sorted(unknown))}: no such kind; there are default, {', '.join(KINDS)}")
    cloud.state.paces.update(TypeAdapter(dict[str, Pace]).validate_python(given))
    return get_clock(cloud, {})


def tell(cloud: Cloud, given: Json) -> Json:
    """Let what is on its way come true."""
    wanted = str(given.get("what", "*"))
    done = clusters.tell(cloud, wanted)
    for cluster in cloud.state.clusters.values():
        done += pools.tell(cluster, wanted) + _tell_endpoints(cluster, wanted)
    return {"done": done}


def _tell_endpoints(cluster: Cluster, wanted: str) -> int:
    due = [
        each for each in (cluster.internal, cluster.external) if each.change and wanted in {"*", "endpoint", cluster.id}
    ]
    for endpoint in due:
        finish(endpoint)
    return len(due)


def get_trouble(cloud: Cloud, _given: Json) -> Json:
    """What is in store."""
    return {"troubles": [asdict(each) for each in cloud.state.troubles]}


def add_trouble(cloud: Cloud, given: Json) -> Json:
    """Put a trouble in store; ``count`` null means until it is cleared."""
    unknown = given.keys() - {each.name for each in fields(Trouble)}
    if unknown:
        raise RefusedError(
            f"{', '.join(sorted(unknown))}: no such field; there are kind, action, count, skip, seconds, …"
        )
    new = TypeAdapter(Trouble).validate_python({"id": new_id("trouble"), **given})
    if new.kind not in trouble.KINDS:
        raise RefusedError(f"{new.kind!r} is no kind of trouble; there are {', '.join(trouble.KINDS)}")
    cloud.state.troubles.append(new)
    return asdict(new)


def clear_trouble(cloud: Cloud, given: Json) -> Json:
    """Clear all troubles, or that with the ``id``; pools that are short of machines try again."""
    wanted = given.get("id")
    kept = [each for each in cloud.state.troubles if wanted and each.id != wanted]
    cleared = len(cloud.state.troubles) - len(kept)
    cloud.state.troubles[:] = kept
    for cluster in cloud.state.clusters.values():
        for pool in cluster.pools.values():
            if pool.type != "Super" and pool.state != "deleting":
                pools.fill(cloud, cluster, pool, "")
    return {"cleared": cleared}


def measure(cloud: Cloud, given: Json) -> Json:
    """Tell what a metric is; without ``since``, ever since."""
    new = TypeAdapter(Measured).validate_python(given)
    cloud.state.measured.append(new)
    return asdict(new)


def set_scan(cloud: Cloud, given: Json) -> Json:
    """Say what the scanner finds in an image."""
    unknown = given.keys() - {"digest", "status", "found", "reason"}
    if unknown or "digest" not in given:
        raise RefusedError("a scan has digest, status, found and reason")
    scan = tcss.scan_of(cloud, str(given["digest"]))
    scan.status, scan.at = str(given.get("status", "SCANNED")), cloud.clock.now()
    scan.found = TypeAdapter(dict[str, int]).validate_python(given.get("found", {}))
    scan.reason = str(given.get("reason", ""))
    return asdict(scan)


def get_audit(cloud: Cloud, given: Json) -> Json:
    """The calls that fit."""
    wanted = {name: str(value) for name, value in given.items() if name not in {"since", "limit"}}
    unknown = wanted.keys() - _RECORD_FIELDS
    if unknown:
        raise RefusedError(f"{', '.join(sorted(unknown))}: no such field of a call")
    calls = list(cloud.audit.find(wanted, float(given.get("since", 0))))
    return {"calls": calls[-int(given.get("limit", 1000)) :]}


def get_state(cloud: Cloud, _given: Json) -> Json:
    """Everything but the keys."""
    state = asdict(cloud.state)
    state["keys"] = {each: {"arn": key["arn"], "expires": key["expires"]} for each, key in state["keys"].items()}
    return {name: redact(value) if name == "clusters" else value for name, value in state.items()}


def reset(cloud: Cloud, _given: Json) -> Json:
    """Back to the first state."""
    cloud.reset()
    return {"reset": True}
