"""At the limit: how much of 200 calls/s is used on all three APIs at once, and whether any second ever holds more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks import charts, jobs
from benchmarks.bench import Bench
from benchmarks.contest import (
    AIOMETER,
    GNU_PARALLEL,
    Contest,
    Contestant,
    Measured,
    Rounds,
    beside,
    bulkops,
    median,
    script,
    spread,
)
from benchmarks.departures import overfull
from benchmarks.report import Findings

LIMIT: Final = 200
SHARE: Final = 0.99
REJECTED: Final = 0.001
ROWS: Final = 3_000
"""Of a mixed file, three APIs alike, for the harder cases: five seconds at the limit."""


def plain(bench: Bench) -> Rounds:
    """All three APIs at once, a mixed file, a server that lets everything through. Goal 3 looks at the same runs."""

    def measure() -> Rounds:
        bench.say("limit: a mixed file, all three APIs")
        job = jobs.mixed(bench.folder("limit") / "mixed.csv", bench.pick(1_500, 9_000))
        contest = Contest(
            [bulkops(), script(), AIOMETER], job, bench.pick(1, 3), only_first=frozenset({AIOMETER.name}), arrivals=True
        )
        rounds = contest.run(bench.server, bench.folder("limit-plain"), bench.say)
        one_api = jobs.of_one(bench.folder("limit") / "one.csv", bench.pick(200, 1_500))
        parallel = Contest([GNU_PARALLEL], one_api, 1)
        return rounds | parallel.run(bench.server, bench.folder("limit-parallel"), bench.say)

    return bench.once("plain", measure)


@dataclass(frozen=True, slots=True)
class Case:
    """The same under conditions that make it harder.

    Args:
        name: In words, as the table has it.
        conditions: The server's.
        block: Milliseconds out of every 50 that the event loop is blocked.
        aiometer: Whether aiometer takes part.
        quick: Whether it is part of a quick run.
    """

    name: str
    conditions: Mapping[str, float]
    block: float = 0.0
    aiometer: bool = False
    quick: bool = True

    def contestants(self) -> list[Contestant]:
        each = [bulkops(), script()] + ([AIOMETER] if self.aiometer else [])
        if not self.block:
            return each
        return [*(one.on(block=self.block) for one in each), bulkops().on(block=self.block, uvloop=True)]


CASES: Final = (
    Case("a server that enforces 200/s", {"enforce": LIMIT}, aiometer=True),
    Case("loop blocked 20 ms in every 50 ms", {}, block=20.0),
    Case("answers take 1 s", {"latency": 1.0}, quick=False),
    Case("10 % of the calls fail with 50004", {"fail": 0.1}, aiometer=True),
    Case(
        "4 % 50004, 3 % HTTP 502, 3 % cut after the effect, 200/s enforced",
        {"fail": 0.04, "gateway": 0.03, "drop": 0.03, "enforce": LIMIT},
        aiometer=True,
        quick=False,
    ),
)


def measure(bench: Bench) -> Findings:
    """Goal 1."""
    found = Findings("limit", "1. At the limit: 200 calls/s for each API")
    rounds = plain(bench)
    _add(found, "all three APIs, mixed file", rounds)
    for number, case in enumerate(CASES):
        if bench.mode == "quick" and not case.quick:
            continue
        bench.say(f"limit: {case.name}")
        job = jobs.mixed(bench.folder("limit") / f"case{number}.csv", bench.pick(1_200, ROWS))
        contest = Contest(case.contestants(), job, bench.pick(1, 2), case.conditions, only_first=frozenset({AIOMETER.name}))
        _add(found, case.name, contest.run(bench.server, bench.folder(f"limit-{number}"), bench.say))
    _sorted(bench, found)
    _picture(bench, found, rounds)
    found.notes.append(
        "*Used*: calls per second of the slowest API while work was waiting, over 200: whole seconds from its second call to"
        " the last that asked for something new. *Worst second*: most arrivals at the server in any window of one second, wherever it"
        " starts. *Rejected*: answered 60007 by a server that counts exactly. *Not carried out*: operations that the server never"
        " executed, whatever the program said. aiometer takes part once in each case."
    )
    if parallel := rounds.get("GNU parallel"):
        found.notes.append(
            f"GNU parallel: {parallel[0].job.rows} rows of one API only, for its forks take a core. It judges by curl's exit code, so it"
            " takes an ErrorCode, a rejection included, for a success."
        )
    return found


def _add(found: Findings, name: str, rounds: Rounds) -> None:
    """The rows of one case."""
    ours = rounds["bulkops"]
    everybody = [each for runs in rounds.values() for each in runs]

    def row(what: str, figure: Callable[[Measured], float], form: str, goal: str, met: bool) -> None:
        found.add(
            f"{name}: {what}",
            spread([figure(each) for each in ours], form),
            peers=beside(rounds, figure, form),
            goal=goal,
            met=met,
        )

    worst = max(each.seen.worst for each in ours)
    row("used", lambda each: _used(each) * 100, "{:.1f} %", "≥ 99 %", median([_used(each) for each in ours]) >= SHARE)
    row("worst second", lambda each: each.seen.worst, "{:.0f}", "≤ 200 in every round", worst <= LIMIT)
    if worst > LIMIT:
        late = max(each.seen.late for each in ours if each.seen.worst > LIMIT)
        found.notes.append(overfull(name, worst, [each.folder / "run.ledger.db" for each in ours], late))
    if any(each.seen.rejected for each in everybody):
        met = median([_rejected(each) for each in ours]) <= REJECTED
        row("rejected", lambda each: _rejected(each) * 100, "{:.2f} %", "≤ 0.1 %", met)
    if any(each.lost for each in everybody):
        row(
            "not carried out",
            lambda each: each.lost / each.job.operations * 100,
            "{:.1f} %",
            "0",
            not any(each.lost for each in ours),
        )


def _used(measured: Measured) -> float:
    return measured.seen.slowest / LIMIT


def _rejected(measured: Measured) -> float:
    return measured.seen.rejected / max(1, measured.seen.calls)


def _sorted(bench: Bench, found: Findings) -> None:
    """A file sorted by op: lanes that wait for each other take three times as long."""
    bench.say("limit: a file sorted by op")
    job = jobs.sorted_by_op(bench.folder("limit") / "sorted.csv", bench.pick(1_500, 9_000))
    rounds = Contest([bulkops(), script()], job, 1).run(bench.server, bench.folder("limit-sorted"), bench.say)
    ideal = job.rows / 3 / LIMIT
    ours = rounds["bulkops"][0].span
    found.add(
        f"{job.rows:,} rows sorted by op ({ideal:.0f} s are possible)",
        f"{ours:.1f} s",
        peers=" · ".join(f"{name} {each[0].span:.1f} s" for name, each in rounds.items() if name != "bulkops"),
        ratio=ours / rounds["script"][0].span,
        goal=f"≤ {ideal / SHARE + 0.1:.1f} s",
        met=ours <= ideal / SHARE + 0.1,  # a lane's first call goes alone
    )


def _picture(bench: Bench, found: Findings, rounds: Rounds) -> None:
    """The first seconds at the server, for one of the APIs: where the script's 400 come from."""
    series = {
        name: charts.last_second(next(iter(runs[0].arrivals.values())), upto=6.0)
        for name, runs in rounds.items()
        if runs and runs[0].arrivals
    }
    svg = charts.lines(
        "Calls that reached the server in the second before",
        "delete_conversation, one of three APIs at 200 calls/s each, from its first call on",
        series,
        x_text="seconds since the first call",
        limit=LIMIT,
        limit_text="the API's limit",
    )
    worst = {name: max((count for _, count in points), default=0) for name, points in series.items()}
    said = ", ".join(f"{name} up to {count:.0f}" for name, count in worst.items())
    found.pictures.append((bench.picture("burst", svg), f"Calls per second over time: {said}"))
