"""Valid rows for property tests, made from the catalog, and files that hold them in every way that is legal."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from bulkops.chat.catalog import APIS
from bulkops.job.rules import KNOWN_NAMES
from bulkops.model import FIELD_SEPARATOR, Api, Field, FieldKind
from tests.helpers.job import packed

PRINTABLE = st.characters(min_codepoint=0x20, max_codepoint=0x7E)
NAME_CHARACTERS = st.characters(exclude_categories=("Cc", "Cs"))
REF_CHARACTERS = st.characters(codec="utf-8", exclude_characters="\0\n\r")


@dataclass(frozen=True, slots=True)
class ValidRow:
    """One valid row.

    Args:
        api: Index of its API.
        op: How it writes its `op`.
        ref: Its `id`, empty for none.
        values: Present fields, integers as digits.
    """

    api: int
    op: str
    ref: str
    values: Mapping[str, str]

    @property
    def content(self) -> str:
        """What the reader has to make of it."""
        return FIELD_SEPARATOR.join(self.values.get(field.name, "") for field in APIS[self.api].fields)


def texts(characters: st.SearchStrategy[str], max_bytes: int) -> st.SearchStrategy[str]:
    """Texts of one to `max_bytes` bytes."""
    return st.text(characters, min_size=1, max_size=max_bytes).filter(lambda text: len(text.encode()) <= max_bytes)


def values_of(field: Field) -> st.SearchStrategy[str]:
    """Valid values of a field."""
    if field.kind is FieldKind.INTEGER:
        return st.integers(field.minimum, field.maximum).map(str)
    if field.kind is FieldKind.NAME:
        return texts(NAME_CHARACTERS, field.max_bytes)
    # Some look like what a spreadsheet or a commenter leaves behind: legal, and worth a warning.
    odd = st.sampled_from(["1.23E+15", "# note", "//x", "#REF!", "2024-01-05", "10.0", "TRUE", "@TGS#_1", "=1+1", "null"])
    return st.one_of(texts(PRINTABLE, field.max_bytes).filter(lambda text: text == text.strip(" ")), odd)


@st.composite
def fields_of(draw: st.DrawFn, api: Api) -> dict[str, str]:
    """The fields of one valid row of `api`; conditions refer to fields that come earlier."""
    values: dict[str, str] = {}
    for field in api.fields:
        if field.only_with is not None:
            other, value = field.only_with
            present = values.get(other) == str(value)
        else:
            present = field.required or draw(st.booleans())
        if present:
            values[field.name] = draw(values_of(field))
    return values


@st.composite
def valid_rows(draw: st.DrawFn, *, api: int | None = None, with_op: bool = True) -> ValidRow:
    """One valid row, of any API or of the given one."""
    index = draw(st.sampled_from(range(len(APIS)))) if api is None else api
    op = draw(st.sampled_from(APIS[index].aliases)) if with_op else ""
    ref = draw(st.one_of(st.just(""), texts(REF_CHARACTERS, 256)))
    return ValidRow(index, op, ref, draw(fields_of(APIS[index])))


@dataclass(frozen=True, slots=True)
class Dialect:
    """One legal way to write a job file.

    Args:
        delimiter: Between the cells.
        quoting: As in the module `csv`.
        line_end: After every line.
        encoding: `utf-8`, `utf-8-sig` or `utf-16` (with a byte order mark).
        ending: Of the compression.
        columns: In their order.
    """

    delimiter: str
    quoting: int
    line_end: str
    encoding: str
    ending: str
    columns: tuple[str, ...]


@st.composite
def dialects(draw: st.DrawFn) -> Dialect:
    """Any legal way to write a job file, with a few ignored columns among the known ones."""
    ignored = draw(st.lists(st.sampled_from(["_file", "_info", "_", "_a b"]), unique=True))
    return Dialect(
        delimiter=draw(st.sampled_from(",;\t")),
        quoting=draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])),
        line_end=draw(st.sampled_from(["\n", "\r\n"])),
        encoding=draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])),
        ending=draw(st.sampled_from(["", ".gz", ".zst"])),
        columns=tuple(draw(st.permutations([*KNOWN_NAMES, *ignored]))),
    )


def csv_file(rows: Sequence[ValidRow], dialect: Dialect) -> bytes:
    """The rows as CSV, written by the standard library."""
    out = io.StringIO()
    writer = csv.DictWriter(
        out,
        dialect.columns,
        restval="",
        delimiter=dialect.delimiter,
        quoting=dialect.quoting,  # type: ignore[arg-type]  # one of csv's own constants, which its stubs type as literals
        lineterminator=dialect.line_end,
    )
    writer.writeheader()
    for row in rows:
        ignored = {name: 'say "x", or;\ty' for name in dialect.columns if name.startswith("_")}
        writer.writerow({"op": row.op, "id": row.ref, **row.values, **ignored})
    return packed(out.getvalue().encode(dialect.encoding), dialect.ending)


def json_object(row: ValidRow) -> dict[str, object]:
    """A row as a JSON object, with integers where the catalog says so."""
    numbers = {field.name for field in APIS[row.api].fields if field.kind is FieldKind.INTEGER}
    head = {key: value for key, value in (("op", row.op), ("id", row.ref)) if value}
    return {**head, **{name: int(value) if name in numbers else value for name, value in row.values.items()}}


def jsonl_file(rows: Sequence[ValidRow], dialect: Dialect, *, escaped: bool) -> bytes:
    """The rows as JSONL, with every character outside ASCII escaped or not."""
    extra = {name: 'say "x" \\' for name in dialect.columns if name.startswith("_")}
    lines = [json.dumps({**json_object(row), **extra}, ensure_ascii=escaped) + dialect.line_end for row in rows]
    return packed("".join(lines).encode(dialect.encoding), dialect.ending)
