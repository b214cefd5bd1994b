"""Backoff: full jitter within a doubling cap."""

from __future__ import annotations

import random
import statistics

import pytest

from bulkops.engine.backoff import BASE, CAP, backoff


@pytest.mark.parametrize("tries", [0, 1, 2, 3, 6, 7, 8, 100, 5000])
def test_waits_are_drawn_evenly_between_nothing_and_a_cap_that_doubles(tries: int) -> None:
    random.seed(7)
    upper = min(CAP, BASE * 2.0 ** min(max(0, tries - 1), 60))
    waits = [backoff(tries) for _ in range(2000)]
    assert 0.0 <= min(waits) < 0.05 * upper
    assert 0.95 * upper < max(waits) <= upper
    assert statistics.fmean(waits) == pytest.approx(upper / 2, rel=0.1)


def test_one_operations_attempts_leave_anothers_waits_alone() -> None:
    """A retry state that was shared would lengthen them."""
    random.seed(7)
    for tries in range(1, 20):
        backoff(tries)
    assert max(backoff(1) for _ in range(100)) <= BASE
