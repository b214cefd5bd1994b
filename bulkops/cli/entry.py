"""The command line as typer sees it: names, help, examples; and what is wrong with it said in one line."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from bulkops.cli import options
from bulkops.cli.config import Layer, read_flags
from bulkops.cli.options import Argument, Option, signature
from bulkops.cli.session import Session, Streams, json_error
from bulkops.report.escape import escape
from bulkops.report.summary import EXIT_STOPPED, EXIT_USAGE

_INTERRUPTED: Final = 130
"""What typer makes of a Ctrl-C while it reads the command line."""

_COMPLETION: Final = "_BULKOPS_COMPLETE"
"""Set by the shell when it asks what could come next."""

Body = Callable[[Session, Mapping[str, Any], Layer], int]


@dataclass(frozen=True, slots=True)
class Spec:
    """One command.

    Args:
        name: What it is called; also the function in `commands` that carries it out.
        short: One line, for the list of commands.
        text: What it does, for its own help.
        arguments: Its positional arguments.
        flags: Its options.
        examples: Commands that run as they stand, after the ones above them.
    """

    name: str
    short: str
    text: str
    arguments: tuple[Argument, ...]
    flags: tuple[Option, ...]
    examples: tuple[str, ...]


_ELSEWHERE: Final = (
    "Most flags may also be given as BULKOPS_<FLAG> or in a profile of bulkops.toml. Credentials come from BULKOPS_SDKAPPID,"
    " BULKOPS_IDENTIFIER and BULKOPS_SECRET_KEY or BULKOPS_SECRET_KEY_FILE."
)

SPECS: Final = (
    Spec(
        "plan",
        "Check job files; show what would happen. Sends nothing.",
        "Check job files and show what would happen, how long it takes and at what share of the quota. Sends nothing, needs no"
        " credentials, and leaves no file unless --ledger is given. It takes the flags of run.",
        (options.JOBS,),
        options.PLAN,
        ("bulkops plan jobs/demo.csv", "bulkops plan jobs/demo.csv --rate 50 --json"),
    ),
    Spec(
        "run",
        "Plan, ask, carry out. The same command again continues.",
        "Show the plan, ask for the SDKAppID to be typed, carry the job out. The same command again continues where it stopped."
        f" {_ELSEWHERE}",
        (options.JOBS,),
        options.RUN,
        ("bulkops run jobs/demo.csv --sandbox --yes", "bulkops run jobs/demo.csv --sandbox --dry-run"),
    ),
    Spec(
        "resume",
        "Continue from the ledger alone.",
        "Continue a run from its ledger alone, with the app, the endpoint and the settings it had; flags, then variables,"
        " override them. Doesn't ask again.",
        (options.LEDGER_PATH,),
        options.RESUME,
        ("bulkops resume jobs/demo.sandbox.ledger.db",),
    ),
    Spec(
        "retry",
        "Reopen what ended without success; carry it out.",
        "Reopen operations that are exhausted or in doubt (or those of --status and --code) with fresh attempts, and carry out"
        " all that is pending. Asks like run.",
        (options.LEDGER_PATH,),
        options.RETRY,
        (
            "bulkops retry jobs/demo.sandbox.ledger.db --yes",
            "bulkops retry jobs/demo.sandbox.ledger.db --status failed --code 50001 --yes",
        ),
    ),
    Spec(
        "status",
        "Where a run stands, also while it runs.",
        "Show where a run stands, also while it runs.",
        (options.LEDGER_PATH,),
        options.STATUS,
        ("bulkops status jobs/demo.sandbox.ledger.db", "bulkops status jobs/demo.sandbox.ledger.db --json"),
    ),
    Spec(
        "results",
        "One line per operation; a valid job file again.",
        "Write one line per operation: its own columns byte for byte, then what became of it. The file is a valid job again.",
        (options.LEDGER_PATH,),
        options.RESULTS,
        (
            "bulkops results jobs/demo.sandbox.ledger.db",
            "bulkops results jobs/demo.sandbox.ledger.db --status failed -o failed.csv",
        ),
    ),
    Spec(
        "apis",
        "The catalog of APIs.",
        "Show the APIs that bulkops can drive: op, fields, published limit, source.",
        (),
        options.APIS_OPTIONS,
        ("bulkops apis", "bulkops apis --json"),
    ),
    Spec(
        "sandbox",
        "The API on this machine, with faults to order.",
        "Imitate the API on this machine until Ctrl-C, with faults to order. Prints the variables that point a run to it.",
        (),
        options.SANDBOX_OPTIONS,
        ("bulkops sandbox", "bulkops sandbox --port 8080"),
    ),
)

_DESCRIPTION: Final = (
    "Carries out very large files of deletions on the Tencent Cloud Chat REST API: as fast as its limit allows and never faster,"
    " with nothing lost, and a ledger that says for every operation what happened."
)
_FIRST_STEPS: Final = (
    "bulkops plan jobs/demo.csv",
    "bulkops run jobs/demo.csv --sandbox --yes",
    "bulkops status jobs/demo.sandbox.ledger.db",
)


class _Command(TyperCommand):
    """A command whose usage line reads like the documentation: `bulkops run [OPTIONS] JOB…`."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The usage line after the command's name."""
        names = [
            (param.metavar or param.name) + ("…" if param.nargs == -1 else "")
            for param in self.params
            if param.param_type_name == "argument"
        ]
        return ["[OPTIONS]", *names]


