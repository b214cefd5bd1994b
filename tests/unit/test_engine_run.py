"""All lanes of a run together: stops, guards, the drain, a ledger that fails, what a watcher is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from bulkops.chat.catalog import APIS
from bulkops.chat.verdicts import judge
from bulkops.engine.clock import SystemClock
from bulkops.engine.policy import Policy
from bulkops.engine.run import Engine, lanes_of
from bulkops.errors import LedgerError
from bulkops.model import ApiFigures, Reply, Status, Stop, StopKind
from bulkops.testing import (
    Script,
    ScriptedClient,
    VirtualClock,
    VirtualTimeLoop,
    answered,
    not_sent,
    ok,
    run_virtual,
    unanswered,
)
from tests.helpers.enginekit import Stage, SuspiciousLedger, Trial, always, assert_idle, between, carry_out, name

SIGNAL = Stop(StopKind.SIGNAL, "SIGINT")


def stopping(at: float, *, now_at: float | None = None, stop: Stop = SIGNAL) -> Callable[[Stage], None]:
    """Stop at that time, and a second time where asked for."""

    def during(stage: Stage) -> None:
        stage.stop_at(at, stop)
        if now_at is not None:
            stage.stop_at(now_at, stop, now=True)

    return during


def to_one_api(index: int, reply: Reply) -> Script:
    """A server that answers one API so, and the others well."""
    return lambda api, _content, _at: reply if api is APIS[index] else ok()


# -- To the end ------------------------------------------------------------------------------------------------------------


def test_a_run_carries_everything_out() -> None:
    trial = carry_out({0: 500, 1: 30, 2: 1}, always(ok()))
    assert [trial.statuses(api) for api in range(3)] == [{"succeeded": 500}, {"succeeded": 30}, {"succeeded": 1}]
    assert trial.engine.stops == []
    assert trial.engine.stopped_by is None


def test_an_empty_lane_and_no_lane_are_done_at_once() -> None:
    assert carry_out({0: 0}, always(ok())).seconds == 0.0
    assert carry_out({}, always(ok())).seconds == 0.0


@pytest.mark.slow
def test_lanes_do_not_wait_for_each_other() -> None:
    """Each runs at its full rate from start to end."""
    trial = carry_out({0: 3000, 1: 3000, 2: 3000}, always(ok()))
    for api in range(3):
        departures = trial.departures(api)
        assert (len(departures) - 1) / (departures[-1] - departures[0]) >= 198.0


def test_lanes_are_those_with_something_left() -> None:
    apis = {api.op: (index, api) for index, api in enumerate(APIS)}
    figures = {
        "delete_conversation": ApiFigures(by_status={Status.SUCCEEDED: 4}),
        "delete_conversation_group": ApiFigures(by_status={Status.SUCCEEDED: 4, Status.PENDING: 1}),
        "clear_group_messages": ApiFigures(by_status={Status.SENDING: 1}),
    }
    assert [index for index, _ in lanes_of(figures, apis)] == [1, 2]


# -- Canary ----------------------------------------------------------------------------------------------------------------


def test_a_canary_carries_out_the_first_of_each_api_then_the_rest_follows() -> None:
    trial = carry_out({0: 300, 1: 4, 2: 300}, always(ok()), acts=(10, None))
    assert trial.after_acts == [{"succeeded": 24, "pending": 580}, {"succeeded": 604}]


def test_a_canary_waits_for_its_retries() -> None:
    """Operations that fail at first are part of it until they ended."""
    replies = {name(3): [answered(50004)] * 5}
    trial = carry_out(300, lambda _api, content, _at: (replies.get(content) or [ok()]).pop(), acts=(10, None))
    assert trial.after_acts[0] == {"succeeded": 10, "pending": 290}


def test_the_time_a_question_takes_is_no_outage() -> None:
    """Half an hour passes at the prompt between the canary and the rest."""
    loops: list[VirtualTimeLoop] = []

    def script(_api: object, _content: str, at: float) -> Reply:
        if at == 0.02:
            loops[0].call_at(1.0, loops[0].block, 4000.0)
        return ok()

    trial = carry_out(300, script, acts=(1, None), during=lambda stage: loops.append(stage.loop))
    assert trial.engine.stops == []


@pytest.mark.parametrize(("counts", "more"), [({0: 300, 1: 300}, True), ({0: 300, 1: 5}, False), ({0: 300}, False)])
def test_after_a_canary_there_is_more_where_a_lane_that_was_not_stopped_has_some(counts: dict[int, int], more: bool) -> None:
    """One API's own stop is no answer to whether the others may go on."""
    trial = carry_out(counts, to_one_api(0, answered(51013)), acts=(5,))
    assert trial.stopped_by.kind is StopKind.FATAL
    assert trial.engine.has_more is more


