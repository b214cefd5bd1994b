"""The exit codes, one test for each row of the table, and the JSON object of every command that prints one (contract, 5)."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support import STATUSES, check_summary, conversations, mixed, seldom
from tests.helpers.command import NAME, Command
from tests.helpers.otherserver_handle import OtherServer

pytestmark = pytest.mark.slow


def test_0_every_operation_succeeded_or_was_absent(command: Command, server: OtherServer) -> None:
    """0: all succeeded or absent; `status`, `results`, `apis`, `plan` answered; a run over a finished ledger."""
    command.file("job.csv", mixed(9).csv())
    server.set(absent=["@TGS#5"])

    command.run("run", "job.csv", "--yes").expect(0)

    for arguments in (("status", "job.ledger.db"), ("results", "job.ledger.db"), ("apis",), ("plan", "job.csv")):
        ended = command.run(*arguments, "--yes").expect(0)
        assert ended.stdout
        assert ended.stderr == ""


@pytest.mark.parametrize("how", ["failed", "exhausted", "in_doubt", "invalid"])
def test_1_carried_out_but_not_all_well(how: str, command: Command, server: OtherServer) -> None:
    """1: to the end; some failed, exhausted, in doubt or invalid."""
    orders: dict[str, dict[str, object]] = {
        "failed": {"code": 50001},
        "exhausted": {"code": 50004},
        "in_doubt": {"reset": "after"},
    }
    text = conversations(20).csv()
    if how == "invalid":
        text += "delete_conversation,,,9,,,,,,\n"
    else:
        server.order({"where": {"From_Account": "user6"}, **orders[how]})
    command.file("job.csv", text)

    ended = command.run("run", "job.csv", "--yes", "--max-attempts", "2", "--on-invalid", "skip", "--json").expect(1)

    assert ended.json["state"] == "finished"
    assert ended.json["exit"] == 1
    assert (ended.json["invalid"] if how == "invalid" else ended.json["by_status"][how]) == 1
    assert command.run("status", "job.ledger.db", "--json").expect(0).json["exit"] == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",),
        ("run", "nofile.csv", "--yes"),
        ("run", "bad.csv", "--yes"),
        ("run", "job.csv"),
        ("run", "job.csv", "--yes", "--ledger", "no/folder/x.db"),
        ("plan", "bad.csv"),
        ("plan", ""),
        ("plan", "job.csv", "--ledger", "no/folder/x.db"),
        ("run", ".", "--yes"),
        ("resume", "nowhere.db"),
        ("status", "x" * 300),
        ("results", "x" * 300),
        ("resume", "x" * 300),
        (),
        seldom(("run", "job.csv", "--yes", "--nope")),
        seldom(("plan", "nofile.csv")),
        seldom(("retry", "nowhere.db", "--yes")),
        seldom(("status", "nowhere.db")),
        seldom(("results", "nowhere.db")),
        seldom(("nonsense",)),
    ],
    ids=lambda words: " ".join(words)[:40],
)
def test_2_usage_settings_or_job_file_wrong(arguments: tuple[str, ...], command: Command, server: OtherServer) -> None:
    """2: nothing was sent, and a few lines say what is wrong: a plan's are its answer, all others' on standard error."""
    command.file("job.csv", conversations(3).csv())
    command.file("bad.csv", conversations(3).csv() + "delete_conversation,,,9,,,,,,\n")

    ended = command.run(*arguments).expect(2)

    assert server.count == 0
    said = ended.stdout + ended.stderr if arguments[:1] == ("plan",) else ended.stderr
    assert 0 < len(said.splitlines()) < 40


def test_2_a_name_that_is_no_text(bare: Command) -> None:
    """Bytes that no encoding knows could be neither written down nor shown: said before there is a ledger, by a plan as well."""
    name = os.fsdecode(b"x\xff.csv")
    bare.file(name, conversations(3).csv())
    bare.file("job.csv", conversations(3).csv())
    for words in (
        ("plan", name),
        ("run", name, "--ledger", "k.db", "--sandbox", "--yes"),
        ("plan", "job.csv", "--ledger", name),
    ):
        assert "is no UTF-8" in bare.run(*words).expect(2).screen
    assert sorted(path.name for path in bare.folder.glob("*.db*")) == []


def test_3_stopped_itself(command: Command, server: OtherServer) -> None:
    """3: a fatal answer; resumable."""
    command.file("job.csv", conversations(3).csv())
    server.order({"code": 60016})

    ended = command.run("run", "job.csv", "--yes").expect(3)

    assert ended.continuation == ("resume", "job.ledger.db")


def test_4_stopped_on_request(command: Command) -> None:
    """4: a canary that nobody answers; resumable."""
    command.file("job.csv", conversations(3).csv())

    ended = command.run("run", "job.csv", "--yes", "--canary", "1").expect(4)

    assert ended.continuation == ("resume", "job.ledger.db")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_2_an_answer_that_cannot_be_written(bare: Command) -> None:
    """Standard output on a full disk: exit 2 in words, no traceback."""
    bare.file("job.csv", conversations(30).csv())
    bare.run("plan", "job.csv", "--ledger", "job.ledger.db").expect(0)
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [*NAME, "results", "job.ledger.db"],
            cwd=bare.folder,
            env=bare.environ,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=30,
        )

    assert ended.returncode == 2
    assert "standard output" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_5_the_ledger_cannot_be_used(command: Command, server: OtherServer) -> None:
    """5: a file that is no ledger stands in its place; it is left as it was, and nothing is sent."""
    command.file("job.csv", conversations(3).csv())
    command.file("job.ledger.db", "precious notes\n")

    ended = command.run("run", "job.csv", "--yes", "--json").expect(5)

    check_summary(ended.json, extra=["errors"])
    assert ended.json["exit"] == 5
    assert (command.folder / "job.ledger.db").read_text() == "precious notes\n"
    assert server.count == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits another process's files")
def test_5_the_disk_is_full_in_the_middle(command: Command, server: OtherServer) -> None:
    """5: a ledger that can't grow any more: no further call, what was done is kept, a resume completes once there is room."""
    job = mixed(900)
    command.file("job.csv", job.csv())
    run = command.start("run", "job.csv", "--yes", "--json")
    server.wait_for_calls(60)
    size = (command.folder / "job.ledger.db").stat().st_size
    most = size + 20_000
    resource.prlimit(run.pid, resource.RLIMIT_FSIZE, (most, most))  # to that process the disk is full from there on

    stopped = run.wait().expect(5)
    afterwards = command.run("status", "job.ledger.db", "--json").expect(0).json
    ended = command.run("resume", "job.ledger.db", "--json").expect(0)

    assert (stopped.json["calls"], stopped.json["by_status"]) == (afterwards["calls"], afterwards["by_status"])
    check_summary(stopped.json, extra=["errors"] if "errors" in stopped.json else [])
    assert stopped.continuation == ("resume", "job.ledger.db")
    assert set(server.record.effects) == set(job.targets)
    assert max(len(calls) for calls in server.record.of_target.values()) <= 2
    assert ended.json["by_status"]["succeeded"] + ended.json["by_status"]["absent"] == 900


