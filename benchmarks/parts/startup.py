"""How long `bulkops --help` and `bulkops --version` take from nothing to the prompt."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from benchmarks.bench import Bench
from benchmarks.contest import ENVIRONMENT, spread
from benchmarks.processes import PYTHON, module, run
from benchmarks.report import Findings

GOALS: Final = {"--help": 0.25, "--version": 0.15}


def measure(bench: Bench) -> Findings:
    """The goal on start-up."""
    found = Findings("startup", "8. Start-up")
    installed = Path(sys.executable).with_name("bulkops")
    program = [str(installed)] if installed.exists() else module("bulkops")
    commands = {"python -c pass": [PYTHON, "-c", "pass"], **{flag: [*program, flag] for flag in GOALS}}
    took: dict[str, list[float]] = {name: [] for name in commands}
    folder = bench.folder("startup")
    for _ in range(bench.pick(5, 20)):
        for name, command in commands.items():
            ran = run(command, scratch=folder, env=ENVIRONMENT, limit=30)
            if ran.exit != 0:
                raise RuntimeError(f"{name} ended with {ran.exit}: {ran.err}")
            took[name].append(ran.wall * 1000)
    floor = took.pop("python -c pass")
    for flag, each in took.items():
        found.add(
            f"bulkops {flag}, best of {len(each)}",
            f"{min(each):.0f} ms",
            peers=f"python -c pass {min(floor):.0f} ms",
            ratio=min(each) / min(floor),
            goal=f"< {GOALS[flag] * 1000:.0f} ms",
            met=min(each) < GOALS[flag] * 1000,
        )
        found.add(f"bulkops {flag}, median", spread(each, "{:.0f} ms"), peers=f"python -c pass {spread(floor, '{:.0f} ms')}")
    found.notes.append(
        f"Run as `{'bulkops' if installed.exists() else 'python -m bulkops'}`, files warm, output not to a terminal."
    )
    return found
