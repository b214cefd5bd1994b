"""The disk says no at the n-th write, sync, open or rename: the command stops, in words, and nothing is lost (F3, F5)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.helpers import strace
from tests.helpers.crash_points import FAILED_AT
from tests.helpers.crash_scenes import Act, Point, Scene, Stage, points_of
from tests.helpers.otherserver_handle import OtherServer

_LATEST: Final = 0.1
"""Seconds after the error in which a call may still arrive: it had left before."""

_WORDS: Final = re.compile(r"the disk failed|no space is left|can't be")
_HARMLESS: Final = frozenset(
    {("-shm", "unlink"), ("-wal", "unlink"), (".lock", "unlink"), ("/", "openat"), ("/", "fdatasync"), ("-wal", "openat")}
)
"""System calls that may fail and take nothing away: what is left lying about at the end, SQLite's own sync of the folder (ours
follows), a reader's first try to open the log."""

_SAMPLE: Final = (
    Point("", "openat", 2),
    Point("", "pwrite64", 3),
    Point("", "fdatasync", 1),
    Point("-wal", "openat", 2),
    Point("-wal", "pwrite64", 1),
    Point("-wal", "pwrite64", 31),
    Point("-wal", "fdatasync", 5),
    Point("-wal", "ftruncate", 2),
    Point("-shm", "pwrite64", 1),
    Point(".lock", "pwrite64", 1),
    Point(".bulkops-new", "openat", 1),
    Point(".bulkops-new", "unlink", 1),
    Point(".bulkops-new", "pwrite64", 9),
    Point(".bulkops-new", "fsync", 1),
    Point(".bulkops-new", "rename", 1),
    Point("/", "fsync", 2),
)

needs_strace = pytest.mark.skipif(bool(strace.missing()), reason=strace.missing() or "strace is here")


def check_refused(scene: Scene, act: Act, failed_at: float, server: OtherServer) -> None:
    """See that a process whose disk failed ended as it should.

    Raises:
        AssertionError: It said it in no words or with no way on, sent a call later, or reported what is not durable.
    """
    ended = act.ended.expect(5)
    assert _WORDS.search(ended.screen), ended.screen
    assert ended.continuation[0] in {"resume", "run"}
    answer = ended.json
    assert answer["exit"] == 5
    calls = scene.part_of(server.record).calls
    assert all(call.at <= failed_at + _LATEST for call in calls), f"{scene.label}: {calls[-1].at - failed_at:.3f} s late"
    left = scene.crashed()
    reported = sum(answer["by_status"][word] for word in ("succeeded", "absent"))
    assert reported <= (len(left.ended) if left else 0), f"{scene.label}: {reported} reported and not durable"


def fail_at_calls(stage: Stage, server: OtherServer, points: Sequence[Point], error: str) -> dict[int, int]:
    """Let a system call fail in each of as many runs, check how they end, and carry all of them out.

    Returns:
        How many ended with each exit code.
    """
    scenes = [stage.scene(f"{error} at {point}") for point in points]
    at = {scene.number: point for scene, point in zip(scenes, points, strict=True)}
    codes: dict[int, int] = {}

    def start(scene: Scene) -> Act:
        point = at[scene.number]
        return stage.traced(
            scene, [point.of(scene)], [point.call], f"error={error.replace(':', ':when=' + str(point.number), 1)}"
        )

    for scene, act in stage.side_by_side(scenes, start):
        point = at[scene.number]
        failed = [call.at for call in act.calls if call.injected]
        if failed and (act.ended.code != 0 or (point.suffix, point.call) not in _HARMLESS):
            check_refused(scene, act, failed[0], server)
        else:
            act.ended.expect(0)
            scene.crashed()
        codes[act.ended.code] = codes.get(act.ended.code, 0) + 1
    stage.finish(scenes)
    return codes


@needs_strace
@pytest.mark.slow
def test_f3_a_disk_that_fails_once_stops_the_run_in_words(stage: Stage, server: OtherServer) -> None:
    """F3: EIO at one system call: exit 5, the cause and the next command in words, no call 100 ms later, the resume completes."""
    codes = fail_at_calls(stage, server, _SAMPLE, "EIO:")

    assert codes == {5: len(_SAMPLE)}


@needs_strace
@pytest.mark.stress
@pytest.mark.parametrize("error", ["EIO:", "EIO:+", "ENOSPC:", "ENOSPC:+"])
def test_f3_a_disk_that_fails_at_any_system_call_stops_the_run_in_words(error: str, stage: Stage, server: OtherServer) -> None:
    """F3 in full: each write, sync, truncate, open, rename and unlink of the ledger's files, once, and from then on."""
    points = points_of(stage)

    codes = fail_at_calls(stage, server, points, error)

    print(f"\n{error}: {len(points)} system calls, by exit code {codes}")
    assert codes[5] > 0.9 * len(points)


@pytest.mark.slow
def test_f3_a_disk_that_fails_from_a_step_on_stops_the_run_in_words(stage: Stage, server: OtherServer) -> None:
    """F3, without strace: from a step on nothing can be written, EIO or ENOSPC by turns: as above."""
    errors = dict.fromkeys(range(2, 140, 23), "EIO") | dict.fromkeys(range(3, 140, 23), "ENOSPC")
    fail_at_steps(stage, server, errors)


@pytest.mark.stress
@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_f3_a_disk_that_fails_from_any_step_on_stops_the_run_in_words(error: str, stage: Stage, server: OtherServer) -> None:
    """F3 in full, without strace."""
    fail_at_steps(stage, server, dict.fromkeys(range(1, 150), error))


def fail_at_steps(stage: Stage, server: OtherServer, errors: Mapping[int, str]) -> None:
    """Let the disk fail from a step on in each of as many runs, check how they end, and carry all of them out."""
    scenes = [stage.scene(f"{error} from step {step} on") for step, error in errors.items()]
    at = dict(zip([scene.number for scene in scenes], errors.items(), strict=True))
    for scene, act in stage.side_by_side(scenes, lambda scene: stage.watched(scene, *at[scene.number], onwards=True)):
        check_refused(scene, act, float((scene.folder / FAILED_AT).read_text()), server)
        check_continuation(scene, act)
    stage.finish(scenes)


def check_continuation(scene: Scene, act: Act) -> None:
    """See that the command that the last line names is one that fits: a resume needs a ledger."""
    verb, *_ = act.ended.continuation
    assert verb == "run" or scene.ledger.exists()


@needs_strace
@pytest.mark.slow
def test_f5_a_failed_sync_is_final(stage: Stage, server: OtherServer) -> None:
    """F5: after a failed fdatasync nothing is written by that process any more, however well the disk goes on, and it ends."""
    scenes = [stage.scene(f"sync {number} fails") for number in (1, 3, 4, 5, 6)]
    numbers = {scene.number: int(scene.label.split()[1]) for scene in scenes}

    def start(scene: Scene) -> Act:
        logs = [Path(f"{scene.ledger}-wal"), scene.ledger]
        return stage.traced(scene, logs, _WRITES, f"error=EIO:when={numbers[scene.number]}", faulty=["fdatasync"])

    for scene, act in stage.side_by_side(scenes, start):
        failed = next(place for place, call in enumerate(act.calls) if call.injected)
        assert [call for call in act.calls[failed + 1 :] if call.name in _WRITES] == []
        check_refused(scene, act, act.calls[failed].at, server)
    stage.finish(scenes)


_WRITES: Final = ("pwrite64", "fdatasync", "ftruncate")
