"""JSONL: types as JSON has them, every key once, lists of names, and what of it the quick way takes."""

from __future__ import annotations

import pytest

from bulkops.chat import catalog
from bulkops.job import jsonl_rows
from bulkops.model import Api, Field, FieldKind
from tests.helpers.job import CLEAR, GROUP, api_of, jsonl_readers, read_text

HEAD = f'"op":"{CLEAR}","GroupId":"g"'


@pytest.mark.parametrize(
    "line",
    [
        f'{{"op":"{CLEAR}","GroupId":"g"}}',
        f' {{ "op" : "{CLEAR}" , "GroupId" : "g" , "MsgSeq" : 7 }} ',
        f'{{"op":"{CLEAR}","GroupId":"a\\"b","id":"\\u4e2d"}}',
        f'{{"op":"{GROUP}","From_Account":"a","GroupName":"\\u7fa4\\/"}}',
    ],
)
def test_plain_rows_are_read_quickly(line: str) -> None:
    """Escapes and spaces do not slow a row down."""
    readers = jsonl_readers()
    assert [readers.quickly(line)] == readers.carefully(line)


@pytest.mark.parametrize(
    "line",
    [
        f'{{{HEAD},"GroupId":"g"}}',
        f'{{{HEAD},"MsgSeq":1,"MsgSeq":1}}',
        f'{{{HEAD},"id":""}}',
        f'{{{HEAD},"id":"a\\nb"}}',
        f'{{{HEAD},"id":"{"x" * 65}"}}',
        f'{{{HEAD},"id":"a\\\\"}}',
        f'{{"op":"{CLEAR}","id":"x\\\\","GroupId":"a\\\\","MsgSeq":1,"MsgSeq":2}}',
        f'{{{HEAD},"MsgSeq":{"9" * 5000}}}',
        f'{{{HEAD},"MsgSeq":null}}',
        f'{{{HEAD},"_x":1}}',
        f'{{{HEAD},"x":1}}',
        '{"op":"x","GroupId":"g"}',
        f'{{"op":"{GROUP}","From_Account":"a","GroupName":["x"]}}',
        "",
        "[" * 5000,
    ],
)
def test_whatever_is_not_plain_is_left_to_the_careful_way(line: str) -> None:
    """Duplicate keys, odd references, lists, huge numbers, unknown keys."""
    assert jsonl_readers().quickly(line) is None


def test_ignored_keys_are_learnt() -> None:
    """After the first row of a results file the others are read quickly, their ignored keys counted for duplicates."""
    readers = jsonl_readers()
    line = f'{{{HEAD},"_line":2,"_info":"no \\"x\\"","_code":null,"_ok":true}}'
    assert readers.quickly(line) is None
    assert readers.carefully(line) == [(2, "g\t", "", 1)]
    assert readers.quickly(line) == (2, "g\t", "", 1)
    assert readers.quickly(f"{{{HEAD}}}") == (2, "g\t", "", 1)
    assert readers.quickly(f'{{{HEAD},"_line":2,"_line":2}}') is None
    assert readers.quickly(f'{{{HEAD},"_line":[2]}}') is None


def test_a_file_with_ever_new_ignored_keys_teaches_nothing() -> None:
    """More of them than a results file ever has are read the careful way."""
    readers = jsonl_readers()
    line = f"{{{HEAD}," + ",".join(f'"_{number}":1' for number in range(20)) + "}"
    assert readers.carefully(line) == [(2, "g\t", "", 1)]
    assert readers.quickly(line) is None


def test_a_list_of_names_is_as_many_rows() -> None:
    """One operation an element, in their order, on the same line with the same reference."""
    job = read_text(f'{{"op":"{GROUP}","From_Account":"a","id":"r","GroupName":["x","y","x"]}}\n')
    assert list(job.rows) == [(1, f"a\t{name}", "r", 1) for name in "xyx"]
    assert job.files[0].rows == 3


def test_a_bad_name_in_a_list_makes_one_invalid_row() -> None:
    """Nothing of it is carried out, and it counts once."""
    job = read_text(f'{{"op":"{GROUP}","From_Account":"a","GroupName":["x","y\\u0000"]}}\n')
    assert (len(job.rows), len(job.invalid), job.files[0].rows) == (0, 1, 1)
    assert job.invalid[0].cells == f'{{"op": "{GROUP}", "From_Account": "a", "GroupName": ["x", "y\\u0000"]}}'


def test_an_empty_op_or_reference_counts_as_absent() -> None:
    """Only a field has to have a value where it is there."""
    job = read_text('{"op":"","id":"","GroupId":"g"}\n', op=CLEAR)
    assert list(job.rows) == [(2, "g\t", "", 1)]
    assert read_text('{"op":"","GroupId":"g"}\n').invalid[0].column == "op"


def test_minus_zero_is_zero() -> None:
    """JSON has it, and it is an integer; where zero is no value it is none."""
    assert read_text(f'{{{HEAD},"MsgSeq":-0}}\n').invalid[0].column == "MsgSeq"


def test_cells_that_no_results_file_could_hold_are_left_out() -> None:
    """A lone surrogate is no text; the row's other values are kept."""
    job = read_text(f'{{{HEAD},"id":"\\ud800"}}\n{{"op":"\\udfff"}}\n')
    assert [bad.cells for bad in job.invalid] == [f'{{"op": "{CLEAR}", "GroupId": "g"}}', "{}"]


def test_unknown_keys_are_no_cells() -> None:
    """What is kept of a bad row are its known keys, whatever their values are."""
    job = read_text(f'{{{HEAD},"MsgSeq":{{"a":[1.5,null]}},"x":1,"_y":2}}\n')
    assert job.invalid[0].column == "x"
    assert job.invalid[0].cells == f'{{"op": "{CLEAR}", "GroupId": "g", "MsgSeq": {{"a": [1.5, null]}}}}'


def test_a_field_of_two_kinds_is_never_read_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were a field a number in one API and text in another, its rows would go the careful way."""
    other = Api(CLEAR, "p", 1, (Field("GroupId", FieldKind.INTEGER, maximum=9),), {}, "")
    monkeypatch.setattr(jsonl_rows, "APIS", (*catalog.APIS, other))
    assert jsonl_readers().quickly(f"{{{HEAD}}}") is None


def test_an_api_of_one_field_is_read_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """A single field is picked like several."""
    single = Api(GROUP, "p", 1, api_of(CLEAR).fields[:1], {}, "")
    monkeypatch.setattr(jsonl_rows, "APIS", (single,))
    assert jsonl_readers().quickly(f'{{"op":"{GROUP}","GroupId":"g"}}') == (0, "g", "", 1)
