"""One call, from the connection to the reply: what leaves, when it leaves, and what comes of cancelling it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from bulkops.chat.catalog import CLEAR_GROUP_MESSAGES, DELETE_CONVERSATION, DELETE_CONVERSATION_GROUP
from bulkops.errors import NotDeparting
from bulkops.model import Api, Outcome, Reply
from tests.helpers.chat import ADMIN, CONTENT, KEY, SDKAPPID, FailingGate, HeldGate, OpenGate, chat_client, open_gate, until
from tests.helpers.rawserver import OK, Peer, RawServer, answering, envelope, response
from tests.unit.test_chat_usersig import opened, verifies


@pytest.mark.parametrize(
    ("api", "content", "body"),
    [
        (DELETE_CONVERSATION, CONTENT, {"From_Account": "id1", "Type": 1, "To_Account": "id2", "ClearRamble": 1}),
        (DELETE_CONVERSATION_GROUP, "u\t群", {"From_Account": "u", "GroupName": ["群"]}),
        (CLEAR_GROUP_MESSAGES, "@TGS#1\t", {"GroupId": "@TGS#1"}),
    ],
)
async def test_a_call_is_the_request_that_the_vendor_documents(api: Api, content: str, body: dict[str, Any]) -> None:
    """POST, path, the five query parameters, JSON, nothing compressed, in one piece."""
    async with RawServer(answering(OK)) as server, chat_client(server.endpoint) as client:
        reply = await client.send(api, content, open_gate)
    (request,) = server.requests
    assert reply == Reply(Outcome.ANSWERED, 200, 0, "0")
    assert (request.method, request.path) == ("POST", f"/{api.path}")
    query = request.query
    assert list(query) == ["sdkappid", "identifier", "usersig", "random", "contenttype"]
    assert (query["sdkappid"], query["identifier"], query["contenttype"]) == (str(SDKAPPID), ADMIN, "json")
    assert verifies(query["usersig"], KEY)
    assert json.loads(request.body) == body
    assert request.headers == {
        "host": f"127.0.0.1:{server.port}",
        "user-agent": request.headers["user-agent"],
        "accept": "application/json",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "content-length": str(len(request.body)),
    }
    assert request.headers["user-agent"].startswith("bulkops/")
    assert request.segments == 1


async def test_every_call_has_a_random_number_of_its_own() -> None:
    """Fresh, unsigned, 32 bits: among 300 there are large ones and no two alike."""
    async with RawServer(answering(OK)) as server, chat_client(server.endpoint) as client:
        for _ in range(300):
            await client.send(DELETE_CONVERSATION, CONTENT, open_gate)
    numbers = [int(request.query["random"]) for request in server.requests]
    assert len(set(numbers)) == 300
    assert 0 <= min(numbers) < 2**28
    assert 2**32 - 2**28 < max(numbers) < 2**32


@pytest.mark.parametrize("identifier", ["a b", "a&usersig=x", "a%20b+c#d?e/f", "~!@$^*()_-=[]{}|;':\",.<>"])
async def test_an_identifier_of_any_characters_arrives(identifier: str) -> None:
    """Encoded once, decoded to the same."""
    async with RawServer(answering(OK)) as server, chat_client(server.endpoint, identifier=identifier) as client:
        await client.send(DELETE_CONVERSATION, CONTENT, open_gate)
    query = server.requests[0].query
    assert query["identifier"] == identifier
    assert opened(query["usersig"])["TLS.identifier"] == identifier


async def test_connections_are_kept_and_usersigs_reused() -> None:
    """A hundred calls in a row take one connection and one signature."""
    async with RawServer(answering(OK)) as server, chat_client(server.endpoint) as client:
        for _ in range(100):
            await client.send(DELETE_CONVERSATION, CONTENT, open_gate)
    assert server.connections == 1
    assert len({request.query["usersig"] for request in server.requests}) == 1


async def test_a_call_for_each_place_runs_at_the_same_time() -> None:
    """The pool is as large as it was asked to be: nobody waits inside it."""
    together = asyncio.Barrier(8)

    async def script(peer: Peer) -> None:
        await peer.request()
        await together.wait()
        peer.write(OK)
        await peer.gone()

    async with RawServer(script) as server, chat_client(server.endpoint, connections=8) as client:
        replies = await asyncio.gather(*(client.send(DELETE_CONVERSATION, CONTENT, open_gate) for _ in range(8)))
    assert {reply.code for reply in replies} == {0}


async def test_the_gate_is_asked_with_the_connection_in_hand() -> None:
    """Whoever stands before the gate is connected already, and nothing has left."""
    connected = asyncio.Event()

    async def script(peer: Peer) -> None:
        connected.set()
        await peer.request()
        peer.write(OK)
        await peer.gone()

    gate = HeldGate()
    async with RawServer(script) as server, chat_client(server.endpoint) as client:
        call = asyncio.create_task(client.send(DELETE_CONVERSATION, CONTENT, gate))
        await gate.reached.wait()
        await connected.wait()
        assert gate.alive()
        await asyncio.sleep(0.02)
        assert not server.requests
        gate.opened.set()
        assert (await call).code == 0
    assert len(server.requests) == 1


class Turns(OpenGate):
    """Counts the turns of the loop, and notes the turn of every write and of every passage of the gate, which it is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.turn = 0
        self.passed: list[int] = []
        self.written: list[int] = []
        self.told: list[int] = []
        loop = asyncio.get_running_loop()

        def next_turn() -> None:
            self.turn += 1
            self.handle = loop.call_soon(next_turn)

        self.handle = loop.call_soon(next_turn)
        transports = asyncio.selector_events._SelectorSocketTransport  # type: ignore[attr-defined] # what a write comes down to
        write = transports.write

        def noting(transport: object, data: bytes) -> None:
            if data.startswith(b"POST "):
                self.written.append(self.turn)
            write(transport, data)

        monkeypatch.setattr(transports, "write", noting)

    async def __call__(self, alive: Callable[[], bool]) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        self.passed.append(self.turn)

    def left(self) -> None:
        assert len(self.written) == len(self.told) + 1, "told of what was not written yet"
        self.told.append(self.turn)


