"""The sandbox as a server: its sockets, and the way of a call through it.

A call is counted when its first bytes arrive. Then it may meet an outage or a freeze; then the service decides in one
step; then the answer travels, well or badly. What the service decides is `service`'s business, the bytes are `wire`'s.
"""

from __future__ import annotations

import asyncio
import math
import ssl
import time
from collections import Counter, deque
from collections.abc import Mapping
from typing import Final, NamedTuple, cast
from urllib.parse import unquote_plus

from aiohttp import web

from bulkops.chat.catalog import APIS
from bulkops.model import Api
from bulkops.sandbox.answers import Answer, dump, failure, gateway
from bulkops.sandbox.checks import MAX_BODY
from bulkops.sandbox.control import PREFIX, Control
from bulkops.sandbox.door import Door
from bulkops.sandbox.draws import Drawn, active
from bulkops.sandbox.faults import Fault, Kind
from bulkops.sandbox.service import Call, Service
from bulkops.sandbox.spoil import bomb
from bulkops.sandbox.stats import SeenRequest
from bulkops.sandbox.wire import Connection, Written, deliver, written

_BY_PATH: Final = {f"/{api.path}": api for api in APIS}

_REMEMBERED: Final = 64
"""Newest calls that are kept as they came."""


class _Raw(NamedTuple):
    """A call as it came, not yet taken apart: most are never looked at."""

    op: str
    query: str
    headers: Mapping[str, str]
    body: bytes


