"""One stream of a soak: a server of its own, under weather of its own, and one job after another carried out through blows.

Every job ends in calm weather, is reconciled with the server's own record, has its rest reopened by `retry`, and is reconciled
again. Whatever disagrees is kept as a violation together with the stream's folder.
"""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.e2e.support import OPS, statuses_of
from tests.helpers.command import Command, Ended, Running
from tests.helpers.otherserver_handle import OtherServer, Record
from tests.helpers.soak_check import ENDED, Books, differences, worst_seconds
from tests.helpers.soak_job import JobFile, write_job
from tests.helpers.soak_plan import CALM, Blow, JobPlan, Spell, Strike, Weather, jobs, spells, strikes
from tests.helpers.soak_watch import Clock, Samples

CODES: Final = {
    Blow.NONE: {0, 1, 3},
    Blow.KILL: {-signal.SIGKILL, 0, 1, 3},
    Blow.FREEZE: {-signal.SIGKILL, 0, 1, 3},
    Blow.NAP: {0, 1, 3},
    Blow.INT: {0, 1, 3, 4, -signal.SIGINT},
    Blow.TERM: {0, 1, 3, 4, -signal.SIGTERM},
    Blow.TWICE: {0, 1, 3, 4, -signal.SIGINT},
}
"""Exit codes that a process may have after a blow; by a signal it ends only while Python itself is still starting."""

STORMY: Final = 30.0
"""Seconds of one job in bad weather; after that it is brought to its end in calm weather, without blows."""

LONGEST: Final = 120.0
"""Seconds that one process may take."""

SETTLING: Final = 0.3
"""Seconds that a server gets to read what a killed process has written."""


