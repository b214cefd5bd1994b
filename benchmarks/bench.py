"""One invocation of the benchmarks: how thorough, where to, and what its parts share."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.contest import Rounds
from benchmarks.target import LoadServer

T = TypeVar("T")


@dataclass(slots=True)
class Bench:
    """What a part is given.

    Args:
        mode: `quick`, `normal` or `full`.
        scratch: For files that nobody needs afterwards.
        out: For results and pictures.
        profile: Say where the time goes as well.
        stack: Closes what parts share.
    """

    mode: str
    scratch: Path
    out: Path
    profile: bool
    stack: ExitStack
    began: float = field(default_factory=time.monotonic)
    rounds: dict[str, Rounds] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    _server: LoadServer | None = None

    @property
    def server(self) -> LoadServer:
        """The load server that all parts share."""
        if self._server is None:
            self._server = self.stack.enter_context(LoadServer())
        return self._server

    def pick(self, quick: T, normal: T, full: T | None = None) -> T:
        """A value by how thorough this is to be."""
        if self.mode == "quick":
            return quick
        return full if self.mode == "full" and full is not None else normal

    def once(self, key: str, measure: Callable[[], Rounds]) -> Rounds:
        """Measurements that several parts look at."""
        if key not in self.rounds:
            self.rounds[key] = measure()
        return self.rounds[key]

    def say(self, text: str) -> None:
        """Tell whoever watches."""
        print(f"[{time.monotonic() - self.began:6.1f} s] {text}", file=sys.stderr, flush=True)

    def folder(self, name: str) -> Path:
        """A folder for files that nobody needs afterwards."""
        path = self.scratch / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def picture(self, name: str, svg: str) -> str:
        """Write a picture; what to call it in the report."""
        folder = self.out / "pictures"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.svg").write_text(svg, encoding="utf-8")
        return f"pictures/{name}.svg"
