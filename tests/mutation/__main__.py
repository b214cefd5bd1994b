"""`python -m tests.mutation`: every mutation of the table must make a test fail. Exit 1 where one survives or no longer fits."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.mutation.mutant import Mutation, Rotten
from tests.mutation.runner import ROOT, Outcome, carry_out, sound
from tests.mutation.table import TABLE


def main(argv: Sequence[str] | None = None) -> int:
    """Carry the table out; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("names", nargs="*", help="only mutations whose name holds one of these texts")
    parser.add_argument("--jobs", type=int, default=min(4, os.cpu_count() or 1), help="so many at a time (%(default)s)")
    parser.add_argument("--list", action="store_true", help="show the table and break nothing")
    chosen = parser.parse_args(argv)
    mutations = [each for each in TABLE if not chosen.names or any(part in each.name for part in chosen.names)]
    if not mutations:
        parser.error("no mutation has such a name")
    if rotten := rot(mutations):
        complain("\n".join(rotten))
        return 1
    if chosen.list:
        say("\n".join(f"{each.name}\n    {each.promise}\n    {' '.join(each.tests)}" for each in mutations))
        return 0
    with tempfile.TemporaryDirectory(prefix="bulkops-mutation-") as folder:
        return _carry_out(mutations, Path(folder), max(1, chosen.jobs))


def rot(mutations: Sequence[Mutation]) -> list[str]:
    """What no longer fits the source, a line each."""
    found = []
    for each in mutations:
        try:
            each.sources(ROOT)
        except (Rotten, OSError) as error:
            found.append(f"{each.name}: {error}")
        found += [f"{each.name}: there is no {test}" for test in each.tests if not (ROOT / test.partition("::")[0]).exists()]
    return found


def say(text: str) -> None:
    """Show a result."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def complain(text: str) -> None:
    """Show what is wrong."""
    sys.stderr.write(f"{text}\n")


def _carry_out(mutations: Sequence[Mutation], folder: Path, jobs: int) -> int:
    begun = time.monotonic()
    if broken := sound(mutations, folder):
        complain(f"{broken}\nthese tests fail before anything is broken")
        return 1
    outcomes: list[Outcome] = []
    for outcome in carry_out(mutations, folder, jobs):
        outcomes.append(outcome)
        say(f"{len(outcomes):3} of {len(mutations)}  {outcome.mutation.name}: {outcome.how} ({outcome.seconds:.1f} s)")
    survivors = [outcome for outcome in outcomes if not outcome.caught]
    for outcome in survivors:
        complain(f"\n{outcome.mutation.name}: {outcome.how}\n  {outcome.mutation.promise}\n{outcome.output[-2000:]}")
    took = time.monotonic() - begun
    say(f"{len(outcomes) - len(survivors)} of {len(outcomes)} mutations were caught, in {took:.0f} s")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
