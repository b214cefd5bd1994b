"""What an operation costs in CPU at 600 calls/s, all three APIs: start-up, reading, freezing, calling, writing down."""

from __future__ import annotations

from benchmarks import charts
from benchmarks.bench import Bench
from benchmarks.contest import beside, median, ratio, spread
from benchmarks.parts.limit import plain
from benchmarks.report import Findings


def measure(bench: Bench) -> Findings:
    """Goal 3."""
    rounds = plain(bench)
    found = Findings("cpu", "3. CPU per operation at 600 calls/s")
    costs = {name: [each.cpu_ms for each in value] for name, value in rounds.items() if value}
    to_script = ratio(costs["bulkops"], costs["script"])
    found.add(
        "CPU per operation",
        spread(costs["bulkops"], "{:.3f} ms"),
        peers=beside(rounds, lambda each: each.cpu_ms, "{:.3f} ms"),
        ratio=to_script,
        goal="≤ the script's",
        met=to_script <= 1.0,
    )
    memory = [[each.mebibytes for each in rounds[name]] for name in ("bulkops", "script")]
    found.add(
        "peak memory",
        spread(memory[0], "{:.0f} MiB"),
        peers=beside(rounds, lambda each: each.mebibytes, "{:.0f} MiB"),
        ratio=ratio(*memory),
    )
    rows = [
        charts.Bar(name, median(value), f"{median(value):.2f} ms", "ours" if name == "bulkops" else "peer")
        for name, value in sorted(costs.items(), key=lambda item: median(item[1]))
    ]
    svg = charts.bars(
        "CPU per operation at the limit", "Milliseconds of processor time, the whole process and its children", rows
    )
    found.pictures.append(
        (bench.picture("cpu", svg), "CPU per operation: " + ", ".join(f"{row.label} {row.text}" for row in rows))
    )
    job = rounds["bulkops"][0].job
    found.notes.append(
        f"{job.rows:,} rows, three APIs at 200 calls/s each; the same runs as the first table of part 1. The script keeps no durable record"
        " of what it is about to send; bulkops makes every call's intent and result durable and still counts the same job's whole cost:"
        " start-up, reading and checking, freezing, calling, committing."
    )
    return found
