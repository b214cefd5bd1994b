"""What the client takes from aiohttp beyond its documented surface. A release that changes it fails here, not in a run."""

from __future__ import annotations

import inspect

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from yarl import URL

from bulkops.chat.catalog import DELETE_CONVERSATION
from tests.helpers.chat import CONTENT, chat_client, open_gate
from tests.helpers.rawserver import OK, RawServer, answering


def parameters(function: object) -> set[str]:
    """Names of a function's parameters."""
    assert callable(function)
    return set(inspect.signature(function).parameters)


def test_a_connector_still_connects_for_a_request() -> None:
    """`connect` takes the request, the traces and the timeouts, and is awaited."""
    assert parameters(aiohttp.TCPConnector.connect) == {"self", "req", "traces", "timeout"}
    assert inspect.iscoroutinefunction(aiohttp.TCPConnector.connect)


def test_a_connection_still_hands_out_its_protocol() -> None:
    """And is released or closed without waiting."""
    for name in ("protocol", "transport"):
        assert isinstance(inspect.getattr_static(Connection, name), property)
    for method in (Connection.release, Connection.close):
        assert parameters(method) == {"self"}
        assert not inspect.iscoroutinefunction(method)


def test_a_protocol_still_parses_responses() -> None:
    """It is told not to decompress, says whether it stands, and gives a message with its body."""
    assert {"read_until_eof", "auto_decompress", "read_timeout"} <= parameters(ResponseHandler.set_response_params)
    assert inspect.signature(ResponseHandler.set_response_params).parameters["read_timeout"].default is None
    assert parameters(ResponseHandler.is_connected) == {"self"}
    assert isinstance(inspect.getattr_static(ResponseHandler, "should_close"), property)
    assert inspect.iscoroutinefunction(ResponseHandler.read)


async def test_a_request_needs_nothing_but_where_it_goes() -> None:
    """One that is never sent stands for all: it tells the connector host, port and scheme."""
    client = chat_client("https://chat.example:8443")
    async with client:
        key = client._target.connection_key
    assert (key.host, key.port, key.is_ssl, key.proxy) == ("chat.example", 8443, True, None)
    assert client._target.url == URL("https://chat.example:8443")


async def test_aiohttp_never_learns_the_credential() -> None:
    """All that it was given of a call is the origin: none of its exceptions, reprs or logs can hold more."""
    async with RawServer(answering(OK)) as server, chat_client(server.endpoint) as client:
        await client.send(DELETE_CONVERSATION, CONTENT, open_gate)
        known = f"{vars(client._target)} {vars(client._connector)}"
    assert server.requests[0].query["usersig"] not in known
    assert "/v4/" not in known
