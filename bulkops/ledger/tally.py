"""Counts of what is durable, kept with every change instead of counted. Pure: the stores add the same numbers.

A tally is either all there is or one group's difference; `add` joins them. Kinds: `status` and `code` by word, `refused` by
code, and `retried`, `throttled`, `absent_ours`, `resent` with no word. Calls are the sum of the codes, so they can't disagree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple

from bulkops.ledger.records import STATUSES, WORDS, Changes, JobRecord
from bulkops.model import ApiFigures, Figures, Settlement, Status, Verdict

Key = tuple[int, str, str]
"""(API, kind, word)."""

_PENDING: Final = Status.PENDING.word
_SENDING: Final = Status.SENDING.word
_THROTTLED: Final = frozenset({Verdict.THROTTLED, Verdict.THROTTLED_APP})


class Departures(NamedTuple):
    """Calls of one process on one API; `first` and `last` in microseconds since 1970, UTC, 0 for none."""

    calls: int = 0
    first: int = 0
    last: int = 0

    def and_these(self, other: Departures) -> Departures:
        """Both together."""
        if not self.calls or not other.calls:
            return self if self.calls else other
        return Departures(self.calls + other.calls, min(self.first, other.first), max(self.last, other.last))


class Tally:
    """Counts by API, and the departures of one process.

    Args:
        counts: To begin with.
        departures: By API, of the newest process.
    """

    __slots__ = ("counts", "departures")

    def __init__(self, counts: Mapping[Key, int] | None = None, departures: Mapping[int, Departures] | None = None) -> None:
        self.counts: Counter[Key] = Counter(counts or {})
        self.departures = dict(departures or {})

    def add(self, other: Tally) -> None:
        """Add another one's counts."""
        for key, count in other.counts.items():
            self.counts[key] += count
        for api, departures in other.departures.items():
            self.departures[api] = self.departures.get(api, Departures()).and_these(departures)

    def rows(self) -> list[tuple[int, str, str, int]]:
        """What changed, as (API, kind, word, difference)."""
        return [(*key, count) for key, count in self.counts.items() if count]

    def move(self, api: int, before: str, after: str, count: int = 1) -> None:
        """Operations go from one status to another, both given by their words."""
        self.counts[api, "status", before] -= count
        self.counts[api, "status", after] += count

    def count_orphans(self, api: int, calls: int, retried: int, resent: int, departures: Departures | None = None) -> None:
        """Attempts that nobody lived to settle are calls, lost ones.

        Args:
            departures: Where their process is the newest one.
        """
        self.counts[api, "code", "lost"] += calls
        self.counts[api, "retried", ""] += retried
        self.counts[api, "resent", ""] += resent
        if departures is not None:
            self.departures[api] = self.departures.get(api, Departures()).and_these(departures)

    def settle(self, api: int, settled: Settlement, ours: Collection[int], orphaned: Collection[int]) -> None:
        """Count one settlement; `ours` and `orphaned` as in `difference`."""
        counts = self.counts
        status = WORDS[settled.status]
        counts[api, "status", _SENDING] -= 1
        counts[api, "status", status] += 1
        if settled.status == Status.FAILED:
            counts[api, "refused", settled.label] += 1
        elif settled.status == Status.ABSENT and settled.seq in ours:
            counts[api, "absent_ours", ""] += 1
        if not settled.sent:
            return
        counts[api, "code", settled.label] += 1
        if settled.calls > 1:
            counts[api, "retried", ""] += 1
        if settled.verdict in _THROTTLED:
            counts[api, "throttled", ""] += 1
        if settled.seq in orphaned:
            counts[api, "resent", ""] += 1
        began = settled.begun_at
        calls, first, last = self.departures.get(api, (0, began, began))
        self.departures[api] = Departures(calls + 1, min(first, began), max(last, began))

    def figures(self, job: JobRecord, elapsed: float) -> Figures:
        """Everything as figures."""
        apis = {index: _Building() for index, op in enumerate(job.ops) if op in job.by_op}
        for (api, kind, word), count in self.counts.items():
            if count and api in apis:
                apis[api].take(kind, word, count)
        return Figures(
            rows=job.rows,
            duplicates=job.duplicates,
            invalid=job.invalid,
            operations=job.operations,
            apis={
                job.ops[api]: building.done(job.by_op[job.ops[api]], self.departures.get(api, Departures()))
                for api, building in apis.items()
            },
            resent_in_doubt=sum(building.plain["resent"] for building in apis.values()),
            elapsed=elapsed,
        )


class _Building:
    """One API's figures on their way."""

    __slots__ = ("by_status", "codes", "plain", "refused")

    def __init__(self) -> None:
        self.by_status = dict.fromkeys(Status, 0)
        self.codes: dict[str, int] = {}
        self.refused: dict[str, int] = {}
        self.plain: Counter[str] = Counter()

    def take(self, kind: str, word: str, count: int) -> None:
        if kind == "status":
            self.by_status[STATUSES[word]] = count
        elif kind == "code":
            self.codes[word] = count
        elif kind == "refused":
            self.refused[word] = count
        else:
            self.plain[kind] = count

    def done(self, operations: int, departures: Departures) -> ApiFigures:
        return ApiFigures(
            operations=operations,
            by_status=self.by_status,
            calls=sum(self.codes.values()),
            retried=self.plain["retried"],
            throttled=self.plain["throttled"],
            codes=self.codes,
            absent_ours=self.plain["absent_ours"],
            refused=self.refused,
            process_calls=departures.calls,
            first_departure=departures.first,
            last_departure=departures.last,
        )


def difference(changes: Changes, *, ours: Collection[int] = (), orphaned: Collection[int] = ()) -> Tally:
    """What a group of changes adds to the counts.

    Args:
        changes: The group.
        ours: Operations that end as absent in it after an unanswered attempt of ours.
        orphaned: Operations that a process left `sending` and that were not sent again since.
    """
    tally = Tally()
    for api, settled in changes.settlements:
        tally.settle(api, settled, ours, orphaned)
    for api, count in Counter(api for api, _ in changes.withdrawals).items():
        tally.move(api, _SENDING, _PENDING, count)
    for api, count in Counter(api for api, _ in changes.intents).items():
        tally.move(api, _PENDING, _SENDING, count)
    return tally


def ours_possible(changes: Changes) -> list[int]:
    """Operations that end as absent although it is not their first attempt: an earlier one may be the reason."""
    return [s.seq for _, s in changes.settlements if s.status == Status.ABSENT and s.number > 1]


def fresh(by_api: Iterable[tuple[int, int]]) -> Tally:
    """The tally of a job in which nothing was begun, from (API, operations)."""
    return Tally({(api, "status", _PENDING): count for api, count in by_api})
