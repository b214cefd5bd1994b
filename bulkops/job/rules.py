"""What makes a row valid: the one place that decides, and that words what is wrong with a row.

Takes the known cells or keys of one row and returns the contents that it asks for. Everything about fields comes from the
catalog. Knows nothing about files, lines or syntax; how CSV and JSONL write a value differs, and is a `Notation`.
"""

from __future__ import annotations

import itertools
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Final, NoReturn

from bulkops.chat.catalog import APIS, BY_NAME
from bulkops.job.warnings import ID_KINDS
from bulkops.job.wording import character, shown, suggestion
from bulkops.model import Api, Field, FieldKind

OP: Final = "op"
REF: Final = "id"
IGNORED_PREFIX: Final = "_"
"""Columns and keys that begin with it are ignored, so that a results file is a job file."""

REF_BYTES: Final = 256
"""Longest `id`, in bytes of UTF-8."""

KNOWN_NAMES: Final = (OP, REF, *dict.fromkeys(field.name for api in APIS for field in api.fields))
"""Every column and key that a job file may have."""

API_INDEX: Final = {api.op: index for index, api in enumerate(APIS)}

_CONDITIONS_LAST: Final = {api.op: sorted(api.fields, key=lambda field: field.only_with is not None) for api in APIS}
_NO_TEXT_IN_REF: Final = re.compile("[\0\n\r\ud800-\udfff]")
_NOT_PRINTABLE_ASCII: Final = re.compile("[^ -~]")
_NO_PART_OF_A_NAME: Final = re.compile("[\0-\x1f\x7f-\x9f\ud800-\udfff]")  # Unicode's Cc and Cs
_OPS: Final = ", ".join(api.op for api in APIS)


