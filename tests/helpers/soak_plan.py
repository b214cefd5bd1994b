"""What a soak does and when, drawn from its seed alone: the server's weather, jobs, and blows to the processes. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

Order = Mapping[str, Any]


@dataclass(frozen=True)
class Weather:
    """What the server does for a while.

    Args:
        name: For people.
        orders: See `otherserver_script.Order`.
        latency: Seconds until an answer.
        enforce: Calls per second of an API above which it throttles, as a share of the job's rate; 0 for never.
        listen: Whether it takes connections.
        longest: Seconds that it may last.
    """

    name: str
    orders: tuple[Order, ...] = ()
    latency: float = 0.02
    enforce: float = 0.0
    listen: bool = True
    longest: float = 8.0

    def conditions(self, rate: int) -> dict[str, object]:
        """As the other server takes it."""
        return {
            "orders": list(self.orders),
            "latency": self.latency,
            "enforce": max(1, int(self.enforce * rate)) if self.enforce else 0,
            "shape": "mixed",
            "listen": self.listen,
        }


CALM: Final = Weather("calm")

WEATHERS: Final = (
    CALM,
    Weather("transient", ({"share": 0.05, "code": 50004}, {"share": 0.02, "code": 60008})),
    Weather(
        "lost answers", ({"share": 0.03, "reset": "after"}, {"share": 0.02, "reset": "before"}, {"share": 0.02, "cut": True})
    ),
    Weather("stalls", ({"share": 0.01, "stall": True},)),
    Weather("keep-alive races", ({"share": 0.1, "close": True},)),
    Weather(
        "garbage",
        (
            {"share": 0.02, "http": 502, "body": "<html>bad gateway</html>"},
            {"share": 0.02, "body": ""},
            {"share": 0.01, "body": "{}"},
            {"share": 0.01, "http": 302, "body": "", "headers": {"Location": "http://127.0.0.1:9/"}},
            {"share": 0.01, "http": 500, "body": '{"ActionStatus":"OK","ErrorCode":0}', "effect": True},
        ),
    ),
    Weather("slow", latency=0.8),
    Weather("throttled above two fifths", enforce=0.4),
    Weather("throttled now and then", ({"share": 0.02, "code": 60018}, {"share": 0.005, "code": 60011})),
    Weather("429", ({"share": 0.03, "http": 429, "body": "", "headers": {"Retry-After": "1"}},), longest=4.0),
    Weather("brown-out", ({"share": 0.6, "code": 50005},), latency=0.3),
    Weather("down", ({"code": 50004},), longest=5.0),
    Weather("unavailable", ({"http": 503, "body": "busy"},), longest=5.0),
    Weather("refused", listen=False, longest=4.0),
    Weather("hangs", ({"share": 0.5, "stall": True},), longest=1.5),
    Weather("expired", ({"share": 0.01, "code": 70001},)),
    Weather("refusals", ({"share": 0.01, "code": 50002}, {"share": 0.01, "code": 10015}, {"share": 0.005, "code": 99999})),
    Weather("errors that took effect", ({"share": 0.02, "code": 70500, "effect": True},)),
    Weather("fatal once", ({"count": 1, "code": 60021},), longest=3.0),
    Weather("app fatal for one API", ({"op": "delete_conversation_group", "count": 1, "code": 51013},), longest=3.0),
)


@dataclass(frozen=True)
class Spell:
    """One weather, or two at a time, for so many seconds."""

    weather: Weather
    seconds: float


def spells(seed: str) -> Iterator[Spell]:
    """The weather, for ever."""
    dice = random.Random(f"{seed} weather")
    while True:
        one, other = dice.choice(WEATHERS), dice.choice(WEATHERS)
        if dice.random() < 0.3 and one.listen and other.listen:
            one = Weather(
                f"{one.name} + {other.name}",
                (*one.orders, *other.orders),
                latency=max(one.latency, other.latency),
                enforce=max(one.enforce, other.enforce),
                longest=min(one.longest, other.longest),
            )
        yield Spell(one, dice.uniform(min(1.0, one.longest), one.longest))


class Blow(Enum):
    """What is done to a process."""

    NONE = "left alone"
    KILL = "kill -9"
    INT = "SIGINT"
    TERM = "SIGTERM"
    TWICE = "SIGINT twice"
    FREEZE = "SIGSTOP for a while, then kill -9"
    NAP = "SIGSTOP for a while"


_BLOWS: Final = {Blow.NONE: 2, Blow.KILL: 6, Blow.INT: 3, Blow.TERM: 1, Blow.TWICE: 2, Blow.FREEZE: 1, Blow.NAP: 2}


@dataclass(frozen=True)
class Strike:
    """A blow, its time after the start of the process, and how long a pause in it lasts; in seconds."""

    blow: Blow
    after: float
    pause: float


def strikes(seed: str) -> Iterator[Strike]:
    """What is done to one process after another, for ever."""
    dice = random.Random(f"{seed} strikes")
    while True:
        (blow,) = dice.choices(list(_BLOWS), list(_BLOWS.values()))
        after = dice.uniform(0.05, 0.9) if dice.random() < 0.2 else dice.uniform(0.9, 5.0)
        yield Strike(blow, after, dice.uniform(0.3, 3.0))


@dataclass(frozen=True)
class JobPlan:
    """One job.

    Args:
        number: Of the job in its stream, from 0.
        operations: How many, over all three APIs.
        duplicates: Rows that repeat another one.
        invalid: Rows that ask for nothing valid.
        rate: Calls per second of each API.
        attempts: `--max-attempts`.
        kind: csv, jsonl or csv.gz.
        absent: Names and groups that are gone already, as a share.
    """

    number: int
    operations: int
    duplicates: int
    invalid: int
    rate: int
    attempts: int
    kind: str
    absent: float = 0.02
    shuffle: int = field(default=0)


def jobs(seed: str) -> Iterator[JobPlan]:
    """One job after another, for ever."""
    dice = random.Random(f"{seed} jobs")
    number = 0
    while True:
        rate = dice.choice((200, 200, 120, 50))
        yield JobPlan(
            number=number,
            operations=int(rate * 3 * dice.uniform(3.0, 10.0)),
            duplicates=dice.choice((0, 0, 7)),
            invalid=dice.choice((0, 0, 3)),
            rate=rate,
            attempts=dice.choice((2, 3, 8)),
            kind=dice.choice(("csv", "jsonl", "csv.gz")),
            shuffle=dice.getrandbits(32),
        )
        number += 1
