"""A server that does to its connections exactly what a test says, byte by byte. Knows nothing of the API, shares no code with it."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

Script = Callable[["Peer"], Awaitable[None]]
"""What to do with one connection; it is closed when the script ends."""


@dataclass(frozen=True)
class Request:
    """One request as it arrived."""

    raw: bytes
    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    segments: int
    """Reads that it took to arrive: one, if it was written at once."""

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        """The query, decoded as servers do it."""
        return {name: values[0] for name, values in parse_qs(urlsplit(self.target).query, strict_parsing=True).items()}


class Peer:
    """The server's end of one connection."""

    def __init__(self, server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server = server
        self.number = server.connections
        self._reader = reader
        self._writer = writer

    async def request(self) -> Request:
        """The next request.

        Raises:
            EOFError: The client closed the connection instead.
        """
        raw = b""
        segments = 0
        while b"\r\n\r\n" not in raw or len(raw) < _length(raw):
            chunk = await self._reader.read(65536)
            if not chunk:
                raise EOFError
            raw += chunk
            segments += 1
        request = _parsed(raw, segments)
        self.server.requests.append(request)
        return request

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    async def drain(self) -> None:
        await self._writer.drain()

    async def gone(self) -> None:
        """Wait until the client has closed its end."""
        while await self._reader.read(65536):
            pass

    def reset(self) -> None:
        """Break the connection off with a TCP reset."""
        sock: socket.socket = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


class RawServer:
    """Listens on a port of its own and plays a script to every connection.

    Args:
        script: What to do with each.
        tls: For https.
    """

    def __init__(self, script: Script, *, tls: ssl.SSLContext | None = None) -> None:
        self._script = script
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self.requests: list[Request] = []
        self.connections = 0

    @property
    def endpoint(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        done = await asyncio.gather(*self._tasks, return_exceptions=True)
        for outcome in done:
            if isinstance(outcome, Exception):
                raise outcome

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._script(Peer(self, reader, writer))
        except (EOFError, ConnectionError, ssl.SSLError):
            pass  # the client went away
        except asyncio.CancelledError:
            pass  # the test is over; a cancelled handler would be reported as an error of the loop
        finally:
            self._tasks.discard(task)
            writer.transport.abort() if self._tls else writer.close()


def answering(*responses: bytes) -> Script:
    """Answer each request with the next of these, and the last one for ever."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            index = len(peer.server.requests) - 1
            peer.write(responses[min(index, len(responses) - 1)])

    return script


def response(body: bytes | str = b"", status: str = "200 OK", *headers: str, length: int | None = None) -> bytes:
    """A whole HTTP response.

    Args:
        body: Its body.
        status: Number and reason.
        headers: More header lines.
        length: What Content-Length claims; -1 for no such header.
    """
    body = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", *headers]
    if length != -1:
        lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def envelope(code: int = 0, info: str = "", status: str = "") -> str:
    """An answer's body as the API sends it."""
    return json.dumps({"ActionStatus": status or ("FAIL" if code else "OK"), "ErrorCode": code, "ErrorInfo": info})


OK = response(envelope())


def _length(raw: bytes) -> int:
    """Bytes of the whole request whose head is in `raw`."""
    head, _, _ = raw.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return len(head) + 4 + int(value)
    return len(head) + 4


def _parsed(raw: bytes, segments: int) -> Request:
    head, _, body = raw.partition(b"\r\n\r\n")
    line, *lines = head.decode("ascii").split("\r\n")
    method, target, version = line.split(" ")
    assert version == "HTTP/1.1"
    headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)}
    assert len(headers) == len(lines)
    return Request(raw, method, target, headers, body, segments)
