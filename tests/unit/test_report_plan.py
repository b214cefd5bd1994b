"""The plan as lines of text."""

from __future__ import annotations

from typing import Any

import pytest

from bulkops.model import Invalid, PlanWarning, SourceFile
from bulkops.report.plan import Target, located, place, plan_lines, source_name, to_do
from tests.helpers.report import OPS, FakePlan, api_figures, figures

TARGET = Target(sdkappid=1400000001, identifier="administrator", endpoint="https://console.tim.qq.com", region="china")


def plan(**changes: Any) -> FakePlan:
    return FakePlan(**{"figures": figures(pending=9000, duplicates=10)} | changes)


def shown(made: FakePlan, target: Target = TARGET) -> str:
    return "\n".join(plan_lines(made, target))


def test_a_plan_reads_like_the_run() -> None:
    """How much, how long, at what share of the quota, from which file, into which ledger, at which app."""
    text = shown(plan(rates={OPS[0]: 50}))
    assert text.startswith("bulkops will carry out 9,000 operations, in about 3m00s:")
    assert "delete_conversation       9,000  9,000       50          25 %  3m00s" in text
    assert "9,010 = 9,000 operations + 10 duplicates + 0 invalid" in text
    assert "job.csv: 10 rows, 123.5 kB, sha256 abababababab…" in text
    assert "job.ledger.db (new)" in text
    assert "1400000001 as administrator" in text
    assert "https://console.tim.qq.com (china)" in text


def test_the_longest_lane_decides_how_long_it_takes() -> None:
    """Lanes run side by side."""
    apis = {OPS[0]: api_figures(pending=200), OPS[1]: api_figures(pending=12_000), OPS[2]: api_figures(succeeded=5)}
    text = shown(plan(figures=figures(apis)))
    assert "12,200 operations, in about 1m00s:" in text
    assert text.count("–") == 1  # the API with nothing left takes no time


def test_a_run_that_goes_on_says_how_far_it_is() -> None:
    text = shown(plan(figures=figures(succeeded=250, pending=750), continues=True))
    assert text.startswith("bulkops will go on with 750 operations")
    assert "(continues: 250 of 1,000 have ended, 25.0 %)" in text


def test_a_run_with_nothing_left_says_so() -> None:
    assert shown(plan(figures=figures(succeeded=3))).startswith("Nothing is left to do: all 3 operations have ended.")


def test_a_retry_counts_what_it_reopens() -> None:
    """Operations that ended count as work again."""
    target = Target(reopened={OPS[0]: 4})
    made = plan(figures=figures(succeeded=6, exhausted=4), continues=True)
    assert to_do(made, target) == {OPS[0]: 4}
    text = shown(made, target)
    assert text.startswith("bulkops will go on with 4 operations")
    assert "retry     4 operations reopened, with fresh attempts" in text


def test_what_is_not_known_is_left_out() -> None:
    """A plan needs no credentials."""
    text = shown(plan(), Target())
    assert "app" not in text.split()
    assert "endpoint" not in text


def test_the_sandbox_is_marked() -> None:
    text = shown(plan(sandbox=True))
    assert "9,000 operations in the sandbox" in text
    assert "SANDBOX   the API is imitated on this machine: nothing real is deleted" in text


@pytest.mark.parametrize(("hold", "then"), [(False, "they will be sent again"), (True, "held, not sent again")])
def test_what_a_crash_left_in_doubt_is_announced(hold: bool, then: str) -> None:
    text = shown(plan(orphans=12), Target(hold_in_doubt=hold))
    assert "12 operations left without an answer by a process that is gone" in text
    assert then in " ".join(text.split())


def test_a_canary_is_announced() -> None:
    assert "the first 10 of each API, then you are asked" in shown(plan(), Target(canary=10))


def test_blank_lines_and_notes_are_said() -> None:
    text = shown(plan(blank_lines=3, notes=("the endpoint changes from a to b",)))
    assert "and 3 blank lines, skipped" in text
    assert "note      the endpoint changes from a to b" in text


def test_many_files_are_not_all_listed() -> None:
    files = [SourceFile(f"part-{number}.csv", "0" * 64, 900, 1) for number in range(7)]
    text = shown(plan(files=files))
    assert "part-4.csv: 1 row, 900 bytes" in text
    assert "part-5.csv" not in text
    assert "and 2 more files" in text


