"""Every flag of every command, once: its spelling, its help, what it takes, and where else it may be given.

A row here is all there is to a flag. typer's parameters are made from these rows, and so are the `BULKOPS_…` variables, the
keys of a profile and the settings that a run takes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer

from bulkops.chat.catalog import APIS, BY_NAME
from bulkops.cli import values
from bulkops.model import Status

_STATUS_WORDS: Final = tuple(status.word for status in Status)


@dataclass(frozen=True, slots=True)
class Option:
    """One flag.

    Args:
        name: Its parameter: the flag without dashes in front, with underscores.
        help: One or two sentences.
        parse: From text to value; raises `values.Unfit`.
        metavar: What its value is called; empty for a switch, which takes none.
        short: One-letter spelling.
        many: It may be given several times.
        choices: Words for the shell's completion.
        setting: It may also be given as `BULKOPS_<NAME>` and in a profile.
        target: Name of the setting that it fills, where that is another one.
    """

    name: str
    help: str
    parse: Callable[[str], object] = values.text
    metavar: str = ""
    short: str = ""
    many: bool = False
    choices: tuple[str, ...] = ()
    setting: bool = False
    target: str = ""

    @property
    def flag(self) -> str:
        """`--max-ops`."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """`BULKOPS_MAX_OPS`."""
        return "BULKOPS_" + self.name.upper()

    @property
    def fills(self) -> str:
        """The name under which its value is known afterwards."""
        return self.target or self.name


@dataclass(frozen=True, slots=True)
class Argument:
    """A positional argument."""

    name: str
    metavar: str
    help: str
    many: bool = False


def _rate(value: str) -> tuple[str, int]:
    op, equals, number = value.rpartition("=")
    try:
        rate = values.positive(number)
    except values.Unfit:
        raise values.Unfit("a whole number of calls per second, at least 1, or OP=N") from None
    return _op(op) if equals else "", rate


def _op(value: str) -> str:
    if value in BY_NAME:
        return BY_NAME[value].op
    return values.one_of(*(api.op for api in APIS))(value)


def _max_failures(value: str) -> object:
    from bulkops.errors import ConfigError
    from bulkops.settings import MaxFailures

    try:
        return MaxFailures.parse(value)
    except ConfigError:
        raise values.Unfit("a whole number or a share such as 5%") from None


def _absent_fails(value: str) -> bool:
    return values.one_of("succeed", "fail")(value) == "fail"


def _holds(value: str) -> bool:
    return values.one_of("resend", "hold")(value) == "hold"


def _region(value: str) -> str:
    from bulkops.settings import REGIONS

    return values.one_of(*REGIONS)(value)


_REGIONS: Final = ("china", "singapore", "seoul", "tokyo", "frankfurt", "siliconvalley", "jakarta")
_LEVELS: Final = ("debug", "info", "warning", "error")
_PROGRESS: Final = ("auto", "live", "plain", "none")

YES: Final = Option("yes", "Don't ask. Every command takes it.", short="-y")
JSON: Final = Option("json", "Print one JSON object on standard output.")
LOG_LEVEL: Final = Option(
    "log_level",
    "How much is logged: debug, info, warning or error.",
    values.one_of(*_LEVELS),
    "LEVEL",
    choices=_LEVELS,
    setting=True,
)
LOG_FILE: Final = Option("log_file", "Log to this file instead of standard error.", metavar="FILE", setting=True)
LEDGER: Final = Option("ledger", "The ledger; default: beside the first job file.", metavar="FILE")
OP: Final = Option("op", "The op of rows that have none.", _op, "OP", choices=tuple(api.op for api in APIS))
ON_INVALID: Final = Option(
    "on_invalid",
    "Invalid rows: stop before anything is sent, or skip them.",
    values.one_of("stop", "skip"),
    "stop|skip",
    choices=("stop", "skip"),
    setting=True,
)
SANDBOX: Final = Option("sandbox", "Run against the API imitated on this machine: no account, nothing real.", setting=True)
FAULT: Final = Option("fault", "A fault that the sandbox shows; may be repeated.", metavar="SPEC", many=True)
DRY_RUN: Final = Option("dry_run", "Show the plan and send nothing.")
PROFILE: Final = Option("profile", "Take settings from [profiles.NAME] in bulkops.toml.", metavar="NAME", setting=True)

APP: Final = (
    Option("sdkappid", "The app.", values.positive, "N", setting=True),
    Option("identifier", "An administrator account of the app.", metavar="USERID", setting=True),
    Option("region", f"Where the app is: {', '.join(_REGIONS)}.", _region, "NAME", choices=_REGIONS, setting=True),
    Option("endpoint", "The API's host as a URL, instead of --region.", metavar="URL", setting=True),
    Option("ca_file", "Certificates to trust instead of the system's, as PEM.", metavar="FILE", setting=True),
    PROFILE,
)
RUNNING: Final = (
    Option(
        "rate",
        "Calls per second for each API, or for one of them; may be repeated.",
        _rate,
        "N|OP=N",
        many=True,
        setting=True,
        target="rates",
    ),
    Option("allow_over_limit", "Take rates above the published limit.", setting=True),
    Option("max_attempts", "Calls for one operation, the first included (8).", values.positive, "N", setting=True),
    Option(
        "absent",
        "Whether a target that is already gone counts as success (succeed).",
        _absent_fails,
        "succeed|fail",
        choices=("succeed", "fail"),
        setting=True,
        target="absent_fails",
    ),
    Option("absent_codes", "ErrorCodes that mean: already gone. 50001, say.", values.codes, "N,M", setting=True),
    Option(
        "in_doubt",
        "What a crash left in doubt: send it again, or hold it (resend).",
        _holds,
        "resend|hold",
        choices=("resend", "hold"),
        setting=True,
        target="hold_in_doubt",
    ),
    Option("outage_limit", "Stop an API that had no success for so long (30m).", values.seconds, "TIME", setting=True),
    Option("max_ops", "Refuse a job of more operations.", values.positive_or_none, "N", setting=True),
    Option("max_failures", "Stop at so many failures, or above such a share (50%).", _max_failures, "N|P%", setting=True),
    Option("max_duration", "Stop after so long.", values.seconds_or_none, "TIME", setting=True),
    Option("canary", "Carry out the first N of each API, then ask.", values.natural, "N", setting=True),
    Option("allow_shared_quota", "Run although another run here uses the same app and API.", setting=True),
)
OUTPUT: Final = (
    Option(
        "progress",
        "How progress is shown: auto, live, plain or none.",
        values.one_of(*_PROGRESS),
        "MODE",
        choices=_PROGRESS,
        setting=True,
    ),
    Option(
        "loop",
        "The event loop: asyncio, or uvloop where it is installed.",
        values.one_of("asyncio", "uvloop"),
        "NAME",
        choices=("asyncio", "uvloop"),
        setting=True,
    ),
    JSON,
    LOG_LEVEL,
    LOG_FILE,
    YES,
)
ANSWERING: Final = (LOG_LEVEL, LOG_FILE, YES)

RUN: Final = (LEDGER, OP, ON_INVALID, *RUNNING, *APP, SANDBOX, FAULT, DRY_RUN, *OUTPUT)
PLAN: Final = tuple(option for option in RUN if option is not DRY_RUN)
RESUME: Final = (*RUNNING, *APP, FAULT, DRY_RUN, *OUTPUT)
RETRY: Final = (
    Option(
        "status",
        "Which to reopen, of failed, exhausted, in_doubt, absent.",
        values.words(("failed", "exhausted", "in_doubt", "absent")),
        "A,B",
    ),
    Option("code", "Only those whose newest ErrorCode is one of these.", values.codes, "N,M"),
    *RESUME,
)
STATUS: Final = (JSON, *ANSWERING)
RESULTS: Final = (
    Option("format", "csv or jsonl (csv).", values.one_of("csv", "jsonl"), "csv|jsonl", choices=("csv", "jsonl")),
    Option("status", "Only these.", values.words((*_STATUS_WORDS, "invalid")), "A,B"),
    Option("code", "Only those whose newest ErrorCode is one of these.", values.labels, "N,M"),
    Option("output", "Write to this file (0600) instead of standard output.", metavar="FILE", short="-o"),
    Option("rows", "Every row of the job with the outcome of its operation, duplicates too."),
    *ANSWERING,
)
APIS_OPTIONS: Final = (JSON, *ANSWERING)
SANDBOX_OPTIONS: Final = (
    FAULT,
    Option("port", "Port to listen on; default: a free one.", values.port, "N"),
    *ANSWERING,
)

JOBS: Final = Argument("jobs", "JOB", "Job files, CSV or JSONL; - is standard input.", many=True)
LEDGER_PATH: Final = Argument("ledger", "LEDGER", "The ledger of a run.")

SETTINGS: Final = {option.name: option for option in (*RUN, *RESUME) if option.setting}
"""Every option that may also be given as a variable or in a profile, by name."""


def signature(arguments: Sequence[Argument], options: Sequence[Option]) -> inspect.Signature:
    """What typer makes a command's parameters from. All values stay text: `config` reads them, whatever their source."""
    return inspect.Signature([*map(_argument, arguments), *map(_option, options)])


def _argument(argument: Argument) -> inspect.Parameter:
    info = typer.Argument(metavar=argument.metavar, help=argument.help, show_default=False)
    kind: Any = list[str] if argument.many else str
    return inspect.Parameter(argument.name, inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[kind, info])


def _option(option: Option) -> inspect.Parameter:
    declarations = [option.flag, *([option.short] if option.short else [])]
    info = typer.Option(
        *declarations,
        help=option.help,
        metavar=option.metavar or None,
        show_default=False,
        autocompletion=_completion(option.choices) if option.choices else None,
    )
    kind: Any = bool if not option.metavar else list[str] | None if option.many else str | None
    default = None if option.metavar else False
    return inspect.Parameter(option.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, info])


def _completion(choices: tuple[str, ...]) -> Callable[[str], list[str]]:
    def complete(incomplete: str) -> list[str]:
        return [choice for choice in choices if choice.startswith(incomplete)]

    return complete
