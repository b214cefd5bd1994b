"""The benchmarks' command: `python -m benchmarks [PART…] [--quick|--full] [--profile] [--out FOLDER]`."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.machine import describe
from benchmarks.parts import PARTS
from benchmarks.processes import ROOT
from benchmarks.report import save, write
from benchmarks.server import raise_file_limit

EPILOG = """Without PART all of them run, one after the other: under 15 minutes, with --quick under 2. Results go to benchmarks/RESULTS.md,
with --quick to build/benchmarks/RESULTS.md, whose figures are for trying the benchmarks, not for quoting. Only loopback is contacted."""


def main() -> int:
    """Run what was asked for, and say where the results are. A goal that is missed is a result, not an error."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure bulkops beside its peers.", epilog=EPILOG
    )
    parser.add_argument("part", nargs="*", metavar="PART", choices=[[], *PARTS], help=", ".join(PARTS))
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--quick", dest="mode", action="store_const", const="quick", default="normal", help="small and few: to try it"
    )
    size.add_argument("--full", dest="mode", action="store_const", const="full", help="10 million rows, too: an hour")
    parser.add_argument("--profile", action="store_true", help="say where the time goes (py-spy)")
    parser.add_argument("--out", type=Path, help="folder for RESULTS.md and pictures")
    parser.add_argument("--scratch", type=Path, help="folder for large files that go again; default: a temporary one")
    given = parser.parse_args()
    out: Path = given.out or (ROOT / "build" / "benchmarks" if given.mode == "quick" else ROOT / "benchmarks")
    out.mkdir(parents=True, exist_ok=True)
    raise_file_limit()
    missed = 0
    machine = describe()
    with ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="bulkops-bench-", dir=given.scratch))
        bench = Bench(mode=given.mode, scratch=Path(scratch), out=out, profile=given.profile, stack=stack)
        for part in given.part or PARTS:
            began = time.monotonic()
            findings = PARTS[part](bench)
            findings.command = _command(part, given.mode, given.profile)
            findings.seconds = time.monotonic() - began
            findings.machine = machine
            save(findings, out)
            missed += sum(row.met is False for row in findings.rows)
            for row in findings.rows:
                met = {True: "met", False: "NOT MET", None: ""}[row.met]
                bench.say(f"{row.what}: {row.figure} | {row.peers} | {row.ratio} | {row.goal} {met}")
    print(f"{missed} goals missed; see {os.path.relpath(write(out, list(PARTS)))}")
    return 0


def _command(part: str, mode: str, profile: bool) -> str:
    flags = ([f"--{mode}"] if mode != "normal" else []) + (["--profile"] if profile else [])
    return " ".join(["python -m benchmarks", part, *flags])


if __name__ == "__main__":
    sys.exit(main())
