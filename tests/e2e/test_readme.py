"""The commands that README.md and docs/ show are run, and answer as shown.

A block is run where the line `<!-- run -->` comes before it:

    <!-- run -->
    ```console
    $ bulkops plan jobs/demo.csv
    bulkops will carry out 300 operations, in about 0.5s:
    …
    ```

Lines that begin with `$ ` are commands; the lines after one are what it prints. A line `…` stands for any number of lines, and
numbers are not compared, for they differ from run to run. Without any lines after it a command only has to succeed. A command
that is to end otherwise says so: `<!-- run exit=2 -->` holds for the last command of its block.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.helpers.command import NAME, clean_environment
from tests.helpers.otherserver_handle import ROOT

pytestmark = pytest.mark.slow

_BLOCK: Final = re.compile(r"^<!-- run(?: exit=(\d+))? -->\n+```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SOME: Final = "…"
_PATIENCE: Final = 60


@dataclass(frozen=True)
class Block:
    """A fenced block that is to be run.

    Args:
        where: File and line.
        steps: Each command with the lines that it prints.
        code: Exit code of the last one.
    """

    where: str
    steps: tuple[tuple[str, tuple[str, ...]], ...]
    code: int = 0


def documents() -> list[Path]:
    """README.md, once there is one, and everything in docs/."""
    return [path for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))) if path.exists()]


def blocks_of(text: str, name: str) -> Iterator[Block]:
    """The blocks of a document that are to be run."""
    for match in _BLOCK.finditer(text):
        steps: list[tuple[str, list[str]]] = []
        for line in match[2].splitlines():
            if line.startswith("$ "):
                steps.append((line[2:], []))
            else:
                steps[-1][1].append(line)
        where = f"{name}:{text.count(chr(10), 0, match.start()) + 1}"
        yield Block(where, tuple((command, tuple(lines)) for command, lines in steps), int(match[1] or 0))


def all_blocks() -> list[Block]:
    """The blocks of all documents."""
    return [block for path in documents() for block in blocks_of(path.read_text("utf-8"), path.name)]


def pattern_of(lines: tuple[str, ...]) -> re.Pattern[str]:
    """What fits the shown lines: any lines for `…`, any number for a number, any run of blanks for blanks."""
    parts = []
    for line in lines:
        if line.strip() == _SOME:
            parts.append(r"(?:.*\n)*?")
        else:
            words = (re.sub(r"[0-9]+(?:\\[.,:][0-9]+)*", r"[0-9][0-9.,:]*", re.escape(word)) for word in line.split())
            parts.append(r"\s*" + r"\s+".join(words) + r"\s*\n")
    return re.compile("".join(parts))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sample jobs and the command's name in it, where nobody's files are touched."""
    folder = tmp_path_factory.mktemp("documents")
    shutil.copytree(ROOT / "jobs", folder / "jobs", ignore=shutil.ignore_patterns("*.ledger.db*"))  # of whoever tried them
    programs = folder / "home" / "bin"
    programs.mkdir(parents=True)
    (programs / "bulkops").write_text("#!/bin/sh\nexec " + " ".join(f"'{word}'" for word in NAME) + ' "$@"\n')
    (programs / "bulkops").chmod(0o755)
    return folder


def test_the_readme_shows_something_that_is_run() -> None:
    """Else what it shows could differ from what happens."""
    readme = ROOT / "README.md"
    assert list(blocks_of(readme.read_text("utf-8"), readme.name))


@pytest.mark.parametrize("block", all_blocks(), ids=lambda block: block.where)
def test_what_the_documents_show_is_what_happens(block: Block, place: Path) -> None:
    """Each command of a block succeeds, or ends as announced, and prints what is shown."""
    environ = clean_environment(place / "home")
    environ["PATH"] = os.pathsep.join([str(place / "home" / "bin"), environ["PATH"]])
    for number, (command, lines) in enumerate(block.steps, start=1):
        ended = subprocess.run(
            ["bash", "-c", command],
            cwd=place,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            text=True,
            timeout=_PATIENCE,
        )
        expected = block.code if number == len(block.steps) else 0
        assert ended.returncode == expected, f"{block.where}: {command}\n{ended.stdout}"
        shown = tuple(line for line in lines if line.strip())
        printed = "".join(f"{line}\n" for line in ended.stdout.splitlines() if line.strip())
        assert not shown or pattern_of(shown).fullmatch(printed), f"{block.where}: {command} prints\n{printed}"


def test_shown_lines_are_compared_but_for_numbers() -> None:
    """What this file takes for the same and what not."""
    shown = pattern_of(("ledger: job.ledger.db", _SOME, "300 of 300 operations ended (100.0 %): 300 succeeded"))

    assert shown.fullmatch("ledger: job.ledger.db\nanything\n\n  290 of 300 operations ended (96.7 %): 290 succeeded\n")
    assert not shown.fullmatch("ledger: job.ledger.db\n  290 of 300 operations ended (96.7 %): 290 failed\n")
    assert not shown.fullmatch("ledger: other.ledger.db\n 3 of 3 operations ended (1 %): 3 succeeded\n")


def test_blocks_are_found_with_their_commands_and_exit_code() -> None:
    """Only blocks that are marked; several commands in one; the announced exit code."""
    text = (
        "x\n```console\n$ rm\n```\n<!-- run exit=2 -->\n\n```console\n$ a\nout\n$ b\n```\n<!-- run -->\n```console\n$ c\n```\n"
    )

    first, second = blocks_of(text, "n")

    assert first == Block("n:5", (("a", ("out",)), ("b", ())), 2)
    assert second.steps == (("c", ()),)
    assert second.code == 0
