"""What people see: 80 columns at a terminal, plain lines in a pipe, the command that continues as the last line (contract, 5)."""

from __future__ import annotations

import re
import signal

import pytest

from tests.e2e.support import conversations, mixed, seldom
from tests.helpers.command import Command
from tests.helpers.otherserver_handle import OtherServer

pytestmark = pytest.mark.slow

_WIDTH = 80


def too_wide(text: str) -> list[str]:
    """Lines of more than 80 columns, but for commands and paths, which are not to be broken."""
    lines = re.split(r"[\r\n]+", text)
    return [line for line in lines if len(line) > _WIDTH and not line.lstrip().startswith("bulkops ")]


@pytest.mark.parametrize("verb", ["run", "results", *map(seldom, ("plan", "resume", "retry", "status", "apis", "sandbox", ""))])
def test_help_fits_80_columns_and_ends_with_examples(verb: str, bare: Command) -> None:
    """`--help` of every command, at a terminal of 80 columns: nothing wider, examples at the end (5)."""
    ended = bare.run(*([verb] if verb else []), "--help", terminal=True).expect(0)

    assert too_wide(ended.stdout) == []
    assert "Examples:" in ended.stdout
    last = ended.stdout.rstrip().splitlines()[-1].strip()
    assert last.startswith("bulkops")


def test_a_live_run_fits_80_columns(command: Command, server: OtherServer) -> None:
    """Plan, live picture, notices and summary of a mixed run with trouble, at a terminal of 80 columns (5)."""
    command.file("job.csv", mixed(300).csv())
    server.order(
        {"skip": 50, "count": 20, "code": 50004},
        {"skip": 100, "count": 1, "code": 60007},
        {"skip": 150, "count": 9, "reset": "after"},
    )

    ended = command.run("run", "job.csv", "--yes", terminal=True).expect(0)

    assert too_wide(ended.stdout) == []
    assert too_wide(ended.screen) == []
    assert "\x1b[" in ended.stderr, "at a terminal the picture is live"
    for op in ("delete_conversation", "delete_conversation_group", "clear_group_messages"):
        assert op in ended.screen


def test_the_live_picture_shows_rate_against_limit(command: Command, server: OtherServer) -> None:
    """Live: calls per second against the limit, and what is left of the time, for each API (issue, part 6)."""
    command.file("job.csv", conversations(150).csv())

    ended = command.run("run", "job.csv", "--yes", "--rate", "50", terminal=True).expect(0)

    assert re.search(r"\d+(\.\d+)?\s*/\s*50", ended.screen), ended.screen


@pytest.mark.parametrize("mode", ["auto", seldom("plain"), seldom("none")])
def test_a_pipe_gets_no_escapes(mode: str, command: Command, server: OtherServer) -> None:
    """Standard error that is no terminal gets plain lines only; `none` shows no progress at all (5)."""
    command.file("job.csv", mixed(60).csv())

    ended = command.run("run", "job.csv", "--yes", "--progress", mode).expect(0)

    assert "\x1b" not in ended.stderr
    assert "\r" not in ended.stderr
    assert "\x1b" not in ended.stdout


def test_standard_output_carries_only_the_answer(command: Command) -> None:
    """Plan, progress and notices go to standard error; without --json the answer is the summary (5)."""
    command.file("job.csv", mixed(9).csv())

    ended = command.run("run", "job.csv", "--yes").expect(0)

    assert "9 of 9 operations ended" in ended.stdout
    assert "bulkops will carry out" in ended.stderr
    assert "bulkops will carry out" not in ended.stdout


def test_the_ledgers_path_is_shown_at_the_start(command: Command) -> None:
    """Before anything else the ledger's path is said (3)."""
    command.file("job.csv", mixed(3).csv())

    assert command.run("run", "job.csv", "--yes").expect(0).lines[0] == "ledger: job.ledger.db"


@pytest.mark.parametrize(
    "name", ["it's $HOME; ü.csv", "-dash.csv", *map(seldom, ("my job.csv", "$HOME.csv", "ünï.csv", "a;b.csv"))]
)
def test_the_last_line_is_a_command_that_a_shell_takes(name: str, command: Command, server: OtherServer) -> None:
    """Whatever the file's name, the last line of an unfinished run, pasted into a shell, finishes it (5)."""
    job = conversations(10)
    command.file(name, job.csv())
    path = f"./{name}" if name.startswith("-") else name

    stopped = command.run("run", path, "--yes", "--canary", "2").expect(4)
    command.run(*stopped.continuation).expect(0)

    assert set(server.record.effects) == set(job.targets)


def test_a_finished_run_names_no_command_that_continues(command: Command) -> None:
    """After full success nothing is left to be continued, and the last line is no resume (5)."""
    command.file("job.csv", conversations(3).csv())

    ended = command.run("run", "job.csv", "--yes").expect(0)

    assert "bulkops resume" not in ended.stderr + ended.stdout


def test_a_terminal_that_goes_away_stops_the_run_in_good_order(command: Command, server: OtherServer) -> None:
    """A closed terminal (SIGHUP) is a stop like Ctrl-C: nothing in doubt, a resume completes it (5)."""
    job = conversations(200)
    command.file("job.csv", job.csv())
    run = command.start("run", "job.csv", "--yes", terminal=True)
    server.wait_for_calls(40)

    run.signal(signal.SIGHUP)
    run.wait().expect(4)
    ended = command.run("resume", "job.ledger.db", "--json").expect(0)

    assert ended.json["resent_in_doubt"] == 0
    assert ended.json["calls"] == 200


def test_a_narrow_terminal_and_a_dumb_one_are_no_trouble(command: Command) -> None:
    """40 columns, and TERM=dumb: the run is carried out all the same, without cursor movements where none are understood."""
    command.file("job.csv", mixed(30).csv())

    command.run("run", "job.csv", "--yes", "--ledger", "a.db", terminal=True, columns=40).expect(0)
    dumb = command.run("run", "job.csv", "--yes", "--ledger", "b.db", terminal=True, env={"TERM": "dumb"}).expect(0)

    assert "\x1b" not in dumb.stderr


def test_completion_can_be_shown(bare: Command) -> None:
    """Shell completion is there for bash, zsh and fish (issue, part 6)."""
    for shell in ("bash", "zsh", "fish"):
        # Which shell asks is looked up among the parents of the process, and under make that is none of these: it is named.
        ended = bare.run("--show-completion", shell, env={"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"})
        assert ended.code == 0
        assert "bulkops" in ended.stdout


def test_version_and_apis(bare: Command) -> None:
    """`--version` says one; `apis` lists the catalog with paths, limits and sources, as text and as JSON (1, 5)."""
    version = bare.run("--version").expect(0)
    text = bare.run("apis").expect(0).stdout
    answer = bare.run("apis", "--json").expect(0).json

    assert re.search(r"\d+\.\d+", version.stdout)
    for op, path in (
        ("delete_conversation", "v4/recentcontact/delete"),
        ("delete_conversation_group", "v4/recentcontact/del_contact_group"),
        ("clear_group_messages", "v4/group_open_http_svc/clear_group_msg"),
    ):
        assert op in text
        assert path in text
        assert any(api["op"] == op and api["path"] == path and api["rate"] == 200 for api in answer["apis"])
    assert too_wide(text) == []
