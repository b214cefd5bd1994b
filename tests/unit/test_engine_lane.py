"""A lane from its first call on: how it starts, what every reply leads to, throttling, credentials."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable
from typing import NamedTuple

import pytest

from bulkops.engine.policy import Policy
from bulkops.model import Api, ApiFigures, Operation, Reply, Settlement, Status, StopKind, Verdict
from bulkops.testing import Script, answered, not_sent, ok, unanswered, worst_window
from tests.helpers.enginekit import Stage, Trial, always, between, carry_out, first, name, to


def troubled(seq: int, *replies: Reply) -> Script:
    """A server that gives one operation these replies before it goes well; the others go well at once."""
    left = list(replies)
    return lambda _api, content, _at: left.pop(0) if content == name(seq) and left else ok()


def carried(seq: int, *replies: Reply, count: int = 60) -> Trial:
    """A run in which one operation gets these replies before it goes well, once the stream has started."""
    return carry_out(count, troubled(seq, *replies))


# -- The start -------------------------------------------------------------------------------------------------------------


def test_the_first_call_goes_alone() -> None:
    trial = carry_out(300, always(ok()), latency=3.0)
    assert trial.departures()[1] >= 3.0
    assert trial.calls(3.0, 3.5) >= 50


@pytest.mark.parametrize("code", [0, 50004, 60007, 60011, 50001, 51009, 10010, 99999])
def test_any_readable_code_that_is_not_fatal_starts_the_stream(code: int) -> None:
    trial = carry_out(300, first(1, answered(code)), latency=1.0)
    assert trial.calls(1.0, 1.6) >= 10


@pytest.mark.parametrize(
    "reply",
    [unanswered("http_502", 502), unanswered("timeout"), unanswered("lost"), not_sent(), Reply(answered(0).outcome, 429)],
    ids=lambda reply: reply.label or "http_429",
)
def test_without_a_readable_code_another_operation_is_tried_alone(reply: Reply) -> None:
    left: list[str] = []

    def script(_api: Api, content: str, at: float) -> Reply:
        left.append(content)
        return reply if len(left) <= 3 else ok()

    trial = carry_out(300, script, latency=1.0)
    assert left[:4] == [name(1), name(2), name(3), name(4)]
    begun = [at for step, _, _, at in trial.stage.ledger.events if step == "begun"]
    assert all(later - earlier >= 1.0 for earlier, later in itertools.pairwise(begun[:4]))
    assert trial.statuses() == {"succeeded": 300}


@pytest.mark.parametrize("http", [301, 302, 307, 401, 403, 404, 407])
def test_three_strange_first_answers_in_a_row_mean_that_this_is_not_the_api(http: int) -> None:
    trial = carry_out(300, always(unanswered(f"http_{http}", http)))
    assert trial.stopped_by.kind is StopKind.FATAL
    assert f"HTTP {http}" in trial.stopped_by.text
    assert "test.invalid" in trial.stopped_by.text
    assert len(trial.departures()) == 3
    assert trial.statuses() == {"pending": 300}


@pytest.mark.parametrize("between_them", [unanswered("http_502", 502), unanswered("timeout"), not_sent()])
def test_strange_first_answers_count_in_a_row_only(between_them: Reply) -> None:
    strange = unanswered("http_404", 404)
    trial = carry_out(20, first(5, strange, strange, between_them, strange, strange))
    assert trial.statuses() == {"succeeded": 20}


@pytest.mark.parametrize("http", [500, 502, 503, 200])
def test_other_answers_without_a_code_are_waited_out(http: int) -> None:
    trial = carry_out(20, between(0.0, 60.0, unanswered(f"http_{http}", http)))
    assert trial.statuses() == {"succeeded": 20}


def test_strange_answers_after_the_start_are_an_outage() -> None:
    """A load balancer's 404 in the middle of a run does not make the API another one."""
    trial = carry_out(3000, between(5.0, 25.0, unanswered("http_404", 404)))
    assert trial.statuses() == {"succeeded": 3000}


def test_a_run_that_finds_no_connection_for_thirty_seconds_stops_and_says_why() -> None:
    trial = carry_out(20, always(not_sent("dns")), latency=0.5)
    assert trial.stopped_by.kind is StopKind.FATAL
    assert "no connection to test.invalid for 30 s: dns" in trial.stopped_by.text
    assert 30.0 <= trial.seconds <= 32.0
    assert trial.statuses() == {"pending": 20}


