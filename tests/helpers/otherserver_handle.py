"""The other server as tests use it: started, given orders, asked what it saw, ended."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

ROOT: Final = Path(__file__).parents[2]
SDKAPPID: Final = 1400000042
IDENTIFIER: Final = "administrator"
KEY: Final = "0f3d6c2b9a5e48d17c64b0e9f2a8d35b61c7e4098f5a2d3b7e9c1046a8b5d2f3"
_PATIENCE: Final = 10.0


@dataclass(frozen=True)
class Arrival:
    """One call as the server saw it; `at` in seconds, `label` the ErrorCode or what became of it instead."""

    at: float
    op: str
    target: str
    identifier: str
    random: int
    label: str


class Record:
    """What the server saw, at one moment."""

    def __init__(self, raw: dict[str, Any]) -> None:
        self.calls = sorted((Arrival(*call) for call in raw["calls"]), key=lambda call: call.at)
        self.effects: dict[str, int] = raw["effects"]
        self.violations: list[str] = raw["violations"]
        self.connections: int = raw["connections"]

    @cached_property
    def by_op(self) -> dict[str, list[Arrival]]:
        """Calls by API, in the order of their arrival."""
        found: dict[str, list[Arrival]] = {}
        for call in self.calls:
            found.setdefault(call.op, []).append(call)
        return found

    @cached_property
    def labels(self) -> Counter[str]:
        """How often each outcome came."""
        return Counter(call.label for call in self.calls)

    @cached_property
    def of_target(self) -> dict[str, list[Arrival]]:
        """Calls by target."""
        found: dict[str, list[Arrival]] = {}
        for call in self.calls:
            found.setdefault(call.target, []).append(call)
        return found

    def worst_second(self, op: str, *, lateness: float = 0.0) -> int:
        """The most calls of one API in any second, wherever it starts.

        Args:
            op: The API.
            lateness: Seconds by which an arrival may be stamped late: the second is taken to be shorter by that.
        """
        return worst_window([call.at for call in self.by_op.get(op, [])], 1.0 - lateness)

    def rate(self, op: str) -> float:
        """Calls per second of one API once its stream had started: the first call goes alone."""
        times = [call.at for call in self.by_op.get(op, [])][1:]
        return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 and times[-1] > times[0] else 0.0

    @property
    def repeated_randoms(self) -> int:
        """Calls whose `random` was used before."""
        return len(self.calls) - len({call.random for call in self.calls})


def worst_window(times: Iterable[float], window: float) -> int:
    """The most of these times, ascending, within any half-open window of so many seconds."""
    found = list(times)
    worst = left = 0
    for right, at in enumerate(found):
        while at - found[left] >= window:
            left += 1
        worst = max(worst, right - left + 1)
    return worst


class OtherServer:
    """The server's process, for the length of a `with` block.

    Args:
        pem: File with key and certificate, for https.
    """

    def __init__(self, *, pem: Path | None = None) -> None:
        self._settings = {"sdkappid": SDKAPPID, "key": KEY, "admins": [IDENTIFIER], "pem": str(pem) if pem else None}
        self._scheme = "https" if pem else "http"

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.helpers.otherserver", json.dumps(self._settings)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        ports = json.loads(self._process.stdout.readline())
        self.port: int = ports["port"]
        self._control = http.client.HTTPConnection("127.0.0.1", ports["control"], timeout=_PATIENCE)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._control.close()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    @property
    def endpoint(self) -> str:
        """Its address, as `BULKOPS_ENDPOINT` takes it."""
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def fresh(self) -> None:
        """Be as if just started, on another port: to whoever calls, another host."""
        self.port = int(self._ask("/fresh", {}))

    def set(self, **conditions: object) -> None:
        """Go on under other conditions: orders, shape, latency, enforce, tolerance, absent, key, admins, listen."""
        self._ask("/set", conditions)

    def order(self, *orders: dict[str, object]) -> None:
        """Replace the orders in force; see `otherserver_script.Order`."""
        self.set(orders=orders)

    def forget(self) -> None:
        """Count from zero."""
        self._ask("/forget", {})

    @property
    def count(self) -> int:
        """Calls that have arrived."""
        return int(self._ask("/count", {}))

    @property
    def record(self) -> Record:
        """What it saw so far."""
        return Record(self._ask("/record", {}))

    def wait_for_calls(self, number: int, *, patience: float = 20.0) -> None:
        """Wait until so many calls have arrived."""
        wait_until(lambda: self.count >= number, f"{number} calls at the server", patience=patience)

    def _ask(self, path: str, values: object) -> Any:
        self._control.request("POST", path, json.dumps(values))
        answer = self._control.getresponse()
        content = json.loads(answer.read())
        if answer.status != 200:
            raise ValueError(content)
        return content


def wait_until(condition: Callable[[], bool], what: str, *, patience: float = 10.0, every: float = 0.01) -> None:
    """Wait until something holds.

    Raises:
        AssertionError: It does not within `patience` seconds.
    """
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {patience:g} s"
        time.sleep(every)
