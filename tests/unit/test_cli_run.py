"""`run`, `resume` and `retry`: what is asked, what is sent on, what is said, how it ends."""

from __future__ import annotations

import io
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from bulkops.cli.session import Session, Streams
from bulkops.errors import ConfigError, JobFileError, LedgerError, LedgerHeld, LedgerMismatch, RunStopped
from bulkops.model import Invalid, Status, Stop, StopKind
from bulkops.watching import Notice
from tests.helpers.cli import CREDENTIALS, Interrupting, Terminal, bulkops, typing
from tests.helpers.fakeapp import CANARY, CONFIRM, FATAL, FINISH, STOP, FakeApp, install
from tests.helpers.report import OPS, api_figures, figures, result_row

SDKAPPID = CREDENTIALS["BULKOPS_SDKAPPID"]
LEDGER = "job.ledger.db"
RESUME = f"bulkops resume {LEDGER}"
BAD_ROWS = JobFileError(
    "2 rows are invalid, so nothing is sent",
    invalid=[Invalid(0, 12, "Type", "1 or 2 is expected", "{}"), Invalid(1, 3, "", "5 cells, 10 columns", "{}")],
    total=30,
    names=("job.csv", "more.csv"),
)


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeApp:
    """The fake application, and an empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return install(monkeypatch, FakeApp())


@pytest.fixture
def ledger(app: FakeApp, tmp_path: Path) -> str:
    """A ledger that exists, with settings of an earlier process in it."""
    (tmp_path / LEDGER).touch()
    app.stored = {
        "sdkappid": 1400000009,
        "identifier": "operator",
        "endpoint": "https://adminapisgp.im.qcloud.com",
        "region": "singapore",
        "rates": {OPS[0]: 50},
        "absent_codes": [50001],
        "max_failures": "5%",
        "canary": 7,
        "on_invalid": "skip",
        "sandbox": False,
    }
    return LEDGER


# what is asked


def test_the_sdkappid_is_typed_before_anything_is_sent(app: FakeApp) -> None:
    """The plan and the ledger are on the screen by then."""
    ended = bulkops("run", "job.csv", stdin=typing(f"{SDKAPPID}\n"))
    assert ended.code == 0
    assert app.run.calls == [CONFIRM, CANARY, FINISH]
    assert ended.err.index(f"ledger: {LEDGER}") < ended.err.index("bulkops will carry out 10 operations")
    assert ended.err.index("bulkops will carry out") < ended.err.index("Type the SDKAppID")


@pytest.mark.parametrize("typed", ["", "\n", "y\n", "yes\n", f"{SDKAPPID}0\n", "0\n"])
def test_anything_else_is_a_no(app: FakeApp, typed: str) -> None:
    """Wrong text and the end of input alike: nothing is sent, exit 4, and the way on is the last line."""
    ended = bulkops("run", "job.csv", stdin=typing(typed))
    assert ended.code == 4
    assert app.run.calls == [STOP, FINISH]
    assert app.run.stops[0][0].kind is StopKind.DECLINED
    assert ended.last_line == RESUME


def test_ctrl_c_at_the_question_is_a_no(app: FakeApp) -> None:
    ended = bulkops("run", "job.csv", stdin=Interrupting())
    assert ended.code == 4
    assert app.run.calls == [STOP, FINISH]
    assert ended.last_line == RESUME


def test_no_is_no_even_to_a_canary(app: FakeApp) -> None:
    """Not one operation leaves."""
    bulkops("run", "job.csv", "--canary", "3", stdin=typing("no\n"))
    assert CANARY not in app.run.calls


def test_a_terminal_that_goes_away_at_the_question_is_a_no(app: FakeApp) -> None:
    class Hung(Terminal):
        def readline(self, size: int = -1, /) -> str:  # type: ignore[override]  # as TextIOBase has it
            raise OSError(5, "Input/output error")

    assert bulkops("run", "job.csv", stdin=Hung()).code == 4
    assert app.run.stops[0][0].kind is StopKind.DECLINED


@pytest.mark.parametrize("yes", ["--yes", "-y"])
def test_yes_skips_the_question(app: FakeApp, yes: str) -> None:
    ended = bulkops("run", "job.csv", yes)
    assert ended.code == 0
    assert app.run.calls == [CONFIRM, CANARY, FINISH]
    assert "Type the SDKAppID" not in ended.err


def test_without_a_terminal_and_without_yes_nothing_is_read(app: FakeApp) -> None:
    ended = bulkops("run", "job.csv")
    assert ended.code == 2
    assert app.asked == []
    assert "give --yes" in ended.err


def test_a_run_with_nothing_left_does_not_ask(app: FakeApp) -> None:
    app.figures = figures(succeeded=10)
    assert bulkops("run", "job.csv", stdin=typing("")).code == 0


def test_standard_input_needs_a_ledger_and_yes(app: FakeApp) -> None:
    for argv in (["run", "-", "--yes"], ["run", "-", "--ledger", "x.db"]):
        ended = bulkops(*argv, stdin=typing(""))
        assert ended.code == 2
        assert "needs --ledger FILE and --yes" in ended.err
    assert app.asked == []


def test_standard_input_is_handed_on(app: FakeApp) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(b"op\n"))
    ended = bulkops("run", "-", "--ledger", "x.db", "--yes", stdin=stdin)
    assert ended.code == 0
    assert app.asked[0][1]["stdin"] is stdin.buffer
    assert app.asked[0][1]["ledger"] == Path("x.db")


# settings


def test_a_run_gets_its_settings(app: FakeApp) -> None:
    """Flags, variables and defaults arrive as one frozen object."""
    bulkops("run", "a.csv", "b.csv", "--yes", "--op", OPS[2], "--on-invalid", "skip", "--rate", "20", "--rate", f"{OPS[0]}=5")
    how, given = app.asked[0]
    assert how == "run"
    assert (given["files"], given["op"], given["on_invalid"], given["ledger"]) == (("a.csv", "b.csv"), OPS[2], "skip", None)
    assert app.settings.rates == {OPS[0]: 5, OPS[1]: 20, OPS[2]: 20}
    assert (app.settings.sdkappid, app.settings.identifier) == (1400000001, "administrator")
    assert app.settings.secret_key.reveal() == CREDENTIALS["BULKOPS_SECRET_KEY"]
    assert (app.settings.endpoint, app.settings.region) == ("https://console.tim.qq.com", "china")


@pytest.mark.parametrize("missing", list(CREDENTIALS))
def test_a_missing_credential_is_named(app: FakeApp, missing: str) -> None:
    """Before the files are read."""
    environ = {name: value for name, value in CREDENTIALS.items() if name != missing}
    ended = bulkops("run", "job.csv", "--yes", environ=environ)
    assert ended.code == 2
    assert missing in ended.err
    assert all(name not in ended.err for name in CREDENTIALS if name not in {missing, "BULKOPS_SECRET_KEY"})
    assert app.asked == []


def test_a_resume_takes_its_settings_from_the_ledger(app: FakeApp, ledger: str) -> None:
    """All but the key; and it goes on without the canary."""
    environ = {"BULKOPS_SECRET_KEY": "k" * 64, "BULKOPS_CANARY": "5"}
    assert bulkops("resume", ledger, "--yes", environ=environ).code == 0
    settings = app.settings
    assert (settings.sdkappid, settings.identifier, settings.region) == (1400000009, "operator", "singapore")
    assert settings.rates == {OPS[0]: 50}
    assert settings.absent_codes == {50001}
    assert str(settings.max_failures) == "5%"
    assert settings.canary == 0


def test_flags_and_then_variables_override_the_ledger(app: FakeApp, ledger: str) -> None:
    environ = {"BULKOPS_SECRET_KEY": "k" * 64, "BULKOPS_REGION": "tokyo", "BULKOPS_MAX_ATTEMPTS": "3"}
    bulkops("resume", ledger, "--yes", "--region", "seoul", "--rate", f"{OPS[1]}=9", "--canary", "2", environ=environ)
    settings = app.settings
    assert (settings.region, settings.endpoint) == ("seoul", "https://adminapikr.im.qcloud.com")
    assert (settings.max_attempts, settings.canary) == (3, 2)
    assert settings.rates == {OPS[0]: 50, OPS[1]: 9}


# resume and retry


def test_a_resume_does_not_ask_again(app: FakeApp, ledger: str) -> None:
    app.confirmed = True
    assert bulkops("resume", ledger).code == 0
    assert app.run.calls == [CONFIRM, CANARY, FINISH]


def test_a_resume_asks_when_nobody_has_said_yes(app: FakeApp, ledger: str) -> None:
    """A no to `run` is not a yes to `resume`."""
    environ = {"BULKOPS_SECRET_KEY": "k" * 64}
    assert bulkops("resume", ledger, stdin=typing("1400000009\n"), environ=environ).code == 0
    assert bulkops("resume", ledger, stdin=typing("no\n"), environ=environ).code == 4
    ended = bulkops("resume", ledger, environ=environ)
    assert ended.code == 2
    assert "give --yes" in ended.err


def test_a_retry_asks_again(app: FakeApp, ledger: str) -> None:
    """Even though everything has ended, and somebody said yes before."""
    app.confirmed = True
    app.figures = figures(succeeded=6, exhausted=3, in_doubt=1)
    environ = {"BULKOPS_SECRET_KEY": "k" * 64}
    ended = bulkops("retry", ledger, stdin=typing("no\n"), environ=environ)
    assert ended.code == 1  # nothing is pending: the outcome stays what it was
    assert app.run.stops[0][0].kind is StopKind.DECLINED
    assert "retry     4 operations reopened" in ended.err
    assert bulkops("retry", ledger, environ=environ).code == 2


def test_a_retry_says_what_to_reopen(app: FakeApp, ledger: str) -> None:
    app.rows = [result_row(status="failed", code="50001"), result_row(api=1, content="a\tb", status="failed", code="50001")]
    app.figures = figures({OPS[0]: api_figures(failed=5), OPS[1]: api_figures(failed=5)})
    ended = bulkops("retry", ledger, "--status", "failed,absent", "--code", "50001,50002", "--yes")
    how, given = app.asked[0]
    assert how == "retry"
    assert given["statuses"] == {Status.FAILED, Status.ABSENT}
    assert given["codes"] == {50001, 50002}
    assert app.asked[-1] == ("results", {"statuses": {"failed", "absent"}, "codes": {"50001", "50002"}, "rows": False})
    assert "go on" not in ended.err
    assert "2 operations reopened" in ended.err


def test_a_retry_by_code_alone_looks_at_failed_ones_too(app: FakeApp, ledger: str) -> None:
    bulkops("retry", ledger, "--code", "50001", "--yes")
    assert app.asked[0][1]["statuses"] is None
    assert app.asked[-1][1]["statuses"] == {"failed", "exhausted", "in_doubt"}


def test_a_retry_reopens_no_success(app: FakeApp, ledger: str) -> None:
    ended = bulkops("retry", ledger, "--status", "succeeded", "--yes")
    assert ended.code == 2
    assert "failed, exhausted, in_doubt" in ended.err


@pytest.mark.parametrize("command", ["resume", "retry"])
def test_a_missing_ledger_is_exit_two(app: FakeApp, command: str) -> None:
    ended = bulkops(command, "none.db", "--yes")
    assert ended.code == 2
    assert "there is no ledger none.db" in ended.err


def test_an_event_loop_that_is_not_installed_is_named(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    ended = bulkops("run", "job.csv", "--yes", "--loop", "uvloop")
    assert ended.code == 2
    assert "pip install 'bulkops[uvloop]'" in ended.err
    assert not app.runs


# the dry run


def test_a_dry_run_is_a_plan(app: FakeApp) -> None:
    """On standard output, with neither credentials nor a terminal."""
    ended = bulkops("run", "job.csv", "--dry-run", "--rate", "50", environ={})
    assert ended.code == 0
    assert app.asked[0][0] == "plan"
    assert ended.out.startswith("bulkops will carry out 10 operations")


@pytest.mark.parametrize("command", ["resume", "retry"])
def test_a_dry_run_of_a_ledger_sends_nothing(app: FakeApp, ledger: str, command: str) -> None:
    ended = bulkops(command, ledger, "--dry-run", environ={})
    assert ended.code == 0
    assert app.run.calls == []
    assert "10 operations" in ended.out


# the canary


def canary(stdin: io.StringIO | None, *flags: str) -> Any:
    return bulkops("run", "job.csv", "--yes", "--canary", "3", *flags, stdin=stdin)


@pytest.mark.parametrize("typed", ["y\n", "YES\n"])
def test_after_the_canary_somebody_is_asked(app: FakeApp, typed: str) -> None:
    """`--yes` does not answer it."""
    ended = canary(typing(typed))
    assert ended.code == 0
    assert app.run.calls == [CONFIRM, CANARY, FINISH]
    assert "The canary has ended:" in ended.err
    assert "Carry out the rest? [y/N]" in ended.err


@pytest.mark.parametrize("stdin", [typing("\n"), typing("n\n"), typing(""), Interrupting(), io.StringIO("y\n")])
def test_a_canary_without_a_yes_stops_there(app: FakeApp, stdin: io.StringIO) -> None:
    """No terminal is a no as well: a resume goes on."""
    ended = canary(stdin)
    assert ended.code == 4
    assert app.run.stops[0][0].kind is StopKind.CANARY
    assert ended.last_line == RESUME


# how it ends: one test for each row of the table of exit codes


def run(*flags: str, **options: Any) -> Any:
    return bulkops("run", "job.csv", "--yes", *flags, **options)


def test_exit_0_everything_succeeded_or_was_absent(app: FakeApp) -> None:
    app.outcome = figures(succeeded=8, absent=2)
    ended = run()
    assert ended.code == 0
    assert ended.out.startswith(f"{LEDGER}: finished")
    assert "resume" not in ended.err


def test_exit_1_something_failed(app: FakeApp) -> None:
    """With the commands that list and repeat it."""
    app.outcome = figures(succeeded=8, failed=1, exhausted=1)
    ended = run()
    assert ended.code == 1
    assert "bulkops results job.ledger.db --status failed,exhausted" in ended.err
    assert ended.last_line.endswith("bulkops retry job.ledger.db")
    assert "resume" not in ended.err


def test_exit_1_absent_counts_as_failure_when_told(app: FakeApp) -> None:
    app.outcome = figures(succeeded=8, absent=2)
    assert run("--absent", "fail").code == 1


@pytest.mark.parametrize(
    "error",
    [ConfigError("wrong"), JobFileError("wrong", file="job.csv"), LedgerMismatch("another job"), BAD_ROWS],
)
def test_exit_2_nothing_was_sent(app: FakeApp, error: Exception) -> None:
    app.open_error = error
    ended = run()
    assert ended.code == 2
    assert f"bulkops run: {error}" in ended.err
    assert ended.out == ""


def test_exit_3_it_stopped_itself(app: FakeApp) -> None:
    app.outcome, app.stop = figures(succeeded=5, pending=5), FATAL
    ended = run()
    assert ended.code == 3
    assert f"stopped: {FATAL.text}" in ended.err
    assert ended.last_line == RESUME


def test_exit_3_a_stop_that_was_raised(app: FakeApp) -> None:
    app.finish_error = RunStopped("the guard")
    ended = run()
    assert ended.code == 3
    assert ended.last_line == RESUME


def test_exit_4_it_was_stopped(app: FakeApp) -> None:
    app.outcome, app.stop = figures(succeeded=5, pending=5), Stop(StopKind.MAX_DURATION, "--max-duration is over")
    ended = run()
    assert ended.code == 4
    assert ended.last_line == RESUME


@pytest.mark.parametrize("at", ["open", "finish"])
def test_exit_5_the_ledger_can_not_be_used(app: FakeApp, at: str, tmp_path: Path) -> None:
    error = LedgerHeld("another process has the ledger", "pid 7 on host h")
    (tmp_path / LEDGER).touch()
    if at == "open":
        app.open_error = error
    else:
        app.finish_error = LedgerError("disk full")
    ended = run()
    assert ended.code == 5
    assert ended.last_line == RESUME


def test_exit_5_without_a_ledger_the_same_command_continues(app: FakeApp) -> None:
    app.open_error = LedgerError("the disk is full")
    assert run().last_line == "bulkops run job.csv --yes"


def test_no_is_an_answer_without_standard_input(app: FakeApp) -> None:
    """A process that was started without one has nobody to ask."""
    session = Session(["run"], environ={}, streams=Streams(None, None, None))
    assert session.ask("yes?") is None
    assert not session.interactive


def test_exit_70_a_defect(app: FakeApp) -> None:
    """One line with type and place; no traceback, no message that might hold a secret; and still the way on."""
    app.finish_error = KeyError("secret")
    ended = run()
    assert ended.code == 70
    assert "a defect of bulkops (exit 70): KeyError at " in ended.err
    assert "Traceback" not in ended.err
    assert "secret" not in ended.err
    assert ended.last_line == RESUME


# JSON


def test_json_is_the_only_thing_on_standard_output(app: FakeApp) -> None:
    ended = run("--json")
    assert ended.json["exit"] == 0
    assert ended.json["state"] == "finished"
    assert "errors" not in ended.json
    assert ended.json["ledger"] == LEDGER


def test_json_of_bad_rows_lists_them(app: FakeApp, tmp_path: Path) -> None:
    """With what is known of the ledger that was kept."""
    (tmp_path / LEDGER).touch()
    app.open_error = BAD_ROWS
    app.figures = figures(pending=5, invalid=30)
    ended = run("--json")
    assert ended.code == 2
    assert (ended.json["exit"], ended.json["state"], ended.json["invalid"], ended.json["operations"]) == (2, "stopped", 30, 5)
    assert ended.json["errors"] == [
        {"file": "job.csv", "line": 12, "column": "Type", "message": "1 or 2 is expected"},
        {"file": "more.csv", "line": 3, "column": None, "message": "5 cells, 10 columns"},
    ]
    assert "  job.csv:12:Type: 1 or 2 is expected" in ended.err
    assert ended.last_line == f"all of them:  bulkops results {LEDGER} --status invalid"


def test_json_of_bad_rows_without_a_ledger_counts_them(app: FakeApp) -> None:
    app.open_error = BAD_ROWS
    ended = run("--json")
    assert (ended.json["ledger"], ended.json["invalid"], ended.json["operations"]) == (None, 30, 0)


def test_json_of_a_whole_file_says_where(app: FakeApp) -> None:
    app.open_error = JobFileError("not UTF-8", file="job.csv", line=7)
    ended = run("--json")
    assert ended.json["errors"] == [{"file": "job.csv", "line": 7, "column": None, "message": "not UTF-8"}]


def test_json_of_a_held_ledger_has_its_figures(app: FakeApp, tmp_path: Path) -> None:
    """Another process carries it on: that is what the state says; the exit is ours."""
    (tmp_path / LEDGER).touch()
    app.open_error = LedgerHeld("another process has the ledger", "pid 7")
    app.state = "running"
    ended = run("--json")
    assert (ended.json["exit"], ended.json["state"], ended.json["operations"]) == (5, "running", 10)
    assert ended.json["errors"] == [
        {"file": None, "line": None, "column": None, "message": "another process has the ledger, held by pid 7"}
    ]


def test_json_of_a_damaged_ledger_has_zeros(app: FakeApp, tmp_path: Path) -> None:
    (tmp_path / LEDGER).touch()
    for error in (LedgerError("damaged"), RuntimeError("a defect on top")):
        app.open_error, app.status_error = LedgerError("damaged"), error
        ended = run("--json")
        assert (ended.json["exit"], ended.json["ledger"], ended.json["operations"]) == (5, LEDGER, 0)


def test_json_of_a_no_is_the_summary(app: FakeApp) -> None:
    ended = bulkops("run", "job.csv", "--json", stdin=typing("no\n"))
    assert (ended.code, ended.json["exit"], ended.json["reason"]) == (4, 4, "nobody said yes")


# signals


def kill(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_drains(app: FakeApp, number: signal.Signals) -> None:
    app.waits, app.during = True, lambda: kill(number)
    ended = run()
    assert ended.code == 4
    assert [(stop.kind, now) for stop, now in app.run.stops] == [(StopKind.SIGNAL, False)]
    assert "finishing what is in flight" in ended.err
    assert ended.last_line == RESUME


def test_the_second_signal_stops_at_once(app: FakeApp) -> None:
    app.waits = app.stubborn = True

    def twice() -> None:
        kill(signal.SIGINT)
        kill(signal.SIGTERM)

    app.during = twice
    assert run().code == 4
    assert [now for _, now in app.run.stops] == [False, True]


def test_ctrl_c_before_the_job_is_frozen_ends_at_once(app: FakeApp) -> None:
    """There is no ledger to resume yet: the same command continues."""
    app.open_error = KeyboardInterrupt()
    ended = run("--json")
    assert ended.code == 4
    assert "bulkops run: interrupted; nothing was sent" in ended.err
    assert ended.last_line == "bulkops run job.csv --yes --json"
    assert (ended.json["exit"], ended.json["reason"]) == (4, "interrupted; nothing was sent")


@pytest.mark.parametrize("opened", [True, False])
def test_the_last_words_are_written_without_buffers(tmp_path: Path, opened: bool) -> None:
    """A command that is ended for good while it hangs still says how to go on."""
    with (tmp_path / "err").open("w+", encoding="utf-8") as err:
        session = Session(["run", "my job.csv"], environ={}, streams=Streams(None, None, err))
        session.command, session.ledger, session.opened = "run", LEDGER, opened
        session.say_last_words()
        written = (tmp_path / "err").read_text(encoding="utf-8")
    command = RESUME if opened else "bulkops run 'my job.csv'"
    assert written == f"bulkops run: interrupted\n{command}\n"
    Session([], environ={}, streams=Streams(None, None, None)).say_last_words()


@pytest.mark.parametrize(("typed", "code"), [(f"{SDKAPPID}\n", 0), ("no\n", 4), ("\x04", 4)])
def test_the_question_works_on_a_pseudo_terminal(app: FakeApp, typed: str, code: int) -> None:
    """With a line discipline between the keyboard and us; Ctrl-D is a no."""
    keyboard, terminal = os.openpty()
    try:
        os.write(keyboard, typed.encode())
        with os.fdopen(terminal, "r", encoding="utf-8") as stdin:
            assert bulkops("run", "job.csv", stdin=stdin).code == code
    finally:
        os.close(keyboard)


def test_signal_handlers_are_given_back(app: FakeApp) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    run()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


# progress and channels


def test_notices_are_said_as_they_come(app: FakeApp) -> None:
    app.notices = [Notice(1_700_000_000_000_000, OPS[0], "outage", "no answers: one probe at a time")]
    assert "22:13:20Z delete_conversation: no answers: one probe at a time" in run("--progress", "plain").err
    assert "no answers" not in run("--progress", "none").err


def test_live_progress_draws_on_standard_error(app: FakeApp) -> None:
    ended = run("--progress", "live")
    assert ended.code == 0
    assert "calls/s" in ended.err
    assert "\x1b" not in ended.out


def test_live_is_for_terminals(app: FakeApp) -> None:
    """`auto` draws on a terminal only, and not on a dumb one."""
    assert "flight" in run(stderr=Terminal()).err
    assert "flight" not in run().err
    assert "flight" not in run(stderr=Terminal(), environ=CREDENTIALS | {"TERM": "dumb"}).err


def test_progress_that_fails_does_not_stop_a_run(app: FakeApp) -> None:
    app.snapshot_error = RuntimeError("no lanes")
    assert run("--progress", "live").code == 0


class Gone(io.StringIO):
    """A stream whose other end is closed."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self._error = error

    def write(self, text: str, /) -> int:
        raise self._error


