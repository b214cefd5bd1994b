"""Results as CSV and JSON Lines."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bulkops.model import FIELD_SEPARATOR, ResultRow
from bulkops.report.results import COLUMNS, FORMATS, write_results
from tests.helpers.job import read_job
from tests.helpers.report import result_row

NASTY = '@group "x", =1+1 é\u202e漢'


def written(rows: Sequence[ResultRow], format_: str = "csv") -> str:
    out = io.StringIO(newline="")
    write_results(rows, out, format_)
    return out.getvalue()


def csv_cells(*rows: ResultRow) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(written(rows), newline=""), strict=True))


def records(*rows: ResultRow) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written(rows, "jsonl").split("\n")[:-1]]


def test_the_columns_are_the_operation_and_then_its_outcome() -> None:
    """Scripts index these names; what begins with `_` is ignored when the file is used as a job."""
    expected = (
        *("op", "id", "From_Account", "Type", "To_Account", "ToGroupid", "ClearRamble", "GroupName", "GroupId", "MsgSeq"),
        *("_file", "_line", "_status", "_attempts", "_code", "_info", "_finished_at"),
    )
    assert list(COLUMNS) == list(expected)


def test_csv_has_a_header_and_quotes_every_cell() -> None:
    """Even of no rows; lines end with LF."""
    assert written([]) == ",".join(f'"{name}"' for name in COLUMNS) + "\n"
    assert written([result_row()]).split("\n")[1].startswith('"delete_conversation","ticket-7","alice","1","bob","","0",')


def test_an_operation_is_given_back_byte_for_byte() -> None:
    """Quotes, commas, formula starts, bidi marks: nothing in a user's own columns is changed or prefixed."""
    row = result_row(api=1, content=f"{NASTY}\t{NASTY}", ref=NASTY)
    (cells,) = csv_cells(row)
    (record,) = records(row)
    for given in (cells, record):
        assert (given["From_Account"], given["GroupName"], given["id"]) == (NASTY, NASTY, NASTY)


@pytest.mark.parametrize(
    ("row", "present"),
    [
        (
            result_row(ref=""),
            {"op": "delete_conversation", "From_Account": "alice", "Type": 1, "To_Account": "bob", "ClearRamble": 0},
        ),
        (
            result_row(content="alice\t2\t\t@TGS#1\t", ref=""),
            {"op": "delete_conversation", "From_Account": "alice", "Type": 2, "ToGroupid": "@TGS#1"},
        ),
        (
            result_row(api=1, content="alice\t42", ref="7"),
            {"op": "delete_conversation_group", "id": "7", "From_Account": "alice", "GroupName": "42"},
        ),
        (
            result_row(api=2, content=f"@g\t{2**63 - 1}", ref=""),
            {"op": "clear_group_messages", "GroupId": "@g", "MsgSeq": 2**63 - 1},
        ),
    ],
)
def test_jsonl_has_only_what_is_present_in_its_own_type(row: ResultRow, present: dict[str, object]) -> None:
    """Integers are integers, names are texts even where they look like numbers."""
    (record,) = records(row)
    assert {key: value for key, value in record.items() if not key.startswith("_")} == present


def test_the_outcome_is_in_both_formats() -> None:
    row = result_row(status="exhausted", attempts=8, code="50004", info="try again", line=17)
    (cells,) = csv_cells(row)
    assert [cells[name] for name in COLUMNS[-7:]] == [
        "job.csv",
        "17",
        "exhausted",
        "8",
        "50004",
        "try again",
        "2023-11-14T22:13:20.000001Z",
    ]
    (record,) = records(row)
    assert [record[name] for name in COLUMNS[-7:]] == [
        "job.csv",
        17,
        "exhausted",
        8,
        50004,
        "try again",
        "2023-11-14T22:13:20.000001Z",
    ]


def test_what_has_not_ended_has_no_time_and_no_code() -> None:
    row = result_row(status="pending", attempts=0, code="", finished_at=0)
    (cells,) = csv_cells(row)
    assert (cells["_code"], cells["_finished_at"]) == ("", "")
    (record,) = records(row)
    assert (record["_code"], record["_finished_at"]) == (None, None)


@pytest.mark.parametrize("label", ["timeout", "http_502", "lost", "unreadable"])
def test_a_label_in_place_of_a_code_stays_a_text(label: str) -> None:
    assert records(result_row(code=label))[0]["_code"] == label
    assert csv_cells(result_row(code=label))[0]["_code"] == label


@pytest.mark.parametrize("format_", FORMATS)
def test_info_is_inert_on_a_terminal_and_in_a_spreadsheet(format_: str) -> None:
    """A server's words can neither run a formula nor move a cursor."""
    row = result_row(info="=cmd|' /C calc'!A0\x1b[2J\n\u202e\x9b")
    info = csv_cells(row)[0]["_info"] if format_ == "csv" else records(row)[0]["_info"]
    assert info == "'=cmd|' /C calc'!A0\\x1b[2J\\n\\u202e\\x9b"


