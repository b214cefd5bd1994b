"""What the tests of the chat client share: a clock to turn by hand, gates, a key, and the traces that secrets would leave."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from bulkops.chat.catalog import DELETE_CONVERSATION
from bulkops.chat.client import ChatClient
from bulkops.errors import NotDeparting
from bulkops.model import Reply

KEY = "5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e"
SDKAPPID = 1400000000
ADMIN = "administrator"
CONTENT = "id1\t1\tid2\t\t1"
"""A conversation to delete."""


@dataclass
class HandClock:
    """Two clocks that move only when they are told to."""

    seconds: float = 1000.0
    wall: float = 1_700_000_000.0

    def monotonic(self) -> float:
        return self.seconds

    def utc(self) -> int:
        return round(self.wall * 1e6)

    def pass_time(self, seconds: float) -> None:
        """Let both go on as they should."""
        self.seconds += seconds
        self.wall += seconds


class LoopClock:
    """The loop's own time, as both clocks."""

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def utc(self) -> int:
        return round(self.monotonic() * 1e6)


class OpenGate:
    """A gate that lets everything pass whose connection stands."""

    async def __call__(self, alive: Callable[[], bool]) -> None:
        if not alive():
            raise NotDeparting("stale_connection")

    def left(self) -> None:
        """Nobody counts."""


open_gate: Final = OpenGate()


@dataclass
class FailingGate(OpenGate):
    """A gate that raises."""

    error: Exception

    async def __call__(self, alive: Callable[[], bool]) -> None:
        raise self.error


@dataclass
class HeldGate(OpenGate):
    """A gate that says when somebody stands before it, and holds them until it is told otherwise.

    Args:
        refuses: The label it refuses with once it opens; empty to let pass.
    """

    refuses: str = ""
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    alive: Callable[[], bool] = lambda: False

    async def __call__(self, alive: Callable[[], bool]) -> None:
        self.alive = alive
        self.reached.set()
        await self.opened.wait()
        if self.refuses:
            raise NotDeparting(self.refuses)


def chat_client(
    endpoint: str,
    *,
    connections: int = 8,
    ca_file: str = "",
    connect_timeout: float = 2.0,
    read_timeout: float = 2.0,
    total_timeout: float = 4.0,
    key: str = KEY,
    identifier: str = ADMIN,
) -> ChatClient:
    """A client for a server on this machine."""
    return ChatClient(
        endpoint=endpoint,
        sdkappid=SDKAPPID,
        identifier=identifier,
        key=lambda: key,
        connections=connections,
        ca_file=ca_file,
        clock=LoopClock(),
        connect_timeout=connect_timeout,
        read_timeout=read_timeout,
        total_timeout=total_timeout,
        random=random.Random(7),
    )


async def call_once(endpoint: str, *, ca_file: str = "", connect_timeout: float = 2.0, read_timeout: float = 2.0) -> Reply:
    """The reply to one call by a client of its own."""
    async with (
        asyncio.timeout(10),  # a call that hangs fails its test
        chat_client(
            endpoint,
            ca_file=ca_file,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            total_timeout=2 * read_timeout,
        ) as client,
    ):
        return await client.send(DELETE_CONVERSATION, CONTENT, open_gate)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so; fails where it doesn't come about in 5 s."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - nobody sets an event for what is inside a library
            await asyncio.sleep(0)


def traces_of(secret: str) -> set[str]:
    """The forms in which a secret might turn up: raw, percent-encoded, JSON, base64 at any place in a longer text."""
    encoded = quote(secret, safe="")
    small = re.sub("%[0-9A-F]{2}", lambda escape: escape.group().lower(), encoded)
    forms = {secret, encoded, small, json.dumps(secret)[1:-1]}
    for shift in range(3):
        inner = base64.b64encode(b"x" * shift + secret.encode())[4:-4].decode()
        forms |= {inner, inner.replace("+", "-").replace("/", "_")}
    return forms
