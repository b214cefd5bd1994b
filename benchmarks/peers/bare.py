"""The floor: an aiohttp loop that posts and parses and does nothing else. No limit, no retry, no file, no thought.

python -m benchmarks.peers.bare JOB.csv http://127.0.0.1:8080 asyncio|uvloop
"""

import asyncio
import csv
import sys

import aiohttp

from benchmarks.peers.script import ADMIN, APP, PATHS, body_of

WORKERS = 64


async def main(job, endpoint):
    urls = {op: f"{endpoint}/{path}?sdkappid={APP}&identifier={ADMIN}&usersig=x&contenttype=json" for op, path in PATHS.items()}
    with open(job, newline="") as file:
        calls = iter([(urls[row["op"]], body_of(row)) for row in csv.DictReader(file)])
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=WORKERS)) as session:

        async def worker():
            for url, body in calls:
                async with session.post(url, json=body) as response:
                    await response.json()

        await asyncio.gather(*(worker() for _ in range(WORKERS)))


if __name__ == "__main__":
    if sys.argv[3] == "uvloop":
        import uvloop

        uvloop.run(main(*sys.argv[1:3]))
    else:
        asyncio.run(main(*sys.argv[1:3]))
