"""Whether what a ledger says is what the server saw: every operation in one state, and in the right one. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tests.helpers.otherserver_handle import Record, worst_window

ENDED: Final = frozenset({"succeeded", "absent", "failed", "exhausted", "in_doubt"})
REFUSALS: Final = frozenset({"50002", "10015", "99999"})
GONE: Final = frozenset({"51009", "10010"})
FAILED_WITH_EFFECT: Final = "70500"
"""An ErrorCode of this server that says no although the call was carried out."""

PUBLISHED: Final = 200
"""Calls per second of each API."""

UNANSWERED: Final = ("lost", "timeout", "unreadable", "http_")


@dataclass(frozen=True)
class Books:
    """What both sides say about a job that was carried out to its end.

    Args:
        targets: What the job asked for, as the server names it; each once.
        rows, duplicates, invalid: Of the job's file.
        rate: Calls per second that each API was allowed.
        statuses: (target, status) of every line of the results.
        summary: The JSON of the last process.
        record: What the server saw.
        left_sending: Targets that a process left `sending`, each as often as that happened.
        ended_before: By target that had ended when some process was over: the calls that the server had seen for it by then.
        before: Arrivals of the stream's job before, by API; the window is kept across them, too.
        lateness: Seconds by which an arrival may be stamped late.
    """

    targets: Sequence[str]
    rows: int
    duplicates: int
    invalid: int
    rate: int
    statuses: Sequence[tuple[str, str]]
    summary: Mapping[str, Any]
    record: Record
    left_sending: Mapping[str, int] = field(default_factory=dict)
    ended_before: Mapping[str, int] = field(default_factory=dict)
    before: Mapping[str, Sequence[float]] = field(default_factory=dict)
    lateness: float = 0.005


def differences(books: Books) -> list[str]:
    """Every way in which the two sides disagree, in words; empty where they don't."""
    return [
        *_counts(books),
        *_outcomes(books),
        *_calls(books),
        *_repeats(books),
        *_windows(books),
    ]


def worst_seconds(books: Books) -> dict[str, int]:
    """The most arrivals in any second of the job, by API."""
    return {op: books.record.worst_second(op, lateness=books.lateness) for op in books.record.by_op}


def _counts(books: Books) -> Iterator[str]:
    summary, statuses = books.summary, Counter(status for _, status in books.statuses)
    listed = Counter(target for target, _ in books.statuses)
    if set(listed) != set(books.targets) or set(listed.values()) - {1}:
        lost, foreign = set(books.targets) - set(listed), set(listed) - set(books.targets)
        yield f"results: {len(lost)} lost {_some(lost)}, {len(foreign)} foreign {_some(foreign)}, or listed more than once"
    said = {word: count for word, count in summary["by_status"].items() if count}
    if said != dict(statuses):
        yield f"by_status {said}, the results have {dict(statuses)}"
    found = (summary["rows"], summary["duplicates"], summary["invalid"], summary["operations"])
    if found != (books.rows, books.duplicates, books.invalid, len(books.targets)):
        yield f"rows, duplicates, invalid, operations {found}, the file has {books.rows, books.duplicates, books.invalid}"
    if unfinished := set(statuses) - ENDED:
        yield f"not ended: {unfinished}"
    yield from (f"protocol: {violation}" for violation in books.record.violations)
    if foreign := set(books.record.effects) - set(books.targets):
        yield f"done, and nobody asked for it: {_some(foreign)}"


def _outcomes(books: Books) -> Iterator[str]:
    """Succeeded ⊆ executed; executed ∖ succeeded ⊆ absent ∪ in doubt ∪ failed by the server."""
    of_target = books.record.of_target
    for target, status in books.statuses:
        labels = {call.label for call in of_target.get(target, [])}
        executed = bool(books.record.effects.get(target))
        if wrong := _wrong(status, labels, executed=executed):
            yield f"{target} is {status}, but {wrong}: {sorted(labels)}"


def _wrong(status: str, labels: Collection[str], *, executed: bool) -> str:
    """What speaks against a status; empty where nothing does."""
    if status == "succeeded":
        return "" if executed and "0" in labels else "the server never carried it out and said so"
    if status == "absent":
        return "" if GONE & set(labels) else "the server never said that it was gone"
    if status == "failed":
        return "" if REFUSALS & set(labels) else "the server never refused it"
    if status == "exhausted":
        if executed and FAILED_WITH_EFFECT not in labels:
            return "the server carried it out"
        return "" if any(label.isdigit() and label != "0" for label in labels) else "the server never said no"
    if status == "in_doubt":
        return ""  # whether there was reason to doubt, only all calls together tell: see `_repeats`
    return "it has not ended"


def _calls(books: Books) -> Iterator[str]:
    resent = sum(books.left_sending.values())
    for op, api in books.summary["apis"].items():
        seen, codes = books.record.by_op.get(op, []), api["codes"]
        lost = _unanswered(api)
        if not len(seen) <= api["calls"] <= len(seen) + resent + codes.get("lost", 0):
            yield f"{op}: {len(seen)} calls arrived, {api['calls']} are counted"
        if sum(codes.values()) != api["calls"]:
            yield f"{op}: codes {codes} don't add up to {api['calls']} calls"
        said = Counter(call.label for call in seen)
        for label, count in codes.items():
            if label.isdigit() and not said[label] - lost <= count <= said[label]:
                yield f"{op}: {label} counted {count} times, the server said it {said[label]} times, {lost} unanswered"
    if books.summary["resent_in_doubt"] > resent:
        yield f"resent_in_doubt {books.summary['resent_in_doubt']}, only {resent} were left sending"


def _repeats(books: Books) -> Iterator[str]:
    """What had ended is not sent again; what is done twice, or in doubt, had a reason to be."""
    of_target = books.record.of_target
    for target, calls in books.ended_before.items():
        if len(of_target.get(target, [])) != calls:
            yield f"{target} had ended after {calls} calls and was sent again"
    reasons = sum(books.left_sending.values()) + sum(map(_unanswered, books.summary["apis"].values()))
    again = sum(max(0, sum(call.label == "0" for call in calls) - 1) for calls in of_target.values())
    if again > reasons:
        yield f"{again} calls carried out what had been done, only {reasons} were left without an answer"
    doubtful = sum(status == "in_doubt" for _, status in books.statuses)
    if doubtful > reasons:
        yield f"{doubtful} operations are in doubt, only {reasons} calls were left without an answer"


def _unanswered(api: Mapping[str, Any]) -> int:
    return sum(count for label, count in api["codes"].items() if label.startswith(UNANSWERED))


def _windows(books: Books) -> Iterator[str]:
    for op, worst in worst_seconds(books).items():
        if worst > books.rate:
            yield f"{op}: {worst} calls in one second, {books.rate} are allowed"
        arrivals = [*books.before.get(op, ()), *(call.at for call in books.record.by_op[op])]
        if (across := worst_window(arrivals, 1.0 - books.lateness)) > PUBLISHED:
            yield f"{op}: {across} calls in one second together with the run before"


def _some(names: Collection[str]) -> str:
    return ", ".join(sorted(names)[:3])
