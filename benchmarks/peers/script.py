"""The script a good engineer writes in an afternoon: aiohttp, AsyncLimiter(200, 1), tenacity, a results file to continue from.

python -m benchmarks.peers.script JOB.csv RESULTS.csv http://127.0.0.1:8080
"""

import asyncio
import csv
import random
import sys
from pathlib import Path

import aiohttp
from aiolimiter import AsyncLimiter
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential
from TLSSigAPIv2 import TLSSigAPIv2

APP, ADMIN, KEY, WORKERS = 1400000001, "administrator", "0123456789abcdef", 300
RETRYABLE = {50004, 50005, 60007, 60008, 60013, 60014, 10002, 51007}
PATHS = {
    "delete_conversation": "v4/recentcontact/delete",
    "delete_conversation_group": "v4/recentcontact/del_contact_group",
    "clear_group_messages": "v4/group_open_http_svc/clear_group_msg",
}


class TryAgain(Exception):
    pass


def body_of(row):
    body = {key: value for key, value in row.items() if value and key not in ("op", "id")}
    for key in ("Type", "ClearRamble", "MsgSeq"):
        if key in body:
            body[key] = int(body[key])
    if "GroupName" in body:
        body["GroupName"] = [body["GroupName"]]
    return body


async def main(job, results, endpoint, rate=200):
    limiters = {op: AsyncLimiter(rate, 1) for op in PATHS}
    usersig = TLSSigAPIv2(APP, KEY).gen_sig(ADMIN, 86400)
    done = set()
    if Path(results).exists():
        with open(results, newline="") as file:
            done = {int(line) for line, code, _ in csv.reader(file) if code == "0"}
    rows = ((n, row) for n, row in enumerate(csv.DictReader(open(job, newline="")), start=2) if n not in done)
    out = csv.writer(open(results, "a", newline="", buffering=1))
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=WORKERS), timeout=aiohttp.ClientTimeout(total=15), raise_for_status=True
    )

    @retry(
        retry=retry_if_exception_type((TryAgain, aiohttp.ClientError, TimeoutError)),
        wait=wait_random_exponential(multiplier=0.5, max=30),
        stop=stop_after_attempt(5),
        reraise=True,
    )
    async def call(row):
        query = f"sdkappid={APP}&identifier={ADMIN}&usersig={usersig}&random={random.getrandbits(32)}&contenttype=json"
        async with limiters[row["op"]], session.post(f"{endpoint}/{PATHS[row['op']]}?{query}", json=body_of(row)) as response:
            answer = await response.json()
        if answer["ErrorCode"] in RETRYABLE:
            raise TryAgain(answer["ErrorCode"], answer["ErrorInfo"])
        return answer["ErrorCode"], answer["ErrorInfo"]

    async def worker():
        for n, row in rows:  # one iterator for all workers
            try:
                out.writerow((n, *(await call(row))))
            except Exception as error:
                out.writerow((n, "error", repr(error)))

    async with session:
        await asyncio.gather(*(worker() for _ in range(WORKERS)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4], *map(int, sys.argv[4:])))
