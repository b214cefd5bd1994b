"""Makes single calls over HTTPS: a request that leaves at the moment the gate allows, and what came back as a `Reply`.

aiohttp gives the pool, name resolution, TLS and the parser of responses; the request is written here. That leaves one place
where something goes out, with nothing between the gate and the first byte, and no room for what an HTTP client would do on its
own: redirects, repeats, cookies, proxies, decompression, credentials in the texts of exceptions. A call has these states:

    connecting → at the gate → departed → answered | unanswered
    (until it departed: not sent)

Decides nothing about repeating, pace or verdicts. Never raises for what a network or a server does.
"""

from __future__ import annotations

import asyncio
import random as random_numbers
import ssl
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import quote

import aiohttp
from aiohttp import hdrs
from yarl import URL

from bulkops._version import VERSION
from bulkops.chat.deadlines import Deadlines, Watch
from bulkops.chat.failures import ON_AWAITING, ON_CONNECTING, not_connected, not_sent, timed_out, unanswered
from bulkops.chat.redaction import Redactor
from bulkops.chat.usersig import UserSigner
from bulkops.chat.wire import MAX_ANSWER, answered, body_of, no_answer, retry_after
from bulkops.errors import ConfigError, NotDeparting
from bulkops.model import Api, Reply

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.connector import Connection
    from aiohttp.streams import StreamReader

    from bulkops.engine.ports import Clock, Gate

KEEP_ALIVE: Final = 10.0
"""How long an idle connection is kept, in seconds: shorter than servers do, so that they seldom close one that is in use."""


class ChatClient:
    """The remote service: one call at a time and place, over a pool of connections that are kept.

    Args:
        endpoint: `https://host[:port]`, or plain http where the settings allow it.
        sdkappid: The app.
        identifier: An administrator account of the app.
        key: Gives the app's key.
        connections: Size of the pool; as many as there are places in all lanes, so that nobody waits inside it.
        ca_file: PEM file of authorities to trust instead of the system's.
        clock: Both clocks.
        connect_timeout: Longest time to a usable connection, name resolution and TLS included, in seconds.
        read_timeout: Longest silence of the server while an answer is due, in seconds.
        total_timeout: Longest time from departure to the end of the answer, in seconds.
        random: Where the `random` of each call comes from.

    Raises:
        ConfigError: The key can't sign, or `ca_file` can't be used.
    """

    def __init__(
        self,
        *,
        endpoint: str,
        sdkappid: int,
        identifier: str,
        key: Callable[[], str],
        connections: int,
        clock: Clock,
        ca_file: str = "",
        connect_timeout: float = 5.0,
        read_timeout: float = 10.0,
        total_timeout: float = 15.0,
        random: random_numbers.Random | None = None,
    ) -> None:
        self._origin = URL(endpoint).origin()
        self._clock = clock
        self._connections = connections
        self._tls = _tls_context(ca_file) if self._origin.scheme == "https" else None
        self._connecting = aiohttp.ClientTimeout(total=None, connect=connect_timeout)
        self._deadlines = Deadlines(clock.monotonic, silence=read_timeout, total=total_timeout)
        self._random_bits = (random or random_numbers.Random()).getrandbits
        self._hide = Redactor(key())
        self._signer = UserSigner(sdkappid, identifier, key, clock)
        self._query = f"?sdkappid={sdkappid}&identifier={quote(identifier, safe='')}&usersig="
        self._host = f"{self._origin.host}:{self._origin.port}"
        self._rest = _rest_of_head(self._origin)
        self._usersig = ""
        self._heads: dict[str, bytes] = {}

    def __repr__(self) -> str:
        return f"ChatClient({self._host})"

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._connector = aiohttp.TCPConnector(
            limit=self._connections,
            keepalive_timeout=KEEP_ALIVE,
            ttl_dns_cache=300,
            ssl=self._tls or True,
        )
        # All that the connector wants to know of a request is where it goes, so one stands for all: aiohttp never learns the
        # path, the query or the body of any.
        self._target = aiohttp.ClientRequest("POST", self._origin, loop=loop)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close every connection. Calls still in flight lose theirs: drain first."""
        self._deadlines.close()
        await self._connector.close()

    def renew(self) -> None:
        """Make a new credential before the next call; at most once a second."""
        self._signer.renew()

    async def send(self, api: Api, content: str, gate: Gate) -> Reply:
        """Make one call: connect, pass the gate, write, wait for the answer.

        Cancelled before the gate lets it pass, nothing has left; cancelled afterwards, the call is in doubt. What the gate
        raises besides `NotDeparting` passes through.
        """
        body = body_of(api, content)
        try:
            connection = await self._connector.connect(self._target, traces=[], timeout=self._connecting)
        except ON_CONNECTING as failure:
            return not_connected(failure, self._host)
        protocol = connection.protocol
        assert protocol is not None
        call = None
        try:
            protocol.set_response_params(read_until_eof=True, auto_decompress=False)
            try:
                await gate(partial(_stands, protocol))
            except NotDeparting as refusal:
                connection.release()  # unused; if it is gone, the pool sees that
                return not_sent(refusal.label, f"the call was held back: {refusal.label}")
            # From here to the write nothing waits: the token is fresh, and so is the credential.
            transport = protocol.transport
            if transport is None or not _stands(protocol):
                return not_sent("stale_connection", f"{self._host} closed the connection before the call left")
            request = self._request(api, body)
            transport.write(request)
            gate.left()
            if transport.is_closing():  # the system took none of it: the connection was gone, and we had not heard yet
                return not_sent("stale_connection", f"{self._host} closed the connection before the call left")
            call = self._deadlines.departed(partial(_give_up, protocol))
            return await self._reply(connection, protocol, call)
        finally:
            if call is not None:
                self._deadlines.ended(call)
            _give_back(connection)

    async def _reply(self, connection: Connection, protocol: ResponseHandler, call: Watch) -> Reply:
        """The reply to a call that has just left."""
        http = None
        wait = None
        try:
            message, content = await protocol.read()
            while 100 <= message.code < 200 and message.code != HTTPStatus.SWITCHING_PROTOCOLS:
                self._deadlines.heard(call)
                message, content = await protocol.read()
            http = message.code
            wait = self._retry_after(message.headers)
            if http == HTTPStatus.SWITCHING_PROTOCOLS:
                return no_answer(http, "no answer, but another protocol", wait)
            body = await self._body(content, call)
        except ON_AWAITING as failure:
            if http == HTTPStatus.TOO_MANY_REQUESTS:
                return no_answer(http, "", wait)
            reply = timed_out(call.expired, http) if call.expired else unanswered(failure, http)
            return reply if wait is None else reply._replace(retry_after=wait)
        if body is None:
            return no_answer(http, f"the answer is longer than {MAX_ANSWER} bytes", wait)
        connection.release()
        return answered(http, body, hide=self._hide, retry_after=wait)

    async def _body(self, content: StreamReader, call: Watch) -> bytes | None:
        """A response's body; `None` once it is longer than an answer may be."""
        if not content.is_eof():
            # Not the connection alone: after a chunk that can't be parsed aiohttp closes that, and wakes nobody who reads.
            call.give_up = partial(_give_up, content)
        body = await content.readany()
        while not content.at_eof():
            if len(body) > MAX_ANSWER:
                return None
            self._deadlines.heard(call)
            body += await content.readany()
        return body if len(body) <= MAX_ANSWER else None

    def _retry_after(self, headers: Mapping[str, str]) -> float | None:
        value = headers.get(hdrs.RETRY_AFTER)
        if value is None:
            return None
        return retry_after(value, date=headers.get(hdrs.DATE), now=self._clock.utc() / 1e6)

    def _request(self, api: Api, body: bytes) -> bytes:
        """A request as it goes out, with the credential of the moment."""
        usersig = self._signer.current()
        if usersig is not self._usersig:
            self._usersig = usersig
            self._heads.clear()
            self._hide.add(usersig)
        head = self._heads.get(api.path)
        if head is None:
            # Its alphabet needs no encoding; `*` stays as it is, which spares the server a decoding to get right.
            line = f"POST /{api.path}{self._query}{quote(usersig, safe='*')}&random="
            head = self._heads[api.path] = line.encode("ascii")
        return b"%b%d%b%d\r\n\r\n%b" % (head, self._random_bits(32), self._rest, len(body), body)


