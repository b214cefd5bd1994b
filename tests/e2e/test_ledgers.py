"""Ledgers: who may use one, of which job it is, what may be read beside a live run (contract, 2, 3 and 5)."""

from __future__ import annotations

import gzip
import os
import shutil
import signal
import threading
from pathlib import Path

import pytest

from tests.e2e.support import check_reconciled, check_summary, conversations, mixed, results_of
from tests.helpers.command import Command, Ended
from tests.helpers.otherserver_handle import OtherServer

pytestmark = pytest.mark.slow


def test_a_second_process_on_a_ledger_is_refused_naming_the_first(command: Command, server: OtherServer) -> None:
    """Beside a live run `run`, `resume` and `retry` on its ledger end with 5 within a second and name its pid (3)."""
    command.file("job.csv", conversations(100).csv())
    live = command.start("run", "job.csv", "--yes", "--rate", "20")
    server.wait_for_calls(10)

    for arguments in (("run", "job.csv", "--yes"), ("resume", "job.ledger.db"), ("retry", "job.ledger.db", "--yes")):
        refused = command.run(*arguments, "--json").expect(5)

        assert str(live.pid) in refused.screen
        assert refused.seconds < 3
        assert refused.continuation[1] in {"job.csv", "job.ledger.db"}
        assert str(live.pid) in refused.json["errors"][0]["message"]
    live.wait().expect(0)
    assert server.count == 100


def test_two_ledgers_that_share_a_lane_are_refused(command: Command, server: OtherServer) -> None:
    """A run of the same app, host and API on another ledger: 5, unless --allow-shared-quota; another API is no conflict (3)."""
    command.file("one.csv", conversations(100).csv())
    command.file("two.csv", conversations(5, start=100).csv())
    command.file("three.csv", "op,GroupId,MsgSeq\nclear_group_messages,@TGS#1,5\n")
    live = command.start("run", "one.csv", "--yes", "--rate", "20")
    server.wait_for_calls(10)

    refused = command.run("run", "two.csv", "--yes").expect(5)
    assert str(live.pid) in refused.screen
    assert "--allow-shared-quota" in refused.screen
    command.run("run", "three.csv", "--yes").expect(0)
    command.run("run", "two.csv", "--yes", "--allow-shared-quota").expect(0)

    live.wait().expect(0)
    assert server.count == 106


def test_a_changed_job_file_is_refused_saying_what_differs(command: Command, server: OtherServer) -> None:
    """`run` on the ledger of another job: exit 2, what differs in words, nothing sent, the old job still resumes (3)."""
    command.file("job.csv", conversations(10).csv())
    command.run("run", "job.csv", "--yes").expect(0)
    server.forget()
    command.file("job.csv", conversations(12).csv())

    refused = command.run("run", "job.csv", "--yes", "--json").expect(2)

    assert "12" in refused.screen
    assert "10" in refused.screen
    check_summary(refused.json, extra=["errors"])
    assert server.count == 0
    command.run("resume", "job.ledger.db").expect(0)
    assert server.count == 0


def test_one_changed_row_is_another_job(command: Command, server: OtherServer) -> None:
    """The same number of rows with one of them changed is refused, and the place of the difference is named (3)."""
    job = conversations(10).csv()
    command.file("job.csv", job)
    command.run("run", "job.csv", "--yes").expect(0)
    command.file("job.csv", job.replace("peer12,", "peer13,"))

    refused = command.run("run", "job.csv", "--yes").expect(2)

    assert "5" in refused.screen.split("difference")[1]


def test_the_job_is_its_operations_not_its_files(command: Command, server: OtherServer) -> None:
    """Renamed, converted to JSONL and compressed, the same operations in their order are the same job: nothing is sent (3)."""
    command.file("job.csv", mixed(12).csv())
    command.run("run", "job.csv", "--yes").expect(0)
    server.forget()
    command.file("other.jsonl", mixed(12).jsonl())

    ended = command.run("run", "other.jsonl", "--ledger", "job.ledger.db", "--yes", "--json").expect(0)

    assert server.count == 0
    assert ended.json["by_status"]["succeeded"] == 12


