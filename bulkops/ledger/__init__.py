"""What is known about a run, durably: one SQLite file per job, and an in-memory twin for tests.

`freeze` builds a ledger from a job's rows, `SqliteStore` opens one, `GroupCommit` gathers what the engine notes into durable
groups, `ledger_lock` and `lane_lock` keep a second process away. Knows no API, no network and no screen.
"""

from __future__ import annotations

from bulkops.ledger.freeze import adopt, freeze, remove
from bulkops.ledger.group import GroupCommit
from bulkops.ledger.lanes import LaneHistory, LaneLock, lane_lock
from bulkops.ledger.lock import FileLock, Holder, held, is_network_fs, ledger_lock
from bulkops.ledger.memory import MemoryStore
from bulkops.ledger.records import AttemptRecord, Changes, Frozen, JobRecord, Orphan
from bulkops.ledger.store import SqliteStore

__all__ = [
    "AttemptRecord",
    "Changes",
    "FileLock",
    "Frozen",
    "GroupCommit",
    "Holder",
    "JobRecord",
    "LaneHistory",
    "LaneLock",
    "MemoryStore",
    "Orphan",
    "SqliteStore",
    "adopt",
    "freeze",
    "held",
    "is_network_fs",
    "lane_lock",
    "ledger_lock",
    "remove",
]
