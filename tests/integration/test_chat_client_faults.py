"""Whatever a server or a network does to a call, the reply says whether it left and whether it was answered."""

from __future__ import annotations

import asyncio
import gzip
import resource
import socket
import tracemalloc
from collections.abc import Iterator

import pytest

from bulkops.chat.catalog import DELETE_CONVERSATION
from bulkops.model import Outcome, Reply
from tests.helpers.chat import CONTENT, call_once, chat_client, open_gate
from tests.helpers.rawserver import OK, Peer, RawServer, Script, answering, envelope, response


def saying(data: bytes, *, then: str = "close") -> Script:
    """Read a request, write these bytes, then close, reset, or stay silent."""

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.write(data)
        await peer.drain()
        if then == "reset":
            await asyncio.sleep(0.01)  # let the bytes out; a reset throws away what waits
            peer.reset()
        elif then == "silence":
            await peer.gone()

    return script


async def reply_to(script: Script, *, read_timeout: float = 2.0) -> Reply:
    """The reply to one call to a server that does this."""
    async with RawServer(script) as server:
        reply = await call_once(server.endpoint, read_timeout=read_timeout)
        assert len(server.requests) == 1  # never repeated behind anybody's back
        return reply


LOST = [
    (b"", "close"),
    (b"", "reset"),
    (b"HTTP/1.1 200 OK\r\nContent-Le", "close"),
    (b"HTTP/1.1 200 OK\r\nContent-Le", "reset"),
    (OK[:-1], "close"),
    (OK[:-1], "reset"),
    (OK[: OK.index(b"{")], "close"),
    (response(envelope(), length=1000), "close"),
    (response(envelope(), length=1000), "reset"),
    (response(b"2f\r\n" + b"x" * 10, "200 OK", "Transfer-Encoding: chunked", length=-1), "close"),
    (response(b"2\r\n{}\r\n", "200 OK", "Transfer-Encoding: chunked", length=-1), "close"),
    (response(envelope(), "502 Bad Gateway", length=1000), "close"),
]


@pytest.mark.parametrize(("data", "then"), LOST)
async def test_a_connection_cut_before_the_end_is_lost(data: bytes, then: str) -> None:
    """Before the answer, in its head, in its body: the call is in doubt, even if what came looks whole."""
    reply = await reply_to(saying(data, then=then))
    assert (reply.outcome, reply.label, reply.code) == (Outcome.UNANSWERED, "lost", None)
    assert "connection lost" in reply.info


SILENT = [b"", b"HTTP/1.1 200 OK\r\n", OK[:-1], b"HTTP/1.1 100 Continue\r\n\r\n", response("x", "200 OK", length=-1)]


@pytest.mark.slow
@pytest.mark.parametrize("data", SILENT)
async def test_a_server_that_falls_silent_is_a_timeout(data: bytes) -> None:
    """Before the answer or within it; also where closing would pass for the end of a body."""
    reply = await reply_to(saying(data, then="silence"), read_timeout=0.3)
    assert (reply.outcome, reply.label, reply.code) == (Outcome.UNANSWERED, "timeout", None)
    assert "nothing came for 0.3 s" in reply.info


@pytest.mark.slow
@pytest.mark.parametrize("head", [OK[:-20], b"HTTP/1.1 100 Continue\r\n\r\n"], ids=["body", "informational"])
async def test_a_drip_ends_with_the_total(head: bytes) -> None:
    """A byte, or an informational response, now and then doesn't keep a call for ever."""

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.write(head)
        while True:
            await asyncio.sleep(0.05)
            peer.write(b" " if head.startswith(b"HTTP/1.1 200") else head)

    async with (
        RawServer(script) as server,
        chat_client(server.endpoint, read_timeout=0.4, total_timeout=0.6) as client,
    ):
        begun = asyncio.get_running_loop().time()
        reply = await client.send(DELETE_CONVERSATION, CONTENT, open_gate)
        took = asyncio.get_running_loop().time() - begun
    assert took < 1.0
    assert (reply.outcome, reply.label) == (Outcome.UNANSWERED, "timeout")
    assert "0.6 s after the call left" in reply.info