def test_connections_that_fail_later_are_an_outage() -> None:
    trial = carry_out(3000, between(2.0, 60.0, not_sent()))
    assert trial.statuses() == {"succeeded": 3000}


# -- Every verdict ---------------------------------------------------------------------------------------------------------


class Consequence(NamedTuple):
    reply: Reply
    status: Status
    charged: int = 0
    in_doubt: bool = False
    sent: bool = True
    longest_wait: float = 0.0  # until the next attempt is begun; 0 where there is none


@pytest.mark.parametrize(
    "row",
    [
        Consequence(ok(), Status.SUCCEEDED),
        Consequence(answered(51009, "gone"), Status.ABSENT),
        Consequence(answered(50001, "no such user"), Status.FAILED),
        Consequence(answered(987654), Status.FAILED),
        Consequence(answered(50004), Status.PENDING, charged=1, longest_wait=0.5),
        Consequence(unanswered("timeout"), Status.PENDING, charged=1, in_doubt=True, longest_wait=0.5),
        Consequence(unanswered("http_502", 502), Status.PENDING, charged=1, in_doubt=True, longest_wait=0.5),
        Consequence(not_sent("refused"), Status.PENDING, sent=False, longest_wait=0.5),
        Consequence(answered(60007), Status.PENDING, longest_wait=0.5),
        Consequence(answered(60011), Status.PENDING, longest_wait=0.5),
        Consequence(Reply(ok().outcome, 429, None, "http_429"), Status.PENDING, longest_wait=0.5),
        Consequence(answered(70001), Status.PENDING, longest_wait=1.0),
    ],
    ids=lambda row: row.reply.label,
)
def test_every_reply_has_its_consequence(row: Consequence) -> None:
    trial = carried(30, row.reply)
    made = trial.attempts(30)
    newest = made[0]
    assert (newest.status, newest.charged, newest.in_doubt, newest.sent) == (row.status, row.charged, row.in_doubt, row.sent)
    assert (newest.http, newest.code, newest.label, newest.info) == row.reply[1:5]
    assert newest.calls == int(row.sent)
    if row.longest_wait:
        wait = trial.happened("ask", 30)[1] - trial.happened("settled", 30)[0]
        assert wait <= row.longest_wait + 0.1
        assert made[-1].status is Status.SUCCEEDED
    assert len(made) == (2 if row.longest_wait else 1)


def test_attempts_run_out_after_eight_that_count() -> None:
    trial = carried(30, *[answered(50004)] * 8)
    assert [each.status for each in trial.attempts(30)] == [Status.PENDING] * 7 + [Status.EXHAUSTED]
    assert [each.charged for each in trial.attempts(30)] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_one_unanswered_attempt_leaves_doubt_when_attempts_run_out() -> None:
    trial = carried(30, answered(50004), unanswered(), *[answered(50004)] * 6)
    assert trial.attempts(30)[-1].status is Status.IN_DOUBT


def test_what_does_not_count_is_repeated_for_as_long_as_it_takes() -> None:
    trial = carried(30, *[not_sent(), answered(60007)] * 20, count=4000)
    assert len(trial.attempts(30)) == 41
    assert trial.attempts(30)[-1] == trial.attempts(30)[-1]._replace(status=Status.SUCCEEDED, charged=0, calls=21, number=41)


def test_waits_grow_with_every_attempt_and_stay_below_thirty_seconds() -> None:
    trial = carry_out(60, to({name(30): answered(50004)}), policy=Policy(max_attempts=40))
    asked, settled = trial.happened("ask", 30), trial.happened("settled", 30)
    waits = [again - back for back, again in zip(settled, asked[1:], strict=False)]
    assert max(waits[:3]) <= 2.1
    assert max(waits) <= 30.1
    assert sum(waits[8:]) / len(waits[8:]) == pytest.approx(15.0, abs=5.0)


def test_a_short_backoff_is_not_slept_over_because_another_one_is_long() -> None:
    """One call hangs, one operation waits for the server, a third fails: that one goes again within its own backoff."""

    async def hang() -> Reply:
        await asyncio.sleep(40.0)
        return ok()

    left = {name(251): answered(60007, retry_after=30.0), name(253): answered(50004)}

    async def slowly(reply: Reply) -> Reply:
        await asyncio.sleep(2.0)
        return reply

    def script(_api: Api, content: str, _at: float) -> Reply | Awaitable[Reply]:
        if content == name(252):
            return hang()
        reply = left.pop(content, ok())
        return slowly(reply) if content == name(253) else reply

    trial = carry_out(300, script)
    assert trial.happened("ask", 253)[1] - trial.happened("settled", 253)[0] <= 0.6


