"""Over TLS: the right server is believed, every other one hears nothing, and the words say what is wrong."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from bulkops.chat.catalog import DELETE_CONVERSATION
from bulkops.errors import ConfigError
from bulkops.model import Outcome, Reply
from tests.helpers.chat import CONTENT, OpenGate, call_once, chat_client, open_gate
from tests.helpers.chat_tls import LONG_AGO, Authority
from tests.helpers.rawserver import OK, Peer, RawServer, answering


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def test_a_server_of_a_named_authority_is_believed(authority: Authority) -> None:
    """`ca_file` is enough, and the connection is kept."""
    async with (
        RawServer(answering(OK), tls=authority.server("127.0.0.1")) as server,
        chat_client(server.endpoint, ca_file=authority.file) as client,
    ):
        replies = [await client.send(DELETE_CONVERSATION, CONTENT, open_gate) for _ in range(3)]
    assert [reply.code for reply in replies] == [0, 0, 0]
    assert server.connections == 1


async def refused(tls: ssl.SSLContext, ca_file: str, *, host: str = "127.0.0.1") -> Reply:
    """The reply to a call to a server with this certificate; the server has to hear nothing."""
    async with RawServer(answering(OK), tls=tls) as server:
        reply = await call_once(f"https://{host}:{server.port}", ca_file=ca_file)
    assert not server.requests
    assert (reply.outcome, reply.label, reply.code) == (Outcome.NOT_SENT, "tls", None)
    assert f"{host}:{server.port}" in reply.info
    assert "/v4/" not in reply.info
    return reply


async def test_an_expired_certificate_stops_the_run(authority: Authority) -> None:
    """Nothing is sent; the words say expired."""
    reply = await refused(authority.server("127.0.0.1", expires_at=LONG_AGO), authority.file)
    assert "has expired" in reply.fatal


@pytest.mark.parametrize(("host", "words"), [("127.0.0.1", "another address"), ("localhost", "another host")])
async def test_a_certificate_for_another_host_stops_the_run(authority: Authority, host: str, words: str) -> None:
    """Nothing is sent, neither by name nor by address."""
    reply = await refused(authority.server("chat.example"), authority.file, host=host)
    assert words in reply.fatal
    assert "--endpoint" in reply.fatal


async def test_a_certificate_of_an_unknown_authority_stops_the_run(authority: Authority) -> None:
    """Without `ca_file` only the system's authorities count."""
    reply = await refused(authority.server("127.0.0.1"), "")
    assert "isn't trusted" in reply.fatal
    assert "--ca-file" in reply.fatal


async def test_a_self_signed_certificate_stops_the_run(authority: Authority) -> None:
    """It says so."""
    reply = await refused(authority.self_signed(), "")
    assert "self-signed" in reply.fatal


async def test_another_authority_than_the_named_one_stops_the_run(authority: Authority, tmp_path: Path) -> None:
    """`ca_file` replaces the trust, it doesn't add to it."""
    other = tmp_path / "other"
    other.mkdir()
    reply = await refused(authority.server("127.0.0.1"), Authority(other).file)
    assert "isn't trusted" in reply.fatal


async def test_plain_http_on_the_port_is_no_wrong_certificate(authority: Authority) -> None:
    """There is no fallback to it either."""

    async def script(peer: Peer) -> None:
        peer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        await peer.gone()

    async with RawServer(script) as server:
        reply = await call_once(server.endpoint.replace("http:", "https:"), ca_file=authority.file)
    assert (reply.outcome, reply.label, reply.fatal) == (Outcome.NOT_SENT, "tls", "")
    assert "does it speak https" in reply.info


async def test_a_server_that_breaks_off_the_handshake_is_not_sent(authority: Authority) -> None:
    """Not fatal: it may be overloaded."""

    async def script(peer: Peer) -> None:
        peer.reset()

    async with RawServer(script) as server:
        reply = await call_once(server.endpoint.replace("http:", "https:"), ca_file=authority.file)
    assert (reply.outcome, reply.label, reply.fatal) == (Outcome.NOT_SENT, "tls", "")
    assert "handshake" in reply.info


async def test_a_handshake_that_hangs_is_a_connect_timeout(authority: Authority) -> None:
    """TLS is within the time that a connection may take."""

    async def script(peer: Peer) -> None:
        await peer.gone()

    async with RawServer(script) as server:
        endpoint = server.endpoint.replace("http:", "https:")
        reply = await call_once(endpoint, ca_file=authority.file, connect_timeout=0.1)
    assert (reply.outcome, reply.label) == (Outcome.NOT_SENT, "connect_timeout")


@pytest.mark.parametrize(
    ("fault", "label"),
    [("silence", "timeout"), ("close", "lost"), ("reset", "lost"), ("half", "lost"), ("endless", "unreadable")],
)
async def test_faults_after_departure_are_told_as_without_tls(authority: Authority, fault: str, label: str) -> None:
    """The layer in between hides nothing, and no call hangs on a connection that is closed politely."""

    async def script(peer: Peer) -> None:
        await peer.request()
        if fault == "silence":
            await peer.gone()
        elif fault == "reset":
            peer.reset()
        elif fault == "half":
            peer.write(OK[:-3])
            await asyncio.sleep(0.01)
        elif fault == "endless":
            peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
            while True:
                peer.write(b" " * 8192)
                await peer.drain()

    async with RawServer(script, tls=authority.server("127.0.0.1")) as server:
        reply = await call_once(server.endpoint, ca_file=authority.file, read_timeout=0.15)
    assert (reply.outcome, reply.label) == (Outcome.UNANSWERED, label)


async def test_over_tls_too_the_request_leaves_in_one_piece_after_the_gate(authority: Authority) -> None:
    """One record, nothing of it before the gate."""
    async with RawServer(answering(OK), tls=authority.server("127.0.0.1")) as server:
        heard: list[int] = []

        class Gate(OpenGate):
            async def __call__(self, alive: object) -> None:
                await asyncio.sleep(0.02)
                heard.append(len(server.requests))

        async with chat_client(server.endpoint, ca_file=authority.file) as client:
            await client.send(DELETE_CONVERSATION, CONTENT, Gate())
    assert heard == [0]
    assert server.requests[0].segments == 1


@pytest.mark.parametrize(
    "content", [None, "", "no certificate", "-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n"]
)
async def test_a_file_that_is_no_authority_is_refused_before_anything_is_sent(content: str | None, tmp_path: Path) -> None:
    """Missing, empty or nonsense: the words name the flag and the file."""
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError, match="--ca-file") as caught:
        chat_client("https://chat.example", ca_file=str(file))
    assert str(file) in str(caught.value)
