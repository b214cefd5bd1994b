"""What the plan points out: each thing with its count, its first row, and in the order of its risk."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bulkops.chat.catalog import APIS
from bulkops.job import Risk, warnings
from bulkops.model import PlanWarning
from tests.helpers.job import CLEAR, CONVERSATION, CONVERSATION_HEADER, GROUP, read_job, read_text


def only(found: tuple[PlanWarning, ...]) -> PlanWarning:
    """The only warning."""
    (warning,) = found
    return warning


def test_warnings_come_riskiest_first_with_counts_and_first_row() -> None:
    """Absent fields by their rank, refused ids, spreadsheets, comments, an open last line."""
    job = read_text(
        "GroupId,op,MsgSeq,From_Account,Type,To_Account,ClearRamble\n"
        "// old,clear_group_messages,1,,,,\n"
        ",delete_conversation,,a,1,1.23E+15,1\n"
        ",delete_conversation,,a,1,b,\n"
        "@TGS#_1,clear_group_messages,1,,,,\n"
        "g,clear_group_messages,,,,,\n"
        "h,clear_group_messages,,,,,"
    )
    assert [(warning.risk, warning.count, warning.example) for warning in job.warnings] == [
        (Risk.ABSENT, 2, ("-", 6)),
        (Risk.ABSENT + 1, 1, ("-", 4)),
        (Risk.REFUSED, 1, ("-", 5)),
        (Risk.SPOILT, 1, ("-", 3)),
        (Risk.COMMENT, 1, ("-", 2)),
        (Risk.UNTERMINATED, 1, ("-", 7)),
    ]
    assert "whole history" in job.warnings[0].message
    assert "ClearRamble" in job.warnings[1].message
    assert "Community" in job.warnings[2].message
    assert "such as '1.23E+15'" in job.warnings[3].message
    assert "such as '// old'" in job.warnings[4].message
    assert "'h,clear_group_messages,,,,,'" in job.warnings[5].message


def test_the_ledgers_own_warning_has_its_place_among_the_others() -> None:
    """Several options for one target come after absent fields and before refused ids."""
    assert Risk.ABSENT + 9 < Risk.OPTIONS < Risk.REFUSED


@pytest.mark.parametrize(
    "spoilt",
    [
        *(
            "1.23E+15",
            "1,5E+9",
            "1E-05",
            "-2.0E+3",
            "10023.0",
            "12,00",
            "2024-01-05",
            "2024-01-05 10:00:00",
            "1/5/2024",
            "2024/1/5",
        ),
        *("5-Jan", "05-Mar-24", "Dec-24", "#REF!", "#N/A", "#VALUE!", "#DIV/0!", "#NAME?", "########", "TRUE", "FALSE"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_ids_that_a_spreadsheet_spoilt_are_pointed_out(spoilt: str, first: bool) -> None:
    """In whatever column, valid as they are, and never called a comment."""
    line = f'"{spoilt}",1\n' if first else f'1,"{spoilt}"\n'
    job = read_text(("GroupId,MsgSeq\n" if first else "MsgSeq,GroupId\n") + line, op=CLEAR)
    assert job.contents == [f"{spoilt}\t1"]
    assert only(job.warnings).risk == Risk.SPOILT


@pytest.mark.parametrize(
    "fine", ["1000234", "3e10", "12e4567", "1.5", "v1.0", "true", "2024-01-05x", "a/b", "#", "2024-123-4", "1E5"]
)
def test_ids_that_only_look_a_little_like_it_are_left_alone(fine: str) -> None:
    """Digits, hexadecimal, versions: no false alarm."""
    assert [w for w in read_text(f"MsgSeq,GroupId\n1,{fine}\n", op=CLEAR).warnings if w.risk == Risk.SPOILT] == []


def test_names_are_never_called_spoilt() -> None:
    """A conversation group may be named like a date."""
    assert read_text("From_Account,GroupName\na,2024-01-05\nb,TRUE\n", op=GROUP).warnings == ()


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("GroupId,MsgSeq\n#a,1\n// b,1\n", 2),
        ("MsgSeq,GroupId\n1,#a\n", 0),
        ("id,GroupId,MsgSeq\n#7,a,1\n", 0),
        ("GroupId,MsgSeq\n/a,1\n", 0),
    ],
)
def test_a_comment_begins_in_the_first_column(text: str, count: int) -> None:
    """Elsewhere, and in the user's own reference, a hash is a hash."""
    assert sum(warning.count for warning in read_text(text, op=CLEAR).warnings) == count


def test_only_valid_rows_are_warned_about() -> None:
    """What is not carried out needs no warning."""
    job = read_text("GroupId,MsgSeq\n@TGS#_1 ,\n1.0E+5,x\ng,1\n", op=CLEAR)
    assert (len(job.invalid), job.warnings) == (2, ())


def test_absent_fields_count_alike_on_both_ways() -> None:
    """A row read with care counts as one read quickly, and each name of a list as a row."""
    job = read_text("GroupId,MsgSeq\ng,\n#a,\nh,\n", op=CLEAR)
    assert [(warning.risk, warning.count) for warning in job.warnings] == [(Risk.ABSENT, 3), (Risk.COMMENT, 1)]


def test_fields_that_a_row_cannot_have_are_not_missed() -> None:
    """The other type's target is absent by rule, not by neglect."""
    assert read_text(f"{CONVERSATION_HEADER}\n{CONVERSATION},a,1,b,,0\n").warnings == ()


def test_every_file_that_ends_in_the_middle_of_a_line_is_shown(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One warning a file, with the line, escaped and cut to a sane length."""
    folder = tmp_path_factory.mktemp("jobs")
    for name, last in (("a.csv", "user1"), ("b.csv", "\x1b[2J" + "x" * 100)):
        (folder / name).write_text(f"GroupId,MsgSeq\ng,1\n{last}")
    job = read_job(folder / "a.csv", folder / "b.csv", op=CLEAR)
    assert [(w.risk, w.count, w.example) for w in job.warnings] == [
        (Risk.UNTERMINATED, 1, (str(folder / name), 3)) for name in ("a.csv", "b.csv")
    ]
    assert job.warnings[0].message.endswith("may be cut off: 'user1'")
    assert "'\\x1b[2Jxxx" in job.warnings[1].message
    assert len(job.warnings[1].message) < 200


def test_an_api_that_is_always_worth_a_word_gets_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its warning counts every row of it, before all others."""
    monkeypatch.setattr(warnings, "APIS", (*APIS[:2], replace(APIS[2], warning="can't be undone")))
    job = read_text(f"op,GroupId,From_Account,GroupName\n{GROUP},,a,b\n{CLEAR},g,,\n{CLEAR},#h,,\n")
    assert job.warnings[0] == PlanWarning(Risk.API, "can't be undone", 2, ("-", 3))


def test_of_equal_risk_the_more_frequent_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two APIs with a word each: the count decides."""
    monkeypatch.setattr(warnings, "APIS", (APIS[0], replace(APIS[1], warning="one"), replace(APIS[2], warning="two")))
    job = read_text(f"op,GroupId,MsgSeq,From_Account,GroupName\n{GROUP},,,a,b\n{CLEAR},g,1,,\n{CLEAR},h,1,,\n")
    assert [warning.message for warning in job.warnings] == ["two", "one"]
