"""How many calls a second the load server answers: a raw client that neither builds nor parses anything.

    python -m benchmarks.flood

What it says is the ceiling of every figure in this folder; it has to be far above them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from typing import cast

from benchmarks.target import LoadServer

BODY = json.dumps({"From_Account": "u0000001", "Type": 1, "To_Account": "u0000002", "ClearRamble": 1}).encode()
REQUEST = (
    b"POST /v4/recentcontact/delete?sdkappid=1400000001&identifier=admin&usersig=x&random=1&contenttype=json HTTP/1.1\r\n"
    b"Host: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
)


class _Pinger(asyncio.Protocol):
    """Sends the next request as soon as the answer to the last one is there."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop
        self.answers = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        self.answers += 1
        if not self._stop.is_set():
            self._transport.write(REQUEST)


async def flood(url: str, seconds: float, connections: int) -> float:
    """Calls per second over so many connections."""
    host, port = url.removeprefix("http://").split(":")
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    pingers = [(await loop.create_connection(lambda: _Pinger(stop), host, int(port))) for _ in range(connections)]
    begin = time.monotonic()
    before = sum(pinger.answers for _, pinger in pingers)
    await asyncio.sleep(seconds)
    after = sum(pinger.answers for _, pinger in pingers)
    took = time.monotonic() - begin
    stop.set()
    for transport, _ in pingers:
        transport.close()
    return (after - before) / took


def ceiling(seconds: float = 2.0, connections: int = 64) -> float:
    """Calls per second that a fresh load server answers."""
    import uvloop

    with LoadServer() as server, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        server.reset(targets=False)
        return runner.run(flood(server.url, seconds, connections))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flood")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--connections", type=int, default=64)
    given = parser.parse_args()
    print(f"{ceiling(given.seconds, given.connections):,.0f} calls/s")
