"""Plan and import: rows per second into a durable ledger, with full validation and real duplicates folded, and peak memory."""

from __future__ import annotations

import json
from typing import Final

from benchmarks import charts, jobs
from benchmarks.bench import Bench
from benchmarks.contest import ENVIRONMENT, median, ratio, spread
from benchmarks.jobs import Job
from benchmarks.processes import Ran, module, run
from benchmarks.report import Findings

GOAL: Final = 200_000
MEMORY: Final = 200
"""Peak memory in MB (10⁶ bytes) that the goal allows for 10 million rows."""

DUPLICATES: Final = 100
"""Every so manieth row repeats one from far above."""


def measure(bench: Bench) -> Findings:
    """Goal 4."""
    found = Findings("import", "4. Plan and import")
    bars: list[charts.Bar] = []
    rows = bench.pick(200_000, 1_000_000)
    for form in ("csv", "jsonl"):
        bench.say(f"import: {rows:,} rows of {form}")
        job = jobs.mixed(bench.folder("import") / f"job.{form}", rows, duplicate_every=DUPLICATES)
        ours: list[Ran] = []
        theirs: list[Ran] = []
        for number in range(bench.pick(2, 3)):
            ours.append(_ours(bench, job, number))
            theirs.append(_peer(bench, job, number))
        speed = [rows / each.wall for each in ours]
        peer = [rows / each.wall for each in theirs]
        memory = [each.rss / 1e6 for each in ours]
        found.add(
            f"{form.upper()}, {rows:,} rows, 1 % duplicates: rows/s",
            spread(speed, "{:,.0f}"),
            peers=f"csv/json + INSERT OR IGNORE {spread(peer, '{:,.0f}')}",
            ratio=ratio(speed, peer),
            goal="≥ 200,000/s",
            met=median(speed) >= GOAL,
        )
        found.add(
            f"{form.upper()}, {rows:,} rows: peak memory",
            spread(memory, "{:.0f} MB"),
            peers=f"csv/json + INSERT OR IGNORE {spread([each.rss / 1e6 for each in theirs], '{:.0f} MB')}",
            goal="≤ 200 MB" if bench.mode != "full" else "",
            met=max(memory) <= MEMORY if bench.mode != "full" else None,
        )
        bars.append(charts.Bar(f"bulkops, {form}", median(speed), f"{median(speed):,.0f}/s", "ours"))
        bars.append(charts.Bar(f"peer, {form}", median(peer), f"{median(peer):,.0f}/s"))
        job.path.unlink()
    if bench.mode == "full":
        _ten_million(bench, found)
    svg = charts.bars(
        "Rows per second into a durable database",
        "Full validation and duplicate folding; peer: csv or json, a few checks, INSERT OR IGNORE into SQLite",
        bars,
        goal=GOAL,
        goal_text="goal: 200,000/s",
    )
    alt = "Rows per second: " + ", ".join(f"{bar.label} {bar.text}" for bar in bars)
    found.pictures.append((bench.picture("import", svg), alt))
    found.notes.append(
        "`bulkops plan FILE --ledger LEDGER`, the whole process from start to exit, on a warm file: every row checked against the"
        " catalog, frozen, folded and synced. The peer checks that required fields are there and 64 characters at most, no more."
    )
    return found


def _ours(bench: Bench, job: Job, number: int) -> Ran:
    """One import, whose ledger is as it should be."""
    folder = bench.folder(f"import-{number}")
    ledger = folder / "job.ledger.db"
    ledger.unlink(missing_ok=True)
    ran = run(module("bulkops", "plan", job.path, "--ledger", ledger, "--json"), scratch=folder, env=ENVIRONMENT, limit=600)
    if ran.exit != 0:
        raise RuntimeError(f"bulkops plan ended with {ran.exit}: {ran.err}")
    said = json.loads(ran.out)
    if (said["rows"], said["operations"], said["invalid"]) != (job.rows, job.operations, 0):
        raise RuntimeError(f"bulkops counted {said['operations']} operations in {said['rows']} rows, not {job.operations}")
    bench.say(
        f"  bulkops {job.rows / ran.wall:10,.0f} rows/s, {ran.rss / 1e6:.0f} MB, ledger {ledger.stat().st_size / job.operations:.0f} B/op"
    )
    ledger.unlink()
    return ran


def _peer(bench: Bench, job: Job, number: int) -> Ran:
    folder = bench.folder(f"import-peer-{number}")
    database = folder / "job.db"
    for suffix in ("", "-wal", "-shm"):
        (folder / f"job.db{suffix}").unlink(missing_ok=True)
    ran = run(module("benchmarks.peers.importer", job.path, database), scratch=folder, env=ENVIRONMENT, limit=600)
    if ran.exit != 0 or int(ran.out) != job.operations:
        raise RuntimeError(f"the peer imported {ran.out}, not {job.operations}: {ran.err}")
    bench.say(f"  peer    {job.rows / ran.wall:10,.0f} rows/s, {ran.rss / 1e6:.0f} MB")
    database.unlink()
    return ran


def _ten_million(bench: Bench, found: Findings) -> None:
    for form in ("csv", "jsonl"):
        bench.say(f"import: 10 million rows of {form}")
        job = jobs.mixed(bench.folder("import") / f"ten.{form}", 10_000_000, duplicate_every=DUPLICATES)
        ran = _ours(bench, job, 0)
        found.add(
            f"{form.upper()}, 10,000,000 rows: rows/s",
            f"{job.rows / ran.wall:,.0f}",
            goal="≥ 200,000/s",
            met=job.rows / ran.wall >= GOAL,
        )
        found.add(
            f"{form.upper()}, 10,000,000 rows: peak memory",
            f"{ran.rss / 1e6:.0f} MB",
            goal="≤ 200 MB",
            met=ran.rss / 1e6 <= MEMORY,
        )
        job.path.unlink()
