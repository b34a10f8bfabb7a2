"""Lines over time as a picture: an SVG of our own, which Debian's Chromium turns into a PNG."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.packages import need
from local.process import run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_WIDTH, _PANEL, _LEFT, _RIGHT, _TOP, _GAP = 960, 150, 60, 30, 60, 45
_COLOURS = ("#1f77b4", "#d62728", "#2ca02c")


@dataclass(frozen=True)
class Panel:
    """One picture of several lines.

    :param lines: name to values, one for each instant.
    """

    title: str
    lines: dict[str, Sequence[float]]


def svg(title: str, seconds: Sequence[float], panels: Sequence[Panel]) -> str:
    """Draw panels below one another over the same time.

    :param seconds: the instants.
    """
    height = _TOP + len(panels) * (_PANEL + _GAP) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" font-family="sans-serif">',
        "<style>text { font-size: 12px }</style>",
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{_LEFT}" y="24" style="font-size: 16px">{title}</text>',
    ]
    for number, panel in enumerate(panels):
        parts += _panel(panel, seconds, _TOP + number * (_PANEL + _GAP))
    return "\n".join([*parts, "</svg>"])


def png(picture: str, file: Path) -> None:
    """Write an SVG as a PNG.

    :raises StackError: when Chromium is missing and cannot be installed, or fails, in its own words.
    """
    need("chromium")
    height = picture.split('height="', 1)[1].split('"', 1)[0]
    file.parent.mkdir(parents=True, exist_ok=True)
    source = file.with_suffix(".svg")
    source.write_text(picture)
    with tempfile.TemporaryDirectory(prefix="chart-") as profile:
        # No sandbox: as root there is none, and what is drawn is our own.
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={profile}"]
        options += [f"--window-size={_WIDTH},{height}", f"--screenshot={file}"]
        run(["chromium", *options, source.as_uri()], "drawing the chart")


def _panel(panel: Panel, seconds: Sequence[float], top: float) -> list[str]:
    last = max(seconds[-1], 1.0)
    most = max([1.0, *(value for values in panel.lines.values() for value in values)])
    wide = _WIDTH - _LEFT - _RIGHT

    def x(at: float) -> float:
        return _LEFT + wide * at / last

    def y(value: float) -> float:
        return top + _PANEL - _PANEL * value / most

    parts = [f'<text x="{_LEFT}" y="{top - 8}" font-weight="bold">{panel.title}</text>']
    for value in (0.0, most / 2, most):
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#ddd"/>'
        )
        parts.append(f'<text x="{_LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.3g}</text>')
    parts += [
        f'<text x="{x(minute * 60):.1f}" y="{top + _PANEL + 16}" text-anchor="middle">{minute}:00</text>'
        for minute in range(int(last // 60) + 1)
    ]
    for number, (name, values) in enumerate(panel.lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        points = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in _steps(seconds, values))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(
            f'<text x="{_WIDTH - _RIGHT - 110 * number}" y="{top - 8}" text-anchor="end" fill="{colour}">{name}</text>'
        )
    return parts


def _steps(seconds: Sequence[float], values: Sequence[float]) -> list[tuple[float, float]]:
    """What was seen holds until something else is."""
    points = [(seconds[0], values[0])]
    for at, value in zip(seconds[1:], values[1:], strict=True):
        points += [(at, points[-1][1]), (at, value)]
    return points
