"""The service behind the HTTP: who may call, how often, what a call does and what is answered.

Decides in one synchronous step per call; waiting, and everything about connections, is `server`'s. Times come in as
arguments, so that a test owns the clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from bulkops.chat.catalog import APIS
from bulkops.model import Api
from bulkops.sandbox.answers import Answer, failure, gateway, retry_after_header
from bulkops.sandbox.checks import BodyCheck, read_query
from bulkops.sandbox.credentials import Credentials, Query, Refusal
from bulkops.sandbox.draws import NOTHING, Drawn, Draws, Elapsed
from bulkops.sandbox.faults import Fault, Kind
from bulkops.sandbox.quota import SECOND, Lane, Window
from bulkops.sandbox.stats import ApiStats
from bulkops.sandbox.world import World

_MINUTE: Final = 60


class Call(NamedTuple):
    """A call that has arrived, its body not yet read.

    Args:
        api: What is called.
        query: Who calls, or why that can't be read.
        lane: Where it is counted.
        within: Whether it is within the limit.
        target: Path and query as sent, for a redirect.
    """

    api: Api
    query: Query | Refusal
    lane: Lane
    within: bool
    target: str


@dataclass(frozen=True, slots=True)
class Options:
    """What a service is like from its start.

    Args:
        apps: SDKAppID to key.
        admins: Identifiers that may call.
        limit: Calls per second of each API; `None` for what the vendor publishes.
        enforce: Reject calls beyond the limit; counted either way.
        tolerance: Seconds that the limit's window is shorter than a second.
        strict: Refuse unknown names in query and body.
        track: Tell targets apart.
        seed: Of the faults.
    """

    apps: Mapping[int, str] = field(repr=False)
    admins: frozenset[str]
    limit: int | None = None
    enforce: bool = True
    tolerance: float = 0.0
    strict: bool = True
    track: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        self.window(APIS[0])  # refuses what is out of range now, not at the first call

    def rate(self, api: Api) -> int:
        """Calls per second of an API."""
        return api.rate if self.limit is None else self.limit

    def window(self, api: Api) -> Window:
        """A fresh window of an API.

        Raises:
            ValueError: The limit or the tolerance is out of range.
        """
        return Window(self.rate(api), round(self.tolerance * SECOND))


class Service:
    """The state of the imitated service.

    Args:
        options: What it is like.
        faults: What is ordered.
        started: Nanoseconds of the monotonic clock.
    """

    def __init__(self, options: Options, faults: Sequence[Fault], started: int) -> None:
        self.credentials = Credentials(options.apps, options.admins)
        self.world = World(track=options.track)
        self.draws = Draws(faults, options.seed)
        self.redirect_to = ""
        self._options = options
        self._checks = {api.op: BodyCheck(api, strict=options.strict) for api in APIS}
        self._lanes: dict[tuple[int, str], Lane] = {}
        self._started = started
        self._first = 0

    @property
    def called(self) -> bool:
        """Whether any call has come yet."""
        return self._first > 0

    def begin(self, now: int) -> None:
        """The server starts now: windows of faults that count from its start begin."""
        self._started = now

    def order(self, faults: Sequence[Fault]) -> None:
        """Replace all faults; capacities begin to count anew."""
        self.draws = Draws(faults, self._options.seed)

    def elapsed(self, now: int) -> Elapsed:
        """Time since the start and since the first call, which is -1 s before there is one."""
        first = (now - self._first) / SECOND if self._first else -1.0
        return Elapsed((now - self._started) / SECOND, first, now)

    def arrive(self, api: Api, query: str, target: str, at: int) -> Call:
        """Count a call at the moment it came.

        Args:
            api: What is called.
            query: The URL's query.
            target: Path and query.
            at: Nanoseconds of the monotonic clock.
        """
        if not self._first:
            self._first = at
        read = read_query(query, strict=self._options.strict)
        lane = self._lane(read.sdkappid if isinstance(read, Query) else 0, api)
        return Call(api, read, lane, lane.arrive(at), target)

    def shut(self, fault: Fault, api: Api) -> tuple[Answer, Drawn]:
        """What an outage answers; where it has no answer the connection is reset, and counted by the outage's kind."""
        if fault.variant:
            label = Kind.RESET_BEFORE.value if fault.variant == "reset" else fault.variant
            return Answer(label, b""), Drawn(before=Fault(fault.spec, Kind.RESET_BEFORE))
        return self._instead(fault, api, ""), NOTHING

    def decide(self, call: Call, body: bytes | None, utc: float, elapsed: Elapsed) -> tuple[Answer, Drawn]:
        """Carry out a call, or refuse it.

        Args:
            call: As it arrived.
            body: `None` for one that was too long.
            utc: The server's clock, seconds since 1970.
            elapsed: Now.

        Returns:
            The answer, and which faults fall on it.
        """
        refusal = call.query if isinstance(call.query, Refusal) else self.credentials.verify(call.query, utc)
        if refusal:
            return failure(refusal.code, refusal.info, call.api), NOTHING
        if not call.within:
            return failure(60007, api=call.api), NOTHING
        content = self._checks[call.api.op].read(body or b"")
        if isinstance(content, Refusal):
            return failure(content.code, content.info, call.api), NOTHING
        number = self.world.see(call.api.op, content)
        drawn = self.draws.draw(call.api.op, content, number, elapsed) if self.draws.any else NOTHING
        before = drawn.before
        if before is None:
            return self.world.carry_out(call.api, content), drawn
        if before.variant == "after":
            self.world.carry_out(call.api, content)
        return self._instead(before, call.api, call.target), drawn._replace(after=None)

    def departures(self, op: str) -> list[float]:
        """When calls came, seconds of the monotonic clock, oldest first."""
        return sorted(at for (_, name), lane in self._lanes.items() if name == op for at in lane.arrivals.times())

    def stats(self, api: Api, now: int) -> ApiStats:
        """What one API has seen."""
        lanes = [lane for (_, op), lane in self._lanes.items() if op == api.op]
        arrivals = [lane.arrivals for lane in lanes]
        calls = sum(each.calls for each in arrivals)
        first = min((each.first for each in arrivals), default=0)
        last = max((each.last for each in arrivals), default=0)
        codes: Counter[str] = Counter()
        for lane in lanes:
            codes.update(lane.codes)
        seconds = range(now - (_MINUTE - 1) * SECOND, now + 1, SECOND)
        minute = tuple(sum(each.between(end - SECOND + 1, end + 1) for each in arrivals) for end in seconds)
        return ApiStats(
            calls=calls,
            codes=dict(codes.most_common()),
            rejected=sum(lane.rejected for lane in lanes),
            limit=self._options.rate(api),
            worst_second=max((each.worst() for each in arrivals), default=0),
            rate_now=minute[-1],
            rate=(calls - 1) * SECOND / (last - first) if last > first else 0.0,
            first=first / SECOND,
            last=last / SECOND,
            effects=self.world.total(api.op),
            repeated_effects=self.world.repeated(api.op),
            last_minute=minute,
        )

    def _lane(self, sdkappid: int, api: Api) -> Lane:
        key = (sdkappid if self.credentials.knows(sdkappid) else 0, api.op)
        lane = self._lanes.get(key)
        if lane is None:
            limited = self._options.enforce and key[0]
            lane = self._lanes[key] = Lane(self._options.window(api) if limited else None)
        return lane

    def _instead(self, fault: Fault, api: Api, target: str) -> Answer:
        """The answer of a fault that stands in place of the effect."""
        if fault.kind is Kind.RESET_BEFORE:
            return Answer(fault.kind.value, b"")
        if fault.kind is Kind.REDIRECT:
            location = (fault.url or self.redirect_to + target).encode()
            return Answer(f"http_{fault.status}", b"", fault.status, headers=b"Location: " + location + b"\r\n")
        if not fault.status:
            return failure(fault.code, api=api)._replace(headers=retry_after_header(fault.seconds))
        if fault.code:
            return failure(fault.code, api=api)._replace(status=fault.status)
        return gateway(fault.status, empty=fault.variant == "empty", retry_after=fault.seconds)
