"""What the end-to-end tests share: jobs of known content, and what every answer and every run has to fulfil."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import pytest

from tests.helpers.otherserver_handle import Record
from tests.helpers.otherserver_rules import target_of

OPS: Final = ("delete_conversation", "delete_conversation_group", "clear_group_messages")
STATUSES: Final = ("pending", "sending", "succeeded", "absent", "failed", "exhausted", "in_doubt")
LATENESS: Final = 0.01
"""Seconds that may lie between a departure and its arrival on a busy machine: the client may have to wait for its turn between
the two. The arrival itself is stamped by the kernel."""

COLUMNS: Final = (
    "op",
    "id",
    "From_Account",
    "Type",
    "To_Account",
    "ToGroupid",
    "ClearRamble",
    "GroupName",
    "GroupId",
    "MsgSeq",
)
_KEYS: Final[Mapping[str, tuple[type, ...]]] = {
    "ledger": (str, type(None)),
    "state": (str,),
    "reason": (str, type(None)),
    "exit": (int, type(None)),
    "rows": (int,),
    "duplicates": (int,),
    "invalid": (int,),
    "operations": (int,),
    "by_status": (dict,),
    "calls": (int,),
    "retried": (int,),
    "throttled": (int,),
    "resent_in_doubt": (int,),
    "elapsed_s": (float, int),
    "apis": (dict,),
}


@dataclass(frozen=True)
class Job:
    """Operations as (op, fields as they are sent)."""

    operations: tuple[tuple[str, dict[str, Any]], ...]

    @cached_property
    def targets(self) -> list[str]:
        """What the other server calls them."""
        return [target_of(op, fields) for op, fields in self.operations]

    @property
    def ordered(self) -> Job:
        """The same, all of one API after another."""
        return Job(tuple(sorted(self.operations, key=lambda operation: OPS.index(operation[0]))))

    def csv(self) -> str:
        """As a CSV file."""
        out = io.StringIO()
        writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for number, (op, fields) in enumerate(self.operations, start=1):
            cells = {key: value[0] if isinstance(value, list) else value for key, value in fields.items()}
            writer.writerow({"op": op, "id": f"r{number}", **cells})
        return out.getvalue()

    def jsonl(self) -> str:
        """As a JSONL file."""
        return "".join(json.dumps({"op": op, **fields}, ensure_ascii=False) + "\n" for op, fields in self.operations)


def mixed(number: int, *, start: int = 0) -> Job:
    """A job of so many operations, the three APIs in turn, no two alike."""
    return Job(tuple(_operation(place) for place in range(start, start + number)))


def conversations(number: int, *, start: int = 0) -> Job:
    """A job of so many deletions of conversations."""
    return Job(tuple(_operation(3 * place) for place in range(start, start + number)))


def _operation(place: int) -> tuple[str, dict[str, Any]]:
    if place % 3 == 1:
        return "delete_conversation_group", {"From_Account": f"user{place}", "GroupName": [f"группа {place}"]}
    if place % 3 == 2:
        return "clear_group_messages", {"GroupId": f"@TGS#{place}", "MsgSeq": place}
    if place % 2:
        return "delete_conversation", {
            "From_Account": f"user{place}",
            "Type": 2,
            "ToGroupid": f"@TGS#{place}",
            "ClearRamble": 0,
        }
    return "delete_conversation", {"From_Account": f"user{place}", "Type": 1, "To_Account": f"peer{place}", "ClearRamble": 1}


def check_summary(answer: Mapping[str, Any], *, extra: Sequence[str] = ()) -> None:
    """See that a JSON answer is as section 5 of the contract has it: keys, types, sums.

    Args:
        answer: The object.
        extra: Keys that it has beyond the documented ones.
    """
    assert list(answer) == [*_KEYS, *extra]
    for key, kinds in _KEYS.items():
        assert type(answer[key]) in kinds, f"{key}: {answer[key]!r}"
    assert answer["state"] in {"planned", "running", "finished", "stopped"}
    assert tuple(answer["by_status"]) == STATUSES
    assert sum(answer["by_status"].values()) == answer["operations"]
    assert answer["rows"] == answer["operations"] + answer["duplicates"] + answer["invalid"]
    assert set(answer["apis"]) <= set(OPS)
    for op, api in answer["apis"].items():
        assert list(api) == ["operations", "calls", "rate", "codes"], op
        assert sum(api["codes"].values()) == api["calls"], op
        assert type(api["rate"]) is float
    assert sum(api["calls"] for api in answer["apis"].values()) == answer["calls"]
    assert sum(api["operations"] for api in answer["apis"].values()) == answer["operations"]


def check_reconciled(answer: Mapping[str, Any], record: Record, job: Job) -> None:
    """See that what a finished run says is what the server saw: every call counted, nothing done that the job didn't ask for.

    An attempt that a crash orphaned counts as a call, although its process may have been killed before a byte left.
    """
    check_summary(answer)
    assert not record.violations
    for op, api in answer["apis"].items():
        seen = len(record.by_op.get(op, []))
        assert seen <= api["calls"] <= seen + answer["resent_in_doubt"], f"{op}: {seen} calls seen, {api['calls']} counted"
    assert set(record.by_op) <= set(answer["apis"])
    assert set(record.effects) <= set(job.targets)
    assert answer["by_status"]["pending"] == answer["by_status"]["sending"] == 0


def check_limit(record: Record, *, limit: int = 200, lateness: float = LATENESS) -> None:
    """See that no second of any API held more calls than its limit."""
    worst = {op: record.worst_second(op, lateness=lateness) for op in record.by_op}
    assert max(worst.values(), default=0) <= limit, worst


def seldom(*values: object) -> Any:  # what pytest.param gives has no public name
    """Parameters of a test that only `make stress` runs: their like is tested every time, or in a unit test."""
    return pytest.param(*values, marks=pytest.mark.stress)


def results_of(text: str) -> list[dict[str, str]]:
    """Results in CSV as rows."""
    return list(csv.DictReader(io.StringIO(text), strict=True))


def statuses_of(text: str) -> Iterator[tuple[str, str]]:
    """Results in JSONL as (target, status)."""
    for line in text.splitlines():
        row = json.loads(line)
        fields = {key: value for key, value in row.items() if key not in {"op", "id"} and not key.startswith("_")}
        if "GroupName" in fields:
            fields["GroupName"] = [fields["GroupName"]]
        yield target_of(row["op"], fields), row["_status"]
