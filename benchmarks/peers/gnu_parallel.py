"""GNU parallel with curl: one process per call, `--joblog --retries --delay`. This file only turns the job into its arguments.

python -m benchmarks.peers.gnu_parallel JOB.csv JOBLOG http://127.0.0.1:8080

Each API gets a GNU parallel of its own, side by side, since --delay knows one queue. curl judges by the HTTP status alone:
to see ErrorCodes it would need a pipe to grep for each call, which costs as much again.
"""

import csv
import json
import subprocess
import sys

from benchmarks.peers.script import ADMIN, APP, KEY, PATHS, body_of

CURL = "curl -sS --fail -o /dev/null -H Content-Type:application/json --data {2} {1}"


def main(job, joblog, endpoint):
    from TLSSigAPIv2 import TLSSigAPIv2

    query = f"sdkappid={APP}&identifier={ADMIN}&usersig={TLSSigAPIv2(APP, KEY).gen_sig(ADMIN, 86400)}&contenttype=json"
    lines = {op: [] for op in PATHS}
    with open(job, newline="") as file:
        for row in csv.DictReader(file):
            lines[row["op"]].append(f"{endpoint}/{PATHS[row['op']]}?{query}\t{json.dumps(body_of(row))}\n")
    running = []
    for op, arguments in lines.items():
        if arguments:
            listing = f"{joblog}.{op}.tsv"
            with open(listing, "w") as file:
                file.writelines(arguments)
            command = ["parallel", "--will-cite", "--jobs", "64", "--delay", "0.005", "--retries", "3", "--colsep", "\t"]
            running.append(subprocess.Popen([*command, "--joblog", f"{joblog}.{op}.log", "--arg-file", listing, CURL]))
    return max(each.wait() for each in running)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
