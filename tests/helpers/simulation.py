"""Seeded simulations: a job carried out over several processes in foul weather, watched at every step.

`python -m tests.helpers.simulation SEED` tells the story of a seed that failed, and carries it out again exactly.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bulkops.chat import verdicts
from bulkops.chat.catalog import APIS
from bulkops.engine.limiter import MARGIN, WINDOW
from bulkops.engine.policy import PLACES, Policy
from bulkops.engine.run import Engine
from bulkops.errors import LedgerError
from bulkops.ledger import Changes, GroupCommit, JobRecord, MemoryStore, SqliteStore
from bulkops.ledger.tally import Tally
from bulkops.model import Operation, ProcessRecord, Settlement, Status, Stop, StopKind, Verdict
from bulkops.testing import EPOCH, VirtualClock, VirtualTimeLoop, run_virtual, worst_window
from tests.helpers.enginekit import assert_idle
from tests.helpers.simworld import Server, SimClient, Weather, draw_weather

FAILING = {Verdict.TRANSIENT, Verdict.UNANSWERED, Verdict.NOT_SENT}
TROUBLED_FOR = 15.0
"""Seconds of each simulation in which the weather may be bad."""


Store = MemoryStore | SqliteStore


class Killed(LedgerError):
    """The process is gone: nothing of it reaches the store any more."""


@dataclass
class Ending:
    """How a process is going to end, unless the job does.

    Args:
        kind: `job`, `stop`, `stop_at_once`, `kill`, `kill_before_commit`, `kill_after_commit`, `ledger`.
        at: Seconds since its start, or the number of the commit.
    """

    kind: str
    at: float


@dataclass
class Story:
    """All that a seed decides before anything happens."""

    seed: int
    limits: dict[int, int]
    counts: dict[int, int]
    weather: Weather
    endings: list[Ending]
    policy: Policy
    interval: float
    hold: bool
    blocks: list[tuple[float, float]]
    jumps: list[tuple[float, float]]


def draw_story(seed: int) -> Story:
    """The story of a seed."""
    rng = random.Random(seed)
    limits = {api: rng.choice((5, 50, 200, 200)) for api in range(3)}
    apis = rng.sample(range(3), rng.choice((1, 1, 1, 2, 3)))
    kinds = ("stop", "stop_at_once", "kill", "kill", "kill_before_commit", "kill_after_commit", "ledger")
    endings = []
    for _ in range(rng.choice((0, 0, 1, 2, 3))):
        kind = rng.choice(kinds)
        endings.append(Ending(kind, rng.randrange(1, 60) if kind.endswith(("commit", "ledger")) else rng.uniform(0.0, 6.0)))
    return Story(
        seed=seed,
        limits=limits,
        counts={api: rng.choice((1, 60, limits[api] * 2, limits[api] * 4, min(900, limits[api] * 8))) for api in sorted(apis)},
        weather=draw_weather(rng, TROUBLED_FOR),
        endings=endings,
        policy=Policy(max_attempts=rng.choice((1, 2, 8, 8)), share_after=10**9, refused_alike=10**9),
        interval=rng.choice((0.0, 0.02, 0.05, 0.15)),
        hold=rng.random() < 0.3,
        blocks=[(rng.uniform(0.0, TROUBLED_FOR), rng.choice((0.02, 0.3, 5.0))) for _ in range(rng.choice((0, 0, 1, 5)))],
        jumps=[
            (rng.uniform(0.0, TROUBLED_FOR), rng.choice((-86_400.0, 86_400.0, 600.0))) for _ in range(rng.choice((0, 0, 2)))
        ],
    )


class Witness:
    """Stands between the group commit and the store, and looks at everything that becomes durable.

    Args:
        counts: Operations by API.
    """

    def __init__(self, store: Store, counts: dict[int, int]) -> None:
        self.store = store
        self._counts = counts
        self.dead = False
        self.commits = 0
        self.on_commit: Callable[[int], str] = lambda _number: ""
        self.intents: dict[tuple[int, int], int] = {}
        """Durable and unsettled: (API, place) → attempt."""
        self.charged: dict[int, int] = {}
        self.tried: set[int] = set()
        self.calls: Counter[int] = Counter()
        """Settled calls of this process, by place."""
        self.status: dict[int, Status] = {}
        self.replies: Callable[[int, int], object] = lambda _api, _seq: None
        self._failing: dict[int, deque[bool]] = {api: deque(maxlen=200) for api in counts}

    def job(self) -> JobRecord:
        return self.store.job()

    def processes(self) -> list[ProcessRecord]:
        return self.store.processes()

    def tally(self) -> Tally:
        return self.store.tally()

    def claim(self, api: int, limit: int) -> list[Operation]:
        if self.dead:
            raise Killed("killed")
        return self.store.claim(api, limit)

    def apply(self, changes: Changes) -> Tally:
        if self.dead:
            raise Killed("killed")
        self.commits += 1
        fate = self.on_commit(self.commits)
        if fate == "before":
            self.dead = True
            raise Killed("killed")
        if fate == "ledger":
            raise LedgerError("disk full")
        added = self.store.apply(changes)
        self._look(changes)
        if fate == "after":
            self.dead = True
            raise Killed("killed")
        return added

    def new_process(self) -> None:
        """What is known of single processes is forgotten."""
        self.dead = False
        self.commits = 0
        self.intents.clear()
        self.calls.clear()
        for answers in self._failing.values():
            answers.clear()

    def _look(self, changes: Changes) -> None:
        for api, settled in changes.settlements:
            self._settled(api, settled)
        for api, operation in changes.withdrawals:
            del self.intents[api, operation.seq]
        for api, intent in changes.intents:
            assert self.status.get(intent.seq, Status.PENDING) is Status.PENDING, f"{intent} of one that ended"
            assert (api, intent.seq) not in self.intents, f"{intent} begun twice"
            self.intents[api, intent.seq] = intent.number
        counts = self.store.tally().counts
        for api, operations in self._counts.items():
            by_status = {status: counts[api, "status", status.word] for status in Status}
            assert min(by_status.values()) >= 0, by_status
            assert sum(by_status.values()) == operations, by_status

    def _settled(self, api: int, settled: Settlement) -> None:
        number = self.intents.pop((api, settled.seq))
        assert settled.number == number, f"attempt {settled.number} settled, {number} begun"
        assert self.status.get(settled.seq, Status.PENDING) is Status.PENDING, f"{settled} of one that ended"
        self.status[settled.seq] = settled.status
        reply = self.replies(api, settled.seq)
        assert reply is None or reply == settled[6:10], f"on record {settled}, but the server said {reply}"
        if settled.status is Status.SUCCEEDED:
            assert settled.code == 0, settled
        before = self.charged.get(settled.seq, 0)
        answers = self._failing[api]
        if settled.verdict in FAILING and before < 3:
            answers.append(True)
        elif settled.verdict in {Verdict.SUCCEEDED, Verdict.ABSENT, Verdict.REFUSED}:
            answers.append(False)
        self.tried.add(settled.seq)
        self.calls[settled.seq] += settled.sent
        if settled.charged > before and len(answers) == 200 and all(answers):
            assert len(self.tried) == sum(self._counts.values()), f"{settled} was charged in an outage"
        self.charged[settled.seq] = settled.charged


@dataclass
class Outcome:
    """What a simulation came to."""

    story: Story
    server: Server
    store: Store
    departures: dict[int, list[float]] = field(default_factory=dict)
    tokens: dict[int, list[float]] = field(default_factory=dict)
    left: Counter[tuple[int, str]] = field(default_factory=Counter)
    orphans_left: int = 0
    """Attempts that a process did not live to settle and that had left."""
    orphans_not_left: int = 0
    to_recover: int = 0
    """What the last process left `sending`."""
    labels: Counter[tuple[int, str]] = field(default_factory=Counter)
    """Replies by API and label, of those that reached the store."""
    events: list[str] = field(default_factory=list)

    def fingerprint(self) -> object:
        """Everything on record but the times."""
        rows = [(row.api, row.content, row.status, row.attempts, row.code, row.info) for row in self.store.results()]
        made = [
            [(each.number, each.process, each.http, each.label, each.verdict, each.sent) for each in self.store.attempts(seq)]
            for seq in range(1, sum(self.story.counts.values()) + 1)
        ]
        return rows, made, sorted((+self.store.tally().counts).items())


def contents(story: Story) -> dict[int, list[str]]:
    """The operations of a story, by API."""
    return {api: [f"{api}-{place}" for place in range(count)] for api, count in story.counts.items()}


def memory_store(story: Story) -> Store:
    """A ledger in memory with a story's operations."""
    return MemoryStore.of(contents(story), [api.op for api in APIS])


