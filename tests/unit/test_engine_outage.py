"""Outages: what opens the breaker, how the lane asks and comes back, what is charged, and when it gives up."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable

import pytest

from bulkops.engine.policy import Policy
from bulkops.engine.ports import Gate
from bulkops.model import Api, Operation, Reply, Status, StopKind
from bulkops.testing import EPOCH, ScriptedClient, answered, not_sent, ok, unanswered
from tests.helpers.enginekit import Stage, Trial, always, between, carry_out, name


def told(trial: Trial, kind: str) -> float:
    """When a watcher was first told of something of that kind."""
    return (next(notice.at for notice in trial.engine._notices if notice.kind == kind) - EPOCH) / 1e6


def probes(trial: Trial, start: float, end: float) -> list[tuple[int, float]]:
    """(place, time) of every attempt begun from `start` to `end`."""
    return [(seq, at) for step, _, seq, at in trial.stage.ledger.events if step == "begun" and start <= at < end]


def test_an_outage_is_asked_about_by_one_operation_at_a_time() -> None:
    trial = carry_out(3000, between(5.0, 65.0, answered(50004)), latency=0.5)
    asked = [at for _, at in probes(trial, 8.0, 65.0)]
    assert 5 <= len(asked) <= 9
    answered_at = [at for step, _, _, at in trial.stage.ledger.events if step == "settled" and at >= 8.0]
    for begun, back, again in zip(asked, answered_at, asked[1:], strict=False):
        assert begun < back <= again - 0.5


def test_calls_still_connecting_when_the_outage_begins_do_not_leave_with_the_probes() -> None:
    class Slow(ScriptedClient):
        async def send(self, api: Api, content: str, gate: Gate) -> Reply:
            self.connect = 4.0 if int(content.removeprefix("user")) % 20 == 0 else 0.0
            return await super().send(api, content, gate)

    script = between(5.0, 35.0, answered(50004))
    trial = carry_out(3000, script, client=lambda loop: Slow(script, clock=loop.time))
    opened = told(trial, "outage")
    asked = probes(trial, opened, 35.0)
    assert trial.calls(opened + 0.01, 35.0) == len(asked) >= 4


def test_pauses_between_probes_double_up_to_thirty_seconds() -> None:
    trial = carry_out(3000, between(5.0, 305.0, answered(50004)), latency=0.01)
    opened = told(trial, "outage")
    times = [opened, *(at for _, at in probes(trial, opened + 0.1, 305.0))]
    assert len(times) >= 15
    for number, (earlier, later) in enumerate(itertools.pairwise(times)):
        longest = min(30.0, 2.0**number)
        assert 0.5 * longest <= later - earlier <= 0.8 * longest + 0.1


def test_every_probe_is_another_operation_and_untried_ones_go_first() -> None:
    trial = carry_out(3000, between(5.0, 305.0, answered(50004)))
    asked = probes(trial, 8.0, 305.0)
    assert len({seq for seq, _ in asked}) == len(asked) >= 12
    assert all(trial.happened("settled", seq)[0] > at for seq, at in asked), "never answered before"


def test_tried_operations_take_turns_where_none_is_untried() -> None:
    trial = carry_out(200, between(0.3, 400.0, answered(50004)), policy=Policy(max_attempts=50))
    asked = [seq for seq, _ in probes(trial, 60.0, 400.0)]
    assert len(set(asked)) == len(asked) >= 12


@pytest.mark.slow
def test_an_outage_charges_no_attempt_while_untried_operations_are_left() -> None:
    trial = carry_out(24_000, between(5.0, 125.0, answered(50004)))
    opened = told(trial, "outage")
    charged = {0}
    for made in trial.stage.ledger.settlements.values():
        before = 0
        for each in made:
            if each.charged > before:
                charged.add(each.answered_at)
            before = each.charged
    assert trial.statuses() == {"succeeded": 24_000}
    assert (max(charged) - EPOCH) / 1e6 < opened


@pytest.mark.parametrize("limit", [20, 50])
def test_an_outage_at_a_low_rate_gives_nothing_up(limit: int) -> None:
    """Few operations are repeated over and over then, and the successes from before stay in sight for long."""
    trial = carry_out(limit * 60, between(30.0, 150.0, answered(50004)), limit=limit)
    assert trial.statuses() == {"succeeded": limit * 60}
    assert trial.calls(30.0, 150.0) <= 600


def test_what_the_stream_left_behind_neither_ends_nor_lengthens_an_outage() -> None:
    """Three hundred slow failures after the breaker opened are no probes; nor are the few successes among them."""

    def script(_api: Api, content: str, at: float) -> Reply:
        if not 5.0 <= at < 35.0:
            return ok()
        return ok() if int(content[4:]) % 40 == 0 and at < 6.5 else answered(50004)

    trial = carry_out(6000, script, latency=1.0)
    assert trial.notices().count("outage") == 1
    asked = [at for _, at in probes(trial, 7.0, 35.0)]
    assert asked[0] <= 9.0
    assert len(asked) >= 4


def test_after_an_outage_the_lane_ramps_up() -> None:
    trial = carry_out(6000, between(5.0, 10.0, answered(50004)))
    over = told(trial, "outage_over")
    first_second, second_second = trial.calls(over, over + 1), trial.calls(over + 1, over + 2)
    assert 10 <= first_second <= 45
    assert first_second < second_second <= 90
    assert trial.calls(over + 6, over + 7) >= 198


@pytest.mark.slow
def test_an_outage_holds_no_place_and_no_intent() -> None:
    looks: list[tuple[int, int, int]] = []

    def look(stage: Stage) -> None:
        crew = stage.engine.lanes[0]._crew
        looks.append((crew._begun, crew.in_flight, sum(s is Status.SENDING for s in stage.ledger.status[0].values())))

    def during(stage: Stage) -> None:
        for step in range(1000):
            stage.at(20.0 + step * 0.05, lambda: look(stage))

    carry_out(3000, between(5.0, 80.0, answered(50004)), during=during)
    assert max(sum(each[:2]) for each in looks) <= 1
    assert max(each[2] for each in looks) <= 1
    assert looks.count((0, 0, 0)) > 900


@pytest.mark.parametrize("share", [0.02, 0.05, 0.1])
@pytest.mark.slow
def test_poison_ends_as_exhausted_without_looking_like_an_outage(share: float) -> None:
    """Operations that always fail pile up at the end of a job, when nothing else is left to compare them with."""
    poisonous = {name(seq) for seq in range(1, 4001) if random.Random(seq).random() < share}
    trial = carry_out(4000, lambda _api, content, _at: answered(50004) if content in poisonous else ok())
    assert trial.statuses() == {"succeeded": 4000 - len(poisonous), "exhausted": len(poisonous)}
    assert trial.seconds <= 180.0
    assert "outage" not in trial.notices()


def test_poison_that_is_never_answered_ends_in_doubt() -> None:
    trial = carry_out(300, lambda _api, content, _at: unanswered("lost") if content in {name(7), name(8)} else ok())
    assert trial.statuses() == {"succeeded": 298, "in_doubt": 2}


def test_a_job_of_nothing_but_poison_ends() -> None:
    trial = carry_out(10, always(answered(50004)))
    assert trial.statuses() == {"exhausted": 10}


def test_a_resume_in_an_outage_gives_nothing_up_that_failed_before() -> None:
    tried = {0: [Operation(seq, name(seq), number=7, charged=7, calls=7) for seq in range(1, 41)]}
    trial = carry_out(3000, between(0.0, 60.0, answered(50004)), tried=tried)
    assert trial.statuses() == {"succeeded": 3000}


def test_a_lane_that_is_down_for_too_long_stops_and_the_others_finish() -> None:
    def script(api: Api, _content: str, at: float) -> Reply:
        return answered(50004) if api.op == "delete_conversation" and at >= 5.0 else ok()

    trial = carry_out({0: 3000, 1: 3000}, script, policy=Policy(outage_limit=300.0))
    assert trial.statuses(1) == {"succeeded": 3000}
    assert set(trial.statuses(0)) == {"succeeded", "pending"}
    assert trial.stopped_by.kind is StopKind.OUTAGE
    assert "delete_conversation had no success for 300 s (--outage-limit)" in trial.stopped_by.text
    assert 300.0 <= trial.seconds <= 310.0


def test_a_wholly_throttled_lane_stops_too() -> None:
    trial = carry_out(3000, between(5.0, 1e9, answered(60007)), policy=Policy(outage_limit=300.0))
    assert trial.stopped_by.kind is StopKind.OUTAGE
    assert trial.seconds <= 310.0


def test_one_success_now_and_then_is_a_break() -> None:
    trial = carry_out(
        600,
        lambda _api, _content, at: ok() if at < 1.0 or 150.0 < at % 200 < 175.0 else answered(50004),
        policy=Policy(outage_limit=200.0, max_attempts=1000),
        limit=5,
    )
    assert trial.statuses() == {"succeeded": 600}
    assert trial.seconds > 400.0


def test_a_rest_that_is_never_answered_ends_with_the_outage_limit() -> None:
    """Too few operations to open the breaker, none of which is ever answered: that must not go on for ever."""
    trial = carry_out(
        10, lambda _api, content, _at: ok() if content == name(1) else unanswered(), policy=Policy(outage_limit=300)
    )
    assert trial.stopped_by.kind is StopKind.OUTAGE
    assert trial.statuses() == {"succeeded": 1, "pending": 9}


def test_a_lane_that_has_ended_is_not_down() -> None:
    """One lane's last operations end badly; another's run goes on for longer than the outage limit."""

    def script(api: Api, content: str, _at: float) -> Reply:
        return answered(50004) if api.op == "delete_conversation" and content != name(1) else ok()

    trial = carry_out({0: 3, 1: 1500}, script, limit=3, policy=Policy(outage_limit=100.0, max_attempts=3))
    assert trial.seconds > 300
    assert trial.engine.stops == []
    assert trial.statuses(0) == {"succeeded": 1, "exhausted": 2}


@pytest.mark.parametrize("reply", [unanswered("http_503", 503), unanswered("timeout"), not_sent()], ids=lambda each: each.label)
@pytest.mark.slow
def test_a_first_call_into_an_outage_waits_it_out(reply: Reply) -> None:
    trial = carry_out(3000, between(0.0, 20.0, reply))
    assert trial.statuses() == {"succeeded": 3000}
    assert len(trial.departures()) - 3000 <= 20


@pytest.mark.slow
def test_hanging_calls_open_the_breaker_within_their_timeout() -> None:
    async def hang() -> Reply:
        await asyncio.sleep(10.0)
        return unanswered("timeout")

    def script(_api: Api, _content: str, at: float) -> Reply | Awaitable[Reply]:
        return hang() if 5.0 <= at < 60.0 else ok()

    trial = carry_out(6000, script)
    assert trial.calls(17.0, 60.0) <= 6
    assert trial.statuses() == {"succeeded": 6000}
