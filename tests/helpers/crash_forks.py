"""The command many times over, cheaply: processes forked from one that has imported everything; each can be killed on the way.

`Forks` is the tests' side. `python -m tests.helpers.crash_forks` is the other one: it takes orders, one JSON object a line, and
says in one line how each process ended. A forked process has threads, locks and files of its own, as any other.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.helpers.command import PATIENCE, Ended
from tests.helpers.otherserver_handle import ROOT, wait_until


@dataclass(frozen=True)
class Fork:
    """One process of the command.

    Args:
        pid: Its own, and that of its process group.
        folder: Where it runs.
        number: Of its order; its output is in files named after it.
    """

    pid: int
    folder: Path
    number: int
    arguments: tuple[str, ...]
    begun: float

    @property
    def points(self) -> list[str]:
        """The steps that it passed, where it was watched and lived to its end."""
        found: list[str] = json.loads((self.folder / f".points-{self.number}").read_text())
        return found

    @property
    def said(self) -> str:
        """What it has written to standard error so far."""
        return (self.folder / f".err-{self.number}").read_text(errors="replace")

    def kill(self) -> None:
        """Kill it, as `kill -9` does."""
        os.kill(self.pid, signal.SIGKILL)

    def release(self) -> None:
        """Let it go on that was held."""
        os.kill(self.pid, signal.SIGCONT)


class Forks:
    """Starts the command by forking, for the length of a `with` block.

    Args:
        environ: What the command sees as its environment.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = dict(environ)
        self._numbers = 0
        self._pids: dict[int, int] = {}
        self._ended: dict[int, tuple[int, float]] = {}
        self._news = threading.Condition()

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.helpers.crash_forks"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()  # it ends what it has started, then itself
        self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        self._process.stdout.close()

    def start(
        self,
        folder: Path,
        *arguments: str,
        hold: bool = False,
        points: Mapping[str, object] | None = None,
        record: Path | None = None,
    ) -> Fork:
        """Start the command in a folder.

        Args:
            arguments: After its name.
            hold: Stopped before it does anything, until `Fork.release`.
            points: Arguments of `crash_points.armed`; `None` not to watch it.
            record: Where to record what it does to its ledger (`crash_power`).
        """
        self._numbers += 1
        number = self._numbers
        order = {"number": number, "folder": str(folder), "arguments": arguments, "environ": self._environ}
        assert self._process.stdin is not None
        self._process.stdin.write(
            json.dumps({**order, "hold": hold, "points": points, "record": record and str(record)}) + "\n"
        )
        self._process.stdin.flush()
        with self._news:
            assert self._news.wait_for(lambda: number in self._pids, PATIENCE), "no process was forked"
        if hold:
            wait_until(lambda: _is_stopped(self._pids[number]), "the process to stop itself", every=0.001)
        return Fork(self._pids[number], folder, number, arguments, time.monotonic())

    def wait(self, fork: Fork, patience: float = PATIENCE) -> Ended:
        """How it ended; it is killed after `patience` seconds.

        Raises:
            AssertionError: It had to be killed.
        """
        with self._news:
            in_time = self._news.wait_for(lambda: fork.number in self._ended, patience)
            if not in_time:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(fork.pid, signal.SIGKILL)
                assert self._news.wait_for(lambda: fork.number in self._ended, PATIENCE)
        code, at = self._ended[fork.number]
        ended = Ended(fork.arguments, code, self._text(fork, "out"), self._text(fork, "err"), at - fork.begun)
        assert in_time, f"did not end within {patience:g} s: {ended}"
        return ended

    def run(self, folder: Path, *arguments: str, patience: float = PATIENCE) -> Ended:
        """Run the command to its end."""
        return self.wait(self.start(folder, *arguments), patience)

    @staticmethod
    def _text(fork: Fork, name: str) -> str:
        return (fork.folder / f".{name}-{fork.number}").read_text(errors="replace")

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            news = json.loads(line)
            with self._news:
                if "pid" in news:
                    self._pids[news["number"]] = news["pid"]
                else:
                    self._ended[news["number"]] = (news["code"], time.monotonic())
                self._news.notify_all()


def _is_stopped(pid: int) -> bool:
    return "\nState:\tT" in Path(f"/proc/{pid}/status").read_text()


_TICK: Final = 0.005


def main() -> None:
    """Fork as ordered, until standard input is closed."""
    _import_everything()
    numbers: dict[int, int] = {}
    buffer = b""
    while True:
        ready, _, _ = select.select([0], [], [], _TICK if numbers else None)
        if ready:
            data = os.read(0, 65536)
            if not data:
                break
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                order = json.loads(line)
                pid = os.fork()
                if pid == 0:
                    _child(order)
                numbers[pid] = order["number"]
                _say({"number": order["number"], "pid": pid})
        _reap(numbers)
    for pid in numbers:
        os.kill(pid, signal.SIGKILL)


def _import_everything() -> None:
    """Do here, once, what every process would do anew; opens no ledger."""
    import bulkops.cli.running  # noqa: F401 - imported for the processes to come
    from bulkops.cli.entry import run_command_line

    with contextlib.redirect_stderr(io.StringIO()):
        run_command_line(["status", "/there/is/none"])
    gc.freeze()


def _reap(numbers: dict[int, int]) -> None:
    while numbers:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        _say({"number": numbers.pop(pid), "code": os.waitstatus_to_exitcode(status)})


def _say(news: Mapping[str, object]) -> None:
    os.write(1, json.dumps(news).encode() + b"\n")


def _child(order: dict[str, Any]) -> None:
    """Be the command. Never returns."""
    code: object = 70
    try:
        os.setsid()
        os.chdir(order["folder"])
        for handle, name, flags in ((0, os.devnull, os.O_RDONLY), (1, "out", -1), (2, "err", -1)):
            path = name if flags >= 0 else f".{name}-{order['number']}"
            source = os.open(path, flags if flags >= 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(source, handle)
            os.close(source)
        os.environ.clear()
        os.environ.update(order["environ"])
        if order["hold"]:
            os.kill(os.getpid(), signal.SIGSTOP)
        code = _command(order)
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 70)


def _command(order: dict[str, Any]) -> object:
    from bulkops.cli import main as command

    points = None
    if order["points"] is not None:
        from tests.helpers.crash_points import armed

        points = armed(**order["points"])
    if order["record"]:
        from tests.helpers.crash_power import Recorder

        Recorder(Path(order["record"]))
    sys.argv = ["bulkops", *order["arguments"]]
    try:
        command()
    except SystemExit as exit_:
        return exit_.code or 0
    finally:
        if points is not None:
            Path(f".points-{order['number']}").write_text(json.dumps(points.passed))
    return 0


if __name__ == "__main__":
    main()