def _stands(protocol: ResponseHandler) -> bool:
    """Whether a connection can take a request: it is up, and the server hasn't said anything unasked."""
    return protocol.is_connected() and not protocol.should_close


def _give_up(waited_for: ResponseHandler | StreamReader) -> None:
    """Wake whoever waits for a response, or for more of its body, with an exception."""
    waited_for.set_exception(TimeoutError())


def _give_back(connection: Connection) -> None:
    """Close a connection, unless it was released. Hard: with TLS, a polite close would wait for the other side."""
    if (transport := connection.transport) is not None:
        transport.abort()
    connection.close()


def _rest_of_head(origin: URL) -> bytes:
    """What follows the number of the call in every request's head, up to the length of its body."""
    return (
        "&contenttype=json HTTP/1.1\r\n"
        f"Host: {origin.host_port_subcomponent}\r\n"
        f"User-Agent: bulkops/{VERSION}\r\n"
        "Accept: application/json\r\n"
        "Accept-Encoding: identity\r\n"
        "Content-Type: application/json\r\n"
        "Content-Length: "
    ).encode("ascii")


def _tls_context(ca_file: str) -> ssl.SSLContext:
    """TLS as Python recommends it: certificates and host names are verified.

    Raises:
        ConfigError: `ca_file` can't be read, or holds no certificate.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ValueError) as failure:
        raise ConfigError(
            f"--ca-file {ca_file!r} can't be used ({type(failure).__name__}): it is a PEM file of certificates"
        ) from None
    context.set_alpn_protocols(("http/1.1",))
    return context
