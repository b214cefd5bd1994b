"""The command line itself: help, mistakes, completion, and how quickly it starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import bulkops.cli as cli
from bulkops._version import VERSION
from bulkops.cli import options
from bulkops.cli.entry import SPECS
from bulkops.cli.session import Session
from tests.helpers.cli import bulkops
from tests.helpers.fakeapp import FakeApp, install

ROOT = Path(__file__).parents[2]
COMMANDS = [spec.name for spec in SPECS]
HEAVY = ("aiohttp", "apsw", "rich", "tenacity", "msgspec", "asyncio", "bulkops.app", "bulkops.engine", "bulkops.ledger")


def python(*argv: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter with the package."""
    base = {name: value for name, value in os.environ.items() if not name.startswith("BULKOPS_")}
    return subprocess.run(
        [sys.executable, *argv], env=base | {"PYTHONPATH": str(ROOT)} | environ, capture_output=True, text=True, check=False
    )


# help


def test_the_commands_are_the_documented_ones() -> None:
    assert COMMANDS == ["plan", "run", "resume", "retry", "status", "results", "apis", "sandbox"]


@pytest.mark.parametrize("argv", [[], *([name] for name in COMMANDS)])
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_help_fits_80_columns_and_ends_with_examples(
    capsys: pytest.CaptureFixture[str], argv: list[str], flag: str
) -> None:
    """Examples that run as they stand, each of its own command."""
    assert bulkops(*argv, flag).code == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    examples = text.split("Examples:\n")[1].strip().splitlines()
    assert examples
    assert all(line.strip().startswith("bulkops " + " ".join(argv)) for line in examples)


@pytest.mark.parametrize("spec", SPECS, ids=COMMANDS)
def test_every_flag_has_help_and_every_command_takes_yes(spec: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert isinstance(spec, type(SPECS[0]))
    bulkops(spec.name, "--help")
    text = capsys.readouterr().out
    for option in spec.flags:
        assert option.flag in text
        assert option.help
    assert options.YES in spec.flags


DOCUMENTED = (
    *("--ledger", "--op", "--yes", "-y", "--dry-run", "--rate", "--allow-over-limit", "--max-attempts", "--absent"),
    *("--absent-codes", "--in-doubt", "--on-invalid", "--outage-limit", "--max-ops", "--max-failures", "--max-duration"),
    *("--canary", "--allow-shared-quota", "--region", "--endpoint", "--ca-file", "--sdkappid", "--identifier"),
    *("--profile", "--sandbox", "--fault", "--progress", "--json", "--log-level", "--log-file"),
)


def test_run_has_every_documented_flag(capsys: pytest.CaptureFixture[str]) -> None:
    bulkops("run", "--help")
    words = capsys.readouterr().out.replace(",", " ").split()
    assert set(words) >= set(DOCUMENTED)


# mistakes


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["rnu", "job.csv"], "Did you mean 'run'?"),
        (["run", "--max-op", "3", "job.csv"], "there is no option --max-op; did you mean --max-ops?"),
        (["run", "--zzzzzz", "job.csv"], "there is no option --zzzzzz"),
        (["run"], "missing argument 'JOB'"),
        (["resume", "a", "b"], "unexpected extra argument"),
        (["run", "--rate"], "option '--rate' requires an argument"),
        (["--nope"], "there is no option --nope"),
        (["run", "\x1b[2J", "--\x1b[2J"], "there is no option --\\x1b[2J"),
    ],
)
def test_a_mistake_is_one_clear_line(argv: list[str], said: str) -> None:
    """Exit 2, with a suggestion where there is one, and where to read on; no box, no traceback."""
    ended = bulkops(*argv)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert ended.err.count("\n") == 1
    assert "--help" in ended.err


@pytest.mark.parametrize("argv", [["--secret-key", "topsecret"], ["--secret-key=topsecret"], ["--secret_key_file=topsecret"]])
def test_a_key_on_the_command_line_is_refused_and_not_repeated(argv: list[str]) -> None:
    ended = bulkops("run", "job.csv", *argv)
    assert ended.code == 2
    assert "BULKOPS_SECRET_KEY" in ended.err
    assert "topsecret" not in ended.err