def test_an_attempt_on_record_says_when_it_left_and_when_its_answer_came() -> None:
    trial = carry_out(60, always(ok()), latency=2.0)
    made = trial.attempts(30)[0]
    assert made.answered_at - made.begun_at == pytest.approx(2_000_000, abs=10)


# -- Throttling ------------------------------------------------------------------------------------------------------------


def throttled_at(*times: float, retry_after: float | None = None) -> Script:
    """A server that throttles the first call after each of these times."""
    due = list(times)

    def script(_api: Api, _content: str, at: float) -> Reply:
        if due and at >= due[0]:
            due.pop(0)
            return answered(60007, retry_after=retry_after)
        return ok()

    return script


@pytest.mark.slow
def test_a_throttled_lane_slows_down_at_once_and_climbs_back() -> None:
    def script(_api: Api, content: str, at: float) -> Reply:
        return answered(60007) if 5.0 <= at < 8.0 and int(content[4:]) % 2 else ok()

    trial = carry_out(8000, script)
    assert trial.calls(8.0, 9.0) <= 150
    assert trial.calls(trial.seconds - 3.0, trial.seconds - 2.0) >= 195
    assert trial.notices()[0] == "throttled"
    assert trial.notices()[-1] == "recovered"
    assert trial.statuses() == {"succeeded": 8000}


@pytest.mark.slow
def test_a_throttled_lane_leaves_the_others_alone() -> None:
    def script(api: Api, _content: str, at: float) -> Reply:
        return answered(60007) if api.op == "delete_conversation" and 5.0 <= at < 8.0 else ok()

    trial = carry_out({0: 4000, 1: 4000}, script)
    assert trial.calls(9.0, 10.0, 0) <= 150
    assert trial.calls(9.0, 10.0, 1) >= 198


@pytest.mark.slow
def test_a_throttled_app_slows_all_its_lanes_down() -> None:
    def script(api: Api, _content: str, at: float) -> Reply:
        return answered(60011) if api.op == "delete_conversation" and 5.0 <= at < 6.0 else ok()

    trial = carry_out({0: 4000, 1: 4000}, script)
    assert trial.calls(6.0, 7.0, 0) < 196
    assert trial.calls(6.0, 7.0, 1) < 196


def test_retry_after_holds_the_operation_while_throttling_is_rare() -> None:
    """Up to two of the last two hundred answers: the lane goes on."""
    trial = carry_out(3000, throttled_at(4.0, 4.5, retry_after=6.0))
    throttled = [each for made in trial.stage.ledger.settlements.values() for each in made if each.code == 60007]
    assert len(throttled) == 2
    for each in throttled:
        assert trial.happened("ask", each.seq)[1] - trial.happened("settled", each.seq)[0] >= 6.0
    assert trial.calls(5.0, 9.0) >= 4 * 180
    assert "waiting" not in trial.notices()


def test_retry_after_holds_the_lane_when_more_than_one_in_a_hundred_is_throttled() -> None:
    trial = carry_out(3000, throttled_at(4.0, 4.2, 4.4, retry_after=6.0))
    assert trial.calls(4.6, 10.4) == 0
    assert trial.calls(10.4, 12.0) >= 200
    assert "waiting" in trial.notices()


def test_a_watcher_is_told_once_for_each_episode_of_throttling() -> None:
    """Many calls in flight, each with its Retry-After, and cut after cut: one line, and one for each wait."""
    trial = carry_out(3000, between(4.0, 60.0, answered(60007, retry_after=2.0)))
    assert trial.notices().count("throttled") == 1
    assert trial.notices().count("waiting") <= 30, "one for each time that the lane stood still"
    assert trial.statuses() == {"succeeded": 3000}


def test_what_waits_for_a_server_holds_no_place_and_no_intent() -> None:
    looks: list[tuple[int, int]] = []

    def during(stage: Stage) -> None:
        crew = stage.engine.lanes[0]._crew
        stage.at(8.0, lambda: looks.append((crew._begun, crew.in_flight)))

    carry_out(3000, throttled_at(4.0, 4.2, 4.4, retry_after=6.0), during=during)
    assert looks == [(0, 0)]


