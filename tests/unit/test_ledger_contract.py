"""What every ledger does, whether it is a file or in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bulkops.ledger import AttemptRecord
from bulkops.model import Intent, Operation, SourceFile, Status, Verdict
from tests.helpers.ledger import (
    ABSENT,
    BATCHES,
    BUSY,
    CLEAR,
    CONVERSATION,
    EXHAUSTED,
    FAILED,
    FILES,
    GROUP,
    IN_DOUBT,
    NOT_SENT,
    OPS,
    SECOND,
    START,
    SUCCEEDED,
    THROTTLED,
    TIMEOUT,
    Driver,
    Harness,
    MemoryHarness,
    SqliteHarness,
    a_process,
    by_status,
    reconciles,
    settled,
    simple_job,
)


@pytest.fixture(params=["sqlite", "memory"])
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Harness]:
    """A ledger of `BATCHES`."""
    made: Harness = SqliteHarness(tmp_path / "job.ledger.db") if request.param == "sqlite" else MemoryHarness()
    yield made
    made.close()


@pytest.fixture(params=["sqlite", "memory"])
def ten(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Harness]:
    """A ledger of ten operations of one API."""
    job, path = simple_job(10), tmp_path / "ten.ledger.db"
    made: Harness = SqliteHarness(path, job) if request.param == "sqlite" else MemoryHarness(job)
    yield made
    made.close()


# -- The job -----------------------------------------------------------------------------------------------------------


def test_a_job_is_its_operations_duplicates_and_invalid_rows(harness: Harness) -> None:
    """rows = operations + duplicates + invalid, and the operations are counted by op."""
    job = harness.store.job()
    assert (job.rows, job.operations, job.duplicates, job.invalid) == (9, 5, 2, 2)
    assert job.by_op == {"delete_conversation": 2, "delete_conversation_group": 1, "clear_group_messages": 2}
    assert job.ops == tuple(op for op, _ in OPS)
    assert harness.store.files() == list(FILES)


def test_a_fresh_ledger_has_everything_pending_and_is_untouched(harness: Harness) -> None:
    """Nothing was begun, nothing is bound to an app, nobody has confirmed."""
    store = harness.store
    assert by_status(store.figures()) == {Status.PENDING: 5}
    assert reconciles(store.figures())
    assert not store.touched()
    assert store.app() is None
    assert not store.confirmed
    assert store.processes() == []


def test_the_contents_are_the_operations_in_their_order(harness: Harness) -> None:
    """A duplicate adds nothing to them."""
    assert list(harness.store.contents()) == [
        ("delete_conversation", "u1\t1\tp1\t\t1"),
        ("delete_conversation_group", "u1\tFriends 1"),
        ("delete_conversation", "u1\t1\tp1\t\t0"),
        ("clear_group_messages", "@g\t"),
        ("clear_group_messages", "@g\t55"),
    ]


def test_a_confirmation_is_kept(harness: Harness) -> None:
    """Who has said yes once is not asked again by a resume."""
    harness.store.confirm(START)
    store = harness.restart()
    assert store.confirmed
    assert store.job().confirmed_at == START


def test_settings_are_those_of_the_newest_process_or_what_was_intended_before_any(harness: Harness) -> None:
    """Who resumes after a "no" gets the settings that were asked about."""
    assert harness.store.settings() == {}
    harness.store.intend({"region": "singapore", "rates": {"*": 5}})
    store = harness.restart()
    assert store.settings() == {"region": "singapore", "rates": {"*": 5}}
    store.start_process(replace(a_process(), settings={"region": "seoul"}))
    assert store.settings() == {"region": "seoul"}


# -- Claims ------------------------------------------------------------------------------------------------------------


def test_operations_are_handed_out_once_in_their_order(harness: Harness) -> None:
    """Each API on its own; empty once there are no more."""
    store = harness.store
    assert [each.seq for each in store.claim(CONVERSATION, 1)] == [1]
    assert [each.seq for each in store.claim(CONVERSATION, 5)] == [4]
    assert store.claim(CONVERSATION, 5) == []
    assert [each.content for each in store.claim(CLEAR, 9)] == ["@g\t", "@g\t55"]
    assert store.claim(GROUP, 1) == [Operation(2, "u1\tFriends 1")]


def test_what_was_handed_out_but_not_begun_goes_to_the_next_process(ten: Harness) -> None:
    """Also where later ones were begun: nothing below the newest is lost."""
    driver = Driver.start(ten.store)
    claimed = ten.store.claim(CONVERSATION, 6)
    driver.begin(CONVERSATION, claimed[0], claimed[3])
    driver.settle(4, SUCCEEDED)

    store = ten.restart()
    store.recover(hold=False, at=driver.now)
    assert [each.seq for each in store.claim(CONVERSATION, 20)] == [1, 2, 3, 5, 6, 7, 8, 9, 10]


def test_the_next_process_begins_with_what_was_begun(ten: Harness) -> None:
    """Operations that wait for another attempt come before the untouched ones, with what is known of them."""
    driver = Driver.start(ten.store)
    waiting = driver.carry_out(CONVERSATION, TIMEOUT)
    driver.carry_out(CONVERSATION, SUCCEEDED)

    store = ten.restart()
    first, second = store.claim(CONVERSATION, 2)
    assert first == waiting == Operation(1, "u0\t1\tp0\t\t1", number=1, charged=1, calls=1, in_doubt=True)
    assert second == Operation(3, "u2\t1\tp2\t\t1")


def test_a_process_is_not_handed_what_it_put_back_itself(ten: Harness) -> None:
    """The engine has its waiting operations at hand; a second copy would be a second call."""
    driver = Driver.start(ten.store)
    driver.carry_out(CONVERSATION, BUSY)
    assert [each.seq for each in ten.store.claim(CONVERSATION, 3)] == [2, 3, 4]


def test_a_reopening_does_not_hand_out_what_the_process_has_already(ten: Harness) -> None:
    """Only what was reopened comes anew."""
    driver = Driver.start(ten.store)
    driver.carry_out(CONVERSATION, BUSY)
    driver.carry_out(CONVERSATION, FAILED)
    assert ten.store.reopen([Status.FAILED]) == 1
    assert [each.seq for each in ten.store.claim(CONVERSATION, 3)] == [2, 3, 4]


def test_a_claim_across_many_waiting_ones_pages_through_them(ten: Harness) -> None:
    """However small the limit, each comes once, ascending."""
    driver = Driver.start(ten.store)
    for _ in range(5):
        driver.carry_out(CONVERSATION, BUSY)
    store = ten.restart()
    assert [store.claim(CONVERSATION, 2)[0].seq for _ in range(2)] == [1, 3]
    assert [each.seq for each in store.claim(CONVERSATION, 9)] == [5, 6, 7, 8, 9, 10]


# -- Attempts ----------------------------------------------------------------------------------------------------------


def test_a_begun_attempt_makes_the_operation_sending(harness: Harness) -> None:
    """That is what a crash leaves as evidence; it is no call of this process before it is settled."""
    driver = Driver.start(harness.store)
    driver.begin(CONVERSATION, *harness.store.claim(CONVERSATION, 1))
    figures = harness.store.figures()
    assert by_status(figures) == {Status.PENDING: 4, Status.SENDING: 1}
    assert figures.apis["delete_conversation"].calls == 0
    assert harness.store.touched()
    assert harness.store.orphan_count() == 0
    assert [row.status for row in harness.store.results(["sending"])] == ["sending"]


def test_a_settled_attempt_is_on_record_with_all_that_is_known(harness: Harness) -> None:
    """Times, status, code, text and verdict, and whether it left."""
    driver = Driver.start(harness.store)
    driver.carry_out(GROUP, replace(FAILED, info="bad\0parameter é \ud800"))
    assert harness.store.attempts(2) == [
        AttemptRecord(
            number=1,
            process=1,
            begun_at=START + SECOND,
            answered_at=START + 2 * SECOND,
            http=200,
            code=50002,
            label="50002",
            info="bad\\x00parameter é \\ud800",
            verdict=Verdict.REFUSED,
            sent=True,
        )
    ]
    assert harness.store.attempts(1) == []


def test_every_ended_status_is_counted_and_its_operation_not_handed_out_again(ten: Harness) -> None:
    """A resume sends nothing twice."""
    driver = Driver.start(ten.store)
    for outcome in (SUCCEEDED, ABSENT, FAILED, EXHAUSTED, IN_DOUBT):
        driver.carry_out(CONVERSATION, outcome)
    assert by_status(ten.store.figures()) == {
        Status.PENDING: 5,
        Status.SUCCEEDED: 1,
        Status.ABSENT: 1,
        Status.FAILED: 1,
        Status.EXHAUSTED: 1,
        Status.IN_DOUBT: 1,
    }
    assert [each.seq for each in ten.restart().claim(CONVERSATION, 20)] == [6, 7, 8, 9, 10]


def test_calls_are_the_sum_of_the_codes_and_retries_are_calls_beyond_the_first(ten: Harness) -> None:
    """An attempt that was not sent is on record, and is no call."""
    driver = Driver.start(ten.store)
    operation = driver.carry_out(CONVERSATION, NOT_SENT)
    for outcome in (BUSY, THROTTLED, TIMEOUT):
        operation = driver.again(CONVERSATION, operation, outcome)
    driver.again(CONVERSATION, operation, SUCCEEDED)
    figures = ten.store.figures()
    api = figures.apis["delete_conversation"]
    assert api.codes == {"50004": 1, "60007": 1, "timeout": 1, "0": 1}
    assert (api.calls, api.retried, api.throttled) == (4, 3, 1)
    assert len(ten.store.attempts(1)) == 5
    assert [row.attempts for row in ten.store.results(["succeeded"])] == [4]
    assert reconciles(figures)


def test_refusals_are_counted_by_code(ten: Harness) -> None:
    """Operations, not calls."""
    driver = Driver.start(ten.store)
    driver.carry_out(CONVERSATION, FAILED)
    driver.carry_out(CONVERSATION, FAILED)
    assert ten.store.figures().apis["delete_conversation"].refused == {"50002": 2}


def test_an_absent_target_may_be_our_own_doing(ten: Harness) -> None:
    """Only where an earlier attempt was left unanswered, not where one was answered."""
    driver = Driver.start(ten.store)
    for first in (TIMEOUT, BUSY):
        operation = driver.carry_out(CONVERSATION, first)
        operation = driver.again(CONVERSATION, operation, BUSY)
        driver.again(CONVERSATION, operation, ABSENT)
    driver.carry_out(CONVERSATION, ABSENT)
    api = ten.store.figures().apis["delete_conversation"]
    assert (api.by_status[Status.ABSENT], api.absent_ours) == (3, 1)


def test_a_withdrawn_intent_leaves_the_operation_as_it_was(ten: Harness) -> None:
    """No attempt is on record; the next process is handed it first, although later ones were begun."""
    driver = Driver.start(ten.store)
    operation = ten.store.claim(CONVERSATION, 1)[0]
    driver.begin(CONVERSATION, operation)
    driver.withdraw(operation.seq)
    assert not ten.store.touched()
    driver.carry_out(CONVERSATION, SUCCEEDED)
    assert by_status(ten.store.figures()) == {Status.PENDING: 9, Status.SUCCEEDED: 1}
    assert [row.attempts for row in ten.store.results(["pending"])] == [0] * 9
    assert ten.restart().claim(CONVERSATION, 1) == [operation]


def test_one_group_may_settle_one_attempt_and_begin_the_next(ten: Harness) -> None:
    """A short backoff ends within the group: the operation is sending afterwards."""
    driver = Driver.start(ten.store)
    operation = ten.store.claim(CONVERSATION, 1)[0]
    driver.begin(CONVERSATION, operation)
    changes = driver.changes()
    api, before = driver.sending.pop(operation.seq)
    after = Operation(before.seq, before.content, 1, 1, 1)
    changes.settlements = [(api, settled(before, BUSY, START, START + 1)[0])]
    changes.intents = [(api, Intent(before.seq, 2, START + 2))]
    ten.store.apply(changes)
    assert by_status(ten.store.figures()) == {Status.PENDING: 9, Status.SENDING: 1}
    driver.sending[before.seq] = (api, after)
    driver.settle(before.seq, SUCCEEDED)
    assert [each.number for each in ten.store.attempts(1)] == [1, 2]


# -- Crashes -----------------------------------------------------------------------------------------------------------


def test_what_a_killed_process_left_sending_counts_as_lost_calls_at_once(ten: Harness) -> None:
    """Already before anybody recovers it: that is what `status` shows after a kill."""
    driver = Driver.start(ten.store)
    waiting = driver.carry_out(CONVERSATION, BUSY)
    driver.begin(CONVERSATION, waiting, *ten.store.claim(CONVERSATION, 2))

    store = ten.restart()
    figures = store.figures()
    api = figures.apis["delete_conversation"]
    assert by_status(figures) == {Status.PENDING: 7, Status.SENDING: 3}
    assert api.codes == {"50004": 1, "lost": 3}
    assert (api.calls, api.retried, api.process_calls) == (4, 1, 4)
    assert (api.first_departure, api.last_departure) == (START + SECOND, START + 3 * SECOND)
    assert store.figures(live=True).apis["delete_conversation"].calls == 1
    assert store.orphan_count() == 3
    assert [(each.seq, each.begun_at) for each in store.orphans(2)] == [(1, START + 3 * SECOND), (2, START + 3 * SECOND)]


def test_what_a_process_has_under_way_when_it_ends_is_left_by_it(ten: Harness) -> None:
    """After a forced stop the summary says what `status` will say."""
    driver = Driver.start(ten.store)
    driver.begin(CONVERSATION, *ten.store.claim(CONVERSATION, 2))
    ten.store.end_process(driver.process, driver.now, "stopped at once", 4)
    figures = ten.store.figures()
    assert figures.apis["delete_conversation"].codes == {"lost": 2}
    assert figures.apis["delete_conversation"].process_calls == 2
    assert ten.store.orphan_count() == 2
    assert ten.restart().figures() == figures


def test_recovered_operations_are_sent_again_first_and_counted_once(ten: Harness) -> None:
    """They are in doubt, their lost attempt is on record and not charged, and being sent again is counted when it happens."""
    driver = Driver.start(ten.store)
    driver.begin(CONVERSATION, *ten.store.claim(CONVERSATION, 2))
    store = ten.restart()
    before = store.figures()

    assert store.recover(hold=False, at=START + 99 * SECOND) == 2
    again = Driver.start(store, START + 100 * SECOND)
    first, second = store.claim(CONVERSATION, 2)
    assert first == Operation(1, "u0\t1\tp0\t\t1", number=1, charged=0, calls=1, in_doubt=True)
    assert store.attempts(1) == [
        AttemptRecord(1, 1, START + SECOND, 0, None, None, "lost", "", Verdict.UNANSWERED, sent=True),
    ]
    assert store.figures().apis["delete_conversation"].codes == before.apis["delete_conversation"].codes == {"lost": 2}
    assert store.figures().resent_in_doubt == 0

    first = again.again(CONVERSATION, first, NOT_SENT)
    assert store.figures().resent_in_doubt == 0
    first = again.again(CONVERSATION, first, BUSY)
    again.again(CONVERSATION, first, SUCCEEDED)
    again.again(CONVERSATION, second, SUCCEEDED)
    assert store.figures().resent_in_doubt == 2
    assert store.figures().apis["delete_conversation"].retried == 3
    assert store.recover(hold=False, at=0) == 0


def test_an_operation_in_doubt_that_was_not_sent_again_yet_is_so_for_the_next_process_too(ten: Harness) -> None:
    """An attempt that never left, and a process that took it back, change nothing about what may have happened before."""
    Driver.start(ten.store).begin(CONVERSATION, *ten.store.claim(CONVERSATION, 1))
    store = ten.restart()
    store.recover(hold=False, at=START)
    driver = Driver.start(store, START + SECOND)
    operation = driver.carry_out(CONVERSATION, NOT_SENT)
    driver.begin(CONVERSATION, operation)
    driver.withdraw(operation.seq)
    store = ten.restart()
    driver = Driver.start(store, START + 100 * SECOND)
    operation = driver.carry_out(CONVERSATION, BUSY)
    assert (operation.seq, operation.in_doubt, operation.calls) == (1, True, 2)
    assert store.figures().resent_in_doubt == 1
    store = ten.restart()
    Driver.start(store, START + 200 * SECOND).carry_out(CONVERSATION, SUCCEEDED)
    assert store.figures().resent_in_doubt == 1


def test_what_is_lost_a_second_time_was_sent_again_once_more(ten: Harness) -> None:
    """Every time that an operation in doubt is sent again counts, whether the answer comes or not."""
    Driver.start(ten.store).begin(CONVERSATION, *ten.store.claim(CONVERSATION, 1))
    store = ten.restart()
    store.recover(hold=False, at=START)
    Driver.start(store, START + SECOND).begin(CONVERSATION, *store.claim(CONVERSATION, 1))
    store = ten.restart()
    assert store.figures().resent_in_doubt == 1
    store.recover(hold=False, at=START)
    assert store.figures().resent_in_doubt == 1
    driver = Driver.start(store, START + 2 * SECOND)
    driver.carry_out(CONVERSATION, SUCCEEDED)
    figures = store.figures()
    assert figures.resent_in_doubt == 2
    assert figures.apis["delete_conversation"].codes == {"lost": 2, "0": 1}
    assert figures.apis["delete_conversation"].retried == 2


def test_held_operations_end_in_doubt(ten: Harness) -> None:
    """Nothing is sent again until the user retries; then it counts as sent again."""
    Driver.start(ten.store).begin(CONVERSATION, *ten.store.claim(CONVERSATION, 2))
    store = ten.restart()
    assert store.recover(hold=True, at=START + 50 * SECOND) == 2
    assert by_status(store.figures()) == {Status.PENDING: 8, Status.IN_DOUBT: 2}
    assert {row.finished_at for row in store.results(["in_doubt"])} == {START + 50 * SECOND}
    assert [each.seq for each in store.claim(CONVERSATION, 2)] == [3, 4]

    assert store.reopen([Status.IN_DOUBT]) == 2
    driver = Driver.start(store, START + 60 * SECOND)
    operation = store.claim(CONVERSATION, 1)[0]
    assert operation == Operation(1, "u0\t1\tp0\t\t1", number=1, charged=0, calls=1, in_doubt=True)
    driver.again(CONVERSATION, operation, SUCCEEDED)
    assert store.figures().resent_in_doubt == 1


def test_only_the_newest_process_has_departures(ten: Harness) -> None:
    """Its rate is what a summary shows."""
    driver = Driver.start(ten.store)
    driver.carry_out(CONVERSATION, SUCCEEDED)
    store = ten.restart()
    assert store.figures().apis["delete_conversation"].process_calls == 1
    second = Driver.start(store, START + 100 * SECOND)
    assert store.figures().apis["delete_conversation"].process_calls == 0
    for _ in range(3):
        second.carry_out(CONVERSATION, SUCCEEDED)
    api = store.figures().apis["delete_conversation"]
    assert (api.process_calls, api.calls) == (3, 4)
    assert (api.first_departure, api.last_departure) == (START + 101 * SECOND, START + 105 * SECOND)


# -- Retry -------------------------------------------------------------------------------------------------------------


def test_reopened_operations_get_fresh_attempts_and_keep_their_history(ten: Harness) -> None:
    """Numbers and calls go on, charges begin anew, doubt stays."""
    driver = Driver.start(ten.store)
    operation = driver.carry_out(CONVERSATION, BUSY)
    driver.again(CONVERSATION, operation, EXHAUSTED)
    driver.carry_out(CONVERSATION, IN_DOUBT)
    driver.carry_out(CONVERSATION, FAILED)
    store = ten.restart()
    assert store.reopen([Status.EXHAUSTED, Status.IN_DOUBT]) == 2
    Driver.start(store, START + 100 * SECOND)
    assert store.claim(CONVERSATION, 3) == [
        Operation(1, "u0\t1\tp0\t\t1", number=2, charged=0, calls=2, in_doubt=False),
        Operation(2, "u1\t1\tp1\t\t1", number=1, charged=0, calls=1, in_doubt=True),
        Operation(4, "u3\t1\tp3\t\t1"),
    ]
    assert by_status(store.figures()) == {Status.PENDING: 9, Status.FAILED: 1}
    assert store.figures().resent_in_doubt == 0
    assert store.reopen([Status.EXHAUSTED, Status.PENDING]) == 0


def test_reopening_can_be_limited_to_codes_of_the_newest_attempt(ten: Harness) -> None:
    """Numbers and labels alike; what is reopened is no longer counted as refused."""
    driver = Driver.start(ten.store)
    driver.carry_out(CONVERSATION, FAILED)
    driver.carry_out(CONVERSATION, replace(FAILED, code=50001, label="50001"))
    driver.carry_out(CONVERSATION, IN_DOUBT)
    store = ten.restart()
    assert store.reopen([Status.FAILED, Status.IN_DOUBT], [50001, "http_502"]) == 2
    figures = store.figures()
    assert figures.apis["delete_conversation"].refused == {"50002": 1}
    assert by_status(figures) == {Status.PENDING: 9, Status.FAILED: 1}
    assert reconciles(figures)


def test_a_reopened_absence_is_no_longer_counted_as_ours(ten: Harness) -> None:
    """It may end otherwise this time."""
    driver = Driver.start(ten.store)
    operation = driver.carry_out(CONVERSATION, TIMEOUT)
    driver.again(CONVERSATION, operation, ABSENT)
    driver.carry_out(CONVERSATION, ABSENT)
    assert ten.store.reopen([Status.ABSENT]) == 2
    assert ten.store.figures().apis["delete_conversation"].absent_ours == 0


# -- Results -----------------------------------------------------------------------------------------------------------


def test_results_are_one_line_per_operation_with_its_newest_attempt(harness: Harness) -> None:
    """In the order of the files; a time only for those that ended."""
    driver = Driver.start(harness.store)
    driver.carry_out(CONVERSATION, SUCCEEDED)
    driver.carry_out(GROUP, TIMEOUT)
    rows = [row[1:10] for row in harness.store.results()]
    assert rows == [
        ("u1\t1\tp1\t\t1", "first", "a.csv", 2, "succeeded", 1, "0", "", START + 2 * SECOND),
        ("u1\tFriends 1", "", "a.csv", 3, "pending", 1, "timeout", "no answer", 0),
        ("u1\t1\tp1\t\t0", "", "a.csv", 6, "pending", 0, "", "", 0),
        ("@g\t", "whole", "a.csv", 7, "pending", 0, "", "", 0),
        ("@g\t55", "", "b.jsonl", 3, "pending", 0, "", "", 0),
    ]
    assert [row.api for row in harness.store.results()] == [0, 1, 0, 2, 2]


def test_rows_are_every_row_of_the_job(harness: Harness) -> None:
    """Duplicates with the outcome of their operation and their own reference, invalid rows with what is wrong."""
    Driver.start(harness.store).carry_out(CONVERSATION, FAILED)
    rows = list(harness.store.rows())
    assert [(row.file, row.line, row.status, row.ref) for row in rows] == [
        ("a.csv", 2, "failed", "first"),
        ("a.csv", 3, "pending", ""),
        ("a.csv", 4, "failed", "again"),
        ("a.csv", 5, "invalid", ""),
        ("a.csv", 6, "pending", ""),
        ("a.csv", 7, "pending", "whole"),
        ("b.jsonl", 1, "pending", "twice"),
        ("b.jsonl", 2, "invalid", ""),
        ("b.jsonl", 3, "pending", ""),
    ]
    assert (rows[3].api, rows[3].info, rows[3].cells) == (-1, "Type: 3 is not 1 or 2", '{"From_Account":"u9"}')
    assert rows[7].info == "no JSON"


def test_results_can_be_limited_to_statuses_and_codes(harness: Harness) -> None:
    """Both given, both must fit; invalid rows only where they are asked for."""
    driver = Driver.start(harness.store)
    driver.carry_out(CONVERSATION, FAILED)
    driver.carry_out(CLEAR, TIMEOUT)
    store = harness.store
    assert [row.line for row in store.results(["failed"])] == [2]
    assert [row.line for row in store.results((), ["timeout", 50002])] == [2, 7]
    assert [row.line for row in store.results(["pending"], [50002])] == []
    assert [row.line for row in store.results(["invalid"])] == [5, 2]
    assert [row.line for row in store.results(["invalid", "failed"])] == [2, 5, 2]
    assert [row.line for row in store.rows(["failed"])] == [2, 4]
    assert [row.line for row in store.rows((), [50002])] == [2, 4]


# -- Processes ---------------------------------------------------------------------------------------------------------


def test_every_process_is_on_record(harness: Harness) -> None:
    """Who, where, with what, from when to when and why it ended."""
    read = [SourceFile("renamed.csv.gz", "cc", 70, 6)]
    number = harness.store.start_process(a_process(), read)
    harness.store.end_process(number, START + 90 * SECOND, "stopped by a signal", 4)
    store = harness.restart()
    second = store.start_process(a_process(START + 100 * SECOND))
    record, current = store.processes()
    assert record == replace(
        a_process(), number=1, seen_at=START + 90 * SECOND, ended_at=START + 90 * SECOND, reason="stopped by a signal", exit=4
    )
    assert (second, current.number, current.ended_at, current.exit) == (2, 2, 0, None)
    assert (store.process_files(1), store.process_files(2)) == (read, [])
    assert store.elapsed() == store.figures().elapsed == 90.0


def test_a_killed_process_counts_as_long_as_it_was_seen(ten: Harness) -> None:
    """Every commit is a sign of life."""
    driver = Driver.start(ten.store)
    driver.carry_out(CONVERSATION, SUCCEEDED)
    assert ten.restart().elapsed() == 2.0


def test_the_ledger_is_bound_to_an_app_once_an_operation_ended(ten: Harness) -> None:
    """The first one: what only waits binds nothing, and nothing binds it anew."""
    driver = Driver.start(ten.store, sdkappid=1400000007)
    driver.carry_out(CONVERSATION, BUSY)
    assert ten.store.app() is None
    driver.carry_out(CONVERSATION, SUCCEEDED)
    assert ten.store.app() == ten.store.job().sdkappid == 1400000007
    other = Driver.start(ten.restart(), sdkappid=1400000008)
    other.carry_out(CONVERSATION, SUCCEEDED)
    assert ten.store.app() == 1400000007


def test_the_tally_of_a_change_is_what_it_adds(ten: Harness) -> None:
    """So figures can be kept beside the store without asking it."""
    driver = Driver.start(ten.store)
    kept = ten.store.tally()
    kept.add(driver.begin(CONVERSATION, *ten.store.claim(CONVERSATION, 3)))
    assert kept.figures(ten.store.job(), 0) == replace(ten.store.figures(), elapsed=0)


def test_a_job_is_the_same_in_both_kinds_of_ledger(tmp_path: Path) -> None:
    """The file's folding in SQL and the twin's in Python agree on everything."""
    sqlite, memory = SqliteHarness(tmp_path / "a.db", BATCHES), MemoryHarness(BATCHES)
    assert sqlite.frozen == memory.frozen
    sqlite.close()