def check_errors(answer: dict[str, Any]) -> None:
    """See that `errors` is as the contract has it."""
    assert 1 <= len(answer["errors"]) <= 20
    for error in answer["errors"]:
        assert list(error) == ["file", "line", "column", "message"]
        assert isinstance(error["message"], str)
        assert error["message"]
        assert error["line"] is None or error["line"] >= 1


def test_json_with_exit_2_has_the_first_twenty_errors(command: Command) -> None:
    """Bad rows: the same object, with `errors` of at most 20 places; `plan` and `run` agree on them."""
    bad = "".join(f"delete_conversation,,user{n},9,x,,,,,\n" for n in range(30))
    command.file("job.csv", conversations(3).csv() + bad)

    planned = command.run("plan", "job.csv", "--json").expect(2)
    ran = command.run("run", "job.csv", "--yes", "--json").expect(2)

    check_summary(ran.json, extra=["errors"])
    check_errors(ran.json)
    check_errors(planned.json)
    assert len(ran.json["errors"]) == 20
    assert ran.json["errors"] == planned.json["errors"]
    assert ran.json["errors"][0] == {**ran.json["errors"][0], "file": "job.csv", "line": 5, "column": "Type"}
    assert (ran.json["rows"], ran.json["invalid"], ran.json["exit"]) == (33, 30, 2)
    assert (planned.json["rows"], planned.json["invalid"], planned.json["exit"]) == (33, 30, 2)


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "nofile.csv", "--yes"),
        ("run", "job.csv"),
        ("run", "job.csv", "--yes", "--nope"),
        ("status", "nowhere.db"),
        ("resume", "text.db"),
        seldom(("run", "job.csv", "--yes", "--rate", "x")),
        seldom(("plan", "nofile.csv")),
        seldom(("resume", "nowhere.db")),
        seldom(("retry", "nowhere.db", "--yes")),
        seldom(("status", "text.db")),
    ],
    ids=" ".join,
)
def test_json_is_printed_with_exit_2_and_5(arguments: tuple[str, ...], command: Command) -> None:
    """--json prints its one object on standard output also when the command could not do what it was asked to."""
    command.file("job.csv", conversations(3).csv())
    command.file("text.db", "no ledger\n")

    ended = command.run(*arguments, "--json")

    assert ended.code in {2, 5}
    check_summary(ended.json, extra=["errors"])
    check_errors(ended.json)
    assert ended.json["exit"] == ended.code
    assert ended.json["reason"]


