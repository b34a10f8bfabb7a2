from __future__ import annotations

from types import SimpleNamespace

from tke_provider.links.reports import ReportsLink


def test_the_link_leads_where_the_task_has_kept_its_reports():
    task = SimpleNamespace(reports_link="https://reports.example/dag/run/junit.xml")
    assert ReportsLink().get_link(task, ti_key=None) == task.reports_link


def test_without_kept_reports_there_is_no_link():
    assert ReportsLink().get_link(SimpleNamespace(), ti_key=None) == ""
    assert ReportsLink().get_link(SimpleNamespace(reports_link=None), ti_key=None) == ""
