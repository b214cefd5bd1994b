"""Stores in memory that are made without a job file."""

from __future__ import annotations

import pytest

from bulkops.ledger import MemoryStore
from bulkops.model import Operation, Status
from tests.helpers.ledger import BUSY, CLEAR, CONVERSATION, GROUP, SUCCEEDED, Driver, by_status, reconciles

NAMES = ("delete_conversation", "delete_conversation_group", "clear_group_messages")


def test_a_store_of_contents_is_a_job_sorted_by_api() -> None:
    """As a file would be that has one API after the other."""
    store = MemoryStore.of({CLEAR: ["@a\t", "@b\t"], CONVERSATION: ["u1\t1\tp1\t\t"]}, NAMES)
    assert list(store.contents()) == [
        ("delete_conversation", "u1\t1\tp1\t\t"),
        ("clear_group_messages", "@a\t"),
        ("clear_group_messages", "@b\t"),
    ]
    assert store.claim(CLEAR, 5) == [Operation(2, "@a\t"), Operation(3, "@b\t")]
    assert store.claim(GROUP, 5) == []
    assert [row.line for row in store.results()] == [2, 3, 4]


def test_a_generated_store_makes_operations_when_they_are_claimed() -> None:
    """Ten million of them cost their statuses and no more; counts are kept as in any other."""
    made: list[tuple[int, int]] = []

    def content(api: int, index: int) -> str:
        made.append((api, index))
        return f"{api}.{index}"

    store = MemoryStore.generated([5_000_000, 0, 3], content, NAMES)
    assert store.job().operations == 5_000_003
    assert [each.content for each in store.claim(CLEAR, 10)] == ["2.0", "2.1", "2.2"]
    assert store.claim(CONVERSATION, 2) == [Operation(1, "0.0"), Operation(2, "0.1")]
    assert made == [(2, 0), (2, 1), (2, 2), (0, 0), (0, 1)]
    assert store.claim(GROUP, 1) == []

    driver = Driver.start(store)
    operation = driver.carry_out(CONVERSATION, BUSY)
    assert operation.seq == 3
    driver.again(CONVERSATION, operation, SUCCEEDED)
    assert by_status(store.figures()) == {Status.PENDING: 5_000_002, Status.SUCCEEDED: 1}
    assert reconciles(store.figures())
    assert store.attempts(3) == []
    assert store.touched()


def test_a_small_generated_store_has_results() -> None:
    """Statuses are known, attempts are not kept."""
    store = MemoryStore.generated([2], lambda api, index: f"{api}.{index}", NAMES)
    Driver.start(store).carry_out(CONVERSATION, SUCCEEDED)
    assert [(row.content, row.status, row.attempts) for row in store.results()] == [
        ("0.0", "succeeded", 0),
        ("0.1", "pending", 0),
    ]
    assert list(store.contents()) == [("delete_conversation", "0.0"), ("delete_conversation", "0.1")]
    assert store.confirmed is False


@pytest.mark.parametrize("limit", [0, -1])
def test_claiming_nothing_brings_nothing(limit: int) -> None:
    """And hands nothing out."""
    store = MemoryStore.of({CONVERSATION: ["a"]}, NAMES)
    assert store.claim(CONVERSATION, limit) == []
    assert len(store.claim(CONVERSATION, 1)) == 1
