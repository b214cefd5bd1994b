"""The plan as lines of text: what a run will do, to which app, at what rate, and what speaks against it. Pure.

Knows neither job files nor ledgers: a plan comes in as a value (`Planned`), so that what people see before they say yes is the
same for `plan`, `run`, `resume` and `retry`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from bulkops.chat.catalog import BY_NAME
from bulkops.model import ApiFigures, Figures, Invalid, PlanWarning, SourceFile, Status
from bulkops.report.escape import escape
from bulkops.report.words import WIDTH, count, counted, duration, percent, table

_FILES_SHOWN: Final = 5
_SHA_SHOWN: Final = 12


class Planned(Protocol):
    """What this module has to know of a plan."""

    @property
    def ledger(self) -> str: ...
    @property
    def figures(self) -> Figures: ...
    @property
    def files(self) -> Sequence[SourceFile]: ...
    @property
    def warnings(self) -> Sequence[PlanWarning]: ...
    @property
    def invalid(self) -> Sequence[Invalid]: ...
    @property
    def rates(self) -> Mapping[str, int]: ...
    @property
    def seconds(self) -> float: ...
    @property
    def sandbox(self) -> bool: ...
    @property
    def continues(self) -> bool: ...
    @property
    def orphans(self) -> int: ...
    @property
    def notes(self) -> Sequence[str]: ...
    @property
    def blank_lines(self) -> int: ...
    @property
    def source_names(self) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True)
class Target:
    """Where the calls would go; what is not known (a plan needs no credentials) is empty.

    Args:
        sdkappid: The app; 0 where unknown.
        identifier: The administrator account.
        endpoint: URL of the API's host.
        region: The region's name where the endpoint was chosen by it.
        on_invalid: `stop` or `skip`.
        hold_in_doubt: What a crash left in doubt is held and not sent again.
        canary: Operations of each API before somebody is asked; 0 for none.
        reopened: Ended operations that a retry reopens, by op.
    """

    sdkappid: int = 0
    identifier: str = ""
    endpoint: str = ""
    region: str = ""
    on_invalid: str = "stop"
    hold_in_doubt: bool = False
    canary: int = 0
    reopened: Mapping[str, int] = field(default_factory=dict)


def plan_lines(plan: Planned, target: Target) -> list[str]:
    """The whole plan, at most 80 columns wide but for paths; everything foreign in it is escaped."""
    lines = [_headline(plan, target), ""]
    if plan.figures.apis:
        lines += [*_apis(plan, target), ""]
    lines += _facts(plan, target)
    for note in plan.notes:
        lines += _paragraph(note, first="  note      ", rest=" " * 12)
    lines += _warnings(plan)
    lines += _invalid(plan, target)
    return lines


def place(file: str, line: int, column: str = "") -> str:
    """`job.csv:12:To_Account`, escaped; only the parts that are known."""
    return ":".join(escape(str(part)) for part in (file, line or "", column) if part)


def to_do(plan: Planned, target: Target) -> dict[str, int]:
    """Operations that are to be carried out, by op; no op where there are none."""
    left = {op: remaining(api) + target.reopened.get(op, 0) for op, api in plan.figures.apis.items()}
    return {op: number for op, number in left.items() if number}


def located(file: str, row: Invalid) -> str:
    """What is wrong with a row and where, escaped; the column is not said twice."""
    column = "" if row.message.startswith(row.column) else row.column
    return f"{place(file, row.line, column)}: {escape(row.message)}"


def _headline(plan: Planned, target: Target) -> str:
    if plan.figures.invalid and target.on_invalid == "stop":
        return f"Nothing will be sent: {counted(plan.figures.invalid, 'row')} of the job can't be carried out."
    where = " in the sandbox" if plan.sandbox else ""
    left = to_do(plan, target)
    if not left:
        return f"Nothing is left to do{where}: all {counted(plan.figures.operations, 'operation')} have ended."
    goes_on = "go on with" if plan.continues else "carry out"
    takes = max(number / plan.rates.get(op, BY_NAME[op].rate) for op, number in left.items())
    return f"bulkops will {goes_on} {counted(sum(left.values()), 'operation')}{where}, in about {duration(takes)}:"


def _apis(plan: Planned, target: Target) -> list[str]:
    rows = [("API", "operations", "to do", "calls/s", "of its limit", "takes")]
    left = to_do(plan, target)
    for op, api in plan.figures.apis.items():
        published = BY_NAME[op].rate
        rate = plan.rates.get(op, published)
        share = f"{100 * rate / published:.0f} %"
        number = left.get(op, 0)
        rows.append((op, count(api.operations), count(number), count(rate), share, duration(number / rate) if number else "–"))
    return table(rows)


def _facts(plan: Planned, target: Target) -> list[str]:
    figures = plan.figures
    lines = [
        (
            f"  rows      {count(figures.rows)} = {counted(figures.operations, 'operation')}"
            f" + {counted(figures.duplicates, 'duplicate')} + {count(figures.invalid)} invalid"
        )
    ]
    if plan.blank_lines:
        lines.append(f"            and {counted(plan.blank_lines, 'blank line')}, skipped")
    lines += _files(plan.files)
    ledger = f"  ledger    {escape(plan.ledger)}"
    state = f"({_ledger_state(plan)})"
    lines += [f"{ledger} {state}"] if len(ledger) + len(state) < WIDTH else [ledger, f"{'':12}{state}"]
    if target.sdkappid:
        by = f" as {escape(target.identifier)}" if target.identifier else ""
        lines.append(f"  app       {target.sdkappid}{by}")
    if target.endpoint:
        region = f" ({escape(target.region)})" if target.region else ""
        lines.append(f"  endpoint  {escape(target.endpoint)}{region}")
    if plan.sandbox:
        lines.append("  SANDBOX   the API is imitated on this machine: nothing real is deleted")
    if target.canary:
        lines.append(f"  canary    the first {count(target.canary)} of each API, then you are asked")
    if any(target.reopened.values()):
        lines.append(f"  retry     {counted(sum(target.reopened.values()), 'operation')} reopened, with fresh attempts")
    if plan.orphans:
        then = "held, not sent again" if target.hold_in_doubt else "they will be sent again"
        text = f"{counted(plan.orphans, 'operation')} left without an answer by a process that is gone: {then}"
        lines += _paragraph(text, first="  in doubt  ", rest=" " * 12)
    return lines


def _files(files: Sequence[SourceFile]) -> Iterator[str]:
    for number, file in enumerate(files[:_FILES_SHOWN]):
        head = "  files     " if not number else " " * 12
        yield f"{head}{escape(file.name)}: {counted(file.rows, 'row')}, {_size(file.size)}, sha256 {file.sha256[:_SHA_SHOWN]}…"
    if len(files) > _FILES_SHOWN:
        yield f"            and {counted(len(files) - _FILES_SHOWN, 'more file')}"


def _ledger_state(plan: Planned) -> str:
    if not plan.continues:
        return "new"
    ended = sum(api.operations - remaining(api) for api in plan.figures.apis.values())
    operations = plan.figures.operations
    return f"continues: {count(ended)} of {count(operations)} have ended, {percent(ended, operations)}"


def _warnings(plan: Planned) -> list[str]:
    if not plan.warnings:
        return []
    lines = ["", "Warnings, riskiest first, with the number of rows:"]
    width = max(len(count(warning.count)) for warning in plan.warnings)
    for warning in plan.warnings:
        text = warning.message
        if warning.example is not None:
            text += f" (first: {place(*warning.example)})"
        lines += _paragraph(text, first=f"  {count(warning.count):>{width}}  ", rest=" " * (width + 4))
    return lines


def _invalid(plan: Planned, target: Target) -> list[str]:
    total = plan.figures.invalid
    if not total:
        return []
    shown = len(plan.invalid)
    lines = ["", f"{counted(total, 'invalid row')}{'; the first ' + count(shown) if shown < total else ''}:"]
    for row in plan.invalid:
        lines += _paragraph(located(source_name(plan.source_names, row.file), row))
    if target.on_invalid == "stop":
        lines += _paragraph("Mend them, or carry out all the others with --on-invalid skip.", first="", rest="")
    else:
        lines.append("They are left out (--on-invalid skip).")
    return lines


def source_name(names: Sequence[str], index: int) -> str:
    """Name of a job file by its index; a number where it is not known."""
    return names[index] if 0 <= index < len(names) else f"file {index + 1}"


def _paragraph(text: str, *, first: str = "  ", rest: str = "    ") -> list[str]:
    return textwrap.wrap(
        escape(text), WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )


def remaining(api: ApiFigures) -> int:
    """Operations of an API that have not ended."""
    return api.operations - sum(number for status, number in api.by_status.items() if Status(status).ended)


def _size(size: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
