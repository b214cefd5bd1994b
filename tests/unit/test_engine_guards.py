"""What stops a run before its job is done: refusals alike, too many failures."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bulkops.chat.catalog import APIS
from bulkops.engine.policy import Policy
from bulkops.model import ApiFigures, Reply, Status, StopKind
from bulkops.testing import answered, ok
from tests.helpers.enginekit import always, carry_out, name


def test_the_first_fifty_refused_alike_stop_the_run() -> None:
    trial = carry_out({0: 300, 1: 3000}, lambda api, _content, _at: answered(50001, "unknown") if api is APIS[0] else ok())
    assert trial.stopped_by.kind is StopKind.GUARD
    assert "first 50 operations of delete_conversation were all refused with 50001 unknown" in trial.stopped_by.text
    assert 50 <= trial.statuses(0)["failed"] <= 50 + 40
    assert trial.statuses(1)["pending"] > 0


@pytest.mark.parametrize("other", [ok(), answered(50002), answered(51009)])
def test_one_that_ended_otherwise_lifts_the_guard_on_refusals(other: Reply) -> None:
    trial = carry_out(300, lambda _api, content, _at: other if content == name(30) else answered(50001))
    assert trial.engine.stops == []


def test_refusals_of_earlier_processes_count() -> None:
    before = {0: ApiFigures(by_status={Status.FAILED: 45}, refused={"50001": 45})}
    trial = carry_out(300, always(answered(50001)), before=before, latency=1.0)
    assert trial.stopped_by.kind is StopKind.GUARD


def test_a_success_of_an_earlier_process_lifts_the_guard_on_refusals() -> None:
    before = {0: ApiFigures(by_status={Status.FAILED: 45, Status.SUCCEEDED: 1}, refused={"50001": 45})}
    assert carry_out(300, always(answered(50001)), before=before).engine.stops == []


def failing(every: int) -> Callable[[object, str, float], Reply]:
    """A server that refuses one in so many operations."""
    return lambda _api, content, _at: answered(50001) if int(content[4:]) % every == 0 else ok()


@pytest.mark.parametrize(("every", "stops"), [(2, True), (3, False)])
@pytest.mark.slow
def test_half_failed_stops_the_run_once_a_thousand_ended(every: int, stops: bool) -> None:
    trial = carry_out(3000, failing(every))
    assert bool(trial.engine.stops) is stops
    if stops:
        assert trial.stopped_by.kind is StopKind.GUARD
        assert "(--max-failures)" in trial.stopped_by.text
        ended = 3000 - trial.statuses()["pending"]
        assert 1000 <= ended <= 1100


def test_the_share_of_failures_counts_over_all_lanes() -> None:
    trial = carry_out(
        {0: 900, 1: 900}, lambda api, _content, _at: answered(50002) if api is APIS[1] else ok(), policy=Policy(refused_alike=0)
    )
    assert trial.stopped_by.kind is StopKind.GUARD


@pytest.mark.parametrize("most", [0, 1, 7])
def test_a_number_of_failures_stops_the_run(most: int) -> None:
    trial = carry_out(3000, failing(10), policy=Policy(max_failures=most))
    assert trial.stopped_by.kind is StopKind.GUARD
    assert f"{max(1, most)} operations failed (--max-failures)" in trial.stopped_by.text
    assert max(1, most) <= trial.statuses()["failed"] <= most + 6


@pytest.mark.parametrize("policy", [Policy(max_failures=7), Policy(max_failure_share=0.1, share_after=50)])
def test_failures_stop_the_run_although_one_api_has_stopped_before(policy: Policy) -> None:
    """The others go on with every guard that they had."""
    script = failing(5)
    trial = carry_out(
        {0: 3000, 1: 3000},
        lambda api, content, at: answered(51013) if api is APIS[0] else script(api, content, at),
        policy=policy,
    )
    assert [stop.kind for stop in trial.engine.stops] == [StopKind.FATAL, StopKind.GUARD]
    assert trial.statuses(1)["pending"] > 2000


def test_with_a_number_the_share_does_not_count() -> None:
    trial = carry_out(3000, failing(2), policy=Policy(max_failures=5000))
    assert trial.engine.stops == []


def test_exhausted_ones_count_as_failures() -> None:
    trial = carry_out(
        300,
        lambda _api, content, _at: answered(50004) if int(content[4:]) % 20 == 0 else ok(),
        policy=Policy(max_failures=3, max_attempts=2),
    )
    assert trial.stopped_by.kind is StopKind.GUARD
