"""Who may use a ledger, and who a lane: one at a time, and the other is told who."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import Mock

import pytest

from bulkops.errors import LedgerError, LedgerHeld
from bulkops.ledger import FileLock, LaneHistory, SqliteStore, held, is_network_fs, lane_lock, ledger_lock
from bulkops.ledger.lanes import lane_folder
from bulkops.ledger.lock import open_lock_file
from tests.helpers.ledger import CONVERSATION, SUCCEEDED, Driver, freeze_job

HOLDER = """
import sys
from pathlib import Path
from bulkops.ledger import {function}
lock = {call}
print("held", flush=True)
sys.stdin.read()
{release}
"""


@contextmanager
def another_process(function: str, call: str, release: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds a lock until it is killed or its input ends."""
    code = HOLDER.format(function=function, call=call, release=release)
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process
        process.communicate()


def holding(path: Path) -> str:
    return f"FileLock(Path({str(path)!r})); lock.acquire('bulkops run')"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal comes at once."""
    monkeypatch.setattr("bulkops.ledger.lock._PATIENCE", 0.0)


# -- Ledgers -------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_second_process_is_refused_within_a_second_and_told_who_holds_it(tmp_path: Path) -> None:
    """pid, host and start."""
    path = tmp_path / "job.db.lock"
    with another_process("FileLock", holding(path)) as process:
        began = time.monotonic()
        with pytest.raises(LedgerHeld) as caught:
            FileLock(path, "the ledger job.db").acquire()
        assert time.monotonic() - began < 1
        holder = held(path)
        assert holder is not None
        assert (holder.pid, holder.host) == (process.pid, socket.gethostname())
        assert str(caught.value).startswith(
            f"the ledger job.db is in use, held by process {process.pid} on {socket.gethostname()} since 2"
        )
        assert caught.value.holder.endswith("UTC (bulkops run)")
        assert not holder.is_this_process
    assert held(path) is None


@pytest.mark.slow
def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    """Its file stays; the lock ended with the process."""
    path = tmp_path / "lock"
    with another_process("FileLock", holding(path)) as process:
        process.kill()
        process.wait()
        assert path.exists()
        assert held(path) is None
        FileLock(path).acquire()


@pytest.mark.usefixtures("impatient")
def test_a_held_ledger_stays_held_whatever_its_holder_opens(tmp_path: Path) -> None:
    """Closing a descriptor of the ledger drops SQLite's locks, not ours: ours is on a file of its own."""
    path = tmp_path / "job.db"
    freeze_job(path)
    lock = ledger_lock(path)
    lock.acquire()
    with SqliteStore.open(path, write=True) as store:
        path.read_bytes()
        Driver.start(store).carry_out(CONVERSATION, SUCCEEDED)
        with pytest.raises(LedgerHeld):
            ledger_lock(path).acquire()
    lock.release()


def test_a_lock_can_be_taken_again_after_its_release(tmp_path: Path) -> None:
    """And leaves nothing behind."""
    lock = FileLock(tmp_path / "lock")
    for _ in range(3):
        lock.acquire("once more")
        assert lock.acquired
        assert held(lock.path) is not None
        lock.release()
        lock.release()
    assert not lock.acquired
    assert list(tmp_path.iterdir()) == []


def test_a_lock_is_the_same_for_every_path_to_the_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative, absolute, or through a link."""
    (tmp_path / "job.db").touch()
    (tmp_path / "link.db").symlink_to(tmp_path / "job.db")
    monkeypatch.chdir(tmp_path)
    paths = {ledger_lock(path).path for path in (Path("job.db"), tmp_path / "job.db", Path("link.db"))}
    assert paths == {tmp_path / "job.db.lock"}


def test_a_lock_file_is_private_not_inherited_and_no_link(tmp_path: Path) -> None:
    """Whatever the umask."""
    before = os.umask(0)
    try:
        lock = FileLock(tmp_path / "lock")
        lock.acquire()
    finally:
        os.umask(before)
    assert stat.S_IMODE(lock.path.stat().st_mode) == 0o600
    assert lock._handle is not None
    assert not os.get_inheritable(lock._handle)
    lock.release()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LedgerError, match="symbolic link"):
        FileLock(tmp_path / "link").acquire()
    assert not (tmp_path / "elsewhere").exists()


def test_a_place_without_rights_is_named(tmp_path: Path) -> None:
    """A folder that is not there, for instance."""
    with pytest.raises(LedgerError, match=r"nowhere/lock can't be opened"):
        FileLock(tmp_path / "nowhere" / "lock").acquire()


def test_a_look_does_not_keep_anybody_out(tmp_path: Path) -> None:
    """While somebody looks, for a moment, taking the lock is tried again."""
    lock = FileLock(tmp_path / "lock")
    lock.path.touch()
    handle = os.open(lock.path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_SH)
    timer = threading.Timer(0.05, os.close, (handle,))
    timer.start()
    lock.acquire()
    timer.join()
    lock.release()


def test_a_file_removed_by_its_last_holder_is_not_mistaken_for_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever opened it before it was removed has locked nothing, and takes the one that is there now."""
    path = tmp_path / "lock"
    opened: list[int] = []

    def open_and_lose_the_first(path: Path) -> int:
        opened.append(open_lock_file(path))
        if len(opened) == 1:
            path.unlink()
        return opened[-1]

    monkeypatch.setattr("bulkops.ledger.lock.open_lock_file", open_and_lose_the_first)
    lock = FileLock(path)
    lock.acquire()
    assert len(opened) == 2
    assert held(path) is not None
    lock.release()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("content", [b"", b"\xff\x00", b'{"pid": "no number"}'])
