"""Windows of one second, exact to the nanosecond."""

from __future__ import annotations

import random

import pytest

from bulkops.sandbox import quota
from bulkops.sandbox.quota import SECOND, Arrivals, Lane, Window


def brute_worst(times: list[int]) -> int:
    """Most times in any half-open window of one second that begins with one of them."""
    return max(sum(start <= at < start + SECOND for at in times) for start in times)


def test_the_call_after_the_last_one_allowed_is_rejected_until_a_second_is_over() -> None:
    """With a limit of 3: rejected one nanosecond before the first is a second old, let through exactly then."""
    window = Window(3)

    assert [window.admit(at) for at in (0, 1, 2)] == [True, True, True]
    assert not window.admit(SECOND - 1)
    assert window.admit(SECOND)
    assert not window.admit(SECOND)
    assert window.admit(SECOND + 1)


def test_a_rejected_call_does_not_count_against_the_limit() -> None:
    window = Window(1)
    window.admit(0)

    assert not any(window.admit(at) for at in range(1, SECOND, SECOND // 7))
    assert window.admit(SECOND)


def test_the_tolerance_shortens_the_window_by_itself_and_no_more() -> None:
    window = Window(1, tolerance=SECOND // 100)
    window.admit(0)

    assert not window.admit(SECOND - SECOND // 100 - 1)
    assert window.admit(SECOND - SECOND // 100)


@pytest.mark.parametrize(("limit", "tolerance"), [(0, 0), (-1, 0), (1, -1), (1, SECOND)])
def test_a_window_out_of_range_is_refused(limit: int, tolerance: int) -> None:
    with pytest.raises(ValueError, match=r"limit is at least 1|tolerance is 0 to below 1"):
        Window(limit, tolerance)


@pytest.mark.parametrize("seed", range(20))
def test_the_worst_second_is_what_counting_every_window_finds(seed: int) -> None:
    """Also where it is asked for in between, and where calls come at the same time or exactly a second apart."""
    rng = random.Random(seed)
    arrivals = Arrivals()
    times: list[int] = []
    now = 0
    for _ in range(120):
        now += rng.choice((0, 1, SECOND // 50, SECOND // 3, SECOND))
        times.append(arrivals.add(now))
        if rng.random() < 0.1:
            assert arrivals.worst() == brute_worst(times)

    assert arrivals.worst() == brute_worst(times)


def test_nothing_came_yet() -> None:
    arrivals = Arrivals()

    assert (arrivals.worst(), arrivals.calls, arrivals.times(), arrivals.between(0, SECOND)) == (0, 0, [], 0)


def test_a_time_that_runs_backwards_counts_as_the_one_before() -> None:
    arrivals = Arrivals()

    assert [arrivals.add(at) for at in (5 * SECOND, 4 * SECOND)] == [5 * SECOND, 5 * SECOND]


def test_old_arrival_times_go_and_the_worst_second_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded; the second across the cut is counted whole."""
    monkeypatch.setattr(quota, "KEPT", 100)
    arrivals = Arrivals()
    times = [at * SECOND // 40 for at in range(1000)]
    for at in times[:60]:
        arrivals.add(at)
    for at in times[60:]:
        arrivals.add(at)

    assert 100 <= len(arrivals.times()) < 200
    assert arrivals.worst() == brute_worst(times) == 40
    assert arrivals.calls == 1000
    assert arrivals.first == 0
    assert arrivals.between(times[-10], times[-1] + 1) == 10


def test_a_lane_counts_all_calls_and_rejects_those_beyond_its_window() -> None:
    lane = Lane(Window(2))

    assert [lane.arrive(at) for at in (0, 0, 0, SECOND)] == [True, True, False, True]
    assert (lane.arrivals.calls, lane.rejected) == (4, 1)


def test_a_lane_without_a_window_lets_everything_through() -> None:
    lane = Lane(None)

    assert all(lane.arrive(0) for _ in range(500))
    assert lane.arrivals.worst() == 500