def test_run_again_continues_and_sends_only_what_is_left(command: Command, server: OtherServer) -> None:
    """The same `run` again carries out what is pending; once all has ended it sends nothing and is 0 (3, 5)."""
    job = conversations(20)
    command.file("job.csv", job.csv())
    command.run("run", "job.csv", "--yes", "--canary", "5").expect(4)

    ended = command.run("run", "job.csv", "--yes", "--json").expect(0)
    command.run("run", "job.csv", "--yes").expect(0)

    check_reconciled(ended.json, server.record, job)
    assert server.count == 20


def test_a_ledger_in_which_nothing_began_is_replaced_without_a_word(command: Command, server: OtherServer) -> None:
    """A plan's ledger, or that of a refused job, is in nobody's way: another job takes its place (3)."""
    command.file("job.csv", conversations(10).csv())
    command.run("plan", "job.csv", "--ledger", "job.ledger.db").expect(0)
    job = conversations(7, start=50)
    command.file("job.csv", job.csv())

    ended = command.run("run", "job.csv", "--yes", "--json").expect(0)

    check_reconciled(ended.json, server.record, job)
    assert ended.json["operations"] == 7


def test_a_plans_ledger_is_in_the_sandboxs_way_no_more_than_in_a_runs(bare: Command) -> None:
    """Nothing was begun in it, so nothing continues (3)."""
    bare.file("job.csv", conversations(3).csv())
    bare.run("plan", "job.csv", "--ledger", "x.db").expect(0)
    assert bare.run("run", "job.csv", "--ledger", "x.db", "--sandbox", "--yes", "--json").expect(0).json["calls"] == 3


def test_a_ledger_behind_a_link_is_one_ledger(command: Command, server: OtherServer) -> None:
    """Whoever comes by the link or by the file meets the run that holds it; a link to nothing is refused (3)."""
    command.file("job.csv", conversations(30).csv())
    (command.folder / "real").mkdir()
    (command.folder / "link.db").symlink_to("real/job.db")
    assert "symbolic link to nothing" in command.run("run", "job.csv", "--yes", "--ledger", "link.db").expect(5).screen
    command.run("plan", "job.csv", "--ledger", "real/job.db").expect(0)

    run = command.start("run", "job.csv", "--yes", "--ledger", "link.db", "--rate", "5")
    server.wait_for_calls(3)
    for path in ("link.db", "real/job.db"):
        assert command.run("status", path, "--json").expect(0).json["state"] == "running"
        command.run("resume", path).expect(5)

    run.wait().expect(0)
    assert (command.folder / "link.db").is_symlink()
    assert server.count == 30


def test_a_lock_file_that_was_removed_lets_nobody_write_beside_the_newer_process(command: Command, server: OtherServer) -> None:
    """Somebody took it for stale: the older process stops with its next commit, and no count goes wrong (3)."""
    job = conversations(60)
    command.file("job.csv", job.csv())
    run = command.start("run", "job.csv", "--yes", "--rate", "10", "--allow-shared-quota")
    server.wait_for_calls(10)
    (command.folder / "job.ledger.db.lock").unlink()

    ended = command.run("resume", "job.ledger.db", "--allow-shared-quota", "--json").expect(0)

    assert "another process goes on with" in run.wait().expect(5).screen
    assert ended.json["by_status"]["succeeded"] == 60
    assert set(server.record.effects) == set(job.targets)


def test_no_file_of_the_users_is_in_the_way_of_a_ledgers_making(bare: Command) -> None:
    """Not one that is called as a half-made ledger might be, and not the job itself."""
    bare.file("purge.new", conversations(3).csv())
    bare.run("run", "purge.new", "--ledger", "purge", "--sandbox", "--yes").expect(0)
    assert (bare.folder / "purge.new").read_text() == conversations(3).csv()


def test_a_path_with_two_slashes_is_a_path(bare: Command) -> None:
    """As `"$ROOT/x.db"` gives one where ROOT is `/`."""
    bare.file("job.csv", conversations(3).csv())
    ledger = f"/{bare.folder}/x.db"
    bare.run("run", "job.csv", "--ledger", ledger, "--sandbox", "--yes").expect(0)
    for words in (("status",), ("results",)):
        bare.run(*words, ledger).expect(0)


