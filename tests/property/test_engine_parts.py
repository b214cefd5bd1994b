"""The engine's deciding parts against the simplest statement of what they promise."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulkops.engine.backoff import BASE, CAP, backoff
from bulkops.engine.breaker import ENOUGH, HEALTHY, WINDOW, Breaker
from bulkops.engine.decision import decide
from bulkops.engine.pace import FLOOR, Pace
from bulkops.engine.queue import Queue
from bulkops.model import Operation, Status, Verdict


@given(st.integers(0, 400), st.integers(1, 300), st.randoms(use_true_random=False))
@pytest.mark.slow
def test_the_breaker_agrees_with_a_look_at_the_last_answers(answers: int, operations: int, rng: random.Random) -> None:
    breaker = Breaker()
    seen: list[tuple[int, bool]] = []
    share = rng.random()
    for _ in range(answers):
        seen.append((rng.randrange(operations), rng.random() < share))
        breaker.record(seen[-1][0], failing=seen[-1][1])
        newest = dict(seen[-WINDOW:])
        failing = sum(newest.values())
        assert breaker.outage == (2 * failing > len(newest))
        assert breaker.should_open == (len(newest) >= ENOUGH and len(newest) - failing < HEALTHY * len(newest))


@given(st.integers(-5, 10_000), st.integers())
def test_backoff_stays_within_its_cap(tries: int, seed: int) -> None:
    random.seed(seed)
    assert 0.0 <= backoff(tries) <= min(CAP, BASE * 2.0 ** min(max(tries, 1) - 1, 10))


@given(st.sampled_from([1.0, 3.0, 50.0, 200.0]), st.lists(st.tuples(st.floats(0, 3), st.sampled_from("atrk")), max_size=80))
def test_the_pace_stays_between_its_floor_and_the_limit_and_is_cut_once_a_second(
    limit: float, story: list[tuple[float, str]]
) -> None:
    pace, now, cut_at = Pace(limit), 0.0, float("-inf")
    for wait, what in story:
        now += wait
        before = pace.allowed
        if what == "a":
            pace.accepted(now)
        elif what == "t" and pace.throttled(now):
            assert now - cut_at >= 1.0
            assert pace.allowed <= before
            cut_at = now
        elif what == "r":
            pace.ramp(now)
            assert pace.allowed <= before
        else:
            pace.tick(now)
        assert min(FLOOR, limit) <= pace.allowed <= limit


operations = st.builds(
    Operation,
    seq=st.integers(1, 9),
    content=st.just("u"),
    number=st.integers(0, 20),
    charged=st.integers(0, 9),
    calls=st.integers(0, 20),
    in_doubt=st.booleans(),
)
verdicts = st.sampled_from([verdict for verdict in Verdict if verdict is not Verdict.FATAL_API_UNTIL_SUCCESS])


@given(operations, verdicts, st.booleans(), st.booleans(), st.integers(1, 8))
def test_decisions_lose_no_doubt_and_give_up_only_what_was_charged(
    operation: Operation, verdict: Verdict, outage: bool, untried_left: bool, max_attempts: int
) -> None:
    decision = decide(operation, verdict, outage=outage, untried_left=untried_left, max_attempts=max_attempts)
    assert operation.charged <= decision.charged <= operation.charged + 1
    final = {Verdict.SUCCEEDED: Status.SUCCEEDED, Verdict.ABSENT: Status.ABSENT, Verdict.REFUSED: Status.FAILED}
    if verdict in final:
        assert decision == (final[verdict], operation.charged, False)
        return
    assert decision.in_doubt == (operation.in_doubt or verdict is Verdict.UNANSWERED)
    if decision.status is Status.PENDING:
        return
    assert decision.charged == operation.charged + 1 >= max_attempts
    assert decision.status is (Status.IN_DOUBT if decision.in_doubt else Status.EXHAUSTED)


@settings(deadline=None)
@given(st.integers(0, 60), st.lists(st.tuples(st.sampled_from("rtpbw"), st.integers(1, 20)), max_size=60))
def test_the_queue_hands_every_operation_out_once_until_it_comes_back(count: int, story: list[tuple[str, int]]) -> None:
    async def follow() -> None:
        left = [Operation(seq, f"u{seq}", number=int(seq % 7 == 0)) for seq in range(1, count + 1)]

        async def claim(limit: int) -> Sequence[Operation]:
            taken = left[:limit]
            del left[:limit]
            return taken

        queue = Queue(claim, waiting_limit=30)
        out: dict[int, Operation] = {}
        now = 0.0

        def take(taken: Sequence[Operation]) -> None:
            assert not out.keys() & {operation.seq for operation in taken}, "handed out twice"
            out.update({operation.seq: operation for operation in taken})

        for what, number in story:
            now += 1.0
            if what == "r":
                await queue.refill(number)
            elif what == "t":
                take(queue.take(number, now))
            elif what == "p":
                probe = queue.take_probe()
                take([probe] if probe else [])
            elif out and what == "b":
                queue.put_back(out.pop(min(out)))
            elif out:
                operation = out.pop(max(out))
                queue.wait(operation._replace(number=operation.number + 1), now + number)
            here = [*queue._fresh, *queue._returned, *(each.operation for each in queue._waiting)]
            assert Counter([*(each.seq for each in [*here, *left]), *out]) == Counter(range(1, count + 1)), "lost, or doubled"
            assert queue._untried == sum(operation.number == 0 for operation in here)
            assert queue.waiting <= 30 + len(story)

    asyncio.run(follow())
