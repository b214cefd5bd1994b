"""Which operations go to the engine next, and how far that has come: a resume of millions needs no scan.

Untouched operations are handed out in their order, and what was handed out is not at once begun. So what becomes durable is a
low-water mark: everything untouched is above it. A process that dies leaves a few operations above the mark that were begun;
the next one skips those.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Final

from bulkops.ledger.reading import Reader
from bulkops.ledger.sql import queries
from bulkops.model import Intent, Operation

_SQL: Final = queries("store")


class LowWater:
    """The mark of one API: handed out, and not yet begun. Thread-safe by its owner's lock."""

    __slots__ = ("_handed_out", "mark", "position")

    def __init__(self, mark: int) -> None:
        self.mark = mark
        self.position = mark  # the last one handed out
        self._handed_out: dict[int, None] = {}  # ascending

    def hand_out(self, seqs: Iterable[int], position: int) -> None:
        self._handed_out.update(dict.fromkeys(seqs))
        self.position = max(self.position, position)

    def begin(self, seq: int) -> None:
        self._handed_out.pop(seq, None)

    def moved(self) -> bool:
        """Bring the mark up to date. Whether it changed."""
        before = self.mark
        self.mark = next(iter(self._handed_out), self.position + 1) - 1
        return self.mark != before


class Claims:
    """Hands operations out, each once.

    Args:
        reader: Its own connection: claiming never waits for a commit.
        spans: By API, where its operations are: (first, last), ascending.
        marks: By API, the durable low-water marks.
    """

    def __init__(self, reader: Reader, spans: Mapping[int, list[tuple[int, int]]], marks: Mapping[int, int]) -> None:
        self._reader = reader
        self._spans = spans
        self._lock = threading.Lock()
        self._low = {api: LowWater(marks.get(api, 0)) for api in spans}
        self._open_after: dict[int, int | None] = dict.fromkeys(spans, 0)  # None: all of them were handed out
        self._next_span = dict.fromkeys(spans, 0)
        self.process = -1
        """Number of the process that claims: what it began itself, it has already."""
        self.orphaned: set[int] = set()
        """Handed out, left `sending` by a process that is gone, and not sent again yet."""

    def take(self, api: int, limit: int) -> list[Operation]:
        """The next operations of one API: what earlier processes began first, then the untouched ones, ascending."""
        if api not in self._spans or limit < 1:
            return []
        found = self._waiting(api, limit)
        while len(found) < limit and self._next_span[api] < len(self._spans[api]):
            found += self._untouched(api, limit - len(found))
        return found

    def _waiting(self, api: int, limit: int) -> list[Operation]:
        after = self._open_after[api]
        if after is None:
            return []
        rows = self._reader.read(lambda db: db.all(_SQL["claim_open"], (api, after, self.process, limit)))
        self._open_after[api] = rows[-1][0] if len(rows) == limit else None
        self.orphaned.update(row[0] for row in rows if row[6])
        return [
            Operation(seq, content, number, charged, calls, bool(in_doubt))
            for seq, content, number, charged, calls, in_doubt, _ in rows
        ]

    def _untouched(self, api: int, limit: int) -> list[Operation]:
        first, last = self._spans[api][self._next_span[api]]
        low = self._low[api]
        first = max(first, low.position + 1)
        rows = self._reader.read(lambda db: db.all(_SQL["claim_untouched"], (api, first, last, limit))) if first <= last else []
        whole = len(rows) < limit
        with self._lock:
            low.hand_out((seq for seq, _ in rows), last if whole else rows[-1][0])
        if whole:
            self._next_span[api] += 1
        return [Operation(seq, content) for seq, content in rows]

    def begun(self, intents: Iterable[tuple[int, Intent]]) -> list[tuple[int, int]]:
        """Take note of intents.

        Returns:
            (API, low-water mark) where that moved.
        """
        with self._lock:
            touched = set()
            for api, intent in intents:
                self._low[api].begin(intent.seq)
                touched.add(api)
            return [(api, self._low[api].mark) for api in sorted(touched) if self._low[api].moved()]

    def look_again(self) -> None:
        """Operations were reopened: begin again with those that wait."""
        self._open_after = dict.fromkeys(self._spans, 0)
