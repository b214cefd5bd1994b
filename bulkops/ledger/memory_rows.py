"""Where the in-memory ledger's operations come from: kept in a table, made when asked for, or folded from a job's rows."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple, Protocol

from bulkops.ledger.records import FIRST_INVALID, Frozen
from bulkops.model import Batch, Invalid, SourceFile


class Row(NamedTuple):
    """A valid row of a job; its file by index."""

    api: int
    content: str
    ref: str = ""
    file: int = 0
    line: int = 0


class Duplicate(NamedTuple):
    """A row that asks for what an earlier row, the operation at `of`, asked for."""

    seq: int
    row: Row
    of: int


class Rows(Protocol):
    """A job's operations."""

    @property
    def last_seq(self) -> int:
        """The last one's place."""

    def of_api(self, api: int) -> Sequence[int]:
        """Places of one API's operations, ascending."""

    def __iter__(self) -> Iterator[int]:
        """All places, ascending."""

    def __getitem__(self, seq: int) -> Row:
        """The operation at a place."""


class Listed:
    """Operations that are kept, by their place."""

    def __init__(self, rows: Mapping[int, Row]) -> None:
        self._rows = dict(sorted(rows.items()))
        self._of_api: dict[int, list[int]] = {}
        for seq, row in self._rows.items():
            self._of_api.setdefault(row.api, []).append(seq)

    @property
    def last_seq(self) -> int:
        return max(self._rows, default=0)

    def of_api(self, api: int) -> Sequence[int]:
        return self._of_api.get(api, [])

    def __iter__(self) -> Iterator[int]:
        return iter(self._rows)

    def __getitem__(self, seq: int) -> Row:
        return self._rows[seq]


class Generated:
    """Operations that are made when they are asked for, one API after the other.

    Args:
        counts: Operations by API.
        content: (API, place among its operations, from 0) → content.
    """

    def __init__(self, counts: Sequence[int], content: Callable[[int, int], str]) -> None:
        self._content = content
        self._ends = list(accumulate(counts))
        self._starts = [0, *self._ends]

    @property
    def last_seq(self) -> int:
        return self._starts[-1]

    def of_api(self, api: int) -> Sequence[int]:
        return range(self._starts[api] + 1, self._ends[api] + 1) if api < len(self._ends) else range(0)

    def __iter__(self) -> Iterator[int]:
        return iter(range(1, self.last_seq + 1))

    def __getitem__(self, seq: int) -> Row:
        api = bisect_right(self._ends, seq - 1)
        return Row(api, self._content(api, seq - 1 - self._starts[api]), line=seq + 1)


class Folded(NamedTuple):
    """A job folded in memory."""

    rows: Listed
    duplicates: tuple[Duplicate, ...]
    invalid: tuple[Invalid, ...]
    frozen: Frozen


def fold(batches: Iterable[Batch], ops: Sequence[tuple[str, bool]], files: Sequence[SourceFile]) -> Folded:
    """What `freeze` makes of a job, said once more in plain Python; arguments as there."""
    first: dict[tuple[int, str], int] = {}
    rows: dict[int, Row] = {}
    duplicates: list[Duplicate] = []
    invalid: list[Invalid] = []
    seq = 0
    for batch in batches:
        invalid += batch.invalid
        for api, content, ref, line in batch.rows:
            seq += 1
            row = Row(api, content, ref, batch.file, line)
            of = first.setdefault((api, content), seq)
            if of == seq:
                rows[seq] = row
            else:
                duplicates.append(Duplicate(seq, row, of))
    options: dict[tuple[int, str], list[int]] = {}
    for place, row in rows.items():
        if ops[row.api][1]:
            options.setdefault((row.api, row.content.rstrip("0123456789")), []).append(place)
    variants = [places for places in options.values() if len(places) > 1]
    example = rows[min(places[0] for places in variants)] if variants else None
    text = "".join(f"{ops[row.api][0]}\t{row.content}\n" for row in rows.values())
    by_api = Counter(row.api for row in rows.values())
    frozen = Frozen(
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        rows=seq + len(invalid),
        duplicates=len(duplicates),
        invalid=len(invalid),
        operations=len(rows),
        by_op={op: by_api[api] for api, (op, _) in enumerate(ops) if by_api[api]},
        variants=len(variants),
        variants_example=(files[example.file].name, example.line) if example else None,
        first_invalid=tuple(invalid[:FIRST_INVALID]),
    )
    return Folded(Listed(rows), tuple(duplicates), tuple(invalid), frozen)
