"""One group of changes as statements of one transaction: each takes its rows as one JSON text.

So a group costs a few calls into SQLite, which run without the interpreter's lock, however many operations it is about.
"""

from __future__ import annotations

from typing import Final

import msgspec

from bulkops.ledger.claims import Claims
from bulkops.ledger.connection import Database
from bulkops.ledger.records import Changes, storable
from bulkops.ledger.sql import queries
from bulkops.ledger.tally import Departures, Tally, difference, ours_possible
from bulkops.model import Settlement, Status, Verdict

_SQL: Final = queries("commit")


def commit(db: Database, changes: Changes, claims: Claims) -> Tally:
    """Write a group, within the caller's transaction.

    Args:
        claims: Told what is begun; knows which operations a process that is gone had left `sending`.

    Returns:
        What the group adds to the counts.
    """
    ours: set[int] = set()
    if possible := ours_possible(changes):
        ours = {seq for (seq,) in db.all(_SQL["unanswered_before"], (encoded(possible), Verdict.UNANSWERED))}
    delta = difference(changes, ours=ours, orphaned=claims.orphaned)
    _settle(db, changes)
    _begin(db, changes, claims)
    count(db, delta, changes.process)
    if changes.seen_at:
        db.run(_SQL["seen"], (changes.process, changes.seen_at))
    return delta


def count(db: Database, delta: Tally, process: int) -> None:
    """Add to the counts that are kept; departures are those of `process`."""
    if rows := delta.rows():
        db.run(_SQL["add_tally"], (encoded(rows),))
    if departures := [(process, api, *of) for api, of in delta.departures.items()]:
        db.run(_SQL["add_departures"], (encoded(departures),))


def count_departures(db: Database, process: int, api: int, departures: Departures) -> None:
    """Add to the departures of one process."""
    db.run(_SQL["add_departures"], (encoded([(process, api, *departures)]),))


def encoded(value: object) -> str:
    """JSON for a statement's argument."""
    return msgspec.json.encode(value).decode()


def _settle(db: Database, changes: Changes) -> None:
    """Settlements and withdrawals. Both leave an operation waiting or ended."""
    settlements = changes.settlements
    waiting = [
        (api, s.seq, s.number, s.charged, s.calls, s.in_doubt, s.sent) for api, s in settlements if s.status == Status.PENDING
    ]
    waiting += [(api, o.seq, o.number, o.charged, o.calls, o.in_doubt, False) for api, o in changes.withdrawals]
    ended = [(api, s.seq, s.status) for api, s in settlements if s.status != Status.PENDING]
    if settlements:
        db.run(_SQL["insert_attempts"], (encoded([_attempt(changes.process, s) for _, s in settlements]),))
    if ended:
        rows = encoded(ended)
        db.run(_SQL["end_operations"], (rows,))
        db.run(_SQL["close_operations"], (rows,))
    if waiting:
        db.run(_SQL["let_wait"], (encoded(waiting),))


def _attempt(process: int, s: Settlement) -> tuple[object, ...]:
    """A row of `attempt`: a label that says no more than the code is left out."""
    label = None if not s.label or (s.code is not None and s.label == str(s.code)) else s.label
    info = storable(s.info) if s.info else None
    took = s.answered_at - s.begun_at
    return s.seq, s.number, process, s.begun_at, took, s.http, s.code, label, info, s.verdict, s.sent


def _begin(db: Database, changes: Changes, claims: Claims) -> None:
    if changes.intents:
        intents = encoded([(api, *intent) for api, intent in changes.intents])
        db.run(_SQL["begin_attempts"], (intents, changes.process))
        if marks := claims.begun(changes.intents):
            db.run(_SQL["set_claimed"], (encoded(marks),))
