"""The parts: each measures one thing and says what it found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from benchmarks.bench import Bench
from benchmarks.parts import cpu, growth, importing, lanes, limit, resume, startup, unlimited
from benchmarks.report import Findings

PARTS: Final[dict[str, Callable[[Bench], Findings]]] = {
    "limit": limit.measure,
    "unlimited": unlimited.measure,
    "cpu": cpu.measure,
    "import": importing.measure,
    "resume": resume.measure,
    "growth": growth.measure,
    "lanes": lanes.measure,
    "startup": startup.measure,
}
"""In the order of the issue's goals."""
