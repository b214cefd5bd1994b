"""CSV to the letter of RFC 4180, one physical line at a time, and headers that are what they should be."""

from __future__ import annotations

import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkops.chat.catalog import APIS
from bulkops.errors import JobFileError
from bulkops.job.csv_rows import header_of, split_cells
from tests.helpers.job import CLEAR, CONVERSATION, api_of, csv_readers, read_text

FIELDS = [field.name for field in APIS[0].fields]


@pytest.mark.parametrize(
    ("line", "cells"),
    [
        ("", [""]),
        (",", ["", ""]),
        ("a", ["a"]),
        ("a,b,", ["a", "b", ""]),
        (' a ,"b,c"', [" a ", "b,c"]),
        ('"",""', ["", ""]),
        ('"say ""x""",y', ['say "x"', "y"]),
        ('""""', ['"']),
        ("a;b\tc", ["a;b\tc"]),
    ],
)
def test_cells_are_those_of_the_rfc(line: str, cells: list[str]) -> None:
    """Quotes, doubled quotes, empty cells; nothing is trimmed."""
    assert split_cells(line, ",") == (cells, "")


@pytest.mark.parametrize(
    ("line", "before", "says"),
    [
        ('a,"b', ["a"], "not closed"),
        ('a,"b""', ["a"], "not closed"),
        ('"a"x,b', [], "'x' follows"),
        ('"a" ,b', [], "' ' follows"),
        ('a,b"c,d', ["a"], "has a quote inside"),
        ('a, "b"', ["a"], "has a quote inside"),
    ],
)
def test_what_the_rfc_does_not_have_is_named(line: str, before: list[str], says: str) -> None:
    """The cells before the fault are there, and the fault says how to write it."""
    cells, fault = split_cells(line, ",")
    assert cells == before
    assert says in fault


@given(st.lists(st.text(alphabet='a,;"\t ', max_size=5), min_size=1, max_size=5), st.sampled_from(",;\t"))
def test_cells_agree_with_the_standard_library(cells: list[str], delimiter: str) -> None:
    """What `csv` writes is split into what was written."""
    line = _written(cells, delimiter)
    assert split_cells(line, delimiter) == (cells, "")


def _written(cells: list[str], delimiter: str) -> str:
    class Sink:
        text = ""

        def write(self, text: str) -> None:
            self.text += text

    sink = Sink()
    csv.writer(sink, delimiter=delimiter, lineterminator="").writerow(cells)
    return sink.text


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_is_the_one_that_makes_the_names_known(delimiter: str) -> None:
    """Comma, semicolon or tab, in any file."""
    header = header_of(delimiter.join(["op", *FIELDS]), "x.csv", 1, None)
    assert header.delimiter == delimiter
    assert list(header.names) == ["op", *FIELDS]


def test_an_ignored_column_may_be_named_with_another_delimiter() -> None:
    """The delimiter that makes most names known wins."""
    assert header_of('op;"_a,b";GroupId', "x.csv", 1, None).names == ("op", "_a,b", "GroupId")


@pytest.mark.parametrize(
    ("line", "column", "says"),
    [
        ("op,from_account", "from_account", "did you mean From_Account?"),
        ("op,FROM ACCOUNT", "FROM ACCOUNT", "did you mean From_Account?"),
        ("op,ToGroupId", "ToGroupId", "did you mean ToGroupid?"),
        ("op,Groupname", "Groupname", "did you mean GroupName?"),
        ("op,Comment", "Comment", "known are op, id"),
        ("op,GroupId,op", "op", "two columns are named 'op'"),
        ("op,_x,_x", "_x", "two columns are named '_x'"),
        ("op,a\x1bb", "a\\x1bb", "unknown column 'a\\x1bb'"),
        ("op,", "", "column 2 has no name"),
    ],
)
def test_a_header_that_is_not_known_is_refused_with_what_was_meant(line: str, column: str, says: str) -> None:
    """The error stands at the header's line, names the column and suggests the nearest known one."""
    with pytest.raises(JobFileError) as caught:
        header_of(line, "x.csv", 3, None)
    assert (caught.value.file, caught.value.line, caught.value.column) == ("x.csv", 3, column)
    assert says in caught.value.message


@pytest.mark.parametrize("line", ["alice,1,bob", "@TGS#1", "{}", "a b c", "# clear these"])
def test_a_first_line_without_any_known_name_is_no_header(line: str) -> None:
    """Data in the first line is never taken for a header."""
    with pytest.raises(JobFileError, match="no header: the first line has to name the columns"):
        header_of(line, "x.csv", 1, None)


