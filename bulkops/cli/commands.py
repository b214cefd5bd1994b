"""The commands: what each of them does with its settings. Everything heavy is imported where it is used."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from bulkops.chat.catalog import APIS
from bulkops.cli import catalog_table
from bulkops.cli.config import Layer, Resolved, SandboxApp, build_settings, resolve
from bulkops.cli.progress import Reading, pick_mode
from bulkops.cli.session import Session, json_error
from bulkops.errors import ConfigError
from bulkops.model import Status
from bulkops.report.plan import Target, source_name
from bulkops.report.status import status_lines
from bulkops.settings import Settings

if TYPE_CHECKING:
    from bulkops.cli.running import Reopening, Run

Arguments = Mapping[str, Any]

SANDBOX_TOLERANCE: Final = 0.02
"""Seconds by which the sandbox's window is shorter than one: beside a busy client it reads its clock a little late."""

_SANDBOX_TURN: Final = 0.25
"""Seconds between two looks at whether somebody wants the sandbox to end."""


def plan(session: Session, arguments: Arguments, flags: Layer) -> int:
    """Check job files and say what would happen."""
    resolved = _resolved(session, flags)
    return _plan(session, tuple(arguments["jobs"]), resolved)


def run(session: Session, arguments: Arguments, flags: Layer) -> int:
    """Plan, ask, carry out."""
    resolved = _resolved(session, flags)
    files = tuple(arguments["jobs"])
    if resolved.get("dry_run"):
        return _plan(session, files, resolved)
    yes = bool(resolved.get("yes"))
    _check_askable(session, yes)
    if "-" in files and not (yes and resolved.get("ledger")):
        raise ConfigError("- (standard input) needs --ledger FILE and --yes")
    with _sandbox(resolved) as box:
        settings = build_settings(resolved, session.sources, sandbox=box)
        session.redact.learn(settings.secret_key.reveal())
        from bulkops import app
        from bulkops.cli.running import Conduct, carry_out

        session.ledger = _ledger_path(files, resolved)
        session.output.say(f"ledger: {session.ledger}")
        mode = _mode(session, resolved)
        with _reading(session, mode) as on_progress:
            opening = app.open_run(
                files,
                settings=settings,
                ledger=_path(resolved.get("ledger")),
                op=resolved.get("op"),
                on_invalid=resolved.get("on_invalid", "stop"),
                stdin=_stdin(session, files),
                on_progress=on_progress,
            )
            return carry_out(
                session, opening, Conduct(_target(resolved, settings), mode, yes, loop=resolved.get("loop", "asyncio"))
            )


def resume(session: Session, arguments: Arguments, flags: Layer) -> int:
    """Continue from the ledger alone."""
    from bulkops import app

    def opening(settings: Settings) -> AbstractAsyncContextManager[Run]:
        return app.open_resume(Path(session.ledger), settings=settings)

    return _reopened(session, arguments, flags, opening, ask_again=False)


def retry(session: Session, arguments: Arguments, flags: Layer) -> int:
    """Reopen what ended without success, and carry out all that is pending."""
    from bulkops import app
    from bulkops.cli.running import Reopening

    words = flags.get("status")
    codes = flags.get("code", frozenset())
    statuses = frozenset(each for each in Status if each.word in words) if words else None

    def opening(settings: Settings) -> AbstractAsyncContextManager[Run]:
        return app.open_retry(Path(session.ledger), settings=settings, statuses=statuses, codes=codes)

    return _reopened(session, arguments, flags, opening, ask_again=True, reopening=Reopening(statuses, codes))


def status(session: Session, arguments: Arguments, flags: Layer) -> int:
    """Where a run stands."""
    from bulkops import app

    session.start_logging(flags)
    session.ledger = arguments["ledger"]
    summary = app.status(Path(session.ledger))
    if session.json:
        session.output.answer_json(summary.as_json())
    else:
        session.output.answer(status_lines(summary))
    return 0