@pytest.mark.parametrize("command", ["plan", "run", "resume", "retry", "status"])
def test_a_mistake_is_json_where_json_is_asked_for(command: str) -> None:
    ended = bulkops(command, "--json", "--zzzz")
    assert ended.code == 2
    assert (ended.json["exit"], ended.json["ledger"]) == (2, None)
    assert ended.json["errors"] == [{"file": None, "line": None, "column": None, "message": "there is no option --zzzz"}]


def test_no_command_is_a_mistake_that_shows_the_help() -> None:
    """On standard error: a script that forgot the command must not take the help for an answer."""
    ended = bulkops()
    assert (ended.code, ended.out) == (2, "")
    assert "Commands:" in ended.err


# starting


@pytest.mark.slow
@pytest.mark.parametrize("argv", [["--version"], ["--help"], ["run", "--help"]])
def test_what_is_heavy_is_not_imported_to_show_a_text(argv: list[str]) -> None:
    """That, and not a clock, is what keeps the start quick."""
    ended = python("-X", "importtime", "-m", "bulkops", *argv)
    imported = {line.rsplit("|", 1)[1].strip() for line in ended.stderr.splitlines() if "|" in line}
    assert ended.returncode == 0
    assert "bulkops.cli" in imported
    assert not {name for name in imported if name.startswith(HEAVY)}
    if argv == ["--version"]:
        assert "typer" not in imported


@pytest.mark.slow
def test_the_version_is_an_answer() -> None:
    ended = python("-m", "bulkops", "--version")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"bulkops {VERSION}\n", "")


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_main_answers_the_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], flag: str) -> None:
    monkeypatch.setattr(sys, "argv", ["bulkops", flag])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert (ended.value.code, capsys.readouterr().out) == (0, f"bulkops {VERSION}\n")


def test_main_exits_with_the_code_of_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bulkops", "nope"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2


@pytest.mark.parametrize(
    ("argv", "continuation"),
    [
        (["apis"], ""),
        (["resume", "a b.db"], "bulkops resume 'a b.db'\n"),
        (["run", "j.csv", "--yes"], "bulkops run j.csv --yes\n"),
    ],
)
def test_ctrl_c_before_a_command_begins_is_exit_four(
    argv: list[str], continuation: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Importing takes a moment, too; no traceback then either, and what was meant to run is said last."""

    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("bulkops.cli.entry.run_command_line", interrupted)
    monkeypatch.setattr(sys, "argv", ["bulkops", *argv])
    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit) as ended:
            cli.main()
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended.value.code == 4
    assert capsys.readouterr().err == f"bulkops: interrupted; nothing was sent\n{continuation}"


def test_elsewhere_it_says_that_it_does_not_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence, exit 2."""
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(sys, "argv", ["bulkops", "apis"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("bulkops runs on Linux and macOS only")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("bulkops re", {"resume", "retry", "results"}),
        ("bulkops run --reg", {"--region"}),
        ("bulkops run --region s", {"singapore", "seoul", "siliconvalley"}),
    ],
)
def test_the_shell_completes_commands_flags_and_words(words: str, offered: set[str]) -> None:
    environ = {"_BULKOPS_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    ended = python("-c", "import sys; sys.argv = ['bulkops']; from bulkops.cli import main; main()", **environ)
    assert set(ended.stdout.split()) == offered


def test_ctrl_c_while_the_command_line_is_read_is_exit_four(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the command could begin; how to go on is said last."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bulkops.cli.entry.Session.guarded", interrupted)
    install(monkeypatch, FakeApp())
    assert bulkops("apis").code == 4
    ended = bulkops("resume", "job.ledger.db")
    assert (ended.code, ended.last_line) == (4, "bulkops resume job.ledger.db")


def test_ctrl_c_after_a_command_is_not_told_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has said all there is to say."""

    def late(session: Session, command: str, _: object) -> None:
        session.command = command
        raise KeyboardInterrupt

    monkeypatch.setattr("bulkops.cli.entry.Session.guarded", late)
    install(monkeypatch, FakeApp())
    ended = bulkops("resume", "job.ledger.db")
    assert (ended.code, ended.err) == (4, "")
