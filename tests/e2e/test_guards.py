"""Guards: --max-ops, --canary, --max-failures, --max-duration, over-limit rates; and retries with their choices (contract, 4 and 5)."""

from __future__ import annotations

import pytest

from tests.e2e.support import check_reconciled, check_summary, conversations, mixed, results_of, seldom
from tests.helpers.command import Command
from tests.helpers.otherserver_handle import OtherServer

pytestmark = pytest.mark.slow


def test_max_ops_is_checked_before_the_first_call(command: Command, server: OtherServer) -> None:
    """A job of more operations than --max-ops: exit 2, nothing sent; with enough it runs (5)."""
    command.file("job.csv", mixed(10).csv())

    refused = command.run("run", "job.csv", "--yes", "--max-ops", "9", "--json").expect(2)
    assert server.count == 0
    check_summary(refused.json, extra=["errors"])
    assert "--max-ops" in refused.screen
    command.run("run", "job.csv", "--yes", "--max-ops", "10").expect(0)


def test_a_canary_without_a_terminal_stops_and_a_resume_goes_on(command: Command, server: OtherServer) -> None:
    """`--canary N --yes` without a terminal: the first N of each API, exit 4; the last line's resume does the rest (5)."""
    job = mixed(60)
    command.file("job.csv", job.csv())

    stopped = command.run("run", "job.csv", "--canary", "5", "--yes", "--json").expect(4)
    seen = server.record
    ended = command.run(*stopped.continuation, "--json").expect(0)

    check_summary(stopped.json)
    assert {op: len(calls) for op, calls in seen.by_op.items()} == dict.fromkeys(seen.by_op, 5)
    assert len(seen.by_op) == 3
    assert set(seen.effects) == set(job.targets[:15])
    assert stopped.json["by_status"]["pending"] == 45
    assert stopped.json["by_status"]["sending"] == 0
    check_reconciled(ended.json, server.record, job)
    assert server.count == 60


@pytest.mark.parametrize(
    ("answer", "code", "calls"), [("y\n", 0, 60), ("\x03", 4, 15), seldom("n\n", 4, 15), seldom("\n", 4, 15)]
)
def test_a_canary_at_a_terminal_shows_and_asks(
    answer: str, code: int, calls: int, command: Command, server: OtherServer
) -> None:
    """At a terminal the canary's outcome is shown and a yes carries out the rest; `--yes` doesn't answer for it (5)."""
    command.file("job.csv", mixed(60).csv())
    run = command.start("run", "job.csv", "--canary", "5", "--yes", terminal=True)
    run.wait_for("[y/N]")
    assert server.count == 15

    run.type(answer)
    ended = run.wait().expect(code)

    assert server.count == calls
    assert "15 succeeded" in ended.screen
    if code:
        assert ended.continuation == ("resume", "job.ledger.db")


@pytest.mark.parametrize("limit", ["10", "20%"])
def test_max_failures_stops_the_run(limit: str, command: Command, server: OtherServer) -> None:
    """More failures than --max-failures allows, as a count or as a share of 1,000 ended: exit 3, resumable (5)."""
    server.order({"skip": 100, "share": 0.5, "code": 50002, "info": "bad"})
    command.file("job.csv", mixed(2400).csv() if "%" in limit else conversations(400).csv())

    ended = command.run("run", "job.csv", "--yes", "--max-failures", limit, "--json").expect(3)

    check_summary(ended.json)
    assert ended.continuation == ("resume", "job.ledger.db")
    assert ended.json["by_status"]["pending"] > 0
    failed, succeeded = ended.json["by_status"]["failed"], ended.json["by_status"]["succeeded"]
    if limit == "10":
        assert 10 <= failed <= 10 + 60
    else:
        assert failed + succeeded >= 1000
        assert failed / (failed + succeeded) > 0.2


def test_by_default_half_of_a_thousand_failures_stop_a_run(command: Command, server: OtherServer) -> None:
    """Without a flag: more than 50 % failed once 1,000 have ended in the process is exit 3 (5)."""
    server.order({"skip": 90, "share": 0.7, "code": 50002})
    command.file("job.csv", mixed(2400).csv())

    ended = command.run("run", "job.csv", "--yes", "--json").expect(3)

    assert 1000 <= sum(ended.json["by_status"][word] for word in ("failed", "succeeded")) <= 1400