@pytest.mark.parametrize("calls", [1, 5])
async def test_the_first_byte_leaves_in_the_turn_in_which_the_gate_lets_pass(
    calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No turn of the loop lies between the token and the write, with a new connection and with a kept one."""
    async with RawServer(answering(OK)) as server, chat_client(server.endpoint) as client:
        turns = Turns(monkeypatch)
        for _ in range(2):
            await asyncio.gather(*(client.send(DELETE_CONVERSATION, CONTENT, turns) for _ in range(calls)))
        turns.handle.cancel()
    assert len(turns.passed) == 2 * calls
    assert turns.written == turns.passed
    assert turns.told == turns.passed


async def test_a_long_wait_at_the_gate_is_no_timeout() -> None:
    """The clock of a call starts when it leaves."""
    gate = HeldGate()
    async with RawServer(answering(OK)) as server, chat_client(server.endpoint, read_timeout=0.05, total_timeout=0.1) as client:
        call = asyncio.create_task(client.send(DELETE_CONVERSATION, CONTENT, gate))
        await gate.reached.wait()
        await asyncio.sleep(0.2)
        gate.opened.set()
        assert (await call).code == 0


@pytest.mark.parametrize("label", ["withdrawn", "stale_connection"])
async def test_a_refusal_at_the_gate_sends_nothing(label: str) -> None:
    """The reply has the gate's label, and the unused connection serves the next call."""

    async with RawServer(answering(OK)) as server, chat_client(server.endpoint) as client:
        reply = await client.send(DELETE_CONVERSATION, CONTENT, FailingGate(NotDeparting(label)))
        assert (reply.outcome, reply.label, reply.http, reply.code) == (Outcome.NOT_SENT, label, None, None)
        assert (await client.send(DELETE_CONVERSATION, CONTENT, open_gate)).code == 0
    assert len(server.requests) == 1
    assert server.connections == 1


async def test_what_else_a_gate_raises_passes_through() -> None:
    """A defect or a broken ledger is not mistaken for the network, and nothing leaves."""

    async with RawServer(answering(OK)) as server, chat_client(server.endpoint) as client:
        with pytest.raises(OSError, match="disk full"):
            await client.send(DELETE_CONVERSATION, CONTENT, FailingGate(OSError("disk full")))
    assert not server.requests


async def test_cancelled_at_the_gate_nothing_has_left() -> None:
    """The cancellation passes through and the server hears nothing, also once the gate opens."""
    gate = HeldGate()
    async with RawServer(answering(OK)) as server, chat_client(server.endpoint) as client:
        call = asyncio.create_task(client.send(DELETE_CONVERSATION, CONTENT, gate))
        await gate.reached.wait()
        call.cancel()
        gate.opened.set()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.sleep(0.02)
        assert not server.requests
        assert (await client.send(DELETE_CONVERSATION, CONTENT, open_gate)).code == 0


async def test_cancelled_after_departure_the_connection_is_not_used_again() -> None:
    """The answer that still comes can't be taken for the next call's."""
    arrived = asyncio.Event()
    answer = asyncio.Event()

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            if peer.number == 1:
                arrived.set()
                await answer.wait()
                peer.write(response(envelope(50001)))
            else:
                peer.write(OK)

    async with RawServer(script) as server, chat_client(server.endpoint) as client:
        call = asyncio.create_task(client.send(DELETE_CONVERSATION, CONTENT, open_gate))
        await arrived.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        answer.set()
        assert (await client.send(DELETE_CONVERSATION, CONTENT, open_gate)).code == 0
    assert server.connections == 2
    assert len(server.requests) == 2


async def test_cancelled_while_connecting_nothing_is_left_over() -> None:
    """The place in the pool is free again."""
    async with RawServer(answering(OK)) as server, chat_client(server.endpoint, connections=1) as client:
        for turns in range(6):
            call = asyncio.create_task(client.send(DELETE_CONVERSATION, CONTENT, HeldGate()))
            for _ in range(turns):
                await asyncio.sleep(0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        assert (await client.send(DELETE_CONVERSATION, CONTENT, open_gate)).code == 0


async def test_a_connection_that_died_at_the_gate_takes_no_token() -> None:
    """`alive` says so, and a gate that doesn't ask still sends nothing."""
    closed = asyncio.Event()

    async def script(peer: Peer) -> None:
        closed.set()

    gate = HeldGate()
    async with RawServer(script) as server, chat_client(server.endpoint) as client:
        call = asyncio.create_task(client.send(DELETE_CONVERSATION, CONTENT, gate))
        await gate.reached.wait()
        await closed.wait()
        await until(lambda: not gate.alive())
        gate.opened.set()
        reply = await call
    assert (reply.outcome, reply.label) == (Outcome.NOT_SENT, "stale_connection")


async def test_a_response_that_nobody_asked_for_answers_nothing() -> None:
    """A 408 while the call waits at the gate spoils the connection; the call is not sent."""

    async def script(peer: Peer) -> None:
        peer.write(response(envelope(), "408 Request Timeout"))
        await peer.gone()

    gate = HeldGate()
    async with RawServer(script) as server, chat_client(server.endpoint) as client:
        call = asyncio.create_task(client.send(DELETE_CONVERSATION, CONTENT, gate))
        await gate.reached.wait()
        await until(lambda: not gate.alive())
        gate.opened.set()
        reply = await call
    assert (reply.outcome, reply.label) == (Outcome.NOT_SENT, "stale_connection")


async def test_two_responses_to_one_request_answer_one_call() -> None:
    """The second one is not taken for the next call's answer: that goes over another connection."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            peer.write(OK if peer.number > 1 else OK + response(envelope(50001)))

    async with RawServer(script) as server, chat_client(server.endpoint) as client:
        codes = [(await client.send(DELETE_CONVERSATION, CONTENT, open_gate)).code for _ in range(3)]
    assert codes == [0, 0, 0]
    assert server.connections == 2


async def test_renew_takes_a_new_credential_from_the_next_call_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also a call that waits at the gate leaves with the new one."""
    gate = HeldGate()
    now = time.time()
    async with RawServer(answering(OK)) as server, chat_client(server.endpoint) as client:
        await client.send(DELETE_CONVERSATION, CONTENT, open_gate)
        waiting = asyncio.create_task(client.send(DELETE_CONVERSATION, CONTENT, gate))
        await gate.reached.wait()
        monkeypatch.setattr(client._signer, "_made_monotonic", client._signer._made_monotonic - 2)
        monkeypatch.setattr(client._signer, "_made_utc", client._signer._made_utc - 2_000_000)
        monkeypatch.setattr(time, "time", lambda: now + 100)
        client.renew()
        gate.opened.set()
        await waiting
        await client.send(DELETE_CONVERSATION, CONTENT, open_gate)
    first, second, third = (opened(request.query["usersig"])["TLS.time"] for request in server.requests)
    assert second == third
    assert 99 <= second - first <= 101


@pytest.mark.slow
async def test_ten_calls_survive_a_blocked_loop() -> None:
    """Answers that arrived while the loop stood still are answers, not timeouts."""
    arrived = asyncio.Event()
    waiting: list[Peer] = []

    async def script(peer: Peer) -> None:
        await peer.request()
        waiting.append(peer)
        if len(waiting) == 10:
            for each in waiting:
                each.write(OK)
            arrived.set()
        await peer.gone()

    async def block() -> None:
        await arrived.wait()
        time.sleep(1.0)  # noqa: ASYNC251 - the blocked loop is what is tested

    async with (
        RawServer(script) as server,
        chat_client(server.endpoint, connections=10, read_timeout=0.3, total_timeout=0.5) as client,
    ):
        calls = [client.send(DELETE_CONVERSATION, CONTENT, open_gate) for _ in range(10)]
        *replies, _ = await asyncio.gather(*calls, block())
    assert [reply and reply.code for reply in replies] == [0] * 10


async def test_a_client_shows_nothing_but_its_host() -> None:
    """Its repr can go into any log."""
    client = chat_client("https://chat.example")
    assert repr(client) == "ChatClient(chat.example:443)"
