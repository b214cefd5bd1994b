"""What the engine drives, as it sees it: the client, the ledger, the clock, the judge.

The engine imports nothing that implements these. Everything here is small on purpose: it is what a fake has to provide.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from bulkops.errors import NotDeparting
from bulkops.model import Api, Figures, Intent, Operation, Reply, Settlement, Verdict

__all__ = ["Client", "Clock", "Gate", "Judge", "Ledger", "NotDeparting"]


class Gate(Protocol):
    """Lets one call leave. Handed to the client, which passes it with a connection in hand, right before the first byte."""

    async def __call__(self, alive: Callable[[], bool]) -> None:
        """Wait for the lane's token; on return the first byte must leave with no await in between.

        Args:
            alive: Whether the connection in hand still stands. Asked before a token is spent on it.

        Raises:
            NotDeparting: The call must not be made: its connection is gone, or the lane takes no more.
        """

    def left(self) -> None:
        """The request is with the system. To be told with no await in between: another thread may have had the processor."""


class Client(Protocol):
    """Makes single calls. Never raises for what a network or a server does: that is a `Reply`."""

    async def send(self, api: Api, content: str, gate: Gate) -> Reply:
        """Make one call.

        Cancelled before the gate lets it pass, nothing has left; cancelled afterwards, the call is in doubt.
        """

    def renew(self) -> None:
        """Make a new credential before the next call (a server called the present one stale)."""


class Judge(Protocol):
    """Says what a reply means. Pure."""

    def __call__(self, api: Api, reply: Reply) -> Verdict: ...


class Ledger(Protocol):
    """What is known, durably. Every method may raise `LedgerError`; after the first one nothing more may be sent."""

    async def claim(self, api: int, limit: int) -> Sequence[Operation]:
        """The next operations of one API that are pending and were not handed out to this process before.

        Operations that earlier processes began come first, then the others in their order; empty once there are no more.
        """

    def begin(self, api: int, intents: Sequence[Intent]) -> Awaitable[None]:
        """Note that attempts are about to be made. Done once that is durable: no byte may leave before."""

    def settle(self, api: int, settlement: Settlement) -> None:
        """Note what became of an attempt. Durable with the next group commit; counted in `figures` only then."""

    def withdraw(self, api: int, operation: Operation) -> None:
        """Take an intent back whose call never left: the operation is what it was before `begin`."""

    async def flush(self) -> None:
        """Wait until everything noted so far is durable."""

    @property
    def figures(self) -> Figures:
        """Counts of everything durable. Cheap: kept, not queried."""

    @property
    def failed(self) -> BaseException | None:
        """Why the ledger can't be written any more, once it can't. Nothing may be sent then."""


class Clock(Protocol):
    """The two clocks. They are apart because the wall clock jumps."""

    def monotonic(self) -> float:
        """Seconds, never backwards; for pacing, deadlines, backoff."""

    def utc(self) -> int:
        """Microseconds since 1970, UTC; for what is written down."""
