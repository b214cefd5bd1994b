"""The pace: how a lane slows down when the backend throttles, and how it comes back."""

from __future__ import annotations

import pytest

from bulkops.engine.pace import CALM, FLOOR, Pace


def served(pace: Pace, count: int, start: float, end: float) -> None:
    """So many calls come back well, evenly between two times."""
    for place in range(count):
        pace.accepted(start + (end - start) * place / count)


def seconds_to(pace: Pace, rate: float, now: float) -> float:
    """Seconds of calm until the pace allows that rate again."""
    start = now
    while pace.allowed < rate:
        now += 1.0
        pace.tick(now)
        assert now - start < 200
    return now - start


def test_a_lane_begins_at_its_limit() -> None:
    pace = Pace(200.0)
    assert pace.allowed == 200.0
    assert not pace.reduced


def test_throttled_it_falls_at_once_to_just_below_what_was_accepted() -> None:
    pace = Pace(200.0)
    served(pace, 100, 0.01, 1.0)
    assert pace.throttled(1.0)
    assert pace.allowed == pytest.approx(95.0)
    assert pace.reduced


def test_a_capacity_of_a_fifth_of_the_limit_is_found_with_the_second_cut() -> None:
    pace = Pace(200.0)
    served(pace, 40, 0.01, 1.0)
    pace.throttled(1.0)
    served(pace, 40, 1.01, 2.0)
    pace.throttled(2.0)
    assert 36.0 <= pace.allowed <= 40.0


def test_where_nearly_all_was_accepted_the_cut_is_small_and_soon_made_good() -> None:
    """One call too many in a second is a server's clock, not a lower capacity."""
    pace = Pace(200.0)
    served(pace, 198, 0.01, 1.0)
    assert pace.throttled(1.0)
    assert 190.0 <= pace.allowed < 200.0
    assert seconds_to(pace, 200.0, 1.0) <= 4.0


def test_cuts_come_at_most_once_a_second() -> None:
    pace = Pace(200.0)
    served(pace, 195, 0.0, 1.0)
    cuts = [pace.throttled(1.0 + place / 100) for place in range(250)]
    assert [place for place, cut in enumerate(cuts) if cut] == [0, 100, 200]


def test_one_call_a_second_is_left_at_worst() -> None:
    pace = Pace(200.0)
    for second in range(60):
        pace.throttled(float(second))
    assert pace.allowed == FLOOR


def test_one_cut_leaves_three_tenths_at_least() -> None:
    """A second without a single success says little about the next one."""
    pace = Pace(200.0)
    pace.throttled(1.0)
    assert pace.allowed == pytest.approx(60.0)


def test_it_stands_while_the_backend_was_throttling_just_now() -> None:
    pace = Pace(200.0)
    pace.throttled(0.0)
    low = pace.allowed
    assert not any(pace.tick(float(second)) for second in range(1, int(CALM)))
    assert pace.allowed == low


def test_after_calm_it_climbs_by_two_hundredths_of_the_limit_a_second() -> None:
    pace = Pace(200.0)
    pace.throttled(0.0)
    low = pace.allowed
    assert pace.tick(CALM)
    assert pace.allowed == pytest.approx(low + 4.0)
    assert not pace.tick(CALM + 0.5), "twice within a second"


def test_from_any_depth_it_is_back_at_nine_tenths_within_a_minute_and_stops_at_the_limit() -> None:
    pace = Pace(200.0)
    for second in range(10):
        pace.throttled(float(second))
    assert seconds_to(pace, 180.0, 9.0) <= 60.0
    seconds_to(pace, 200.0, 80.0)
    assert pace.allowed == 200.0
    assert not pace.reduced
    assert not pace.tick(300.0), "nothing is left to climb"


def test_after_an_outage_it_doubles_every_second_from_a_tenth() -> None:
    pace = Pace(200.0)
    pace.ramp(100.0)
    rates = [pace.allowed]
    for second in range(101, 106):
        pace.tick(float(second))
        rates.append(pace.allowed)
    assert rates == [20.0, 40.0, 80.0, 160.0, 200.0, 200.0]


def test_throttled_on_the_ramp_it_climbs_slowly_from_there() -> None:
    pace = Pace(200.0)
    pace.ramp(0.0)
    pace.tick(1.0)
    served(pace, 38, 1.0, 2.0)
    pace.throttled(2.0)
    low = pace.allowed
    assert low < 40.0
    assert not pace.tick(3.0)
    assert pace.tick(2.0 + CALM)
    assert pace.allowed == pytest.approx(low + 4.0)


def test_an_outage_never_speeds_a_slow_lane_up() -> None:
    pace = Pace(200.0)
    for second in range(10):
        pace.throttled(float(second))
    pace.ramp(20.0)
    assert pace.allowed == FLOOR


def test_ticks_that_come_a_little_early_count() -> None:
    """A timer of a second may fire a nanosecond before it is over; the ramp must not lose a step to that."""
    pace = Pace(200.0)
    pace.ramp(0.0)
    assert pace.tick(1.0 - 1e-9)


@pytest.mark.parametrize("limit", [1.0, 2.0, 5.0])
def test_slow_lanes_never_stand_still(limit: float) -> None:
    pace = Pace(limit)
    for second in range(20):
        pace.throttled(float(second))
    assert pace.allowed >= min(limit, FLOOR)
    pace.ramp(30.0)
    assert pace.allowed >= min(limit, FLOOR)