def test_warnings_come_with_counts_and_a_place() -> None:
    """In the order in which they come, which is riskiest first."""
    warnings = (
        PlanWarning(20, "clear a group's whole history: they have no MsgSeq", 1200, ("job.csv", 7)),
        PlanWarning(70, "the last line has no line end", 1, None),
    )
    lines = plan_lines(plan(warnings=warnings), TARGET)
    at = lines.index("Warnings, riskiest first, with the number of rows:")
    assert lines[at + 1] == "  1,200  clear a group's whole history: they have no MsgSeq (first: job.csv:7)"
    assert lines[at + 2] == "      1  the last line has no line end"


def invalid_plan(total: int) -> FakePlan:
    rows = tuple(Invalid(0, line, "Type", "1 or 2 is expected", "{}") for line in range(2, 2 + min(total, 20)))
    return plan(figures=figures(pending=5, invalid=total), invalid=rows)


def test_invalid_rows_stop_the_run_by_default() -> None:
    text = shown(invalid_plan(21))
    assert text.startswith("Nothing will be sent: 21 rows of the job can't be carried out.")
    assert "21 invalid rows; the first 20:" in text
    assert "  job.csv:2:Type: 1 or 2 is expected" in text
    assert "--on-invalid skip" in text


def test_invalid_rows_may_be_left_out() -> None:
    text = shown(invalid_plan(1), Target(on_invalid="skip"))
    assert text.startswith("bulkops will carry out 5 operations")
    assert "1 invalid row:" in text
    assert "They are left out (--on-invalid skip)." in text


def test_a_plan_of_invalid_rows_only_has_no_table() -> None:
    text = shown(plan(figures=figures({}, invalid=2)))
    assert "API" not in text.split("\n")[1]


def test_a_plan_fits_80_columns() -> None:
    """Only a path may be longer: it has to be copied."""
    long = "x" * 40 + " y" * 60
    made = plan(
        figures=figures({op: api_figures(pending=3_000_000) for op in OPS}, duplicates=1_000_000),
        warnings=(PlanWarning(1, long, 1_000_000, ("job.csv", 1_000_000)),),
        invalid=(Invalid(0, 1_000_000, "From_Account", long, "{}"),),
        notes=(long,),
        orphans=1_000_000,
    )
    assert max(map(len, plan_lines(made, TARGET))) <= 80


def test_foreign_text_in_a_plan_is_inert() -> None:
    """File names, ids in messages, identifiers: all of them escaped, none of them read as markup."""
    evil = "[red]\x1b[2J\u202e"
    made = plan(
        figures=figures(pending=5, invalid=1),
        ledger=evil,
        files=(SourceFile(evil, "0" * 64, 1, 1),),
        warnings=(PlanWarning(1, evil, 1, (evil, 1)),),
        invalid=(Invalid(0, 1, evil, evil, "{}"),),
        notes=(evil,),
        source_names=(evil,),
    )
    text = shown(made, Target(sdkappid=1, identifier=evil, endpoint=evil, region=evil))
    assert text.replace("\n", "").isprintable()
    assert text.count("[red]\\x1b[2J\\u202e") >= 9


def test_a_place_has_only_what_is_known() -> None:
    assert place("job.csv", 0) == "job.csv"
    assert place("job.csv", 12, "Type") == "job.csv:12:Type"
    assert source_name(("a",), 3) == "file 4"


@pytest.mark.parametrize(
    ("size", "text"), [(1, "1 bytes"), (1500, "1.5 kB"), (2_500_000, "2.5 MB"), (5 * 10**12, "5,000.0 GB")]
)
def test_sizes_are_readable(size: int, text: str) -> None:
    assert text in shown(plan(files=(SourceFile("a", "0" * 64, size, 1),)))


def test_a_column_is_not_said_twice() -> None:
    assert located("a.csv", Invalid(0, 3, "Type", "Type is 3", "{}")) == "a.csv:3: Type is 3"
    assert located("a.csv", Invalid(0, 3, "Type", "3 is wrong", "{}")) == "a.csv:3:Type: 3 is wrong"
    assert located("a.csv", Invalid(0, 3, "", "5 cells", "{}")) == "a.csv:3: 5 cells"