def test_a_longer_retry_after_is_not_cut_short_by_a_shorter_one() -> None:
    waits = iter([1.0, 1.0, 1.0, 20.0, 3.0, 3.0])

    def script(_api: Api, _content: str, at: float) -> Reply:
        return answered(60007, retry_after=next(waits, None)) if 4.0 <= at < 4.03 else ok()

    trial = carry_out(3000, script)
    assert trial.calls(4.2, 24.0) == 0
    assert trial.calls(24.0, 26.0) >= 150


# -- Credentials -----------------------------------------------------------------------------------------------------------


class Expiring:
    """A server for which the credential is stale from a time on, until it is renewed."""

    def __init__(self, *expires_at: float, works: bool = True) -> None:
        self._expires_at = list(expires_at)
        self._works = works
        self.trial: Stage | None = None
        self.stale = 0

    def attach(self, stage: Stage) -> None:
        self.trial = stage

    def __call__(self, _api: Api, _content: str, at: float) -> Reply:
        assert self.trial is not None
        renewed = self.trial.client.renewals  # type: ignore[attr-defined]  # the scripted client
        expired = sum(at >= each for each in self._expires_at)
        if expired > (renewed if self._works else 0):
            self.stale += 1
            return answered(70001, "expired")
        return ok()


def test_an_expired_credential_is_renewed_once_and_costs_nothing() -> None:
    server = Expiring(5.0)
    trial = carry_out(3000, server, during=server.attach)
    assert trial.client.renewals == 1
    assert trial.statuses() == {"succeeded": 3000}
    assert all(each.charged == 0 for made in trial.stage.ledger.settlements.values() for each in made)
    assert server.stale <= 40, "in flight when the first answer came, and no more"
    assert trial.notices().count("renewed") == 1


@pytest.mark.slow
def test_three_lanes_renew_the_credential_once() -> None:
    server = Expiring(5.0)
    trial = carry_out({0: 2000, 1: 2000, 2: 2000}, server, during=server.attach)
    assert trial.client.renewals == 1
    assert trial.stage.ledger.figures.operations == sum(sum(trial.statuses(api).values()) for api in range(3))
    assert all(trial.statuses(api) == {"succeeded": 2000} for api in range(3))


def test_renewals_are_a_second_apart() -> None:
    server = Expiring(5.0, 5.0, 5.0)  # the first two new ones don't help
    trial = carry_out(3000, server, during=server.attach)
    renewed = [notice.at for notice in trial.engine._notices if notice.kind == "renewed"]
    assert len(renewed) == 3
    assert all(later - earlier >= 1_000_000 for earlier, later in itertools.pairwise(renewed))
    assert trial.statuses() == {"succeeded": 3000}


def test_three_renewals_in_vain_stop_the_run_with_the_remedy() -> None:
    server = Expiring(5.0, works=False)
    trial = carry_out(3000, server, during=server.attach, remedy=lambda code: "clock skew" if code == 70001 else "")
    assert trial.client.renewals == 3
    assert trial.stopped_by.kind is StopKind.FATAL
    assert "renewed 3 times in vain" in trial.stopped_by.text
    assert "clock skew" in trial.stopped_by.text
    assert server.stale <= 40, "no storm"
    assert set(trial.statuses()) == {"succeeded", "pending"}


def test_a_success_between_them_starts_the_count_of_renewals_anew() -> None:
    server = Expiring(2.0, 4.0, 6.0, 8.0, 10.0)
    trial = carry_out(3000, server, during=server.attach)
    assert trial.client.renewals == 5
    assert trial.statuses() == {"succeeded": 3000}


def test_late_answers_about_the_old_credential_stop_nothing() -> None:
    """Slow nodes call the old credential stale long after calls with the new one went well."""

    async def slow() -> Reply:
        await asyncio.sleep(6.0)
        return answered(70001)

    def script(_api: Api, content: str, at: float) -> Reply | Awaitable[Reply]:
        if at < 2.0:
            return ok()
        seq = int(content[4:])
        if at < 2.1:
            return slow() if seq % 2 else answered(70001)
        return ok()

    trial = carry_out(3000, script)
    assert trial.client.renewals == 1
    assert trial.calls(5.0, 10.0) >= 5 * 198
    assert trial.statuses() == {"succeeded": 3000}


