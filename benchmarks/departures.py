"""When bulkops' calls left, by the times that it wrote into its ledgers itself: the other end of what the server counts."""

from __future__ import annotations

import sqlite3
from array import array
from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from benchmarks.server import worst_window

SELECT = (
    "SELECT o.api, a.begun_at FROM attempt AS a JOIN operation AS o ON o.seq = a.operation WHERE a.sent ORDER BY a.begun_at"
)


def worst_departures(ledger: Path) -> int:
    """Most calls of one API in any second."""
    times: defaultdict[int, array[float]] = defaultdict(lambda: array("d"))
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as db:
        for api, at in db.execute(SELECT):
            times[api].append(at / 1e6)
    return max((worst_window(each) for each in times.values()), default=0)


def overfull(name: str, arrived: int, ledgers: Iterable[Path], late: float) -> str:
    """A note on a second that held too many arrivals: how many departures it held, and how late the server read its clock."""
    left = max(map(worst_departures, ledgers))
    return (
        f"{name}: {arrived} calls of an API arrived within one second; by the times of departure in the ledgers at most {left} left"
        f" within one. The server itself was kept from the processor for up to {late * 1000:.0f} ms; what came meanwhile it took"
        " for later than it was."
    )