NOT_HTTP = [
    b"hello\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20,
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"HTTP/1.1 abc OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nNo colon\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nLong: " + b"a" * 20000 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"".join(b"H%d: 1\r\n" % number for number in range(500)) + b"\r\n",
    b'{"ErrorCode":0}',
]


@pytest.mark.parametrize("data", NOT_HTTP, ids=range(len(NOT_HTTP)))
async def test_what_is_not_http_is_unreadable(data: bytes) -> None:
    """Garbage that arrives instead of a response answers nothing."""
    reply = await reply_to(saying(data))
    assert (reply.outcome, reply.label, reply.code, reply.http) == (Outcome.UNANSWERED, "unreadable", None, None)


@pytest.mark.parametrize(("pause", "label"), [(0.0, "unreadable"), (0.01, "timeout")])
async def test_a_broken_chunk_is_no_end(pause: float, label: str) -> None:
    """Chunks that can't be read leave the call in doubt, whatever came before them.

    aiohttp tells a reader that has the head already nothing about a chunk that it can't parse: there the timeout ends it.
    """

    async def script(peer: Peer) -> None:
        await peer.request()
        chunk = f"{len(envelope()):x}\r\n{envelope()}\r\n"
        head = response(chunk, "200 OK", "Transfer-Encoding: chunked", length=-1)
        if pause:
            peer.write(head)
            await asyncio.sleep(pause)
        peer.write(b"zz\r\n" if pause else head + b"zz\r\n")
        await peer.gone()

    reply = await reply_to(script, read_timeout=0.1)
    assert (reply.outcome, reply.label, reply.code) == (Outcome.UNANSWERED, label, None)


WHOLE = [
    (response(envelope()), 0),
    (response(envelope(50004, "try again")), 50004),
    (response(envelope(60007), "429 Too Many Requests"), 60007),
    (response(envelope(70003), "502 Bad Gateway", "Content-Type: text/html"), 70003),
    (response(envelope(), "200 OK", "Content-Type: text/plain; charset=gbk"), 0),
    (response(envelope(), "200 OK", "Connection: close"), 0),
    (response(envelope(), "200 OK", length=-1), 0),
    (b"HTTP/1.0 200 OK\r\n\r\n" + envelope().encode(), 0),
    (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + OK, 0),
    (response(f"{len(envelope()):x}\r\n{envelope()}\r\n0\r\n\r\n", "200 OK", "Transfer-Encoding: chunked", length=-1), 0),
]


@pytest.mark.parametrize(("data", "code"), WHOLE, ids=range(len(WHOLE)))
async def test_a_whole_answer_is_one_however_it_is_framed(data: bytes, code: int) -> None:
    """By length, by chunks, by the end of the connection; under any status and content type."""
    reply = await reply_to(saying(data))
    assert (reply.outcome, reply.code) == (Outcome.ANSWERED, code)


async def test_an_answer_in_pieces_is_put_together() -> None:
    """A byte at a time is slow, not wrong."""

    async def script(peer: Peer) -> None:
        await peer.request()
        for at in range(len(OK)):
            peer.write(OK[at : at + 1])
            await asyncio.sleep(0)

    assert (await reply_to(script)).code == 0


WITHOUT_CODE = [
    ("204 No Content", "unreadable"),
    ("200 OK", "unreadable"),
    ("304 Not Modified", "http_304"),
    ("301 Moved Permanently", "http_301"),
    ("401 Unauthorized", "http_401"),
    ("403 Forbidden", "http_403"),
    ("404 Not Found", "http_404"),
    ("407 Proxy Authentication Required", "http_407"),
    ("500 Internal Server Error", "http_500"),
    ("502 Bad Gateway", "http_502"),
    ("503 Service Unavailable", "http_503"),
]


@pytest.mark.parametrize(("status", "label"), WITHOUT_CODE)
async def test_a_response_without_a_code_is_counted_by_its_status(status: str, label: str) -> None:
    """It left, it was responded to, it was not answered."""
    reply = await reply_to(saying(response("", status)))
    assert (reply.outcome, reply.label, reply.http, reply.code) == (Outcome.UNANSWERED, label, int(status[:3]), None)


