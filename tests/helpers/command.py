"""The installed command as tests run it: a process of its own with a clean environment, in pipes or at a terminal, always ended."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import shlex
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import bulkops
from tests.helpers.otherserver_handle import IDENTIFIER, KEY, SDKAPPID, OtherServer, wait_until

PATIENCE: Final = 60.0
"""Seconds that a command may take unless a test says otherwise."""

_SCRIPT: Final = Path(sys.executable).parent / "bulkops"
NAME: Final = (str(_SCRIPT),) if _SCRIPT.exists() else (sys.executable, "-m", "bulkops")
"""The words that call it."""

_PACKAGE: Final = Path(bulkops.__file__).parents[1]
_ESCAPES: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]")
_AT_A_TERMINAL: Final = "import fcntl,os,sys,termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"


@dataclass(frozen=True)
class Ended:
    """How a command ended. At a terminal its standard error, and what was typed, are in `stderr`."""

    arguments: tuple[str, ...]
    code: int
    stdout: str
    stderr: str
    seconds: float

    @cached_property
    def json(self) -> dict[str, Any]:
        """Its answer as JSON."""
        value: dict[str, Any] = json.loads(self.stdout)
        return value

    @property
    def screen(self) -> str:
        """Standard error without the sequences that move a cursor or colour a text."""
        return _ESCAPES.sub("", self.stderr).replace("\r\n", "\n")

    @property
    def lines(self) -> list[str]:
        """Lines of standard error that are not blank."""
        return [line for line in self.screen.replace("\r", "\n").split("\n") if line.strip()]

    @property
    def continuation(self) -> tuple[str, ...]:
        """The command in the last line of standard error, without its name.

        Raises:
            AssertionError: There is none.
        """
        assert self.lines, f"nothing on standard error: {self}"
        name, *arguments = shlex.split(self.lines[-1])
        assert name == "bulkops", f"the last line is no command: {self.lines[-1]!r}"
        return tuple(arguments)

    def expect(self, code: int) -> Ended:
        """This, once it is sure that the exit code is right and that nobody saw a traceback.

        Raises:
            AssertionError: It is another, or there was one.
        """
        assert self.code == code, f"exit {self.code} instead of {code}\n{self.stdout}\n{self.screen}"
        assert "Traceback" not in self.stdout + self.stderr, self.stderr
        return self


class Running:
    """A command under way."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        feed: bytes | None,
        terminal: bool,
        columns: int,
        prefix: Sequence[str] = (),
    ) -> None:
        self._arguments = tuple(arguments)
        self._begun = time.monotonic()
        self._screen = -1
        command = [*NAME, *arguments]
        stdin: int = subprocess.PIPE if feed is not None else subprocess.DEVNULL
        stderr: int = subprocess.PIPE
        if terminal:
            self._screen, inner = pty.openpty()
            fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
            command = [sys.executable, "-c", _AT_A_TERMINAL, *command]
            stdin = stderr = inner
        self._process = subprocess.Popen(
            [*prefix, *command], cwd=cwd, env=env, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr, start_new_session=True
        )
        self._parts: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
        assert self._process.stdout is not None
        sources = [("stdout", self._process.stdout.fileno())]
        if terminal:
            os.close(stdin)
            sources.append(("stderr", self._screen))
        else:
            assert self._process.stderr is not None
            sources.append(("stderr", self._process.stderr.fileno()))
        self._readers = [threading.Thread(target=self._read, args=source, daemon=True) for source in sources]
        for reader in self._readers:
            reader.start()
        if feed is not None:
            assert self._process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(feed)
                self._process.stdin.close()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def so_far(self, name: str = "stderr") -> str:
        """What it has written."""
        return b"".join(self._parts[name]).decode("utf-8", "replace")

    def wait_for(self, text: str, *, name: str = "stderr", patience: float = 20.0) -> None:
        """Wait until it has written that text.

        Raises:
            AssertionError: It has not within `patience` seconds, or has ended without it.
        """

        def there() -> bool:
            over = not self.alive and not any(reader.is_alive() for reader in self._readers)
            found = text in self.so_far(name)
            assert found or not over, f"ended without {text!r}: {self.so_far('stdout')}{self.so_far('stderr')}"
            return found

        wait_until(there, f"{text!r} from the command; it wrote {self.so_far(name)!r}", patience=patience)

    def type(self, text: str) -> None:
        """Type at its terminal."""
        os.write(self._screen, text.encode())

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def kill(self) -> Ended:
        """Kill it at once, as `kill -9` does."""
        self._process.kill()
        return self.wait()

    def wait(self, patience: float = PATIENCE) -> Ended:
        """Wait until it has ended; it is killed after `patience` seconds.

        Raises:
            AssertionError: It had to be killed.
        """
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self.end()
            raise AssertionError(f"{self._arguments} did not end within {patience:g} s: {self.so_far()}") from None
        seconds = time.monotonic() - self._begun
        self._collect()
        return Ended(self._arguments, self._process.returncode, self.so_far("stdout"), self.so_far("stderr"), seconds)

    def end(self) -> None:
        """See that nothing of it is left behind."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._collect()

    def _collect(self) -> None:
        for reader in self._readers:
            reader.join(5)
        if self._screen >= 0:
            os.close(self._screen)
            self._screen = -1
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def _read(self, name: str, source: int) -> None:
        while True:
            try:
                data = os.read(source, 65536)
            except OSError:  # the other end of a terminal is gone
                return
            if not data:
                return
            self._parts[name].append(data)


class Command:
    """The command in a folder of its own.

    Args:
        folder: Where it runs; its HOME is a folder in there.
        server: Where its calls go, with credentials that fit; `None` for none.
    """

    def __init__(self, folder: Path, server: OtherServer | None = None) -> None:
        self.folder = folder
        self.environ = clean_environment(folder / "home")
        if server is not None:
            self.environ |= credentials(server)
        self._running: list[Running] = []

    def start(
        self,
        *arguments: str | Path,
        feed: bytes | None = None,
        terminal: bool = False,
        columns: int = 80,
        env: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
    ) -> Running:
        """Start it.

        Args:
            arguments: After the command's name.
            feed: Its standard input, which is empty otherwise.
            terminal: Standard input and error are a terminal.
            columns: How wide that is.
            env: Variables on top of its environment; an empty text removes one.
            prefix: A command that starts it, such as `prlimit --nofile=64`.
        """
        environ = {name: value for name, value in {**self.environ, **(env or {})}.items() if value}
        words = [str(argument) for argument in arguments]
        running = Running(words, cwd=self.folder, env=environ, feed=feed, terminal=terminal, columns=columns, prefix=prefix)
        self._running.append(running)
        return running

    def run(self, *arguments: str | Path, patience: float = PATIENCE, **options: Any) -> Ended:
        """Run it to its end; options as for `start`."""
        return self.start(*arguments, **options).wait(patience)

    def file(self, name: str, content: str | bytes | Iterable[str]) -> Path:
        """A file in its folder; lines get their newlines."""
        path = self.folder / name
        if not isinstance(content, str | bytes):
            content = "".join(f"{line}\n" for line in content)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def end(self) -> None:
        """See that nothing is left behind."""
        for running in self._running:
            running.end()


def clean_environment(home: Path) -> dict[str, str]:
    """An environment with nothing of the user's in it."""
    home.mkdir(exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if name == "TMPDIR"}
    environ = {"PATH": os.defpath, "HOME": str(home), "LANG": "C.UTF-8", "TERM": "xterm-256color", **kept}
    if not _SCRIPT.exists():
        environ["PYTHONPATH"] = str(_PACKAGE)
    return environ


def credentials(server: OtherServer) -> dict[str, str]:
    """Variables with which the command gets in."""
    return {
        "BULKOPS_ENDPOINT": server.endpoint,
        "BULKOPS_SDKAPPID": str(SDKAPPID),
        "BULKOPS_IDENTIFIER": IDENTIFIER,
        "BULKOPS_SECRET_KEY": KEY,
    }