def test_a_run_whose_screen_is_gone_goes_on(app: FakeApp) -> None:
    """A closed terminal or pipe on standard error is no reason to stop deleting half-way."""
    for mode in ("live", "plain"):
        assert run("--progress", mode, stderr=Gone(BrokenPipeError())).code == 0
        assert app.run.calls == [CONFIRM, CANARY, FINISH]


def test_a_run_whose_answer_nobody_reads_keeps_its_outcome(app: FakeApp) -> None:
    app.outcome = figures(succeeded=9, failed=1)
    assert run(stdout=Gone(BrokenPipeError())).code == 1
    full = run(stdout=Gone(OSError(28, "No space left on device")))
    assert full.code == 1
    assert "can't write to standard output: No space left on device" in full.err


# the sandbox


def test_a_sandbox_run_needs_no_account(app: FakeApp) -> None:
    """It brings app, key and address along; its ledger is marked by its name."""
    ended = bulkops("run", "job.csv", "--sandbox", "--fault", "50004=0.1", "--yes", environ={})
    assert ended.code == 0
    assert app.settings.sandbox
    assert app.settings.endpoint.startswith("http://127.0.0.1:")
    assert "ledger: job.sandbox.ledger.db" in ended.err
    assert "SANDBOX" in ended.err


def test_a_sandbox_ledger_resumes_in_a_sandbox(app: FakeApp, ledger: str) -> None:
    app.stored = {"sandbox": True, "sdkappid": 5, "on_invalid": "stop"}
    assert bulkops("resume", ledger, "--yes", environ={"BULKOPS_SANDBOX": "0"}).code == 0
    assert app.settings.sandbox
    assert app.settings.sdkappid != 5


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--fault", "50004=0.1"], "give --sandbox too"),
        (["--sandbox", "--fault", "50004=nonsense"], "--fault: "),
        (["--sandbox", "--region", "china"], "leave out --region or --endpoint"),
        (["--sandbox", "--sdkappid", "1"], "leave out --sdkappid"),
    ],
)
def test_contradictions_with_the_sandbox_are_errors(app: FakeApp, flags: list[str], said: str) -> None:
    ended = run(*flags)
    assert ended.code == 2
    assert said in ended.err
    assert app.asked == []