def results(session: Session, arguments: Arguments, flags: Layer) -> int:
    """One line per operation."""
    from bulkops import app
    from bulkops.cli.files import replacing
    from bulkops.cli.terminal import results_stream
    from bulkops.report.results import write_results

    session.start_logging(flags)
    session.ledger = arguments["ledger"]
    rows = app.results(
        Path(session.ledger),
        statuses=flags.get("status", frozenset()),
        codes=flags.get("code", frozenset()),
        rows=bool(flags.get("rows")),
    )
    first = list(itertools.islice(rows, 1))  # a ledger that can't be read must not leave a header behind
    lines = itertools.chain(first, rows)
    target = flags.get("output", "-")
    if target != "-":
        _spare(
            target,
            {session.ledger: "the ledger itself"} | dict.fromkeys(app.job_files(Path(session.ledger)), "a job file of it"),
        )
        with replacing(Path(target)) as stream:
            write_results(lines, stream, flags.get("format", "csv"))
    elif session.output.stdout is not None:
        with session.output.answering(), results_stream(session.output.stdout) as stream:
            write_results(lines, stream, flags.get("format", "csv"))
    return 0


def _spare(target: str, precious: Mapping[str, str]) -> None:
    """See that an answer overwrites none of these files."""
    for name, what in precious.items():
        with contextlib.suppress(OSError):  # one of them isn't there, or can't be looked at: opening it says why
            if Path(target).samefile(name):
                raise ConfigError(f"-o {target} is {what}: name another file")


def apis(session: Session, arguments: Arguments, flags: Layer) -> int:
    """The catalog."""
    session.start_logging(flags)
    if session.json:
        session.output.answer_json({"apis": [catalog_table.as_json(api) for api in APIS]})
    else:
        session.output.answer(catalog_table.lines(APIS))
    return 0


def sandbox(session: Session, arguments: Arguments, flags: Layer) -> int:
    """The API on this machine, until somebody stops it."""
    session.start_logging(flags)
    with contextlib.suppress(KeyboardInterrupt), _start_sandbox(flags.get("fault", ()), port=flags.get("port")) as box:
        session.output.say("The sandbox listens; the lines below point another terminal to it. Ctrl-C ends it.")
        session.output.answer(
            [
                f"export BULKOPS_ENDPOINT={box.url}",
                f"export BULKOPS_SDKAPPID={box.sdkappid}",
                f"export BULKOPS_IDENTIFIER={box.identifier}",
                f"export BULKOPS_SECRET_KEY={box.key}",
            ]
        )
        while True:  # not signal.pause: a signal right before it would be slept through
            time.sleep(_SANDBOX_TURN)
    session.signals.calm()
    return 0


def _plan(session: Session, files: tuple[str, ...], resolved: Resolved) -> int:
    import asyncio

    from bulkops import app
    from bulkops.cli.running import answer_plan

    on_invalid = resolved.get("on_invalid", "stop")
    with _reading(session, _mode(session, resolved)) as on_progress:
        made = asyncio.run(
            app.plan(
                files,
                ledger=_path(resolved.get("ledger")),
                op=resolved.get("op"),
                on_invalid=on_invalid,
                rates=resolved.rates,
                sandbox=resolved.sandbox,
                stdin=_stdin(session, files),
                on_progress=on_progress,
            )
        )
    errors: list[dict[str, object]] = []
    if on_invalid == "stop":
        errors += [
            json_error(row.message, source_name(made.source_names, row.file), row.line, row.column) for row in made.invalid
        ]
    most = resolved.get("max_ops")
    if most is not None and made.figures.operations > most:
        errors.append(json_error(f"the job has {made.figures.operations:,} operations, more than --max-ops {most} allows"))
    return answer_plan(session, made, _target(resolved, None), errors=errors[:20])


