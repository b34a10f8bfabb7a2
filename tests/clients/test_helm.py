"""What the client makes of answers; what helm does is shown by the operators' tests, on the live cluster."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tke_provider.clients.helm import HelmReleases
from tke_provider.domain.helm import Chart
from tke_provider.exceptions import ThrottledError, TkeError, UnavailableError


class Answers:
    """Stands for the cloud where it has to answer what the emulated one does not: other releases, a full page."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[tuple[str, dict]] = []

    async def call(self, service: str, version: str, action: str, params: dict) -> dict:
        self.asked.append((action, dict(params)))
        answer = self.answers.get(action, {})
        answer = answer.pop(0) if isinstance(answer, list) else answer
        if isinstance(answer, Exception):
            raise answer
        return answer


def releases(cloud: Answers) -> HelmReleases:
    return HelmReleases(cloud, "cls-1", "shop", "web")


def pending(name: str, number: int, namespace: str = "shop") -> dict:
    return {"ID": f"{name}-{number}", "Name": name, "Namespace": namespace, "Status": "failed", "Condition": "no"}


def test_a_release_of_another_namespace_or_a_longer_name_is_none_of_ours():
    row = {"Revision": "2", "Status": "deployed", "ChartName": "web", "ChartVersion": "1.0.0"}
    others = [{**row, "Name": "web", "Namespace": "test"}, {**row, "Name": "web-2", "Namespace": "shop"}]
    assert asyncio.run(releases(Answers(DescribeClusterReleases={"ReleaseSet": others})).find()) is None
    mine = {**row, "Name": "web", "Namespace": "shop", "Description": None}
    found = asyncio.run(releases(Answers(DescribeClusterReleases={"ReleaseSet": [*others, mine]})).find())
    assert (found.revision, found.chart, found.description) == (2, "web-1.0.0", "")


def test_a_release_is_found_on_the_last_page():
    row = {"Revision": "2", "Status": "deployed", "ChartName": "web", "ChartVersion": "1.0.0", "Namespace": "shop"}
    full = {"ReleaseSet": [{**row, "Name": f"web-{number}"} for number in range(100)]}
    cloud = Answers(DescribeClusterReleases=[full, {"ReleaseSet": [{**row, "Name": "web"}]}])
    assert asyncio.run(releases(cloud).find()).revision == 2
    assert [params["Offset"] for _, params in cloud.asked] == [0, 100]


def test_changes_are_read_to_the_last_page():
    pages = [{"ReleaseSet": [pending("other", each) for each in range(100)]}, {"ReleaseSet": [pending("web", 1)]}]
    cloud = Answers(DescribeClusterPendingReleases=pages)
    assert [each.id for each in asyncio.run(releases(cloud).changes())] == ["web-1"]
    assert [params["Offset"] for _, params in cloud.asked] == [0, 100]


def test_a_list_that_is_null_is_empty():
    cloud = Answers(DescribeClusterPendingReleases={"ReleaseSet": None}, DescribeClusterReleases={"ReleaseSet": None})
    assert asyncio.run(releases(cloud).changes()) == []
    assert asyncio.run(releases(cloud).find()) is None


def test_a_change_whose_answer_was_lost_is_known_by_what_is_new():
    before, after = {"ReleaseSet": [pending("web", 1)]}, {"ReleaseSet": [pending("web", 1), pending("web", 2)]}
    lost = UnavailableError("no answer", way_out="look")
    cloud = Answers(DescribeClusterPendingReleases=[before, after], UpgradeClusterRelease=lost)
    assert asyncio.run(releases(cloud).upgrade(Chart("https://c.example/web-1.0.0.tgz"), {})) == "web-2"


@pytest.mark.parametrize("error", [ThrottledError("slow", way_out="wait"), UnavailableError("lost", way_out="look")])
def test_a_change_that_nothing_shows_is_not_taken_for_made(error):
    cloud = Answers(UninstallClusterRelease=error)
    with pytest.raises(TkeError) as caught:
        asyncio.run(releases(cloud).uninstall())
    assert caught.value is error
    assert [action for action, _ in cloud.asked].count("UninstallClusterRelease") == 1


def test_a_login_and_values_are_sent_only_where_there_are_some():
    cloud = Answers(CreateClusterRelease={"Release": {"ID": "id"}})
    chart = Chart("web", "https://c.example", "1.0.0")
    asyncio.run(releases(cloud).install(chart, {"a": 1}, ("user", "chart-password")))
    sent = cloud.asked[-1][1]
    assert sent["Values"] == {"RawOriginal": '{"a": 1}', "ValuesType": "json"}
    assert (sent["Username"], sent["ChartFrom"], sent["ChartVersion"]) == ("user", "other", "1.0.0")
    asyncio.run(releases(cloud).install(Chart("https://c.example/web-1.0.0.tgz"), {}))
    assert set(cloud.asked[-1][1]) == {"ClusterId", "Namespace", "Name", "Chart", "ChartFrom"}