def test_late_answers_about_the_old_credential_do_not_put_the_first_try_of_the_new_one_off() -> None:
    """They trickle in for six seconds, from before the renewal; the probe goes after one."""

    async def late(wait: float) -> Reply:
        await asyncio.sleep(wait)
        return answered(70001)

    def script(_api: Api, content: str, at: float) -> Reply | Awaitable[Reply]:
        return late(int(content[4:]) % 60 / 10) if 2.0 <= at < 2.3 else ok()

    trial = carry_out(3000, script)
    assert trial.client.renewals == 1
    assert trial.calls(3.0, 3.8) >= 1
    assert trial.calls(4.0, 8.0) >= 4 * 185


def test_slow_answers_on_another_lane_about_the_old_credential_do_not_renew_it_again() -> None:
    async def late() -> Reply:
        await asyncio.sleep(3.0)
        return answered(70001)

    def script(api: Api, _content: str, at: float) -> Reply | Awaitable[Reply]:
        if not 2.0 <= at < 2.1:
            return ok()
        return answered(70001) if api.op == "delete_conversation" else late()

    trial = carry_out({0: 2000, 1: 18}, script, limit=9)
    assert trial.client.renewals == 1


def test_strange_answers_while_the_credential_is_renewed_do_not_make_it_another_api() -> None:
    strange = [unanswered("http_403", 403)] * 4

    def script(_api: Api, _content: str, at: float) -> Reply:
        if 2.0 <= at < 2.1:
            return answered(70001)
        return strange.pop() if strange and at > 2.2 else ok()

    trial = carry_out(1000, script)
    assert strange == []
    assert trial.statuses() == {"succeeded": 1000}


# -- Fatal answers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [50003, 60004, 60021, 70003, 70009, 70050])
def test_a_fatal_first_answer_costs_one_call_and_leaves_everything_pending(code: int) -> None:
    trial = carry_out({0: 300, 1: 300}, always(answered(code, "no")), remedy=lambda code: f"mend {code}")
    assert [len(trial.departures(api)) for api in (0, 1)] == [1, 1]
    assert trial.statuses(0) == trial.statuses(1) == {"pending": 300}
    assert trial.stopped_by.kind is StopKind.FATAL
    assert f"{code} no: mend {code}" in trial.stopped_by.text


def test_a_fatal_answer_in_mid_run_drains() -> None:
    """No more calls than were under way when it came; what they bring is kept."""
    trial = carry_out(3000, between(5.0, 1e9, answered(70403)), latency=1.0)
    told = min(trial.happened("settled", made[0].seq)[0] for made in trial.stage.ledger.settlements.values() if made[0].code)
    assert 6.0 <= told <= 6.1
    assert trial.calls(told, 1e9) == 0
    counts = trial.statuses()
    assert counts["succeeded"] + counts["pending"] == 3000
    assert all(each.charged == 0 for made in trial.stage.ledger.settlements.values() for each in made)


def test_a_wrong_certificate_stops_the_run() -> None:
    trial = carry_out(300, always(not_sent("tls", fatal="the certificate has expired")))
    assert trial.stopped_by.kind is StopKind.FATAL
    assert "the certificate has expired" in trial.stopped_by.text
    assert trial.statuses() == {"pending": 300}


@pytest.mark.parametrize("code", [51013, 60009])
def test_an_answer_fatal_for_its_api_lets_the_others_finish(code: int) -> None:
    def script(api: Api, _content: str, _at: float) -> Reply:
        return answered(code) if api.op == "delete_conversation_group" else ok()

    trial = carry_out({0: 1000, 1: 300, 2: 1000}, script)
    assert [trial.statuses(api) for api in range(3)] == [{"succeeded": 1000}, {"pending": 300}, {"succeeded": 1000}]
    assert len(trial.departures(1)) == 1
    assert trial.stopped_by.kind is StopKind.FATAL
    assert "delete_conversation_group" in trial.stopped_by.text


def test_a_missing_permission_before_the_first_success_is_fatal_for_the_api() -> None:
    trial = carry_out({2: 300}, always(answered(10007)))
    assert trial.stopped_by.kind is StopKind.FATAL
    assert trial.statuses(2) == {"pending": 300}


def test_a_missing_permission_after_a_success_is_a_refusal() -> None:
    trial = carry_out({2: 300}, to({name(7): answered(10007), name(9): answered(10007)}))
    assert trial.statuses(2) == {"succeeded": 298, "failed": 2}
    assert trial.attempts(7, 2)[0].verdict is Verdict.REFUSED