def _reopened(
    session: Session,
    arguments: Arguments,
    flags: Layer,
    opening: Callable[[Settings], AbstractAsyncContextManager[Run]],
    *,
    ask_again: bool,
    reopening: Reopening | None = None,
) -> int:
    """Carry out a run from its ledger: what `resume` and `retry` have in common."""
    from bulkops import app
    from bulkops.cli.running import Conduct, carry_out

    session.ledger = arguments["ledger"]
    stored = app.stored_settings(Path(session.ledger))
    resolved = _resolved(session, flags, stored=stored)
    yes, dry = bool(resolved.get("yes")), bool(resolved.get("dry_run"))
    if ask_again and not dry:
        _check_askable(session, yes)
    with _sandbox(resolved) as box:
        settings = build_settings(resolved, session.sources, sandbox=box, dry=dry)
        session.redact.learn(settings.secret_key.reveal())
        target = replace(_target(resolved, settings), on_invalid=str(stored.get("on_invalid", "stop")))
        loop = resolved.get("loop", "asyncio")
        mode = _mode(session, resolved)
        conduct = Conduct(target, mode, yes, ask_again=ask_again, dry=dry, reopening=reopening, loop=loop)
        return carry_out(session, opening(settings), conduct)


def _resolved(session: Session, flags: Layer, *, stored: Mapping[str, object] | None = None) -> Resolved:
    resolved = resolve(flags, session.sources, stored=stored)
    session.start_logging(resolved.values)
    return resolved


def _check_askable(session: Session, yes: bool) -> None:
    if not yes and not session.interactive:
        raise ConfigError("somebody is asked before anything is sent, and there is no terminal to ask on: give --yes")


def _mode(session: Session, resolved: Resolved) -> str:
    return pick_mode(resolved.get("progress", "auto"), session.output, session.sources.environ.get("TERM", ""))


@contextlib.contextmanager
def _reading(session: Session, mode: str) -> Iterator[Reading]:
    reading = Reading(mode, session.output)
    try:
        yield reading
    finally:
        reading.close()


@contextlib.contextmanager
def _sandbox(resolved: Resolved) -> Iterator[SandboxApp | None]:
    """The sandbox's app while it runs inside this process; `None` for a run against a real host."""
    if not resolved.sandbox:
        yield None
        return
    with _start_sandbox(resolved.get("fault", ())) as box:
        yield box


@contextlib.contextmanager
def _start_sandbox(faults: Any, *, port: int | None = None) -> Iterator[SandboxApp]:
    from bulkops import sandbox

    try:
        box = sandbox.Sandbox(faults=list(faults), tolerance=SANDBOX_TOLERANCE)
    except ValueError as error:
        raise ConfigError(f"--fault: {error}") from None
    thread = sandbox.SandboxThread(box, port=port or 0)
    try:
        url = thread.start()
    except OSError as error:
        raise ConfigError(f"the sandbox can't listen on port {port}: {error.strerror}") from None
    try:
        yield SandboxApp(sandbox.DEMO_SDKAPPID, sandbox.DEMO_IDENTIFIER, sandbox.DEMO_KEY, url)
    finally:
        thread.stop()


def _ledger_path(files: tuple[str, ...], resolved: Resolved) -> str:
    from bulkops import app

    given = resolved.get("ledger")
    return given or os.fspath(app.default_ledger(files[0], sandbox=resolved.sandbox))


def _target(resolved: Resolved, settings: Settings | None) -> Target:
    """Where the calls go, for the plan; without settings (a plan needs no credentials) as far as it is known."""
    if settings is not None:
        where = {name: getattr(settings, name) for name in ("sdkappid", "identifier", "endpoint", "region")}
    elif resolved.sandbox:
        where = {}  # its app and its address come with it
    else:
        where = {"sdkappid": resolved.get("sdkappid", 0), "identifier": resolved.get("identifier", "")}
        where |= {"endpoint": resolved.endpoint, "region": resolved.region}
    return Target(
        **where,
        on_invalid=resolved.get("on_invalid", "stop"),
        hold_in_doubt=bool(resolved.get("hold_in_doubt")),
        canary=resolved.get("canary", 0),
    )


def _stdin(session: Session, files: tuple[str, ...]) -> BinaryIO | None:
    if "-" not in files:
        return None
    if session.stdin is None:
        raise ConfigError("- is standard input, and there is none")
    return session.stdin.buffer


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None
