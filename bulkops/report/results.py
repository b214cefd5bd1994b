"""Results as rows of text: CSV or JSON Lines, each a valid job file again. Pure but for the stream that it writes to.

The operation's own columns are given back byte for byte and nothing is put in front of them (group ids begin with `@`): what
makes them inert in a spreadsheet is that every cell is quoted and that the file is data. Only `_info`, which a server wrote, is
changed, by `escape_info`. Columns that begin with `_` are ignored by whoever reads the file as a job.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Final, Protocol

from bulkops.chat.catalog import APIS
from bulkops.model import FIELD_SEPARATOR, FieldKind, ResultRow
from bulkops.report.escape import escape, escape_info

FORMATS: Final = ("csv", "jsonl")

FIELD_COLUMNS: Final = tuple(dict.fromkeys(field.name for api in APIS for field in api.fields))
"""Every field of every API, each once, in the catalog's order."""

OUTCOME_COLUMNS: Final = ("_file", "_line", "_status", "_attempts", "_code", "_info", "_finished_at")

COLUMNS: Final = ("op", "id", *FIELD_COLUMNS, *OUTCOME_COLUMNS)
"""The header of a CSV of results."""

_PLACES: Final = tuple(tuple(FIELD_COLUMNS.index(field.name) for field in api.fields) for api in APIS)
_OPS: Final = tuple(api.op for api in APIS)
_FIELDS: Final = tuple(tuple((field.name, field.kind is FieldKind.INTEGER) for field in api.fields) for api in APIS)
_ROWS_AT_ONCE: Final = 512
_DEEPEST: Final = 50


class Writable(Protocol):
    """What results are written to."""

    def write(self, text: str, /) -> object: ...


def write_results(rows: Iterable[ResultRow], out: Writable, format: str = "csv") -> None:  # noqa: A002 - the flag's own name
    """Write one line for every row.

    Args:
        rows: In the order in which they are to appear.
        out: Text stream that does not translate newlines; lines end with a single LF.
        format: `csv` (a header, every cell quoted) or `jsonl` (only the fields that are present).
    """
    if format == "csv":
        writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(_csv_rows(rows))
    else:
        _write_jsonl(rows, out)


def _csv_rows(rows: Iterable[ResultRow]) -> Iterator[list[object]]:
    when = _stamps()
    for api, content, ref, file, line, status, attempts, code, info, finished_at, cells in rows:
        if api >= 0:
            fields = [""] * len(FIELD_COLUMNS)
            for place, value in zip(_PLACES[api], content.split(FIELD_SEPARATOR), strict=True):
                fields[place] = value
            head = [_OPS[api], ref, *fields]
        else:
            known = _known_cells(cells)
            head = [_cell(known.get(name, "")) for name in ("op", "id", *FIELD_COLUMNS)]
        yield [*head, escape(file), line, status, attempts, code, escape_info(info), when(finished_at)]


def _write_jsonl(rows: Iterable[ResultRow], out: Writable) -> None:
    encode = json.JSONEncoder(ensure_ascii=False, check_circular=False).encode
    buffer: list[str] = []
    for record in _json_rows(rows):
        buffer.append(encode(record))
        if len(buffer) == _ROWS_AT_ONCE:
            out.write("\n".join(buffer) + "\n")
            buffer.clear()
    out.write("".join(line + "\n" for line in buffer))


def _json_rows(rows: Iterable[ResultRow]) -> Iterator[dict[str, object]]:
    when = _stamps()
    for api, content, ref, file, line, status, attempts, code, info, finished_at, cells in rows:
        record: dict[str, object] = {}
        if api >= 0:
            record["op"] = _OPS[api]
            if ref:
                record["id"] = ref
            for (name, integer), value in zip(_FIELDS[api], content.split(FIELD_SEPARATOR), strict=True):
                if value:
                    record[name] = int(value) if integer else value
        else:
            record.update(_known_cells(cells))
        record["_file"] = file
        record["_line"] = line
        record["_status"] = status
        record["_attempts"] = attempts
        record["_code"] = _json_code(code)
        record["_info"] = escape_info(info)
        record["_finished_at"] = when(finished_at) or None
        yield record


def _known_cells(cells: str) -> dict[str, object]:
    """The known columns of an invalid row, as far as its reader could tell them."""
    try:
        known = json.loads(cells) if cells else {}
    except RecursionError:
        return {}
    names = ("op", "id", *FIELD_COLUMNS)
    return {name: known[name] for name in names if name in known and _is_flat(known[name])}


def _is_flat(value: object) -> bool:
    """Whether a value of an invalid row is nested so little that it can surely be written again."""
    level = [value]
    for _ in range(_DEEPEST):
        level = [inner for each in level for inner in _inner(each)]
    return not level


def _inner(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _cell(value: object) -> str:
    """A value of an invalid row as a CSV cell: text as it was, anything else (from JSONL) as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _json_code(code: str) -> int | str | None:
    """An ErrorCode as a number, a label such as `timeout` as text, nothing as null."""
    if not code:
        return None
    return int(code) if code.lstrip("-").isdigit() else code


def _stamps() -> Callable[[int], str]:
    """A function from microseconds since 1970 to ISO 8601 in UTC, empty for 0. It keeps the newest second: rows come in bunches."""
    second, text = -1, ""

    def stamp(micros: int) -> str:
        nonlocal second, text
        if not micros:
            return ""
        whole, rest = divmod(micros, 1_000_000)
        if whole != second:
            second, text = whole, datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{text}.{rest:06d}Z"

    return stamp