def test_a_holder_that_says_nothing_readable_is_a_holder_all_the_same(tmp_path: Path, content: bytes) -> None:
    """It may be about to write."""
    path = tmp_path / "lock"
    path.write_bytes(content)
    handle = os.open(path, os.O_RDWR)
    fcntl.flock(handle, fcntl.LOCK_EX)
    assert held(path) is not None
    with pytest.raises(LedgerHeld, match="another process"):
        FileLock(path).acquire()
    os.close(handle)


def test_a_file_system_without_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes could not be told apart there."""

    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(LedgerError, match="knows no locks"):
        FileLock(tmp_path / "lock").acquire()


def test_a_lock_file_that_can_not_be_written_is_an_error_of_the_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk, for instance."""

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", refuse)
    lock = FileLock(tmp_path / "lock")
    with pytest.raises(LedgerError, match="No space left"):
        lock.acquire()
    lock.release()
    assert held(tmp_path / "lock") is None


# -- Lanes ---------------------------------------------------------------------------------------------------------------


def test_a_lane_is_app_host_and_op(tmp_path: Path) -> None:
    """Another app, host or API is another lane; a host's case is of no account."""
    lanes = [(1, "a.example", "x"), (2, "a.example", "x"), (1, "b.example", "x"), (1, "a.example", "y")]
    assert len({lane_lock(*lane, place=tmp_path).path for lane in lanes}) == 4
    assert lane_lock(1, "A.example", "x", tmp_path).path == lane_lock(1, "a.example", "x", tmp_path).path


def test_a_lane_says_when_its_last_call_left(tmp_path: Path) -> None:
    """So that the next run waits no longer than it must."""
    first = lane_lock(1, "a.example", "x", tmp_path)
    assert first.acquire_lane("run") == LaneHistory(clean=True, last_departure=0)
    first.release_lane(1234)
    second = lane_lock(1, "a.example", "x", tmp_path)
    assert second.acquire_lane("run") == LaneHistory(clean=True, last_departure=1234)
    second.release_lane()  # it made no call: what the first one did still holds
    assert lane_lock(1, "a.example", "x", tmp_path).acquire_lane() == LaneHistory(clean=True, last_departure=1234)


def test_a_lane_that_can_not_be_given_back_in_writing_counts_as_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk under the lock folder doesn't spoil the end of a run; the next one waits for the whole window."""
    first = lane_lock(1, "a.example", "x", tmp_path)
    first.acquire_lane("run")
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", Mock(side_effect=OSError(28, "No space left on device")))
        first.release_lane(1234)
    assert next(tmp_path.glob("*.lane")).stat().st_size, "cut to nothing it would look new, as after a kill right there"
    assert lane_lock(1, "a.example", "x", tmp_path).acquire_lane("run") == LaneHistory(clean=False, last_departure=0)


def test_a_run_without_a_call_does_not_hide_that_one_before_it_was_killed(tmp_path: Path) -> None:
    """Else the next one would not wait for the end of the window in which the killed one may have made calls."""
    killed = lane_lock(1, "a.example", "x", tmp_path)
    killed.acquire_lane("run")
    os.close(killed._handle or 0)  # what the kernel does for a process that dies
    killed._handle = None
    began = time.time_ns() // 1000
    declined = lane_lock(1, "a.example", "x", tmp_path)
    assert not declined.acquire_lane("run").clean
    declined.release_lane()
    after = lane_lock(1, "a.example", "x", tmp_path).acquire_lane("run")
    assert after.clean
    assert after.last_departure >= began


