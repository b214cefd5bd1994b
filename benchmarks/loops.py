"""Runs any asyncio program on a chosen event loop, with or without something that blocks it.

    python -m benchmarks.loops [--uvloop] [--block MILLISECONDS --every MILLISECONDS] MODULE [ARGUMENT…]

The program is not changed and does not know: whoever asks asyncio for a new event loop gets this one. What blocks is a
callback that sleeps without giving way, as a slow disk, a large JSON document or a debugger does.
"""

from __future__ import annotations

import argparse
import asyncio
import asyncio.events
import runpy
import sys
import time
from collections.abc import Callable

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def blocked(factory: LoopFactory, *, block: float, every: float) -> LoopFactory:
    """Makes loops that are blocked for `block` seconds in every `every`."""

    def make() -> asyncio.AbstractEventLoop:
        loop = factory()

        def hog() -> None:
            time.sleep(block)  # blocks on purpose
            loop.call_later(every - block, hog)

        loop.call_soon(hog)
        return loop

    return make


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loops")
    parser.add_argument("--uvloop", action="store_true")
    parser.add_argument("--block", type=float, default=0.0)
    parser.add_argument("--every", type=float, default=50.0)
    parser.add_argument("module")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    factory: LoopFactory = asyncio.SelectorEventLoop
    if given.uvloop:
        import uvloop

        factory = uvloop.new_event_loop
    if given.block:
        factory = blocked(factory, block=given.block / 1000, every=given.every / 1000)
    asyncio.events.new_event_loop = factory
    sys.argv = [given.module, *given.arguments]
    runpy.run_module(given.module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