class Server:
    """Lets a service be called over HTTP.

    Args:
        service: What decides. May be replaced while it runs.
        control: Answers what is no call.
        clock_offset: Seconds that the server's clock is ahead of this machine's.
        ssl_context: For https.
    """

    def __init__(self, service: Service, control: Control, clock_offset: float, ssl_context: ssl.SSLContext | None) -> None:
        self.clock_offset = clock_offset
        self._service = service
        self._control = control
        self._ssl = ssl_context
        self._door: Door | None = None
        self._decoy: Door | None = None
        self._servers: list[web.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._door_timer: asyncio.TimerHandle | None = None
        self._faults_changed = asyncio.Event()
        self.connections = 0
        self.redirected = 0
        self.elsewhere: Counter[str] = Counter()
        self._newest: deque[_Raw] = deque(maxlen=_REMEMBERED)

    async def start(self, host: str, port: int) -> str:
        """Listen, and return the base URL.

        Raises:
            ValueError: The host is no loopback address.
            OSError: The port is taken.
            RuntimeError: It is running already.
        """
        if self._door is not None:
            raise RuntimeError("the sandbox is running already")
        loop = asyncio.get_running_loop()
        api, decoy = web.Server(self._serve), web.Server(self._serve_decoy)
        door = Door(lambda: Connection(api, loop, self._count_connection), self._ssl)
        second = Door(lambda: Connection(decoy, loop, lambda: None), self._ssl)
        await door.listen(host, port)
        await second.listen(host, 0)
        self._door, self._decoy, self._servers = door, second, [api, decoy]
        self.apply_faults()
        return door.url

    async def stop(self) -> None:
        """Stop listening and end every connection, whatever it waits for."""
        self._cancel_timer()
        await asyncio.gather(*self._tasks)  # a door half open would stay open
        for door in (self._door, self._decoy):
            if door is not None:
                door.close()
        self._door = self._decoy = None
        for server in self._servers:
            await server.shutdown(0.01)
        self._servers = []
        await asyncio.sleep(0)  # connections that were told to go need a turn of the loop to do so

    @property
    def url(self) -> str:
        """Base URL, without a slash at its end.

        Raises:
            RuntimeError: It is not running.
        """
        if self._door is None:
            raise RuntimeError("the sandbox is not running")
        return self._door.url

    @property
    def open_connections(self) -> int:
        """Connections that are open."""
        return len(self._servers[0].connections) if self._servers else 0

    def utc(self) -> float:
        """The server's clock, seconds since 1970."""
        return time.time() + self.clock_offset

    def last_requests(self) -> list[SeenRequest]:
        """The newest calls as they came, oldest first."""
        return [_taken_apart(raw) for raw in self._newest]

    def use(self, service: Service) -> None:
        """Go on with another service, and count from zero."""
        self._service = service
        self.connections = self.redirected = 0
        self.elsewhere.clear()
        self._newest.clear()
        self.apply_faults()

    def apply_faults(self) -> None:
        """Let what waits for a fault look again, and open or shut the door."""
        for fault in self._service.draws.faults:
            if fault.kind is Kind.GZIP_BOMB:
                bomb(fault.amount)  # made now: it takes a while, and calls are being timed
        self._faults_changed.set()
        self._faults_changed = asyncio.Event()
        if self._decoy is not None:
            self._service.redirect_to = self._decoy.url
            self._watch_door()

    # the way of a call

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = cast("Connection", request.protocol)
        idle = None
        try:
            path, _, query = request.raw_path.partition("?")
            api = _BY_PATH.get(path)
            if api is None or request.method != "POST":
                return await self._serve_elsewhere(request, path, query)
            response, idle = await self._serve_call(request, connection, api, query)
            return response
        finally:
            connection.rest(idle)

    async def _serve_call(
        self, request: web.BaseRequest, connection: Connection, api: Api, query: str
    ) -> tuple[Written, float | None]:
        service = self._service  # a reset meanwhile makes another one, which does not know this call
        began = service.called
        call = service.arrive(api, query, request.raw_path, connection.arrived)
        if not began:
            self._watch_door()
        body = await _read_body(request)
        self._newest.append(_Raw(api.op, query, request.headers, body or b""))
        shut = await self._held(service, call, connection) if service.draws.doors else None
        now = time.monotonic_ns()
        answer, drawn = shut or service.decide(call, body, self.utc(), service.elapsed(now))
        call.lane.codes[_label(answer, drawn)] += 1
        return await deliver(request, connection, answer, drawn), drawn.idle

    async def _held(self, service: Service, call: Call, connection: Connection) -> tuple[Answer, Drawn] | None:
        """Wait out freezes and hangs; what an outage answers, or nothing where the call may go on."""
        op = call.api.op
        if pause := service.draws.frozen(op, service.elapsed(time.monotonic_ns())):
            await asyncio.sleep(pause)
        fault = service.draws.outage(op, service.elapsed(time.monotonic_ns()))
        if fault is None:
            return None
        if fault.variant == "hang":
            await self._outlast(service, fault, op)
        return service.shut(fault, call.api)

    async def _outlast(self, service: Service, fault: Fault, op: str) -> None:
        while fault in service.draws.faults and active(fault, op, elapsed := service.elapsed(time.monotonic_ns())):
            left = fault.end - (elapsed.start if fault.from_start else elapsed.first)
            try:
                async with asyncio.timeout(min(left, 3600.0)):
                    await self._faults_changed.wait()
            except TimeoutError:
                continue

    async def _serve_elsewhere(self, request: web.BaseRequest, path: str, query: str) -> Written:
        """Requests to no API: the page, the control, and what does not exist."""
        body = await _read_body(request)
        if path == "/" or path.startswith(PREFIX):
            return written(request, self._control.answer(request, path, query, body))
        if path in _BY_PATH:
            answer = gateway(405)._replace(headers=b"Allow: POST\r\n")
        elif path.startswith("/v4/") and request.method == "POST":
            answer = failure(60009)
        else:
            answer = gateway(404)
        self.elsewhere[answer.label] += 1
        return written(request, answer)

    async def _serve_decoy(self, request: web.BaseRequest) -> web.StreamResponse:
        """The second port, where redirects lead: it says yes, and carries out nothing."""
        await _read_body(request)
        self.redirected += 1
        cast("Connection", request.protocol).rest(None)
        return written(request, Answer("0", dump({"ActionStatus": "OK", "ErrorInfo": "", "ErrorCode": 0})))

    # the door

    def _count_connection(self) -> None:
        self.connections += 1

    def _cancel_timer(self) -> None:
        if self._door_timer is not None:
            self._door_timer.cancel()
            self._door_timer = None

    def _watch_door(self) -> None:
        """Shut or open the door as the faults want it now, and look again when the next one begins or ends."""
        self._cancel_timer()
        if self._door is None:
            return
        refusals = [fault for fault in self._service.draws.faults if fault.variant == "refuse"]
        elapsed = self._service.elapsed(time.monotonic_ns())
        wanted = not any(active(fault, "", elapsed) for fault in refusals)
        if self._door.open and not wanted:
            self._door.shut()
            for connection in self._servers[0].connections:
                cast("Connection", connection).reset()
        elif wanted and not self._door.open:
            task = asyncio.get_running_loop().create_task(self._reopen(self._door))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        waits = [
            edge - at
            for fault in refusals
            for at in [elapsed.start if fault.from_start else elapsed.first]
            for edge in (fault.begin, fault.end)
            if 0 <= at < edge < math.inf
        ]
        if waits:
            self._door_timer = asyncio.get_running_loop().call_later(min(waits), self._watch_door)

    async def _reopen(self, door: Door) -> None:
        await door.reopen()
        self._watch_door()  # it may have been wanted shut again meanwhile


def _label(answer: Answer, drawn: Drawn) -> str:
    """How a call is counted: by what its caller could see of it."""
    if drawn.after is not None and drawn.after.kind is not Kind.CLOSE_AFTER:
        return str(drawn.after.kind.value)
    return answer.label


async def _read_body(request: web.BaseRequest) -> bytes | None:
    """The whole body; `None` for more than is read."""
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        return None
    return body if len(body) <= MAX_BODY else None


def _taken_apart(raw: _Raw) -> SeenRequest:
    pairs = [part.partition("=") for part in raw.query.split("&")]
    query = tuple((unquote_plus(name), unquote_plus(value)) for name, _, value in pairs if name != "usersig")
    return SeenRequest(raw.op, query, {name.lower(): value for name, value in raw.headers.items()}, raw.body)
