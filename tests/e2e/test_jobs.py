"""What may be a job: files of every kind, several, standard input, and what the plan says of them (contract, 2 and 5)."""

from __future__ import annotations

import gzip
import json
import shlex
import subprocess

import pytest

from tests.e2e.support import check_reconciled, check_summary, mixed, results_of, seldom
from tests.helpers.command import NAME, Command
from tests.helpers.otherserver_handle import OtherServer

pytestmark = pytest.mark.slow


def files_in(command: Command) -> set[str]:
    """Names in the command's folder."""
    return {path.name for path in command.folder.iterdir()} - {"home"}


def test_a_plan_sends_nothing_leaves_no_file_and_needs_no_credentials(bare: Command, server: OtherServer) -> None:
    """`plan` and `run --dry-run`: exit 0, no file, no call (3, 5)."""
    bare.file("job.csv", mixed(30).csv())

    planned = bare.run("plan", "job.csv", "--json", "--endpoint", server.endpoint).expect(0)
    dry = bare.run("run", "job.csv", "--dry-run", "--json", "--endpoint", server.endpoint).expect(0)

    for ended in (planned, dry):
        check_summary(ended.json, extra=["warnings"])
        assert ended.json["state"] == "planned"
        assert ended.json["by_status"]["pending"] == ended.json["operations"] == 30
        assert ended.json["calls"] == 0
    assert files_in(bare) == {"job.csv"}
    assert server.count == 0


def test_a_plan_reads_like_the_run_that_would_go_on(command: Command, server: OtherServer) -> None:
    """Beside the ledger of a begun job the plan says what is left of it; beside another job's, that a run would be refused (5)."""
    command.file("job.csv", mixed(30).csv())
    command.run("run", "job.csv", "--yes", "--canary", "4").expect(4)

    left = command.run("plan", "job.csv").expect(0).stdout
    answer = command.run("plan", "job.csv", "--json").expect(0).json
    command.file("job.csv", mixed(31).csv())
    other = command.run("plan", "job.csv").expect(0).stdout

    assert "go on with 18 operations" in left
    assert "continues: 12 of 30 have ended" in left
    check_summary(answer, extra=["warnings"])
    assert (answer["by_status"]["pending"], answer["by_status"]["succeeded"]) == (18, 12)
    assert "another job" in other
    assert server.count == 12


def test_a_plan_with_a_ledger_leaves_just_that(bare: Command) -> None:
    """`plan --ledger FILE` freezes the job into it; `status` says planned (3)."""
    bare.file("job.csv", mixed(3).csv())

    bare.run("plan", "job.csv", "--ledger", "kept.db").expect(0)
    status = bare.run("status", "kept.db", "--json").expect(0)

    assert files_in(bare) == {"job.csv", "kept.db"}
    check_summary(status.json)
    assert status.json["state"] == "planned"


@pytest.mark.parametrize(
    "kind", ["csv.gz", "jsonl.zst", "utf16", *map(seldom, ("csv", "jsonl", "none", "bom", "semicolon", "crlf"))]
)
def test_the_same_operations_in_every_kind_of_file(kind: str, command: Command, server: OtherServer) -> None:
    """CSV and JSONL, by extension or content, compressed, with BOM, UTF-16, another delimiter, CRLF: the same calls (2)."""
    job = mixed(9)
    csv, jsonl = job.csv(), job.jsonl()
    name, content = {
        "csv": ("job.csv", csv.encode()),
        "jsonl": ("job.jsonl", jsonl.encode()),
        "csv.gz": ("job.csv.gz", gzip.compress(csv.encode())),
        "jsonl.zst": ("job.jsonl.zst", _zst(jsonl.encode())),
        "none": ("job", jsonl.encode()),
        "utf16": ("job.csv", csv.encode("utf-16")),
        "bom": ("job.csv", csv.encode("utf-8-sig")),
        "semicolon": ("job.csv", csv.replace(",", ";").encode()),
        "crlf": ("job.csv", csv.replace("\n", "\r\n").encode()),
    }[kind]
    command.file(name, content)

    ended = command.run("run", name, "--yes", "--json").expect(0)

    check_reconciled(ended.json, server.record, job)
    assert sorted(server.record.effects) == sorted(job.targets)
    assert ended.json["ledger"] == "job.ledger.db"


def _zst(data: bytes) -> bytes:
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]  # Python 3.14 has it
    except ImportError:
        from backports import zstd
    packed: bytes = zstd.compress(data)
    return packed


def test_several_files_make_one_job(command: Command, server: OtherServer) -> None:
    """Files of different kinds are one job in their order; repeats across them are folded; rows add up (2)."""
    command.file("a.csv", mixed(10).csv())
    command.file("b.jsonl", mixed(10, start=5).jsonl())

    ended = command.run("run", "a.csv", "b.jsonl", "--yes", "--json").expect(0)

    check_reconciled(ended.json, server.record, mixed(15))
    assert (ended.json["rows"], ended.json["operations"], ended.json["duplicates"]) == (20, 15, 5)
    assert ended.json["ledger"] == "a.ledger.db"
    rows = results_of(command.run("results", "a.ledger.db", "--rows").expect(0).stdout)
    assert [(row["_file"], row["_line"]) for row in rows[9:11]] == [("a.csv", "11"), ("b.jsonl", "1")]
    assert {row["_status"] for row in rows} == {"succeeded"}
    assert len(rows) == 20


