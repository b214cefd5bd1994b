"""What the script's author writes to keep a job in SQLite: DictReader or json.loads, a few checks, INSERT OR IGNORE on a unique key.

python -m benchmarks.peers.importer JOB.csv|JOB.jsonl JOB.db
"""

import csv
import json
import sqlite3
import sys

FIELDS = ("op", "From_Account", "Type", "To_Account", "ToGroupid", "ClearRamble", "GroupName", "GroupId", "MsgSeq")
REQUIRED = {
    "delete_conversation": ("From_Account", "Type", "To_Account"),
    "delete_conversation_group": ("From_Account", "GroupName"),
    "clear_group_messages": ("GroupId",),
}


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file, strict=True) if path.endswith(".csv") else map(json.loads, file)
        for n, row in enumerate(reader, start=1):
            for name in REQUIRED[row["op"]]:
                value = row.get(name)
                if not value or (isinstance(value, str) and len(value) > 64):
                    raise SystemExit(f"row {n}: bad {name}")
            yield "\t".join(str(row.get(field) or "") for field in FIELDS), row.get("id"), n


def main(job, database):
    db = sqlite3.connect(database)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute(
        "CREATE TABLE operation (seq INTEGER PRIMARY KEY, content TEXT UNIQUE, ref TEXT, line INTEGER, status INTEGER DEFAULT 0)"
    )
    with db:
        db.executemany("INSERT OR IGNORE INTO operation (content, ref, line) VALUES (?, ?, ?)", rows(job))
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    print(db.execute("SELECT count(*) FROM operation").fetchone()[0])


if __name__ == "__main__":
    main(*sys.argv[1:3])
