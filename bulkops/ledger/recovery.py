"""What a crash, or a user's retry, makes of operations, as statements of one transaction of the caller's."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from bulkops.ledger.commit import count, count_departures, encoded
from bulkops.ledger.connection import Database
from bulkops.ledger.records import ORPHAN_LABEL
from bulkops.ledger.sql import queries
from bulkops.ledger.tally import Departures, Tally
from bulkops.model import Status, Verdict

_SQL: Final = queries("recovery")


def add_orphans(db: Database, tally: Tally, own_process: int, newest: int) -> None:
    """Count what earlier processes left `sending` as calls, lost ones.

    Args:
        own_process: What this one has under way is no orphan; -1 for none.
        newest: The process whose departures the tally has.
    """
    for api, process, calls, retried, resent, first, last in db.all(_SQL["orphan_figures"], (own_process,)):
        departures = Departures(calls, first, last) if process == newest else None
        tally.count_orphans(api, calls, retried, resent, departures)


def recover(db: Database, own_process: int, *, hold: bool, at: int) -> int:
    """As `SqliteStore.recover`."""
    own = (own_process,)
    tally = Tally()
    add_orphans(db, tally, own_process, newest=-1)
    for api, process, calls, _, _, first, last in db.all(_SQL["orphan_figures"], own):
        count_departures(db, process, api, Departures(calls, first, last))
    total = 0
    for api, number in db.all(_SQL["orphans_by_api"], own):
        tally.move(api, Status.SENDING.word, (Status.IN_DOUBT if hold else Status.PENDING).word, number)
        total += number
    if total:
        db.run(_SQL["settle_orphans"], (*own, at if hold else None, ORPHAN_LABEL, Verdict.UNANSWERED))
        if hold:
            db.run(_SQL["hold_orphans"], (*own, Status.IN_DOUBT))
            db.run(_SQL["drop_orphans"], own)
        else:
            db.run(_SQL["requeue_orphans"], own)
        count(db, tally, own_process)
    return total


def reopen(db: Database, statuses: Collection[Status], codes: Collection[int | str]) -> int:
    """As `SqliteStore.reopen`."""
    labels = encoded([str(code) for code in codes]) if codes else None
    db.run(_SQL["find_reopened"], (encoded(sorted(statuses)), labels))
    tally, total = Tally(), 0
    for api, status, number in db.all(_SQL["reopened_by_status"]):
        tally.move(api, Status(status).word, Status.PENDING.word, number)
        total += number
    for api, label, number in db.all(_SQL["reopened_by_refusal"], (Status.FAILED,)):
        tally.counts[api, "refused", str(label)] -= number
    for api, number in db.all(_SQL["reopened_ours"], (Status.ABSENT, Verdict.UNANSWERED)):
        tally.counts[api, "absent_ours", ""] -= number
    db.run(_SQL["open_reopened"], (Status.IN_DOUBT,))
    db.run(_SQL["reopen_operations"])
    db.run(_SQL["forget_reopened"])
    count(db, tally, process=0)
    return total