def test_a_success_of_an_earlier_process_counts_for_permissions() -> None:
    before = {2: ApiFigures(operations=1, by_status={Status.SUCCEEDED: 1})}
    trial = carry_out({2: 40}, always(answered(10007)), before=before, policy=Policy(refused_alike=1000))
    assert trial.statuses(2) == {"failed": 40}


# -- What a watcher sees ---------------------------------------------------------------------------------------------------


def test_a_snapshot_says_how_the_lane_stands_and_why() -> None:
    reasons: list[str] = []

    def look(stage: Stage) -> None:
        lane = stage.engine.snapshot().lanes[0]
        reasons.append(lane.reason)
        assert lane.op == "delete_conversation"
        assert lane.limit == 200

    def during(stage: Stage) -> None:
        for at in (0.01, 4.0, 12.0, 35.0):
            stage.at(at, lambda: look(stage))

    trial = carry_out(9000, between(10.0, 30.0, answered(50004)), during=during)
    look(trial.stage)
    assert reasons[0] == "starting"
    assert reasons[1] == ""
    assert reasons[2].startswith("outage")
    assert reasons[3].startswith(("throttled to", "outage"))
    assert reasons[4] == ""


def test_a_snapshot_counts_what_is_under_way() -> None:
    seen: list[tuple[int, float, float, float | None]] = []

    def during(stage: Stage) -> None:
        def look() -> None:
            lane = stage.engine.snapshot().lanes[0]
            seen.append((lane.in_flight, lane.rate, lane.allowed, lane.eta))

        stage.at(6.0, look)

    carry_out(3000, always(ok()), latency=1.0, during=during)
    in_flight, rate, allowed, eta = seen[0]
    assert in_flight == pytest.approx(200, abs=3)
    assert rate == pytest.approx(199, abs=2)
    assert allowed == 200.0
    assert eta == pytest.approx(11.0, abs=1.0)


def test_a_halted_lane_and_one_that_waits_for_the_server_say_so() -> None:
    reasons: list[str] = []

    def halt(stage: Stage) -> None:
        for reason in ("because", "another reason"):
            stage.engine.lanes[0].halt(reason)
        reasons.append(stage.engine.snapshot().lanes[0].reason)

    def during(stage: Stage) -> None:
        stage.at(8.0, lambda: reasons.append(stage.engine.snapshot().lanes[0].reason))
        stage.at(9.0, lambda: halt(stage))

    carry_out(3000, throttled_at(4.0, 4.2, 4.4, retry_after=6.0), during=during)
    assert reasons[0].startswith("waits 2 s")
    assert reasons[1] == "because"


# -- What earlier processes left -------------------------------------------------------------------------------------------


def test_what_was_charged_in_earlier_processes_counts() -> None:
    tried = {0: [Operation(1, name(1), number=7, charged=7, calls=7)]}
    trial = carry_out(60, to({name(1): answered(50004)}), tried=tried)
    assert trial.statuses() == {"succeeded": 59, "exhausted": 1}
    assert [(each.number, each.charged) for each in trial.attempts(1)] == [(8, 7), (9, 8)], "nobody to compare it with at first"


def test_doubt_from_earlier_processes_stays_until_an_answer_settles_it() -> None:
    tried = {0: [Operation(1, name(1), number=1, charged=1, calls=1, in_doubt=True)]}
    trial = carry_out(60, troubled(1, answered(50004)), tried=tried)
    first_answer, second_answer = trial.attempts(1)
    assert first_answer.in_doubt
    assert not second_answer.in_doubt
    assert second_answer.status is Status.SUCCEEDED


def settled_of(trial: Trial) -> list[Settlement]:
    return [each for made in trial.stage.ledger.settlements.values() for each in made]


@pytest.mark.slow
def test_the_limit_holds_across_all_of_a_lanes_modes() -> None:
    """Start, stream, throttling, outage, probes, ramp, retries: no second holds more departures than the limit."""

    def script(_api: Api, content: str, at: float) -> Reply:
        if 8.0 <= at < 20.0:
            return answered(50004)
        if 40.0 <= at < 42.0 and int(content[4:]) % 3 == 0:
            return answered(60007)
        return answered(50005) if int(content[4:]) % 50 == 0 and at % 3 < 1 else ok()

    trial = carry_out(9000, script)
    assert worst_window(trial.departures()) <= 200
    assert sum(each.sent for each in settled_of(trial)) == len(trial.departures())