def simulate(
    story: Story, store: Callable[[Story], Store] = memory_store, reopen: Callable[[Store], Store] | None = None
) -> Outcome:
    """Carry a story out, process after process, until every operation has ended.

    Args:
        store: Makes the ledger.
        reopen: Opens it as the next process finds it; for the ledger in memory left out.
    """
    random.seed(story.seed)
    rng = random.Random(story.seed + 1)
    outcome = Outcome(story, Server(story.weather, rng), store(story))
    witness = Witness(outcome.store, story.counts)
    base = 0.0
    endings = deque(story.endings)
    for number in range(20):
        ending = endings.popleft() if endings else Ending("job", 0.0)
        if number:
            if reopen is not None:
                outcome.store = witness.store = reopen(outcome.store)
            elif isinstance(outcome.store, MemoryStore):
                outcome.store.restart()
        outcome.to_recover = len(witness.intents)
        witness.new_process()
        base += _carry_out(outcome, witness, ending, base) + rng.choice((0.0, 0.3, 20.0))
        if not unfinished(outcome.store) and not outcome.store.orphan_count():
            return outcome
    raise AssertionError("twenty processes, and still not done")


def unfinished(store: Store) -> int:
    """Operations that have not ended."""
    return sum(count for each in store.figures().apis.values() for status, count in each.by_status.items() if not status.ended)


