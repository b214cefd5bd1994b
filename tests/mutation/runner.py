"""Applies mutations to a copy of the repository, one at a time, and sees whether tests fail. The checkout is never touched."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Final

from tests.mutation.mutant import Mutation

ROOT: Final = Path(__file__).parents[2]
_COPIED: Final = ("bulkops", "tests", "docs", "jobs", "requirements", "benchmarks", "pyproject.toml", "README.md", "Makefile")
_LONGEST: Final = 120.0
"""Seconds that the tests of one mutation may take. One that hangs is not caught: name a test that fails."""

_ALL: Final = 600.0
"""Seconds that all tests together may take while nothing is broken."""

_TESTS_FAILED: Final = 1  # pytest's exit code


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one mutation.

    Args:
        caught: A test failed, as it must.
        how: In words.
        output: What pytest wrote.
    """

    mutation: Mutation
    caught: bool
    how: str
    seconds: float
    output: str


class Copy:
    """A copy of the repository in which tests run against the copied package."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        folder.mkdir()
        ignore = shutil.ignore_patterns("__pycache__", ".*", "*.pyc")
        for name in _COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, folder / name, ignore=ignore)
            elif source.exists():
                shutil.copy2(source, folder / name)
        # Neither compiled files of the source as it was, nor pytest's memory of other runs, nor measured coverage.
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "PYTEST"))}
        self._environ = kept | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}

    def check(self) -> None:
        """See that the copied package is the one that Python takes.

        Raises:
            RuntimeError: It is another one.
        """
        found = self._python("-c", "import bulkops; print(bulkops.__file__)").stdout.strip()
        if not found.startswith(str(self.root)):
            raise RuntimeError(f"tests in the copy would import {found or 'no bulkops at all'}")

    def test(self, tests: Iterable[str], longest: float = _LONGEST) -> tuple[int | None, str]:
        """Run these tests until one fails.

        Args:
            tests: As pytest takes them.
            longest: Seconds that they may take.

        Returns:
            pytest's exit code, `None` where it had to be ended, and what it wrote.
        """
        try:
            done = self._python(
                "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", "not stress", *tests, longest=longest
            )
        except subprocess.TimeoutExpired as late:
            return None, (late.stdout or b"").decode("utf-8", "replace") if isinstance(late.stdout, bytes) else ""
        return done.returncode, done.stdout

    def _python(self, *arguments: str, longest: float = _LONGEST) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.root,
            env=self._environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=longest,
            text=True,
            errors="replace",
            check=False,
        )

    def apply(self, mutation: Mutation) -> Outcome:
        """Break one promise, run the tests, and mend it again."""
        sources = mutation.sources(self.root)
        begun = time.monotonic()
        try:
            for file, (_, mutated) in sources.items():
                (self.root / file).write_text(mutated, encoding="utf-8")
            code, output = self.test(mutation.tests)
        finally:
            for file, (original, _) in sources.items():
                (self.root / file).write_text(original, encoding="utf-8")
        caught = code == _TESTS_FAILED
        how = {None: "HUNG", 0: "SURVIVED", _TESTS_FAILED: _first_failure(output)}.get(code, f"pytest ended with {code}")
        return Outcome(mutation, caught, how, time.monotonic() - begun, output)


def carry_out(mutations: Iterable[Mutation], folder: Path, jobs: int) -> Iterator[Outcome]:
    """Carry out mutations in copies below a folder, several at a time; outcomes as they come."""
    copies: SimpleQueue[Copy] = SimpleQueue()
    for number in range(jobs):
        copies.put(Copy(folder / f"copy{number}"))
    first = copies.get()
    first.check()
    copies.put(first)
    outcomes: SimpleQueue[Outcome | BaseException] = SimpleQueue()
    todo = list(mutations)
    stopping = threading.Event()

    def one(mutation: Mutation) -> None:
        if stopping.is_set():
            return
        copy = copies.get()
        try:
            outcomes.put(copy.apply(mutation))
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits for the outcomes
            outcomes.put(error)
        finally:
            copies.put(copy)

    with ThreadPoolExecutor(jobs) as pool:
        for mutation in todo:
            pool.submit(one, mutation)
        try:
            for _ in todo:
                outcome = outcomes.get()
                if isinstance(outcome, BaseException):
                    raise outcome
                yield outcome
        finally:
            stopping.set()


def sound(mutations: Iterable[Mutation], folder: Path) -> str:
    """What is wrong with the tests before anything is broken; empty where all of them pass."""
    tests = sorted({test for mutation in mutations for test in mutation.tests})
    code, output = Copy(folder / "sound").test(tests, _ALL)
    return "" if code == 0 else output


def _first_failure(output: str) -> str:
    failed = [line.split(" - ")[0] for line in output.splitlines() if line.startswith(("FAILED tests/", "ERROR tests/"))]
    return f"caught by {failed[0].rpartition('::')[2]}" if failed else "caught"
