"""A second server of the three APIs, in a process of its own: strict about calls, exact about counts, as awkward as ordered.

Shares nothing with `bulkops`, neither its sandbox nor its client. Arrival times are the kernel's (SO_TIMESTAMPNS) where the
system has them, so that a server that waits for its turn on a busy machine does not take a steady stream for a burst.

Run as `python -m tests.helpers.otherserver`; says its two ports in one line of JSON and ends when standard input is closed.
Tests use it through `tests.helpers.otherserver_handle`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import ssl
import struct
import sys
import time
from collections.abc import Callable
from typing import Any, Final, cast

from tests.helpers.otherserver_rules import App
from tests.helpers.otherserver_script import response
from tests.helpers.otherserver_service import Service

_SO_TIMESTAMPNS: Final = 35 if sys.platform == "linux" else 0


class Requests:
    """Bytes of one connection as requests.

    Args:
        handle: Called with method, path, body and arrival of each.
    """

    def __init__(self, handle: Callable[[str, str, bytes, float], None]) -> None:
        self._handle = handle
        self._buffer = b""

    def feed(self, data: bytes, at: float) -> None:
        """Take what has arrived."""
        data = self._buffer + data
        while data:
            head_end = data.find(b"\r\n\r\n")
            if head_end < 0:
                break
            end = head_end + 4 + _content_length(data[:head_end])
            if len(data) < end:
                break
            method, path, _ = data[: data.index(b"\r\n")].decode("latin-1").split(" ", 2)
            body, data = data[head_end + 4 : end], data[end:]
            self._handle(method, path, body, at)
        self._buffer = data


def _content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line[15:])
    return 0


class Socket:
    """One plain connection, read with the kernel's time stamps."""

    def __init__(self, sock: socket.socket, service: Service, loop: asyncio.AbstractEventLoop, live: set[Any]) -> None:
        self._sock: socket.socket | None = sock
        self._loop = loop
        self._live = live
        self._requests = Requests(lambda method, path, body, at: service.call(method, path, body, at, self, loop.call_later))
        self._out = b""
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if _SO_TIMESTAMPNS:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        loop.add_reader(sock, self._readable)
        live.add(self)

    def _readable(self) -> None:
        if self._sock is None:
            return
        try:
            data, ancillary, _, _ = self._sock.recvmsg(262144, 64)
        except BlockingIOError:
            return
        except OSError:
            data, ancillary = b"", []
        if not data:
            self.close()
            return
        self._requests.feed(data, _stamp(ancillary))

    def write(self, data: bytes) -> None:
        if self._sock is None:
            return
        self._out += data
        self._flush()

    def _flush(self) -> None:
        if self._sock is None:
            return
        try:
            sent = self._sock.send(self._out)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        self._out = self._out[sent:]
        if self._out:
            self._loop.add_writer(self._sock, self._flush)
        else:
            self._loop.remove_writer(self._sock)

    def close(self) -> None:
        sock, self._sock = self._sock, None
        if sock is not None:
            self._loop.remove_reader(sock)
            self._loop.remove_writer(sock)
            sock.close()
            self._live.discard(self)

    def reset(self) -> None:
        if self._sock is not None:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()


def _stamp(ancillary: list[tuple[int, int, bytes]]) -> float:
    """When the kernel took the bytes in; now where it does not say."""
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS and len(data) == 16:
            seconds, nanoseconds = struct.unpack("qq", data)
            return float(seconds) + float(nanoseconds) / 1e9
    return time.time()


class Stream(asyncio.Protocol):
    """One connection through asyncio: for TLS, and for the harness."""

    def __init__(self, handle: Callable[[str, str, bytes, float, Stream], None]) -> None:
        self._requests = Requests(lambda method, path, body, at: handle(method, path, body, at, self))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._requests.feed(data, time.time())

    def write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        self._transport.close()

    def reset(self) -> None:
        self._transport.abort()


class Door:
    """Where calls come in. It can be shut, so that connections are refused, and opened again on the same port."""

    def __init__(self, service: Service, tls: ssl.SSLContext | None) -> None:
        self._service = service
        self._tls = tls
        self._live: set[Any] = set()
        self._listener: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self.port = 0

    async def open(self) -> None:
        if self._listener is not None:
            return
        loop = asyncio.get_running_loop()
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=4096)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        if self._tls is None:
            loop.add_reader(self._listener, self._accept, self._listener)
        else:
            self._server = await loop.create_server(self._stream, sock=self._listener, ssl=self._tls)

    def _stream(self) -> Stream:
        later = asyncio.get_running_loop().call_later
        self._service.connections += 1
        stream = Stream(lambda method, path, body, at, peer: self._service.call(method, path, body, at, peer, later))
        self._live.add(stream)
        return stream

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                sock, _ = listener.accept()
                self._service.connections += 1
                Socket(sock, self._service, asyncio.get_running_loop(), self._live)

    def shut(self) -> None:
        listener, self._listener = self._listener, None
        if listener is None:
            return
        if self._server is not None:
            self._server.close()
        else:
            asyncio.get_running_loop().remove_reader(listener)
        listener.close()
        for peer in list(self._live):
            peer.reset()


class Control:
    """What the harness may ask for."""

    def __init__(self, service: Service, door: Door) -> None:
        self._service = service
        self._door = door
        self._tasks: set[asyncio.Task[None]] = set()

    def request(self, method: str, path: str, body: bytes, at: float, peer: Stream) -> None:
        task = asyncio.ensure_future(self._reply(path, json.loads(body or b"{}"), peer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reply(self, path: str, values: dict[str, Any], peer: Stream) -> None:
        try:
            answer: object = await self._answer(path, values)
            status = 200
        except (ValueError, TypeError, LookupError) as error:
            answer, status = str(error), 400
        peer.write(response(json.dumps(answer).encode(), status, "plain", {}, close=False))

    async def _answer(self, path: str, values: dict[str, Any]) -> object:
        service = self._service
        if path == "/set":
            if "listen" in values:
                await self._door.open() if values.pop("listen") else self._door.shut()
            service.set(values)
            return {}
        if path == "/forget":
            service.forget()
            return {}
        if path == "/fresh":
            self._door.shut()
            self._door.port = 0
            await self._door.open()
            service.reset()
            return self._door.port
        if path == "/count":
            return len(service.calls)
        if path == "/record":
            return {
                "calls": service.calls,
                "effects": service.effects,
                "violations": service.violations,
                "connections": service.connections,
            }
        raise LookupError(f"there is no {path}")


async def serve(app: App, tls: ssl.SSLContext | None) -> None:
    """Serve until standard input is closed."""
    loop = asyncio.get_running_loop()
    service = Service(app)
    door = Door(service, tls)
    await door.open()
    control = Control(service, door)
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    server = await loop.create_server(lambda: Stream(control.request), sock=listener)
    closed = asyncio.Event()

    def said() -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            closed.set()

    loop.add_reader(sys.stdin.fileno(), said)
    print(json.dumps({"port": door.port, "control": listener.getsockname()[1]}), flush=True)
    await closed.wait()
    loop.remove_reader(sys.stdin.fileno())
    server.close()
    door.shut()


def main() -> None:
    """`python -m tests.helpers.otherserver SETTINGS`, a JSON object: sdkappid, key, admins, and pem for TLS."""
    values = json.loads(sys.argv[1])
    tls = None
    if pem := values.get("pem"):
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(pem)
    asyncio.run(serve(App(values["sdkappid"], values["key"], frozenset(values["admins"])), tls))


if __name__ == "__main__":
    main()
