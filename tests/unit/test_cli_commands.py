"""`plan`, `status`, `results`, `apis`, `sandbox`: what they answer."""

from __future__ import annotations

import csv
import io
import os
import signal
import socket
import stat
import threading
import urllib.request
from pathlib import Path

import pytest

from bulkops.chat.catalog import APIS
from bulkops.errors import JobFileError, LedgerError
from bulkops.model import Invalid, PlanWarning
from tests.helpers.cli import Terminal, bulkops
from tests.helpers.fakeapp import FakeApp, install
from tests.helpers.report import OPS, figures, result_row

BAD = (Invalid(0, 12, "Type", "1 or 2 is expected", "{}"),)


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeApp:
    """The fake application, and a folder with a ledger to work in."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.db").touch()
    return install(monkeypatch, FakeApp())


# plan


def test_a_plan_is_an_answer(app: FakeApp) -> None:
    """On standard output, without credentials or a terminal; and nothing is said besides."""
    ended = bulkops("plan", "job.csv", "--rate", "50", "--op", "recentcontact/delete", environ={})
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("bulkops will carry out 10 operations")
    given = app.asked[0][1]
    assert given["rates"] == dict.fromkeys(OPS, 50)
    assert (given["op"], given["ledger"], given["on_invalid"], given["sandbox"]) == (OPS[0], None, "stop", False)


def test_a_plan_shows_the_app_as_far_as_it_is_known(app: FakeApp) -> None:
    ended = bulkops("plan", "job.csv", environ={"BULKOPS_SDKAPPID": "1400000001", "BULKOPS_REGION": "seoul"})
    assert "app       1400000001" in ended.out
    assert "(seoul)" in ended.out


def test_a_sandbox_plan_is_marked(app: FakeApp) -> None:
    ended = bulkops("plan", "job.csv", "--sandbox", environ={"BULKOPS_SDKAPPID": "1400000001"})
    assert "SANDBOX" in ended.out
    assert "1400000001" not in ended.out


def test_the_json_of_a_plan(app: FakeApp) -> None:
    app.plan_changes = {"warnings": (PlanWarning(20, "clear everything", 7, ("job.csv", 3)), PlanWarning(70, "cut off", 1))}
    made = bulkops("plan", "job.csv", "--json").json
    assert (made["state"], made["exit"], made["operations"], made["ledger"]) == ("planned", 0, 10, "job.ledger.db")
    assert made["warnings"] == [
        {"message": "clear everything", "count": 7, "file": "job.csv", "line": 3},
        {"message": "cut off", "count": 1, "file": None, "line": None},
    ]
    assert "errors" not in made


def test_a_plan_of_bad_rows_is_exit_two(app: FakeApp) -> None:
    app.figures, app.plan_changes = figures(pending=5, invalid=1), {"invalid": BAD}
    ended = bulkops("plan", "job.csv")
    assert ended.code == 2
    assert "job.csv:12:Type: 1 or 2 is expected" in ended.out
    made = bulkops("plan", "job.csv", "--json").json
    assert (made["exit"], made["state"], made["invalid"]) == (2, "planned", 1)
    assert made["errors"] == [{"file": "job.csv", "line": 12, "column": "Type", "message": "1 or 2 is expected"}]


def test_a_plan_may_skip_bad_rows(app: FakeApp) -> None:
    app.figures, app.plan_changes = figures(pending=5, invalid=1), {"invalid": BAD}
    made = bulkops("plan", "job.csv", "--json", "--on-invalid", "skip")
    assert made.code == 0
    assert "errors" not in made.json


def test_a_plan_that_a_guard_refuses_is_exit_two(app: FakeApp) -> None:
    """What `run` would refuse, its dry run refuses."""
    ended = bulkops("plan", "job.csv", "--max-ops", "9")
    assert ended.code == 2
    assert "the job has 10 operations, more than --max-ops 9 allows" in ended.err
    assert bulkops("plan", "job.csv", "--max-ops", "10").code == 0


def test_a_file_that_can_not_be_read_is_exit_two(app: FakeApp) -> None:
    app.plan_error = JobFileError("no such file", file="job.csv")
    ended = bulkops("plan", "job.csv", "--json")
    assert (ended.code, ended.json["state"]) == (2, "planned")
    assert ended.json["errors"][0]["file"] == "job.csv"
    assert "bulkops plan: job.csv: no such file" in ended.err


def test_an_interrupted_plan_is_exit_four(app: FakeApp) -> None:
    app.plan_error = KeyboardInterrupt()
    ended = bulkops("plan", "job.csv")
    assert (ended.code, ended.err) == (4, "bulkops plan: interrupted\n")


def test_standard_input_that_is_not_there_is_an_error(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    from bulkops.cli.entry import run_command_line
    from bulkops.cli.session import Streams

    err = io.StringIO()
    assert run_command_line(["plan", "-"], environ={"HOME": "/"}, streams=Streams(None, io.StringIO(), err)) == 2
    assert "there is none" in err.getvalue()


def test_a_plan_of_standard_input_needs_no_ledger(app: FakeApp) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(b"op\n"))
    assert bulkops("plan", "-", stdin=stdin).code == 0
    assert app.asked[0][1]["stdin"] is stdin.buffer


# status


def test_status_is_an_answer_whatever_it_says(app: FakeApp) -> None:
    """Exit 0: it was answered."""
    app.figures = figures(succeeded=3, pending=7)
    ended = bulkops("status", "job.db")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("job.db: stopped")
    assert ended.out.rstrip().endswith("Next: bulkops resume job.db")


def test_the_json_of_status(app: FakeApp) -> None:
    made = bulkops("status", "job.db", "--json").json
    assert (made["state"], made["exit"], made["by_status"]["pending"]) == ("stopped", None, 10)


def test_status_of_no_ledger_is_exit_two(app: FakeApp) -> None:
    ended = bulkops("status", "nope.db", "--json")
    assert ended.code == 2
    assert (ended.json["ledger"], ended.json["exit"]) == (None, 2)
    assert ended.json["errors"][0]["message"] == "there is no ledger nope.db"


def test_status_of_a_damaged_ledger_is_exit_five(app: FakeApp) -> None:
    app.status_error = LedgerError("job.db is damaged")
    ended = bulkops("status", "job.db")
    assert (ended.code, ended.err) == (5, "bulkops status: job.db is damaged\n")


# results


def test_results_are_csv_on_standard_output(app: FakeApp) -> None:
    app.rows = [result_row(), result_row(line=3)]
    ended = bulkops("results", "job.db")
    assert (ended.code, ended.err) == (0, "")
    assert [cells["_line"] for cells in csv.DictReader(io.StringIO(ended.out))] == ["2", "3"]
    assert app.asked[0][1] == {"statuses": frozenset(), "codes": frozenset(), "rows": False}


def test_results_are_filtered(app: FakeApp) -> None:
    bulkops("results", "job.db", "--status", "failed, invalid", "--code", "50001,timeout", "--rows")
    assert app.asked[0][1] == {"statuses": {"failed", "invalid"}, "codes": {"50001", "timeout"}, "rows": True}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--status", "faild"], "did you mean failed?"),
        (["--code", "1,,2"], "--code takes ErrorCodes"),
        (["--format", "xml"], "--format takes csv or jsonl"),
    ],
)
def test_a_filter_that_is_none_is_exit_two(app: FakeApp, flags: list[str], said: str) -> None:
    ended = bulkops("results", "job.db", *flags)
    assert ended.code == 2
    assert said in ended.err


@pytest.mark.parametrize("flag", ["-o", "--output"])
def test_results_go_to_a_private_file(app: FakeApp, tmp_path: Path, flag: str) -> None:
    app.rows = [result_row()]
    ended = bulkops("results", "job.db", "--format", "jsonl", flag, "out.jsonl")
    assert (ended.code, ended.out) == (0, "")
    assert (tmp_path / "out.jsonl").read_text(encoding="utf-8").startswith('{"op": "delete_conversation"')
    assert stat.S_IMODE((tmp_path / "out.jsonl").stat().st_mode) == 0o600


def test_results_never_replace_their_own_ledger(app: FakeApp, tmp_path: Path) -> None:
    """`-o` and the ledger are easily mixed up."""
    (tmp_path / "hard.db").hardlink_to(tmp_path / "job.db")
    for target in ("job.db", "./job.db", "hard.db"):
        ended = bulkops("results", "job.db", "-o", target)
        assert ended.code == 2
        assert "is the ledger" in ended.err


def test_results_never_replace_the_job_they_come_from(app: FakeApp, tmp_path: Path) -> None:
    """The job can't be had again; earlier results can, and are replaced."""
    (tmp_path / "job.csv").write_text("op,id\n")
    ended = bulkops("results", "job.db", "-o", "./job.csv")
    assert (ended.code, (tmp_path / "job.csv").read_text()) == (2, "op,id\n")
    assert "-o ./job.csv is a job file of it: name another file" in ended.err