def test_times_in_one_second_and_in_others_are_told_apart() -> None:
    rows = [result_row(finished_at=at) for at in (1_700_000_000_000_000, 1_700_000_000_999_999, 1_700_000_001_000_000, 1)]
    assert [cells["_finished_at"] for cells in csv_cells(*rows)] == [
        "2023-11-14T22:13:20.000000Z",
        "2023-11-14T22:13:20.999999Z",
        "2023-11-14T22:13:21.000000Z",
        "1970-01-01T00:00:00.000001Z",
    ]


INVALID = result_row(
    api=-1,
    content="",
    ref="",
    status="invalid",
    attempts=0,
    code="",
    info="Type: 1 or 2 is expected",
    finished_at=0,
    cells=json.dumps({"op": "delete_conversation", "id": "x", "From_Account": " alice", "Type": 3, "GroupName": ["a", "b"]}),
)


def test_an_invalid_row_gives_its_known_columns_back() -> None:
    """As they were: a text as text, in CSV everything else as JSON."""
    (cells,) = csv_cells(INVALID)
    assert (cells["op"], cells["id"], cells["From_Account"], cells["Type"], cells["GroupName"], cells["GroupId"]) == (
        "delete_conversation",
        "x",
        " alice",
        "3",
        '["a", "b"]',
        "",
    )
    (record,) = records(INVALID)
    assert (record["From_Account"], record["Type"], record["GroupName"]) == (" alice", 3, ["a", "b"])
    assert record["_status"] == "invalid"


def test_an_invalid_row_of_which_nothing_was_read_is_listed_all_the_same() -> None:
    (cells,) = csv_cells(INVALID._replace(cells=""))
    assert (cells["op"], cells["_status"], cells["_info"]) == ("", "invalid", "Type: 1 or 2 is expected")
    assert "op" not in records(INVALID._replace(cells="{}"))[0]


@pytest.mark.parametrize("depth", [60, 900, 990, 5000])
def test_an_invalid_row_that_is_nested_without_end_is_listed_without_that(depth: int) -> None:
    """It could be read, or not even that, and in no case be surely written again."""
    row = INVALID._replace(cells='{"op": "x", "id": ' + "[" * depth + "]" * depth + "}")
    assert "id" not in records(row)[0]
    assert csv_cells(row)[0]["id"] == ""


def test_a_files_name_with_a_line_break_leaves_results_a_job(tmp_path: Path) -> None:
    """A reader takes no line break in a cell; the column is for people."""
    path = tmp_path / "results.csv"
    path.write_text(written([result_row(file="a\nb\r.csv")], "csv"), encoding="utf-8", newline="")
    assert read_job(path).invalid == ()


@pytest.mark.parametrize("format_", FORMATS)
def test_more_rows_than_a_buffer_holds_keep_their_order(format_: str) -> None:
    rows = [result_row(line=line) for line in range(1, 1200)]
    given: Sequence[dict[str, Any]] = csv_cells(*rows) if format_ == "csv" else records(*rows)
    assert [int(cells["_line"]) for cells in given] == list(range(1, 1200))


@pytest.mark.parametrize("format_", FORMATS)
def test_results_are_a_valid_job_again(tmp_path: Path, format_: str) -> None:
    """The same operations with the same ids, in the same order, whatever became of them."""
    rows = [
        result_row(info="=1+1", status="failed", code="50001"),
        result_row(content="alice\t2\t\t@TGS#1\t", ref="", status="pending", finished_at=0, code=""),
        result_row(api=1, content=f"alice\t{NASTY}", ref=NASTY, code="timeout"),
        result_row(api=2, content="@g\t"),
        result_row(api=2, content=f"@g\t{2**63 - 1}"),
    ]
    path = tmp_path / f"results.{format_}"
    path.write_text(written(rows, format_), encoding="utf-8", newline="")
    read = read_job(path)
    assert read.invalid == ()
    assert [(api, content, ref) for api, content, ref, _ in read.rows] == [(row.api, row.content, row.ref) for row in rows]


def test_content_that_does_not_fit_its_api_is_refused() -> None:
    """A ledger whose content was cut must not become a job with other targets."""
    with pytest.raises(ValueError, match="zip"):
        written([result_row(content=FIELD_SEPARATOR)])


@pytest.mark.slow
@pytest.mark.parametrize("format_", FORMATS)
def test_results_are_written_quickly(format_: str) -> None:
    """100,000 rows a second on an idle machine; half of that here, where others may be busy."""
    rows = [result_row(finished_at=1_700_000_000_000_000 + 5000 * number) for number in range(50_000)]
    started = time.process_time()
    written(rows, format_)
    assert len(rows) / (time.process_time() - started) > 50_000
