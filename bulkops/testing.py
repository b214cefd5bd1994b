"""Tools for tests, ours and our users': an event loop whose time jumps, the clock that goes with it, a scripted client, crash
points.

Nothing here sleeps. `run_virtual(main())` runs hours of an engine in seconds and raises `Deadlock` where a real loop would
hang for ever.
"""

from __future__ import annotations

import asyncio
import functools
import os
import selectors
import signal
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Final, TypeVar

from bulkops.engine.ports import Gate, NotDeparting
from bulkops.model import Api, Outcome, Reply

T = TypeVar("T")

EPOCH: Final = 1_700_000_000_000_000
"""UTC in microseconds at virtual time 0."""


class Deadlock(Exception):
    """Nothing is ready and no timer is set: a real loop would wait for ever."""


class _JumpingSelector(selectors.SelectSelector):
    """A selector that moves its clock instead of sleeping. Sockets are never looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Deadlock("nothing is ready and no timer is set")
        if timeout > 0:
            self.now += max(timeout, 1e-9)  # at least a nanosecond, or float residue keeps a timer due in no time
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop that jumps to its next timer.

    `block(seconds)` is what a callback that hogs the loop does to it.
    """

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    def block(self, seconds: float) -> None:
        """Let time pass without running anything, as if a callback had taken that long."""
        self._jumping.now += seconds


class VirtualClock:
    """The engine's `Clock` on a virtual loop. `jump` moves the wall clock alone."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        self._loop = loop
        self._offset = EPOCH

    def monotonic(self) -> float:
        return self._loop.time()

    def utc(self) -> int:
        return self._offset + int(self._loop.time() * 1e6)

    def jump(self, seconds: float) -> None:
        """Set the wall clock by so much, as an administrator or a suspend does."""
        self._offset += int(seconds * 1e6)


def run_virtual(main: Callable[[VirtualTimeLoop], Coroutine[Any, Any, T]]) -> T:
    """Run `main(loop)` on a loop of its own in virtual time, and close it."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualTimeLoop)
        return runner.run(main(loop))


def ok() -> Reply:
    """A success."""
    return Reply(Outcome.ANSWERED, http=200, code=0, label="0")


def answered(code: int, info: str = "", *, retry_after: float | None = None) -> Reply:
    """An answer with an ErrorCode."""
    return Reply(Outcome.ANSWERED, http=200, code=code, label=str(code), info=info, retry_after=retry_after)


def unanswered(label: str = "timeout", http: int | None = None) -> Reply:
    """A call that left and was not answered."""
    return Reply(Outcome.UNANSWERED, http=http, label=label)


def not_sent(label: str = "refused", *, fatal: str = "") -> Reply:
    """A call of which no byte left."""
    return Reply(Outcome.NOT_SENT, label=label, info=label, fatal=fatal)


Script = Callable[[Api, str, float], "Reply | Awaitable[Reply]"]
"""(API, content, virtual time of departure) → what the server does. May wait."""


class ScriptedClient:
    """A `Client` that asks a script what the server does. Counts what left, and when.

    Args:
        script: Decides every reply.
        clock: Seconds, monotonic; stamps departures.
        latency: Seconds until an answer.
        connect: Seconds that a connection takes before the gate is asked.
    """

    def __init__(self, script: Script, *, clock: Callable[[], float], latency: float = 0.05, connect: float = 0.0) -> None:
        self._script = script
        self._clock = clock
        self.latency = latency
        self.connect = connect
        self.departures: dict[str, list[float]] = {}
        self.sent: dict[tuple[str, str], int] = {}
        self.renewals = 0

    async def send(self, api: Api, content: str, gate: Gate) -> Reply:
        if self.connect:
            await asyncio.sleep(self.connect)
        try:
            await gate(lambda: True)
        except NotDeparting as refusal:
            return not_sent(refusal.label)
        gate.left()
        at = self._clock()
        decided = self._script(api, content, at)
        reply = decided if isinstance(decided, Reply) else None
        if reply is None or reply.outcome is not Outcome.NOT_SENT:
            self.departures.setdefault(api.op, []).append(at)
            self.sent[api.op, content] = self.sent.get((api.op, content), 0) + 1
        if self.latency:
            await asyncio.sleep(self.latency)
        if reply is None:
            assert not isinstance(decided, Reply)
            reply = await decided
        return reply

    def renew(self) -> None:
        self.renewals += 1


def worst_window(departures: list[float], window: float = 1.0) -> int:
    """The most departures that any window of that many seconds holds, wherever it starts."""
    worst = first = 0
    for last, at in enumerate(departures):
        while departures[first] <= at - window:
            first += 1
        worst = max(worst, last - first + 1)
    return worst


def codes(table: Mapping[str, int]) -> Script:
    """A script that answers with the ErrorCode that the table has for a content, 0 for all others."""
    return lambda _api, content, _at: answered(table.get(content, 0))


def die(_name: str) -> None:
    """End this process at once, as `kill -9` does: nothing is flushed, closed or rolled back."""
    os.kill(os.getpid(), signal.SIGKILL)


class CrashPoints:
    """Named steps that a process passes, one of which is fatal: a crash at a place of one's choice. Thread-safe.

    Args:
        fatal: The step, counted from 1 over all threads, at which `act` is called; 0 for none, to find out which there are.
        act: What happens there, told the step's name. What it raises is what the step's call raises.
        onwards: Every step from there on, not that one alone.
    """

    def __init__(self, fatal: int = 0, act: Callable[[str], object] = die, *, onwards: bool = False) -> None:
        self.passed: list[str] = []
        self._fatal = fatal
        self._act = act
        self._onwards = onwards
        self._lock = threading.Lock()

    def step(self, name: str) -> None:
        """Pass one step."""
        with self._lock:
            self.passed.append(name)
            number = len(self.passed)
        if self._fatal and (number == self._fatal or (self._onwards and number > self._fatal)):
            self._act(name)

    def watch(self, owner: Any, attribute: str, name: str = "") -> Callable[[], None]:
        """Make every call of `owner.attribute` a step that comes before it.

        Returns:
            What puts the attribute back.
        """
        original = getattr(owner, attribute)
        kept = vars(owner).get(attribute)

        @functools.wraps(original)
        def stepping(*args: Any, **kwargs: Any) -> Any:
            self.step(name or attribute)
            return original(*args, **kwargs)

        def put_back() -> None:
            if kept is None:
                delattr(owner, attribute)
            else:
                setattr(owner, attribute, kept)

        setattr(owner, attribute, stepping)
        return put_back
