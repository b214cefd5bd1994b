"""curl --parallel, for information: what the wire takes when nobody counts, retries or writes anything down.

python -m benchmarks.peers.curl_parallel JOB.csv CONFIG http://127.0.0.1:8080
"""

import csv
import json
import subprocess
import sys

from benchmarks.peers.script import ADMIN, APP, PATHS, body_of

BLOCK = """url = "{url}"
data = {body}
header = "Content-Type: application/json"
output = "/dev/null"
"""


def main(job, config, endpoint):
    query = f"sdkappid={APP}&identifier={ADMIN}&usersig=x&contenttype=json"
    with open(job, newline="") as file:
        blocks = [
            BLOCK.format(url=f"{endpoint}/{PATHS[row['op']]}?{query}", body=json.dumps(json.dumps(body_of(row))))
            for row in csv.DictReader(file)
        ]
    with open(config, "w") as file:
        file.write("next\n".join(blocks))
    command = ["curl", "--silent", "--show-error", "--parallel", "--parallel-max", "64", "--config", config]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