def test_json_of_every_command_holds_to_the_letter(command: Command, server: OtherServer) -> None:
    """plan, run, resume, retry, status: one object each, documented keys in order, types and sums; nothing else on stdout."""
    job = mixed(30)
    doubled = job.csv() + job.csv().splitlines()[1] + "\n"
    command.file("job.csv", doubled)
    server.order({"where": {"From_Account": "user4"}, "code": 50004})

    planned = command.run("plan", "job.csv", "--json").expect(0)
    stopped = command.run("run", "job.csv", "--yes", "--json", "--canary", "2", "--max-attempts", "3").expect(4)
    resumed = command.run("resume", "job.ledger.db", "--json").expect(1)
    server.order()
    retried = command.run("retry", "job.ledger.db", "--yes", "--json").expect(0)
    status = command.run("status", "job.ledger.db", "--json").expect(0)

    check_summary(planned.json, extra=["warnings"])
    for ended in (stopped, resumed, retried, status):
        check_summary(ended.json)
        assert (ended.json["rows"], ended.json["duplicates"], ended.json["operations"]) == (31, 1, 30)
    assert [ended.json["state"] for ended in (planned, stopped, resumed, retried)] == [
        "planned",
        "stopped",
        "finished",
        "finished",
    ]
    assert [ended.json["exit"] for ended in (planned, stopped, resumed, retried)] == [0, 4, 1, 0]
    assert {**status.json, "elapsed_s": 0} == {**retried.json, "elapsed_s": 0}
    assert retried.json["calls"] == server.count == 33
    assert retried.json["retried"] == 3
    assert retried.json["apis"]["delete_conversation_group"]["codes"] == {"0": 10, "50004": 3}
    assert tuple(retried.json["by_status"]) == STATUSES


def test_json_rate_is_of_the_newest_process(command: Command) -> None:
    """`rate`: calls of the newest process over the time from its first to its last departure."""
    command.file("job.csv", conversations(120).csv())
    command.run("run", "job.csv", "--yes", "--canary", "20", "--rate", "200").expect(4)

    ended = command.run("resume", "job.ledger.db", "--rate", "50", "--json").expect(0)

    assert 48 <= ended.json["apis"]["delete_conversation"]["rate"] <= 53


def test_no_process_is_left_behind(command: Command, server: OtherServer) -> None:
    """Whatever ends a command, its process group is empty afterwards."""
    command.file("job.csv", conversations(200).csv())
    run = command.start("run", "job.csv", "--yes", "--sandbox", env={"BULKOPS_ENDPOINT": ""})
    run.wait_for("ledger:")
    run.signal(signal.SIGINT)
    run.wait()

    with pytest.raises(ProcessLookupError):
        os.killpg(run.pid, 0)
