"""What the tests of the sandbox share: a signer of UserSigs made from the vendor's description, and a raw HTTP caller.

The caller knows no HTTP library: it reports what came over the socket and how it ended, byte for byte.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import time
import zlib
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import urlencode, urlsplit

from bulkops.sandbox import DEMO_IDENTIFIER, DEMO_KEY, DEMO_SDKAPPID

DELETE = "/v4/recentcontact/delete"
DELETE_GROUP = "/v4/recentcontact/del_contact_group"
CLEAR = "/v4/group_open_http_svc/clear_group_msg"

ONE_TO_ONE = b'{"From_Account":"user1","Type":1,"To_Account":"user2","ClearRamble":1}'
ONE_TO_ONE_CONTENT = "user1\t1\tuser2\t\t1"
YES = {"ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": "", "ErrorDisplay": ""}


def ticket(
    identifier: str = DEMO_IDENTIFIER,
    *,
    sdkappid: int = DEMO_SDKAPPID,
    key: str = DEMO_KEY,
    issued: int | None = None,
    life: int = 3600,
) -> dict[str, object]:
    """The JSON inside a UserSig, signed."""
    issued = int(time.time()) if issued is None else issued
    text = f"TLS.identifier:{identifier}\nTLS.sdkappid:{sdkappid}\nTLS.time:{issued}\nTLS.expire:{life}\n"
    signature = base64.b64encode(hmac.new(key.encode(), text.encode(), hashlib.sha256).digest()).decode()
    return {
        "TLS.ver": "2.0",
        "TLS.identifier": identifier,
        "TLS.sdkappid": sdkappid,
        "TLS.expire": life,
        "TLS.time": issued,
        "TLS.sig": signature,
    }


def wrap(plain: bytes) -> str:
    """Any bytes in the form of a UserSig."""
    return base64.b64encode(zlib.compress(plain)).decode().translate(str.maketrans("+/=", "*-_"))


def usersig(identifier: str = DEMO_IDENTIFIER, **options: object) -> str:
    """A UserSig as the vendor describes it; options as in `ticket`."""
    return wrap(json.dumps(ticket(identifier, **options)).encode())  # type: ignore[arg-type]  # options as in ticket


def query(**changes: str | None) -> str:
    """A good query of the demo app, with some values changed, or left out where they are `None`."""
    values: dict[str, str | None] = {
        "sdkappid": str(DEMO_SDKAPPID),
        "identifier": DEMO_IDENTIFIER,
        "usersig": None,
        "random": "99999999",
        "contenttype": "json",
    }
    if "usersig" not in changes:
        values["usersig"] = usersig()
    values |= changes
    return urlencode({name: value for name, value in values.items() if value is not None})


class Seen(NamedTuple):
    """What came back over the socket.

    Args:
        status: Of the status line; 0 where none came.
        headers: Names in lower case.
        body: What came of it.
        ended: `complete` (the whole body), `reset`, `closed` (before all had come), or `open` (nothing more within
            the wait).
        raw: Every byte.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    ended: str
    raw: bytes

    @property
    def json(self) -> object:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def code(self) -> object:
        """The ErrorCode of an object."""
        found = self.json
        assert isinstance(found, dict)
        return found["ErrorCode"]


class Caller:
    """One connection. A context manager."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname, parts.port)

    async def __aenter__(self) -> Self:
        self.reader, self.writer = await asyncio.open_connection(*self._address)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()

    async def send(
        self, path: str = DELETE, body: bytes = ONE_TO_ONE, *, q: str | None = None, method: str = "POST", more: str = ""
    ) -> None:
        """Send a request and wait for nothing."""
        target = path if q == "" else f"{path}?{q or query()}"
        head = f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n{more}Content-Length: {len(body)}\r\n\r\n"
        self.writer.write(head.encode() + body)
        await self.writer.drain()

    async def read(self, wait: float = 5.0) -> Seen:
        """What comes back, until it is complete or over."""
        raw = b""
        ended = ""
        while not ended:
            try:
                async with asyncio.timeout(wait):
                    chunk = await self.reader.read(65536)
            except TimeoutError:
                ended = "open"
            except ConnectionResetError:
                ended = "reset"
            else:
                raw += chunk
                ended = "complete" if _complete(raw) else "" if chunk else "closed"
        return _seen(raw, ended)

    async def call(self, path: str = DELETE, body: bytes = ONE_TO_ONE, **options: str) -> Seen:
        """Send and read."""
        await self.send(path, body, **options)
        return await self.read()

    async def closed(self, wait: float = 5.0) -> bool:
        """Whether the other side ends the connection in time."""
        try:
            async with asyncio.timeout(wait):
                return await self.reader.read(1) == b""
        except TimeoutError:
            return False
        except ConnectionResetError:
            return True


async def call(url: str, path: str = DELETE, body: bytes = ONE_TO_ONE, **options: str) -> Seen:
    """One call on a connection of its own; options as in `Caller.send`."""
    async with Caller(url) as caller:
        return await caller.call(path, body, **options)


async def until(condition: Callable[[], object], wait: float = 5.0) -> None:
    """Wait for something that tells nobody when it happens."""
    async with asyncio.timeout(wait):
        while not condition():  # noqa: ASYNC110 - a sandbox has no event for what it counts
            await asyncio.sleep(0.001)


def _split(raw: bytes) -> tuple[int, dict[str, str], bytes] | None:
    head, found, body = raw.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    if not found or not lines[0].startswith("HTTP/1."):
        return None
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    return int(lines[0].split()[1]), headers, body


def _complete(raw: bytes) -> bool:
    parts = _split(raw)
    return parts is not None and len(parts[2]) >= int(parts[1]["content-length"])


def _seen(raw: bytes, ended: str) -> Seen:
    status, headers, body = _split(raw) or (0, {}, b"")
    return Seen(status, headers, body, ended, raw)
