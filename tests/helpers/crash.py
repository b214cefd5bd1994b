"""What a crash leaves in a ledger, and whether the promises hold: the ledger's word against the server's count.

A ledger is read from a copy, by the standard library's SQLite, which shares nothing with the product: looking must not repair
what the next process of the run has to find.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from tests.helpers.otherserver_handle import Arrival, Record

BESIDE: Final = ("", "-wal", "-shm")
"""A ledger's file, and what SQLite keeps beside it while it is in use or after a kill."""

_REPEATED: Final = frozenset({"50004"})
"""Answers that ask for another attempt."""

_SENDING: Final = "SELECT operation, number, begun_at FROM open WHERE begun_at IS NOT NULL"
_WAITING: Final = "SELECT operation FROM open WHERE begun_at IS NULL"
_ENDED: Final = "SELECT seq FROM operation WHERE status > 3"


@dataclass(frozen=True)
class Snapshot:
    """What a ledger says: operations by their place in the job, from 0.

    Args:
        operations: All of them.
        sending: Begun and not settled: the attempt's number, and when it began (seconds since 1970).
        waiting: Settled, or in doubt and announced, and to be sent again.
        ended: Those with a final outcome.
    """

    operations: int
    sending: Mapping[int, tuple[int, float]]
    waiting: frozenset[int]
    ended: frozenset[int]

    @property
    def known(self) -> frozenset[int]:
        """Those of which a call may have left."""
        return self.ended | self.waiting | self.sending.keys()

    @classmethod
    def of(cls, ledger: Path) -> Snapshot:
        """What a ledger says whose process is gone, with its log."""
        with tempfile.TemporaryDirectory() as folder:
            copy = copied(ledger, Path(folder), "", "-wal")
            with closing(sqlite3.connect(copy)) as db:
                return cls(
                    operations=db.execute("SELECT count(*) FROM operation").fetchone()[0],
                    sending={seq - 1: (number, begun / 1e6) for seq, number, begun in db.execute(_SENDING)},
                    waiting=frozenset(seq - 1 for (seq,) in db.execute(_WAITING)),
                    ended=frozenset(seq - 1 for (seq,) in db.execute(_ENDED)),
                )


def copied(ledger: Path, folder: Path, *suffixes: str) -> Path:
    """A copy of a ledger nobody uses, with the files beside it that end in `suffixes`; `""` is the ledger itself."""
    folder.mkdir(exist_ok=True)
    for suffix in suffixes or BESIDE:
        source = Path(f"{ledger}{suffix}")
        if source.exists():
            shutil.copyfile(source, folder / source.name)
    return folder / ledger.name


@dataclass(frozen=True)
class Kill:
    """One kill.

    Args:
        at: When its process was gone, seconds since 1970.
        sending: What it left in doubt.
        waiting: What waited for another attempt.
        hit: Those in doubt whose attempt it hit itself (others wait for a resume), with when that attempt began.
    """

    at: float
    sending: frozenset[int]
    waiting: frozenset[int]
    hit: Mapping[int, float]


class Chronicle:
    """Every kill of one run, checked against the one before as it comes and against the server at the end.

    Args:
        targets: What the server calls the operations, in the order of the job; no two alike.
    """

    def __init__(self, targets: Sequence[str]) -> None:
        self._targets = targets
        self._place = {target: place for place, target in enumerate(targets)}
        self.kills: list[Kill] = []
        self.hits: Counter[int] = Counter()
        """By operation, the attempts that kills left in doubt."""
        self._doubtful: set[tuple[int, int]] = set()  # (operation, attempt)
        self._ended: frozenset[int] = frozenset()
        self._ended_by: dict[int, int] = {}  # operation → the first kill after which it had ended

    def killed(self, ledger: Path, at: float) -> Snapshot:
        """Take down what a kill left.

        Raises:
            AssertionError: An operation is lost, or one that had ended has not any more.
        """
        left = Snapshot.of(ledger)
        assert left.operations == len(self._targets), "operations are lost"
        assert left.ended >= self._ended, f"taken back: {sorted(self._ended - left.ended)[:5]}"
        assert not left.ended & left.sending.keys()
        self._ended_by.update(dict.fromkeys(left.ended - self._ended, len(self.kills)))
        self._ended = left.ended
        attempts = {(place, number): begun for place, (number, begun) in left.sending.items()}
        hit = {place: begun for (place, number), begun in attempts.items() if (place, number) not in self._doubtful}
        self._doubtful.update(attempts)
        self.hits.update(list(hit))
        self.kills.append(Kill(at, frozenset(left.sending), left.waiting, hit))
        return left

    def check_calls(self, record: Record) -> int:
        """See that every call was allowed by what the ledger said before it.

        Returns:
            How many calls were repeats.

        Raises:
            AssertionError: An operation was sent again that had ended, or that the ledger had not listed as in doubt; or a call
                left before its intent was durable.
        """
        assert set(record.of_target) <= set(self._place)
        times = [kill.at for kill in self.kills]
        repeats = 0
        for target, calls in record.of_target.items():
            place = self._place[target]
            for before, after in pairwise(calls):
                if before.label in _REPEATED:
                    continue
                repeats += 1
                between = self.kills[bisect_left(times, before.at) : bisect_right(times, after.at)]
                assert any(place in kill.sending for kill in between), f"{target} was sent again and never listed in doubt"
            assert sum(call.label not in _REPEATED for call in calls) <= self.hits[place] + 1
            ended_by = self._ended_by.get(place, len(self.kills))
            for kill in self.kills[bisect_left(times, calls[0].at) : ended_by]:
                assert place in kill.sending or place in kill.waiting, f"{target} had left, and the ledger did not know"
            if ended_by < len(self.kills):
                assert calls[-1].at <= times[ended_by], f"{target} was sent again although it had ended"
        return repeats

    def check_effects(self, record: Record) -> None:
        """See that everything took effect, each operation at most once more often than kills hit it.

        Raises:
            AssertionError: It did not.
        """
        assert set(record.effects) == set(self._targets), "lost"
        for target, effects in record.effects.items():
            assert effects <= self.hits[self._place[target]] + 1, target

    def in_flight(self, record: Record, kill: Kill) -> list[Arrival]:
        """The calls that had left when a kill came and whose answers the ledger had not taken down."""
        calls = {place: record.of_target.get(self._targets[place], []) for place in kill.hit}
        return [call for place, begun in kill.hit.items() for call in calls[place] if begun <= call.at <= kill.at]

    def never_left(self, record: Record) -> int:
        """How many attempts in doubt had not reached the server: the ledger counts them as calls, the server can't."""
        return sum(len(kill.hit) - len(self.in_flight(record, kill)) for kill in self.kills)