@pytest.mark.parametrize(("line", "word"), [("op|GroupId", r"'\|'"), ("op:GroupId", "':'"), ("op GroupId MsgSeq", "spaces")])
def test_another_delimiter_is_recognised(line: str, word: str) -> None:
    """The error names the delimiter that is there, and those that are read."""
    with pytest.raises(JobFileError, match=f"separated by {word}; separate them by comma"):
        header_of(line, "x.csv", 1, None)


def test_every_usual_way_to_quote_is_read_quickly() -> None:
    """Plain, quoted throughout, quoted here and there: none of them needs the careful way."""
    readers = csv_readers("op", "GroupId", "MsgSeq")
    for line in (f"{CLEAR},g,1", f'"{CLEAR}","g","1"', f'"{CLEAR}","g",1', f'"{CLEAR}","g",""'):
        assert readers.quickly(line) is not None


def test_what_needs_a_closer_look_is_not_read_quickly() -> None:
    """A row with a fault, a warning or a long reference goes the careful way."""
    readers = csv_readers("op", "GroupId", "MsgSeq", "id")
    for line in (f"{CLEAR},#x,1,", f"{CLEAR},g,0,", f"{CLEAR},g", f'{CLEAR},"g,1,', "x,g,1,", f"{CLEAR},g,1,{'r' * 65}"):
        assert readers.quickly(line) is None


def test_a_row_of_one_op_leaves_the_columns_of_the_others_empty() -> None:
    """A cell in a column that the row's op does not have is an error, on the quick way too."""
    readers = csv_readers("op", *FIELDS, "MsgSeq")
    assert readers.quickly(f"{CONVERSATION},a,1,b,,,") is not None
    assert readers.quickly(f"{CONVERSATION},a,1,b,,,7") is None
    assert "MsgSeq is no field of delete_conversation" in readers.carefully(f"{CONVERSATION},a,1,b,,,7")


def test_a_file_of_one_column_is_read() -> None:
    """With `--op`, the ids alone are a job."""
    assert read_text("GroupId\ng1\ng2\n", op=CLEAR).contents == ["g1\t", "g2\t"]
    assert csv_readers("GroupId", fixed=api_of(CLEAR)).quickly("g1") is not None


def test_a_row_that_an_open_quote_spoils_leaves_the_next_one_alone() -> None:
    """Each physical line stands for itself."""
    job = read_text('GroupId\ng1\n"g2\ng3\n', op=CLEAR)
    assert job.contents == ["g1\t", "g3\t"]
    assert [(bad.line, bad.column) for bad in job.invalid] == [(3, "GroupId")]


def test_too_few_and_too_many_cells_say_how_many() -> None:
    """The message has both counts, and which column is missing or what is too much."""
    job = read_text("GroupId,MsgSeq,id\ng\ng,1,x,y\n", op=CLEAR)
    assert [bad.column for bad in job.invalid] == ["MsgSeq", ""]
    assert "the row has 1 cell, but the header has 3 columns" in job.invalid[0].message
    assert "put a cell with a comma in it in quotes, or remove 'y'" in job.invalid[1].message


def test_the_name_of_an_ignored_column_is_escaped_too() -> None:
    """It may hold anything, and ends up on a screen."""
    (bad,) = read_text("GroupId,_a\x1bb\ng\n", op=CLEAR).invalid
    assert bad.column == "_a\\x1bb"
    assert bad.message.isprintable()


def test_the_known_cells_of_a_bad_row_are_kept() -> None:
    """As the file has them, ignored columns and empty cells left out, up to the fault."""
    job = read_text('op,GroupId,MsgSeq,_x\nclear_group_messages,"g ""1""",07,z\n,g,"1\n,\0\n')
    assert [bad.cells for bad in job.invalid] == [
        '{"op": "clear_group_messages", "GroupId": "g \\"1\\"", "MsgSeq": "07"}',
        '{"GroupId": "g"}',
        "{}",
    ]


def test_a_fault_in_bytes_names_its_column() -> None:
    """A NUL behind more delimiters than the header has columns is in no column."""
    job = read_text('GroupId,MsgSeq\na,\0\n"a,b\0\n"a,b",\0\na,1,\0\n', op=CLEAR)
    assert [bad.column for bad in job.invalid] == ["MsgSeq", "GroupId", "MsgSeq", ""]
