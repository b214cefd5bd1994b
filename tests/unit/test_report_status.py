"""A summary as text, and the commands that go on from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bulkops.model import Figures
from bulkops.report.status import failure_hints, next_command, resume_command, status_lines, summary_lines
from bulkops.report.summary import Summary, summarize
from tests.helpers.report import OPS, api_figures, figures


def summary(
    made: Figures | None = None, *, state: str = "finished", ledger: str | None = "job.ledger.db", **changes: Any
) -> Summary:
    base = summarize(made or figures(succeeded=9000), ledger=ledger, state=state, reason=None, exit=0)
    return replace(base, **changes)


def test_status_says_where_a_run_stands() -> None:
    made = figures(succeeded=7000, failed=10, pending=1990, duplicates=10, invalid=3)
    text = "\n".join(
        status_lines(summary(made, state="stopped", reason="interrupted", retried=120, throttled=4, resent_in_doubt=2))
    )
    assert text.startswith("job.ledger.db: stopped (interrupted)")
    flat = " ".join(text.split())
    assert "7,010 of 9,000 operations ended (77.9 %): 1,990 pending, 7,000 succeeded, 10 failed" in flat
    assert "7,010 calls in 15s: 120 retries, 4 throttled" in flat
    assert "2 operations in doubt after a crash or a forced stop, sent again" in flat
    assert "9,013 rows in the job: 10 duplicates, 3 invalid" in flat
    assert "API ended succeeded absent failed calls calls/s" in flat
    assert "delete_conversation 7,010/9,000 7,000 0 10 7,010 0.0" in flat
    assert flat.endswith("Next: bulkops resume job.ledger.db")


def test_codes_are_shown_where_not_all_calls_succeeded() -> None:
    """The most frequent first, and only so many of them."""
    codes = {"0": 100, "timeout": 3, **{str(50000 + number): 10 - number for number in range(8)}}
    api = replace(api_figures(succeeded=100), codes=codes)
    lines = summary_lines(summary(figures({OPS[0]: api, OPS[1]: api_figures(succeeded=1)})))
    text = " ".join(" ".join(lines).split())
    assert "delete_conversation: 0 ×100, 50000 ×10, 50001 ×9, 50002 ×8, 50003 ×7, 50004 ×6, 4 more" in text
    assert "delete_conversation_group: " not in text


def test_success_everywhere_needs_no_list_of_codes() -> None:
    assert "ErrorCode" not in "\n".join(summary_lines(summary()))


def test_a_job_of_nothing_is_shown_too() -> None:
    lines = summary_lines(summary(figures({}, invalid=2)))
    assert "0 of 0 operations ended (100.0 %): none" in lines[0]


@pytest.mark.parametrize(
    ("counts", "state", "command"),
    [
        ({"pending": 1, "failed": 1}, "stopped", "bulkops resume job.ledger.db"),
        ({"sending": 1}, "stopped", "bulkops resume job.ledger.db"),
        ({"pending": 1}, "planned", "bulkops resume job.ledger.db"),
        ({"pending": 1}, "running", ""),
        ({"exhausted": 1}, "finished", "bulkops retry job.ledger.db"),
        ({"in_doubt": 1}, "finished", "bulkops retry job.ledger.db"),
        ({"failed": 1}, "finished", ""),
        ({"succeeded": 1}, "finished", ""),
    ],
)
def test_the_next_command_is_the_one_that_helps(counts: dict[str, int], state: str, command: str) -> None:
    """Nothing is suggested after a full success, nor beside a live run."""
    assert next_command(summary(figures(**counts), state=state)) == command


def test_after_a_refusal_for_invalid_rows_a_resume_would_be_refused_as_well() -> None:
    assert next_command(summary(figures(pending=5, invalid=1), state="planned", invalid=1)) == ""


def test_without_a_ledger_there_is_no_next_command() -> None:
    assert next_command(summary(figures(pending=1), ledger=None)) == ""
    assert failure_hints(summary(figures(failed=1), ledger=None)) == []


@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("job.db", "bulkops resume job.db"),
        ("my job.db", "bulkops resume 'my job.db'"),
        ("-job.db", "bulkops resume ./-job.db"),
        ("a\x1b.db", "bulkops resume $'a\\x1b.db'"),
    ],
)
def test_the_resume_command_can_be_pasted(path: str, command: str) -> None:
    """Whatever the ledger is called: it is no option, no two words, and nothing a terminal acts on."""
    assert resume_command(path) == command


@pytest.mark.parametrize(
    ("counts", "hints"),
    [
        ({"succeeded": 1}, []),
        (
            {"failed": 1},
            [
                "list them:  bulkops results job.ledger.db --status failed",
                "try again, once the reason is mended:  bulkops retry job.ledger.db --status failed",
            ],
        ),
        (
            {"failed": 1, "exhausted": 1, "in_doubt": 1, "invalid": 1},
            [
                "list them:  bulkops results job.ledger.db --status failed,exhausted,in_doubt,invalid",
                "try again:  bulkops retry job.ledger.db",
            ],
        ),
        ({"exhausted": 1, "pending": 1}, ["list them:  bulkops results job.ledger.db --status exhausted"]),
        ({"invalid": 2}, ["list them:  bulkops results job.ledger.db --status invalid"]),
    ],
)
def test_failures_come_with_the_commands_that_list_and_repeat_them(counts: dict[str, int], hints: list[str]) -> None:
    assert failure_hints(summary(figures(**counts))) == hints


@pytest.mark.parametrize("scale", [1, 1000, 100_000, 1_000_000, 10_000_000])
def test_a_status_fits_80_columns_and_is_inert(scale: int) -> None:
    """Whatever the numbers are."""
    many = api_figures(succeeded=7 * scale, failed=scale, absent=scale, pending=5, exhausted=7)
    apis = {op: replace(many, process_calls=9 * scale, last_departure=45_000_000) for op in OPS}
    made = summary(figures(apis), state="stopped", ledger="\x1b[2J", reason="\x1b]0;x\x07")
    lines = status_lines(made)
    assert max(map(len, lines)) <= 80
    assert "".join(lines).isprintable()
