"""Without a limit, with the full durable ledger: how near to a loop that only posts and parses, on the same event loop."""

from __future__ import annotations

from typing import Final

from benchmarks import charts, jobs
from benchmarks.bench import Bench
from benchmarks.contest import BARE, CURL, Contest, Contestant, Rounds, beside, bulkops, median, ratio, script, spread
from benchmarks.jobs import Job
from benchmarks.processes import module
from benchmarks.profiles import where_the_time_goes
from benchmarks.report import Findings

RATE: Final = 5_000
"""Calls per second for each of three APIs: together above what one process can make."""

FLOOR_SHARE: Final = 0.75
SCRIPT_TIMES: Final = 1.7


def without_limit(rate: int = RATE) -> Contestant:
    """bulkops with its rates raised out of the way."""
    return bulkops("--rate", str(rate), "--allow-over-limit")


def bare(loop: str) -> Contestant:
    """The floor on one event loop."""
    name = BARE.name if loop == "asyncio" else f"{BARE.name} (uvloop)"
    return Contestant(name, lambda job, url, _: module("benchmarks.peers.bare", job.path, url, loop))


def runs(bench: Bench) -> Rounds:
    """Everybody on the same job, in turn."""

    def measure() -> Rounds:
        bench.say("unlimited: a mixed file, three APIs, rates raised")
        job = jobs.mixed(bench.folder("unlimited") / "job.csv", bench.pick(6_000, 30_000))
        ours = without_limit()
        contestants = [bare("asyncio"), ours, script(1_000_000), bare("uvloop"), ours.on(uvloop=True), CURL]
        contest = Contest(contestants, job, bench.pick(1, 4), only_first=frozenset({CURL.name}))
        return contest.run(bench.server, bench.folder("unlimited-runs"), bench.say)

    return bench.once("unlimited", measure)


def measure(bench: Bench) -> Findings:
    """Goal 2."""
    rounds = runs(bench)
    found = Findings("unlimited", "2. Without a limit, with the full durable ledger")
    speed = {name: [each.seen.together for each in value] for name, value in rounds.items() if value}
    for loop, ours, floor in (("asyncio", "bulkops", "bare loop"), ("uvloop", "bulkops (uvloop)", "bare loop (uvloop)")):
        to_floor = ratio(speed[ours], speed[floor])
        found.add(
            f"calls/s on {loop}, beside the bare loop",
            spread(speed[ours], "{:,.0f}"),
            peers=f"{floor} {spread(speed[floor], '{:,.0f}')}",
            ratio=to_floor,
            goal="≥ 0.75 of the bare loop",
            met=to_floor >= FLOOR_SHARE,
        )
    to_script = ratio(speed["bulkops"], speed["script"])
    found.add(
        "calls/s on asyncio, beside the script",
        spread(speed["bulkops"], "{:,.0f}"),
        peers=f"script {spread(speed['script'], '{:,.0f}')}",
        ratio=to_script,
        goal="≥ 1.7 of the script",
        met=to_script >= SCRIPT_TIMES,
    )
    found.add(
        "CPU per operation",
        spread([each.cpu_ms for each in rounds["bulkops"]], "{:.3f} ms"),
        peers=beside(rounds, lambda each: each.cpu_ms, "{:.3f} ms"),
        ratio=ratio([each.cpu_ms for each in rounds["bulkops"]], [each.cpu_ms for each in rounds["script"]]),
    )
    found.add(
        "peak memory",
        spread([each.mebibytes for each in rounds["bulkops"]], "{:.0f} MiB"),
        peers=beside(rounds, lambda each: each.mebibytes, "{:.0f} MiB"),
    )
    if rounds[CURL.name]:
        found.add("calls/s of curl --parallel, for information", "", peers=spread(speed[CURL.name], "{:,.0f}"))
    _picture(bench, found, speed)
    job = rounds["bulkops"][0].job
    found.notes.append(
        f"{job.rows:,} rows, three APIs, `--rate {RATE} --allow-over-limit`; calls between the first and the last at the server, so"
        " start-up and planning are left out for all. bulkops writes every intent before its call and every result after it, each"
        " durable by `fdatasync` in groups; the bare loop and curl write nothing down, the script a line for each result."
    )
    if bench.profile:
        _profile(bench, found, job)
    return found


def _picture(bench: Bench, found: Findings, speed: dict[str, list[float]]) -> None:
    kinds = {"bare loop": "floor", "bare loop (uvloop)": "floor", "bulkops": "ours", "bulkops (uvloop)": "ours"}
    order = ("bare loop (uvloop)", "bulkops (uvloop)", "bare loop", "bulkops", "script")
    rows = [charts.Bar(name, median(speed[name]), f"{median(speed[name]):,.0f}/s", kinds.get(name, "peer")) for name in order]
    svg = charts.bars(
        "Calls per second without a limit", "One process; bulkops with its full durable ledger, the others without one", rows
    )
    alt = "Calls per second: " + ", ".join(f"{row.label} {row.text}" for row in rows)
    found.pictures.append((bench.picture("unlimited", svg), alt))


def _profile(bench: Bench, found: Findings, job: Job) -> None:
    """Where every microsecond goes, beside the bare loop."""
    for contestant in (without_limit(), bare("asyncio")):
        bench.say(f"unlimited: profile of {contestant.name}")
        found.notes.append(where_the_time_goes(contestant, job, bench.server, bench.folder("profile")))
