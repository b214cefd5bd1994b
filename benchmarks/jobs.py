"""Job files for the benchmarks: the same operations for everybody, made fast, with ids that look like real ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DELETE: Final = "delete_conversation"
GROUPS: Final = "delete_conversation_group"
CLEAR: Final = "clear_group_messages"
OPS: Final = (DELETE, GROUPS, CLEAR)

HEADER: Final = "op,From_Account,Type,To_Account,ClearRamble,GroupName,GroupId,MsgSeq,id\n"
CHUNK: Final = 20_000

OpOf = Callable[[int], str]
"""The op of row n."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job file on disk.

    Args:
        rows: Rows in it.
        operations: Distinct ones.
    """

    path: Path
    rows: int
    operations: int


def csv_row(op: str, n: int) -> str:
    """Row n of a CSV file, for one op."""
    if op == DELETE:
        return f"{DELETE},user_{n:08d},1,peer_{n * 7 % 99999989:08d},1,,,,ref-{n}\n"
    if op == GROUPS:
        return f"{GROUPS},user_{n:08d},,,,label {n % 977},,,ref-{n}\n"
    return f"{CLEAR},,,,,,@TGS#2{n:08d},{n % 100000 + 1},ref-{n}\n"


def json_row(op: str, n: int) -> str:
    """The same row of a JSONL file."""
    if op == DELETE:
        return (
            f'{{"op": "{DELETE}", "From_Account": "user_{n:08d}", "Type": 1, "To_Account": "peer_{n * 7 % 99999989:08d}",'
            f' "ClearRamble": 1, "id": "ref-{n}"}}\n'
        )
    if op == GROUPS:
        return f'{{"op": "{GROUPS}", "From_Account": "user_{n:08d}", "GroupName": "label {n % 977}", "id": "ref-{n}"}}\n'
    return f'{{"op": "{CLEAR}", "GroupId": "@TGS#2{n:08d}", "MsgSeq": {n % 100000 + 1}, "id": "ref-{n}"}}\n'


def mixed(path: Path, rows: int, *, duplicate_every: int = 0) -> Job:
    """The three ops in turn. With `duplicate_every`, every so manieth row repeats one from far above it."""
    return _write(path, rows, lambda n: OPS[n % 3], duplicate_every)


def sorted_by_op(path: Path, rows: int) -> Job:
    """All rows of one op, then all of the next."""
    third = -(-rows // 3)
    return _write(path, rows, lambda n: OPS[n // third], 0)


def of_one(path: Path, rows: int, op: str = DELETE) -> Job:
    """Rows of one op only."""
    return _write(path, rows, lambda _: op, 0)


def _write(path: Path, rows: int, op_of: OpOf, duplicate_every: int) -> Job:
    """Write a file of one of the two formats, by its suffix."""
    jsonl = path.suffix == ".jsonl"
    row = json_row if jsonl else csv_row
    duplicates = 0
    with path.open("w", encoding="ascii", newline="") as file:
        if not jsonl:
            file.write(HEADER)
        for first in range(0, rows, CHUNK):
            numbers = range(first, min(first + CHUNK, rows))
            if duplicate_every:
                chosen = [n // 2 if _repeats(n, duplicate_every) else n for n in numbers]
                duplicates += sum(a != b for a, b in zip(chosen, numbers, strict=True))
            else:
                chosen = list(numbers)
            file.write("".join([row(op_of(n), n) for n in chosen]))
    return Job(path, rows, rows - duplicates)


def _repeats(n: int, every: int) -> bool:
    """Whether row n repeats row n // 2, which then is a first one itself."""
    return n % every == every - 1 and n > 0 and (n // 2) % every != every - 1
