"""The load server as the harness sees it: start, set the conditions, read what came, stop."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class LaneFigures:
    """What came to the server for one API of one app. Times are of the machine's monotonic clock, in seconds.

    Args:
        calls: All that arrived.
        worst: Most in any one second.
        tenth: When the first tenth of them had come.
        rate: Calls per second between the first and the last.
        steady: The same while work was waiting, see `server.steady_rate`.
        rejected: Calls above the enforced limit.
        executed: Distinct operations carried out.
        repeated: Operations carried out again.
        late: Seconds by which the server was late at worst: times may be that much after the arrival itself.
    """

    calls: int
    worst: int
    first: float
    tenth: float
    last: float
    rate: float
    steady: float
    rejected: int
    executed: int
    repeated: int
    late: float


@dataclass(frozen=True, slots=True)
class Seen:
    """What came to the server, by API and app."""

    lanes: dict[str, LaneFigures]

    @property
    def calls(self) -> int:
        return sum(lane.calls for lane in self.lanes.values())

    @property
    def worst(self) -> int:
        """Most calls in any one second on any one lane."""
        return max((lane.worst for lane in self.lanes.values()), default=0)

    @property
    def rejected(self) -> int:
        return sum(lane.rejected for lane in self.lanes.values())

    @property
    def executed(self) -> int:
        return sum(lane.executed for lane in self.lanes.values())

    @property
    def repeated(self) -> int:
        return sum(lane.repeated for lane in self.lanes.values())

    @property
    def late(self) -> float:
        """Seconds by which the server was late at worst."""
        return max((lane.late for lane in self.lanes.values()), default=0.0)

    @property
    def slowest(self) -> float:
        """Steady calls per second of the slowest lane."""
        return min((lane.steady for lane in self.lanes.values()), default=0.0)

    @property
    def first(self) -> float:
        return min((lane.first for lane in self.lanes.values()), default=0.0)

    @property
    def last(self) -> float:
        return max((lane.last for lane in self.lanes.values()), default=0.0)

    @property
    def together(self) -> float:
        """Calls per second of all lanes together, between the first call and the last."""
        return (self.calls - 1) / (self.last - self.first) if self.last > self.first else 0.0

    @property
    def under_way(self) -> float:
        """The same without the first tenth of every lane: without what connecting and the first calls took."""
        tenth = sum(lane.tenth for lane in self.lanes.values()) / max(1, len(self.lanes))
        return 0.9 * self.calls / (self.last - tenth) if self.last > tenth else 0.0


class LoadServer:
    """A load server in a process of its own, for as long as the `with` lasts."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.server"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the load server did not start")
        self._port = int(json.loads(line)["port"])
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    @property
    def url(self) -> str:
        """Base URL, without a slash at its end."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def reset(self, **conditions: float | bool) -> None:
        """Count from zero under these conditions; those not named are off. See `server.Conditions`."""
        self._ask("POST", "/reset", json.dumps(conditions))

    def seen(self) -> Seen:
        """What came since the last reset."""
        return Seen({key: LaneFigures(**figures) for key, figures in self._ask("GET", "/stats").items()})

    def arrivals(self) -> dict[str, list[float]]:
        """When every call came, by lane."""
        return self._ask("GET", "/arrivals")

    def _ask(self, method: str, path: str, body: str | None = None) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=120)
        try:
            connection.request(method, path, body)
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        assert isinstance(answer, dict)
        return answer