def test_standard_input_is_a_job_with_ledger_and_yes(command: Command, server: OtherServer) -> None:
    """`-` reads standard input and needs --ledger and --yes: without either exit 2, nothing sent (2)."""
    job = mixed(6)
    feed = job.jsonl().encode()

    for flags in (["--yes"], ["--ledger", "x.db"], []):
        command.run("run", "-", *flags, feed=feed).expect(2)
    assert server.count == 0
    ended = command.run("run", "-", "--ledger", "x.db", "--yes", "--json", feed=feed).expect(0)

    check_reconciled(ended.json, server.record, job)


def test_op_fills_in_for_rows_that_have_none(command: Command, server: OtherServer) -> None:
    """`--op` fills `op` where it is missing, also as the path form; a row with another op is then an error (2)."""
    command.file("job.csv", "GroupId,MsgSeq\n@TGS#1,4\n@TGS#2,\n")
    ended = command.run("run", "job.csv", "--op", "group_open_http_svc/clear_group_msg", "--yes", "--json").expect(0)
    assert ended.json["apis"]["clear_group_messages"]["calls"] == 2
    assert set(server.record.effects) == {
        'clear_group_messages {"GroupId":"@TGS#1","MsgSeq":4}',
        'clear_group_messages {"GroupId":"@TGS#2"}',
    }

    command.file("other.jsonl", '{"op":"delete_conversation_group","From_Account":"a","GroupName":"g"}\n')
    refused = command.run("run", "other.jsonl", "--op", "clear_group_messages", "--yes", "--json").expect(2)
    assert refused.json["errors"][0]["line"] == 1
    assert refused.json["errors"][0]["column"] == "op"


def test_without_op_a_file_of_bare_rows_is_an_error(command: Command, server: OtherServer) -> None:
    """Rows without an op and without --op: exit 2, and the message names op and --op (2)."""
    command.file("job.csv", "GroupId\n@TGS#1\n")

    ended = command.run("run", "job.csv", "--yes").expect(2)

    assert "--op" in ended.screen
    assert server.count == 0


def test_on_invalid_skip_carries_out_the_others_and_counts_the_bad_ones(command: Command, server: OtherServer) -> None:
    """`--on-invalid skip`: valid rows are done, the bad are `invalid` in the sums and in results, exit 1 (2)."""
    command.file(
        "job.csv", "op,From_Account,GroupName\ndelete_conversation_group,a,g\ndelete_conversation_group,,g\nnope,a,g\n"
    )

    ended = command.run("run", "job.csv", "--on-invalid", "skip", "--yes", "--json").expect(1)

    check_summary(ended.json)
    assert (ended.json["rows"], ended.json["operations"], ended.json["invalid"]) == (3, 1, 2)
    assert ended.json["state"] == "finished"
    assert server.count == 1
    rows = results_of(command.run("results", "job.ledger.db", "--rows").expect(0).stdout)
    assert [(row["_line"], row["_status"]) for row in rows] == [("2", "succeeded"), ("3", "invalid"), ("4", "invalid")]
    assert command.run("resume", "job.ledger.db").code == 1


@pytest.mark.parametrize("content", ["op,From_Account,GroupName\n", seldom(""), seldom("\n\n")])
def test_a_file_without_rows_is_an_error(content: str, command: Command, server: OtherServer) -> None:
    """An empty file, or only a header: exit 2, the file named, nothing sent (2)."""
    command.file("job.csv", content)

    ended = command.run("run", "job.csv", "--yes", "--json").expect(2)

    assert "job.csv" in ended.screen
    assert ended.json["errors"][0]["file"] == "job.csv"
    assert server.count == 0


def test_a_list_of_names_is_as_many_operations(command: Command, server: OtherServer) -> None:
    """A GroupName list of n names counts as n rows and becomes n calls, each with a list of one (1, 2)."""
    command.file("job.jsonl", '{"op":"delete_conversation_group","From_Account":"a","GroupName":["x","y","x"]}\n')

    ended = command.run("run", "job.jsonl", "--yes", "--json").expect(0)

    assert (ended.json["rows"], ended.json["operations"], ended.json["duplicates"]) == (3, 2, 1)
    assert sorted(server.record.effects) == [
        'delete_conversation_group {"From_Account":"a","GroupName":["x"]}',
        'delete_conversation_group {"From_Account":"a","GroupName":["y"]}',
    ]


