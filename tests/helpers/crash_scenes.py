"""Small jobs that are crashed at a chosen step and then resumed, many at a time, all against one server.

Each scene has a folder, a job with targets of its own, and a chronicle. They wait a second for the limit's window after every
kill, so they are carried out side by side.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from tests.e2e.support import Job, check_reconciled, mixed
from tests.helpers.command import Ended
from tests.helpers.crash import Chronicle, Snapshot
from tests.helpers.crash_forks import Fork, Forks
from tests.helpers.otherserver_handle import OtherServer, Record
from tests.helpers.strace import CALLS, Strace, SystemCall

OPERATIONS: Final = 6
"""Operations of a scene's job: two of each API."""

_FLAGS: Final = ("--yes", "--progress", "none", "--allow-shared-quota", "--json")
_BEGUN: Final = "it began"


@dataclass
class Scene:
    """One job and what has become of it.

    Args:
        number: Its targets are made from it.
        label: What is done to it.
    """

    folder: Path
    number: int
    label: str
    job: Job = field(init=False)
    chronicle: Chronicle = field(init=False)
    ended: list[Ended] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.job = mixed(OPERATIONS, start=OPERATIONS * self.number)
        self.chronicle = Chronicle(self.job.targets)
        (self.folder / "job.csv").write_text(self.job.csv())

    @property
    def ledger(self) -> Path:
        """Its ledger, whether it is there or not."""
        return self.folder / "job.ledger.db"

    @property
    def files(self) -> list[Path]:
        """Everything that belongs to the ledger, and its folder."""
        return [
            self.folder,
            *(Path(f"{self.ledger}{suffix}") for suffix in ("", "-wal", "-shm", "-journal", ".bulkops-new", ".lock")),
        ]

    @property
    def next_command(self) -> tuple[str, ...]:
        """What a user would give next: a resume, or the first command again where no ledger is there yet."""
        if self.ledger.exists():
            return ("resume", str(self.ledger), *_FLAGS)
        return ("run", "job.csv", "--ledger", str(self.ledger), *_FLAGS)

    def crashed(self) -> Snapshot | None:
        """Take down what the ledger says now that its process is gone; `None` where there is none yet."""
        return self.chronicle.killed(self.ledger, time.time()) if self.ledger.exists() else None

    def part_of(self, record: Record) -> Record:
        """What the server saw of this job."""
        targets = set(self.job.targets)
        calls = [list(asdict(call).values()) for target in targets for call in record.of_target.get(target, [])]
        effects = {target: record.effects[target] for target in targets if target in record.effects}
        return Record({"calls": calls, "effects": effects, "violations": record.violations, "connections": 0})

    def check(self, record: Record) -> None:
        """See that every promise was kept, once the scene is carried out to its end.

        Raises:
            AssertionError: One was broken; it names the scene.
        """
        try:
            part, answer = self.part_of(record), self.ended[-1].expect(0).json
            check_reconciled(answer, part, self.job)
            assert answer["by_status"]["succeeded"] + answer["by_status"]["absent"] == OPERATIONS
            assert answer["calls"] - self.chronicle.never_left(part) == len(part.calls)
            self.chronicle.check_calls(part)
            self.chronicle.check_effects(part)
        except AssertionError as error:
            raise AssertionError(f"{self.label}: {error}") from error


class Stage:
    """Where scenes are carried out, some at a time.

    Args:
        folder: For the scenes' folders.
        width: How many at a time.
    """

    def __init__(self, forks: Forks, server: OtherServer, folder: Path, width: int = 24) -> None:
        self._forks = forks
        self._server = server
        self._folder = folder
        self._width = width
        self._scenes = 0
        self._straces: list[Strace] = []

    def close(self) -> None:
        """See that nothing that watched is left behind."""
        for each in self._straces:
            each.end()

    def scene(self, label: str) -> Scene:
        """A new one."""
        self._scenes += 1
        return Scene(self._folder / f"scene-{self._scenes}", self._scenes, label)

    def side_by_side(self, scenes: Iterable[Scene], start: Callable[[Scene], Act]) -> Iterator[tuple[Scene, Act]]:
        """Start an act in every scene, so many at a time; each with its act, ended, in their order."""
        under_way: deque[tuple[Scene, Act]] = deque()
        for scene in scenes:
            if len(under_way) == self._width:
                yield self._ended(*under_way.popleft())
            under_way.append((scene, start(scene)))
        while under_way:
            yield self._ended(*under_way.popleft())

    def _ended(self, scene: Scene, act: Act) -> tuple[Scene, Act]:
        act.end()
        scene.ended.append(act.ended)
        return scene, act

    def watched(self, scene: Scene, at: int = 0, error: str = "", *, onwards: bool = False) -> Act:
        """The scene's next command in a process that watches itself: killed, or failing, at its n-th step."""
        points = {"at": at, "error": error, "onwards": onwards}
        return Act(self._forks, self._forks.start(scene.folder, *scene.next_command, points=points))

    def traced(self, scene: Scene, paths: Sequence[Path], calls: Sequence[str], inject: str, faulty: Sequence[str] = ()) -> Act:
        """The scene's next command under strace."""
        fork = self._forks.start(scene.folder, *scene.next_command, hold=True)
        strace = Strace(
            fork.pid, scene.folder / f".strace-{fork.number}", paths=paths, calls=calls, inject=inject, faulty=faulty
        )
        self._straces.append(strace)
        fork.release()
        return Act(self._forks, fork, strace)

    def undisturbed(self, scene: Scene) -> Act:
        """The scene's next command, left alone."""
        return Act(self._forks, self._forks.start(scene.folder, *scene.next_command))

    def finish(self, scenes: Sequence[Scene]) -> None:
        """Carry all of them out to their ends, and see that every promise was kept."""
        for _ in self.side_by_side(scenes, self.undisturbed):
            pass
        record = self._server.record
        for scene in scenes:
            scene.check(record)


class Act:
    """One process of a scene."""

    def __init__(self, forks: Forks, fork: Fork, strace: Strace | None = None) -> None:
        self._forks = forks
        self._strace = strace
        self.fork = fork
        self.ended: Ended
        self.calls: list[SystemCall] = []
        """What strace saw."""

    def end(self) -> None:
        """Wait for its end."""
        self.ended = self._forks.wait(self.fork)
        if self._strace is not None:
            self.calls = self._strace.wait()


@dataclass(frozen=True)
class Point:
    """The n-th system call of one kind on one file, counted by thread."""

    suffix: str
    call: str
    number: int

    def of(self, scene: Scene) -> Path:
        """The file."""
        return scene.folder if self.suffix == "/" else Path(f"{scene.ledger}{self.suffix}")


def points_of(stage: Stage) -> list[Point]:
    """Every system call of an undisturbed run that is about the ledger's files."""
    scene = stage.scene("undisturbed")
    ((_, act),) = stage.side_by_side([scene], lambda scene: stage.traced(scene, scene.files, CALLS, ""))
    act.ended.expect(0)
    names = {str(Path(f"{scene.ledger}{suffix}")): suffix for suffix in ("", "-wal", "-shm", ".bulkops-new", ".lock")}
    names[str(scene.folder)] = "/"
    counted = Counter((call.thread, names[call.path], call.name) for call in act.calls if call.path in names)
    most: dict[tuple[str, str], int] = {}
    for (_, suffix, name), count in counted.items():
        most[suffix, name] = max(count, most.get((suffix, name), 0))
    return [Point(suffix, name, number) for (suffix, name), count in most.items() for number in range(1, count + 1)]
