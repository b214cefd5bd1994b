"""A program that drives many apps at once through bulkops' library: a ledger and a lane for each, one process, one event loop.

    python -m benchmarks.many_apps JOB.csv http://127.0.0.1:8080 FOLDER APPS

Prints the CPU and the seconds between the start of the first call and the end of the last run, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

import bulkops
from bulkops.settings import Secret, Settings

FIRST_APP = 1400000001


async def main(job: str, endpoint: str, folder: str, apps: str) -> None:
    """Plan all of them, then carry all of them out side by side."""
    async with AsyncExitStack() as stack:
        runs = []
        for number in range(int(apps)):
            settings = Settings(
                sdkappid=FIRST_APP + number,
                identifier="administrator",
                secret_key=Secret("0123456789abcdef"),
                endpoint=endpoint,
            )
            ledger = Path(folder) / f"{number}.ledger.db"
            ledger.unlink(missing_ok=True)
            runs.append(await stack.enter_async_context(bulkops.open_run([job], settings=settings, ledger=ledger)))
        cpu, began = time.process_time(), time.monotonic()
        summaries = await asyncio.gather(*(run.finish() for run in runs))
        print(json.dumps({"cpu": time.process_time() - cpu, "seconds": time.monotonic() - began}))
    unfinished = [summary.ledger for summary in summaries if summary.exit != 0]
    if unfinished:
        raise SystemExit(f"not finished: {unfinished}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:5]))