def test_the_plan_warns_riskiest_first(bare: Command) -> None:
    """Clears of everything, ClearRamble left out, several options for one target, Community groups, a cut last line (2)."""
    bare.file(
        "job.csv",
        "op,From_Account,Type,To_Account,ClearRamble,GroupId,MsgSeq\n"
        "clear_group_messages,,,,,@TGS#a,\n"
        "clear_group_messages,,,,,@TGS#_community,5\n"
        "delete_conversation,u,1,v,,,\n"
        "delete_conversation,u,1,v,1,,\n"
        "delete_conversation,1.23E+15,1,v,1,,\n"
        "delete_conversation,u,1,lastone,0,,",
    )

    ended = bare.run("plan", "job.csv", "--json").expect(0)
    warnings = [warning["message"] for warning in ended.json["warnings"]]
    text = bare.run("plan", "job.csv").expect(0).stdout

    for index, word in enumerate(("MsgSeq", "ClearRamble")):
        assert word in warnings[index]
    together = " ".join(warnings)
    for word in ("Community", "options", "spreadsheet", "line end"):
        assert word.lower() in together.lower(), word
    assert all(warning["count"] == 1 or warning["count"] == 2 for warning in ended.json["warnings"])
    assert "lastone" in " ".join(text.split())


def test_ids_arrive_byte_for_byte_and_come_back_so(command: Command, server: OtherServer) -> None:
    """Opaque ids: markup, quotes, formulas, leading zeros and long numbers are sent and reported as they are (2, 5)."""
    names = ["[red]x[/red]", '"quoted"', "=1+1", "0012", "@a;b,c", "名前 ", "a'b\\n"]
    rows = [
        {"op": "delete_conversation_group", "id": "ref \x1b[31m", "From_Account": f"00{place}", "GroupName": name}
        for place, name in enumerate(names)
    ]
    command.file("job.jsonl", [json.dumps(row) for row in rows])

    ran = command.run("run", "job.jsonl", "--yes").expect(0)
    found = results_of(command.run("results", "job.ledger.db").expect(0).stdout)

    assert [row["GroupName"] for row in found] == names
    assert [row["From_Account"] for row in found] == [f"00{place}" for place in range(len(names))]
    assert {row["id"] for row in found} == {"ref \x1b[31m"}
    assert {target.partition(" ")[2] for target in server.record.effects} == {
        json.dumps({"From_Account": f"00{place}", "GroupName": [name]}, ensure_ascii=False, separators=(",", ":"))
        for place, name in enumerate(names)
    }
    assert "\x1b" not in ran.stdout + ran.stderr


def test_results_to_a_terminal_file_and_pipe(command: Command) -> None:
    """`results`: every CSV cell quoted, columns as documented; `-o` writes a file of mode 0600; JSONL has the same rows (5)."""
    command.file("job.csv", mixed(6).csv())
    command.run("run", "job.csv", "--yes").expect(0)

    text = command.run("results", "job.ledger.db").expect(0).stdout
    silent = command.run("results", "job.ledger.db", "-o", "out.csv").expect(0)

    header = text.splitlines()[0]
    assert header == (
        '"op","id","From_Account","Type","To_Account","ToGroupid","ClearRamble","GroupName","GroupId","MsgSeq",'
        '"_file","_line","_status","_attempts","_code","_info","_finished_at"'
    )
    assert all(line.startswith('"') and line.endswith('"') for line in text.splitlines())
    assert silent.stdout == ""
    assert (command.folder / "out.csv").read_text() == text
    assert (command.folder / "out.csv").stat().st_mode & 0o777 == 0o600
    row = results_of(text)[0]
    assert (row["_file"], row["_line"], row["_status"], row["_attempts"], row["_code"]) == (
        "job.csv",
        "2",
        "succeeded",
        "1",
        "0",
    )
    assert row["id"] == "r1"


def test_results_filter_by_status_and_code_both(command: Command, server: OtherServer) -> None:
    """`--status` and `--code`: each alone, and both together mean "and" (5)."""
    command.file("job.csv", mixed(30).csv())
    server.order({"where": {"From_Account": "user4"}, "code": 50001}, {"where": {"From_Account": "user7"}, "code": 50002})
    server.set(absent=["@TGS#5"])
    command.run("run", "job.csv", "--yes").expect(1)

    def count(*flags: str) -> int:
        return len(results_of(command.run("results", "job.ledger.db", *flags).expect(0).stdout))

    assert count("--status", "failed") == 2
    assert count("--status", "failed,absent") == 3
    assert count("--code", "50001,10010") == 2
    assert count("--status", "failed", "--code", "50001,10010") == 1
    assert count("--status", "exhausted") == 0


def test_the_pipe_of_results_may_be_closed_early(command: Command) -> None:
    """`bulkops results … | head -1`: no traceback, no complaint (5)."""
    command.file("job.csv", mixed(900).csv())
    command.run("plan", "job.csv", "--ledger", "job.ledger.db").expect(0)
    pipeline = f"{shlex.join(NAME)} results job.ledger.db | head -1"

    ended = subprocess.run(
        ["bash", "-o", "pipefail", "-c", pipeline],
        cwd=command.folder,
        env=command.environ,
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.count("\n") == 1
