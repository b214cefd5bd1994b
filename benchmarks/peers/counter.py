"""What somebody writes who wants to know how far a run is: count the rows by status.

python -m benchmarks.peers.counter LEDGER
"""

import sqlite3
import sys

if __name__ == "__main__":
    db = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
    print(db.execute("SELECT api, status, count(*) FROM operation GROUP BY api, status").fetchall())
