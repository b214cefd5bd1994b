"""The crash points themselves: they count, act once or from then on, and leave what they watched as it was."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from bulkops.testing import CrashPoints


class Disk:
    """Something to watch."""

    def write(self, text: str) -> str:
        return f"wrote {text}"


def refuse(name: str) -> None:
    raise OSError(name)


def test_steps_are_counted_by_name_and_nothing_happens_without_a_fatal_one() -> None:
    """So a first run finds out which there are."""
    points = CrashPoints()
    for name in ("open", "write", "sync"):
        points.step(name)
    assert points.passed == ["open", "write", "sync"]


@pytest.mark.parametrize(("onwards", "refused"), [(False, [2]), (True, [2, 3, 4])])
def test_the_fatal_step_acts_once_or_from_then_on(onwards: bool, refused: list[int]) -> None:
    """A disk that fails for a moment, or for good."""
    points = CrashPoints(2, refuse, onwards=onwards)
    found = []
    for number in range(1, 5):
        try:
            points.step("write")
        except OSError:
            found.append(number)
    assert found == refused


def test_a_watched_call_is_a_step_before_it_and_is_put_back() -> None:
    """On an object and on a class; what it returns is what it returned."""
    points = CrashPoints()
    disk = Disk()
    own = points.watch(disk, "write", "a disk")
    whole = points.watch(Disk, "write")

    assert disk.write("x") == "wrote x"
    assert Disk().write("y") == "wrote y"
    own()
    whole()
    assert disk.write("z") == Disk().write("z") == "wrote z"

    assert points.passed == ["a disk", "write"]


def test_a_fatal_step_kills_the_process_before_the_call() -> None:
    """As `kill -9` does: nothing after it happens, no handler runs."""
    program = (
        "import sys\n"
        "from bulkops.testing import CrashPoints\n"
        "points = CrashPoints(2)\n"
        "try:\n"
        "    for number in (1, 2, 3):\n"
        "        points.step('write')\n"
        "        print(number, flush=True)\n"
        "finally:\n"
        "    print('flushed', flush=True)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert ended.stdout == "1\n"
