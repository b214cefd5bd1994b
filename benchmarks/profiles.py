"""Where the time goes: py-spy's samples of a run, put under the layers of the program and given in microseconds per operation."""

from __future__ import annotations

import shutil
import sysconfig
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.contest import ENVIRONMENT, Contestant, one
from benchmarks.jobs import Job
from benchmarks.processes import run
from benchmarks.target import LoadServer

SAMPLES: Final = 1000
"""A second."""

LAYERS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("ledger: groups of commits (own thread)", ("bulkops/ledger/store", "bulkops/ledger/connection", "bulkops/ledger/tally")),
    ("ledger: noting and claiming", ("bulkops/ledger/",)),
    ("reading the job and freezing it", ("bulkops/job/", "bulkops/app/freezing", "bulkops/ledger/freeze")),
    ("engine: limiter and bucket", ("bulkops/engine/limiter", "aiolimiter/")),
    ("engine: lane, crew, queue, decisions", ("bulkops/engine/",)),
    ("client: request and answer", ("bulkops/chat/",)),
    ("aiohttp: pool", ("aiohttp/connector",)),
    ("aiohttp: protocol and streams", ("aiohttp/",)),
    ("event loop: sockets", ("asyncio/selector_events",)),
    ("event loop: waiting for events", ("selectors",)),
    ("event loop: callbacks and tasks", ("asyncio/",)),
)
"""Name, and what the path of a frame holds. The innermost frame that belongs to one decides."""


def layer_of(stack: Sequence[str]) -> str:
    """The layer that a sample belongs to.

    Args:
        stack: Frames as py-spy names them (`function (path:line)`), the outermost first.
    """
    if any("freezing" in frame or "ledger/freeze" in frame or "job/" in frame for frame in stack):
        return "reading the job and freezing it"
    if any("<module>" in frame and "importlib" in frame for frame in stack) or any(
        "_find_and_load" in frame for frame in stack
    ):
        return "start-up: imports"
    for frame in reversed(stack):
        for layer, parts in LAYERS:
            if any(part in frame for part in parts):
                return layer
    return "everything else"


def where_the_time_goes(contestant: Contestant, job: Job, server: LoadServer, folder: Path) -> str:
    """A table in Markdown: microseconds of CPU per operation by layer, start-up and reading included."""
    spy = shutil.which("py-spy") or str(Path(sysconfig.get_path("scripts")) / "py-spy")
    if not Path(spy).exists():
        return f"No profile of {contestant.name}: py-spy is not installed."
    plain = one(contestant, job, server, folder / "plain", {})
    target = folder / "samples.txt"
    profiled = folder / "profiled"
    shutil.rmtree(profiled, ignore_errors=True)
    profiled.mkdir(parents=True)
    server.reset()
    command = [spy, "record", "--rate", str(SAMPLES), "--format", "raw", "--full-filenames", "--output", str(target), "--"]
    run([*command, *contestant.command(job, server.url, profiled)], scratch=profiled, env=ENVIRONMENT)
    samples: Counter[str] = Counter()
    for line in target.read_text(encoding="utf-8").splitlines():
        frames, _, count = line.rpartition(" ")
        stack = frames.split(";")
        if "concurrent/futures/thread" not in stack[-1]:  # a thread that waits for work, which py-spy takes for busy
            samples[layer_of(stack)] += int(count)
    total = sum(samples.values()) or 1
    per_op = plain.ran.cpu * 1e6 / job.operations
    lines = [
        f"Where the time of **{contestant.name}** goes: {per_op:.0f} µs of CPU per operation, by {total:,} samples of py-spy",
        "(the share of a layer's samples times the CPU of a run without py-spy):",
        "",
        "| Layer | µs per operation | Share |",
        "|---|---|---|",
    ]
    lines += [f"| {layer} | {per_op * count / total:.1f} | {count / total:.1%} |" for layer, count in samples.most_common()]
    return "\n".join(lines)
