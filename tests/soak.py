"""`python -m tests.soak`: real processes and sockets, faults that change every few seconds, kills, and a reconciliation in the end.

Two streams of jobs are killed, interrupted and frozen while their servers misbehave; a third one is a single long job that
nobody strikes, for what it holds in memory and file descriptors. Each has a server of its own that shares no code with bulkops
and counts for itself. Exit 1 where anything disagrees: the folder that is named then has ledgers, outputs and the server's record.
The same seed gives the same plan.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.helpers.soak_plan import Blow
from tests.helpers.soak_stream import Stream

REPORT: Final = 20.0
"""Seconds between two lines."""


def main(argv: Sequence[str] | None = None) -> int:
    """Soak; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=900.0, help="how long new jobs are begun (%(default)g)")
    parser.add_argument("--seed", default="", help="of the plan; drawn and shown where left out")
    parser.add_argument("--folder", type=Path, help="where to work; a new one under the system's folder for temporary files")
    parser.add_argument("--keep", action="store_true", help="keep the folder even if all is well")
    chosen = parser.parse_args(argv)
    seed = chosen.seed or str(random.SystemRandom().randrange(10**9))
    folder = Path(tempfile.mkdtemp(prefix="bulkops-soak-")) if chosen.folder is None else chosen.folder
    folder.mkdir(exist_ok=True)
    say(f"seed {seed}, {chosen.seconds:.0f} s, in {folder}")
    streams = [
        Stream("one", seed, folder / "one", chosen.seconds),
        Stream("two", seed, folder / "two", chosen.seconds),
        Stream("long", seed, folder / "long", chosen.seconds, blows=False),
    ]
    soak(streams)
    report(streams)
    violations = [violation for stream in streams for violation in stream.violations]
    for violation in violations:
        say(f"VIOLATED: {violation}")
    if violations:
        say(f"evidence: {folder}\nagain: python -m tests.soak --seconds {chosen.seconds:.0f} --seed {seed}")
        return 1
    if not chosen.keep:
        shutil.rmtree(folder)
    return 0


def soak(streams: Sequence[Stream]) -> None:
    """Run all streams to their ends, with a line now and then."""
    begun = time.monotonic()
    threads = [threading.Thread(target=stream.run, name=stream.name) for stream in streams]
    for thread in threads:
        thread.start()
    last = begun
    while any(thread.is_alive() for thread in threads):
        time.sleep(0.2)
        if time.monotonic() - last >= REPORT:
            last = time.monotonic()
            say(line(streams, last - begun))


def line(streams: Sequence[Stream], seconds: float) -> str:
    """How far it is, on one line."""
    tallies = [stream.tally for stream in streams]
    blows = sum(count for tally in tallies for blow, count in tally.blows.items() if blow is not Blow.NONE)
    violations = sum(len(stream.violations) for stream in streams)
    return (
        f"{seconds:5.0f} s  {sum(tally.jobs for tally in tallies)} jobs, {sum(tally.operations for tally in tallies):,} operations,"
        f" {sum(tally.calls for tally in tallies):,} calls, {sum(tally.processes for tally in tallies)} processes, {blows} blows,"
        f" worst second {max(tally.worst_share for tally in tallies):.0%} of the limit, {violations} violations;"
        f" {', '.join(stream.weather.name for stream in streams)}"
    )


def report(streams: Sequence[Stream]) -> None:
    """What it came to, a line for each stream, then the blows, exit codes and statuses of all."""
    heads = ("stream", "jobs", "operations", "calls", "processes", "resent", "worst", "MiB", "files", "grew", "violations")
    rows = [heads]
    for stream in streams:
        tally = stream.tally
        grew = [samples.growth for samples in stream.samples if samples.growth is not None]
        rows.append(
            (
                stream.name,
                str(tally.jobs),
                f"{tally.operations:,}",
                f"{tally.calls:,}",
                str(tally.processes),
                str(tally.resent),
                f"{tally.worst_share:.1%}",
                f"{tally.memory:.0f}",
                str(tally.descriptors),
                f"{max(grew):+.1f}" if grew else "",
                str(len(stream.violations)),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    say("")
    for row in rows:
        say("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))
    blows, exits, statuses = Counter[str](), Counter[int](), Counter[str]()
    for stream in streams:
        blows.update({blow.value: count for blow, count in stream.tally.blows.items()})
        exits.update(stream.tally.exits)
        statuses.update(stream.tally.statuses)
    say(f"blows: {counted(blows)}")
    say(f"exit codes: {counted(exits)}")
    say(f"operations: {counted(statuses)}")


def counted(counts: Counter[str] | Counter[int]) -> str:
    """Counts in words, most frequent first."""
    return ", ".join(f"{name} {count:,}" for name, count in counts.most_common()) or "none"


def say(text: str) -> None:
    """Show a line."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
