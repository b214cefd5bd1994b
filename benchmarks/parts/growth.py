"""Growth: what an operation costs in a job of 10,000 rows and in one of a million; memory; bytes of ledger per operation."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from benchmarks import charts, jobs
from benchmarks.bench import Bench
from benchmarks.contest import Measured, median, one, spread
from benchmarks.parts.unlimited import without_limit
from benchmarks.report import Findings

BYTES: Final = 250
APART: Final = 1.2


def measure(bench: Bench) -> Findings:
    """Goal 6."""
    found = Findings("growth", "6. Growth")
    plan = bench.pick(
        {10_000: 1, 60_000: 1}, {10_000: 5, 100_000: 3, 1_000_000: 1}, {10_000: 5, 100_000: 3, 1_000_000: 2, 10_000_000: 1}
    )
    measured: dict[int, list[Measured]] = {rows: [] for rows in plan}
    sizes: dict[int, list[float]] = {rows: [] for rows in plan}
    made = {rows: jobs.mixed(bench.folder("growth") / f"{rows}.csv", rows) for rows in plan}
    contestant = replace(without_limit(), limit=3600)
    for number in range(max(plan.values())):
        for rows, rounds in plan.items():
            if number >= rounds:
                continue
            bench.say(f"growth: {rows:,} rows")
            folder = bench.folder(f"growth-{rows}")
            # Which operations were carried out is not remembered: a million of them would slow the server down.
            result = one(contestant, made[rows], bench.server, folder, {"targets": False})
            measured[rows].append(result)
            sizes[rows].append(sum(path.stat().st_size for path in folder.glob("run.ledger.db*")) / rows)
            bench.say(
                f"  {result.seen.under_way:,.0f} calls/s, {result.cpu_ms:.3f} ms CPU/op, {result.mebibytes:.0f} MiB, {sizes[rows][-1]:.0f} B/op"
            )
    smallest, largest = min(plan), max(plan)
    times = {rows: [1e6 / each.seen.under_way for each in value] for rows, value in measured.items()}
    memory = {rows: [each.mebibytes for each in value] for rows, value in measured.items()}
    middle = {rows: median(value) for rows, value in times.items()}
    for rows in plan:
        found.add(
            f"{rows:,} rows: time per operation",
            spread(times[rows], "{:.0f} µs"),
            peers=f"memory {spread(memory[rows], '{:.0f} MiB')} · ledger {median(sizes[rows]):.0f} bytes per operation",
            ratio=middle[rows] / middle[smallest],
        )
    apart = max(middle.values()) / min(middle.values())
    found.add(f"slowest over quickest, {smallest:,} to {largest:,} rows", f"{apart:.2f}", goal="≤ 1.2", met=apart <= APART)
    before = sorted(plan)[-2]  # the smallest is over before its connections are all open
    grown = median(memory[largest]) - median(memory[before])
    found.add(
        f"memory at {largest:,} rows over that at {before:,}", f"{grown:+.0f} MiB", goal="flat (≤ 20 MiB)", met=grown <= 20
    )
    size = median(sizes[largest])
    found.add(f"ledger at {largest:,} rows", f"{size:.0f} bytes per operation", goal="≤ 250", met=size <= BYTES)
    found.notes.append(
        "Time per operation is wall-clock time, all three APIs together, once the first tenth of the calls is over: connecting and each"
        " lane's first call alone would weigh on the small jobs only. Memory is the peak of the whole process, planning included."
    )
    bars = [charts.Bar(f"{rows:,} rows", middle[rows], f"{middle[rows]:.0f} µs", "ours") for rows in plan]
    svg = charts.bars(
        "Time per operation as the job grows", "Without a limit, once the first tenth is over, with the full ledger", bars
    )
    found.pictures.append(
        (bench.picture("growth", svg), "Time per operation: " + ", ".join(f"{bar.label} {bar.text}" for bar in bars))
    )
    return found
