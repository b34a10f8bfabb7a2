"""TKE 2018-05-25: applications, which are Helm releases; made and described by the real helm on the real cluster.

A change is answered at once and carried out afterwards. While it is under way, and for ever when it failed, it stands
in the list of pending releases with helm's error as its ``Condition``; one that went well is no longer there ([M]
example of DescribeClusterPendingReleases, [T] cluster_release).
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from tke_provider.emulator.cloud import page
from tke_provider.emulator.errors import CloudError
from tke_provider.emulator.helm import Helm, HelmError
from tke_provider.emulator.models import Cluster, Json, PendingRelease
from tke_provider.emulator.tke_2018_clusters import iso

if TYPE_CHECKING:
    from tke_provider.emulator.cloud import Call, Cloud, Handler

# Documented for every action here [G]; that it is the one for what helm refuses, and that the next is the one for an
# unknown cluster, is inferred: none of them has a code of its own for it.
_REFUSED = "FailedOperation.MarketReleaseOperation"
_UNKNOWN_CLUSTER = "InternalError.Param"
# [M] CreateClusterRelease.Name
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_CHART = re.compile(r"(.+?)-(v?\d+\.\d+\.\d+.*)")


def create_cluster_release(call: Call) -> Json:
    """Install a chart. That the namespace must exist is inferred: it is to be "taken from the cluster" [M]."""
    if not _NAME.fullmatch(call.params["Name"]):
        raise CloudError("InvalidParameter.Param", f"Name {call.params['Name']!r} is not a valid release name")
    return _begin(call, "install", _chart(call))


def upgrade_cluster_release(call: Call) -> Json:
    """Upgrade to a chart. Values replace those of before, and none keep them: so does helm, and the cloud [K]."""
    return _begin(call, "upgrade", _chart(call))


def rollback_cluster_release(call: Call) -> Json:
    """Back to a revision, as a new one."""
    return _begin(call, "rollback", None, str(call.params["Revision"]))


def uninstall_cluster_release(call: Call) -> Json:
    """Delete a release with everything in it."""
    return _begin(call, "uninstall", None)


def cancel_cluster_release(call: Call) -> Json:
    """Forget a change that failed: "cancel applications whose installation failed" [M].

    What such an installation left in the cluster is deleted with it; that is inferred.
    """
    for cluster in call.cloud.state.clusters.values():
        found = cluster.pending.get(call.params["ID"])
        if found is None:
            continue
        if found.state != "failed":
            raise CloudError(_REFUSED, f"release {found.name} is {found.state}, it cannot be cancelled")
        del cluster.pending[found.id]
        if found.action == "install" and _latest(_helm(call), found.namespace, found.name) == "failed":
            _start(call.cloud, cluster, PendingRelease.of("uninstall", found.namespace, found.name, _now(call)), [])
        return {"Release": _describe_pending(found)}
    raise CloudError("InvalidParameter.Param", f"pending release {call.params['ID']} not found")


def describe_cluster_pending_releases(call: Call) -> Json:
    """Changes under way, and those that failed."""
    cluster = call.cluster(_UNKNOWN_CLUSTER)
    return _listed([_describe_pending(each) for each in cluster.pending.values()], call)


def describe_cluster_releases(call: Call) -> Json:
    """Releases in their latest revision, whatever became of it; that failed ones are among them: [T]."""
    params, helm = call.params, _helm(call)
    call.cluster(_UNKNOWN_CLUSTER)
    where = ["--namespace", params["Namespace"]] if params.get("Namespace") else ["--all-namespaces"]
    found = []
    for each in _read(helm, "list", "--all", *where) or []:
        chart, version = _split(each["chart"])
        if params.get("ReleaseName", each["name"]) != each["name"] or params.get("ChartName", chart) != chart:
            continue
        # One that is being uninstalled may be gone between two words of helm.
        with suppress(HelmError):
            found.append(_describe(helm, each, chart, version))
    return _listed(found, call)


def describe_cluster_release_details(call: Call) -> Json:
    """One release, with what its user gave and what was made of it."""
    call.cluster(_UNKNOWN_CLUSTER)
    helm, name, where = _helm(call), call.params["Name"], ["--namespace", call.params["Namespace"]]
    status, chart = _read(helm, "status", name, *where), _read(helm, "get", "metadata", name, *where)
    # Values as JSON: the form of "key1=v1,key2=v2" in the published example cannot say what values can [M].
    given, computed = (_read(helm, "get", "values", name, *where, *every) for every in ((), ("--all",)))
    return {
        "Release": {
            "Name": name,
            "Namespace": call.params["Namespace"],
            "Version": status["version"],
            "Status": status["info"]["status"],
            "Description": status["info"]["description"],
            "Notes": status["info"].get("notes", ""),
            "Config": _text(given),
            "Manifest": status["manifest"],
            "ChartVersion": chart["version"],
            "ChartName": chart["chart"],
            "ChartDescription": "",
            "AppVersion": chart["appVersion"],
            "FirstDeployedTime": _at(status["info"]["first_deployed"]),
            "LastDeployedTime": _at(status["info"]["last_deployed"]),
            "ComputedValues": _text(computed),
            # As in the published example [M].
            "ChartFrom": "other",
            "ChartURL": "",
            "Resources": "",
        }
    }


def describe_cluster_release_history(call: Call) -> Json:
    """The revisions that helm keeps, ten by default."""
    call.cluster(_UNKNOWN_CLUSTER)
    name, namespace = call.params["Name"], call.params["Namespace"]
    found = [
        {
            "Name": name,
            "Namespace": namespace,
            "Revision": each["revision"],
            "Status": each["status"],
            "Chart": each["chart"],
            "AppVersion": each["app_version"],
            "UpdatedTime": _at(each["updated"]),
            "Description": each["description"],
        }
        for each in _read(_helm(call), "history", name, "--namespace", namespace)
    ]
    return {"ReleaseHistorySet": found, "Total": len(found)}


def _begin(call: Call, action: str, chart: Json | None, *more: str) -> Json:
    _helm(call)
    cluster = call.cluster(_UNKNOWN_CLUSTER)
    given = call.params.get("Values", {})
    if given and given["ValuesType"] not in {"yaml", "json"}:
        # [M]: yaml or json
        raise CloudError("InvalidParameter.Param", f"ValuesType {given['ValuesType']!r} is neither yaml nor json")
    pending = PendingRelease.of(action, call.params["Namespace"], call.params["Name"], _now(call))
    _start(call.cloud, cluster, pending, list(more), chart, given.get("RawOriginal", ""))
    return {"Release": _describe_pending(pending)}


def _start(
    cloud: Cloud,
    cluster: Cluster,
    pending: PendingRelease,
    more: list[str],
    chart: Json | None = None,
    values: str = "",
) -> None:
    assert cloud.helm is not None  # noqa: S101 - the action asked for it
    cluster.pending[pending.id] = pending

    def done(error: str) -> None:
        with cloud.lock:
            pending.updated = cloud.clock.now()
            if error:
                # "install release error: …" [M]; for the other changes inferred from it.
                pending.state, pending.condition = "failed", f"{pending.action} release error: {error}"
            else:
                cluster.pending.pop(pending.id, None)
            cloud.save()

    argv = [pending.action, pending.name, *more, "--namespace", pending.namespace]
    cloud.helm.change(argv, chart, values, done)


def _chart(call: Call) -> Json:
    params = call.params
    if params.get("ChartFrom", "tke-market") != "other":
        raise CloudError(_REFUSED, "this emulator has no application market: give ChartFrom other")
    if not params["Chart"].endswith(".tgz") and not params.get("ChartRepoURL"):
        # [M] Chart: the address of an archive, ending with .tgz
        raise CloudError("InvalidParameter.Param", "Chart must be the URL of a *.tgz, or ChartRepoURL be given")
    return params


def _helm(call: Call) -> Helm:
    helm = call.cloud.helm
    if helm is None or helm.missing:
        why = helm.missing if helm else "it stands in front of no cluster"
        raise CloudError(_REFUSED, f"this emulator runs no helm: {why}; start it with --kubeconfig and --helm")
    return helm


def _read(helm: Helm, *argv: str) -> Any:
    try:
        return helm.read(*argv)
    except HelmError as e:
        raise CloudError(_REFUSED, str(e)) from e


def _latest(helm: Helm, namespace: str, name: str) -> str:
    """The status of a release's latest revision; empty where there is no such release."""
    found = _read(helm, "list", "--all", "--namespace", namespace)
    return next((str(each["status"]) for each in found if each["name"] == name), "")