def test_a_dash_is_standard_output(app: FakeApp, tmp_path: Path) -> None:
    assert bulkops("results", "job.db", "-o", "-").out.startswith('"op"')
    assert [path.name for path in tmp_path.iterdir()] == ["job.db"]


def test_results_on_a_terminal_are_inert(app: FakeApp) -> None:
    app.rows = [result_row(ref="\x1b[2J")]
    screen = Terminal()
    bulkops("results", "job.db", stdout=screen)
    assert "\\x1b[2J" in screen.getvalue()
    assert "\x1b" not in screen.getvalue()


def test_results_of_a_ledger_that_can_not_be_read_are_empty(app: FakeApp, tmp_path: Path) -> None:
    """Not even a header, and no file."""
    ended = bulkops("results", "nope.db", "-o", "out.csv")
    assert (ended.code, ended.out) == (2, "")
    assert not (tmp_path / "out.csv").exists()


# apis


def test_the_catalog_is_shown_whole(app: FakeApp) -> None:
    ended = bulkops("apis")
    assert ended.code == 0
    assert max(map(len, ended.out.splitlines())) <= 80
    text = " ".join(ended.out.split())
    for api in APIS:
        for shown in (api.op, *api.aliases, api.path, api.source, f"{api.rate} calls/s", *(field.name for field in api.fields)):
            assert shown in text
    assert "only and always with Type 2" in text
    assert "1 to 9223372036854775807; optional" in text