def test_other_bad_rows_of_the_same_job_are_spoken_of(command: Command, server: OtherServer) -> None:
    """The operations are the job; that its bad rows were others is said, and none of them stops what is clean now (2, 3)."""
    good, bad = conversations(3).csv(), "delete_conversation,,,9,,,,,,\n"
    command.file("job.csv", good + bad)
    command.run("run", "job.csv", "--yes", "--on-invalid", "skip", "--canary", "1").expect(4)
    command.file("job.csv", good + bad + bad)
    assert (
        "2 rows are invalid in the files"
        in command.run("run", "job.csv", "--yes", "--on-invalid", "skip", "--canary", "1").screen
    )

    refused = command.run("run", "job.csv", "--yes", "--json").expect(2).json
    assert refused["rows"] == refused["operations"] + refused["duplicates"] + refused["invalid"]
    command.file("job.csv", good)
    ended = command.run("run", "job.csv", "--yes", "--json").expect(1)

    assert "no row is invalid now" in ended.screen
    assert ended.json["by_status"]["succeeded"] == 3
    assert server.count == 3


def test_after_a_no_the_resume_has_the_settings_that_were_asked_about(command: Command, server: OtherServer) -> None:
    """Nothing was begun, and still the ledger alone suffices: rate, guards and --on-invalid are not forgotten (3, 5)."""
    command.file("job.csv", conversations(3).csv() + "delete_conversation,,,9,,,,,,\n")
    run = command.start("run", "job.csv", "--rate", "7", "--on-invalid", "skip", "--max-attempts", "3", terminal=True)
    run.wait_for("Type the SDKAppID")
    run.type("no\n")
    declined = run.wait().expect(4)
    assert server.count == 0

    planned = command.run(*declined.continuation, "--dry-run").expect(0).stdout
    ended = command.run(*declined.continuation, "--yes", "--json").expect(1)

    assert declined.continuation[0] == "resume"
    assert " 7 " in planned, "calls/s"
    assert (ended.json["calls"], ended.json["invalid"]) == (3, 1)


def test_after_a_no_to_a_run_that_goes_on_the_same_command_has_its_flags(command: Command, server: OtherServer) -> None:
    """A resume would go on with the settings of the process before."""
    command.file("job.csv", conversations(20).csv())
    command.run("run", "job.csv", "--yes", "--canary", "2").expect(4)
    run = command.start("run", "job.csv", "--rate", "7", terminal=True)
    run.wait_for("Type the SDKAppID")
    run.type("no\n")

    declined = run.wait().expect(4)

    assert declined.continuation == ("run", "job.csv", "--rate", "7")
    assert server.count == 2


def test_a_plan_with_the_ledger_of_a_run_says_how_it_stands(command: Command, server: OtherServer) -> None:
    """`--dry-run` is `plan`, whichever way the ledger is found; of another job it is refused (2, 3)."""
    command.file("job.csv", conversations(20).csv())
    command.file("other.csv", conversations(21).csv())
    command.run("run", "job.csv", "--ledger", "kept.db", "--yes", "--canary", "2").expect(4)

    for words in (("plan", "job.csv"), ("run", "job.csv", "--dry-run")):
        answer = command.run(*words, "--ledger", "kept.db", "--json").expect(0).json
        assert (answer["by_status"]["pending"], answer["by_status"]["succeeded"]) == (18, 2)
    other = command.run("plan", "other.csv", "--ledger", "kept.db").expect(2)

    assert "another job" in other.screen
    refused = command.run("run", "other.csv", "--ledger", "kept.db", "--yes").expect(2)
    assert "continue the old job with: bulkops resume kept.db" in refused.screen
    assert server.count == 2


def test_a_job_that_comes_through_a_pipe_continues_though_its_bytes_differ(command: Command, server: OtherServer) -> None:
    """The job is its operations; and a pipe can be read but once (3)."""
    job = conversations(20)
    stopped = through_a_pipe(command, job.csv().encode(), "--canary", "2").expect(4)
    assert server.count == 2

    ended = through_a_pipe(command, gzip.compress(job.csv().encode())).expect(0)
    other = through_a_pipe(command, conversations(21).csv().encode()).expect(2)

    assert stopped.continuation == ("resume", "kept.db")
    check_reconciled(ended.json, server.record, job)
    assert "another job" in other.screen


def through_a_pipe(command: Command, content: bytes, *flags: str) -> Ended:
    """A run of a job that another program writes into a named pipe."""
    pipe = command.folder / "pipe"
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(content,), daemon=True)
    writer.start()
    ended = command.run("run", "pipe", "--ledger", "kept.db", "--yes", "--json", *flags)
    writer.join(5)
    return ended


