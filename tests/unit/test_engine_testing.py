"""The tools for tests: time that jumps, a clock that goes with it, a scripted client, a look at windows."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time

import pytest

from bulkops.chat.catalog import APIS
from bulkops.engine.ports import NotDeparting
from bulkops.model import Outcome, Reply
from bulkops.testing import (
    EPOCH,
    CrashPoints,
    Deadlock,
    ScriptedClient,
    VirtualClock,
    VirtualTimeLoop,
    answered,
    codes,
    not_sent,
    ok,
    run_virtual,
    unanswered,
    worst_window,
)
from tests.helpers.chat import FailingGate, OpenGate, open_gate


def test_hours_pass_in_no_time() -> None:
    async def main(loop: VirtualTimeLoop) -> float:
        await asyncio.sleep(36_000.0)
        return loop.time()

    began = time.monotonic()
    assert run_virtual(main) == pytest.approx(36_000.0)
    assert time.monotonic() - began < 5.0


def test_timers_fire_in_their_order() -> None:
    async def main(_: VirtualTimeLoop) -> list[int]:
        woken: list[int] = []

        async def one(wait: int) -> None:
            await asyncio.sleep(wait)
            woken.append(wait)

        await asyncio.gather(*(one(wait) for wait in (3, 1, 2)))
        return woken

    assert run_virtual(main) == [1, 2, 3]


def test_waiting_for_nothing_is_an_error_and_no_hang() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        await loop.create_future()

    with pytest.raises(Deadlock, match="nothing is ready"):
        run_virtual(main)


def test_a_blocked_loop_lets_time_pass_without_running_anything() -> None:
    async def main(loop: VirtualTimeLoop) -> float:
        loop.call_later(1.0, loop.block, 5.0)
        await asyncio.sleep(2.0)
        return loop.time()

    assert run_virtual(main) == pytest.approx(6.0)


def test_the_wall_clock_jumps_alone() -> None:
    async def main(loop: VirtualTimeLoop) -> tuple[int, int, float]:
        clock = VirtualClock(loop)
        await asyncio.sleep(1.0)
        before = clock.utc()
        clock.jump(-86_400.0)
        return before, clock.utc(), clock.monotonic()

    before, after, monotonic = run_virtual(main)
    assert (before, after) == (EPOCH + 1_000_000, EPOCH + 1_000_000 - 86_400_000_000)
    assert monotonic == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("departures", "worst"),
    [([], 0), ([0.0], 1), ([0.0, 1.0], 1), ([0.0, 0.999], 2), ([0.0, 0.5, 0.9, 1.4, 1.45, 3.0], 4)],
)
def test_the_worst_window_may_start_anywhere_and_does_not_hold_its_end(departures: list[float], worst: int) -> None:
    assert worst_window(departures) == worst


def test_a_scripted_client_connects_asks_the_gate_and_only_then_counts() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        client = ScriptedClient(codes({"a": 50004}), clock=loop.time, latency=0.25, connect=0.5)
        asked: list[float] = []

        class Gate(OpenGate):
            async def __call__(self, alive: object) -> None:
                del alive
                asked.append(loop.time())

            def left(self) -> None:
                told.append(loop.time())

        told: list[float] = []
        gate = Gate()
        assert (await client.send(APIS[0], "a", gate)).code == 50004
        assert (await client.send(APIS[0], "b", gate)).code == 0
        assert await client.send(APIS[0], "c", FailingGate(NotDeparting("withdrawn"))) == not_sent("withdrawn")
        assert asked == told == [0.5, 1.25]
        assert client.departures == {"delete_conversation": asked}
        assert client.sent == {("delete_conversation", "a"): 1, ("delete_conversation", "b"): 1}
        client.renew()
        assert client.renewals == 1

    run_virtual(main)


def test_a_script_may_wait_and_may_say_that_nothing_left() -> None:
    async def slow() -> Reply:
        await asyncio.sleep(3.0)
        return unanswered("timeout")

    async def main(loop: VirtualTimeLoop) -> None:
        client = ScriptedClient(
            lambda _api, content, _at: slow() if content == "slow" else not_sent(), clock=loop.time, latency=0.0
        )

        assert (await client.send(APIS[0], "slow", open_gate)).label == "timeout"
        assert loop.time() == pytest.approx(3.0)
        assert (await client.send(APIS[0], "never", open_gate)).outcome is Outcome.NOT_SENT
        assert client.sent == {("delete_conversation", "slow"): 1}

    run_virtual(main)


def test_replies_say_what_they_are() -> None:
    assert ok() == Reply(Outcome.ANSWERED, 200, 0, "0")
    assert answered(60007, "slow down", retry_after=2.0) == Reply(Outcome.ANSWERED, 200, 60007, "60007", "slow down", 2.0)
    assert unanswered("http_502", 502) == Reply(Outcome.UNANSWERED, 502, None, "http_502")
    assert not_sent("tls", fatal="expired") == Reply(Outcome.NOT_SENT, None, None, "tls", "tls", None, "expired")


# -- Crash points ----------------------------------------------------------------------------------------------------------


class Disk:
    """Something whose calls are steps."""

    def write(self, text: str) -> str:
        return text.upper()


def test_steps_are_counted_and_none_is_fatal_unless_asked_for() -> None:
    points = CrashPoints()
    for step in ("a", "b", "a"):
        points.step(step)
    assert points.passed == ["a", "b", "a"]


@pytest.mark.parametrize(("onwards", "met"), [(False, ["b"]), (True, ["b", "c"])])
def test_the_fatal_step_or_all_from_there_on_meet_the_act(onwards: bool, met: list[str]) -> None:
    found: list[str] = []
    points = CrashPoints(2, found.append, onwards=onwards)
    for step in ("a", "b", "c"):
        points.step(step)
    assert found == met


@pytest.mark.parametrize("of_class", [True, False])
def test_a_watched_call_is_a_step_that_comes_before_it_until_it_is_put_back(of_class: bool) -> None:
    def refuse(name: str) -> None:
        raise OSError(name)

    disk = Disk()
    points = CrashPoints(2, refuse)
    put_back = points.watch(Disk if of_class else disk, "write", "disk.write")
    assert disk.write("a") == "A"
    with pytest.raises(OSError, match=r"disk\.write"):
        disk.write("b")
    put_back()
    assert disk.write("c") == "C"
    assert points.passed == ["disk.write", "disk.write"]


def test_dying_is_what_kill_9_does() -> None:
    code = "from bulkops.testing import CrashPoints; points = CrashPoints(1); points.step('x'); print('alive')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, b"")
