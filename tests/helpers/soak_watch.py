"""What processes hold while they run: memory and file descriptors, looked at from outside. Linux only; elsewhere nothing is seen."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

EVERY: Final = 0.5
"""Seconds between two looks."""

MOST_MEMORY: Final = 200.0
"""MiB that a process may have."""

MOST_GROWTH: Final = 20.0
"""MiB by which a process may grow once it is warm."""

WARM: Final = 20.0
"""Seconds after which a process has loaded and opened what it needs."""


@dataclass
class Samples:
    """What one process held, oldest first.

    Args:
        name: Of the process.
        connections: Most descriptors that its places may take.
    """

    name: str
    connections: int
    seconds: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)

    def look(self, pid: int, age: float) -> None:
        """Look at a process, unless it is gone or was looked at a moment ago."""
        if self.seconds and age - self.seconds[-1] < EVERY:
            return
        process = Path("/proc", str(pid))
        with contextlib.suppress(OSError, IndexError, ValueError):
            pages = int((process / "statm").read_text().split()[1])
            held = len(list((process / "fd").iterdir()))
            self.seconds.append(age)
            self.memory.append(pages * 4096 / 2**20)
            self.descriptors.append(held)

    def complaints(self) -> Iterator[str]:
        """What was too much, in words."""
        if not self.memory:
            return
        if max(self.memory) > MOST_MEMORY:
            yield f"{self.name}: {max(self.memory):.0f} MiB of memory"
        if max(self.descriptors) > self.connections + 64:
            yield f"{self.name}: {max(self.descriptors)} file descriptors for {self.connections} places"
        grown = self.growth
        if grown is not None and grown > MOST_GROWTH:
            yield f"{self.name}: grew by {grown:.0f} MiB in {self.seconds[-1]:.0f} s"

    @property
    def growth(self) -> float | None:
        """MiB from the first to the last third of what is warm; `None` where that is too short to tell."""
        warm = [memory for at, memory in zip(self.seconds, self.memory, strict=True) if at >= WARM]
        if len(warm) < 30:
            return None
        third = len(warm) // 3
        return statistics.median(warm[-third:]) - statistics.median(warm[:third])


class Clock:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    @property
    def now(self) -> float:
        return time.monotonic() - self._begun
