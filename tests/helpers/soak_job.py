"""Job files for a soak: operations of all APIs in a known order, with repeats and bad rows strewn in, in several formats."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.support import COLUMNS, mixed
from tests.helpers.soak_plan import JobPlan

Row = dict[str, Any]


@dataclass(frozen=True)
class JobFile:
    """A job in a folder.

    Args:
        path: Its file.
        targets: What it asks for, as the server names it; each once.
        absent: Names and groups that are gone already.
        rows: Of the file, good and bad.
    """

    plan: JobPlan
    path: Path
    targets: list[str]
    absent: list[str]
    rows: int


def write_job(plan: JobPlan, folder: Path) -> JobFile:
    """Write a job's file."""
    dice = random.Random(plan.shuffle)
    job = mixed(plan.operations, start=plan.number * 1_000_000)
    rows = [{"op": op, "id": f"r{number}", **fields} for number, (op, fields) in enumerate(job.operations)]
    for repeated in dice.sample(rows, min(plan.duplicates, len(rows))):
        rows.insert(dice.randint(rows.index(repeated) + 1, len(rows)), repeated)
    for number in range(plan.invalid):
        rows.insert(dice.randint(0, len(rows)), {"op": "clear_group_messages", "id": f"bad{number}", "GroupId": "x" * 49})
    path = folder / f"job{plan.number}.{plan.kind}"
    content = _jsonl(rows) if plan.kind == "jsonl" else _csv(rows)
    path.write_bytes(gzip.compress(content, 1) if plan.kind.endswith(".gz") else content)
    gone = dice.sample(job.operations, int(plan.absent * len(job.operations)))
    names = [fields.get("GroupId") or fields["GroupName"][0] for op, fields in gone if op != "delete_conversation"]
    return JobFile(plan, path, job.targets, names, len(rows))


def _csv(rows: list[Row]) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows({key: value[0] if isinstance(value, list) else value for key, value in row.items()} for row in rows)
    return out.getvalue().encode()


def _jsonl(rows: list[Row]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