def test_after_a_stop_of_the_run_there_is_no_more() -> None:
    assert not carry_out(300, always(ok()), during=stopping(1.0)).engine.has_more


# -- Stops -----------------------------------------------------------------------------------------------------------------


def test_a_stop_lets_what_is_in_flight_finish_and_nothing_else_leave() -> None:
    trial = carry_out(3000, always(ok()), latency=2.0, during=stopping(5.0))
    counts = trial.statuses()
    assert trial.calls(5.0, 100.0) == 0
    assert counts == {"succeeded": len(trial.departures()), "pending": 3000 - len(trial.departures())}
    assert 6.9 <= trial.seconds <= 7.0


def test_intents_that_never_left_are_pending_again_after_a_stop() -> None:
    trial = carry_out(3000, always(ok()), latency=0.5, during=stopping(5.0))
    withdrawn = {seq for step, _, seq, _ in trial.stage.ledger.events if step == "withdrawn"}
    assert 20 <= len(withdrawn) <= 40
    assert not any(trial.attempts(seq) for seq in withdrawn)


@pytest.mark.parametrize("at", [0.0, 0.01, 0.03, 0.09, 0.105])
def test_a_stop_in_the_first_moments_is_clean(at: float) -> None:
    trial = carry_out(3000, always(ok()), during=stopping(at))
    assert "sending" not in trial.statuses()
    assert trial.seconds <= 0.25


def test_a_stop_before_the_beginning_sends_nothing() -> None:
    trial = carry_out(3000, always(ok()), during=lambda stage: stage.engine.stop(SIGNAL))
    assert trial.departures() == []
    assert trial.statuses() == {"pending": 3000}


@pytest.mark.parametrize("outage", [answered(50004), not_sent()])
def test_a_stop_during_an_outage_is_at_once(outage: Reply) -> None:
    trial = carry_out(3000, between(2.0, 1e9, outage), during=stopping(40.0))
    assert trial.seconds <= 40.2


def test_a_stop_while_the_server_asked_to_wait_is_at_once() -> None:
    trial = carry_out(3000, between(2.0, 4.0, answered(60007, retry_after=200.0)), during=stopping(40.0))
    assert trial.seconds <= 40.2


def test_a_stop_while_all_wait_in_backoff_is_at_once() -> None:
    trial = carry_out(5, always(answered(50004)), policy=Policy(max_attempts=10**6), during=stopping(60.0))
    assert trial.seconds <= 60.2


@pytest.mark.parametrize("script", [always(answered(50004)), always(unanswered("lost"))])
def test_a_stop_while_the_ledger_is_asked_for_more_is_seen_as_soon_as_it_answers(script: Script) -> None:
    """Alone or in the stream: what was told meanwhile must not be slept over."""
    trial = carry_out(5, script, policy=Policy(max_attempts=10**6), search=8.0, during=stopping(4.0))
    assert trial.seconds <= 8.5
    assert trial.statuses() == {"pending": 5}


