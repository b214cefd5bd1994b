"""`kill -9` at every single step at which a process touches the ledger's files (F2)."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Final

import pytest

from tests.helpers import strace
from tests.helpers.crash_scenes import Act, Point, Scene, Stage, points_of

_KINDS: Final = {"open", "write", "sync", "truncate", "delete", "os.rename", "os.fsync", "os.unlink", "os.pwrite"}
"""Kinds of steps."""

_MIDWAY: Final = 100
"""A step in the middle of a run, when calls are in flight."""

_BOUND: Final = 60.0
"""Seconds in which every step has to be through (F2)."""


def killed_at(stage: Stage, scenes: Sequence[Scene], steps: Sequence[int]) -> list[str]:
    """Kill each scene's next process at the step that is given for it.

    Returns:
        The names of all steps of a process that lived to its end; empty where none did.
    """
    at = {scene.number: step for scene, step in zip(scenes, steps, strict=True)}
    names: list[str] = []
    for scene, act in stage.side_by_side(scenes, lambda scene: stage.watched(scene, at[scene.number])):
        assert act.ended.code in {-9, 0}, f"{scene.label}: {act.ended.code} {act.ended.stderr}"
        names = act.fork.points if act.ended.code == 0 else names
        scene.crashed()
    return names


def scenes_for(stage: Stage, steps: Sequence[int], what: str = "killed") -> list[Scene]:
    """A scene for each step."""
    return [stage.scene(f"{what} at step {step}") for step in steps]


@pytest.mark.slow
def test_f2_a_kill_at_a_sample_of_steps_loses_nothing(stage: Stage) -> None:
    """F2, without strace: killed at every thirteenth step, the ledger opens, and the resume keeps every promise."""
    steps = [0, *range(1, 150, 13)]
    scenes = scenes_for(stage, steps)
    names = killed_at(stage, scenes, steps)
    assert {name.split()[0] for name in names} >= _KINDS

    stage.finish(scenes)


@pytest.mark.stress
@pytest.mark.parametrize("process", ["run", "resume"])
def test_f2_a_kill_at_every_step_loses_nothing(process: str, stage: Stage) -> None:
    """F2, without strace: a run, or the resume of a killed one, is killed at every step from first to last, within a minute."""
    begun = time.monotonic()
    last = 200
    steps = range(1, last)
    scenes = scenes_for(stage, steps)
    if process == "resume":
        killed_at(stage, scenes, [_MIDWAY] * len(scenes))

    names = killed_at(stage, scenes, steps)
    stage.finish(scenes)

    seconds = time.monotonic() - begun
    assert 50 < len(names) < last, "the last scenes must have lived"
    print(f"\n{process}: {len(names)} crash points in {seconds:.1f} s: {dict(Counter(names))}")
    assert seconds <= _BOUND


# -- With strace: the system calls themselves ---------------------------------------------------------------------------


def killed_at_calls(stage: Stage, points: Sequence[Point]) -> list[Scene]:
    """Scenes whose first process was killed at these system calls."""
    scenes = [stage.scene(f"killed at {point}") for point in points]
    at = {scene.number: point for scene, point in zip(scenes, points, strict=True)}

    def start(scene: Scene) -> Act:
        point = at[scene.number]
        return stage.traced(scene, [point.of(scene)], [point.call], f"signal=KILL:when={point.number}")

    for scene, act in stage.side_by_side(scenes, start):
        assert act.ended.code in {-9, 0}, f"{scene.label}: {act.ended.code} {act.ended.stderr}"
        scene.crashed()
    return scenes


needs_strace = pytest.mark.skipif(bool(strace.missing()), reason=strace.missing() or "strace is here")


@needs_strace
@pytest.mark.slow
def test_f2_a_kill_at_a_sample_of_system_calls_loses_nothing(stage: Stage) -> None:
    """F2: killed at the first system call of each kind on each file, the ledger opens, and the resume keeps every promise."""
    points = [
        Point("", "openat", 2),
        Point("", "pwrite64", 1),
        Point("", "fdatasync", 1),
        Point("-wal", "pwrite64", 21),
        Point("-wal", "fdatasync", 4),
        Point("-wal", "ftruncate", 2),
        Point("-wal", "unlink", 1),
        Point("-shm", "ftruncate", 1),
        Point(".bulkops-new", "pwrite64", 9),
        Point(".bulkops-new", "fsync", 1),
        Point(".bulkops-new", "rename", 1),
        Point("/", "fsync", 2),
    ]

    stage.finish(killed_at_calls(stage, points))


@needs_strace
@pytest.mark.stress
def test_f2_a_kill_at_every_system_call_loses_nothing(stage: Stage) -> None:
    """F2: killed at every system call on the ledger's files, from the first to the last, within a minute."""
    begun = time.monotonic()
    points = points_of(stage)
    assert len(points) > 100

    scenes = killed_at_calls(stage, points)
    stage.finish(scenes)

    seconds = time.monotonic() - begun
    hit = sum(scene.ended[0].code == -9 for scene in scenes)
    print(f"\n{hit} of {len(points)} system calls killed the run, in {seconds:.1f} s")
    assert hit >= 0.9 * len(points)
    assert seconds <= _BOUND