def test_the_json_of_the_catalog(app: FakeApp) -> None:
    made = bulkops("apis", "--json").json["apis"]
    assert [api["op"] for api in made] == list(OPS)
    assert made[0]["fields"][2] == {
        "name": "To_Account",
        "kind": "UserID",
        "required": False,
        "only_with": {"Type": 1},
        "max_bytes": 32,
        "minimum": None,
        "maximum": None,
    }
    assert made[0]["codes"]["50003"] == "fatal"


# sandbox


class Flushed(io.StringIO):
    """A stream that can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.flushed = threading.Event()

    def flush(self) -> None:
        super().flush()
        self.flushed.set()


def test_the_sandbox_listens_until_it_is_stopped(app: FakeApp) -> None:
    """Its answer are the variables that point a run to it."""
    out = Flushed()
    reached: list[bool] = []

    def visit() -> None:
        assert out.flushed.wait(5)
        url = out.getvalue().split("BULKOPS_ENDPOINT=")[1].split("\n")[0]
        try:
            urllib.request.urlopen(url, timeout=2).close()
            reached.append(True)
        except urllib.error.HTTPError:
            reached.append(True)
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    visitor = threading.Thread(target=visit)
    visitor.start()
    ended = bulkops("sandbox", "--fault", "50004=0.5", stdout=out, environ={})
    visitor.join()
    assert (ended.code, reached) == (0, [True])
    assert [line.split("=")[0] for line in ended.out.splitlines()] == [
        "export BULKOPS_ENDPOINT",
        "export BULKOPS_SDKAPPID",
        "export BULKOPS_IDENTIFIER",
        "export BULKOPS_SECRET_KEY",
    ]


def test_a_sandbox_that_can_not_listen_is_an_error(app: FakeApp) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = bulkops("sandbox", "--port", port)
    assert ended.code == 2
    assert f"the sandbox can't listen on port {port}" in ended.err
    assert "--port takes a port, 1 to 65535" in bulkops("sandbox", "--port", "99999").err


# logging and the defects of others


def test_a_defect_leaves_its_traceback_in_the_log_only(app: FakeApp, tmp_path: Path) -> None:
    app.status_error = RuntimeError("usersig=abcdefgh")
    ended = bulkops("status", "job.db", "--log-file", "log")
    assert ended.code == 70
    assert "RuntimeError at " in ended.err
    assert "its traceback is in the log" in ended.err
    log = (tmp_path / "log").read_text(encoding="utf-8")
    assert "Traceback" in log
    assert "abcdefgh" not in log + ended.err
    shown = bulkops("status", "job.db", "--log-level", "debug")
    assert "Traceback" in shown.err
    assert "abcdefgh" not in shown.err


@pytest.mark.parametrize("environ", [{"BULKOPS_LOG_LEVEL": "loud"}, {"BULKOPS_LOG_FILE": "missing/log"}])
def test_logging_that_can_not_start_is_exit_two(app: FakeApp, environ: dict[str, str]) -> None:
    assert bulkops("status", "job.db", environ=environ).code == 2
