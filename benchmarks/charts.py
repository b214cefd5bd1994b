"""Pictures as SVG, written by hand: bars, and lines over time. Readable on light and dark pages alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import floor, log10
from typing import Final

WIDTH: Final = 760
LEFT: Final = 176
RIGHT: Final = 96
FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"

STYLE: Final = f"""<style>
text {{ font: 13px {FONT}; fill: #24292f; }}
.title {{ font-size: 16px; font-weight: 600; }}
.sub, .tick {{ fill: #57606a; }}
.tick {{ font-size: 11px; }}
.page {{ fill: #ffffff; }}
.grid {{ stroke: #d8dee4; stroke-width: 1; }}
.limit {{ stroke: #cf222e; stroke-width: 1.5; stroke-dasharray: 6 4; }}
.limit-text {{ fill: #cf222e; font-size: 12px; }}
.ours {{ fill: #0969da; }} .peer {{ fill: #8c959f; }} .floor {{ fill: #d0d7de; }}
.line {{ fill: none; stroke-width: 2; stroke-linejoin: round; }}
.line-ours {{ stroke: #0969da; }} .line-peer {{ stroke: #bc4c00; }} .line-other {{ stroke: #8250df; }}
.text-ours {{ fill: #0969da; }} .text-peer {{ fill: #bc4c00; }} .text-other {{ fill: #8250df; }}
@media (prefers-color-scheme: dark) {{
text {{ fill: #e6edf3; }}
.sub, .tick {{ fill: #9198a1; }}
.page {{ fill: #0d1117; }}
.grid {{ stroke: #30363d; }}
.limit {{ stroke: #ff7b72; }} .limit-text {{ fill: #ff7b72; }}
.ours {{ fill: #4493f8; }} .peer {{ fill: #6e7681; }} .floor {{ fill: #484f58; }}
.line-ours {{ stroke: #4493f8; }} .line-peer {{ stroke: #f0883e; }} .line-other {{ stroke: #bc8cff; }}
.text-ours {{ fill: #4493f8; }} .text-peer {{ fill: #f0883e; }} .text-other {{ fill: #bc8cff; }}
}}
</style>"""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar.

    Args:
        label: At its left.
        value: Its length.
        text: At its end.
        kind: `ours`, `peer` or `floor`.
    """

    label: str
    value: float
    text: str
    kind: str = "peer"


def bars(title: str, subtitle: str, rows: Sequence[Bar], *, goal: float | None = None, goal_text: str = "") -> str:
    """Horizontal bars from a common zero, with a line where the goal is."""
    top, step, thick = 66, 30, 20
    height = top + step * len(rows) + (34 if goal is not None else 14)
    most = max([row.value for row in rows] + [goal or 0.0]) or 1.0
    scale = (WIDTH - LEFT - RIGHT) / most
    out = _begin(title, subtitle, height)
    for number, row in enumerate(rows):
        y = top + step * number
        out.append(f'<text x="{LEFT - 10}" y="{y + 15}" text-anchor="end">{escape(row.label)}</text>')
        width = max(1.0, row.value * scale)
        out.append(f'<rect class="{row.kind}" x="{LEFT}" y="{y}" width="{width:.1f}" height="{thick}" rx="2"/>')
        out.append(f'<text x="{LEFT + width + 8:.1f}" y="{y + 15}">{escape(row.text)}</text>')
    if goal is not None:
        x = LEFT + goal * scale
        bottom = top + step * len(rows)
        anchor = "end" if x > WIDTH * 0.6 else "start"
        out.append(f'<line class="limit" x1="{x:.1f}" y1="{top - 6}" x2="{x:.1f}" y2="{bottom}"/>')
        out.append(f'<text class="limit-text" x="{x:.1f}" y="{bottom + 16}" text-anchor="{anchor}">{escape(goal_text)}</text>')
    return _end(out)


def lines(
    title: str,
    subtitle: str,
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    x_text: str,
    limit: float | None = None,
    limit_text: str = "",
) -> str:
    """Lines over a common x from zero; the first is ours. Their names stand above the plot."""
    top, bottom, left, right = 92, 330, 52, 20
    height = bottom + 44
    points = [point for each in series.values() for point in each]
    x_most = max((x for x, _ in points), default=1.0)
    y_most = max([y for _, y in points] + [limit or 0.0]) * 1.05 or 1.0
    across = (WIDTH - left - right) / x_most
    up = (bottom - top) / y_most
    out = _begin(title, subtitle, height)
    for tick in ticks(y_most):
        y = bottom - tick * up
        out.append(f'<line class="grid" x1="{left}" y1="{y:.1f}" x2="{WIDTH - right}" y2="{y:.1f}"/>')
        out.append(f'<text class="tick" x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in ticks(x_most):
        x = left + tick * across
        out.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{tick:g}</text>')
    out.append(f'<text class="tick" x="{WIDTH - right}" y="{bottom + 34}" text-anchor="end">{escape(x_text)}</text>')
    if limit is not None:
        y = bottom - limit * up
        out.append(f'<line class="limit" x1="{left}" y1="{y:.1f}" x2="{WIDTH - right}" y2="{y:.1f}"/>')
        out.append(
            f'<text class="limit-text" x="{WIDTH - right}" y="{y - 6:.1f}" text-anchor="end">{escape(limit_text)}</text>'
        )
    x_name = float(left)
    for (name, each), kind in zip(series.items(), ("ours", "peer", "other"), strict=False):
        path = " ".join(f"{left + x * across:.1f},{bottom - y * up:.1f}" for x, y in each)
        out.append(f'<polyline class="line line-{kind}" points="{path}"/>')
        out.append(f'<text class="text-{kind}" x="{x_name:.0f}" y="76" font-weight="600">{escape(name)}</text>')
        x_name += 8.0 * len(name) + 24
    return _end(out)


def ticks(most: float) -> list[float]:
    """Round numbers from 0 up to `most`, four to eight of them."""
    if most <= 0:
        return [0.0]
    power = 10.0 ** floor(log10(most))
    step = next(factor * power for factor in (0.1, 0.2, 0.25, 0.5, 1.0) if most / (factor * power) <= 8)
    return [number * step for number in range(int(most / step + 1e-9) + 1)]


def last_second(arrivals: Sequence[float], *, upto: float, step: float = 0.02) -> list[tuple[float, float]]:
    """(seconds since the first call, calls in the second before) up to so many seconds."""
    if not arrivals:
        return []
    begin = arrivals[0]
    out: list[tuple[float, float]] = []
    left = right = 0
    for number in range(int(min(upto, arrivals[-1] - begin + 1.0) / step) + 1):
        at = begin + number * step
        while right < len(arrivals) and arrivals[right] <= at:
            right += 1
        while arrivals[left] <= at - 1.0 and left < right:
            left += 1
            if left == len(arrivals):
                break
        out.append((number * step, float(right - left)))
        if left == len(arrivals):
            break
    return out


def _begin(title: str, subtitle: str, height: int) -> list[str]:
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">',
        f"<title>{escape(title)}</title>",
        STYLE,
        f'<rect class="page" width="{WIDTH}" height="{height}" rx="8"/>',
        f'<text class="title" x="20" y="30">{escape(title)}</text>',
        f'<text class="sub" x="20" y="50">{escape(subtitle)}</text>',
    ]


def _end(out: list[str]) -> str:
    return "\n".join([*out, "</svg>", ""])
