"""Ctrl-C, SIGTERM and a closed terminal: while a run carries out work they drain it; at all other times they end the command.

Outside `draining` a signal raises `KeyboardInterrupt` wherever the program is. What unwinds then may wait for a thread that
reads a large file; a command that has not ended soon after, or gets a second signal, is ended for good. The ledger is made for that.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Final

_PATIENCE: Final = 3.0
"""Seconds between a signal and the end of a command that unwinds."""

_AT_ONCE: Final = 2
"""The signal that stops a run at once."""


def _watched() -> tuple[signal.Signals, ...]:
    """The signals that mean "stop". SIGHUP only where nobody (`nohup`) asked for it to be ignored."""
    hangup = () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)
    return (signal.SIGINT, signal.SIGTERM, *hangup)


class Signals:
    """What signals do, for the length of one command.

    Args:
        last_words: Called before the process is ended for good; writes without buffers.
        leave: Ends the process at once with an exit code.
        exit_code: That exit code.
        patience: Seconds until that happens.
    """

    def __init__(
        self,
        last_words: Callable[[], None],
        *,
        exit_code: int,
        leave: Callable[[int], None] = os._exit,
        patience: float = _PATIENCE,
    ) -> None:
        self._last_words = last_words
        self._exit_code = exit_code
        self._leave = leave
        self._patience = patience
        self._timer: threading.Timer | None = None
        self._heard = 0

    @contextlib.contextmanager
    def raising(self) -> Iterator[None]:
        """Every signal raises `KeyboardInterrupt`."""
        before = {number: signal.signal(number, self._interrupt) for number in _watched()}
        try:
            yield
        finally:
            self.calm()
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def draining(self, stop: Callable[[str, bool], None]) -> Iterator[None]:
        """Inside an event loop: the first signal calls `stop(name, False)`, the second `stop(name, True)`.

        A third means that even this hangs: the process is ended for good. They are counted over all drainings.
        """
        import asyncio

        loop = asyncio.get_running_loop()

        def heard(number: signal.Signals) -> None:
            self._heard += 1
            if self._heard > _AT_ONCE:
                self._end()
            else:
                stop(number.name, self._heard == _AT_ONCE)

        numbers = _watched()
        before = {number: signal.getsignal(number) for number in numbers}
        for number in numbers:
            loop.add_signal_handler(number, heard, number)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)
                signal.signal(number, before[number])

    def calm(self) -> None:
        """The interruption was dealt with: the command goes on."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._timer is not None:
            self._end()
            return
        self._timer = threading.Timer(self._patience, self._end)
        self._timer.daemon = True
        self._timer.start()
        raise KeyboardInterrupt

    def _end(self) -> None:
        self._last_words()
        self._leave(self._exit_code)
