"""Following a run, saying how far the reading is, signals."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import threading
from collections.abc import AsyncIterator

import pytest

from bulkops.cli.output import Output
from bulkops.cli.progress import Following, Live, Plain, Reading, Silent, make_view, pick_mode
from bulkops.cli.signals import Signals
from bulkops.watching import Notice, Snapshot
from tests.helpers.cli import Terminal
from tests.helpers.report import snapshot

NOTICE = Notice(1_700_000_000_000_000, "", "waiting", "one second")


class Watched:
    """A run to look at."""

    def __init__(self, notices: list[Notice] | None = None) -> None:
        self.looked = 0
        self.notices = notices or []
        self.over = asyncio.Event()
        self.error: Exception | None = None

    def snapshot(self) -> Snapshot:
        self.looked += 1
        return snapshot()

    async def events(self) -> AsyncIterator[Notice]:
        if self.error is not None:
            raise self.error
        for notice in self.notices:
            yield notice
        await self.over.wait()


class Record:
    """A view that keeps what it was given."""

    def __init__(self, *, every: float = 0.001, at_once: bool = True) -> None:
        self.every = every
        self.at_once = at_once
        self.seen: list[str] = []
        self.error: Exception | None = None
        self.thrice = asyncio.Event()

    def show(self, snapshot: Snapshot) -> None:
        self.seen.append("picture")
        if self.seen.count("picture") == 3:
            self.thrice.set()
        if self.error is not None:
            raise self.error

    def notice(self, notice: Notice) -> None:
        self.seen.append(notice.text)

    def close(self) -> None:
        self.seen.append("closed")


async def turns(number: int = 5) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_a_run_is_looked_at_from_the_first_moment_to_the_last() -> None:
    run, view = Watched([NOTICE, Notice(0, "", "stopping", "SIGINT received")]), Record(every=60)
    following = Following(run, view)
    following.hush("stopping")
    following.start()
    await turns()
    assert sorted(view.seen) == ["one second", "picture"]
    run.over.set()
    await following.stop()
    assert view.seen[-2:] == ["picture", "closed"]


async def test_a_run_is_looked_at_again_and_again() -> None:
    run, view = Watched(), Record(every=0.001)
    following = Following(run, view)
    following.start()
    async with asyncio.timeout(5):
        await view.thrice.wait()
    run.over.set()
    await following.stop()


async def test_a_question_gets_the_screen_for_itself() -> None:
    """While somebody is asked nothing is drawn; afterwards it goes on."""
    run, view = Watched(), Record(every=60)
    following = Following(run, view)
    following.start()
    await turns()
    following.pause()
    before = run.looked
    await turns()
    assert run.looked == before
    following.start()
    await turns()
    assert run.looked == before + 1
    run.over.set()
    await following.stop()


async def test_a_view_that_fails_is_closed_and_left_alone() -> None:
    run, view = Watched([NOTICE]), Record(every=60)
    view.error = RuntimeError("no")
    following = Following(run, view)
    following.start()
    await turns()
    run.over.set()
    await following.stop()
    assert view.seen.count("picture") == 1
    assert "closed" in view.seen


async def test_notices_that_fail_do_not_fail_the_run() -> None:
    run = Watched()
    run.error = RuntimeError("no")
    following = Following(run, Record(every=60))
    following.start()
    await turns()
    await following.stop()


@pytest.mark.slow
async def test_notices_that_never_end_are_not_waited_for() -> None:
    following = Following(Watched(), Record(every=60))
    following.start()
    async with asyncio.timeout(5):
        await following.stop()


async def test_without_progress_notices_are_read_and_dropped() -> None:
    run = Watched([NOTICE])
    following = Following(run, Silent())
    following.start()
    await turns()
    run.over.set()
    await following.stop()
    assert run.looked == 0


def test_plain_progress_is_lines() -> None:
    err = io.StringIO()
    view = Plain(Output(None, err))
    view.show(snapshot())
    view.notice(NOTICE)
    view.close()
    first, second = err.getvalue().splitlines()
    assert first.startswith("1m23s: ")
    assert second == "22:13:20Z one second"


def test_live_progress_keeps_lines_above_the_picture() -> None:
    """Notices and warnings scroll by; the picture stays where it is."""
    err = Terminal()
    output = Output(None, err)
    view = Live(output, sandbox=True)
    view.show(snapshot())
    view.notice(NOTICE)
    output.say("a warning [red]")
    view.show(snapshot())
    view.close()
    lines_go_above = output.above is not None
    assert not lines_go_above
    text = err.getvalue()
    assert text.index("22:13:20Z one second") < text.rindex("SANDBOX")
    assert "a warning [red]" in text
    assert text.endswith("\x1b[?25h\n")  # the cursor is back


def test_live_progress_after_a_question_draws_beneath_it() -> None:
    """A picture that goes on must not move up over what was said in between."""
    err = Terminal()
    output = Output(None, err)
    view = Live(output, sandbox=False)
    view.show(snapshot())
    view.close()
    output.say("a question")
    before = len(err.getvalue())
    view.show(snapshot())
    view.close()
    assert "\x1b[1A" not in err.getvalue()[before : err.getvalue().index("API", before)]


def test_live_progress_on_a_terminal_that_went_away_is_given_up() -> None:
    err = Terminal()
    output = Output(None, err)
    view = Live(output, sandbox=False)
    view.show(snapshot())
    err.close()
    output.say("lost")
    assert output.stderr is None


def test_a_view_that_never_drew_closes_quietly() -> None:
    err = Terminal()
    make_view("live", Output(None, err), sandbox=False).close()
    assert err.getvalue() == ""


@pytest.mark.parametrize(
    ("mode", "stderr", "term", "picked"),
    [
        ("auto", Terminal(), "xterm", "live"),
        ("auto", Terminal(), "dumb", "plain"),
        ("auto", io.StringIO(), "xterm", "plain"),
        ("auto", None, "xterm", "plain"),
        ("none", Terminal(), "xterm", "none"),
        ("live", io.StringIO(), "dumb", "live"),
    ],
)
def test_auto_depends_on_the_terminal(mode: str, stderr: io.StringIO | None, term: str, picked: str) -> None:
    assert pick_mode(mode, Output(None, stderr), term) == picked


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("live", "\rreading: 20 rows\rreading: 60 rows\r\x1b[K"),
        ("plain", "reading: 60 rows\n"),
        ("none", ""),
    ],
)
def test_reading_says_how_far_it_is_now_and_then(mode: str, said: str) -> None:
    """A large file takes a minute; a small one says nothing."""
    times = iter([0.0, 0.1, 0.3, 0.4, 10.2])
    err = io.StringIO()
    reading = Reading(mode, Output(None, err), clock=lambda: next(times))
    for rows in (10, 20, 30, 60):
        reading(rows)
    reading.close()
    reading.close()
    assert err.getvalue() == said


# signals


def signals(words: list[str], left: list[int], patience: float = 60.0) -> Signals:
    return Signals(lambda: words.append("interrupted"), exit_code=4, leave=left.append, patience=patience)


def kill(number: signal.Signals = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_interrupts(number: signal.Signals) -> None:
    words: list[str] = []
    left: list[int] = []
    handlers = signals(words, left)
    with pytest.raises(KeyboardInterrupt), handlers.raising():
        kill(number)
    assert (words, left) == ([], [])


def test_a_second_signal_ends_the_process() -> None:
    """Whatever the first one waits for."""
    words: list[str] = []
    left: list[int] = []
    with signals(words, left).raising():
        with pytest.raises(KeyboardInterrupt):
            kill()
        kill()
    assert (words, left) == (["interrupted"], [4])


def test_patience_ends() -> None:
    """An interrupted command that hangs is ended without a second signal."""
    gone = threading.Event()
    words: list[str] = []
    handlers = Signals(lambda: words.append("interrupted"), exit_code=4, leave=lambda _: gone.set(), patience=0.001)
    with handlers.raising():
        with pytest.raises(KeyboardInterrupt):
            kill()
        assert gone.wait(5)
    assert words == ["interrupted"]


def test_a_no_at_a_question_is_no_reason_to_end_the_process() -> None:
    words: list[str] = []
    left: list[int] = []
    handlers = signals(words, left)
    with handlers.raising():
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                kill()
            handlers.calm()
    assert left == []


def test_an_ignored_hangup_stays_ignored() -> None:
    """`nohup bulkops run …` survives the end of its terminal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals([], []).raising():
            kill(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


async def test_draining_hears_every_signal_and_gives_them_back() -> None:
    heard: list[tuple[str, bool]] = []
    both = asyncio.Event()

    def stop(name: str, now: bool) -> None:
        heard.append((name, now))
        if now:
            both.set()

    handlers = signals([], [])
    with handlers.raising():
        inside = signal.getsignal(signal.SIGINT)
        with handlers.draining(stop):
            kill()
            kill(signal.SIGTERM)
            async with asyncio.timeout(5):
                await both.wait()
        assert signal.getsignal(signal.SIGINT) == inside
    assert heard == [("SIGINT", False), ("SIGTERM", True)]


async def test_a_third_signal_ends_a_run_that_hangs() -> None:
    words: list[str] = []
    gone = asyncio.Event()
    handlers = Signals(lambda: words.append("interrupted"), exit_code=4, leave=lambda _: gone.set())
    heard: list[bool] = []
    with handlers.raising(), handlers.draining(lambda _, now: heard.append(now)):
        for _ in range(3):
            kill()
            await asyncio.sleep(0.001)
        async with asyncio.timeout(5):
            await gone.wait()
    assert (heard, words) == ([False, True], ["interrupted"])


async def test_signals_are_counted_over_a_pause() -> None:
    """Ctrl-C during the canary and again afterwards: the second one stops at once."""
    heard: list[bool] = []
    handlers = signals([], [])
    with handlers.raising():
        for _ in range(2):
            with handlers.draining(lambda _, now: heard.append(now)):
                kill()
                await asyncio.sleep(0.001)
    assert heard == [False, True]