class RowFault(Exception):
    """A row asks for nothing valid. Never leaves the folder: it becomes an `Invalid`.

    Args:
        message: What is wrong and what would be right.
        column: Column or key; empty where the whole row is meant.
        cells: The row's known cells or keys as far as they could be read.
    """

    def __init__(self, message: str, column: str = "", cells: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.column = column
        self.cells: Mapping[str, object] = cells or {}


class Notation(ABC):
    """How a job file's format writes values. A name is in a row's mapping where its value is present."""

    leave_out: str
    """What to do with a value that must not be there: `leave the cell empty`."""

    @abstractmethod
    def ref(self, value: object) -> str:
        """The text of an `id`."""

    @abstractmethod
    def op(self, value: object) -> str:
        """The text of an `op`."""

    @abstractmethod
    def texts(self, field: Field, value: object) -> list[str]:
        """The texts that a field's value holds: one, or several where it is a list."""

    @abstractmethod
    def integer(self, field: Field, value: object) -> int:
        """The number that a field's value is."""


def check(row: Mapping[str, object], notation: Notation, fixed: Api | None) -> tuple[int, list[list[str]], str]:
    """What one row asks for.

    Args:
        row: Its present cells or keys by name, all of them in `KNOWN_NAMES`.
        notation: How its values are written.
        fixed: The API that `--op` names.

    Returns:
        (index of the API, values of each operation in the order of its fields, the row's `id`).

    Raises:
        RowFault: It asks for nothing valid.
    """
    api = _api(notation.op(row[OP]) if OP in row else "", fixed)
    ref = _ref(notation.ref(row[REF])) if REF in row else ""
    choices: dict[str, list[str]] = {}
    for field in _CONDITIONS_LAST[api.op]:
        choices[field.name] = _choices(api, field, row, notation, choices)
    for name in row:
        if name not in choices and name not in (OP, REF):
            raise RowFault(f"{name} is no field of {api.op}; {notation.leave_out}", name)
    in_order = (choices[field.name] for field in api.fields)
    return API_INDEX[api.op], [list(values) for values in itertools.product(*in_order)], ref


def unknown_name(name: str, what: str) -> str:
    """What to say about a column or key that is not known."""
    return f"unknown {what} {shown(name)}; {suggestion(name, KNOWN_NAMES)}"


def check_text(field: Field, text: str) -> None:
    """Return where `text` is a valid value of `field`.

    Raises:
        RowFault: It is not.
    """
    if field.kind in ID_KINDS:
        _check_id(field, text)
    else:
        _check_name(field, text)


def check_range(field: Field, number: int, written: str) -> None:
    """Return where `number` is in the range of `field`; `written` is how the file has it.

    Raises:
        RowFault: It is not.
    """
    if not field.minimum <= number <= field.maximum:
        _wrong(field, f"is {shown(written)}; it has to be {range_of(field)}")


def range_of(field: Field) -> str:
    """The values of an integer field in words."""
    if field.maximum - field.minimum == 1:
        return f"{field.minimum} or {field.maximum}"
    return f"an integer from {field.minimum} to {field.maximum}"


def _api(text: str, fixed: Api | None) -> Api:
    if not text:
        if fixed is None:
            raise RowFault(f"op is missing; say which operation is meant ({_OPS}), or give --op", OP)
        return fixed
    api = BY_NAME.get(text)
    if api is None:
        raise RowFault(f"unknown op {shown(text)}; {suggestion(text, BY_NAME)}", OP)
    if fixed is not None and api is not fixed:
        raise RowFault(f"op is {api.op}, but --op says {fixed.op}; leave --op out for a file of several ops", OP)
    return api


def _ref(text: str) -> str:
    found = _NO_TEXT_IN_REF.search(text)
    if found:
        raise RowFault(f"id has {character(found[0])} at character {found.start() + 1}; it has to be text on one line", REF)
    size = len(text.encode())
    if size > REF_BYTES:
        raise RowFault(f"id {shown(text)} takes {size} bytes; it may have at most {REF_BYTES}", REF)
    return text


def _choices(
    api: Api, field: Field, row: Mapping[str, object], notation: Notation, before: Mapping[str, list[str]]
) -> list[str]:
    """The values that a row has for one field: one (empty where absent), or several where it is a list."""
    condition = ""
    required = field.required
    if field.only_with is not None:
        other, value = field.only_with
        required = before[other] == [str(value)]
        condition = f" where {other} is {before[other][0]}"
        if not required and field.name in row:
            message = f"belongs to {other} {value} only, and {other} is {before[other][0] or 'absent'}; {notation.leave_out}"
            _wrong(field, message)
    if field.name not in row:
        if required:
            _wrong(field, f"is missing; {api.op} needs it{condition}")
        return [""]
    value_in_row = row[field.name]
    if field.kind is FieldKind.INTEGER:
        number = notation.integer(field, value_in_row)
        check_range(field, number, str(number))
        return [str(number)]
    texts = notation.texts(field, value_in_row)
    for text in texts:
        check_text(field, text)
    return texts


def _check_id(field: Field, text: str) -> None:
    kind = field.kind.value
    stray = _NOT_PRINTABLE_ASCII.search(text)
    if stray:
        message = f"{shown(text)} has {character(stray[0])} at character {stray.start() + 1}; a {kind} is printable ASCII"
        _wrong(field, message)
    if text != text.strip(" "):
        _wrong(
            field,
            f"{shown(text)} has a space at its {'start' if text.startswith(' ') else 'end'}; remove it, ids are never trimmed",
        )
    if len(text) > field.max_bytes:
        _wrong(field, f"{shown(text)} takes {len(text):,} bytes; a {kind} has at most {field.max_bytes}")


def _check_name(field: Field, text: str) -> None:
    stray = _NO_PART_OF_A_NAME.search(text)
    if stray:
        what = "half of a surrogate pair" if "\ud800" <= stray[0] <= "\udfff" else "a control character"
        _wrong(field, f"{shown(text)} has {character(stray[0])} at character {stray.start() + 1}; {what} is no part of a name")
    size = len(text.encode())
    if size > field.max_bytes:
        _wrong(field, f"{shown(text)} takes {size:,} bytes of UTF-8; a name has at most {field.max_bytes}")


def _wrong(field: Field, message: str) -> NoReturn:
    raise RowFault(f"{field.name} {message}", field.name)
