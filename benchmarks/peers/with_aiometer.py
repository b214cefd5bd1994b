"""The strongest peer: aiometer, with max_per_second=200 for each API, and the script's session, retries and results file.

python -m benchmarks.peers.with_aiometer JOB.csv RESULTS.csv http://127.0.0.1:8080
"""

import asyncio
import csv
import functools
import random
import sys

import aiohttp
import aiometer
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential
from TLSSigAPIv2 import TLSSigAPIv2

from benchmarks.peers.script import ADMIN, APP, KEY, PATHS, RETRYABLE, TryAgain, body_of


@retry(
    retry=retry_if_exception_type((TryAgain, aiohttp.ClientError, TimeoutError)),
    wait=wait_random_exponential(multiplier=0.5, max=30),
    stop=stop_after_attempt(5),
    reraise=True,
)
async def call(session, url, body):
    async with session.post(f"{url}&random={random.getrandbits(32)}&contenttype=json", json=body) as response:
        answer = await response.json()
    if answer["ErrorCode"] in RETRYABLE:
        raise TryAgain(answer["ErrorCode"], answer["ErrorInfo"])
    return answer["ErrorCode"], answer["ErrorInfo"]


async def one(session, url, out, numbered):
    n, body = numbered
    try:
        out.writerow((n, *(await call(session, url, body))))
    except Exception as error:
        out.writerow((n, "error", repr(error)))


async def main(job, results, endpoint):
    usersig = TLSSigAPIv2(APP, KEY).gen_sig(ADMIN, 86400)
    by_op = {op: [] for op in PATHS}
    with open(job, newline="") as file:
        for n, row in enumerate(csv.DictReader(file), start=2):
            by_op[row["op"]].append((n, body_of(row)))
    out = csv.writer(open(results, "a", newline="", buffering=1))
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=900), timeout=aiohttp.ClientTimeout(total=15), raise_for_status=True
    ) as session:
        query = f"sdkappid={APP}&identifier={ADMIN}&usersig={usersig}"
        await asyncio.gather(
            *(
                aiometer.run_on_each(
                    functools.partial(one, session, f"{endpoint}/{PATHS[op]}?{query}", out),
                    rows,
                    max_at_once=300,
                    max_per_second=200,
                )
                for op, rows in by_op.items()
                if rows
            )
        )


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
