"""Over every failure that a call can meet, no log, reply, repr or traceback holds the UserSig or the key."""

from __future__ import annotations

import asyncio
import base64
import logging
import socket
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from bulkops.chat.catalog import DELETE_CONVERSATION
from bulkops.model import Reply
from tests.helpers.chat import CONTENT, KEY, FailingGate, chat_client, open_gate, traces_of, until
from tests.helpers.chat_tls import LONG_AGO, Authority
from tests.helpers.rawserver import OK, Peer, RawServer, Request, Script, answering, envelope, response

Echo = Callable[[Request], bytes]


def echoing(echo: Echo, *, silence: bool = False) -> Script:
    """Say back something of each request."""

    async def script(peer: Peer) -> None:
        request = await peer.request()
        peer.write(echo(request))
        if silence:
            await peer.gone()

    return script


async def resetting(peer: Peer) -> None:
    await peer.request()
    peer.reset()


async def closing(peer: Peer) -> None:
    """Take the connection and close it at once."""


SCRIPTS: dict[str, Script] = {
    "closed": closing,
    "reset": resetting,
    "lost": echoing(lambda request: b""),
    "cut": echoing(lambda request: OK[:-1]),
    "silent": echoing(lambda request: b"", silence=True),
    "garbage": echoing(lambda request: request.raw),
    "echo in the status line": echoing(lambda request: b"HTTP/1.1 " + request.target.encode() + b"\r\n\r\n"),
    "echo in the reason": echoing(lambda request: response("", f"502 {request.target}")),
    "echo in a header": echoing(lambda request: response("", "302 Found", f"Location: http://127.0.0.1:1{request.target}")),
    "echo in a bad header": echoing(lambda request: response("", "200 OK", f"{request.target}")),
    "echo in Retry-After": echoing(lambda request: response("", "503 Busy", f"Retry-After: {request.target}")),
    "echo as a page": echoing(lambda request: response(request.raw, "404 Not Found")),
    "echo of the request": echoing(lambda request: response(envelope(70003, request.raw.decode()))),
    "echo of the signature": echoing(lambda request: response(envelope(70003, request.query["usersig"]))),
    "echo, encoded": echoing(lambda request: response(envelope(70003, quote(request.target, safe="")))),
    "echo in base64": echoing(lambda request: response(envelope(70003, base64.b64encode(request.raw).decode()))),
    "echo in an object": echoing(
        lambda request: response('{"ErrorCode":70003,"ErrorInfo":{"usersig":"' + request.query["usersig"] + '"}}')
    ),
    "the key": echoing(lambda request: response(envelope(70009, f"key {KEY}"))),
    "the key in base64": echoing(lambda request: response(envelope(70009, base64.b64encode(KEY.encode()).decode()))),
    "oversized": echoing(lambda request: response(request.raw * 200)),
}


class Evidence:
    """Everything that a run could show or store, as text."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.usersigs: set[str] = set()

    def add(self, *things: object) -> None:
        self.texts += [f"{thing!r} {thing}" for thing in things]

    def holds_no_secret(self) -> None:
        """Fails where a secret turns up in any form; says only which form, so as not to show it once more."""
        text = "\n".join(self.texts)
        assert self.usersigs or "NOT_SENT" in text
        for secret in (KEY, *self.usersigs):
            for number, form in enumerate(sorted(traces_of(secret))):
                assert form not in text, f"form {number} of a secret of {len(secret)} characters"


@pytest.fixture
def evidence(caplog: pytest.LogCaptureFixture) -> Iterator[Evidence]:
    """Collects what is logged, down to debugging, by everybody."""
    found = Evidence()
    loggers = [logging.getLogger(name) for name in ("", "asyncio", "aiohttp", "aiohttp.client")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    yield found
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    found.add(caplog.text)
    found.add(*(record.__dict__ for record in caplog.records))
    found.holds_no_secret()


async def observed(endpoint: str, evidence: Evidence, *, ca_file: str = "", calls: int = 2) -> list[Reply]:
    """The replies to some calls of one client, with the loop in its debug mode; everything about them is evidence."""
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0.0  # so that every callback is logged
    loop.set_exception_handler(lambda _, context: evidence.add(context))
    async with chat_client(endpoint, ca_file=ca_file, connect_timeout=0.5, read_timeout=0.1, total_timeout=0.2) as client:
        replies = [await client.send(DELETE_CONVERSATION, CONTENT, open_gate) for _ in range(calls)]
        evidence.usersigs.add(client._usersig or client._signer.current())
        evidence.add(client, client._connector, client._target, client._signer, client._hide, client._deadlines, *replies)
    return replies


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
async def test_no_fault_of_a_server_shows_a_secret(name: str, evidence: Evidence) -> None:
    """Whatever it echoes, and however it fails."""
    async with RawServer(SCRIPTS[name]) as server:
        await observed(server.endpoint, evidence)


async def test_an_error_text_keeps_what_is_no_secret(evidence: Evidence) -> None:
    """A person still reads why a call was refused."""
    async with RawServer(SCRIPTS["echo of the request"]) as server:
        (reply, _) = await observed(server.endpoint, evidence)
    assert "POST /v4/recentcontact/delete?[hidden]" in reply.info
    assert reply.code == 70003


async def test_no_failure_to_connect_shows_a_secret(evidence: Evidence, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused, or without an address."""

    def nobody(*_: object, **__: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    await observed(f"http://127.0.0.1:{port}", evidence)
    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    await observed("https://nobody.invalid", evidence)


async def test_no_wrong_certificate_shows_a_secret(evidence: Evidence, tmp_path: Path) -> None:
    """Expired, for another host, of an unknown authority, or no TLS at all."""
    authority = Authority(tmp_path)
    contexts = [authority.server("127.0.0.1", expires_at=LONG_AGO), authority.server("chat.example"), authority.self_signed()]
    for context in contexts:
        async with RawServer(answering(OK), tls=context) as server:
            (reply, _) = await observed(server.endpoint, evidence, ca_file=authority.file if context is not contexts[2] else "")
            assert reply.fatal
    async with RawServer(SCRIPTS["garbage"]) as server:
        await observed(server.endpoint.replace("http:", "https:"), evidence, ca_file=authority.file)


async def test_no_exception_that_passes_through_shows_a_secret(evidence: Evidence) -> None:
    """A defect in the gate, and a cancellation: their tracebacks go into logs."""

    async with RawServer(SCRIPTS["silent"]) as server, chat_client(server.endpoint) as client:
        with pytest.raises(RuntimeError) as defect:
            await client.send(DELETE_CONVERSATION, CONTENT, FailingGate(RuntimeError("a defect")))
        call = asyncio.create_task(client.send(DELETE_CONVERSATION, CONTENT, open_gate))
        await until(lambda: bool(server.requests))
        call.cancel()
        with pytest.raises(asyncio.CancelledError) as cancelled:
            await call
        evidence.usersigs.add(client._usersig)
    for caught in (defect, cancelled):
        evidence.add("".join(traceback.format_exception(caught.value)), caught.value)
