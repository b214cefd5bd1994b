"""The breaker: what counts as an outage, and when a backend that was ill is asked again."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest

from bulkops.engine.breaker import FIRST_PAUSE, LONGEST_PAUSE, WINDOW, Breaker


def breaker_after(answers: Iterable[tuple[int, bool]]) -> Breaker:
    """A breaker that has seen these answers: (whose, failing)."""
    breaker = Breaker()
    for seq, failing in answers:
        breaker.record(seq, failing=failing)
    return breaker


def mixed(failing: int, well: int) -> list[tuple[int, bool]]:
    """Answers to so many different operations, the failing ones last."""
    return [(seq, seq >= well) for seq in range(failing + well)]


@pytest.mark.parametrize(
    ("failing", "well", "opens"),
    [
        (49, 0, False),  # too few to tell
        (50, 0, True),
        (46, 4, True),  # 8 %
        (45, 5, False),  # 10 % exactly
        (180, 20, False),
        (181, 19, True),
        (0, 200, False),
    ],
)
def test_it_opens_below_a_tenth_of_at_least_fifty(failing: int, well: int, opens: bool) -> None:
    assert breaker_after(mixed(failing, well)).should_open is opens


@pytest.mark.parametrize(
    ("failing", "well", "outage"), [(1, 0, True), (1, 1, False), (2, 1, True), (100, 100, False), (0, 0, False)]
)
def test_an_outage_is_when_more_than_half_are_failing(failing: int, well: int, outage: bool) -> None:
    assert breaker_after(mixed(failing, well)).outage is outage


def test_an_operation_counts_once_however_often_it_failed() -> None:
    """One operation that fails sixty times is no outage beside two that went well."""
    breaker = breaker_after([(1, False), (2, False), *[(3, True)] * 60])
    assert not breaker.outage
    assert not breaker.should_open


def test_the_newest_answer_to_an_operation_is_the_one_that_counts() -> None:
    failed_then_well = [(seq, failing) for failing in (True, False) for seq in range(60)]
    assert not breaker_after(failed_then_well).outage
    assert breaker_after([(seq, not failing) for seq, failing in failed_then_well]).outage


def test_only_the_last_answers_count() -> None:
    """Two hundred good answers are forgotten by the time of two hundred bad ones."""
    breaker = breaker_after(mixed(WINDOW, WINDOW))
    assert breaker.outage
    assert breaker.should_open
    for seq in range(WINDOW):
        breaker.record(1000 + seq, failing=False)
    assert not breaker.outage


def test_an_operation_is_forgotten_only_with_its_last_answer_in_the_window() -> None:
    """The first of two answers to one operation leaves the window; the second still stands for it."""
    breaker = breaker_after([(1, True), *[(2, False)] * (WINDOW - 2), (1, True), (3, True), (4, True)])
    assert breaker.outage  # 1, 3 and 4 against 2


def test_closing_forgets_the_outage() -> None:
    breaker = breaker_after(mixed(60, 0))
    breaker.open()
    opened = breaker.is_open
    breaker.close()
    assert (opened, breaker.is_open, breaker.outage, breaker.should_open) == (True, False, False, False)


@pytest.mark.parametrize("jitter", [0.0, 0.5, 1.0])
def test_pauses_double_from_one_second_to_thirty_less_their_jitter(jitter: float) -> None:
    breaker = Breaker()
    breaker.open()
    pauses = [breaker.pause(jitter) for _ in range(8)]
    share = pauses[0] / FIRST_PAUSE
    assert 0.5 <= share <= 0.8
    assert pauses == pytest.approx([share * min(2.0**probe, LONGEST_PAUSE) for probe in range(8)])


def test_the_longest_pause_leaves_time_for_the_ramp_within_thirty_seconds() -> None:
    breaker = Breaker()
    assert max(breaker.pause(0.0) for _ in range(100)) <= 24.0


def test_pauses_begin_anew_with_every_outage() -> None:
    breaker = Breaker()
    for _ in range(6):
        breaker.pause(0.5)
    breaker.close()
    breaker.open()
    assert breaker.pause(0.5) < 1.0


def test_memory_is_bounded_by_the_window() -> None:
    breaker = breaker_after((seq, bool(seq % 3)) for seq in itertools.islice(itertools.count(), 10_000))
    assert len(breaker._answers) == len(breaker._failing) == len(breaker._times) == WINDOW
