"""Many apps in one process, through the library: 20 lanes of 200 calls/s each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from benchmarks import jobs
from benchmarks.bench import Bench
from benchmarks.contest import ENVIRONMENT, median, spread
from benchmarks.departures import overfull
from benchmarks.processes import module, run
from benchmarks.report import Findings
from benchmarks.target import Seen

APPS: Final = 20
LIMIT: Final = 200


def measure(bench: Bench) -> Findings:
    """Goal 7."""
    found = Findings("lanes", "7. Many apps in one process")
    seconds = bench.pick(4, 10)
    job = jobs.of_one(bench.folder("lanes") / "job.csv", LIMIT * seconds)
    for loop in ("asyncio", "uvloop"):
        used: list[float] = []
        worst: list[int] = []
        late: list[float] = []
        cores: list[float] = []
        memory: list[float] = []
        for number in range(bench.pick(1, 2)):
            bench.say(f"lanes: {APPS} apps on {loop}")
            seen, core, rss = _run(bench, job.path, loop, number)
            used.append(min(lane.steady for lane in seen.lanes.values()) / LIMIT)
            worst.append(seen.worst)
            late.append(seen.late)
            cores.append(core)
            memory.append(rss)
            bench.say(
                f"  slowest {used[-1]:.1%}, worst second {worst[-1]}, {cores[-1]:.2f} of a core, {seen.together:,.0f} calls/s"
            )
        found.add(
            f"{APPS} lanes at 200/s on {loop}: used by the slowest",
            spread([each * 100 for each in used], "{:.1f} %"),
            goal="≥ 99 %",
            met=median(used) >= 0.99,
        )
        found.add(f"{APPS} lanes on {loop}: worst second of any", spread(worst), goal="≤ 200", met=max(worst) <= LIMIT)
        if max(worst) > LIMIT:
            ledgers = [path for folder in bench.scratch.glob(f"lanes-{loop}-*") for path in folder.glob("*.ledger.db")]
            found.notes.append(overfull(f"{APPS} lanes on {loop}", max(worst), ledgers, max(late)))
        found.add(
            f"{APPS} lanes on {loop}: CPU while calling",
            spread(cores, "{:.2f} cores"),
            peers=f"peak memory {spread(memory, '{:.0f} MiB')}",
            goal="≤ 1 core",
            met=median(cores) <= 1.0,
        )
    found.notes.append(
        f"One process, one event loop, {APPS} SDKAppIDs with a ledger each, {LIMIT * seconds:,} operations each, through"
        " `bulkops.open_run`; together 4,000 calls/s. CPU over the time from the first call to the last, all threads."
    )
    return found


def _run(bench: Bench, job: Path, loop: str, number: int) -> tuple[Seen, float, float]:
    """What the server saw, cores used while calling, and peak memory in MiB."""
    folder = bench.folder(f"lanes-{loop}-{number}")
    bench.server.reset()
    flags = ["--uvloop"] if loop == "uvloop" else []
    command = module("benchmarks.loops", *flags, "benchmarks.many_apps", str(job), bench.server.url, str(folder), str(APPS))
    ran = run(command, scratch=folder, env=ENVIRONMENT, limit=180)
    if ran.exit != 0:
        raise RuntimeError(f"{APPS} apps ended with {ran.exit}: {ran.err}")
    said = json.loads(ran.out)
    return bench.server.seen(), said["cpu"] / said["seconds"], ran.rss / 2**20