async def test_another_protocol_is_no_answer() -> None:
    """A 101 that nobody asked for ends the call at once."""
    upgrade = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    reply = await reply_to(saying(upgrade, then="silence"))
    assert (reply.outcome, reply.label) == (Outcome.UNANSWERED, "http_101")


@pytest.mark.parametrize("then", ["close", "silence"])
async def test_a_429_is_throttling_even_if_its_body_is_lost(then: str) -> None:
    """The status says it all, and so does Retry-After."""
    data = response("slow", "429 Too Many Requests", "Retry-After: 7", length=100)
    reply = await reply_to(saying(data, then=then), read_timeout=0.1)
    assert (reply.outcome, reply.http, reply.code, reply.label) == (Outcome.ANSWERED, 429, None, "http_429")
    assert reply.retry_after == 7.0


RETRY_AFTER = [
    response(envelope(), "200 OK", "Retry-After: 7"),
    response(envelope(60007), "200 OK", "retry-after: 7"),
    response("", "503 Service Unavailable", "Retry-After: 7"),
    response("cut", "503 Service Unavailable", "Retry-After: 7", length=100),
    response("x" * 70000, "503 Service Unavailable", "Retry-After: 7"),
    response("", "503 Unavailable", "Date: Sun, 06 Nov 1994 08:49:30 GMT", "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT"),
]


@pytest.mark.parametrize("data", RETRY_AFTER, ids=range(len(RETRY_AFTER)))
async def test_retry_after_is_read_on_any_response(data: bytes) -> None:
    """Success, refusal, failure, cut or oversized."""
    assert (await reply_to(saying(data))).retry_after == 7.0


@pytest.fixture
def memory_bounded() -> Iterator[None]:
    """Fails where a test holds more than 20 MB at any moment."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < 20_000_000


BOMB = gzip.compress(b'{"ErrorCode":0,"ErrorInfo":"' + b"a" * 30_000_000 + b'"}')
SMALL_BOMB = gzip.compress(b'{"ErrorCode":0}')


@pytest.mark.parametrize("body", [BOMB, SMALL_BOMB], ids=["bomb", "small"])
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
@pytest.mark.usefixtures("memory_bounded")
async def test_nothing_is_ever_decompressed(body: bytes, encoding: str) -> None:
    """It was not asked for; what comes nevertheless is no answer, and costs no memory."""
    reply = await reply_to(saying(response(body, "200 OK", f"Content-Encoding: {encoding}")))
    assert (reply.outcome, reply.label, reply.code) == (Outcome.UNANSWERED, "unreadable", None)


@pytest.mark.parametrize("framing", ["length", "chunks", "end"])
@pytest.mark.usefixtures("memory_bounded")
async def test_an_endless_answer_is_cut_off(framing: str) -> None:
    """Above 64 KiB reading stops and the connection is closed; the server can't fill the memory."""
    closed = asyncio.Event()
    headers = {"length": "Content-Length: 1000000000", "chunks": "Transfer-Encoding: chunked", "end": "Connection: close"}

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.write(
            response(b"", "200 OK", headers[framing], length=-1) + (b"" if framing == "chunks" else b'{"ErrorCode":0,"x":"')
        )
        try:
            while True:
                peer.write(b"2000\r\n" + b"a" * 8192 + b"\r\n" if framing == "chunks" else b"a" * 8192)
                await peer.drain()
        except ConnectionError:
            closed.set()

    async with RawServer(script) as server, chat_client(server.endpoint) as client:
        reply = await client.send(DELETE_CONVERSATION, CONTENT, open_gate)
        async with asyncio.timeout(5):
            await closed.wait()
    assert (reply.outcome, reply.label, reply.http) == (Outcome.UNANSWERED, "unreadable", 200)
    assert "longer than 65536 bytes" in reply.info


@pytest.mark.parametrize(
    "status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"]
)
async def test_a_redirect_is_not_followed(status: str) -> None:
    """The other host never hears of the call, and the credential goes nowhere."""
    async with RawServer(answering(OK)) as other:
        location = f"Location: {other.endpoint}/v4/recentcontact/delete"
        reply = await reply_to(answering(response("", status, location)))
    assert (reply.outcome, reply.label) == (Outcome.UNANSWERED, f"http_{status[:3]}")
    assert other.connections == 0


