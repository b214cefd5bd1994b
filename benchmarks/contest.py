"""Several programs on the same operations against the same server, in turn, round after round: A B C A B C.

What each round gives is compared within the round, so that whatever else the machine does meets all of them alike.
"""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from benchmarks.jobs import Job
from benchmarks.processes import Ran, module, run
from benchmarks.target import LoadServer, Seen

APP: Final = 1400000001
ENVIRONMENT: Final = {
    "BULKOPS_SDKAPPID": str(APP),
    "BULKOPS_IDENTIFIER": "administrator",
    "BULKOPS_SECRET_KEY": "0123456789abcdef",
}

Command = Callable[[Job, str, Path], list[str]]
"""(job, base URL of the server, a folder of its own) → the command."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """One program that carries a job out.

    Args:
        name: In tables and pictures.
        needs: A program that it starts; where that is missing it does not take part.
        package: Likewise a package.
        limit: Seconds after which it is ended by force.
    """

    name: str
    command: Command
    needs: str = ""
    package: str = ""
    limit: float = 240.0

    @property
    def missing(self) -> bool:
        """Whether what it needs is not installed."""
        if self.needs and shutil.which(self.needs) is None:
            return True
        return bool(self.package) and find_spec(self.package) is None

    def on(self, *, uvloop: bool = False, block: float = 0.0, every: float = 50.0) -> Contestant:
        """The same program on another event loop, or on one that is blocked for `block` ms in every `every` ms."""
        flags = ["--uvloop"] if uvloop else []
        flags += ["--block", str(block), "--every", str(every)] if block else []

        def command(job: Job, url: str, folder: Path) -> list[str]:
            python, dash_m, *rest = self.command(job, url, folder)
            return [python, dash_m, "benchmarks.loops", *flags, *rest]

        return replace(self, name=f"{self.name} (uvloop)" if uvloop else self.name, command=command)


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of one program.

    Args:
        folder: Where it worked; kept for bulkops, whose ledger is in it.
        arrivals: When its calls came to the server, by lane, where that was asked for.
    """

    ran: Ran
    seen: Seen
    job: Job
    folder: Path
    arrivals: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @property
    def lost(self) -> int:
        """Operations of the job that the server never carried out."""
        return self.job.operations - self.seen.executed

    @property
    def cpu_ms(self) -> float:
        """Milliseconds of CPU per operation, start-up and all."""
        return self.ran.cpu * 1000 / self.job.operations

    @property
    def mebibytes(self) -> float:
        """Peak memory."""
        return self.ran.rss / 2**20

    @property
    def span(self) -> float:
        """Seconds from the first call to the last."""
        return self.seen.last - self.seen.first


Rounds = dict[str, list[Measured]]
"""By program: one for each round."""


def bulkops(*flags: str, name: str = "bulkops") -> Contestant:
    """bulkops as a user runs it."""

    def command(job: Job, url: str, folder: Path) -> list[str]:
        fixed = ["--endpoint", url, "--yes", "--progress", "none", "--json"]
        return module("bulkops", "run", job.path, "--ledger", folder / "run.ledger.db", *fixed, *flags)

    return Contestant(name, command)


def script(rate: int = 200) -> Contestant:
    """The 60-line script."""
    return Contestant(
        "script", lambda job, url, folder: module("benchmarks.peers.script", job.path, folder / "r.csv", url, str(rate))
    )


AIOMETER: Final = Contestant(
    "aiometer",
    lambda job, url, folder: module("benchmarks.peers.with_aiometer", job.path, folder / "r.csv", url),
    package="aiometer",
)
GNU_PARALLEL: Final = Contestant(
    "GNU parallel",
    lambda job, url, folder: module("benchmarks.peers.gnu_parallel", job.path, folder / "joblog", url),
    needs="parallel",
)
BARE: Final = Contestant("bare loop", lambda job, url, folder: module("benchmarks.peers.bare", job.path, url))
CURL: Final = Contestant(
    "curl --parallel",
    lambda job, url, folder: module("benchmarks.peers.curl_parallel", job.path, folder / "config", url),
    needs="curl",
)


def one(
    contestant: Contestant,
    job: Job,
    server: LoadServer,
    folder: Path,
    conditions: Mapping[str, float | bool],
    *,
    arrivals: bool = False,
) -> Measured:
    """Run one program once.

    Raises:
        RuntimeError: bulkops failed; a peer may.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    server.reset(**conditions)
    ran = run(contestant.command(job, server.url, folder), scratch=folder, env=ENVIRONMENT, limit=contestant.limit)
    if contestant.name.startswith("bulkops") and ran.exit not in {0, 1}:
        raise RuntimeError(f"bulkops ended with {ran.exit}: {ran.err[-2000:]}")
    return Measured(ran, server.seen(), job, folder, server.arrivals() if arrivals else {})


@dataclass(frozen=True, slots=True)
class Contest:
    """What is to be run.

    Args:
        contestants: In the order of each round.
        rounds: How often.
        conditions: The server's, see `server.Conditions`.
        only_first: Names of those that run in the first round only: they take long, and are there for information.
        arrivals: Keep when the calls of the first round came.
    """

    contestants: Sequence[Contestant]
    job: Job
    rounds: int
    conditions: Mapping[str, float | bool] = field(default_factory=dict)
    only_first: frozenset[str] = frozenset()
    arrivals: bool = False

    def run(self, server: LoadServer, scratch: Path, say: Callable[[str], None]) -> Rounds:
        """Run all rounds. Whoever is not installed has none."""
        measured: Rounds = {each.name: [] for each in self.contestants}
        for number in range(self.rounds):
            for each in self.contestants:
                if each.missing or (number and each.name in self.only_first):
                    continue
                folder = scratch / f"{each.name.replace(' ', '-')}-{number}"
                result = one(each, self.job, server, folder, self.conditions, arrivals=self.arrivals and not number)
                measured[each.name].append(result)
                seen = result.seen
                say(
                    f"  {each.name:20} {result.ran.wall:6.1f} s, {seen.together:8.0f} calls/s, worst second {seen.worst},"
                    f" rejected {seen.rejected}, not carried out {result.lost}, {result.cpu_ms:.3f} ms CPU/op"
                )
                if not each.name.startswith("bulkops"):
                    shutil.rmtree(folder, ignore_errors=True)
        return measured


def median(values: Sequence[float]) -> float:
    """The middle one; not a number where there is none."""
    return statistics.median(values) if values else float("nan")


def spread(values: Sequence[float], form: str = "{:.0f}") -> str:
    """The median, and in brackets from which to which where they differ; what follows the number in `form` comes last."""
    if not values:
        return "–"
    number, brace, unit = form.partition("}")
    low, middle, high = ((number + brace).format(each) for each in (min(values), median(values), max(values)))
    return f"{middle}{unit}" if low == high else f"{middle} ({low}–{high}){unit}"


def beside(rounds: Rounds, figure: Callable[[Measured], float], form: str) -> str:
    """What the others came to, in one line."""
    others = [(name, each) for name, each in rounds.items() if name != "bulkops"]
    return " · ".join(
        f"{name} {spread([figure(one) for one in each], form) if each else 'not installed'}" for name, each in others
    )


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the rounds' ratios; where the other ran less often, to its median."""
    if not theirs:
        return float("nan")
    if len(ours) == len(theirs):
        return median([a / b for a, b in zip(ours, theirs, strict=True) if b])
    return median(ours) / median(theirs)