def test_max_duration_stops_the_run(command: Command, server: OtherServer) -> None:
    """`--max-duration 2s`: exit 4 in time with nothing in doubt; a resume completes the job (5)."""
    job = conversations(300)
    command.file("job.csv", job.csv())

    stopped = command.run("run", "job.csv", "--yes", "--rate", "50", "--max-duration", "2s", "--json").expect(4)
    ended = command.run("resume", "job.ledger.db", "--rate", "200", "--max-duration", "none", "--json").expect(0)

    assert 0 < stopped.json["calls"] <= 120
    assert stopped.json["by_status"]["sending"] == 0
    check_reconciled(ended.json, server.record, job)


def test_a_stop_that_left_nothing_pending_is_no_stop(command: Command, server: OtherServer) -> None:
    """A canary as large as the job leaves nothing pending: exit 0 and no question (5)."""
    command.file("job.csv", mixed(9).csv())

    ended = command.run("run", "job.csv", "--yes", "--canary", "3", "--json").expect(0)

    assert ended.json["state"] == "finished"


@pytest.mark.parametrize(
    "flags",
    [
        ["--rate", "201"],
        ["--max-duration", "soon"],
        ["--nope"],
        seldom(["--rate", "0"]),
        seldom(["--rate", "1.5"]),
        seldom(["--rate", "nope=5"]),
        seldom(["--rate", "clear_group_messages=500"]),
        seldom(["--max-attempts", "0"]),
        seldom(["--max-failures", "101%"]),
        seldom(["--outage-limit", "-1"]),
        seldom(["--absent", "maybe"]),
        seldom(["--in-doubt", "drop"]),
        seldom(["--on-invalid", "repair"]),
        seldom(["--canary", "x"]),
        seldom(["--max-ops", "0"]),
        seldom(["--progress", "loud"]),
    ],
    ids=" ".join,
)
def test_a_setting_out_of_range_is_a_usage_error(flags: list[str], bare: Command) -> None:
    """Exit 2 naming the flag, before anything is read or made (4, 5)."""
    bare.file("job.csv", mixed(3).csv())

    ended = bare.run("run", "job.csv", "--sandbox", "--yes", *flags).expect(2)

    assert flags[0] in ended.screen
    assert not (bare.folder / "job.sandbox.ledger.db").exists()


def test_a_rate_over_the_limit_needs_a_flag_of_its_own(command: Command, server: OtherServer) -> None:
    """`--allow-over-limit` takes a rate above the published one, and uses it (4)."""
    command.file("job.csv", conversations(500).csv())

    command.run("run", "job.csv", "--yes", "--rate", "400", "--allow-over-limit").expect(0)

    assert server.record.rate("delete_conversation") > 250
    assert server.record.worst_second("delete_conversation", lateness=0.005) <= 400


@pytest.mark.parametrize("most", [1, seldom(3)])
def test_the_only_operation_of_a_job_gets_its_attempts_and_no_more(most: int, command: Command, server: OtherServer) -> None:
    """No other one is left that could tell an outage from an operation that fails by itself: it is charged from the first on."""
    server.order({"code": 50004})
    command.file("job.csv", conversations(1).csv())
    ended = command.run("run", "job.csv", "--max-attempts", str(most), "--yes", "--json").expect(1)
    assert ended.json["by_status"]["exhausted"] == 1
    assert ended.json["calls"] == server.count == most


def test_exhausted_ones_are_reopened_by_retry(command: Command, server: OtherServer) -> None:
    """Attempts that ran out answered end as exhausted (1); `retry` gives them fresh attempts and completes the job (3, 5)."""
    job = mixed(30)
    command.file("job.csv", job.csv())
    server.order({"where": {"From_Account": "user4"}, "code": 50004}, {"where": {"From_Account": "user6"}, "code": 50001})

    first = command.run("run", "job.csv", "--yes", "--max-attempts", "3", "--json").expect(1)
    assert first.json["by_status"]["exhausted"] == 1
    assert first.json["by_status"]["failed"] == 1
    assert first.json["apis"]["delete_conversation_group"]["codes"]["50004"] == 3
    assert "bulkops retry job.ledger.db" in first.screen
    server.order()
    again = command.run("retry", "job.ledger.db", "--yes", "--json").expect(1)

    assert again.json["by_status"] == {**dict.fromkeys(again.json["by_status"], 0), "succeeded": 29, "failed": 1}
    check_reconciled(again.json, server.record, job)


