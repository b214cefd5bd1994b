"""What is no ledger, no whole one, or not this job's: through the command, in its own words, with nothing sent (F19)."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.support import conversations, mixed
from tests.helpers.command import Ended, clean_environment, credentials
from tests.helpers.crash import BESIDE, copied
from tests.helpers.crash_forks import Forks
from tests.helpers.otherserver_handle import OtherServer

pytestmark = pytest.mark.xdist_group("spoilt ledgers")  # they share what takes seconds to make

_FLAGS: Final = ("--yes", "--progress", "none", "--allow-shared-quota", "--json")
_OPERATIONS: Final = 60
_LOGGED: Final = ("", "-wal", "-shm")


class Bench:
    """Ledgers to spoil, and the command to show them to.

    Attributes:
        whole: One whose run came to its end.
        killed: One whose run was killed: its log holds most of it.
    """

    def __init__(self, folder: Path, forks: Forks, server: OtherServer) -> None:
        self.folder = folder
        self.forks = forks
        self.server = server
        job = mixed(_OPERATIONS)
        (folder / "job.csv").write_text(job.csv())
        self.whole = folder / "whole.db"
        self.run("run", "job.csv", "--ledger", "whole.db").expect(0)
        self.killed = folder / "killed.db"
        fork = forks.start(folder, "run", "job.csv", "--ledger", "killed.db", *_FLAGS)
        server.wait_for_calls(_OPERATIONS + _OPERATIONS // 2)
        fork.kill()
        forks.wait(fork)
        server.forget()
        self.expected = {command: self.said(command, self.whole) for command in ("status", "results", "resume")}
        assert not server.count
        self.calls = 0
        """Calls that the server has seen rightly."""

    def run(self, *arguments: str) -> Ended:
        """Run the command with the flags of a run."""
        return self.forks.run(self.folder, *arguments, *_FLAGS)

    def said(self, command: str, ledger: Path) -> object:
        """What a command says about a ledger that it accepts; its words where it refuses it with exit 5."""
        if command == "results":
            ended = self.forks.run(self.folder, "results", str(ledger), "--format", "jsonl")
            answer: object = ended.stdout
        else:
            flags = _FLAGS if command == "resume" else ("--json",)
            ended = self.forks.run(self.folder, command, str(ledger), *flags)
            answer = _facts(ended.json)
        assert "Traceback" not in ended.stderr
        if ended.code == 5:
            return Refused(ended.screen)
        ended.expect(0)
        return answer

    def check_nothing_sent(self) -> None:
        """See that the server has seen no other call."""
        assert self.server.count == self.calls

    def copy(self, ledger: Path, *suffixes: str) -> Path:
        """A copy of a ledger, alone in a folder."""
        folder = self.folder / "copy"
        folder.mkdir(exist_ok=True)
        for each in folder.iterdir():
            each.unlink()
        return copied(ledger, folder, *suffixes)


class Refused(str):
    """What a refusal says."""

    __slots__ = ()


def _facts(answer: dict[str, Any]) -> dict[str, Any]:
    """What an answer says but for its time and its place."""
    return {key: value for key, value in answer.items() if key not in {"elapsed_s", "ledger", "apis"}}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Ledgers to spoil."""
    folder = tmp_path_factory.mktemp("bench")
    with OtherServer() as server, Forks({**clean_environment(folder / "home"), **credentials(server)}) as forks:
        server.set(latency=0.05)
        yield Bench(folder, forks, server)


def changed(path: Path, change: Callable[[bytearray], object]) -> None:
    """Change a file's bytes."""
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(content)


def flip(offset: int, bit: int) -> Callable[[bytearray], object]:
    """Flip one bit."""

    def change(content: bytearray) -> None:
        content[offset] ^= 1 << bit

    return change


@pytest.mark.slow
def test_f19_what_is_no_whole_ledger_is_refused_each_in_its_own_words(bench: Bench) -> None:
    """F19: cut off, empty, foreign, of another format, flipped: exit 5, a message of its own each, the file left as it is."""
    size = bench.whole.stat().st_size

    def foreign(path: Path) -> None:
        path.unlink()
        with closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TABLE job (id INTEGER)")
            db.commit()

    spoilt: dict[str, Callable[[Path], object]] = {
        "0 bytes": lambda path: path.write_bytes(b""),
        "no SQLite file": lambda path: path.write_text("op,From_Account\n" * 1000),
        "another program": foreign,
        "ledger format 99": lambda path: changed(path, lambda content: content.__setitem__(slice(60, 64), b"\0\0\0\x63")),
        "in the middle of a page": lambda path: changed(path, lambda content: content.__delitem__(slice(size - 100, None))),
        "structure": lambda path: changed(path, lambda content: content.__delitem__(slice(8192, None))),
        "checksum": lambda path: changed(path, flip(size - 2000, 3)),
        "only 100 bytes": lambda path: changed(path, lambda content: content.__delitem__(slice(100, None))),
    }
    messages = {}
    for words, spoil in spoilt.items():
        ledger = bench.copy(bench.whole)
        spoil(ledger)
        before = ledger.read_bytes()
        said = bench.said("resume", ledger)
        assert isinstance(said, Refused), f"{words}: {said}"
        assert words in said, said
        assert ledger.read_bytes() == before
        messages[words] = said.replace(str(ledger), "")
    assert len(set(messages.values())) == len(spoilt)
    bench.check_nothing_sent()


