"""The sandbox beside a program: in a thread with an event loop of its own, or as a program that runs until cancelled."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Self, TypeVar

from bulkops.sandbox.faults import Fault
from bulkops.sandbox.sandbox import Sandbox
from bulkops.sandbox.stats import SandboxStats

T = TypeVar("T")


class SandboxThread:
    """Runs a sandbox in its own thread, so that a busy client does not make it late; a context manager.

    Every method may be called from any thread.

    Args:
        sandbox: Not started yet; by default one with default options.
        host: A loopback address.
        port: 0 for any free one.
    """

    def __init__(self, sandbox: Sandbox | None = None, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self._sandbox = sandbox or Sandbox()
        self._address = (host, port)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._url = ""

    def start(self) -> str:
        """Start it, and return the base URL.

        Raises:
            ValueError: The host is no loopback address.
            OSError: The port is taken.
        """
        ready: Future[str] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main(ready)), name="sandbox", daemon=True)
        self._thread.start()
        self._url = ready.result()
        return self._url

    def stop(self) -> None:
        """Stop it; a second time does nothing."""
        if self._thread is None:
            return
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._thread = self._loop = self._stop = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Base URL."""
        return self._url

    def call(self, function: Callable[[Sandbox], T]) -> T:
        """What a function makes of the sandbox, called in its thread (in this one once it is stopped)."""
        if self._loop is None:
            return function(self._sandbox)

        async def run() -> T:
            return function(self._sandbox)

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result()

    def stats(self) -> SandboxStats:
        """As `Sandbox.stats`."""
        return self.call(Sandbox.stats)

    def effects(self, op: str) -> Counter[str]:
        """As `Sandbox.effects`."""
        return self.call(lambda sandbox: sandbox.effects(op))

    def calls(self, op: str) -> Counter[str]:
        """As `Sandbox.calls`."""
        return self.call(lambda sandbox: sandbox.calls(op))

    def departures(self, op: str) -> list[float]:
        """As `Sandbox.departures`."""
        return self.call(lambda sandbox: sandbox.departures(op))

    def add_fault(self, fault: Fault | str) -> None:
        """As `Sandbox.add_fault`."""
        self.call(lambda sandbox: sandbox.add_fault(fault))

    def clear_faults(self) -> None:
        """As `Sandbox.clear_faults`."""
        self.call(Sandbox.clear_faults)

    async def _main(self, ready: Future[str]) -> None:
        try:
            url = await self._sandbox.start(*self._address)
        except (OSError, ValueError, RuntimeError) as exc:
            ready.set_exception(exc)
            return
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        ready.set_result(url)
        await self._stop.wait()
        await self._sandbox.stop()


async def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    faults: Sequence[Fault | str] = (),
    limit: int | None = None,
    enforce: bool = True,
    seed: int = 0,
    track: bool = True,
    apps: Mapping[int, str] | None = None,
    clock_offset: float = 0.0,
    ssl_context: ssl.SSLContext | None = None,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Run a sandbox until cancelled. Prints nothing.

    Args:
        host: A loopback address.
        port: 0 for any free one.
        faults: As in `Sandbox`, like all that follow but the last.
        limit: Likewise.
        enforce: Likewise.
        seed: Likewise.
        track: Likewise.
        apps: Likewise.
        clock_offset: Likewise.
        ssl_context: Likewise.
        on_ready: Called with the base URL once it listens.

    Raises:
        ValueError: A fault can't be read, the limit is below 1, or the host is no loopback address.
        OSError: The port is taken.
    """
    sandbox = Sandbox(
        apps=apps,
        limit=limit,
        enforce=enforce,
        faults=faults,
        seed=seed,
        track=track,
        clock_offset=clock_offset,
        ssl_context=ssl_context,
    )
    url = await sandbox.start(host, port)
    try:
        if on_ready is not None:
            on_ready(url)
        await asyncio.Event().wait()
    finally:
        await sandbox.stop()
