"""Everything bulkops raises on purpose. Each message says what happened, where, and what to do next.

Messages are shown to users as they are: they hold no secret, no UserSig, no URL query, and ids in them are escaped.
"""

from __future__ import annotations

from collections.abc import Sequence

from bulkops.model import Invalid


class BulkopsError(Exception):
    """Base of every error that bulkops raises on purpose."""


class ConfigError(BulkopsError):
    """Usage or settings are wrong. Nothing was sent."""


class JobFileError(BulkopsError):
    """The job files can't be carried out as they are. Nothing was sent.

    Args:
        message: What is wrong, in one sentence.
        file: The file's name as the user wrote it, where one is meant.
        line: Physical line, from 1; 0 where none is meant.
        column: Column or key, where one is meant.
        invalid: The first bad rows, where rows are what is wrong.
        total: How many bad rows there are in all.
        names: File names by `Invalid.file`.
    """

    def __init__(
        self,
        message: str,
        *,
        file: str = "",
        line: int = 0,
        column: str = "",
        invalid: Sequence[Invalid] = (),
        total: int = 0,
        names: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.file = file
        self.line = line
        self.column = column
        self.invalid = tuple(invalid)
        self.total = total
        self.names = tuple(names)

    def __str__(self) -> str:
        where = ":".join(str(part) for part in (self.file, self.line or "", self.column) if part)
        return f"{where}: {self.message}" if where else self.message


class LedgerError(BulkopsError):
    """The ledger can't be used: foreign, damaged, full, unreadable. Nothing more was sent."""


class LedgerMissing(LedgerError):
    """There is no ledger at that path."""


class LedgerMismatch(LedgerError):
    """The ledger belongs to another job, another app, or the sandbox."""


class LedgerHeld(LedgerError):
    """Another process holds the ledger or one of the lanes.

    Args:
        message: What is held.
        holder: pid, host and start of the holder in words; empty where unknown.
    """

    def __init__(self, message: str, holder: str = "") -> None:
        super().__init__(f"{message}, held by {holder}" if holder else message)
        self.holder = holder


class RunStopped(BulkopsError):
    """The run stopped itself: a fatal answer, a guard, the outage limit. It can be resumed."""


class NotDeparting(Exception):
    """A gate's refusal to let one call leave: a signal between the engine and the client, never shown to users.

    Here because both sides name it and neither may import the other. The client gives the connection up and returns a
    reply that was not sent.

    Args:
        label: What the reply's label becomes: `withdrawn` or `stale_connection`.
    """

    def __init__(self, label: str) -> None:
        super().__init__(label)
        self.label = label
