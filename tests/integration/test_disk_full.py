"""A disk that is full for real, and other places where nothing can be written (F4), with room made afterwards."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.support import Job, check_reconciled, conversations
from tests.helpers.command import Command, Ended
from tests.helpers.crash import Chronicle
from tests.helpers.crash_forks import Forks
from tests.helpers.otherserver_handle import OtherServer, wait_until

_LATENCY: Final = 0.3
_LATEST: Final = 0.1
"""Seconds after the error in which a call may still arrive (F4)."""
_DRAIN: Final = 10.0
"""Seconds in which what is in flight is drained (F4)."""
_NOTICED: Final = 0.5
"""Seconds, a few commits, in which a run notices that its ledger is gone."""
_SIZE: Final = 8 << 20


_LITTLE: Final = 64 << 10
"""Bytes that are too few for a ledger."""


class SmallDisk:
    """A file system of 8 MiB in memory, which can be filled and emptied."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def free(self) -> int:
        """Bytes that are free."""
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_frsize

    def fill(self, leave: int = 0) -> float:
        """Leave so much room; the moment from which there was no more."""
        with (self.folder / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while not leave or self.free > leave:
                file.write(bytes(4096))
        return time.time()

    def remount(self, how: str) -> None:
        """Make it `ro` or `rw`."""
        subprocess.run(["mount", "-o", f"remount,{how}", str(self.folder)], check=True)

    def empty(self) -> None:
        """Make room."""
        (self.folder / "filler").unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A small disk of its own; skipped where it can't be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "bulkops-test", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode(errors='replace').strip()}")
    yield SmallDisk(folder)
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
def test_f4_a_disk_that_fills_up_mid_run_stops_it_and_a_resume_completes_it(
    disk: SmallDisk, tmp_path: Path, forks: Forks, server: OtherServer
) -> None:
    """F4: no room for the log: exit 5 within 10 s, no new call 100 ms after the error, 0 lost; with room made, it completes."""
    server.set(latency=_LATENCY)
    job = conversations(250)
    (tmp_path / "job.csv").write_text(job.csv())
    ledger = disk.folder / "job.ledger.db"
    run = forks.start(tmp_path, "run", "job.csv", "--ledger", str(ledger), "--yes", "--json", "--progress", "plain")
    server.wait_for_calls(100)

    disk.fill()
    wait_until(lambda: "stopping: no space is left" in run.said, "the run to stop", patience=_DRAIN, every=0.002)
    said_at = time.time()
    ended = forks.wait(run, _DRAIN + 2).expect(5)

    assert time.time() - said_at <= _DRAIN
    assert ended.continuation == ("resume", str(ledger))
    assert max(call.at for call in server.record.calls) <= said_at + _LATEST
    chronicle = Chronicle(job.targets)
    left = chronicle.killed(ledger, time.time())
    assert ended.json["by_status"]["succeeded"] <= len(left.ended)
    assert forks.run(tmp_path, "status", str(ledger), "--json").expect(0).json["by_status"] == ended.json["by_status"]
    disk.empty()
    check_done(forks.run(tmp_path, "resume", str(ledger), "--json"), job, server, chronicle)


def check_done(done: Ended, job: Job, server: OtherServer, chronicle: Chronicle) -> None:
    """See that what was resumed was completed, and every promise kept."""
    record = server.record
    check_reconciled(done.expect(0).json, record, job)
    chronicle.check_calls(record)
    chronicle.check_effects(record)


@pytest.mark.slow
def test_f4_a_disk_that_is_full_at_the_start_stops_the_run_before_it_sends_anything(
    disk: SmallDisk, tmp_path: Path, forks: Forks, server: OtherServer
) -> None:
    """F4: no room for the frozen job: exit 5, nothing sent, nothing left behind; with room made, the same command carries it out."""
    (tmp_path / "job.csv").write_text(conversations(20).csv())
    arguments = ("run", "job.csv", "--ledger", str(disk.folder / "job.ledger.db"), "--yes", "--progress", "none")
    disk.fill(leave=_LITTLE)

    refused = forks.run(tmp_path, *arguments).expect(5)

    assert "no space is left" in refused.screen
    assert refused.continuation == arguments
    assert [path.name for path in disk.folder.iterdir()] == ["filler"]
    assert server.count == 0
    disk.empty()
    forks.run(tmp_path, *arguments).expect(0)
    assert server.count == 20


@pytest.mark.slow
def test_a_limit_on_the_size_of_files_stops_the_run_like_a_full_disk(command: Command, server: OtherServer) -> None:
    """RLIMIT_FSIZE, which needs no rights: the process is not killed by its signal; exit 5 in words; without it, it completes."""
    server.set(latency=0.1)
    job = conversations(150)
    command.file("job.csv", job.csv())
    ledger = command.folder / "job.ledger.db"
    limit = ["prlimit", f"--fsize={200 << 10}"]

    ended = command.run("run", "job.csv", "--yes", "--json", prefix=limit).expect(5)

    assert ended.continuation == ("resume", "job.ledger.db")
    assert server.count > 0
    chronicle = Chronicle(job.targets)
    assert ended.json["by_status"]["succeeded"] <= len(chronicle.killed(ledger, time.time()).ended)
    check_done(command.run("resume", ledger, "--json"), job, server, chronicle)


@pytest.mark.slow
def test_a_disk_that_can_not_be_written_is_named_and_can_be_read(
    disk: SmallDisk, tmp_path: Path, forks: Forks, server: OtherServer
) -> None:
    """Read-only: run and resume exit 5 with nothing sent; status and results of a ledger that was closed in order answer."""
    (tmp_path / "job.csv").write_text(conversations(20).csv())
    ledger = str(disk.folder / "job.ledger.db")
    forks.run(tmp_path, "run", "job.csv", "--ledger", ledger, "--yes", "--rate", "10", "--max-duration", "1").expect(4)
    sent = server.count
    disk.remount("ro")
    try:
        new = forks.run(tmp_path, "run", "job.csv", "--ledger", f"{disk.folder}/new.db", "--yes").expect(5)
        resumed = forks.run(tmp_path, "resume", ledger).expect(5)
        assert forks.run(tmp_path, "status", ledger, "--json").expect(0).json["operations"] == 20
        assert forks.run(tmp_path, "results", ledger).expect(0).stdout.count("\n") == 21
    finally:
        disk.remount("rw")

    assert "Read-only file system" in new.screen
    assert "Read-only file system" in resumed.screen
    assert server.count == sent
    forks.run(tmp_path, "resume", ledger, "--rate", "200").expect(0)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["folder removed", "ledger moved", "log removed"])