def _carry_out(outcome: Outcome, witness: Witness, ending: Ending, base: float) -> float:
    """One process; the seconds that it took."""
    story = outcome.story

    async def main(loop: VirtualTimeLoop) -> float:
        clock = VirtualClock(loop)
        clock.jump(base)
        now = clock.utc()
        record = ProcessRecord(0, "op", "host", 1, "1", 1400000000, "admin", "https://test.invalid", {}, now)
        number = witness.store.start_process(record)
        recovered = witness.store.recover(hold=story.hold, at=now)
        assert recovered == outcome.to_recover, "repeats are exactly those left `sending`"
        outcome.events.append(f"{base:8.2f}  process {number}, {recovered} recovered, to end by {ending.kind} {ending.at:.2f}")
        places = {(api, content): seq for seq, (api, content) in enumerate(_flat(story), start=1)}
        client = SimClient(
            outcome.server,
            now=lambda: base + loop.time(),
            durable=lambda api, content: (api, places[api, content]) in witness.intents,
        )
        by_seq = {seq: key for key, seq in places.items()}
        witness.replies = lambda _api, seq: _next_reply(outcome, client, by_seq[seq])

        def ledger_failed(error: LedgerError) -> None:
            engine.ledger_failed(error)

        commit = GroupCommit(
            witness,
            process=number,
            clock=clock,
            interval=story.interval,
            inline=True,
            on_failed=ledger_failed,
        )
        lanes = [(api, APIS[api], story.limits[api], max(1, round(story.limits[api] * PLACES))) for api in story.counts]
        engine = Engine(
            apis=lanes,
            ledger=commit,
            client=client,
            judge=verdicts.judge,
            clock=clock,
            policy=story.policy,
            rng=random.Random(story.seed + number),
        )
        for lane in engine.lanes:
            lane.limiter.not_before(loop.time() + WINDOW + MARGIN if number > 1 else 0.0)
        for at, seconds in story.blocks:
            if at >= base:
                loop.call_at(at - base, loop.block, seconds)
        for at, seconds in story.jumps:
            if at >= base:
                loop.call_at(at - base, clock.jump, seconds)
        task = asyncio.create_task(engine.carry_out())
        _arrange(ending, loop, engine, witness, task)
        try:
            await task
            await commit.aclose()
        except (asyncio.CancelledError, LedgerError):
            if ending.kind not in {"kill", "kill_before_commit", "kill_after_commit", "ledger"}:
                raise
        _after(outcome, witness, client, engine, by_seq, clean=commit.failed is None and not witness.dead)
        outcome.events += [f"{(n.at - EPOCH) / 1e6:8.2f}  {n.op} {n.kind}: {n.text}" for n in engine._notices]
        return loop.time()

    return run_virtual(main)


def _flat(story: Story) -> list[tuple[int, str]]:
    return [(api, content) for api, each in contents(story).items() for content in each]


def _next_reply(outcome: Outcome, client: SimClient, key: tuple[int, str]) -> object:
    """What the oldest reply to an operation said that is not on record yet."""
    reply = client.replies[key].pop(0)
    if reply.outcome.value != "not sent":
        outcome.labels[key[0], reply.label] += 1
    return (reply.http, reply.code, reply.label, reply.info)