class _Group(TyperGroup):
    """The program itself."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The usage line after the program's name."""
        return ["COMMAND …"]


def build(session: Session) -> typer.Typer:
    """The whole command line, with commands that work on this session."""
    app = typer.Typer(
        cls=_Group,
        name="bulkops",
        help=_DESCRIPTION,
        epilog=_examples(_FIRST_STEPS),
        rich_markup_mode=None,  # plain text: quick, greppable, never wider than the terminal
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_program)
    for spec in SPECS:
        command = app.command(
            spec.name,
            cls=_Command,
            short_help=spec.short,
            help=spec.text,
            epilog=_examples(spec.examples),
            context_settings={"help_option_names": ["-h", "--help"]},
        )
        command(_callback(session, spec))
    return app


def run_command_line(argv: Sequence[str], *, environ: Mapping[str, str] | None = None, streams: Streams | None = None) -> int:
    """Carry out one command line; its exit code.

    Args:
        argv: Without the program's name.
        environ: The environment; the process's own by default.
        streams: The process's own by default.
    """
    streams = streams or Streams(sys.stdin, sys.stdout, sys.stderr)
    session = Session(argv, environ=os.environ if environ is None else environ, streams=streams)
    command = typer.main.get_command(build(session))
    try:
        if (
            not argv and _COMPLETION not in session.sources.environ
        ):  # no command is a mistake, and its answer is no answer for a script
            with contextlib.redirect_stdout(session.output.stderr):
                command.main(args=["--help"], prog_name="bulkops", standalone_mode=False)
            return EXIT_USAGE
        result = command.main(args=list(argv), prog_name="bulkops", standalone_mode=False)
    except typer.TyperException as error:
        return _usage(session, error)
    except typer.Abort:
        return EXIT_STOPPED
    if result == _INTERRUPTED:
        return _interrupted(session)
    return result if isinstance(result, int) else 0


def _program(
    version: bool = typer.Option(False, "--version", "-V", help="Show the version."),
) -> None:
    """Never called with `--version`, which `bulkops.cli.main` answers; it is here for the help and for completion."""


def _callback(session: Session, spec: Spec) -> Callable[..., int]:
    def call(**given: Any) -> int:
        session.json = bool(given.get("json"))
        return session.guarded(spec.name, partial(_carry_out, session, spec, given))

    call.__dict__["__signature__"] = signature(spec.arguments, spec.flags)
    return call


def _carry_out(session: Session, spec: Spec, given: Mapping[str, Any]) -> int:
    from bulkops.cli import commands

    body: Body = getattr(commands, spec.name)
    arguments = {argument.name: given[argument.name] for argument in spec.arguments}
    return body(session, arguments, read_flags(spec.flags, given))


def _examples(lines: Sequence[str]) -> str:
    r"""An epilog of examples. `\b` tells the help's formatter to leave the lines alone."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def _interrupted(session: Session) -> int:
    """Say how to go on, where the command had not begun and could not say it itself."""
    if not session.command:
        session.output.say("bulkops: interrupted; nothing was sent")
        if session.argv[:1] in {("run",), ("resume",), ("retry",)}:
            session.output.say(session.continuation())
    return EXIT_STOPPED


def _usage(session: Session, error: typer.TyperException) -> int:
    """Say what is wrong with the command line."""
    name = next((spec.name for spec in SPECS if spec.name in session.argv[:1]), "")
    session.command = name
    message = _usage_message(error, name)
    if name in {"plan", "run", "resume", "retry", "status"} and "--json" in session.argv:
        session.answer_errors(session.known_summary(exit=EXIT_USAGE, reason=message), [json_error(message)])
    session.output.say(f"{f'bulkops {name}'.strip()}: {message}; see {f'bulkops {name}'.strip()} --help")
    return EXIT_USAGE


def _usage_message(error: typer.TyperException, command: str) -> str:
    option = getattr(error, "option_name", "")
    if option.startswith(("--secret-key", "--secret_key")):
        return "the key is never given on the command line: set BULKOPS_SECRET_KEY or BULKOPS_SECRET_KEY_FILE"
    possible = getattr(error, "possibilities", None)
    if option and type(error).__name__ == "NoSuchOption":
        near = f"; did you mean {next(iter(possible))}?" if possible else ""
        return f"there is no option {escape(option)}{near}"
    text = escape(error.format_message()).rstrip(".")
    return text[:1].lower() + text[1:]
