"""The values that only the ledger and its users know: what a job was frozen to, what is committed together, what is on record.

No I/O here. Timestamps are microseconds since 1970, UTC; 0 for none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from bulkops.model import Intent, Invalid, Operation, Settlement, Status, Verdict

INVALID_WORD: Final = "invalid"
"""The status word of a row that asks for nothing valid; it is no state of an operation."""

FIRST_INVALID: Final = 20
"""Bad rows that are shown at once."""

ORPHAN_LABEL: Final = "lost"
"""How `codes` counts an attempt that its process did not live to settle."""

WORDS: Final[Mapping[int, str]] = {int(status): status.word for status in Status}
"""Words of stored statuses."""

STATUSES: Final[Mapping[str, Status]] = {status.word: status for status in Status}
"""Statuses by their words."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """What a job came to when it was frozen. rows = operations + duplicates + invalid.

    Args:
        sha256: Of the operations in their order, in hex: the identity of the job.
        by_op: Operations by op, in the catalog's order, only those that the job uses.
        variants: Targets for which the job has operations with different options.
        variants_example: (file name, line) of the first row about such a target.
        first_invalid: The first 20 bad rows.
    """

    sha256: str
    rows: int
    duplicates: int
    invalid: int
    operations: int
    by_op: Mapping[str, int]
    variants: int = 0
    variants_example: tuple[str, int] | None = None
    first_invalid: tuple[Invalid, ...] = ()


@dataclass(frozen=True, slots=True)
class JobRecord:
    """The job that a ledger is about.

    Args:
        ops: Names of the APIs by index, as the catalog had them when the job was frozen.
        confirmed_at: When the user confirmed the plan; 0 for never.
        sdkappid: The app, once an operation has ended; `None` before.
    """

    sha256: str
    created_at: int
    ops: tuple[str, ...]
    by_op: Mapping[str, int]
    rows: int
    duplicates: int
    invalid: int
    operations: int
    sandbox: bool
    confirmed_at: int = 0
    sdkappid: int | None = None


class Orphan(NamedTuple):
    """An operation that a process left `sending`: begun, and not settled by anyone."""

    seq: int
    api: int
    content: str
    ref: str
    begun_at: int


class AttemptRecord(NamedTuple):
    """One attempt on record.

    Args:
        answered_at: When the answer came or the wait for it ended; 0 where its process did not live to see it.
        sent: A byte left. Of an orphan that is assumed.
    """

    number: int
    process: int
    begun_at: int
    answered_at: int
    http: int | None
    code: int | None
    label: str
    info: str
    verdict: Verdict
    sent: bool


@dataclass(slots=True)
class Changes:
    """What becomes durable together. Within one of these: settlements, then withdrawals, then intents.

    Args:
        process: Number of the process that makes them.
        intents, settlements, withdrawals: Each with the index of its API. A withdrawn operation is given as it was
            before its intent.
        seen_at: Time of the commit, which is also a sign of life.
    """

    process: int
    intents: list[tuple[int, Intent]] = field(default_factory=list)
    settlements: list[tuple[int, Settlement]] = field(default_factory=list)
    withdrawals: list[tuple[int, Operation]] = field(default_factory=list)
    seen_at: int = 0


def storable(text: str) -> str:
    """Text as every store can keep it: NUL and lone surrogates, which SQLite's text can't hold, are escaped."""
    if "\0" in text:
        text = text.replace("\0", "\\x00")
    if not text.isascii():
        text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text
