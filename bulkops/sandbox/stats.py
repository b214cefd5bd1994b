"""What the sandbox has seen, as frozen values and as JSON. No behaviour beyond that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class ApiStats:
    """One API, over all SDKAppIDs.

    Args:
        calls: Requests that came to its path with POST, whatever became of them.
        codes: Calls by what was answered: the ErrorCode in digits, `http_503`, or the fault that spoilt the answer.
        rejected: Calls beyond the limit (60007), those of faults not included.
        limit: Calls per second that the sandbox lets through.
        worst_second: Most calls of one SDKAppID in any window of one second.
        rate_now: Calls in the last second.
        rate: Calls per second between the first and the last call.
        first, last: Arrival of the first and the last call, seconds of the monotonic clock; 0 for none.
        effects: Calls that were carried out, whatever was answered.
        repeated_effects: Effects beyond the first of the same content; `None` where targets are not tracked.
        last_minute: Calls in each of the last 60 seconds, oldest first.
    """

    calls: int
    codes: Mapping[str, int]
    rejected: int
    limit: int
    worst_second: int
    rate_now: int
    rate: float
    first: float
    last: float
    effects: int
    repeated_effects: int | None
    last_minute: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SandboxStats:
    """All that the sandbox has counted since its start or the last reset.

    Args:
        apis: By op, every API of the catalog.
        connections: Connections that were opened.
        open_connections: Those that are open.
        redirected: Calls that followed a redirect to the second port.
        elsewhere: Requests to no API, by what was answered.
    """

    apis: Mapping[str, ApiStats]
    connections: int
    open_connections: int
    redirected: int
    elsewhere: Mapping[str, int]

    @property
    def calls(self) -> int:
        """Calls to all APIs."""
        return sum(api.calls for api in self.apis.values())

    @property
    def effects(self) -> int:
        """Effects of all APIs."""
        return sum(api.effects for api in self.apis.values())

    def as_json(self) -> dict[str, object]:
        """The same as JSON values."""
        return asdict(self)


class SeenRequest(NamedTuple):
    """A call as it came; kept for the newest only.

    Args:
        op: Its API.
        query: The query's names and values as sent, in their order, the UserSig left out.
        headers: Names in lower case.
        body: As sent.
    """

    op: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    body: bytes
