"""Helm releases through TKE: version 2018-05-25 of its API, "application market" in its documentation.

https://cloud.tencent.com/document/api/457/54726 and its neighbours. A change is answered at once and carried out
later; what became of it stands in the list of pending releases, or in the release.
"""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

from tke_provider.clients.tencent_cloud import TencentCloudService
from tke_provider.domain.helm import HelmChange, HelmRelease, HelmRevision
from tke_provider.exceptions import ThrottledError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from tke_provider.clients.tencent_cloud import TencentCloudClient
    from tke_provider.domain.helm import Chart

_PAGE = 100  # the most that one answer holds


class HelmReleases(TencentCloudService):
    """One release of a cluster, whether it is there yet or not; use it as ``async with``.

    :param client: speaks to the cloud.
    :param cluster_id: ``cls-xxxxxxxx``.
    :param namespace: where the release is.
    :param name: what it is called.
    """

    def __init__(self, client: TencentCloudClient, cluster_id: str, namespace: str, name: str) -> None:
        super().__init__(client)
        self._where = {"ClusterId": cluster_id, "Namespace": namespace, "Name": name}

    async def find(self) -> HelmRelease | None:
        """Return the release in its newest revision, whatever its state; None where there is none."""
        params = {"Namespace": self._where["Namespace"], "ReleaseName": self._where["Name"]}
        async for each in self._each("DescribeClusterReleases", params):
            chart = f"{each['ChartName']}-{each['ChartVersion']}"
            return HelmRelease(int(each["Revision"]), each["Status"], chart, each.get("Description") or "")
        return None

    async def config(self) -> str:
        """Return the values that the release's user gave, in the cloud's own form."""
        return str((await self._call("DescribeClusterReleaseDetails", self._where))["Release"].get("Config") or "")

    async def history(self) -> list[HelmRevision]:
        """Return the revisions that helm remembers."""
        answer = await self._call("DescribeClusterReleaseHistory", self._where)
        return [
            HelmRevision(int(each["Revision"]), each["Status"], each.get("Description") or "")
            for each in answer.get("ReleaseHistorySet") or []
        ]

    async def changes(self) -> list[HelmChange]:
        """Return the changes of this release that are under way, or failed and were not cancelled."""
        return [
            HelmChange(each["ID"], each["Status"], each.get("Condition") or "")
            async for each in self._each("DescribeClusterPendingReleases", {})
        ]

    async def install(self, chart: Chart, values: Mapping[str, Any], login: tuple[str, str] | None = None) -> str:
        """Install a chart; as :meth:`upgrade`."""
        return await self._change("CreateClusterRelease", _chart(chart, values, login))

    async def upgrade(self, chart: Chart, values: Mapping[str, Any], login: tuple[str, str] | None = None) -> str:
        """Upgrade to a chart.

        :param values: override the chart's own, in place of all that were given before; none keep those.
        :param login: user and password for the chart's repository.
        :return: the change's id; empty where the answer was lost and the change shows itself only in the release.
        :raises UnavailableError: when the answer was lost and nothing shows that the change was made.
        """
        return await self._change("UpgradeClusterRelease", _chart(chart, values, login))

    async def rollback(self, revision: int) -> str:
        """Go back to a revision, as a new one; as :meth:`upgrade`."""
        return await self._change("RollbackClusterRelease", {"Revision": revision})

    async def uninstall(self) -> str:
        """Delete the release with everything that it made; as :meth:`upgrade`."""
        return await self._change("UninstallClusterRelease", {})

    async def cancel(self, change: str) -> None:
        """Forget an installation that failed.

        :param change: its id.
        """
        await self._call("CancelClusterRelease", {"ID": change, "ClusterId": self._where["ClusterId"]})

    async def _change(self, action: str, params: Mapping[str, object]) -> str:
        """Begin a change. One whose answer was lost is looked for: the cloud has no tokens to repeat it safely."""
        before, known = await self.find(), {each.id for each in await self.changes()}
        try:
            return str((await self._call(action, {**self._where, **params}))["Release"]["ID"])
        except ThrottledError:
            raise
        except UnavailableError:
            new = [each.id for each in await self.changes() if each.id not in known]
            if not new and await self.find() == before:
                raise
            return new[0] if new else ""

    async def _each(self, action: str, params: Mapping[str, object]) -> AsyncIterator[dict[str, Any]]:
        """Yield what a list says of this release, page by page; how ``ReleaseName`` is matched is not documented."""
        within = {"ClusterId": self._where["ClusterId"], **params, "Limit": _PAGE}
        for offset in itertools.count(0, _PAGE):
            page = (await self._call(action, {**within, "Offset": offset})).get("ReleaseSet") or []
            for each in page:
                if (each["Name"], each["Namespace"]) == (self._where["Name"], self._where["Namespace"]):
                    yield each
            if len(page) < _PAGE:
                return

    async def _call(self, action: str, params: Mapping[str, object]) -> dict[str, Any]:
        return await self._client.call("tke", "2018-05-25", action, params)


def _chart(chart: Chart, values: Mapping[str, Any], login: tuple[str, str] | None) -> dict[str, object]:
    # JSON, which is YAML too: one form for both that the API takes.
    given = {"Values": {"RawOriginal": json.dumps(values), "ValuesType": "json"}} if values else {}
    access = dict(zip(("Username", "Password"), login, strict=True)) if login else {}
    return {**chart.parameters, **given, **access}
