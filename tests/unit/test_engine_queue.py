"""The queue of a lane: who goes next, and that its memory stays bounded."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import pytest

from bulkops.engine.queue import Queue
from bulkops.model import Operation


class Source:
    """Hands out operations 1 … count, like a ledger."""

    def __init__(self, count: int, *, tried: int = 0) -> None:
        self.left: Sequence[int] = range(1, count + 1)
        self._tried = tried
        self.asked: list[int] = []

    async def __call__(self, limit: int) -> Sequence[Operation]:
        self.asked.append(limit)
        taken, self.left = self.left[:limit], self.left[limit:]
        return [Operation(seq, f"u{seq}", number=int(seq <= self._tried)) for seq in taken]


def seqs(operations: Sequence[Operation]) -> list[int]:
    return [operation.seq for operation in operations]


def again(seq: int) -> Operation:
    """An operation that was tried before."""
    return Operation(seq, f"u{seq}", number=1)


async def filled(count: int, *, wanted: int = 1000, waiting_limit: int = 1000, tried: int = 0) -> Queue:
    """A queue with everything at hand."""
    queue = Queue(Source(count, tried=tried), waiting_limit=waiting_limit)
    await queue.refill(wanted)
    return queue


async def test_operations_go_in_the_ledgers_order() -> None:
    queue = await filled(5)
    assert seqs(queue.take(3, 0.0)) == [1, 2, 3]
    assert seqs(queue.take(3, 0.0)) == [4, 5]
    assert queue.take(3, 0.0) == []


async def test_withdrawn_ones_go_first_then_retries_that_are_due_then_fresh_ones() -> None:
    queue = await filled(3)
    taken = queue.take(2, 0.0)
    queue.wait(again(1), 5.0)
    queue.put_back(taken[1])
    assert seqs(queue.take(9, 6.0)) == [2, 1, 3]


async def test_what_is_in_backoff_does_not_go_before_its_time() -> None:
    queue = await filled(0)
    queue.wait(again(1), 5.0)
    queue.wait(again(2), 3.0)
    assert queue.next_at() == 3.0
    assert queue.take(9, 2.9) == []
    assert seqs(queue.take(9, 3.0)) == [2]
    assert queue.waiting == 1
    assert seqs(queue.take(9, 5.0)) == [1]
    assert queue.next_at() is None


async def test_a_probe_is_an_untried_operation_where_there_is_one() -> None:
    queue = await filled(2)
    queue.wait(again(8), 0.0)
    queue.put_back(again(9))
    untried = Operation(7, "u7")
    queue.put_back(untried)
    probes = [queue.take_probe() for _ in range(6)]
    assert [probe.seq if probe else None for probe in probes] == [7, 1, 2, 9, 8, None]


async def test_tried_operations_take_turns_as_probes() -> None:
    """Another one each time: the one whose last attempt is longest ago, whatever its backoff."""
    queue = await filled(0)
    for seq, ready_at in ((1, 30.0), (2, 0.1), (3, 5.0)):
        queue.wait(again(seq), ready_at)
    asked = []
    for _ in range(6):
        probe = queue.take_probe()
        assert probe is not None
        asked.append(probe.seq)
        queue.wait(probe, 0.0)
    assert asked == [1, 2, 3, 1, 2, 3]


async def test_after_a_probe_the_others_are_still_due_in_order() -> None:
    """Taking one out of the middle leaves the rest sorted by their time."""
    queue = await filled(0)
    for seq, ready_at in ((1, 1.0), (2, 9.0), (3, 4.0), (4, 7.0), (5, 2.0)):
        queue.wait(again(seq), ready_at)
    queue.take_probe()
    assert seqs(queue.take(9, 10.0)) == [5, 3, 4, 2]


async def test_however_many_probes_are_taken_out_the_rest_goes_by_its_time() -> None:
    rng = random.Random(3)
    queue = await filled(0)
    due = {seq: rng.random() for seq in range(100)}
    for seq, ready_at in due.items():
        queue.wait(again(seq), ready_at)
    for seq in range(50):
        queue.take_probe()
        del due[seq]
    assert seqs(queue.take(100, 1.0)) == sorted(due, key=due.__getitem__)


async def test_untried_operations_are_left_until_the_ledger_and_the_queue_have_none() -> None:
    queue = Queue(Source(2), waiting_limit=1000)
    left = [queue.untried_left]  # the ledger may have some
    await queue.refill(10)
    await queue.refill(10)
    left.append(queue.untried_left)  # two are here
    taken = queue.take(2, 0.0)
    left.append(queue.untried_left)
    queue.put_back(taken[0])
    left.append(queue.untried_left)  # withdrawn before it left: still untried
    queue.take_probe()
    left.append(queue.untried_left)
    assert left == [True, True, False, True, False]


async def test_the_last_operation_is_known_to_be_the_last() -> None:
    """Else its first failure would pass for an outage of untried others, and it would be asked once too often."""
    queue = await filled(1, wanted=1)
    assert queue.untried_left
    queue.take_probe()
    assert not queue.untried_left


async def test_operations_that_earlier_processes_tried_are_not_untried() -> None:
    queue = await filled(2, tried=2)
    assert not queue.untried_left
    queue.put_back(queue.take(1, 0.0)[0])
    assert not queue.untried_left


async def test_it_is_empty_only_when_nothing_is_here_and_nothing_comes() -> None:
    queue = await filled(1)
    assert not queue.empty
    (operation,) = queue.take(5, 0.0)
    emptied = queue.empty
    queue.wait(operation, 3.0)
    assert (emptied, queue.empty) == (True, False)


async def test_a_ledger_without_more_is_not_asked_again() -> None:
    source = Source(1)
    queue = Queue(source, waiting_limit=1000)
    for _ in range(5):
        await queue.refill(10)
    assert len(source.asked) == 2, "once for the operation, once to hear that there is no other"


async def test_an_allowance_ends_the_supply_and_can_be_renewed() -> None:
    queue = Queue(Source(10), waiting_limit=1000)
    queue.reopen(3)
    await queue.refill(10)
    assert seqs(queue.take(10, 0.0)) == [1, 2, 3]
    assert queue.empty
    assert not queue.untried_left
    queue.reopen(None)
    await queue.refill(10)
    assert seqs(queue.take(10, 0.0)) == [4, 5, 6, 7, 8, 9, 10]


@pytest.mark.parametrize("waiting", [100, 5000])
async def test_while_too_many_wait_nothing_new_is_taken(waiting: int) -> None:
    """Memory is bounded: neither the supply at hand nor the backoff grows with the job."""
    source = Source(1_000_000)
    queue = Queue(source, waiting_limit=100)
    for seq in range(waiting):
        queue.wait(again(seq), 9.0)
    await queue.refill(40)
    assert source.asked == []
    queue.take(waiting, 10.0)
    await queue.refill(40)
    assert len(queue.take(10_000, 0.0)) <= 80


async def test_it_takes_no_more_than_twice_what_is_wanted() -> None:
    source = Source(1000)
    queue = Queue(source, waiting_limit=1000)
    for _ in range(20):
        await queue.refill(40)
        queue.take(7, 0.0)
        await asyncio.sleep(0)
    assert 1000 - len(source.left) <= 20 * 7 + 80