def test_a_stop_waits_ten_seconds_at_most_and_leaves_the_rest_in_doubt() -> None:
    trial = carry_out(3000, always(ok()), latency=60.0, during=stopping(5.0))
    assert trial.statuses() == {"sending": 1, "pending": 2999}
    assert 14.9 <= trial.seconds <= 15.1


def test_a_second_stop_gives_up_at_once_what_is_in_flight() -> None:
    trial = carry_out(3000, always(ok()), latency=4.0, during=stopping(6.0, now_at=7.0))
    counts = trial.statuses()
    assert trial.seconds <= 7.1
    assert counts["sending"] > 200
    assert sum(counts.values()) == 3000


def test_a_first_stop_may_be_at_once() -> None:
    def during(stage: Stage) -> None:
        stage.stop_at(6.0, SIGNAL, now=True)

    trial = carry_out(3000, always(ok()), latency=4.0, during=during)
    assert trial.seconds <= 6.1


@pytest.mark.parametrize(
    ("kinds", "counts"),
    [
        ((StopKind.SIGNAL, StopKind.FATAL), StopKind.FATAL),
        ((StopKind.FATAL, StopKind.LEDGER), StopKind.LEDGER),
        ((StopKind.MAX_DURATION, StopKind.SIGNAL), StopKind.SIGNAL),
        ((StopKind.OUTAGE, StopKind.GUARD), StopKind.GUARD),
        ((StopKind.CANARY,), StopKind.CANARY),
    ],
)
def test_of_several_stops_the_gravest_counts(kinds: tuple[StopKind, ...], counts: StopKind) -> None:
    def during(stage: Stage) -> None:
        for number, kind in enumerate(kinds):
            stage.stop_at(3.0 + number / 100, Stop(kind, kind.value))

    assert carry_out(3000, always(ok()), during=during).stopped_by.kind is counts


def test_a_run_stops_when_its_time_is_over() -> None:
    trial = carry_out(3000, always(ok()), policy=Policy(max_duration=5.0))
    assert trial.stopped_by.kind is StopKind.MAX_DURATION
    assert "--max-duration of 5 s" in trial.stopped_by.text
    assert 5.0 <= trial.seconds <= 6.2
    assert "sending" not in trial.statuses()


@pytest.mark.parametrize("limit", [0.3, 1.2])
def test_fractions_of_a_second_are_time_too(limit: float) -> None:
    trial = carry_out(3000, always(ok()), policy=Policy(max_duration=limit))
    assert f"--max-duration of {limit} s" in trial.stopped_by.text
    assert limit <= trial.seconds <= limit + 0.2


def test_a_run_stops_when_its_time_is_over_although_one_api_has_stopped_before() -> None:
    trial = carry_out({0: 3000, 1: 3000}, to_one_api(0, answered(51013)), policy=Policy(max_duration=5.0))
    assert [stop.kind for stop in trial.engine.stops] == [StopKind.FATAL, StopKind.MAX_DURATION]
    assert trial.seconds <= 6.2
    assert trial.statuses(1)["pending"] > 1500


@pytest.mark.parametrize("most", [2, 3])
def test_a_renewed_credential_changes_nothing_about_who_is_charged(most: int) -> None:
    """What the lane knows of its backend outlives the renewal: the first failure after it is no outage."""
    poison = {name(seq) for seq in range(100, 200, 5)}
    stale = {name(seq): [answered(70001)] for seq in range(102, 260, 20)}

    def script(_api: object, content: str, _at: float) -> Reply:
        if content in poison:
            return answered(50004)
        return stale[content].pop() if stale.get(content) else ok()

    trial = carry_out(400, script, policy=Policy(max_attempts=most))
    assert {len(trial.attempts(seq)) for seq in range(100, 200, 5)} == {most}
    assert trial.statuses() == {"succeeded": 380, "exhausted": 20}


