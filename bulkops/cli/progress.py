"""Progress on standard error: live on a terminal, a line now and then elsewhere. Whatever happens here, the run goes on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from bulkops.cli.output import Output
from bulkops.report.plain import notice_line, plain_line
from bulkops.watching import Notice, Snapshot

if TYPE_CHECKING:
    from rich.live import Live as RichLive

_LIVE_EVERY: Final = 0.25
_PLAIN_EVERY: Final = 10.0
_READING_EVERY: Final = {"live": 0.25, "plain": 10.0}
_LAST_NOTICES: Final = 1.0
"""Seconds that the last notices may take to come once a run has ended."""

log = logging.getLogger(__name__)


class Watched(Protocol):
    """What is needed of a run."""

    def snapshot(self) -> Snapshot: ...
    def events(self) -> AsyncIterator[Notice]: ...


class View(Protocol):
    """A way to show progress."""

    every: float
    """Seconds between two pictures; 0 for none."""

    at_once: bool
    """Whether the first and the last moment are shown too."""

    def show(self, snapshot: Snapshot) -> None: ...
    def notice(self, notice: Notice) -> None: ...
    def close(self) -> None: ...


class Silent:
    """Shows nothing."""

    every = 0.0
    at_once = False

    def show(self, snapshot: Snapshot) -> None: ...
    def notice(self, notice: Notice) -> None: ...
    def close(self) -> None: ...


class Plain:
    """Lines, for pipes and log files."""

    every = _PLAIN_EVERY
    at_once = False

    def __init__(self, output: Output) -> None:
        self._output = output

    def show(self, snapshot: Snapshot) -> None:
        self._output.say(plain_line(snapshot))

    def notice(self, notice: Notice) -> None:
        self._output.say(notice_line(notice))

    def close(self) -> None: ...


class Live:
    """A picture that is drawn anew in its place; notices and log lines appear above it."""

    every = _LIVE_EVERY
    at_once = True

    def __init__(self, output: Output, *, sandbox: bool) -> None:
        from rich.console import Console

        self._output = output
        self._sandbox = sandbox
        self._console = Console(
            file=output.stderr, force_terminal=True, markup=False, highlight=False, emoji=False, soft_wrap=True
        )
        self._live: RichLive | None = None

    def show(self, snapshot: Snapshot) -> None:
        from rich.live import Live as RichLive

        from bulkops.report.live import LivePicture

        if self._live is None:  # a new one after every pause: an old one would draw over what was said since
            self._live = RichLive(console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
            self._live.start()
            self._output.above = self._above
        self._live.update(LivePicture(snapshot, sandbox=self._sandbox), refresh=True)

    def notice(self, notice: Notice) -> None:
        self._output.say(notice_line(notice))

    def close(self) -> None:
        live, self._live = self._live, None
        self._output.above = None
        if live is not None:
            live.stop()
            self._output.write_error("\n")

    def _above(self, line: str) -> None:
        try:
            self._console.print(line, soft_wrap=True)
        except (OSError, ValueError):  # the terminal has gone
            self._output.stderr = None


def pick_mode(mode: str, output: Output, term: str) -> str:
    """`live`, `plain` or `none`: what `auto` means here."""
    if mode != "auto":
        return mode
    terminal = output.stderr is not None and output.stderr.isatty() and term != "dumb"
    return "live" if terminal else "plain"


def make_view(mode: str, output: Output, *, sandbox: bool) -> View:
    """The view for a mode of `pick_mode`."""
    if mode == "live" and output.stderr is not None:  # without one, rich would draw on standard output
        return Live(output, sandbox=sandbox)
    return Plain(output) if mode == "plain" else Silent()


class Following:
    """Shows a run until it is told to stop; may pause for a question. A failure of the view ends the view, not the run."""

    def __init__(self, run: Watched, view: View) -> None:
        self._run = run
        self._view = view
        self._ticker: asyncio.Task[None] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._dead = False
        self._hushed: set[str] = set()

    def start(self) -> None:
        """Show pictures from now on, and the notices, those since the run's begin included."""
        self._reader = self._reader or asyncio.create_task(self._read(), name="notices")
        if self._view.every:
            self._ticker = asyncio.create_task(self._tick(), name="progress")

    def pause(self) -> None:
        """Draw the newest picture and then leave the screen to others."""
        if self._ticker is not None:
            self._ticker.cancel()
            self._ticker = None
            if self._view.at_once:
                self._safely(self._show)
        self._safely(self._view.close)

    def hush(self, kind: str) -> None:
        """Show no more notices of this kind."""
        self._hushed.add(kind)

    async def stop(self) -> None:
        """Pause for good, once the last notices are shown."""
        if self._reader is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_NOTICES):
                    await self._reader
        self.pause()

    async def _read(self) -> None:
        try:
            async for notice in self._run.events():
                if notice.kind not in self._hushed:
                    self._safely(partial(self._view.notice, notice))
        except Exception:  # a run whose notices fail is still a run
            log.debug("notices failed", exc_info=True)

    async def _tick(self) -> None:
        if self._view.at_once:
            self._safely(self._show)
        while True:
            await asyncio.sleep(self._view.every)
            self._safely(self._show)

    def _show(self) -> None:
        self._view.show(self._run.snapshot())

    def _safely(self, draw: Callable[[], None]) -> None:
        if self._dead:
            return
        try:
            draw()
        except Exception:
            self._dead = True
            log.debug("progress failed", exc_info=True)
            with contextlib.suppress(Exception):
                self._view.close()


class Reading:
    """Says how many rows of a job have been read, while that takes long. Called from whatever thread reads."""

    def __init__(self, mode: str, output: Output, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._live = mode == "live"
        self._every = _READING_EVERY.get(mode, 0.0)
        self._output = output
        self._clock = clock
        self._last = clock()
        self._shown = False

    def __call__(self, rows: int) -> None:
        """Say it, unless that was done a moment ago."""
        now = self._clock()
        if not self._every or now - self._last < self._every:
            return
        self._last = now
        if self._live:
            self._shown = True
            self._output.write_error(f"\rreading: {rows:,} rows")
        else:
            self._output.say(f"reading: {rows:,} rows")

    def close(self) -> None:
        """Clear the line."""
        if self._shown:
            self._output.write_error("\r\x1b[K")
            self._shown = False
