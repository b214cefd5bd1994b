"""A server that is as hostile as can be, in a thread beside the test: each call gets the next of its tricks, and is on record.

Knows HTTP and the shape of an answer, nothing else; shares no code with the product.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

from tests.helpers.rawserver import OK, Peer, RawServer, Request, envelope, response

Say = Callable[[Request], bytes]


@dataclass(frozen=True)
class Trick:
    """What becomes of one call.

    Args:
        name: For people.
        say: The bytes that go back.
        then: `close`, `reset`, `hang` or `keep` the connection afterwards.
        drip: Send them a few at a time, slowly, and never the last.
    """

    name: str
    say: Say
    then: str = "close"
    drip: bool = False


def _echo(code: int, text: Callable[[Request], str]) -> Say:
    return lambda request: response(envelope(code, text(request)))


def _plain(data: bytes) -> Say:
    return lambda _: data


_HUGE: Final = 8 << 20
_BOMB: Final = gzip.compress(b" " * (64 << 20) + envelope().encode(), 9)
_CHUNKED: Final = "Transfer-Encoding: chunked"

GOOD: Final = Trick("good", _plain(OK), "keep")
"""A success as it should be."""

ECHOES: Final = (
    Trick("echo of the target", _echo(50002, lambda request: f"bad request: {request.target}")),
    Trick("echo of the request", _echo(50002, lambda request: request.raw.decode("latin-1"))),
    Trick("echo of the signature", _echo(50002, lambda request: request.query["usersig"])),
    Trick("echo, encoded", _echo(50002, lambda request: quote(request.target, safe=""))),
    Trick("echo, encoded twice", _echo(50002, lambda request: quote(quote(request.query["usersig"], safe="")))),
    Trick("echo in base64", _echo(50002, lambda request: base64.b64encode(request.raw).decode())),
    Trick("echo in url-safe base64", _echo(50002, lambda request: base64.urlsafe_b64encode(request.raw).decode())),
    Trick("echo of half a signature", _echo(50002, lambda request: request.query["usersig"][20:90])),
    Trick(
        "echo in an object",
        lambda request: response(json.dumps({"ErrorCode": 50002, "ErrorInfo": {"usersig": request.query["usersig"]}})),
    ),
    Trick("echo as a page", lambda request: response(b"<html>" + request.raw + b"</html>", "404 Not Found")),
    Trick("echo in a header", lambda request: response("", "200 OK", f"X-Request: {request.target}")),
    Trick("echo in a broken header", lambda request: response("", "200 OK", f"{request.target}")),
    Trick("echo in the reason", lambda request: response("", f"502 {request.target}")),
    Trick("echo in the status line", lambda request: b"HTTP/1.1 " + request.target.encode() + b"\r\n\r\n"),
    Trick("echo in Retry-After", lambda request: response("", "503 Busy", f"Retry-After: {request.target}")),
    Trick("echo of the bytes", lambda request: request.raw),
)
"""What servers, proxies and gateways send back of what they were sent."""

LIES: Final = (
    Trick("empty", _plain(response(""))),
    Trick("no content", _plain(response("", "204 No Content"))),
    Trick("zero as text", _plain(response('{"ActionStatus":"OK","ErrorCode":"0","ErrorInfo":""}'))),
    Trick("zero as float", _plain(response('{"ActionStatus":"OK","ErrorCode":0.0,"ErrorInfo":""}'))),
    Trick("zero as false", _plain(response('{"ActionStatus":"OK","ErrorCode":false,"ErrorInfo":""}'))),
    Trick("zero as null", _plain(response('{"ActionStatus":"OK","ErrorCode":null,"ErrorInfo":""}'))),
    Trick("no code", _plain(response('{"ActionStatus":"OK","ErrorInfo":""}'))),
    Trick("two codes", _plain(response('{"ErrorCode":50004,"ErrorCode":0}'))),
    Trick("a list", _plain(response('[{"ErrorCode":0}]'))),
    Trick("two answers", _plain(response(envelope() + envelope()))),
    Trick("half an answer", _plain(OK[:-4])),
    Trick("a broken chunk", _plain(response(b"zz\r\n" + envelope().encode(), "200 OK", _CHUNKED, length=-1))),
    Trick("a zero that says FAIL", _plain(response(envelope(0, "", "FAIL")))),
    Trick("a zero with HTTP 500", _plain(response(envelope(), "500 Internal Server Error"))),
    Trick("a zero with HTTP 301", _plain(response(envelope(), "301 Moved Permanently"))),
    Trick("a page", _plain(response("<html>sign in</html>", "200 OK", "Content-Type: text/html"))),
    Trick("not HTTP", _plain(b"220 mail.example ESMTP\r\n")),
    Trick("another protocol", _plain(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")),
    Trick("deep nesting", _plain(response("[" * 30_000 + "]" * 30_000))),
    Trick("half a surrogate", _plain(response(b'{"ErrorCode":0,"ErrorInfo":"\xed\xa0\x80"}'))),
    Trick("NUL bytes", _plain(response(b"\0" * 100))),
)
"""What looks like a success and is none."""

WEIGHTS: Final = (
    Trick("a huge body", lambda _: response(b"x" * _HUGE)),
    Trick("a body without end", lambda _: b"HTTP/1.1 200 OK\r\n\r\n" + b" " * _HUGE),
    Trick("a gzip bomb", lambda _: response(_BOMB, "200 OK", "Content-Encoding: gzip")),
    Trick("a huge header", lambda _: response("", "200 OK", "X: " + "y" * (1 << 20))),
    Trick("many headers", lambda _: response("", "200 OK", *(f"X-{number}: y" for number in range(20_000)))),
)
"""What costs memory where it is read."""

SILENCES: Final = (
    Trick("a lost connection", _plain(b"")),
    Trick("a reset", _plain(b""), "reset"),
    Trick("a reset in mid-answer", _plain(OK[:30]), "reset"),
    Trick("silence", _plain(b""), "hang"),
    Trick("a slow drip", _plain(OK), "hang", drip=True),
)


def redirects(place: str) -> tuple[Trick, ...]:
    """Every kind of redirect to another server, in whose place nobody may look."""
    return tuple(
        Trick(f"redirect {status}", lambda request, status=status: response("", status, f"Location: {place}{request.target}"))  # type: ignore[misc]  # mypy can't type a default
        for status in ("301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect")
    )


class Hostile:
    """The server, for the length of a `with` block.

    Args:
        tricks: One for each call, in turn; the last one for ever.
        tls: For https.
        on_call: Called in the server's thread with each request, before it is answered.
    """

    def __init__(
        self,
        tricks: Sequence[Trick],
        *,
        tls: ssl.SSLContext | None = None,
        on_call: Callable[[Request], object] = lambda _: None,
    ) -> None:
        self._tricks = tricks
        self._on_call = on_call
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server = RawServer(self._play, tls=tls)
        self.played: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._server.__aenter__(), self._loop).result(10)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        try:
            asyncio.run_coroutine_threadsafe(self._server.__aexit__(None, None, None), self._loop).result(10)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            self._loop.close()

    @property
    def endpoint(self) -> str:
        return self._server.endpoint

    @property
    def requests(self) -> list[Request]:
        return self._server.requests

    @property
    def connections(self) -> int:
        return self._server.connections

    @property
    def usersigs(self) -> set[str]:
        """Every UserSig that came in, as it was signed."""
        return {request.query["usersig"] for request in self.requests}

    async def _play(self, peer: Peer) -> None:
        while True:
            request = await peer.request()
            self._on_call(request)
            trick = self._tricks[min(len(self.played), len(self._tricks) - 1)]
            self.played.append(trick.name)
            if trick.drip:
                for byte in trick.say(request)[:-1]:
                    peer.write(bytes([byte]))
                    await asyncio.sleep(0.05)
            else:
                peer.write(trick.say(request))
                await peer.drain()
            if trick.then == "hang":
                await peer.gone()
            if trick.then == "reset":
                await asyncio.sleep(0.01)  # let the bytes out; a reset throws away what waits
                peer.reset()
            if trick.then != "keep":
                return
