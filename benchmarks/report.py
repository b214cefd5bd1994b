"""What the parts found, as RESULTS.md. Every part's findings are kept beside it as JSON, so that one part can be run again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from math import isnan
from pathlib import Path
from typing import Any, Final

INTRO: Final = """# Results

Every figure was measured in the run named above its table, beside the peers, in turn (A B C A B C …): the median, with the
lowest and the highest in brackets. A ratio is taken within each round. CPU is the kernel's account of the whole process,
start-up included; memory its peak. All calls go to a server on the same machine (loopback, plain HTTP, `benchmarks/server.py`)
that answers many times what anybody here asks for; what came is counted there. How to read and repeat: README.md in this folder.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table.

    Args:
        what: What was measured.
        figure: What bulkops reached.
        peers: What others reached on the same.
        ratio: To the peer that counts.
        goal: What was aimed at; empty for information.
        met: Whether it was reached; `None` for information.
    """

    what: str
    figure: str
    peers: str = ""
    ratio: str = ""
    goal: str = ""
    met: bool | None = None


@dataclass(slots=True)
class Findings:
    """What one part found.

    Args:
        notes: Paragraphs below the table: what falls short and why, what was left out.
        pictures: (file, what it shows).
    """

    part: str
    title: str
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pictures: list[tuple[str, str]] = field(default_factory=list)
    command: str = ""
    seconds: float = 0.0
    machine: dict[str, str] = field(default_factory=dict)

    def add(
        self,
        what: str,
        figure: str,
        *,
        peers: str = "",
        ratio: float | None = None,
        goal: str = "",
        met: bool | None = None,
    ) -> None:
        """Add a line."""
        self.rows.append(Row(what, figure, peers, "" if ratio is None or isnan(ratio) else f"{ratio:.2f}", goal, met))


def save(findings: Findings, out: Path) -> None:
    """Keep a part's findings."""
    folder = out / "findings"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{findings.part}.json").write_text(
        json.dumps(asdict(findings), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )


def load(out: Path, parts: Sequence[str]) -> list[dict[str, Any]]:
    """The findings that are kept, in the parts' order."""
    paths = [out / "findings" / f"{part}.json" for part in parts]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists()]


def write(out: Path, parts: Sequence[str]) -> Path:
    """Write RESULTS.md from all findings that are kept."""
    kept = load(out, parts)
    lines = [INTRO]
    goals = [row for each in kept for row in each["rows"] if row["met"] is not None]
    missed = [row for row in goals if not row["met"]]
    lines.append(f"{len(goals) - len(missed)} of {len(goals)} goals are met.\n")
    if missed:
        lines += ["Not met:\n", *(f"- {row['what']}: {row['figure']}, goal {row['goal']}" for row in missed), ""]
    machines: list[dict[str, str]] = []
    for each in kept:
        machine = {key: value for key, value in each["machine"].items() if key not in {"date", "load before"}}
        if machine not in machines:
            machines.append(machine)
    for number, machine in enumerate(machines, start=1):
        lines.append("## Machine" + (f" {number}" if len(machines) > 1 else "") + "\n")
        lines += [f"- {key}: {value}" for key, value in machine.items() if value] + [""]
    for each in kept:
        lines += _section(each, machines)
    path = out / "RESULTS.md"
    path.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    return path


def _section(findings: dict[str, Any], machines: list[dict[str, str]]) -> list[str]:
    machine = findings["machine"]
    lines = [f"## {findings['title']}\n"]
    where = ""
    if len(machines) > 1:
        stripped = {key: value for key, value in machine.items() if key not in {"date", "load before"}}
        where = f", machine {machines.index(stripped) + 1}"
    lines.append(
        f"`{findings['command']}`, {machine.get('date', '')}, {findings['seconds']:.0f} s, load average before it"
        f" {machine.get('load before', '?')}{where}\n"
    )
    lines += ["| What | bulkops | Others | Ratio | Goal | Met |", "|---|---|---|---|---|---|"]
    for row in findings["rows"]:
        met = {True: "yes", False: "**no**", None: ""}[row["met"]]
        lines.append("| " + " | ".join([row["what"], row["figure"], row["peers"], row["ratio"], row["goal"], met]) + " |")
    lines.append("")
    for note in findings["notes"]:
        lines += [note, ""]
    for file, alt in findings["pictures"]:
        lines += [f"![{alt}]({file})", ""]
    return lines