@pytest.mark.slow
def test_f19_a_ledger_of_another_job_app_or_the_sandbox_is_refused(bench: Bench) -> None:
    """F19: another job file, another SDKAppID, the sandbox: exit 2, saying what differs, with nothing sent."""
    (bench.folder / "other.csv").write_text(conversations(7, start=1000).csv())

    job = bench.run("run", "other.csv", "--ledger", "whole.db").expect(2)
    app = bench.run("resume", "whole.db", "--sdkappid", "1400000001").expect(2)
    sandbox = bench.run("run", "job.csv", "--ledger", "whole.db", "--sandbox").expect(2)

    assert "another job" in job.screen
    assert f"{_OPERATIONS} operations there, 7 in the files" in job.screen
    assert "1400000042" in app.screen
    assert "sandbox" in sandbox.screen
    bench.check_nothing_sent()


def flipped_anywhere(bench: Bench, offsets: list[int], seed: int) -> int:
    """Flip one bit at each of these offsets of the whole ledger, and see what every command makes of it.

    Returns:
        How many of the looks were refused.
    """
    dice = random.Random(seed)
    refused = 0
    for offset in offsets:
        bit = dice.randrange(8)
        for command, expected in bench.expected.items():
            ledger = bench.copy(bench.whole)
            changed(ledger, flip(offset, bit))
            said = bench.said(command, ledger)
            refused += isinstance(said, Refused)
            assert isinstance(said, Refused) or said == expected, f"{command}, bit {bit} of byte {offset}: {said}"
    bench.check_nothing_sent()
    return refused


@pytest.mark.slow
def test_f19_a_flipped_bit_is_refused_or_changes_nothing_that_is_said(bench: Bench) -> None:
    """F19: one bit anywhere: exit 5, or status, results and resume say to the byte what they said before."""
    size = bench.whole.stat().st_size
    offsets = [18, 24, 96, *range(4096 + 50, size, size // 7)]

    assert flipped_anywhere(bench, offsets, 1) > len(offsets)


@pytest.mark.stress
def test_f19_a_bit_flipped_at_many_places_is_refused_or_changes_nothing(bench: Bench) -> None:
    """F19 at 300 places, every byte of the header among them."""
    dice = random.Random(2)
    size = bench.whole.stat().st_size
    offsets = [*range(100), *(dice.randrange(size) for _ in range(200))]

    refused = flipped_anywhere(bench, offsets, 3)

    print(f"\n{refused} of {3 * len(offsets)} looks at a flipped ledger of {size} bytes were refused, the others said the same")


@pytest.mark.slow
def test_f19_a_bit_flipped_in_the_log_of_a_killed_run_is_refused_or_changes_nothing(bench: Bench) -> None:
    """F19: SQLite drops everything behind a damaged frame of the log without a word; the command refuses it, whoever looks."""
    log = Path(f"{bench.killed}-wal")
    dice = random.Random(4)
    commands = ("status", "results")
    expected = {command: bench.said(command, bench.copy(bench.killed, *_LOGGED)) for command in commands}
    refused = 0
    for offset in [3, 17, 28, *(dice.randrange(32, log.stat().st_size) for _ in range(7))]:
        bit = dice.randrange(8)
        for command in commands:
            ledger = bench.copy(bench.killed, *_LOGGED)
            changed(Path(f"{ledger}-wal"), flip(offset, bit))
            said = bench.said(command, ledger)
            refused += isinstance(said, Refused)
            assert isinstance(said, Refused) or said == expected[command], f"{command}, byte {offset}"
    assert refused >= 16


@pytest.mark.slow
@pytest.mark.parametrize("deleted", [("-wal",), ("-wal", "-shm")], ids=" and ".join)
def test_f19_a_killed_ledger_without_its_log_is_refused(deleted: tuple[str, ...], bench: Bench) -> None:
    """Deleting the log of a killed run takes its results away; nobody is told that they never were, and nothing is sent again."""
    ledger = bench.copy(bench.killed, *(suffix for suffix in BESIDE if suffix not in deleted))

    for command in ("status", "results", "resume"):
        said = bench.said(command, ledger)
        assert isinstance(said, Refused), f"{command}: {said}"
        assert "-wal" in said
    bench.check_nothing_sent()


@pytest.mark.slow
def test_a_killed_ledger_that_another_program_looked_at_goes_on(bench: Bench) -> None:
    """An SQLite shell that opens a killed ledger moves its log into the file: everything is there, and the resume completes it."""
    ledger = bench.copy(bench.killed, *_LOGGED)
    before = bench.said("status", ledger)
    with closing(sqlite3.connect(ledger)) as shell:
        shell.execute("SELECT count(*) FROM operation").fetchone()
    assert not Path(f"{ledger}-wal").exists()

    assert bench.said("status", ledger) == before
    bench.run("resume", str(ledger)).expect(0)
    bench.calls = bench.server.count