class LockedServer(OtherServer):
    """The other server for several threads, in weather that one of them makes."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()

    def _ask(self, path: str, values: object) -> Any:
        with self._lock:
            return super()._ask(path, values)


@dataclass
class Tally:
    """What a stream has done so far."""

    jobs: int = 0
    operations: int = 0
    calls: int = 0
    processes: int = 0
    blows: Counter[Blow] = field(default_factory=Counter)
    exits: Counter[int] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    resent: int = 0
    worst: int = 0
    worst_share: float = 0.0
    memory: float = 0.0
    descriptors: int = 0


class Stream:
    """One server, and jobs against it until it is told to stop.

    Args:
        name: Of the stream, and of its folder.
        seed: Of its plan.
        folder: For its ledgers and what its processes say.
        seconds: How long it begins new jobs.
        blows: Whether processes are struck; without, one job lasts as long as the stream.
    """

    def __init__(self, name: str, seed: str, folder: Path, seconds: float, *, blows: bool = True) -> None:
        self.name = name
        self.tally = Tally()
        self.violations: list[str] = []
        self.weather = CALM
        self.samples: list[Samples] = []
        self._seconds = seconds
        self._struck = blows
        self._folder = folder
        self._plans = jobs(f"{seed} {name}")
        self._spells = spells(f"{seed} {name}")
        self._strikes = strikes(f"{seed} {name}")
        self._clock = Clock()
        self._rate = 200
        self._calm = threading.Event()
        self._over = threading.Event()
        self._before: dict[str, list[float]] = {}
        folder.mkdir()

    def run(self) -> None:
        """Carry out jobs until the time is over, or something is violated."""
        try:
            with LockedServer() as server:
                self._server = server
                self._command = Command(self._folder, server)
                sky = threading.Thread(target=self._make_weather, name=f"{self.name} weather")
                sky.start()
                try:
                    self._carry_jobs_out()
                finally:
                    self._over.set()
                    sky.join()
                    self._command.end()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding, and the other streams go on
            self._violated(f"{type(error).__name__}: {error}")

    def _carry_jobs_out(self) -> None:
        while self._clock.now < self._seconds and not self.violations:
            plan = next(self._plans)
            self._carry_out(plan if self._struck else self._marathon(plan))

    def _marathon(self, plan: JobPlan) -> JobPlan:
        """One job that takes as long as the stream."""
        rate = 40
        seconds = max(5.0, 0.5 * (self._seconds - self._clock.now))  # the weather takes about as much again
        return JobPlan(plan.number, int(rate * 3 * seconds), 7, 3, rate, 8, "jsonl", shuffle=plan.shuffle)

    # -- Weather -----------------------------------------------------------------------------------------------------------

    def _make_weather(self) -> None:
        while not self._over.is_set():
            spell: Spell = next(self._spells)
            until = time.monotonic() + spell.seconds
            if not self._calm.is_set():
                self._set(spell.weather)
            while time.monotonic() < until and not self._over.wait(0.05):
                if self._calm.is_set() and self.weather is not CALM:
                    self._set(CALM)

    def _set(self, weather: Weather) -> None:
        self.weather = weather
        self._server.set(**weather.conditions(self._rate))

    def _be_calm(self) -> None:
        self._calm.set()
        self._set(CALM)

    # -- One job -----------------------------------------------------------------------------------------------------------

    def _carry_out(self, plan: JobPlan) -> None:
        job = write_job(plan, self._folder)
        ledger = self._folder / f"job{plan.number}.ledger.db"
        self._rate = plan.rate
        self._server.forget()
        self._server.set(absent=job.absent)
        self._calm.clear()
        state = _State(job, ledger)
        first = (
            "run",
            job.path.name,
            "--yes",
            "--on-invalid",
            "skip",
            "--rate",
            str(plan.rate),
            "--max-attempts",
            str(plan.attempts),
        )
        self._bring_to_its_end(state, (*first, "--max-failures", "100%"))
        self._reconcile(state, "after the run")
        if self.violations:
            return
        state.forget_reopened()
        self._be_calm()
        self._bring_to_its_end(state, ("retry", ledger.name, "--yes", "--max-attempts", "8"))
        self._reconcile(state, "after the retry")
        self._close(state)

    def _bring_to_its_end(self, state: _State, arguments: tuple[str, ...]) -> None:
        again = arguments
        clock = Clock()
        while not self.violations:
            patient = clock.now > STORMY if self._struck else self._clock.now > self._seconds
            if patient:
                self._be_calm()
            strike = next(self._strikes) if self._struck and not self._calm.is_set() else Strike(Blow.NONE, 0.0, 0.0)
            ended = self._process(arguments, strike)
            self._take_stock(state)
            if ended.code in {0, 1}:
                state.summary = ended.json
                return
            if ended.code >= 3:
                arguments = ended.continuation
            else:  # struck down: it had no chance to say how to go on
                arguments = ("resume", state.ledger.name) if state.ledger.exists() and state.begun else again

    def _process(self, arguments: tuple[str, ...], strike: Strike) -> Ended:
        """One process, from its start to its end."""
        command = arguments if "--json" in arguments else (*arguments, "--json", "--progress", "plain")
        running = self._command.start(*command)
        samples = Samples(f"{self.name} process {self.tally.processes}", 3 * int(1.5 * self._rate))
        age = Clock()
        with self._watched(running, samples, age):
            blow = self._strike(running, strike, age)
            ended = running.wait(LONGEST if self._struck else self._seconds + LONGEST)
        self.tally.processes += 1
        self.tally.blows[blow] += 1
        self.tally.exits[ended.code] += 1
        self._keep(ended, blow)
        if ended.code not in CODES[blow] or "Traceback" in ended.stdout + ended.stderr:
            self._violated(f"{' '.join(command)} ended with {ended.code} after: {blow.value}; {ended.lines[-3:]}")
        for complaint in samples.complaints():
            self._violated(complaint)
        return ended

    def _strike(self, running: Running, strike: Strike, age: Clock) -> Blow:
        """Strike a process when its time has come; what was done to it."""
        if strike.blow is Blow.NONE:
            return Blow.NONE
        while running.alive and age.now < strike.after:
            time.sleep(0.01)
        if not running.alive:
            return Blow.NONE
        if strike.blow in {Blow.FREEZE, Blow.NAP}:
            running.signal(signal.SIGSTOP)
            time.sleep(strike.pause)
            if strike.blow is Blow.NAP:
                running.signal(signal.SIGCONT)
        if strike.blow in {Blow.KILL, Blow.FREEZE}:
            running.signal(signal.SIGKILL)
        elif strike.blow is Blow.TERM:
            running.signal(signal.SIGTERM)
        elif strike.blow in {Blow.INT, Blow.TWICE}:
            running.signal(signal.SIGINT)
            if strike.blow is Blow.TWICE:
                time.sleep(strike.pause / 10)
                running.signal(signal.SIGINT)
        return strike.blow

    @contextlib.contextmanager
    def _watched(self, running: Running, samples: Samples, age: Clock) -> Iterator[None]:
        """Look at what a process holds, again and again."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(0.1):
                samples.look(running.pid, age.now)

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()
            self.tally.memory = max(self.tally.memory, *samples.memory, 0.0)
            self.tally.descriptors = max(self.tally.descriptors, *samples.descriptors, 0)
            if samples.growth is not None:
                self.samples.append(samples)

    # -- The books -----------------------------------------------------------------------------------------------------

    def _take_stock(self, state: _State) -> None:
        """What the ledger says once a process is over."""
        if not state.ledger.exists():
            return
        time.sleep(SETTLING)
        statuses = self._statuses(state)
        of_target = self._server.record.of_target
        state.begun = state.begun or any(status != "pending" for status in statuses.values())
        state.left_sending.update(target for target, status in statuses.items() if status == "sending")
        for target, status in statuses.items():
            if status in ENDED:
                state.ended_before.setdefault(target, len(of_target.get(target, [])))
        if statuses and set(statuses) != set(state.job.targets):
            self._violated(f"{state.ledger.name}: {len(statuses)} operations instead of {len(state.job.targets)}")

    def _statuses(self, state: _State) -> dict[str, str]:
        return dict(self._listed(state))

    def _listed(self, state: _State) -> list[tuple[str, str]]:
        ended = self._command.run("results", state.ledger.name, "--format", "jsonl")
        if ended.code != 0:
            self._violated(f"results of {state.ledger.name} ended with {ended.code}: {ended.lines[-3:]}")
            return []
        return list(statuses_of(ended.stdout))

    def _reconcile(self, state: _State, when: str) -> None:
        if self.violations:
            return
        record = self._server.record
        books = Books(
            targets=state.job.targets,
            rows=state.job.rows,
            duplicates=state.job.plan.duplicates,
            invalid=state.job.plan.invalid,
            rate=state.job.plan.rate,
            statuses=self._listed(state),
            summary=state.summary,
            record=record,
            left_sending=state.left_sending,
            ended_before=state.ended_before,
            before=self._before,
        )
        for difference in differences(books):
            self._violated(f"{state.ledger.name} {when}: {difference}", record)
        worst = max(worst_seconds(books).values(), default=0)
        self.tally.worst = max(self.tally.worst, worst)
        self.tally.worst_share = max(self.tally.worst_share, worst / state.job.plan.rate)
        state.record = record
        state.statuses = Counter(status for _, status in books.statuses)

    def _close(self, state: _State) -> None:
        """Add a job to what was done, and make room."""
        if state.record is None:
            return
        self.tally.jobs += 1
        self.tally.operations += len(state.job.targets)
        self.tally.calls += len(state.record.calls)
        self.tally.resent += int(state.summary["resent_in_doubt"])
        self.tally.statuses.update(state.statuses)
        self._before = {op: [call.at for call in state.record.by_op.get(op, [])][-400:] for op in OPS}
        if not self.violations:
            for path in self._folder.glob(f"job{state.job.plan.number}.*"):
                path.unlink()

    def _keep(self, ended: Ended, blow: Blow) -> None:
        """What a process said, in the stream's folder."""
        path = self._folder / f"process{self.tally.processes:04d}.txt"
        head = f"bulkops {' '.join(ended.arguments)}\n{blow.value}, exit {ended.code}, {ended.seconds:.1f} s\n"
        path.write_text(f"{head}\n{ended.stdout}\n{ended.stderr}", encoding="utf-8")

    def _violated(self, text: str, record: Record | None = None) -> None:
        self.violations.append(f"{self.name}, {self._clock.now:.0f} s, {self.weather.name}: {text}")
        evidence = self._folder / "violations.txt"
        evidence.write_text("\n".join(self.violations) + "\n", encoding="utf-8")
        if record is not None:
            calls = [[call.at, call.op, call.target, call.label] for call in record.calls]
            (self._folder / "server.json").write_text(json.dumps(calls), encoding="utf-8")


class _State:
    """What is known of a job on its way."""

    def __init__(self, job: JobFile, ledger: Path) -> None:
        self.job = job
        self.ledger = ledger
        self.begun = False
        self.summary: dict[str, Any] = {}
        self.left_sending: Counter[str] = Counter()
        self.ended_before: dict[str, int] = {}
        self.record: Record | None = None
        self.statuses: Counter[str] = Counter()

    def forget_reopened(self) -> None:
        """A retry may send what is exhausted or in doubt again; all that ended is looked at anew afterwards."""
        self.ended_before.clear()
