"""A run at one moment as a picture for a terminal: one row for each lane, and why it waits where it does. Pure.

The layout is worked out here, in fixed columns, and handed to rich as plain `Text`: nothing is parsed as markup, nothing wraps,
and a frame costs well under a millisecond. Narrow terminals lose the bar first, then the counts of retries and throttling.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from bulkops.report.escape import escape
from bulkops.report.plain import eta, failures
from bulkops.report.words import count, cut, duration, percent, short_count
from bulkops.watching import LaneSnapshot, Snapshot

_GAPS: Final = (2, 1)
"""Blanks between columns where there is room, and where there is not."""

_BAR_LEAST: Final = 5
_BAR_MOST: Final = 30
_HEADER: Final = ("API", "", "ended", "calls/s", "flight", "retry", "throt", "ETA")
_BAR: Final = 1
_OPTIONAL: Final = (_BAR, 6, 5)
"""Columns in the order in which a narrow terminal loses them: bar, throttled, retries."""


class LivePicture:
    """A snapshot that rich can draw, at whatever width the terminal has then.

    Args:
        snapshot: The run at one moment.
        sandbox: Say that nothing real is deleted.
    """

    def __init__(self, snapshot: Snapshot, *, sandbox: bool = False) -> None:
        self._snapshot = snapshot
        self._sandbox = sandbox

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw for rich."""
        yield from live_lines(self._snapshot, options.max_width, sandbox=self._sandbox)


def live_lines(snapshot: Snapshot, width: int, *, sandbox: bool = False) -> list[Text]:
    """The picture, line by line, none of them wider than `width` columns.

    Args:
        snapshot: The run at one moment.
        width: Columns of the terminal.
        sandbox: Say that nothing real is deleted.
    """
    if not snapshot.lanes:
        return [_line("starting", width, "dim")]
    return [
        *_rows(snapshot, width),
        _line(_total(snapshot, sandbox=sandbox), width, "bold"),
        *([_line(f"stopping: {snapshot.stopping}", width, "yellow")] if snapshot.stopping else []),
    ]


def _rows(snapshot: Snapshot, width: int) -> Iterator[Text]:
    cells = [_HEADER, *(_cells(lane) for lane in snapshot.lanes)]
    columns = _columns(cells, width)
    yield _line(_join(_HEADER, columns), width, "dim")
    for row, lane in zip(cells[1:], snapshot.lanes, strict=True):
        yield _lane(row, lane, columns, width)
        if lane.reason:
            yield _line(f"  └ {lane.reason}", width, "yellow")


def _cells(lane: LaneSnapshot) -> tuple[str, ...]:
    done = lane.ended == lane.operations
    return (
        lane.op,
        "",
        f"{short_count(lane.ended)}/{short_count(lane.operations)}",
        f"{lane.rate:.0f}/{lane.limit}",
        str(lane.in_flight),
        short_count(lane.retried),
        short_count(lane.throttled),
        "done" if done else "–" if lane.eta is None else duration(lane.eta),
    )


class _Columns(NamedTuple):
    """What has room: columns of `_HEADER` by index, the width of each, blanks between them."""

    shown: tuple[int, ...]
    widths: tuple[int, ...]
    gap: int


def _columns(cells: Sequence[tuple[str, ...]], width: int) -> _Columns:
    """The columns that have room: closer together before any is given up, the bar as wide as the others let it be."""
    widths = [max(len(row[place]) for row in cells) for place in range(len(_HEADER))]
    widths[_BAR] = _BAR_LEAST
    shown = list(range(len(_HEADER)))
    victims = iter(_OPTIONAL)
    while True:
        for gap in _GAPS:
            room = width - sum(widths[place] for place in shown) - gap * (len(shown) - 1)
            if room >= 0:
                widths[_BAR] = min(_BAR_LEAST + room, _BAR_MOST)
                return _Columns(tuple(shown), tuple(widths), gap)
        victim = next(victims, None)
        if victim is None:
            return _Columns(tuple(shown), tuple(widths), _GAPS[-1])
        shown.remove(victim)


def _join(row: tuple[str, ...], columns: _Columns) -> str:
    cells = ((row[place], columns.widths[place], place) for place in columns.shown)
    return (" " * columns.gap).join(cell.ljust(width) if place <= _BAR else cell.rjust(width) for cell, width, place in cells)


def _lane(row: tuple[str, ...], lane: LaneSnapshot, columns: _Columns, width: int) -> Text:
    text = _line(_join(row, columns), width)
    if _BAR not in columns.shown:
        return text
    size = columns.widths[_BAR]
    halves = 2 * size * lane.ended // lane.operations if lane.operations else 2 * size
    bar = ("━" * (halves // 2) + "╸" * (halves % 2)).ljust(size, "─")
    start = columns.widths[0] + columns.gap
    text.plain = text.plain[:start] + bar + text.plain[start + size :]
    text.stylize("yellow" if lane.reason else "green", start, start + size)
    return text


def _total(snapshot: Snapshot, *, sandbox: bool) -> str:
    ended = sum(lane.ended for lane in snapshot.lanes)
    operations = sum(lane.operations for lane in snapshot.lanes)
    parts = [f"{count(ended)} of {count(operations)}, {percent(ended, operations)}"]
    failed = failures(snapshot)
    if failed:
        parts.append(f"{count(failed)} failed")
    parts.append(duration(snapshot.elapsed))
    left = eta(snapshot)
    if left:
        parts.append(f"{duration(left)} left")
    return ("SANDBOX  " if sandbox else "") + " · ".join(parts)


def _line(text: str, width: int, style: str = "") -> Text:
    """One line as it is: escaped, cut to the width, never wrapped and never read as markup."""
    return Text(cut(escape(text), width), style=style, no_wrap=True, overflow="crop", end="\n")