@pytest.mark.parametrize(
    ("flags", "left"),
    [
        (["--status", "failed"], {"absent": 1}),
        seldom(["--code", "50001"], {"failed": 1, "absent": 1}),
        (["--status", "failed", "--code", "50002"], {"failed": 1, "absent": 1}),
        seldom(["--status", "failed,absent"], {}),
        seldom(["--status", "absent", "--code", "50001"], {"failed": 2, "absent": 1}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_retry_reopens_what_status_and_code_say(
    flags: list[str], left: dict[str, int], command: Command, server: OtherServer
) -> None:
    """`retry --status/--code` reopens exactly those that both fit, and nothing else is sent again (5)."""
    command.file("job.csv", mixed(30).csv())
    server.order({"where": {"From_Account": "user4"}, "code": 50001}, {"where": {"From_Account": "user6"}, "code": 50002})
    server.set(absent=["@TGS#5"])
    command.run("run", "job.csv", "--yes").expect(1)
    server.order()
    server.set(absent=[])
    server.forget()

    ended = command.run("retry", "job.ledger.db", "--yes", *flags, "--json").expect(1 if "failed" in left else 0)

    found = {word: number for word, number in ended.json["by_status"].items() if number}
    assert found == {"succeeded": 30 - sum(left.values()), **left}
    assert server.count == 3 - sum(left.values())


def test_a_retry_of_a_status_that_cannot_be_reopened_is_a_usage_error(command: Command) -> None:
    """`retry --status succeeded`: exit 2, the others named (5)."""
    command.file("job.csv", mixed(3).csv())
    command.run("run", "job.csv", "--yes").expect(0)

    ended = command.run("retry", "job.ledger.db", "--yes", "--status", "succeeded").expect(2)

    assert "exhausted" in ended.screen


def test_a_retry_asks_at_a_terminal_and_refuses_without_one(command: Command, server: OtherServer) -> None:
    """`retry` shows the plan and wants the SDKAppID typed; without a terminal and --yes it is exit 2 (5)."""
    command.file("job.csv", mixed(3).csv())
    server.order({"code": 50004})
    command.run("run", "job.csv", "--yes", "--max-attempts", "1").expect(1)
    server.order()
    server.forget()

    command.run("retry", "job.ledger.db").expect(2)
    assert server.count == 0
    asked = command.start("retry", "job.ledger.db", terminal=True)
    asked.wait_for("Type the SDKAppID")
    asked.type("1400000042\n")
    asked.wait().expect(0)

    assert server.count == 3


def test_absent_counts_as_reached_unless_told_otherwise(command: Command, server: OtherServer) -> None:
    """51009 and 10010 are `absent`: exit 0; with --absent fail exit 1 (3)."""
    command.file("job.csv", mixed(9).csv())
    server.set(absent=["@TGS#5", "группа 4"])

    ended = command.run("run", "job.csv", "--yes", "--json").expect(0)
    command.run("run", "job.csv", "--yes", "--absent", "fail", "--ledger", "second.db").expect(1)

    assert ended.json["by_status"]["absent"] == 2
    assert ended.json["by_status"]["succeeded"] == 7


def test_absent_codes_make_other_codes_absent(command: Command, server: OtherServer) -> None:
    """`--absent-codes 50001`: accounts that are gone count as reached (3)."""
    command.file("job.csv", conversations(10).csv())
    server.order({"where": {"From_Account": "user3"}, "code": 50001})

    ended = command.run("run", "job.csv", "--yes", "--absent-codes", "50001", "--json").expect(0)

    assert ended.json["by_status"]["absent"] == 1


def test_absent_fail_excuses_what_our_own_unanswered_attempt_may_have_done(command: Command, server: OtherServer) -> None:
    """Answer lost after the effect, then 51009: absent, and with --absent fail still exit 0 (3)."""
    command.file("job.csv", mixed(9).csv())
    server.order({"op": "delete_conversation_group", "attempts": 1, "skip": 1, "reset": "after"})

    ended = command.run("run", "job.csv", "--yes", "--absent", "fail", "--json").expect(0)

    assert ended.json["by_status"]["absent"] == 2
    assert ended.json["apis"]["delete_conversation_group"]["codes"] == {"0": 1, "51009": 2, "lost": 2}


def test_results_of_a_retry_show_the_newest_attempt(command: Command, server: OtherServer) -> None:
    """`_attempts` counts every call, `_code` is the newest one's (3, 5)."""
    command.file("job.csv", conversations(3).csv())
    server.order({"where": {"From_Account": "user3"}, "attempts": 2, "code": 50005})

    command.run("run", "job.csv", "--yes").expect(0)
    rows = results_of(command.run("results", "job.ledger.db").expect(0).stdout)

    assert [(row["_attempts"], row["_code"]) for row in rows] == [("1", "0"), ("3", "0"), ("1", "0")]
