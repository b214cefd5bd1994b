"""Which faults fall on which call: seeded, so that a run replays.

Where the sandbox keeps track of targets, a draw depends on the seed, the API, the call's content and how often it came
before, not on the order in which calls arrive: the same job meets the same faults however its calls interleave. Without
tracking it is one sequence of draws in order of arrival. Pure but for what capacities count: elapsed times are arguments.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import NamedTuple

from bulkops.model import FIELD_SEPARATOR
from bulkops.sandbox.faults import Fault, Kind, Stage
from bulkops.sandbox.quota import Window

APP_WIDE = 60011
"""The ErrorCode that speaks of the whole SDKAppID: a capacity with this code is shared by all APIs."""


class Elapsed(NamedTuple):
    """Seconds since the server's start and since the first call (-1 before it); `now` is nanoseconds, monotonic."""

    start: float
    first: float
    now: int


class Drawn(NamedTuple):
    """What falls on one call.

    Args:
        before: Instead of the effect.
        after: To the answer.
        delay: Seconds that the answer is late.
        idle: Seconds after which the idle connection is closed; `None` for never.
        silence: Seconds that belong to `after`, drawn from its range.
    """

    before: Fault | None = None
    after: Fault | None = None
    delay: float = 0.0
    idle: float | None = None
    silence: float = 0.0


NOTHING = Drawn()


def active(fault: Fault, op: str, elapsed: Elapsed) -> bool:
    """Whether a fault holds for an API at a moment. Before the first call its windows have not begun."""
    if fault.begin == 0 and fault.end == math.inf:
        return fault.op in {"", op}
    at = elapsed.start if fault.from_start else elapsed.first
    return fault.op in {"", op} and fault.begin <= at < fault.end


class Draws:
    """The faults of a sandbox, drawn.

    Args:
        faults: In their order: of those before the effect, and of those after it, the first that hits wins.
        seed: What makes draws repeat.
    """

    def __init__(self, faults: Sequence[Fault], seed: int) -> None:
        self.faults = tuple(faults)
        self._seed = seed
        self._sequence = random.Random(seed)
        self._doors = tuple(fault for fault in self.faults if fault.kind.stage is Stage.DOOR)
        self._others = tuple(fault for fault in self.faults if fault.kind.stage is not Stage.DOOR)
        self._capacities: dict[tuple[int, str], Window] = {}

    @property
    def doors(self) -> bool:
        """Whether there is any outage or freeze."""
        return bool(self._doors)

    @property
    def any(self) -> bool:
        """Whether there is any fault to draw for a call."""
        return bool(self._others)

    def outage(self, op: str, elapsed: Elapsed) -> Fault | None:
        """The outage that holds now."""
        return next((f for f in self._doors if f.kind is Kind.OUTAGE and active(f, op, elapsed)), None)

    def frozen(self, op: str, elapsed: Elapsed) -> float:
        """Seconds until the present freeze is over; 0 for none."""
        ends = [
            f.end - (elapsed.start if f.from_start else elapsed.first)
            for f in self._doors
            if f.kind is Kind.FREEZE and active(f, op, elapsed)
        ]
        return max(ends, default=0.0)

    def draw(self, op: str, content: str, number: int | None, elapsed: Elapsed) -> Drawn:
        """What falls on a call.

        Args:
            op: Its API.
            content: Its content, as in `model.Operation`.
            number: How often this content came before; `None` where that is not known.
            elapsed: Now.
        """
        rng = self._sequence
        if number is not None:
            rng = random.Random(f"{self._seed}\t{op}\t{number}\t{content}")
        drawn = NOTHING
        for place, fault in enumerate(self._others):
            chance, part = rng.random(), rng.random()  # two for every fault, so that one fault's luck is not another's
            if chance < fault.probability and active(fault, op, elapsed):
                drawn = self._add(drawn, fault, place, op, content, part, elapsed.now)
        return drawn

    def _add(self, drawn: Drawn, fault: Fault, place: int, op: str, content: str, part: float, now: int) -> Drawn:
        stage = fault.kind.stage
        seconds = fault.seconds + part * (fault.most - fault.seconds)
        if stage is Stage.DELAY:
            return drawn._replace(delay=drawn.delay + seconds)
        if stage is Stage.IDLE:
            return drawn._replace(idle=seconds)
        if stage is Stage.AFTER:
            return drawn if drawn.after else drawn._replace(after=fault, silence=seconds)
        if drawn.before or not self._hits(fault, place, op, content, now):
            return drawn
        return drawn._replace(before=fault)

    def _hits(self, fault: Fault, place: int, op: str, content: str, now: int) -> bool:
        if fault.kind is Kind.POISON:
            return fault.target == content or fault.target in content.split(FIELD_SEPARATOR)
        if fault.kind is Kind.CAPACITY:
            key = (place, "" if fault.code == APP_WIDE else op)
            window = self._capacities.get(key)
            if window is None:
                window = self._capacities[key] = Window(fault.amount)
            return not window.admit(now)
        return True
