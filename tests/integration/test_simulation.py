"""Seeded simulations: whatever breaks, in whatever order, the ledger tells the truth and nothing is lost.

A seed that fails is carried out again, exactly, with its story told, by `python -m tests.helpers.simulation SEED`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from bulkops.chat import verdicts
from bulkops.chat.catalog import APIS
from bulkops.engine import limiter
from bulkops.engine.limiter import Limiter
from bulkops.errors import LedgerError
from bulkops.ledger import GroupCommit, SqliteStore, adopt, freeze, ledger_lock
from bulkops.model import Api, Batch, Intent, Reply, SourceFile, Verdict
from tests.helpers.simulation import Outcome, Store, Story, check, contents, draw_story, simulate

FIRST_SEEDS = range(200)
STRESS_SEEDS = range(200, 5200)


def checked(seed: int, carry_out: Callable[[Story], Outcome] = simulate) -> Outcome:
    """A seed's simulation, if everything held that has to."""
    try:
        outcome = carry_out(draw_story(seed))
        check(outcome)
    except (AssertionError, LedgerError, KeyError) as error:
        raise AssertionError(f"seed {seed} (python -m tests.helpers.simulation {seed}): {error}") from error
    return outcome


pytestmark = pytest.mark.untraced

told_by: dict[int, list[str]] = {}
"""What happened in the seeds that were carried out so far."""

in_one_process = pytest.mark.xdist_group("simulation")
"""For tests of which a later one looks at what the earlier ones were told."""


@in_one_process
@pytest.mark.parametrize("seed", FIRST_SEEDS)
def test_whatever_breaks_the_ledger_tells_the_truth(seed: int) -> None:
    told_by[seed] = checked(seed).events


@pytest.mark.stress
def test_whatever_breaks_the_ledger_tells_the_truth_for_thousands_of_seeds() -> None:
    for seed in STRESS_SEEDS:
        checked(seed)


@pytest.mark.parametrize("seed", [3, 11, 37, 42, 91])
def test_the_same_seed_twice_leaves_the_same_ledger(seed: int) -> None:
    assert checked(seed).fingerprint() == checked(seed).fingerprint()


@in_one_process
@pytest.mark.slow
def test_the_weather_of_the_suite_is_foul_enough() -> None:
    """Among the seeds that always run, every kind of trouble happens often: else they would prove little."""
    told: dict[str, int] = {}
    for seed in FIRST_SEEDS:
        for event in told_by.get(seed) or simulate(draw_story(seed)).events:
            for word in (
                "outage:",
                "outage_over",
                "throttled",
                "waiting",
                "renewed",
                "kill",
                "ledger",
                "stop ",
                "stop_at_once",
            ):
                told[word] = told.get(word, 0) + (word in event)
    assert min(told.values()) >= 10, told


# -- The same on SQLite ----------------------------------------------------------------------------------------------------


class Files:
    """Makes a ledger file, and opens it anew for every process.

    Args:
        folder: Where.
        stack: Closes what is left open.
    """

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self._path = folder / "job.ledger.db"
        self._stack = stack

    def make(self, story: Story) -> SqliteStore:
        rows = [(api, each, "", line) for line, (api, each) in enumerate(_flat(story), start=2)]
        fresh = self._path.with_suffix(".new")
        ops = [(api.op, False) for api in APIS]
        freeze(fresh, [Batch(0, rows, [])], ops=ops, files=lambda: [SourceFile("a.csv", "", 0, len(rows))], sandbox=False)
        adopt(fresh, self._path)
        lock = ledger_lock(self._path)
        lock.acquire()
        self._stack.callback(lock.release)
        return self._open()

    def reopen(self, store: Store) -> SqliteStore:
        assert isinstance(store, SqliteStore)
        store.close()
        return self._open()

    def _open(self) -> SqliteStore:
        return self._stack.enter_context(SqliteStore.open(self._path, write=True))


def _flat(story: Story) -> Iterator[tuple[int, str]]:
    return ((api, each) for api, of_api in contents(story).items() for each in of_api)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [3, 18, 37, 58, 91, 117])
def test_the_file_tells_what_the_memory_tells(seed: int, tmp_path: Path) -> None:
    """The same story on SQLite, reopened for every process, leaves the same on record."""
    with contextlib.ExitStack() as stack:
        files = Files(tmp_path, stack)
        on_disk = checked(seed, lambda story: simulate(story, files.make, files.reopen))
        assert on_disk.fingerprint() == checked(seed).fingerprint()


# -- The simulation notices ------------------------------------------------------------------------------------------------


def first_that_fails(seeds: Iterable[int]) -> int:
    """The first seed in whose simulation something does not hold."""
    for seed in seeds:
        try:
            checked(seed)
        except AssertionError:
            return seed
    raise LookupError("all of them hold")


def _hasty_begin(self: GroupCommit, api: int, intents: Sequence[Intent]) -> asyncio.Future[None]:
    begin(self, api, intents)
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    done.set_result(None)
    return done


begin = GroupCommit.begin


def test_calls_that_leave_before_their_intent_is_durable_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GroupCommit, "begin", _hasty_begin)
    first_that_fails(FIRST_SEEDS)


def test_a_judge_that_takes_silence_for_success_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def optimistic(api: Api, reply: Reply) -> Verdict:
        verdict = judge(api, reply)
        return Verdict.SUCCEEDED if verdict is Verdict.UNANSWERED else verdict

    judge = verdicts.judge
    monkeypatch.setattr(verdicts, "judge", optimistic)
    first_that_fails(FIRST_SEEDS)


def test_a_limiter_that_forgets_its_window_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiter, "WINDOW", 0.1)
    first_that_fails(FIRST_SEEDS)


def test_a_resume_within_the_same_second_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Limiter, "not_before", lambda _self, _at: None)
    first_that_fails(range(2000))


def test_answers_that_are_not_written_down_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(self: GroupCommit, api: int, settlement: object) -> None:
        del self, api, settlement

    monkeypatch.setattr(GroupCommit, "settle", forgetful)
    first_that_fails(FIRST_SEEDS)
