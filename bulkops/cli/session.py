"""One invocation of the command line: its channels, its settings' sources, what is known of its ledger, and how it ends.

Every command runs inside `Session.guarded`, which is where an exception becomes lines for people, a JSON object and an exit code.
"""

from __future__ import annotations

import contextlib
import logging
import os
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from bulkops.cli import profiles
from bulkops.cli.config import Layer, Sources
from bulkops.cli.exits import exit_of
from bulkops.cli.logs import Redaction, start_logging, stop_logging
from bulkops.cli.options import LOG_FILE, LOG_LEVEL, SETTINGS
from bulkops.cli.output import Output
from bulkops.cli.signals import Signals
from bulkops.errors import BulkopsError, ConfigError, JobFileError, LedgerHeld
from bulkops.model import Figures
from bulkops.report.escape import escape, shell_word
from bulkops.report.plan import located, source_name
from bulkops.report.status import resume_command
from bulkops.report.summary import EXIT_DEFECT, EXIT_STOPPED, EXIT_USAGE, Summary, summarize

_ERRORS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Streams:
    """The process's streams; `None` for one that it was started without."""

    stdin: TextIO | None
    stdout: TextIO | None
    stderr: TextIO | None


class Session:
    """One invocation.

    Args:
        argv: The command line without the program's name.
        environ: The environment.
        streams: Standard input, output and error.
    """

    def __init__(self, argv: Sequence[str], *, environ: Mapping[str, str], streams: Streams) -> None:
        self.argv = tuple(argv)
        self.stdin = streams.stdin
        self.output = Output(streams.stdout, streams.stderr)
        self.redact = Redaction()
        self.signals = Signals(self.say_last_words, exit_code=EXIT_STOPPED)
        self.sources = Sources(environ, profiles.profile_places(_home(environ), Path()), self.output.say)
        self.json = False
        self.command = ""
        self.ledger = ""
        """Path of the ledger that the command works on, once it is known."""
        self.opened = False
        """The ledger holds the job and the settings of this command: a resume continues it."""
        self._handler: logging.Handler | None = None

    @property
    def interactive(self) -> bool:
        """Whether somebody can be asked."""
        return self.stdin is not None and not self.stdin.closed and self.stdin.isatty()

    @property
    def answers_on_screen(self) -> bool:
        """Whether whoever reads standard error sees the answer too."""
        return self.output.stdout is not None and self.output.stdout.isatty()

    def guarded(self, command: str, body: Callable[[], int]) -> int:
        """Run a command; its exit code, whatever happens.

        Args:
            command: Its name.
            body: What it does.
        """
        self.command = command
        with self.signals.raising():
            try:
                return body()
            except (SystemExit, GeneratorExit):
                raise
            except BaseException as error:  # noqa: BLE001 - the one place that turns whatever happened into an exit code
                return self._failed(error)
            finally:
                if self._handler is not None:
                    stop_logging(self._handler)

    def start_logging(self, values: Layer) -> None:
        """Start logging as the settings say; variables are read here for commands that resolve no other settings."""
        chosen = dict(values)
        for option in (LOG_LEVEL, LOG_FILE):
            if option.name not in chosen and (text := self.sources.environ.get(option.variable)):
                chosen[option.name] = text
        level = str(chosen.get("log_level", "warning"))
        if level not in SETTINGS["log_level"].choices:
            raise ConfigError(f"{LOG_LEVEL.variable} takes {', '.join(LOG_LEVEL.choices)}, not {escape(level)!r}")
        self._handler = start_logging(self.output, level, chosen.get("log_file"), self.redact)

    def ask(self, question: str) -> str | None:
        """What somebody types on one line; `None` for Ctrl-C or the end of input."""
        if self.stdin is None:
            return None
        self.output.write_error("\n" + escape(question))
        try:
            line = self.stdin.readline()
        except KeyboardInterrupt:
            self.signals.calm()
            line = ""
        except (OSError, ValueError):  # the terminal has gone, or what came from it is no text
            line = ""
        if not line:
            self.output.write_error("\n")
            return None
        return line.strip()

    def known_summary(self, *, exit: int, reason: str | None) -> Summary:  # noqa: A002 - the JSON's own name
        """What can be said of the ledger now, zeros where nothing can."""
        state = "planned" if self.command == "plan" else "stopped"
        stands = bool(self.ledger) and os.path.lexists(self.ledger)
        if stands:
            from bulkops import app

            with contextlib.suppress(Exception):  # it is an error that is being reported: no other must take its place
                known = app.status(Path(self.ledger))
                return replace(known, state="running" if known.state == "running" else state, exit=exit, reason=reason)
        figures = Figures(rows=0, duplicates=0, invalid=0, operations=0, apis={})
        return summarize(figures, ledger=self.ledger if stands else None, state=state, reason=reason, exit=exit)

    def answer_errors(self, summary: Summary, errors: Iterable[Mapping[str, object]]) -> None:
        """Give the JSON object of a command that could not do what it was asked to."""
        with contextlib.suppress(ConfigError):  # standard output is gone: the exit code still says it
            self.output.answer_json({**summary.as_json(), "errors": list(errors)})

    def continuation(self) -> str:
        """The exact command that continues what was interrupted: the same one where nothing had begun, with all its flags."""
        gone = "-" in self.argv and os.path.lexists(self.ledger)  # what standard input held is in the ledger alone
        if self.opened or gone:
            return resume_command(self.ledger)
        return " ".join(["bulkops", *map(shell_word, self.argv)])

    def _failed(self, error: BaseException) -> int:
        code = exit_of(error)
        message = self._message(error)
        if self.json:
            summary = self.known_summary(exit=code, reason=message)
            if isinstance(error, JobFileError) and not summary.invalid:
                summary = replace(summary, invalid=error.total, rows=summary.rows + error.total)
            self.answer_errors(summary, self._errors(error, message))
        self.output.say(f"bulkops {self.command}: {message}")
        if isinstance(error, JobFileError) and error.invalid:
            self._say_invalid(error)
        if code != EXIT_USAGE and self.command in {"run", "resume", "retry"}:
            if isinstance(error, LedgerHeld) and self.command == "run" and os.path.lexists(self.ledger):
                self.opened = True
            self.output.say(self.continuation())
        return code

    def _message(self, error: BaseException) -> str:
        if isinstance(error, KeyboardInterrupt):
            return (
                "interrupted"
                if self.opened or self.command not in {"run", "resume", "retry"}
                else "interrupted; nothing was sent"
            )
        if isinstance(error, BulkopsError):
            return str(error)
        return self._defect(error)

    def _defect(self, error: BaseException) -> str:
        """One line about an exception that nobody expected; its traceback goes to the log only, redacted."""
        frames = traceback.extract_tb(error.__traceback__)
        ours = next((frame for frame in reversed(frames) if f"{os.sep}bulkops{os.sep}" in frame.filename), frames[-1])
        log = logging.getLogger("bulkops")
        kept = isinstance(self._handler, logging.StreamHandler)
        if kept or log.isEnabledFor(logging.DEBUG):
            log.critical("a defect", exc_info=error)
        file = "/".join(Path(ours.filename).parts[-3:])
        advice = "its traceback is in the log" if kept else "with --log-file FILE its traceback is kept"
        return f"a defect of bulkops (exit {EXIT_DEFECT}): {type(error).__name__} at {file}:{ours.lineno}; {advice}; please report it"

    def _errors(self, error: BaseException, message: str) -> list[Mapping[str, object]]:
        if isinstance(error, JobFileError):
            if error.invalid:
                return [
                    json_error(row.message, source_name(error.names, row.file), row.line, row.column)
                    for row in error.invalid[:_ERRORS_SHOWN]
                ]
            return [json_error(error.message, error.file, error.line, error.column)]
        return [json_error(message)]

    def _say_invalid(self, error: JobFileError) -> None:
        shown = error.invalid[:_ERRORS_SHOWN]
        self.output.say_all(f"  {located(source_name(error.names, row.file), row)}" for row in shown)
        if error.total > len(shown) and self.known_summary(exit=EXIT_USAGE, reason=None).invalid:
            self.output.say(f"all of them:  bulkops results {shell_word(self.ledger)} --status invalid")

    def say_last_words(self) -> None:
        """Say how to go on without buffers and locks: called from a signal handler or another thread while the rest hangs."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            cursor = "\x1b[?25h\n" if self.output.above is not None else ""  # a live picture hides it
            text = f"{cursor}bulkops {self.command}: interrupted\n{self.continuation()}\n"
            os.write(self.output.stderr.fileno(), text.encode("utf-8", "backslashreplace"))  # type: ignore[union-attr]  # suppressed


def _home(environ: Mapping[str, str]) -> Path | None:
    """The user's folder; `None` for a user whom the system doesn't know."""
    if named := environ.get("HOME"):
        return Path(named)
    try:
        return Path.home()
    except RuntimeError:
        return None


def json_error(message: str, file: str = "", line: int = 0, column: str = "") -> dict[str, object]:
    """One of `errors`; what is not known is null."""
    return {"file": file or None, "line": line or None, "column": column or None, "message": message}
