"""The load target: answers like the vendor, never the bottleneck, and counts what really came.

A bare protocol on uvloop in a process of its own: it reads a request line and a length, nothing else, and checks nothing.
One count per (API, app): the request's target up to the first `&`. Control, for the harness, on the same port: `GET /stats`,
`GET /arrivals`, `POST /reset` with the next conditions as JSON.

    python -m benchmarks.server --enforce 200 --latency 1 --fail 0.1

Ends when its standard input is closed, so it never outlives whoever started it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import sys
import time
from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from math import floor
from typing import Any, Final, cast


def _response(body: bytes, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nServer: bench\r\n\r\n"
    return head.encode() + body


def _answer(code: int, info: str) -> bytes:
    status = "FAIL" if code else "OK"
    return _response(json.dumps({"ActionStatus": status, "ErrorInfo": info, "ErrorCode": code, "ErrorDisplay": ""}).encode())


OK: Final = _answer(0, "")
FAILED: Final = _answer(50004, "internal server error, please try again")
THROTTLED: Final = _answer(60007, "REST API calling frequency exceeds the limit")
GATEWAY: Final = _response(b"<html>502 Bad Gateway</html>", "502 Bad Gateway")
SECOND: Final = 1.0
BEAT: Final = 0.005
"""Seconds between two looks at how late this process itself is."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """How the server behaves.

    Args:
        latency: Seconds until an answer.
        enforce: Calls per second of one API and app that are let through, by an exact sliding window over those that were;
            0 for no limit. Decided at arrival.
        fail: Share of calls answered 50004, 0 … 1; they have no effect.
        drop: Share of calls carried out, after which the connection is cut instead of answered.
        gateway: Share of calls answered 502 without effect.
        targets: Whether to remember which operations were carried out.
    """

    latency: float = 0.0
    enforce: int = 0
    fail: float = 0.0
    drop: float = 0.0
    gateway: float = 0.0
    targets: bool = True


class Lane:
    """What came for one API of one app."""

    __slots__ = ("accepted", "arrivals", "executed", "newest_new", "rejected", "repeated", "seen")

    def __init__(self, enforce: int) -> None:
        self.arrivals = array("d")
        self.accepted: deque[float] = deque(maxlen=enforce or 1)
        self.seen: set[int] = set()  # hashes of bodies: operations that were ever asked for
        self.executed: set[int] = set()
        self.repeated = 0
        self.rejected = 0
        self.newest_new = 0  # index of the newest arrival that asked for an operation not asked for before

    def figures(self, late: float = 0.0) -> dict[str, Any]:
        """The lane's counts, times and rates as JSON values.

        Args:
            late: Seconds by which the server was late at worst.
        """
        times = self.arrivals
        calls = len(times)
        return {
            "calls": calls,
            "worst": worst_window(times),
            "first": times[0] if calls else 0.0,
            "tenth": times[calls // 10] if calls else 0.0,
            "last": times[-1] if calls else 0.0,
            "rate": rate_between(times, 0, calls - 1),
            "steady": steady_rate(times, self.newest_new or calls - 1),
            "rejected": self.rejected,
            "executed": len(self.executed),
            "repeated": self.repeated,
            "late": late,
        }


def worst_window(times: array[float], window: float = SECOND) -> int:
    """The most of these times, ascending, that any half-open window of that many seconds holds, wherever it starts."""
    worst = left = 0
    for right, at in enumerate(times):
        while at - times[left] >= window:
            left += 1
        worst = max(worst, right - left + 1)
    return worst


def rate_between(times: array[float], first: int, last: int) -> float:
    """Calls per second from one arrival to another; 0 where there is nothing between them."""
    if last <= first or times[last] <= times[first]:
        return 0.0
    return (last - first) / (times[last] - times[first])


def steady_rate(times: array[float], newest_new: int) -> float:
    """Calls per second while work was waiting: from the second call, for the first may go alone, to the last that asked for
    something new, in whole seconds. So whoever never exceeds a limit of n in any second never gets above n here either, and a
    burst at the start doesn't flatter a short run.
    """
    if newest_new < 2:
        return 0.0
    seconds = floor(times[newest_new] - times[1])
    if seconds < 1:
        return rate_between(times, 1, newest_new)
    return (bisect_left(times, times[1] + seconds) - 1) / seconds


class Target:
    """The server's state: its conditions and counts."""

    def __init__(self, conditions: Conditions) -> None:
        self.use(conditions)

    def use(self, conditions: Conditions) -> None:
        """Go on under other conditions, and count from zero."""
        self.conditions = conditions
        self.lanes: dict[bytes, Lane] = {}
        self.late = 0.0  # seconds by which arrivals were stamped late at worst, for want of the processor
        self._random = random.Random(1).random
        self._plain = not (conditions.fail or conditions.drop or conditions.gateway)

    def call(self, key: bytes, body: bytes) -> bytes | None:
        """The answer to a call; `None` to cut the connection."""
        lane = self.lanes.get(key)
        if lane is None:
            lane = self.lanes[key] = Lane(self.conditions.enforce)
        now = time.monotonic()
        lane.arrivals.append(now)
        conditions = self.conditions
        operation = hash(body) if conditions.targets else 0
        if conditions.targets and operation not in lane.seen:
            lane.seen.add(operation)
            lane.newest_new = len(lane.arrivals) - 1
        if conditions.enforce:
            accepted = lane.accepted
            if len(accepted) == conditions.enforce and now - accepted[0] < SECOND:
                lane.rejected += 1
                return THROTTLED
            accepted.append(now)
        if not self._plain:
            drawn = self._random()
            if drawn < conditions.fail:
                return FAILED
            if drawn < conditions.fail + conditions.gateway:
                return GATEWAY
            if drawn < conditions.fail + conditions.gateway + conditions.drop:
                self._execute(lane, operation)
                return None
        self._execute(lane, operation)
        return OK

    def _execute(self, lane: Lane, operation: int) -> None:
        if not self.conditions.targets:
            return
        if operation in lane.executed:
            lane.repeated += 1
        else:
            lane.executed.add(operation)

    def control(self, path: bytes, body: bytes) -> bytes:
        """The answer to the harness."""
        if path == b"/reset":
            self.use(Conditions(**json.loads(body or b"{}")))
            return _response(b"{}")
        if path == b"/stats":
            stats = {key.decode(): lane.figures(self.late) for key, lane in self.lanes.items()}
            return _response(json.dumps(stats).encode())
        if path == b"/arrivals":
            return _response(json.dumps({key.decode(): list(lane.arrivals) for key, lane in self.lanes.items()}).encode())
        return _response(b"{}", "404 Not Found")


