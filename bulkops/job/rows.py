"""What the two formats have in common: a quick reader for calm rows, a careful one for all others, and the loop over both.

On any doubt the quick reader returns nothing and the careful one decides, so that what is valid, what it amounts to and what
is said about it come from one place. The two never disagree about a row that both accept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from bulkops.job.lines import Chunk, damage
from bulkops.job.rules import RowFault
from bulkops.model import Invalid

Row: TypeAlias = tuple[int, str, str, int]
"""Shaped like `model.FrozenRow`, and made faster."""


class RowReader(Protocol):
    """One format's way from lines to rows."""

    def quick(self, line: str, number: int) -> Row | None:
        """The row that a calm line asks for, its warnings counted; `None` on any doubt."""

    def careful(self, line: str, number: int) -> list[Row]:
        """The rows that a line asks for, their warnings counted.

        Raises:
            RowFault: It asks for nothing valid.
        """

    def column_at(self, line: str, at: int) -> str:
        """The column in which a character stands; empty where that can't be told."""


class Portion(NamedTuple):
    """What a chunk of lines amounts to."""

    rows: Sequence[Row]
    invalid: Sequence[Invalid]
    blank: int


def read(chunk: Chunk, reader: RowReader, file: int, encoding: str) -> Portion:
    """Every line of a chunk in exactly one place: a valid row (or several), an invalid one, or a blank line."""
    rows: list[Row] = []
    invalid: list[Invalid] = []
    blank = 0
    add, doubtful = rows.append, chunk.doubtful
    for number, line in enumerate(chunk.lines, chunk.first):
        if doubtful and (fault := _damaged(line, reader, encoding)):
            invalid.append(_invalid(file, number, fault))
            continue
        row = reader.quick(line, number)
        if row is not None:
            add(row)
        elif not line:
            blank += 1
        else:
            try:
                rows += reader.careful(line, number)
            except RowFault as fault:
                invalid.append(_invalid(file, number, fault))
    return Portion(rows, invalid, blank)


def _damaged(line: str, reader: RowReader, encoding: str) -> RowFault | None:
    found = damage(line, encoding)
    if found is None:
        return None
    return RowFault(found.message, reader.column_at(line, found.at) if found.at >= 0 else "")


def _invalid(file: int, number: int, fault: RowFault) -> Invalid:
    return Invalid(file, number, fault.column, fault.message, cells_text(fault.cells))


def cells_text(cells: Mapping[str, object]) -> str:
    """A JSON object of those cells that can be written as UTF-8."""
    try:
        text = json.dumps(cells, ensure_ascii=False)
        text.encode()
    except (UnicodeEncodeError, RecursionError):
        if len(cells) == 1:
            return "{}"
        kept = {name: value for name, value in cells.items() if cells_text({name: value}) != "{}"}
        return json.dumps(kept, ensure_ascii=False)
    return text
