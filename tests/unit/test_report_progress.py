"""Progress: the picture for terminals, the line for pipes."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from bulkops.report.live import LivePicture, live_lines
from bulkops.report.plain import eta, notice_line, plain_line
from bulkops.watching import Notice, Snapshot
from tests.helpers.report import OPS, lane, snapshot, statuses

WIDE = 80
NARROW = 60


def drawn(moment: Snapshot, width: int = WIDE, **options: Any) -> str:
    """The picture as rich draws it on a terminal of that width, without colours."""
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=False, markup=False).print(LivePicture(moment, **options))
    return out.getvalue()


@pytest.mark.parametrize("width", [200, 120, WIDE, 79, 70, NARROW, 40, 10, 1])
def test_the_picture_fits_the_terminal(width: int) -> None:
    """No line is wider than the terminal, so none wraps and the next picture lands on the same lines."""
    long = "throttled by the server: 140 of 200 calls/s, recovering " * 3
    moment = snapshot(
        lane(operations=10_000_000, ended=9_999_999, reason=long, retried=10_000_000, throttled=10_000_000, in_flight=3000),
        lane(op=OPS[1], rate=2000, limit=2000, eta=None),
        stopping=long,
    )
    lines = [line.plain for line in live_lines(moment, width)]
    assert max(map(len, lines)) <= width
    assert drawn(moment, width) == "".join(f"{line}\n" for line in lines)
    assert len(lines) == 6


def test_a_lane_shows_all_that_matters() -> None:
    """Which API, how far, how fast against its limit, what is under way, repeated, throttled, and when it ends."""
    lines = drawn(snapshot(lane(op=OPS[1], retried=17, throttled=9))).split("\n")
    assert lines[0].split() == ["API", "ended", "calls/s", "flight", "retry", "throt", "ETA"]
    cells = lines[1].split()
    assert cells[0] == OPS[1]
    assert cells[2:] == ["1500/3000", "199/200", "16", "17", "9", "8s"]
    bar = cells[1]
    assert bar.count("━") == pytest.approx(len(bar) / 2, abs=1)


def test_the_bar_and_all_columns_fit_80_columns() -> None:
    """With the longest names and counts in the millions."""
    moment = snapshot(*(lane(op=op, operations=3_000_000, ended=1_203_000) for op in OPS))
    assert "━" in drawn(moment, WIDE)
    assert "throt" in drawn(moment, WIDE)


def test_a_narrow_terminal_loses_the_bar_first_and_keeps_the_rest() -> None:
    moment = snapshot(*(lane(op=op) for op in OPS))
    text = drawn(moment, NARROW)
    assert "━" not in text
    assert "throt" not in text
    for kept in (OPS[1], "1500/3000", "199/200", "8s"):
        assert kept in text


def test_a_lane_that_waits_says_why() -> None:
    text = drawn(snapshot(lane(reason="outage: one probe at a time")))
    assert "└ outage: one probe at a time" in text


def test_a_lane_that_is_done_says_so_and_one_that_can_not_tell_shows_no_time() -> None:
    text = drawn(snapshot(lane(ended=3000, eta=None), lane(op=OPS[1], eta=None), lane(op=OPS[2], operations=0, ended=0)))
    lines = text.split("\n")
    assert lines[1].endswith("done")
    assert lines[2].endswith("–")
    assert "left" not in text


def test_the_last_line_adds_up() -> None:
    moment = snapshot(lane(by_status=statuses(succeeded=1490, failed=6, exhausted=3, in_doubt=1)), lane(op=OPS[1], eta=60.0))
    last = drawn(moment, sandbox=True).rstrip("\n").split("\n")[-1]
    assert last == "SANDBOX  3,000 of 6,000, 50.0 % · 10 failed · 1m23s · 1m00s left"


def test_a_run_that_stops_says_so() -> None:
    assert drawn(snapshot(stopping="SIGINT received")).rstrip("\n").endswith("stopping: SIGINT received")


def test_before_the_first_lane_stands_the_picture_is_one_line() -> None:
    assert drawn(Snapshot(0.0, ())) == "starting\n"
    assert plain_line(Snapshot(0.0, ())) == "starting"


def test_foreign_text_in_a_picture_is_inert() -> None:
    """Neither rich's markup nor a terminal's escapes are acted on."""
    text = drawn(snapshot(lane(reason="[bold]x[/bold] \x1b[2J :smile:"), stopping="[red]\x1b[2J"))
    assert "[bold]x[/bold] \\x1b[2J :smile:" in text
    assert "\x1b" not in text


def test_colour_says_which_lane_is_held_back() -> None:
    lines = live_lines(snapshot(lane(), lane(op=OPS[1], reason="throttled")), WIDE)
    assert [span.style for line in lines[1:3] for span in line.spans] == ["green", "yellow"]


def test_a_plain_line_has_the_same_facts() -> None:
    moment = snapshot(
        lane(by_status=statuses(failed=2)),
        lane(op=OPS[1], ended=3000, eta=None),
        lane(op=OPS[2], reason="throttled", in_flight=0),
        stopping="SIGINT received",
    )
    assert plain_line(moment) == (
        "1m23s: 6,000 of 9,000 ended (66.7 %), 2 failed;"
        " delete_conversation 50.0 % at 199 of 200 calls/s, 16 in flight;"
        " delete_conversation_group done;"
        " clear_group_messages 50.0 % at 199 of 200 calls/s (throttled);"
        " about 8s left; stopping: SIGINT received"
    )


def test_a_plain_line_is_inert() -> None:
    line = plain_line(snapshot(lane(reason="\x1b[2J\n"), stopping="\x1b[2J\n"))
    assert line.isprintable()
    assert notice_line(Notice(0, "\x1b", "x", "\x1b[2J\n")).isprintable()


def test_a_notice_has_a_time_and_its_api() -> None:
    at = 1_700_000_000_000_000
    assert notice_line(Notice(at, OPS[0], "outage", "no answers")) == "22:13:20Z delete_conversation: no answers"
    assert notice_line(Notice(at, "", "waiting", "one second")) == "22:13:20Z one second"


def test_the_slowest_lane_decides_when_a_run_ends() -> None:
    """A lane that can't tell makes the whole unknown; one that is done doesn't."""
    assert eta(snapshot(lane(eta=5.0), lane(eta=9.0))) == 9.0
    assert eta(snapshot(lane(eta=5.0), lane(eta=None))) is None
    assert eta(snapshot(lane(eta=5.0), lane(ended=3000, eta=None))) == 5.0
    assert eta(snapshot(lane(ended=3000))) == 0.0