class Connection(asyncio.Protocol):
    """One client's connection: requests in, answers out, in their order."""

    __slots__ = ("_buffer", "_later", "_target", "_transport")

    def __init__(self, target: Target, later: Callable[..., asyncio.TimerHandle]) -> None:
        self._target = target
        self._later = later
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        while data:
            head_end = data.find(b"\r\n\r\n")
            end = head_end + 4 + (length_of(data, head_end) if head_end > 0 else 0)
            if head_end < 0 or len(data) < end:
                self._buffer = data
                return
            self._request(data, head_end, end)
            data = data[end:] if len(data) > end else b""

    def _request(self, data: bytes, head_end: int, end: int) -> None:
        begin = data.index(b" ") + 1
        path_end = data.index(b" ", begin)
        if data.startswith(b"/v4/", begin):
            ampersand = data.find(b"&", begin, path_end)
            key = data[begin : ampersand if ampersand > 0 else path_end]
            answer = self._target.call(key, data[head_end + 4 : end])
        else:
            answer = self._target.control(data[begin:path_end], data[head_end + 4 : end])
            self._send(answer)
            return
        if self._target.conditions.latency:
            self._later(self._target.conditions.latency, self._send, answer)
        else:
            self._send(answer)

    def _send(self, answer: bytes | None) -> None:
        if answer is None:
            self._transport.abort()
        elif not self._transport.is_closing():
            self._transport.write(answer)


def length_of(data: bytes, head_end: int) -> int:
    """The Content-Length of a request whose head ends there; 0 without one."""
    at = data.find(b"Content-Length: ", 0, head_end)
    if at < 0:
        at = data[:head_end].lower().find(b"content-length: ")
        if at < 0:
            return 0
    return int(data[at + 16 : data.index(b"\r", at)])


def listening(port: int = 0) -> Any:
    """A listening socket on loopback with room for thousands who come at once."""
    import socket

    listener = socket.create_server(("127.0.0.1", port), backlog=4096)
    listener.setblocking(False)
    return listener


async def serve(conditions: Conditions, port: int) -> None:
    """Serve until standard input is closed. Says its port in one line on standard output."""
    loop = asyncio.get_running_loop()
    target = Target(conditions)
    listener = listening(port)
    server = await loop.create_server(lambda: Connection(target, loop.call_later), sock=listener, backlog=4096)
    closed = asyncio.Event()

    def at_input() -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            closed.set()

    def beat(due: float) -> None:
        now = time.monotonic()
        target.late = max(target.late, now - due)
        loop.call_later(BEAT, beat, now + BEAT)

    beat(time.monotonic())
    loop.add_reader(sys.stdin.fileno(), at_input)
    print(json.dumps({"port": listener.getsockname()[1], "loop": type(loop).__module__}), flush=True)
    await closed.wait()
    loop.remove_reader(sys.stdin.fileno())
    server.close()


def raise_file_limit() -> None:
    """Allow as many open files as the system lets us: every client's connection is one."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.server", description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--port", type=int, default=0)
    defaults = asdict(Conditions())
    for field in fields(Conditions):
        if field.name != "targets":
            parser.add_argument(f"--{field.name}", type=type(defaults[field.name]), default=defaults[field.name])
    given = vars(parser.parse_args())
    port = given.pop("port")
    raise_file_limit()
    with contextlib.suppress(OSError):
        os.nice(-10)  # arrival times are worth nothing if the server waits for its turn; needs rights
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(Conditions(**given), port))


if __name__ == "__main__":
    main()