async def test_cookies_are_not_kept() -> None:
    """Nothing that a server sets comes back to it."""
    async with RawServer(answering(response(envelope(), "200 OK", "Set-Cookie: a=b; Path=/"))) as server:
        async with chat_client(server.endpoint) as client:
            for _ in range(2):
                await client.send(DELETE_CONVERSATION, CONTENT, open_gate)
        assert "cookie" not in server.requests[1].headers


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call goes to the endpoint and nowhere else."""
    async with RawServer(answering(OK)) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.endpoint)
        assert (await reply_to(answering(OK))).code == 0
    assert proxy.connections == 0


@pytest.mark.slow
@pytest.mark.parametrize("pause", [0.0, 0.05])
@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_server_that_closes_kept_connections_costs_nothing(pause: float, how: str) -> None:
    """Closed right after an answer or idle for a moment: the pool sees it, or the call is in doubt; it is never repeated."""

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.write(OK)
        await peer.drain()
        await asyncio.sleep(pause)
        if how == "reset":
            peer.reset()

    replies = []
    async with RawServer(script) as server, chat_client(server.endpoint) as client:
        for _ in range(20):
            replies.append(await client.send(DELETE_CONVERSATION, CONTENT, open_gate))
            await asyncio.sleep(0.005)
        effects = len(server.requests)
    answered = sum(reply.outcome is Outcome.ANSWERED for reply in replies)
    in_doubt = sum(reply.outcome is Outcome.UNANSWERED for reply in replies)
    assert answered + in_doubt + sum(reply.label == "stale_connection" for reply in replies) == 20
    assert answered <= effects <= answered + in_doubt


def free_port() -> int:
    """A port at which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def test_a_refused_connection_is_not_sent() -> None:
    """The words name host and port."""
    port = free_port()
    reply = await call_once(f"http://127.0.0.1:{port}")
    assert (reply.outcome, reply.label, reply.fatal) == (Outcome.NOT_SENT, "refused", "")
    assert f"127.0.0.1:{port}" in reply.info


async def test_a_refusal_on_every_address_of_a_name_is_one() -> None:
    """`localhost` may have two; the label is the same."""
    reply = await call_once(f"http://localhost:{free_port()}")
    assert (reply.outcome, reply.label) == (Outcome.NOT_SENT, "refused")


@pytest.mark.parametrize("host", ["nobody.invalid", "a" * 70 + ".invalid"])
async def test_a_host_without_an_address_is_not_sent(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No such name, or nothing that could be one."""

    def nobody(name: str, *_: object, **__: object) -> list[object]:
        name.encode("idna")  # as the real one does, before it asks the network
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    reply = await call_once(f"https://{host}")
    assert (reply.outcome, reply.label, reply.fatal) == (Outcome.NOT_SENT, "dns", "")
    assert host in reply.info


@pytest.mark.slow
async def test_a_server_that_does_not_accept_is_not_sent() -> None:
    """With its queue of connections full, the next one waits for nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.1", port))
            reply = await call_once(f"http://127.0.0.1:{port}", connect_timeout=0.3)
        finally:
            for filler in fillers:
                filler.close()
    assert (reply.outcome, reply.label) == (Outcome.NOT_SENT, "connect_timeout")


async def test_a_slow_name_server_counts_as_connecting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name resolution is within the time that a connection may take."""
    async with chat_client("http://localhost:1", connect_timeout=0.1) as client:

        async def never(*_: object, **__: object) -> list[object]:
            await asyncio.sleep(60)
            return []

        monkeypatch.setattr(client._connector._resolver, "resolve", never)
        reply = await client.send(DELETE_CONVERSATION, CONTENT, open_gate)
    assert (reply.outcome, reply.label) == (Outcome.NOT_SENT, "connect_timeout")


async def test_too_many_open_files_are_not_sent() -> None:
    """No descriptor left: the words say which limit to raise."""
    async with RawServer(answering(OK)) as server, chat_client(server.endpoint) as client:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with socket.socket() as highest:
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest.fileno(), hard))
        try:
            reply = await client.send(DELETE_CONVERSATION, CONTENT, open_gate)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (reply.outcome, reply.label) == (Outcome.NOT_SENT, "descriptors")
    assert "ulimit" in reply.info
