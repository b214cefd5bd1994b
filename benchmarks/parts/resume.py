"""A large ledger with 99 % done: time to the first call of a resume, `status` beside a live run, `results` as a stream."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Final

from benchmarks import jobs
from benchmarks.bench import Bench
from benchmarks.contest import ENVIRONMENT, median, ratio, spread
from benchmarks.jobs import Job
from benchmarks.ledgers import nearly_done
from benchmarks.processes import Ran, Running, environment, module, run
from benchmarks.report import Findings

FIRST_CALL: Final = 2.0
STATUS: Final = 0.5
RESULTS: Final = 100_000
WINDOW: Final = 1.1
"""Seconds after which no earlier process's calls hold the first one back."""


def measure(bench: Bench) -> Findings:
    """Goal 5."""
    found = Findings("resume", "5. Resume of a large ledger")
    rows = bench.pick(300_000, 5_000_000, 10_000_000)
    folder = bench.folder("resume")
    bench.say(f"resume: a ledger of {rows:,} rows")
    job = jobs.mixed(folder / "job.csv", rows)
    share = bench.pick(0.9, 0.99)  # of a small ledger, 1 % would be done before anybody could look
    done = int(rows * share)
    ledger = folder / "job.ledger.db"
    nearly_done(job, ledger, done=done, endpoint=bench.server.url, scratch=folder)
    bench.say(f"  {ledger.stat().st_size / 2**20:,.0f} MiB, {ledger.stat().st_size / rows:.0f} bytes per operation")
    _results(bench, found, ledger, bench.pick(100_000, 1_000_000))
    _first_call(bench, found, ledger, job, done)
    found.notes.append(
        f"{rows:,} rows, {share:.0%} succeeded; {ledger.stat().st_size / rows:.0f} bytes of ledger per operation. First call: from the start of"
        " `bulkops resume` to its arrival at the server. The script resumes from its results file: it reads what is done, then skips it"
        " in the job. The peers of `status` and `results` read the same ledger with a plain SELECT."
    )
    return found


def _first_call(bench: Bench, found: Findings, ledger: Path, job: Job, done: int) -> None:
    """Time to the first call, and `status` meanwhile."""
    first: list[float] = []
    status: list[float] = []
    memory: list[float] = []
    counted: list[float] = []
    for number in range(bench.pick(2, 3)):
        time.sleep(WINDOW)
        bench.server.reset(targets=False)
        scratch = bench.folder(f"resume-{number}")
        command = module("bulkops", "resume", ledger, "--yes", "--progress", "none", "--json")
        with Running(command, env=ENVIRONMENT, limit=120, scratch=scratch) as running:
            while not bench.server.seen().calls and time.monotonic() - running.began < 60:
                time.sleep(0.05)
            first.append(bench.server.seen().first - running.began)
            for _ in range(3):
                ran = _beside(bench, module("bulkops", "status", ledger, "--json"))
                if json.loads(ran.out)["state"] != "running":
                    raise RuntimeError("status does not see that the run is alive")
                status.append(ran.wall)
            counted.append(_beside(bench, module("benchmarks.peers.counter", ledger)).wall)
            running.signal(signal.SIGTERM)
            ran = running.wait()
        if ran.exit != 4:
            raise RuntimeError(f"bulkops resume ended with {ran.exit}, not 4: {ran.err}")
        memory.append(ran.rss / 2**20)
        bench.say(
            f"  first call after {first[-1]:.2f} s, status {status[-1]:.2f} s, counting {counted[-1]:.2f} s, {memory[-1]:.0f} MiB"
        )
    peer, peer_memory = _script(bench, job, done)
    found.add(
        "first call of a resume",
        spread(first, "{:.2f} s"),
        peers=f"script {peer:.1f} s",
        ratio=median(first) / peer,
        goal="≤ 2 s",
        met=median(first) <= FIRST_CALL,
    )
    found.add("peak memory of the resume", spread(memory, "{:.0f} MiB"), peers=f"script {peer_memory:.0f} MiB")
    found.add(
        "`status` beside the live run",
        spread(status, "{:.2f} s"),
        peers=f"SELECT count(*) … GROUP BY {spread(counted, '{:.2f} s')}",
        ratio=median(status) / median(counted),
        goal="≤ 0.5 s",
        met=median(status) <= STATUS,
    )


def _beside(bench: Bench, command: list[str]) -> Ran:
    """A command beside the live run."""
    ran = run(command, scratch=bench.folder("beside"), env=ENVIRONMENT, limit=120)
    if ran.exit != 0:
        raise RuntimeError(f"{command[2]} ended with {ran.exit}: {ran.err}")
    return ran


def _script(bench: Bench, job: Job, done: int) -> tuple[float, float]:
    """Seconds until the script's first call when it resumes from its results file, and its memory in MiB by then."""
    results = bench.folder("resume-script") / "results.csv"
    with results.open("w", encoding="ascii") as file:
        for begin in range(0, done, 100_000):
            file.write("".join([f"{n + 2},0,\r\n" for n in range(begin, min(begin + 100_000, done))]))
    bench.server.reset(targets=False)
    command = module("benchmarks.peers.script", job.path, results, bench.server.url)
    with Running(command, env=ENVIRONMENT, limit=120, scratch=results.parent) as running:
        while not bench.server.seen().calls and time.monotonic() - running.began < 110:
            time.sleep(0.1)
        first = bench.server.seen().first - running.began
        running.kill()
        ran = running.wait()
    bench.say(f"  the script's first call after {first:.1f} s, {ran.rss / 2**20:.0f} MiB")
    results.unlink()
    return first, ran.rss / 2**20


def _results(bench: Bench, found: Findings, ledger: Path, lines: int) -> None:
    """Rows per second of `results`, start-up included."""
    ours: list[float] = []
    peer: list[float] = []
    for _ in range(bench.pick(1, 2)):
        ours.append(_stream(module("bulkops", "results", ledger), lines, ledger.parent))
        peer.append(_stream(module("benchmarks.peers.exporter", ledger), lines, ledger.parent))
        bench.say(f"  results {ours[-1]:,.0f} rows/s, a plain SELECT {peer[-1]:,.0f} rows/s")
    found.add(
        f"`results` as CSV, the first {lines:,} rows: rows/s",
        spread(ours, "{:,.0f}"),
        peers=f"SELECT + csv.writer {spread(peer, '{:,.0f}')}",
        ratio=ratio(ours, peer),
        goal="≥ 100,000/s",
        met=median(ours) >= RESULTS,
    )


def _stream(command: list[str], lines: int, home: Path) -> float:
    """Lines per second that a program writes, from its start to that many lines; then it is ended."""
    began = time.monotonic()
    env = {**environment(home), **ENVIRONMENT}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env) as process:
        assert process.stdout is not None
        seen = 0
        while seen < lines:
            chunk = os.read(process.stdout.fileno(), 1 << 20)
            if not chunk:
                break
            seen += chunk.count(b"\n")
        took = time.monotonic() - began
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    if seen < lines:
        raise RuntimeError(f"{command[2]} wrote {seen} lines, not {lines}")
    return seen / took