def _arrange(ending: Ending, loop: VirtualTimeLoop, engine: Engine, witness: Witness, task: asyncio.Task[None]) -> None:
    """See that a process ends as it is going to."""
    stop = Stop(StopKind.SIGNAL, "SIGTERM")

    def kill() -> None:
        witness.dead = True
        task.cancel()

    def on_commit(number: int) -> str:
        if number != ending.at:
            return ""
        if ending.kind == "ledger":
            return "ledger"
        loop.call_soon(task.cancel)
        return ending.kind.split("_")[1]

    witness.on_commit = (
        on_commit if ending.kind in {"kill_before_commit", "kill_after_commit", "ledger"} else lambda _number: ""
    )
    if ending.kind == "kill":
        loop.call_at(ending.at, kill)
    elif ending.kind in {"stop", "stop_at_once"}:
        loop.call_at(ending.at, engine.stop, stop)
        if ending.kind == "stop_at_once":
            loop.call_at(ending.at + 0.05, lambda: engine.stop(stop, now=True))


def _after(
    outcome: Outcome, witness: Witness, client: SimClient, engine: Engine, by_seq: dict[int, tuple[int, str]], *, clean: bool
) -> None:
    """What has to hold at the end of every process."""
    story = outcome.story
    assert_idle(engine)
    for api, times in client.departures.items():
        outcome.departures.setdefault(api, []).extend(times)
    for api, times in client.tokens.items():
        outcome.tokens.setdefault(api, []).extend(times)
    outcome.left += client.left
    if clean:
        lost = {key: replies for key, replies in client.replies.items() if replies}
        assert not lost, f"answered, but not on record: {lost}"
    for api, limit in story.limits.items():
        most = round(limit * PLACES) + limit * (0.2 + story.interval) + 2
        assert sum(of == api for of, _ in witness.intents) <= most, (
            "more in doubt than places, 0.2 s of departures and a commit"
        )
    for _, seq in witness.intents:
        if client.left[by_seq[seq]] > witness.calls[seq]:
            outcome.orphans_left += 1
        else:
            outcome.orphans_not_left += 1
    outcome.server.credential = max(outcome.server.credential, client.renewals)


def check(outcome: Outcome) -> None:
    """What has to hold in the end: the ledger tells the truth about the world, to the digit."""
    story, server, store = outcome.story, outcome.server, outcome.store
    by_status: dict[str, set[tuple[int, str]]] = {status.word: set() for status in Status}
    for row in store.results():
        by_status[row.status].add((row.api, row.content))
    executed = set(server.executed)
    everything = set(_flat(story))
    assert set().union(*by_status.values()) == everything
    assert sum(map(len, by_status.values())) == len(everything), "an operation in two states"
    assert not by_status["pending"]
    assert not by_status["sending"]
    assert by_status["succeeded"] <= executed
    assert executed - by_status["succeeded"] <= by_status["absent"] | by_status["in_doubt"] | (
        by_status["failed"] & server.refused
    )
    for api, content in by_status["absent"]:
        assert server.missing(api, content) or (api, content) in executed
    assert by_status["failed"] <= server.refused
    for api, times in outcome.tokens.items():
        assert worst_window(times) <= story.limits[api], f"API {api}: {worst_window(times)} in a second"
    figures = store.figures()
    departed = sum(map(len, outcome.departures.values()))
    calls = sum(each.calls for each in figures.apis.values())
    assert calls == departed + outcome.orphans_not_left, f"{calls} calls on record, {departed} left"
    assert all(each.calls == sum(each.codes.values()) for each in figures.apis.values())
    codes = Counter({(api, label): count for api in story.counts for label, count in figures.apis[APIS[api].op].codes.items()})
    for api in story.counts:
        codes[api, "lost"] -= sum(count for (of, label), count in codes.items() if (of, label) == (api, "lost"))
        codes[api, "lost"] += outcome.labels[api, "lost"]
    assert +codes == +outcome.labels


def main(arguments: Sequence[str]) -> None:
    """Tell the story of a seed, and check it."""
    story = draw_story(int(arguments[0]))
    sys.stdout.write(f"{story}\n")
    outcome = simulate(story)
    sys.stdout.write("\n".join([*outcome.events, ""]))
    for op, each in outcome.store.figures().apis.items():
        words = {status.word: count for status, count in each.by_status.items() if count}
        sys.stdout.write(f"{op}: {words}, {each.calls} calls, {dict(each.codes)}\n")
    check(outcome)


if __name__ == "__main__":
    main(sys.argv[1:])