def test_a_ledger_that_vanishes_under_a_run_stops_it(what: str, tmp_path: Path, forks: Forks, server: OtherServer) -> None:
    """Its folder or log removed, the file moved: nothing more is written where nobody finds it, so nothing more is sent: exit 5."""
    server.set(latency=0.05)
    (tmp_path / "job.csv").write_text(conversations(1000).csv())
    folder = tmp_path / "ledgers"
    folder.mkdir()
    ledger = folder / "job.ledger.db"
    run = forks.start(tmp_path, "run", "job.csv", "--ledger", str(ledger), "--yes", "--json")
    server.wait_for_calls(60)

    if what == "folder removed":
        shutil.rmtree(folder)
    elif what == "ledger moved":
        ledger.rename(folder / "moved.db")
    else:
        Path(f"{ledger}-wal").unlink()
    gone_at = time.time()
    ended = forks.wait(run, 20).expect(5)

    assert "was moved, removed or replaced while it was in use" in ended.screen
    assert max(call.at for call in server.record.calls) <= gone_at + _NOTICED
    if what == "ledger moved":
        assert "its log is gone" in forks.run(folder, "status", "moved.db").expect(5).screen
        for suffix in ("-wal", "-shm"):
            Path(f"{ledger}{suffix}").rename(folder / f"moved.db{suffix}")
        assert forks.run(folder, "status", "moved.db", "--json").expect(0).json["by_status"]["succeeded"] > 0