def test_a_repaired_job_file_runs_after_a_refused_one(command: Command, server: OtherServer) -> None:
    """Bad rows: exit 2, nothing sent, all of them listed by `results --status invalid`; repaired, the file runs (2)."""
    good = conversations(30).csv()
    bad = good.replace(",1,peer", ",7,peer").replace("user3,", "user 3 ,")
    command.file("job.csv", bad)

    refused = command.run("run", "job.csv", "--yes", "--json").expect(2)
    listed = results_of(command.run("results", "job.ledger.db", "--status", "invalid").expect(0).stdout)
    resumed = command.run("resume", "job.ledger.db", "--yes").expect(2)
    command.file("job.csv", good)
    ended = command.run("run", "job.csv", "--yes", "--json").expect(0)

    check_summary(refused.json, extra=["errors"])
    assert refused.json["calls"] == 0
    assert "rows are invalid: repair the job" in resumed.stderr
    assert refused.json["invalid"] == len(listed) > 0
    assert refused.json["errors"][0]["file"] == "job.csv"
    assert refused.json["errors"][0]["line"] == 2
    assert refused.json["errors"][0]["column"] == "Type"
    assert {row["_status"] for row in listed} == {"invalid"}
    check_reconciled(ended.json, server.record, conversations(30))


def test_failed_rows_of_results_run_again_as_they_are(command: Command, server: OtherServer) -> None:
    """`results --status failed -o` gives a file that is a job file: it asks for exactly those operations (2, 5)."""
    job = mixed(30)
    command.file("job.csv", job.csv())
    server.order(
        {"where": {"From_Account": "user4"}, "code": 50001}, {"where": {"GroupId": "@TGS#11"}, "code": 10015, "info": "=1+2"}
    )
    first = command.run("run", "job.csv", "--yes", "--json").expect(1)
    assert first.json["by_status"]["failed"] == 2
    command.run("results", "job.ledger.db", "--status", "failed", "-o", "again.csv").expect(0)
    command.run("results", "job.ledger.db", "--status", "failed", "--format", "jsonl", "-o", "again.jsonl").expect(0)
    server.order()
    server.forget()

    ended = command.run("run", "again.csv", "--yes", "--json").expect(0)
    same = command.run("run", "again.jsonl", "--ledger", "again.ledger.db", "--yes", "--json").expect(0)

    assert sorted(server.record.effects) == sorted([job.targets[4], job.targets[11]])
    assert ended.json["by_status"]["succeeded"] == 2
    assert same.json["calls"] == 2, "the JSONL is the same job: nothing more is sent"
    assert server.count == 2


def test_the_sandbox_and_the_real_host_share_no_ledger(command: Command, server: OtherServer) -> None:
    """--sandbox uses a ledger of its own; naming the other's is refused in both directions with 2 (3)."""
    command.file("job.csv", mixed(9).csv())
    boxed = command.run("run", "job.csv", "--sandbox", "--yes", "--json", env={"BULKOPS_ENDPOINT": ""}).expect(0)
    assert boxed.json["ledger"] == "job.sandbox.ledger.db"
    assert "sandbox" in boxed.screen.lower()
    assert server.count == 0
    real = command.run("run", "job.csv", "--yes", "--json").expect(0)
    assert real.json["ledger"] == "job.ledger.db"
    check_reconciled(real.json, server.record, mixed(9))

    one = command.run("run", "job.csv", "--yes", "--ledger", "job.sandbox.ledger.db").expect(2)
    other = command.run("run", "job.csv", "--yes", "--sandbox", "--ledger", "job.ledger.db").expect(2)

    assert "sandbox" in one.screen
    assert "real" in other.screen
    assert server.count == 9
    (command.folder / "job.sandbox.ledger.db").rename(command.folder / "plain.db")
    assert "SANDBOX" in command.run("status", "plain.db").expect(0).stdout
    assert "SANDBOX" in command.run("resume", "plain.db", env={"BULKOPS_ENDPOINT": ""}).expect(0).stdout
    assert "SANDBOX" not in command.run("status", "job.ledger.db").expect(0).stdout


