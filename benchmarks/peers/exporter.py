"""What somebody writes who wants the outcome of every operation as CSV: one SELECT over the ledger's tables, and csv.writer.

python -m benchmarks.peers.exporter LEDGER
"""

import csv
import sqlite3
import sys

SELECT = """
SELECT o.seq, o.api, o.content, o.ref, o.line, o.status, a.number, a.code, a.info, a.begun_at + a.took
FROM operation AS o LEFT JOIN attempt AS a ON a.operation = o.seq ORDER BY o.seq
"""

if __name__ == "__main__":
    db = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
    csv.writer(sys.stdout, quoting=csv.QUOTE_ALL).writerows((*row[2].split("\t"), *row) for row in db.execute(SELECT))
