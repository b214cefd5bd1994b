"""A summary as text: for `status`, and as the answer of a run that has ended. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from typing import Final

from bulkops.model import Status
from bulkops.report.escape import escape, shell_word
from bulkops.report.summary import ApiSummary, Summary
from bulkops.report.words import WIDTH, count, counted, duration, percent, short_count, table

_CODES_SHOWN: Final = 6
_ENDED: Final = tuple(status.word for status in Status if status.ended)
_FAILURES: Final = ("failed", "exhausted", "in_doubt")


def status_lines(summary: Summary, *, follow_up: bool = True) -> list[str]:
    """Where a run stands, at most 80 columns wide but for paths.

    Args:
        summary: What the ledger amounts to.
        follow_up: Name the command that goes on from here, where there is one.
    """
    lines = [f"{escape(summary.ledger or '')}: {_state(summary)}", *summary_lines(summary)]
    command = next_command(summary) if follow_up else ""
    return [*lines, "", f"Next: {command}"] if command else lines


def summary_lines(summary: Summary) -> list[str]:
    """What a run came to: totals, one line for each API, the codes of its calls."""
    ended = summary.operations - summary.unfinished
    share = percent(ended, summary.operations)
    lines = [
        *_wrapped(
            f"{count(ended)} of {counted(summary.operations, 'operation')} ended ({share}): {_statuses(summary.by_status)}"
        ),
        *_wrapped(
            f"{counted(summary.calls, 'call')} in {duration(summary.elapsed_s)}: {count(summary.retried)} retries,"
            f" {count(summary.throttled)} throttled"
        ),
    ]
    if summary.resent_in_doubt:
        lines.append(f"  {counted(summary.resent_in_doubt, 'operation')} in doubt after a crash or a forced stop, sent again")
    if summary.duplicates or summary.invalid:
        lines.append(
            f"  {counted(summary.rows, 'row')} in the job: {counted(summary.duplicates, 'duplicate')},"
            f" {count(summary.invalid)} invalid"
        )
    if summary.apis:
        lines += ["", *_apis(summary), *_codes(summary)]
    return lines


def next_command(summary: Summary) -> str:
    """The command that goes on from here: resume what is unfinished, retry what may be repeated; empty for nothing to do."""
    if not summary.ledger or summary.state == "running":
        return ""
    if summary.state == "planned" and summary.invalid:
        return ""  # refused for its invalid rows: the job has to be repaired, or run again with --on-invalid skip
    if summary.unfinished:
        return resume_command(summary.ledger)
    if summary.by_status["exhausted"] or summary.by_status["in_doubt"]:
        return _command("retry", summary.ledger)
    return ""


def resume_command(ledger: str) -> str:
    """The exact command that continues a run, quoted for a shell."""
    return _command("resume", ledger)


def failure_hints(summary: Summary) -> list[str]:
    """How to list and how to repeat what ended without reaching its aim; nothing where all did."""
    words = [word for word in _FAILURES if summary.by_status[word]]
    if summary.invalid:
        words.append("invalid")
    if not summary.ledger or not words:
        return []
    lines = [f"list them:  {_command('results', summary.ledger, '--status', ','.join(words))}"]
    if summary.unfinished:
        return lines  # first things first
    repeatable = [word for word in words if word in {"exhausted", "in_doubt"}]
    if repeatable:
        lines.append(f"try again:  {_command('retry', summary.ledger)}")
    elif "failed" in words:
        lines.append(f"try again, once the reason is mended:  {_command('retry', summary.ledger, '--status', 'failed')}")
    return lines


def _command(verb: str, ledger: str, *flags: str) -> str:
    path = f"./{ledger}" if ledger.startswith("-") else ledger  # else it would be read as an option
    return " ".join(["bulkops", verb, shell_word(path), *flags])


def _state(summary: Summary) -> str:
    reason = f" ({escape(summary.reason)})" if summary.reason else ""
    where = " in the SANDBOX" if summary.sandbox else ""
    return f"{summary.state}{where}{reason}"


def _statuses(by_status: Mapping[str, int]) -> str:
    """`8,990 succeeded, 10 absent`; the words that have operations, `none` where none has."""
    parts = [f"{count(number)} {word.replace('_', ' ')}" for word, number in by_status.items() if number]
    return ", ".join(parts) or "none"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent="  ", subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )


def _apis(summary: Summary) -> list[str]:
    """The table of APIs, closer together and then with shorter numbers where it would be too wide."""
    wide = _api_rows(summary, count)
    for rows, gap in ((wide, 2), (wide, 1)):
        lines = table(rows, gap=gap)
        if max(map(len, lines)) <= WIDTH:
            return lines
    return table(_api_rows(summary, short_count), gap=1)


def _api_rows(summary: Summary, shown: Callable[[int], str]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("API", "ended", "succeeded", "absent", "failed", "calls", "calls/s")]
    for op, api in summary.apis.items():
        ended = sum(api.by_status.get(word, 0) for word in _ENDED)
        failed = sum(api.by_status.get(word, 0) for word in _FAILURES)
        numbers = (api.by_status.get("succeeded", 0), api.by_status.get("absent", 0), failed, api.calls)
        rows.append((op, f"{shown(ended)}/{shown(api.operations)}", *map(shown, numbers), f"{api.rate:.1f}"))
    return rows


def _codes(summary: Summary) -> list[str]:
    lines: list[str] = []
    for op, api in summary.apis.items():
        if set(api.codes) - {"0"}:
            lines += _wrapped(f"{op}: {_top_codes(api)}")
    return ["", "  Calls by ErrorCode, or by what came instead of one", *lines] if lines else []


def _top_codes(api: ApiSummary) -> str:
    ranked = sorted(api.codes.items(), key=lambda item: -item[1])
    parts = [f"{escape(code)} ×{count(number)}" for code, number in ranked[:_CODES_SHOWN]]
    if len(ranked) > _CODES_SHOWN:
        parts.append(f"{len(ranked) - _CODES_SHOWN} more")
    return ", ".join(parts)
