"""A remote service made up for simulations: a world whose effects are counted, and faults drawn from a seed.

Shares no code with the engine. What it does to a call is decided in one place, `Server.fate`, from the plan of the seed and
from its own random numbers, so that a seed always tells the same story.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

from bulkops.chat.catalog import APIS
from bulkops.engine.ports import Gate, NotDeparting
from bulkops.model import Api, Outcome, Reply
from bulkops.testing import answered, not_sent, ok, unanswered

TRANSIENT = (50004, 50005, 10002, 60008, 60013, 70169, 10008)
REFUSED = (50001, 50002, 60003, 123456)
THROTTLED = (60007, 60018, 10006, 10023, 60011)
FATAL = (50003, 60006, 70009, 60021)
FATAL_API = (51013, 60009, 10026)
ABSENT = {1: 51009, 2: 10010}
SILENT_UNTIL = 120.0
"""When operations that are never answered begin to be: where nothing else is left, their failures would never be charged."""

UNANSWERED = (("timeout", None), ("lost", None), ("http_502", 502), ("http_503", 503), ("unreadable", 200))


class Episode(NamedTuple):
    """Trouble that lasts from `start` to `end` (seconds since the beginning of the simulation).

    Args:
        kind: `down` (a code), `503`, `refused`, `hang`, `throttle`, `fatal`, `fatal_api`, `stale`.
        api: The lane it hits; -1 for all.
        share: Of the calls that it hits.
    """

    kind: str
    start: float
    end: float
    api: int
    share: float


@dataclass(frozen=True)
class Weather:
    """Everything that goes wrong in one simulation, drawn once.

    Args:
        noise: Chance of each fault for a single call.
        poison: Chance that an operation always fails, and that it is never answered.
        gone: Chance that a target does not exist to begin with.
        latency: Seconds that most answers take.
    """

    episodes: tuple[Episode, ...]
    noise: dict[str, float]
    poison: tuple[float, float]
    gone: float
    latency: float


def draw_weather(rng: random.Random, until: float) -> Weather:
    """The weather of a seed; all episodes end by `until`."""
    kinds = ("down", "down", "503", "503", "refused", "hang", "throttle", "fatal", "fatal_api", "stale")
    episodes = []
    for _ in range(rng.choice((0, 1, 2, 3))):
        start = rng.choice((0.0, rng.uniform(0.0, 3.0), rng.uniform(0.0, until * 0.8)))
        end = min(until, start + rng.choice((0.02, 0.5, 3.0, 12.0, 12.0)))
        episodes.append(
            Episode(rng.choice(kinds), start, end, rng.choice((-1, -1, -1, 0, 1, 2)), rng.choice((1.0, 1.0, 0.6, 0.2)))
        )
    loud = rng.choice((0.0, 0.3, 1.0, 3.0))
    faults = (
        "transient",
        "refused",
        "lost_before",
        "lost_after",
        "not_sent",
        "stale_before",
        "stale_after",
        "throttled",
        "slow",
    )
    noise = {fault: loud * rng.choice((0.0, 0.0, 0.005, 0.02, 0.05)) for fault in faults}
    noise["throttled"] *= rng.choice((0.0, 0.1, 1.0))  # a lane that is throttled again and again shows little else
    poison = (rng.choice((0.0, 0.0, 0.02, 0.1)), rng.choice((0.0, 0.0, 0.02)))
    return Weather(tuple(episodes), noise, poison, rng.choice((0.0, 0.1)), rng.choice((0.01, 0.08, 0.08, 0.6)))


@dataclass
class Server:
    """The world behind the API.

    Args:
        weather: What goes wrong.
        rng: For what happens to single calls.
    """

    weather: Weather
    rng: random.Random
    executed: Counter[tuple[int, str]] = field(default_factory=Counter)
    """How often each operation took effect."""
    refused: set[tuple[int, str]] = field(default_factory=set)
    """Operations that got an answer which no repeat changes."""
    succeeded: Counter[int] = field(default_factory=Counter)
    """Complete answers with 0, by API."""
    credential: int = 0
    """The number of renewals that the newest credential must have gone through."""

    def episode(self, api: int, at: float) -> Episode | None:
        """The trouble that hits a call at that time."""
        for each in self.weather.episodes:
            if each.start <= at < each.end and each.api in (-1, api) and self.rng.random() < each.share:
                return each
        return None

    def reachable(self, api: int, at: float) -> bool:
        """Whether a connection can be made."""
        trouble = self.episode(api, at)
        return not (trouble and trouble.kind == "refused") and self.rng.random() >= self.weather.noise["not_sent"]

    def fate(self, api: int, content: str, at: float, renewals: int) -> tuple[Reply, float]:
        """What a call that has left is answered, and after how many seconds. Counts its effect."""
        rng, noise = self.rng, self.weather.noise
        wait = self.weather.latency * rng.uniform(0.5, 1.5)
        if noise["slow"] and rng.random() < noise["slow"]:
            wait = rng.uniform(1.0, 9.0)
        trouble = self.episode(api, at)
        if trouble is not None:
            reply = self._troubled(trouble, api, content, renewals)
            if reply is not None:
                return reply, 10.0 if trouble.kind == "hang" else wait
        if renewals < self.credential:
            return answered(70001), wait
        return self._alone(api, content, at), wait

    def _troubled(self, trouble: Episode, api: int, content: str, renewals: int) -> Reply | None:
        kind, rng = trouble.kind, self.rng
        if kind == "down":
            return answered(rng.choice(TRANSIENT), "try again")
        if kind == "503":
            return unanswered("http_503", 503)
        if kind == "hang":
            if rng.random() < 0.3:
                self._execute(api, content)
            return unanswered("timeout")
        if kind == "throttle":
            return answered(rng.choice(THROTTLED), retry_after=rng.choice((None, None, 0.5, 4.0)))
        if kind == "fatal":
            return answered(rng.choice(FATAL))
        if kind == "fatal_api":
            return answered(rng.choice(FATAL_API))
        if kind == "stale" and renewals < self.credential + 1:
            return answered(rng.choice((70001, 70052)))
        return None

    def _alone(self, api: int, content: str, at: float) -> Reply:
        """What happens to a call while nothing is wrong with the service as a whole."""
        rng, noise = self.rng, self.weather.noise
        always_fails, never_answers = self._poisonous(api, content)
        if always_fails:
            return answered(50004, "poison")
        if never_answers and at < SILENT_UNTIL:
            self._execute(api, content)
            return unanswered("lost")
        draw = rng.random()
        for fault in ("transient", "refused", "lost_before", "lost_after", "throttled"):
            draw -= noise[fault]
            if draw < 0:
                return self._fault(fault, api, content)
        if self._gone(api, content):
            return answered(ABSENT[api], "gone")
        self._execute(api, content)
        self.succeeded[api] += 1
        return ok()

    def _fault(self, fault: str, api: int, content: str) -> Reply:
        rng = self.rng
        if fault == "transient":
            return answered(rng.choice(TRANSIENT), "try again")
        if fault == "refused":
            self.refused.add((api, content))
            code = 10007 if api == 2 and self.succeeded[api] and rng.random() < 0.3 else rng.choice(REFUSED)
            return answered(code, "no")
        if fault == "throttled":
            if rng.random() < 0.2:
                return Reply(Outcome.ANSWERED, 429, None, "http_429", retry_after=rng.choice((None, 1.0)))
            return answered(rng.choice(THROTTLED), retry_after=rng.choice((None, None, 2.0)))
        if fault == "lost_after":
            self._execute(api, content)
        label, http = rng.choice(UNANSWERED)
        return unanswered(label, http)

    def _execute(self, api: int, content: str) -> None:
        if not self._gone(api, content):
            self.executed[api, content] += 1

    def _gone(self, api: int, content: str) -> bool:
        """Whether the target is not there (any more); the first API says yes to that all the same."""
        if api not in ABSENT:
            return False
        return self.executed[api, content] > 0 or self.missing(api, content)

    def missing(self, api: int, content: str) -> bool:
        """Whether the target never was there."""
        return api in ABSENT and _chance(f"gone {api} {content}") < self.weather.gone

    def _poisonous(self, api: int, content: str) -> tuple[bool, bool]:
        always, never = self.weather.poison
        draw = _chance(f"poison {api} {content}") if always or never else 1.0
        return draw < always, always <= draw < always + never


@cache
def _chance(text: str) -> float:
    """The same number for the same text, wherever it is asked for."""
    return random.Random(text).random()


class SimClient:
    """A client in front of the server. Notes every departure and every reply.

    Args:
        now: Seconds since the beginning of the simulation.
        durable: Called when a call leaves: whether its intent is on record.
    """

    def __init__(self, server: Server, *, now: Callable[[], float], durable: Callable[[int, str], bool]) -> None:
        self._server = server
        self._now = now
        self._durable = durable
        self.renewals = server.credential
        self.departures: dict[int, list[float]] = {}
        self.left: Counter[tuple[int, str]] = Counter()
        self.tokens: dict[int, list[float]] = {}
        """When tokens were paid: departures, and calls whose connection turned out to be gone right then."""
        self.replies: dict[tuple[int, str], list[Reply]] = {}
        """Replies that came back and stand for an attempt, oldest first."""

    async def send(self, api: Api, content: str, gate: Gate) -> Reply:
        index = APIS.index(api)
        reply = await self._send(index, content, gate)
        if reply.label not in {"withdrawn", "stale_connection"}:
            self.replies.setdefault((index, content), []).append(reply)
        return reply

    async def _send(self, api: int, content: str, gate: Gate) -> Reply:
        server = self._server
        rng, noise = server.rng, server.weather.noise
        if not server.reachable(api, self._now()):
            await asyncio.sleep(rng.choice((0.0, 0.0, 0.05)))
            return not_sent("refused")
        if rng.random() < 0.05:
            await asyncio.sleep(rng.uniform(0.0, 0.4))
        gone = rng.random() < noise["stale_before"]
        try:
            await gate(lambda: not gone)
        except NotDeparting as refusal:
            return not_sent(refusal.label)
        at = self._now()
        self.tokens.setdefault(api, []).append(at)
        if rng.random() < noise["stale_after"]:
            return not_sent("stale_connection")
        gate.left()
        assert self._durable(api, content), f"{content} of API {api} left without a durable intent"
        self.departures.setdefault(api, []).append(at)
        self.left[api, content] += 1
        reply, wait = server.fate(api, content, at, self.renewals)
        await asyncio.sleep(wait)
        return reply

    def renew(self) -> None:
        self.renewals += 1
