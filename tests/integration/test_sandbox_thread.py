"""The sandbox in a thread of its own, and as a program that runs until cancelled."""

from __future__ import annotations

import asyncio
import socket
import threading
import urllib.request

import pytest

from bulkops.sandbox import DEMO_SDKAPPID, Sandbox, SandboxThread, serve
from tests.helpers.sandbox import DELETE, ONE_TO_ONE, ONE_TO_ONE_CONTENT, YES, call, query, usersig

OP = "delete_conversation"


def post(url: str) -> bytes:
    """A call from a program without an event loop."""
    request = urllib.request.Request(f"{url}{DELETE}?{query()}", data=ONE_TO_ONE, method="POST")
    with urllib.request.urlopen(request, timeout=5) as response:
        return bytes(response.read())


def test_it_serves_a_program_without_an_event_loop() -> None:
    with SandboxThread() as sandbox:
        assert b'"ErrorCode":0' in post(sandbox.url)
        stats = sandbox.stats()
        assert (stats.calls, stats.effects) == (1, 1)
        assert sandbox.effects(OP) == sandbox.calls(OP) == {ONE_TO_ONE_CONTENT: 1}
        assert len(sandbox.departures(OP)) == 1


async def test_it_serves_an_event_loop_that_is_not_its_own() -> None:
    with SandboxThread(Sandbox(limit=1)) as sandbox:
        assert (await call(sandbox.url)).json == YES
        assert (await call(sandbox.url)).code == 60007


def test_faults_are_ordered_across_threads() -> None:
    with SandboxThread() as sandbox:
        sandbox.add_fault("50004")
        assert b'"ErrorCode":50004' in post(sandbox.url)
        sandbox.clear_faults()
        sandbox.call(lambda inner: inner.forget_user("user1"))
        assert b'"ErrorCode":50001' in post(sandbox.url)


def test_counts_stay_readable_once_it_is_stopped_and_the_thread_is_gone() -> None:
    with SandboxThread() as sandbox:
        post(sandbox.url)
    sandbox.stop()

    assert sandbox.stats().calls == 1
    assert "sandbox" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("host", ["0.0.0.0", "example.org"])
def test_a_start_that_fails_raises_where_it_was_asked_for(host: str) -> None:
    sandbox = SandboxThread(host=host)

    with pytest.raises(ValueError, match="loopback"):
        sandbox.start()
    sandbox.stop()


def test_a_taken_port_raises_too() -> None:
    with SandboxThread() as first:
        port = int(first.url.rsplit(":", 1)[1])
        with pytest.raises(OSError, match="in use"), SandboxThread(port=port):
            pass


async def test_serve_says_when_it_listens_and_stops_when_cancelled() -> None:
    urls: list[str] = []
    ready = asyncio.Event()

    def on_ready(url: str) -> None:
        urls.append(url)
        ready.set()

    app = {7: "7" * 64}
    task = asyncio.ensure_future(serve(apps=app, limit=1, faults=["50004@-60"], seed=3, on_ready=on_ready))
    await ready.wait()
    good = query(sdkappid="7", usersig=usersig(sdkappid=7, key=app[7]))
    codes = [(await call(urls[0], q=good)).code, (await call(urls[0], q=good)).code]
    unknown = (await call(urls[0])).code
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert codes == [50004, 60007]
    assert unknown == 70020
    assert DEMO_SDKAPPID not in app
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(urls[0].rsplit(":", 1)[1]))) != 0


async def test_serve_needs_no_callback() -> None:
    task = asyncio.ensure_future(serve())
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_serve_refuses_what_can_not_be_ordered() -> None:
    with pytest.raises(ValueError, match="can't be ordered"):
        await serve(faults=["nonsense"])
