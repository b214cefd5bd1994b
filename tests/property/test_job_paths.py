"""The quick and the careful way through a line never disagree; arbitrary bytes never do harm."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulkops.chat.catalog import APIS
from bulkops.errors import JobFileError
from bulkops.job.lines import Lines, damage
from bulkops.job.rules import KNOWN_NAMES
from tests.helpers.job import TwoReaders, csv_readers, jsonl_readers, read_bytes
from tests.helpers.job_rows import ValidRow, json_object, valid_rows

pytestmark = pytest.mark.slow

COLUMNS = (*KNOWN_NAMES, "_note")
SPOIL = st.sampled_from(
    ['"', '""', ",", " ", "\\", "\t", "\x7f", "\u0085", "é", "0", "1", "E+5", "#", "//", "null", "{", "x" * 70]
)


@st.composite
def spoilt(draw: st.DrawFn, line: st.SearchStrategy[str]) -> str:
    """A line with up to two pieces of it replaced by something that means trouble."""
    text = draw(line)
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(SPOIL) + text[at + draw(st.integers(0, 2)) :]
    return text


def as_csv(row: ValidRow) -> str:
    """A row as a line of CSV, quoted only where that is necessary."""
    cells = ({"op": row.op, "id": row.ref, "_note": "x"} | dict(row.values)).get
    return ",".join(f'"{cell}"' if "," in cell else cell for cell in (cells(name, "") for name in COLUMNS))


def as_quoted_csv(row: ValidRow) -> str:
    """A row as a line of CSV, quoted throughout."""
    cells = ({"op": row.op, "id": row.ref, "_note": "x, y"} | dict(row.values)).get
    return ",".join('"' + cells(name, "").replace('"', '""') + '"' for name in COLUMNS)


@st.composite
def json_lines(draw: st.DrawFn) -> str:
    """A row as a line of JSONL, sometimes with a key that is there twice, or one that is ignored."""
    pairs: list[tuple[str, object]] = list(json_object(draw(valid_rows())).items())
    pairs += draw(st.lists(st.sampled_from([("_note", "x"), ("_line", 7), ("_x", None), ("_y", [1.5]), *pairs]), max_size=2))
    escaped = draw(st.booleans())
    return "{" + ", ".join(f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=escaped)}" for key, value in pairs) + "}"


def assert_agreement(quick: TwoReaders, careful: TwoReaders, line: str) -> None:
    """What the quick way takes, the careful way takes just so, warnings included."""
    if damage(line) is not None or "\n" in line:
        return  # never reaches either of them
    row = quick.quickly(line)
    if row is not None:
        assert careful.carefully(line) == [row]
        assert quick.notices.found() == careful.notices.found()


@settings(deadline=None, max_examples=400)
@given(line=spoilt(st.one_of(valid_rows().map(as_csv), valid_rows().map(as_quoted_csv))), fixed=st.sampled_from([None, *APIS]))
def test_quick_and_careful_csv_agree(line: str, fixed: object) -> None:
    """A CSV line that the quick way accepts means the same on the careful way, and earns the same warnings."""
    api = next((api for api in APIS if api is fixed), None)
    assert_agreement(csv_readers(*COLUMNS, fixed=api), csv_readers(*COLUMNS, fixed=api), line)


@settings(deadline=None, max_examples=400)
@given(line=spoilt(json_lines()), fixed=st.sampled_from([None, *APIS]))
def test_quick_and_careful_jsonl_agree(line: str, fixed: object) -> None:
    """A JSONL line that the quick way accepts means the same on the careful way, and earns the same warnings."""
    api = next((api for api in APIS if api is fixed), None)
    quick = jsonl_readers(api)
    quick.carefully(f'{{"op":"{APIS[0].op}","_note":1,"_line":1,"_x":1,"_y":1}}')  # teaches it the ignored keys
    assert_agreement(quick, jsonl_readers(api), line)


@settings(deadline=None, max_examples=300)
@given(
    data=st.one_of(
        st.binary(max_size=300),
        st.binary(max_size=300).map(lambda data: b"GroupId,MsgSeq,op\n" + data),
        st.text(alphabet='{}[]":,0e.-\\u_opid \n\r\0é\ufeff', max_size=200).map(str.encode),
        st.text(max_size=100).map(lambda text: text.encode("utf-16", "surrogatepass")),
    ),
    op=st.sampled_from([None, *(api.op for api in APIS)]),
)
def test_arbitrary_bytes_raise_nothing_but_job_file_errors(data: bytes, op: str | None) -> None:
    """Whatever is fed in, the outcome is rows, bad rows, or one error about the file."""
    with contextlib.suppress(JobFileError):
        job = read_bytes(data, op=op)
        assert job.total == job.files[0].rows > 0


@settings(deadline=None, max_examples=200)
@given(
    lines=st.lists(st.text(alphabet="ab,é\r\x85\u2028", max_size=12), max_size=12), cuts=st.lists(st.integers(1, 9), min_size=1)
)
def test_lines_do_not_depend_on_how_the_bytes_come(lines: list[str], cuts: list[int]) -> None:
    """However the bytes are cut into blocks, the physical lines and their numbers are the same."""
    data = "\n".join(lines).encode()
    blocks = []
    rest = data
    for at in range(len(data)):
        if not rest:
            break
        size = cuts[at % len(cuts)]
        blocks.append(rest[:size])
        rest = rest[size:]

    def physical(pieces: list[bytes]) -> list[tuple[int, str]]:
        chunks = list(Lines(pieces, "x"))
        return [pair for chunk in chunks for pair in enumerate(chunk.lines, chunk.first)]

    assert physical(blocks) == physical([data] if data else [])
