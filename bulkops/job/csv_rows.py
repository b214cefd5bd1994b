"""CSV → rows: strict RFC 4180 on one physical line at a time, so that an open quote spoils one row and not the rest.

Decides which delimiter a header uses and whether its names are known. `csv` of the standard library is not used: it takes
`a"b` and joins lines in quotes, and its messages name no column.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Final, NamedTuple

from bulkops.chat.catalog import APIS
from bulkops.errors import JobFileError
from bulkops.job import rules
from bulkops.job.calm import REF_CHARACTERS, calm
from bulkops.job.lines import damage
from bulkops.job.rows import Row
from bulkops.job.rules import RowFault
from bulkops.job.warnings import Notices, Tally
from bulkops.job.wording import nearest, plain, shown
from bulkops.model import FIELD_SEPARATOR, Api, Field

DELIMITERS: Final = {",": "comma", ";": "semicolon", "\t": "tab"}
_OTHER_DELIMITERS: Final = {"|": "'|'", ":": "':'", " ": "spaces"}
_QUOTE: Final = '"'


class Header(NamedTuple):
    """The first row of a CSV file.

    Args:
        names: Its columns in their order, ignored ones included.
        delimiter: What separates them.
    """

    names: tuple[str, ...]
    delimiter: str


def split_cells(line: str, delimiter: str) -> tuple[list[str], str]:
    """The cells of one line, and what is wrong with the one after them; empty where nothing is."""
    cells: list[str] = []
    start = 0
    while True:
        if line.startswith(_QUOTE, start):
            cell, end = _quoted(line, start + 1)
            if end < 0:
                return cells, "the quote is not closed on this line; a cell has no line break, and a quote in it is doubled"
            if end < len(line) and line[end] != delimiter:
                return cells, f"{shown(line[end])} follows the closing quote; a quote inside a quoted cell is doubled"
        else:
            end = line.find(delimiter, start)
            end = len(line) if end < 0 else end
            cell = line[start:end]
            if _QUOTE in cell:
                return cells, f"{shown(cell)} has a quote inside; put the cell in quotes and double the quotes in it"
        cells.append(cell)
        if end == len(line):
            return cells, ""
        start = end + 1


def header_of(line: str, file: str, number: int, fixed: Api | None, encoding: str = "UTF-8") -> Header:
    """The columns that a file's first row names, with the delimiter that makes most of them known.

    Args:
        line: The row as text.
        file: The file's name, for errors.
        number: The row's physical line.
        fixed: The API that `--op` names.
        encoding: Of the file, for errors.

    Raises:
        JobFileError: There is no header, or it names what is not known, twice, or not enough.
    """
    damaged = damage(line, encoding)
    if damaged is not None:
        raise JobFileError(f"in the header: {damaged.message}", file=file, line=number)
    candidates = {delimiter: split_cells(line, delimiter) for delimiter in DELIMITERS}
    delimiter = max(candidates, key=lambda delimiter: _likeness(candidates[delimiter][0]))
    names, fault = candidates[delimiter]
    known, nearly = _likeness(names)
    other = "" if known else _other_delimiter(line)
    if other:
        raise JobFileError(
            f"the columns are separated by {other}; separate them by comma, semicolon or tab", file=file, line=number
        )
    if not known and not nearly:
        message = f"no header: the first line has to name the columns ({', '.join(rules.KNOWN_NAMES)}), and it is {shown(line)}"
        raise JobFileError(message, file=file, line=number)
    if fault:
        raise JobFileError(f"in the header, column {len(names) + 1}: {fault}", file=file, line=number)
    fault, column = _header_fault(names, fixed)
    if fault:
        raise JobFileError(fault, file=file, line=number, column=column)
    return Header(tuple(names), delimiter)


class _Shape(NamedTuple):
    """How to read the calm rows of one API under one header.

    Args:
        api: Its index.
        pick: From the cells the values of its fields, in their order.
        others: From the cells those that must be empty.
        matches: Whether a content is calm.
        absent: (index of a field, tally of the rows that leave it out).
    """

    api: int
    pick: Callable[[Sequence[str]], tuple[str, ...]]
    others: Callable[[Sequence[str]], tuple[str, ...]] | None
    matches: Callable[[str], object]
    absent: tuple[tuple[int, Tally], ...]


class CsvRows:
    """Rows of a CSV file under its header.

    Args:
        header: The file's header.
        fixed: The API that `--op` names.
        notices: Where warnings are counted.
    """

    def __init__(self, header: Header, fixed: Api | None, notices: Notices) -> None:
        self._header = header
        self._fixed = fixed
        self._notices = notices
        self._notation = _CsvNotation()
        first = header.names[0]
        self._leading = "" if first in (rules.OP, rules.REF) else first
        self.quick = self._compiled()

    def careful(self, line: str, number: int) -> list[Row]:
        """As in `RowReader`."""
        names, delimiter = self._header
        if not line.strip(" "):
            raise RowFault("the line holds only spaces; remove it")
        cells, fault = split_cells(line, delimiter)
        row = {name: cell for name, cell in zip(names, cells, strict=False) if cell and not _ignored(name)}
        try:
            if fault:
                raise RowFault(fault, plain(names[len(cells)]) if len(cells) < len(names) else "")
            if len(cells) != len(names):
                raise self._miscounted(cells)
            if not any(cells):
                raise RowFault("every cell is empty; remove the line, or fill it in")
            api, operations, ref = rules.check(row, self._notation, self._fixed)
        except RowFault as fault_found:
            fault_found.cells = row
            raise
        for texts in operations:
            self._notices.examine(APIS[api], texts, number, leading=self._leading)
        return [(api, FIELD_SEPARATOR.join(texts), ref, number) for texts in operations]

    def column_at(self, line: str, at: int) -> str:
        """As in `RowReader`."""
        cells, fault = split_cells(line[:at], self._header.delimiter)
        index = len(cells) if fault else len(cells) - 1
        return plain(self._header.names[index]) if index < len(self._header.names) else ""

    def _miscounted(self, cells: Sequence[str]) -> RowFault:
        names, delimiter = self._header
        counts = f"{len(cells)} cell{'s' * (len(cells) != 1)}, but the header has {len(names)} column{'s' * (len(names) != 1)}"
        if len(cells) < len(names):
            missing = plain(names[len(cells)])
            return RowFault(f"the row has {counts}; {missing} is missing (an absent value is an empty cell)", missing)
        word = DELIMITERS[delimiter]
        return RowFault(f"the row has {counts}; put a cell with a {word} in it in quotes, or remove {shown(cells[len(names)])}")

    def _compiled(self) -> Callable[[str, int], Row | None]:
        """The quick reader for this header."""
        names, delimiter = self._header
        width = len(names)
        shapes = self._shapes()
        # A column that the header lacks is read from the empty cell that is put behind the others.
        op_at, ref_at = (names.index(name) if name in names else width for name in (rules.OP, rules.REF))
        quotes, fence = 2 * width, f'"{delimiter}"'
        notices, shape_of = self._notices, shapes.get

        def quick(line: str, number: int) -> Row | None:
            if _QUOTE not in line:
                cells = line.split(delimiter)
            elif line.count(_QUOTE) == quotes and line[0] == line[-1] == _QUOTE:
                # With two quotes to a cell and a fence between any two cells, no quote is left to stand inside one.
                cells = line[1:-1].split(fence)
            else:
                cells, fault = split_cells(line, delimiter)
                if fault:
                    return None
            if len(cells) != width:
                return None
            cells.append("")
            shape = shape_of(cells[op_at])
            if shape is None:
                return None
            api, pick, others, matches, absent = shape
            values = pick(cells)
            content = FIELD_SEPARATOR.join(values)
            ref = cells[ref_at]
            if matches(content) is None or len(ref) > REF_CHARACTERS or (others is not None and any(others(cells))):
                return None
            for at, tally in absent:
                if not values[at]:
                    tally.add(notices.file, number)
            return api, content, ref, number

        return quick

    def _shapes(self) -> dict[str, _Shape]:
        """How to read the calm rows of each API, by what the `op` cell holds."""
        names = self._header.names
        shapes: dict[str, _Shape] = {}
        for index, api in enumerate(APIS):
            if self._fixed is not None and api is not self._fixed:
                continue
            fields = [field.name for field in api.fields]
            others = [at for at, name in enumerate(names) if not _ignored(name) and name not in (*fields, rules.OP, rules.REF)]
            shape = _Shape(
                api=index,
                pick=_picker([names.index(name) if name in names else len(names) for name in fields]),
                others=_picker(others) if others else None,
                matches=calm(api),
                absent=self._notices.absences(api),
            )
            shapes |= dict.fromkeys(api.aliases, shape)
            if self._fixed is not None:
                shapes[""] = shape
        return shapes


class _CsvNotation(rules.Notation):
    """A cell is text; an empty one means that the value is absent and never comes here."""

    leave_out = "leave the cell empty"

    def op(self, value: object) -> str:
        return str(value)

    def ref(self, value: object) -> str:
        return str(value)

    def texts(self, field: Field, value: object) -> list[str]:
        return [str(value)]

    def integer(self, field: Field, value: object) -> int:
        """The number that plain ASCII digits without sign or leading zero write."""
        cell = str(value)
        if not (cell.isascii() and cell.isdecimal()):
            message = f"{field.name} {shown(cell)} is no plain number; it has to be {rules.range_of(field)}, in digits only"
            raise RowFault(message, field.name)
        if len(cell) > 1 and cell.startswith("0"):
            digits = cell.lstrip("0") or "0"
            raise RowFault(f"{field.name} {shown(cell)} has a leading zero; write {plain(digits)}", field.name)
        if len(cell) > len(str(field.maximum)):
            raise RowFault(f"{field.name} is {shown(cell)}; it has to be {rules.range_of(field)}", field.name)
        return int(cell)


def _quoted(line: str, start: int) -> tuple[str, int]:
    """The content of a quoted cell that begins at `start`, and where its closing quote ends; -1 where it has none."""
    at = start
    while True:
        at = line.find(_QUOTE, at)
        if at < 0:
            return "", -1
        if not line.startswith(_QUOTE, at + 1):
            return line[start:at].replace('""', _QUOTE), at + 1
        at += 2


def _picker(indices: Sequence[int]) -> Callable[[Sequence[str]], tuple[str, ...]]:
    """`itemgetter`, with a tuple for a single index too."""
    if len(indices) == 1:
        (index,) = indices
        return lambda cells: (cells[index],)
    picker: Callable[[Sequence[str]], tuple[str, ...]] = itemgetter(*indices)
    return picker


def _ignored(name: str) -> bool:
    return name.startswith(rules.IGNORED_PREFIX)


def _likeness(names: Sequence[str]) -> tuple[int, int]:
    """How many of the names are known, and how many nearly."""
    known = sum(name in rules.KNOWN_NAMES for name in names)
    nearly = sum(bool(nearest(name, rules.KNOWN_NAMES)) for name in names)
    return known, nearly


def _other_delimiter(line: str) -> str:
    """What separates the names of a header where it is none that is read; empty where nothing does."""
    words = (word for delimiter, word in _OTHER_DELIMITERS.items() if _likeness(line.split(delimiter))[0] > 1)
    return next(words, "")


def _header_fault(names: Sequence[str], fixed: Api | None) -> tuple[str, str]:
    """(what is wrong with a header, the column); empty where nothing is."""
    for at, name in enumerate(names):
        if not name:
            return f"column {at + 1} has no name; remove it, or begin its name with {rules.IGNORED_PREFIX}", ""
        if not _ignored(name) and name not in rules.KNOWN_NAMES:
            return rules.unknown_name(name, "column"), plain(name)
        if name in names[:at]:
            return f"two columns are named {shown(name)}; remove one of them", plain(name)
    if fixed is None:
        if rules.OP not in names:
            return "no column says which operation is meant; add a column op, or give --op", rules.OP
        return "", ""
    for field in fixed.fields:
        if field.required and field.only_with is None and field.name not in names:
            return f"the column {field.name} is missing; {fixed.op} needs it", field.name
    return "", ""