# -- A ledger that fails ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fails_at", [0.0, 0.01, 0.05, 0.11, 0.5, 3.0, 3.017])
def test_nothing_leaves_once_the_ledger_fails(fails_at: float) -> None:
    """What was durable before may still go for 100 ms; what is in flight is awaited."""
    trial = carry_out(3000, always(ok()), latency=1.0, fails_at=fails_at)
    assert trial.stopped_by == Stop(StopKind.LEDGER, "disk full")
    assert trial.calls(fails_at + 0.1, 1e9) == 0
    assert trial.seconds <= fails_at + 1.3


def test_a_ledger_that_fails_in_an_outage_stops_the_run_at_once() -> None:
    trial = carry_out(3000, between(2.0, 1e9, answered(50004)), fails_at=50.0)
    assert trial.stopped_by.kind is StopKind.LEDGER
    assert trial.seconds <= 90.0


def test_a_failure_that_the_ledger_reports_itself_stops_departures_at_once() -> None:
    """A group commit tells the engine in the same turn of the loop; nothing waits for the next intent."""

    def during(stage: Stage) -> None:
        def fail() -> None:
            stage.ledger.failed = LedgerError("disk full")
            stage.engine.ledger_failed(stage.ledger.failed)
            stage.engine.ledger_failed(stage.ledger.failed)

        stage.at(5.0, fail)

    trial = carry_out(3000, always(ok()), latency=1.0, during=during)
    assert trial.calls(5.0, 1e9) == 0
    assert [stop.kind for stop in trial.engine.stops] == [StopKind.LEDGER]
    assert trial.statuses()["sending"] >= 190, "what could not be written any more is in doubt"


def test_a_ledger_that_fails_at_the_very_end_is_not_silent() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        clock = VirtualClock(loop)
        ledger = SuspiciousLedger({0: 1}, clock=clock)

        async def flush() -> None:
            raise LedgerError("disk full")

        ledger.flush = flush  # type: ignore[method-assign]  # the last commit fails
        client = ScriptedClient(always(ok()), clock=loop.time)
        engine = Engine(apis=[(0, APIS[0], 200, 300)], ledger=ledger, client=client, judge=judge, clock=clock, policy=Policy())
        with pytest.raises(LedgerError):
            await engine.carry_out()

    run_virtual(main)