def test_status_and_results_answer_beside_a_live_run(command: Command, server: OtherServer) -> None:
    """Beside a live run `status` says `running` with exit null, `results` lists every operation, both quick and harmless (3)."""
    command.file("job.csv", conversations(300).csv())
    live = command.start("run", "job.csv", "--yes", "--rate", "30", "--json")
    server.wait_for_calls(30)

    seen = 0
    for _ in range(3):
        status = command.run("status", "job.ledger.db", "--json").expect(0)
        check_summary(status.json)
        assert status.json["state"] == "running"
        assert status.json["exit"] is None
        assert seen <= status.json["by_status"]["succeeded"] < 300
        seen = status.json["by_status"]["succeeded"]
        assert len(results_of(command.run("results", "job.ledger.db").expect(0).stdout)) == 300
        assert status.seconds < 2
    text = command.run("status", "job.ledger.db").expect(0).stdout
    live.signal(signal.SIGINT)
    ended = live.wait().expect(4)

    assert seen > 0
    assert "running" in text
    assert ended.json["calls"] == ended.json["by_status"]["succeeded"] == server.count


def test_status_and_results_tell_a_missing_or_foreign_ledger_apart(command: Command) -> None:
    """No ledger is exit 2; a file that is none, an empty one or a cut one is exit 5, each with its own words (5)."""
    command.file("job.csv", conversations(200).csv())
    command.run("run", "job.csv", "--yes").expect(0)
    whole = (command.folder / "job.ledger.db").read_bytes()
    command.file("text.db", "this is no ledger\n" * 100)
    command.file("empty.db", "")
    command.file("cut.db", whole[: len(whole) // 2])
    command.file("flipped.db", whole[:5000] + bytes([whole[5000] ^ 0x40]) + whole[5001:])
    words = set()

    for verb in ("status", "results", "resume"):
        command.run(verb, "nowhere.db").expect(2)
    for name in ("text.db", "empty.db", "cut.db", "flipped.db"):
        words.add(command.run("status", name).expect(5).lines[0].replace(name, ""))
    command.run("resume", "cut.db").expect(5)
    assert len(words) == 4


def test_a_copy_of_a_ledger_alone_suffices_to_resume(command: Command, server: OtherServer) -> None:
    """The ledger alone resumes, retries and reports: elsewhere, without the job's files (3)."""
    command.file("job.csv", conversations(20).csv())
    command.run("run", "job.csv", "--yes", "--canary", "5").expect(4)
    elsewhere = command.folder / "elsewhere"
    elsewhere.mkdir()
    shutil.move(command.folder / "job.ledger.db", elsewhere / "kept.db")
    (command.folder / "job.csv").unlink()

    ended = command.run("resume", elsewhere / "kept.db", "--json").expect(0)

    check_reconciled(ended.json, server.record, conversations(20))
    assert ended.json["by_status"]["succeeded"] == 20


def test_the_sdkappid_may_change_only_until_an_operation_has_ended(command: Command, server: OtherServer) -> None:
    """A resume for another SDKAppID is refused with 2 once an operation has ended; another endpoint is said and allowed (3)."""
    command.file("job.csv", conversations(20).csv())
    command.run("run", "job.csv", "--yes", "--canary", "5").expect(4)

    refused = command.run("resume", "job.ledger.db", "--sdkappid", "1400000099").expect(2)
    with OtherServer() as second:
        moved = command.run("resume", "job.ledger.db", "--endpoint", second.endpoint).expect(0)
        assert second.count == 15

    assert "1400000042" in refused.screen
    assert server.endpoint in moved.screen
    assert "endpoint" in moved.screen
    assert server.count == 5


def test_a_read_only_folder_is_an_error_before_the_first_call(command: Command, server: OtherServer) -> None:
    """Where no ledger can be written nothing is sent; the message says why (5)."""
    folder = command.folder / "fixed"
    folder.mkdir()
    (folder / "job.csv").write_text(conversations(5).csv())
    if os.geteuid() == 0:
        ledger = Path("/proc/job.ledger.db")  # where not even root can make a file
    else:
        folder.chmod(0o500)
        ledger = folder / "job.ledger.db"

    ended = command.run("run", folder / "job.csv", "--ledger", ledger, "--yes").expect(5)

    assert server.count == 0
    assert str(ledger.parent) in ended.screen