def _split(chart: str) -> tuple[str, str]:
    """Name and version of what helm calls ``redis-10.5.3``."""
    found = _CHART.fullmatch(chart)
    return (found[1], found[2]) if found else (chart, "")


def _listed(found: list[Json], call: Call) -> Json:
    # The total is called Total here, and the answer repeats the page that was asked for: 0 where none was [M].
    params = call.params
    limits = {"Limit": params.get("Limit", 0), "Offset": params.get("Offset", 0)}
    return {"Total": len(found), "ReleaseSet": page(found, params), **limits}


def _describe(helm: Helm, listed: Json, chart: str, version: str) -> Json:
    status = helm.read("status", listed["name"], "--namespace", listed["namespace"])
    return {
        "Name": listed["name"],
        "Namespace": listed["namespace"],
        # A string here, a number in the details [M].
        "Revision": listed["revision"],
        "Status": listed["status"],
        "ChartName": chart,
        "ChartVersion": version,
        "AppVersion": listed["app_version"],
        "UpdatedTime": listed["updated"],
        "Description": status["info"]["description"],
    }


def _describe_pending(pending: PendingRelease) -> Json:
    return {
        "ID": pending.id,
        "Name": pending.name,
        "Namespace": pending.namespace,
        "Status": pending.state,
        "Condition": pending.condition,
        "CreatedTime": iso(pending.created),
        "UpdatedTime": iso(pending.updated),
    }


def _text(values: Any) -> str:
    return json.dumps(values) if values else ""


def _at(time: str) -> str:
    """Helm's time as this API writes that of releases: ``2020-04-09 15:28:28.707549 +0800 CST`` [M], here in UTC."""
    if not time:
        return ""
    return f"{datetime.fromisoformat(time[:19]).replace(tzinfo=timezone.utc):%Y-%m-%d %H:%M:%S} +0000 UTC"


def _now(call: Call) -> float:
    return call.cloud.clock.now()


ACTIONS: dict[str, Handler] = {
    "CancelClusterRelease": cancel_cluster_release,
    "CreateClusterRelease": create_cluster_release,
    "DescribeClusterPendingReleases": describe_cluster_pending_releases,
    "DescribeClusterReleaseDetails": describe_cluster_release_details,
    "DescribeClusterReleaseHistory": describe_cluster_release_history,
    "DescribeClusterReleases": describe_cluster_releases,
    "RollbackClusterRelease": rollback_cluster_release,
    "UninstallClusterRelease": uninstall_cluster_release,
    "UpgradeClusterRelease": upgrade_cluster_release,
}