# -- Cancellation and defects ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("at", "limit"), [(0.0, 200), (0.01, 200), (0.05, 200), (2.0, 200), (5.01, 200), (1.5, 1000)])
def test_cancelled_it_gives_up_what_is_in_flight_and_leaves_nothing_behind(at: float, limit: int) -> None:
    """In flight is what left; what is durable and waits for a connection, a worker or its token is taken back."""

    async def main(loop: VirtualTimeLoop) -> SuspiciousLedger:
        clock = VirtualClock(loop)
        ledger = SuspiciousLedger({0: 3000}, clock=clock)
        client = ScriptedClient(always(ok()), clock=loop.time, latency=1.0)
        engine = Engine(
            apis=[(0, APIS[0], limit, limit * 3 // 2)], ledger=ledger, client=client, judge=judge, clock=clock, policy=Policy()
        )
        task = asyncio.create_task(engine.carry_out())
        await asyncio.sleep(at)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert loop.time() == pytest.approx(at)
        assert_idle(engine)
        left = sum(map(len, client.departures.values()))
        settled = sum(map(len, ledger.settlements.values()))
        assert sum(status is Status.SENDING for status in ledger.status[0].values()) == left - settled
        return ledger

    run_virtual(main)


def test_cancelled_in_its_drain_it_leaves_nothing_behind() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        clock = VirtualClock(loop)
        ledger = SuspiciousLedger({0: 3000}, clock=clock)
        client = ScriptedClient(always(ok()), clock=loop.time, latency=60.0)
        engine = Engine(apis=[(0, APIS[0], 200, 300)], ledger=ledger, client=client, judge=judge, clock=clock, policy=Policy())
        task = asyncio.create_task(engine.carry_out())
        await asyncio.sleep(1.0)
        engine.stop(SIGNAL)
        await asyncio.sleep(1.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)
        assert_idle(engine)

    run_virtual(main)


def test_a_defect_in_the_judge_surfaces() -> None:
    def during(stage: Stage) -> None:
        stage.engine.lanes[0]._judge = lambda _api, _reply: 1 / 0  # type: ignore[assignment]  # the defect

    with pytest.raises(ZeroDivisionError):
        carry_out(300, always(ok()), during=during)


def test_a_defect_of_what_happens_by_the_clock_surfaces() -> None:
    def broken(late: float) -> None:
        del late
        raise ZeroDivisionError

    def during(stage: Stage) -> None:
        stage.engine.lanes[0].tick = broken  # type: ignore[method-assign]  # the defect

    with pytest.raises(ZeroDivisionError):
        carry_out(3000, always(ok()), during=during)


# -- What a watcher sees ---------------------------------------------------------------------------------------------------


async def told(engine: Engine) -> list[str]:
    return [notice.kind async for notice in engine.notices()]


def test_notices_come_as_they_happen_and_end_with_the_run() -> None:
    async def main(loop: VirtualTimeLoop) -> list[str]:
        clock = VirtualClock(loop)
        ledger = SuspiciousLedger({0: 1500}, clock=clock)
        client = ScriptedClient(between(2.0, 6.0, answered(50004)), clock=loop.time)
        engine = Engine(apis=[(0, APIS[0], 200, 300)], ledger=ledger, client=client, judge=judge, clock=clock, policy=Policy())
        watcher = asyncio.create_task(told(engine))
        await engine.carry_out()
        engine.close()
        return await watcher

    assert run_virtual(main) == ["outage", "outage_over", "recovered"]


def test_a_snapshot_shows_every_lane_and_why_it_stops() -> None:
    texts: list[str] = []

    def during(stage: Stage) -> None:
        stage.stop_at(3.0, SIGNAL)
        stage.at(2.9, lambda: texts.append(stage.engine.snapshot().stopping))
        stage.at(3.1, lambda: texts.append(stage.engine.snapshot().stopping))

    trial = carry_out({0: 3000, 2: 3000}, always(ok()), latency=0.5, during=during)
    assert texts == ["", "SIGINT"]
    snapshot = trial.engine.snapshot()
    assert [lane.op for lane in snapshot.lanes] == ["delete_conversation", "clear_group_messages"]
    assert snapshot.elapsed == trial.seconds
    assert all(lane.operations == 3000 and lane.ended == lane.by_status[Status.SUCCEEDED] for lane in snapshot.lanes)


def test_what_a_server_says_is_explained_with_the_remedy_where_one_is_known() -> None:
    def stopped(code: int) -> Trial:
        return carry_out(10, always(answered(code, "why")), remedy=lambda code: "do this" if code == 70009 else "")

    assert stopped(70009).stopped_by.text == "delete_conversation was answered 70009 why: do this"
    assert stopped(70403).stopped_by.text == "delete_conversation was answered 70403 why"


def test_a_long_winded_server_is_cut_short_in_the_reason_but_not_in_the_ledger() -> None:
    trial = carry_out(10, always(answered(70403, "no " * 20_000)))
    assert len(trial.stopped_by.text) <= 300
    assert len(trial.attempts(1)[0].info) == 60_000


def test_the_machines_clock_goes_forward_and_knows_the_date() -> None:
    clock = SystemClock()
    assert clock.monotonic() <= clock.monotonic()
    assert clock.utc() > 1_700_000_000_000_000


def test_an_unanswered_call_that_left_no_trace_is_not_lost() -> None:
    trial = carry_out(100, lambda _api, content, at: unanswered("lost") if content == name(50) and at < 0.5 else ok())
    assert trial.statuses() == {"succeeded": 100}
    assert [each.verdict.word for each in trial.attempts(50)][-1] == "succeeded"
