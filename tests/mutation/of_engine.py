"""Mutations of pace, order, repetition and stops: what `engine` promises."""

from __future__ import annotations

from typing import Final

from tests.mutation.mutant import Edit, Mutation, mutation

_LANE: Final = "bulkops/engine/lane.py"
_CREW: Final = "bulkops/engine/crew.py"
_LIMITER: Final = "bulkops/engine/limiter.py"
_BACKOFF: Final = "bulkops/engine/backoff.py"
_BREAKER: Final = "bulkops/engine/breaker.py"
_DECISION: Final = "bulkops/engine/decision.py"
_RUN: Final = "bulkops/engine/run.py"

_PROMISES: Final = "tests/integration/test_promises.py"
_RUN_TESTS: Final = "tests/unit/test_engine_run.py"
_GUARDS_TESTS: Final = "tests/unit/test_engine_guards.py"
_LANE_TESTS: Final = "tests/unit/test_engine_lane.py"

MUTATIONS: Final = (
    Mutation(
        "take the token before the commit",
        "a token is fresh when its call leaves: a slow disk makes no burst",
        (
            Edit(_CREW, "        await crew.limiter.acquire(alive)\n", ""),
            Edit(
                _CREW,
                "        try:\n            await self._ledger.begin(",
                "        for _ in operations:\n            await self.limiter.acquire(lambda: True)\n"
                "        try:\n            await self._ledger.begin(",
            ),
        ),
        (f"{_PROMISES}::test_a_disk_that_stalls_makes_no_burst",),
    ),
    mutation(
        "send without waiting for the intent",
        "before the first byte of a call leaves, the ledger durably says that the attempt began",
        _CREW,
        "            await self._ledger.begin(self._index, [Intent(each.seq, each.number + 1, begun_at) for each in operations])\n",
        "            asyncio.ensure_future(\n                self._ledger.begin("
        "self._index, [Intent(each.seq, each.number + 1, begun_at) for each in operations])\n            )\n",
        "tests/unit/test_engine_crew.py::test_within_one_call_intent_connection_and_token_come_in_this_order",
    ),
    mutation(
        "no window guard",
        "no second, wherever it starts, holds more departures than the limit",
        _LIMITER,
        "            ready = max(ready, self._departed[ahead] + WINDOW + MARGIN)\n",
        "            pass\n",
        "tests/unit/test_limiter.py",
    ),
    mutation(
        "stamp departures before they leave",
        "a call that is late on its way out counts from when it left",
        _CREW,
        "        self._crew.limiter.left()\n",
        "        pass\n",
        "tests/unit/test_engine_crew.py::test_a_departure_counts_from_when_its_request_was_written",
    ),
    Mutation(
        "no bucket",
        "calls are spread over the second instead of leaving in one burst",
        (
            Edit(_LIMITER, "return 0.0 if self._bucket.has_capacity(1 + self._granted) else 1.0 / self.limit", "return 0.0"),
            Edit(_LIMITER, "        await self._bucket.acquire()  # has room", "        # has room"),
        ),
        (f"{_PROMISES}::test_departures_are_spread_over_the_second",),
    ),
    mutation(
        "share one retry state",
        "one operation's attempts never lengthen another's waits",
        _BACKOFF,
        "    state = RetryCallState(retry_object=nothing, fn=None, args=(), kwargs={})\n    state.attempt_number = max(1, tries)\n",
        "    global _STATE\n    if '_STATE' not in globals():\n"
        "        _STATE = RetryCallState(retry_object=nothing, fn=None, args=(), kwargs={})\n"
        "    state = _STATE\n    state.attempt_number += 1\n",
        "tests/unit/test_engine_backoff.py::test_one_operations_attempts_leave_anothers_waits_alone",
    ),
    mutation(
        "backoff without jitter",
        "those that failed together do not come back together",
        _BACKOFF,
        "    return _WAIT(state)\n",
        "    return min(CAP, BASE * 2.0 ** min(max(0, tries - 1), 60))\n",
        "tests/unit/test_engine_backoff.py",
    ),
    mutation(
        "backoff without a cap",
        "no operation waits longer than 30 s for its next attempt",
        _BACKOFF,
        "wait_random_exponential(multiplier=BASE, max=CAP)",
        "wait_random_exponential(multiplier=BASE)",
        "tests/unit/test_engine_backoff.py",
    ),
    mutation(
        "charge attempts in an outage",
        "an outage is not a failure of the operations",
        _DECISION,
        "        charged += not outage or not untried_left\n",
        "        charged += True\n",
        "tests/unit/test_engine_decision.py",
        "tests/unit/test_engine_outage.py",
    ),
    mutation(
        "charge what was not sent",
        "a call of which no byte left uses up no attempt",
        _DECISION,
        "    if verdict is Verdict.TRANSIENT:\n",
        "    if verdict in {Verdict.TRANSIENT, Verdict.NOT_SENT}:\n",
        "tests/unit/test_engine_decision.py",
    ),
    mutation(
        "the breaker never opens",
        "in an outage one probe at a time asks whether it is over",
        _BREAKER,
        "        return self.knows_enough and answers - self._failures < HEALTHY * answers\n",
        "        return False\n",
        "tests/unit/test_engine_breaker.py",
    ),
    mutation(
        "throttling slows nothing down",
        "a lane that is throttled slows down at once",
        _LANE,
        "        if self._pace.throttled(now):\n            self._follow_pace()\n",
        "        if self._pace.throttled(now):\n",
        f"{_LANE_TESTS}::test_a_throttled_lane_slows_down_at_once_and_climbs_back",
    ),
    mutation(
        "Retry-After is not heeded",
        "a server that asks to wait is waited for",
        _LANE,
        "            wait = max(wait, reply.retry_after or 0.0)\n",
        "",
        f"{_LANE_TESTS}::test_retry_after_holds_the_operation_while_throttling_is_rare",
    ),
    Mutation(
        "the first call does not go alone",
        "a wrong key or host costs one call, not a second's worth of them",
        (
            Edit(_LANE, "        self.alone = True\n", "        self.alone = False\n"),
            Edit(_LANE, "        self._crew.standing = True\n        self._queue", "        self._queue"),
        ),
        (f"{_LANE_TESTS}::test_the_first_call_goes_alone",),
    ),
    mutation(
        "in doubt is taken for failed",
        "an operation that may have happened is never called failed or exhausted",
        _DECISION,
        "Decision(Status.IN_DOUBT if in_doubt else Status.EXHAUSTED,",
        "Decision(Status.FAILED if in_doubt else Status.EXHAUSTED,",
        "tests/unit/test_engine_decision.py",
    ),
    mutation(
        "doubt is forgotten with the next answer",
        "an unanswered attempt stays in doubt until an answer settles it",
        _DECISION,
        "    in_doubt = operation.in_doubt or verdict is Verdict.UNANSWERED\n",
        "    in_doubt = verdict is Verdict.UNANSWERED\n",
        "tests/unit/test_engine_decision.py",
    ),
    mutation(
        "attempts never run out",
        "poison ends after --max-attempts instead of being repeated for ever",
        _DECISION,
        "    if charged < max_attempts or charged == operation.charged:\n",
        "    if charged < 10 * max_attempts or charged == operation.charged:\n",
        "tests/unit/test_engine_decision.py",
    ),
    mutation(
        "a drain cancels at once",
        "what is in flight when a run is stopped gets 10 s to be answered",
        _RUN,
        "timeout=DRAIN,",
        "timeout=0.0,",
        f"{_RUN_TESTS}::test_a_stop_lets_what_is_in_flight_finish_and_nothing_else_leave",
    ),
    mutation(
        "a stop lets waiting calls leave",
        "nothing that waits for a token leaves after a stop",
        _LANE,
        "            self._crew.halted = True\n            self.limiter.close()\n",
        "",
        f"{_RUN_TESTS}::test_intents_that_never_left_are_pending_again_after_a_stop",
    ),
    mutation(
        "no guard on failures",
        "a job that fails as a whole stops before it has ruined everything",
        _RUN,
        "            if self._failed >= max(1, most):\n",
        "            if False:\n",
        f"{_GUARDS_TESTS}::test_a_number_of_failures_stops_the_run",
    ),
    mutation(
        "a fatal answer stops nothing",
        "an answer after which nothing can succeed stops the run",
        _LANE,
        "            self._supervisor.fatal(self, reply)\n",
        "            pass\n",
        f"{_PROMISES}::test_a_fatal_answer_stops_the_run",
    ),
    mutation(
        "send on after the ledger failed",
        "where nothing can be written, nothing is sent",
        _RUN,
        "            self.stop(Stop(StopKind.LEDGER, str(error)))\n",
        "            pass\n",
        f"{_RUN_TESTS}::test_nothing_leaves_once_the_ledger_fails",
    ),
    mutation(
        "one API's stop is the run's",
        "after one API has stopped for itself the guards of the others still hold",
        _RUN,
        "        if self._stopped.is_set():\n            return\n        if most is not None:\n",
        "        if self.stops:\n            return\n        if most is not None:\n",
        f"{_GUARDS_TESTS}::test_failures_stop_the_run_although_one_api_has_stopped_before",
    ),
    mutation(
        "the last operation seems to have others after it",
        "an operation gets --max-attempts calls and no more, alone as well",
        "bulkops/engine/queue.py",
        "        return self._untried > 0 or not (self._dry or self._short)\n",
        "        return self._untried > 0 or not self._dry\n",
        "tests/unit/test_engine_queue.py",
    ),
)
