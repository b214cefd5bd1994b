"""Answers as bytes on a connection, and connections that misbehave.

Bytes are written past aiohttp's response classes: that is what lets a fault cut, drip or withhold them, and it takes a
third of the time. Knows nothing of APIs, effects or when a fault is due.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from bulkops.sandbox.answers import Answer
from bulkops.sandbox.draws import Drawn
from bulkops.sandbox.faults import Fault, Kind
from bulkops.sandbox.spoil import NOT_HTTP, spoil

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether a record is about the sandbox itself: a request that is no HTTP has its 400, and may quote a UserSig."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_LOG: Final = logging.getLogger(__name__)
_LOG.addFilter(_is_ours)

_NO_LINGER: Final = struct.pack("ii", 1, 0)
"""SO_LINGER on, 0 s: closing sends a reset instead of an orderly end."""

_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}


class Connection(web.RequestHandler):
    """A connection that knows when a request began to arrive, and that can be reset.

    Args:
        server: aiohttp's.
        loop: The running one.
        on_open: Called once when the connection stands.
    """

    __slots__ = ("_idle", "_on_open", "arrived")

    def __init__(self, server: web.Server, loop: asyncio.AbstractEventLoop, on_open: Callable[[], None]) -> None:
        super().__init__(server, loop=loop, access_log=None, logger=_LOG, keepalive_timeout=75.0)  # type: ignore[arg-type]  # None: no log
        self._on_open = on_open
        self._idle: asyncio.TimerHandle | None = None
        self.arrived = 0
        """Nanoseconds of the monotonic clock at which the first bytes of the present request came; 0 between requests."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._on_open()

    def data_received(self, data: bytes) -> None:
        # Stamped here and not in the handler: that starts turns of the loop later, more of them the busier it is.
        if not self.arrived:
            self.arrived = time.monotonic_ns()
            if self._idle is not None:
                self._idle.cancel()
                self._idle = None
        super().data_received(data)

    def rest(self, idle: float | None) -> None:
        """The present request is answered; close the connection once it has been idle for so many seconds."""
        self.arrived = 0
        if idle is not None and self.transport is not None:
            self._idle = asyncio.get_running_loop().call_later(idle, self._close_idle)

    def _close_idle(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def reset(self) -> None:
        """Break the connection so that the other side sees a reset."""
        if self.transport is None:
            return
        sock = self.transport.get_extra_info("socket")
        with contextlib.suppress(OSError):  # closed by the other side meanwhile
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.transport.abort()


class Written(web.StreamResponse):
    """A response of ready-made bytes.

    Args:
        data: Everything there is to send; empty for nothing at all.
        keep: Whether the connection stays open.
    """

    def __init__(self, data: bytes, *, keep: bool) -> None:
        super().__init__()
        self._data = data
        self._keep = keep

    @property
    def keep_alive(self) -> bool:
        return self._keep

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write it all; nothing waits, so nothing can come between."""
        transport = request.transport
        if transport is not None and self._data:
            transport.write(self._data)
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to write."""


def encode(answer: Answer, *, keep: bool = True) -> tuple[bytes, bytes]:
    """Head and body of an answer."""
    return (
        b"HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n%s%s\r\n"
        % (
            answer.status,
            _REASONS.get(answer.status, "Unknown").encode(),
            answer.content_type.encode(),
            len(answer.body),
            answer.headers,
            b"" if keep else b"Connection: close\r\n",
        ),
        answer.body,
    )


def written(request: web.BaseRequest, answer: Answer) -> Written:
    """A response without any fault."""
    keep = bool(request.keep_alive)
    head, body = encode(answer, keep=keep)
    return Written(head + body, keep=keep)


def silent() -> Written:
    """No response: the connection closes, where it is still open."""
    return Written(b"", keep=False)


async def deliver(request: web.BaseRequest, connection: Connection, answer: Answer, drawn: Drawn) -> Written:
    """Send an answer the way the faults that fell on it want it."""
    if drawn.delay:
        await asyncio.sleep(drawn.delay)
    if drawn.before is not None and drawn.before.kind is Kind.RESET_BEFORE:
        connection.reset()
        return silent()
    if drawn.after is None:
        return written(request, answer)
    return await _deliver_badly(request, connection, spoil(answer, drawn.after), drawn.after, drawn.silence)


async def _deliver_badly(
    request: web.BaseRequest, connection: Connection, answer: Answer, fault: Fault, silence: float
) -> Written:
    keep = bool(request.keep_alive)
    head, body = encode(answer, keep=keep)
    match fault.kind:
        case Kind.RESET_AFTER:
            connection.reset()
            return silent()
        case Kind.STALL:
            await asyncio.sleep(silence)
            return silent()
        case Kind.CUT:
            return Written(head + body[: len(body) // 2], keep=False)
        case Kind.GARBAGE if fault.variant == "head":
            return Written(NOT_HTTP, keep=False)
        case Kind.CLOSE_AFTER:  # the head promises to keep the connection
            return Written(head + body, keep=False)
        case Kind.DRIP:
            return await _drip(request, head, body, silence)
        case _:
            return Written(head + body, keep=keep)


async def _drip(request: web.BaseRequest, head: bytes, body: bytes, pause: float) -> Written:
    """The head at once, then the body byte by byte, for as long as somebody reads."""
    if request.transport is not None:
        request.transport.write(head)
    for place in range(len(body)):
        await asyncio.sleep(pause)
        if request.transport is None:
            break
        request.transport.write(body[place : place + 1])
    return Written(b"", keep=bool(request.keep_alive))
