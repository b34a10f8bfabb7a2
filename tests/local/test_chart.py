from __future__ import annotations

import re

from local.chart import Panel, svg


def _lines(picture: str) -> list[list[tuple[float, ...]]]:
    found = re.findall(r'<polyline points="([^"]+)"', picture)
    return [[tuple(map(float, point.split(","))) for point in points.split()] for points in found]


def test_every_line_of_every_panel_is_drawn():
    panels = [Panel("Load", {"a": [0, 1]}), Panel("Pods", {"wanted": [1, 3], "ready": [1, 2]})]
    picture = svg("title", [0, 60], panels)
    assert len(_lines(picture)) == 3
    written = set(re.findall(r">([^<]+)</text>", picture))
    assert {"title", "Load", "Pods", "wanted", "ready", "0:00", "1:00"} <= written


def test_a_value_holds_until_another_is_seen():
    (line,) = _lines(svg("", [0, 10, 20], [Panel("", {"a": [0, 4, 4]})]))
    assert line[0][1] == line[1][1] > line[2][1] == line[3][1]
    assert line[1][0] == line[2][0]