@pytest.mark.usefixtures("impatient")
def test_a_lane_in_use_is_refused_and_shared_only_on_demand(tmp_path: Path) -> None:
    """Who shares knows nothing of when calls left."""
    first, second = (lane_lock(1, "a.example", "x", tmp_path) for _ in range(2))
    first.acquire_lane("run")
    with pytest.raises(LedgerHeld, match=rf"the lane x of app 1 at a.example is in use, held by process {os.getpid()}"):
        second.acquire_lane("run")
    assert second.acquire_lane("run", shared=True) == LaneHistory(clean=False, last_departure=0)
    second.release_lane(99)
    first.release_lane(55)
    assert second.acquire_lane("run") == LaneHistory(clean=True, last_departure=55)
    second.release_lane(55)


@pytest.mark.usefixtures("impatient")
def test_who_shares_a_lane_keeps_others_out_too(tmp_path: Path) -> None:
    """Unless they share it as well; afterwards nobody knows when the last call left."""
    first, second = (lane_lock(1, "a.example", "x", tmp_path) for _ in range(2))
    first.acquire_lane("run", shared=True)
    with pytest.raises(LedgerHeld):
        second.acquire_lane("run")
    second.acquire_lane("run", shared=True)
    first.release_lane(1)
    second.release_lane(2)
    assert first.acquire_lane("run") == LaneHistory(clean=False, last_departure=0)
    first.release_lane()


@pytest.mark.slow
def test_after_a_kill_the_lane_is_free_but_not_clean(tmp_path: Path) -> None:
    """Calls may have left a moment ago."""
    call = f"lane_lock(1, 'a.example', 'x', Path({str(tmp_path)!r})); lock.acquire_lane('run')"
    with another_process("lane_lock", call) as process:
        process.kill()
        process.wait()
    lock = lane_lock(1, "a.example", "x", tmp_path)
    assert lock.acquire_lane() == LaneHistory(clean=False, last_departure=0)
    lock.release_lane()


def test_lane_locks_are_in_a_folder_of_the_users_own(tmp_path: Path) -> None:
    """Closed to others, also where it was open before."""
    folder = lane_folder((tmp_path,))
    assert folder == tmp_path / f"bulkops-{os.getuid()}"
    folder.chmod(0o777)
    assert stat.S_IMODE(lane_folder((tmp_path,)).stat().st_mode) == 0o700


def test_a_folder_that_others_prepared_is_not_used(tmp_path: Path) -> None:
    """A link or a file in its place: the next place is tried, and without any the run does not begin."""
    bad, good = tmp_path / "bad", tmp_path / "good"
    bad.mkdir()
    good.mkdir()
    (bad / f"bulkops-{os.getuid()}").symlink_to(good)
    assert lane_folder((bad, good)).parent == good
    (tmp_path / f"bulkops-{os.getuid()}").touch()
    with pytest.raises(LedgerError, match="no safe folder"):
        lane_folder((bad, tmp_path, tmp_path / "missing"))


def test_by_default_lanes_are_the_same_for_every_run_of_a_user() -> None:
    """Whatever TMPDIR says."""
    assert lane_lock(1, "a.example", "x").path.parent == Path("/tmp") / f"bulkops-{os.getuid()}"


# -- Network file systems ------------------------------------------------------------------------------------------------


def test_network_file_systems_are_recognised_by_their_mount(tmp_path: Path) -> None:
    """The nearest mount counts."""
    share = tmp_path / "my share"
    (share / "local").mkdir(parents=True)
    mounts = tmp_path / "mounts"
    lines = ["/dev/vda / ext4 rw 0 0", f"host:/x {str(share).replace(' ', chr(92) + '040')} nfs4 rw 0 0"]
    lines += [f"/dev/vdb {str(share).replace(' ', chr(92) + '040')}/local ext4 rw 0 0", "broken"]
    mounts.write_text("\n".join(lines))
    assert is_network_fs(share / "job.db", mounts)
    assert not is_network_fs(share / "local" / "job.db", mounts)
    assert not is_network_fs(tmp_path, mounts)
    mounts.write_text("x / fuse.sshfs rw 0 0")
    assert is_network_fs(tmp_path, mounts)


def test_where_no_mounts_are_listed_nothing_is_claimed(tmp_path: Path) -> None:
    """macOS, for instance."""
    assert not is_network_fs(tmp_path, tmp_path / "missing")
