"""Promises that no other quick test pins by itself: each of these fails where `tests.mutation` breaks what it is about."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import threading
import time
import traceback
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bulkops import app
from bulkops.app.run import ClientFactory
from bulkops.cli.files import append_private
from bulkops.engine.clock import SystemClock
from bulkops.errors import BulkopsError, ConfigError, JobFileError, LedgerError, LedgerHeld, LedgerMismatch
from bulkops.ledger import SqliteStore, adopt, freeze, lanes
from bulkops.ledger.group import GroupCommit
from bulkops.ledger.lanes import lane_lock
from bulkops.ledger.lock import FileLock, ledger_lock
from bulkops.ledger.records import Changes
from bulkops.ledger.tally import Tally
from bulkops.model import Intent, Operation, Status, StopKind
from bulkops.settings import Secret, Settings, check_endpoint
from bulkops.testing import ScriptedClient, answered, ok, worst_window
from tests.helpers.enginekit import Stage, always, between, carry_out
from tests.helpers.ledger import CONVERSATION, FILES, OPS, SUCCEEDED, a_process, freeze_job, settled, simple_job

KEY = "5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e"
SETTINGS = Settings(sdkappid=1400000077, identifier="administrator", secret_key=Secret(KEY), endpoint="https://chat.invalid")


# -- Pace ----------------------------------------------------------------------------------------------------------------


def test_a_disk_that_stalls_makes_no_burst() -> None:
    """The ledger takes two seconds for what it usually does in 20 ms: the calls that waited for it do not leave together."""

    def during(stage: Stage) -> None:
        stage.at(2.0, lambda: setattr(stage.ledger, "_commit", 2.0))
        stage.at(2.03, lambda: setattr(stage.ledger, "_commit", 0.02))

    trial = carry_out(1500, always(ok()), during=during)

    assert worst_window(trial.departures()) <= 200


def test_departures_are_spread_over_the_second() -> None:
    """A tenth of a second holds a tenth of the limit and what the bucket saves up, not a whole second's calls."""
    trial = carry_out(1000, always(ok()), latency=0.001)

    assert worst_window(trial.departures(), 0.1) <= 20 + 16 + 1


def test_a_fatal_answer_stops_the_run() -> None:
    """Even one that comes but a few times: nothing says that the calls after it were right."""
    trial = carry_out(1000, between(2.0, 2.02, answered(60020)))

    assert trial.stopped_by.kind is StopKind.FATAL
    assert trial.calls(2.2, 60.0) == 0
    assert set(trial.statuses()) == {"succeeded", "pending"}


# -- Durability ------------------------------------------------------------------------------------------------------------


def test_every_commit_is_synced(tmp_path: Path) -> None:
    """The writing connection is set to sync each commit, on macOS with the sync that really is one."""
    freeze_job(tmp_path / "job.db")
    with SqliteStore.open(tmp_path / "job.db", write=True) as store:
        writer = store._writer
        assert writer is not None
        assert writer.value("pragma synchronous") == 2  # FULL
        assert writer.value("pragma fullfsync") == 1
        assert writer.value("pragma journal_mode") == "wal"


def test_a_ledger_is_synced_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file, then the rename, then the folder: whatever is cut off, the name never stands for half a ledger."""
    steps: list[str] = []
    target, building = tmp_path / "job.ledger.db", tmp_path / "job.ledger.db.bulkops-new"
    freeze(building, simple_job(3), ops=OPS, files=lambda: FILES, sandbox=False)
    inode = building.stat().st_ino
    fsync, rename = os.fsync, Path.rename

    def recording_fsync(handle: int) -> None:
        steps.append("file" if os.fstat(handle).st_ino == inode else "folder")
        fsync(handle)

    def recording_rename(path: Path, to: Path) -> Path:
        steps.append("rename")
        return rename(path, to)

    monkeypatch.setattr(os, "fsync", recording_fsync)
    monkeypatch.setattr(Path, "rename", recording_rename)
    adopt(building, target)

    assert "file" in steps[: steps.index("rename")]
    assert "folder" in steps[steps.index("rename") :]


class SlowDisk:
    """A store whose commits wait until they are let through, or fail."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.through = threading.Event()
        self.asked = threading.Event()
        self.fails = False
        self.applied = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def apply(self, changes: Changes) -> Tally:
        self.asked.set()
        assert self.through.wait(5)
        if self.fails:
            raise LedgerError("the disk failed")
        self.applied += 1
        return self._store.apply(changes)

    async def until_asked(self) -> None:
        """Wait until a commit is under way."""
        await asyncio.to_thread(self.asked.wait, 5)
        self.asked.clear()


@contextlib.asynccontextmanager
async def slow_ledger(folder: Path) -> AsyncIterator[tuple[GroupCommit, SlowDisk, Operation]]:
    """A ledger of three operations over a slow disk, and the first of them."""
    freeze_job(folder / "job.db", simple_job(3))
    with SqliteStore.open(folder / "job.db", write=True) as store:
        process = store.start_process(a_process())
        disk = SlowDisk(store)
        commit = GroupCommit(disk, process=process, clock=SystemClock())
        (operation,) = await commit.claim(CONVERSATION, 1)
        try:
            yield commit, disk, operation
        finally:
            disk.through.set()
            with contextlib.suppress(LedgerError):
                await commit.aclose()


async def test_an_intent_is_done_once_it_is_durable(tmp_path: Path) -> None:
    """Whoever waits for it, and sends then, sends nothing that the disk doesn't know."""
    async with slow_ledger(tmp_path) as (ledger, disk, operation):
        begun = asyncio.ensure_future(ledger.begin(CONVERSATION, [Intent(operation.seq, 1, 1)]))
        await disk.until_asked()
        await asyncio.sleep(0.02)
        assert not begun.done()
        disk.through.set()
        await begun
        assert disk.applied == 1


async def test_a_result_is_counted_once_it_is_durable(tmp_path: Path) -> None:
    """What is shown and reported is what a crash would leave."""
    async with slow_ledger(tmp_path) as (ledger, disk, operation):
        disk.through.set()
        await ledger.begin(CONVERSATION, [Intent(operation.seq, 1, 1)])
        disk.asked.clear()
        disk.through.clear()
        ledger.settle(CONVERSATION, settled(operation, SUCCEEDED, 1, 2)[0])
        await disk.until_asked()
        await asyncio.sleep(0.02)

        def succeeded() -> int:
            return ledger.figures.apis["delete_conversation"].by_status[Status.SUCCEEDED]

        assert succeeded() == 0
        disk.through.set()
        await ledger.flush()
        assert succeeded() == 1


async def test_after_a_failed_commit_nothing_is_written(tmp_path: Path) -> None:
    """A later commit might seem to succeed although the failed one is gone."""
    async with slow_ledger(tmp_path) as (ledger, disk, operation):
        disk.fails = True
        disk.through.set()
        with pytest.raises(LedgerError):
            await ledger.begin(CONVERSATION, [Intent(operation.seq, 1, 1)])
        disk.fails = False
        with pytest.raises(LedgerError):
            await ledger.begin(CONVERSATION, [Intent(operation.seq, 1, 1)])
        ledger.settle(CONVERSATION, settled(operation, SUCCEEDED, 1, 2)[0])
        await asyncio.sleep(0.1)
        assert disk.applied == 0
        assert ledger.failed is not None


# -- Who may --------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_ledger_has_one_holder(tmp_path: Path) -> None:
    """The second one is refused within a second and told who holds it."""
    first, second = ledger_lock(tmp_path / "job.db"), ledger_lock(tmp_path / "job.db")
    first.acquire("the first run")
    begun = time.monotonic()
    with pytest.raises(LedgerHeld, match=rf"process {os.getpid()} on .* \(the first run\)"):
        second.acquire()
    assert time.monotonic() - begun < 1.0
    first.release()
    second.acquire()
    second.release()


@pytest.mark.slow
def test_a_lane_has_one_user(tmp_path: Path) -> None:
    """Whatever their ledgers; unless the user says that they share."""
    locks = [lane_lock(1400000001, "chat.invalid", "delete_conversation", tmp_path) for _ in range(3)]
    locks[0].acquire_lane()
    with pytest.raises(LedgerHeld, match="delete_conversation of app 1400000001"):
        locks[1].acquire_lane()
    locks[2].acquire_lane(shared=True)
    for lock in (locks[2], locks[0]):
        lock.release_lane()


def test_a_lock_follows_no_symbolic_link(tmp_path: Path) -> None:
    """What the link points to stays as it is, or does not come into being."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    for name, place in (("link", victim), ("dangling", tmp_path / "elsewhere")):
        (tmp_path / name).symlink_to(place)
        with pytest.raises(LedgerError, match="symbolic link"):
            FileLock(tmp_path / name).acquire()
    assert victim.read_text() == "precious"
    assert not (tmp_path / "elsewhere").exists()


def test_a_log_file_follows_no_symbolic_link(tmp_path: Path) -> None:
    """Likewise."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "link").symlink_to(victim)
    with pytest.raises(ConfigError):
        append_private(tmp_path / "link")
    assert victim.read_text() == "precious"


@pytest.mark.parametrize(
    ("endpoint", "allowed"),
    [
        ("http://127.0.0.1:8080", True),
        ("http://[::1]:8080", True),
        ("http://localhost", True),
        ("https://console.tim.qq.com", True),
        ("http://console.tim.qq.com", False),
        ("http://10.0.0.1", False),
        ("http://0.0.0.0", False),
        ("http://localhost.example", False),
        ("http://127.0.0.1.example", False),
        ("http://127.0.0.1@chat.example", False),
        ("http://2130706433.example", False),
    ],
)
def test_plain_http_goes_to_loopback_only(endpoint: str, allowed: bool) -> None:
    """Anywhere else it would show the UserSig to the network."""
    if allowed:
        check_endpoint(endpoint)
    else:
        with pytest.raises(ConfigError):
            check_endpoint(endpoint)


def test_settings_never_show_the_key() -> None:
    """Neither repr, str, a format, a traceback, nor what the ledger stores of them; pickling is refused."""
    shown = [repr(SETTINGS), str(SETTINGS), f"{SETTINGS!s} {SETTINGS.secret_key}", repr(SETTINGS.stored())]
    shown.append(str(replace(SETTINGS, canary=3)))
    try:
        raise BulkopsError(SETTINGS.secret_key)
    except BulkopsError as error:
        shown.append("".join(traceback.TracebackException.from_exception(error, capture_locals=True).format()))
    assert not any(KEY in text for text in shown)
    with pytest.raises(TypeError):
        pickle.dumps(SETTINGS)


# -- Whole runs, with a scripted client ------------------------------------------------------------------------------------


@pytest.fixture
def _own_lanes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lane locks in the test's folder."""
    place = tmp_path / "lanes"
    place.mkdir()
    monkeypatch.setattr(lanes, "_SHARED_PLACE", place)


class OneClient:
    """One scripted client for all runs of a test."""

    def __init__(self) -> None:
        self.scripted = ScriptedClient(always(ok()), clock=time.monotonic, latency=0.001)
        self.factory: ClientFactory = lambda *_: contextlib.nullcontext(self.scripted)

    @property
    def departures(self) -> list[float]:
        return self.scripted.departures.get("clear_group_messages", [])


def job_file(folder: Path, name: str, rows: int) -> str:
    """A job of clears."""
    path = folder / name
    path.write_text("op,GroupId,MsgSeq\n" + "".join(f"clear_group_messages,@{name}{row},1\n" for row in range(rows)))
    return str(path)


async def carried_out(file: str, settings: Settings, client: OneClient) -> None:
    """Run a job to its end."""
    async with app.open_run([file], settings=settings, client=client.factory) as run:
        assert (await run.finish()).exit == 0


@pytest.mark.slow
@pytest.mark.usefixtures("_own_lanes")
async def test_the_limit_holds_across_two_processes(tmp_path: Path) -> None:
    """A run that begins right after another one on the same lane waits until that one's window is over."""
    client = OneClient()
    settings = replace(SETTINGS, rates={"clear_group_messages": 5})
    for name in ("a.csv", "b.csv"):
        await carried_out(job_file(tmp_path, name, 4), settings, client)

    assert len(client.departures) == 8
    assert worst_window(client.departures) <= 5


@pytest.mark.usefixtures("_own_lanes")
async def test_values_are_sent_byte_for_byte(tmp_path: Path) -> None:
    """Spaces around a name, and case, are part of it; an id with a space around it is an error, not another id."""
    client = OneClient()
    names = ("Friends", " Friends", "Friends ", "friends", "\u00a0Friends", "ﬁ", "fi", "e\u0301", "\u00e9")
    for kind, text in (
        ("csv", "op,From_Account,GroupName\n" + "".join(f'delete_conversation_group,u,"{name}"\n' for name in names)),
        ("jsonl", "".join(f'{{"op":"delete_conversation_group","From_Account":"u","GroupName":"{name}"}}\n' for name in names)),
    ):
        client.scripted.sent.clear()
        (tmp_path / f"{kind}.{kind}").write_text(text)
        await carried_out(str(tmp_path / f"{kind}.{kind}"), SETTINGS, client)
        assert {content for _, content in client.scripted.sent} == {f"u\t{name}" for name in names}
    for spoilt in (" u", "u "):
        (tmp_path / "bad.csv").write_text(f"op,From_Account,GroupName\ndelete_conversation_group,{spoilt},x\n")
        with pytest.raises(JobFileError):
            await carried_out(str(tmp_path / "bad.csv"), SETTINGS, client)


@pytest.mark.usefixtures("_own_lanes")
async def test_one_bad_row_and_nothing_is_sent(tmp_path: Path) -> None:
    """Not even the client is made."""
    client = OneClient()
    file = Path(job_file(tmp_path, "a.csv", 3))
    file.write_text(file.read_text() + "clear_group_messages,@g,-1\n")

    with pytest.raises(JobFileError) as refused:
        await carried_out(str(file), SETTINGS, client)

    assert refused.value.total == 1
    assert refused.value.invalid[0].line == 5
    assert not client.departures


@pytest.mark.slow
@pytest.mark.usefixtures("_own_lanes")
async def test_a_sandbox_ledger_stays_in_the_sandbox(tmp_path: Path) -> None:
    """It never continues against a real host, nor the reverse."""
    client = OneClient()
    await carried_out(job_file(tmp_path, "a.csv", 1), replace(SETTINGS, sandbox=True), client)
    await carried_out(job_file(tmp_path, "b.csv", 1), SETTINGS, client)

    for ledger, sandbox in (("a.sandbox.ledger.db", False), ("b.ledger.db", True)):
        with pytest.raises(LedgerMismatch):
            async with app.open_resume(tmp_path / ledger, settings=replace(SETTINGS, sandbox=sandbox), client=client.factory):
                pass


@pytest.mark.usefixtures("_own_lanes")
async def test_a_job_refused_for_its_invalid_rows_is_not_resumed_past_them(tmp_path: Path) -> None:
    """Its ledger is kept for the list of them alone; told to skip them, it is carried out, and resumed."""
    client = OneClient()
    job = job_file(tmp_path, "a.csv", 2)
    Path(job).write_text(Path(job).read_text() + "clear_group_messages, @space,1\n")
    ledger = tmp_path / "a.ledger.db"
    with pytest.raises(JobFileError, match="1 row is invalid"):
        await carried_out(job, SETTINGS, client)
    for opening in (app.open_resume, app.open_retry):
        with pytest.raises(JobFileError, match="1 row is invalid: repair the job, or run it with --on-invalid skip"):
            async with opening(ledger, settings=SETTINGS, client=client.factory):
                pass
    assert not client.departures

    async with app.open_run([job], settings=SETTINGS, on_invalid="skip", client=client.factory) as run:
        await run.finish()
    async with app.open_resume(ledger, settings=SETTINGS, client=client.factory) as run:
        assert run.plan.figures.invalid == 1


@pytest.mark.usefixtures("_own_lanes")
async def test_a_host_has_one_lane_however_it_is_spelt(tmp_path: Path) -> None:
    """Port, case and a dot at its end make no second quota."""
    client = OneClient()
    async with app.open_run([job_file(tmp_path, "a.csv", 1)], settings=SETTINGS, client=client.factory):
        for spelling in ("https://chat.invalid:443", "https://CHAT.invalid", "https://chat.invalid./"):
            settings = replace(SETTINGS, endpoint=spelling)
            with pytest.raises(LedgerHeld, match="the lane clear_group_messages"):
                await carried_out(job_file(tmp_path, "b.csv", 1), settings, client)


@pytest.mark.usefixtures("_own_lanes")
async def test_a_program_stops_a_run_without_saying_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths or texts name files; who carried it out is the process's user, whatever the environment says."""
    monkeypatch.setenv("LOGNAME", "mallory")
    client = OneClient()
    job = Path(job_file(tmp_path, "a.csv", 300))
    async with app.open_run([job], settings=SETTINGS, ledger=str(tmp_path / "x.db"), client=client.factory) as run:
        asyncio.get_running_loop().call_later(0.2, run.stop)
        summary = await run.finish()

    assert (summary.state, summary.reason, summary.exit) == ("stopped", "stopped by the program", 4)
    with SqliteStore.open(tmp_path / "x.db", write=False) as store:
        assert store.processes()[0].operator not in {"", "mallory"}


@pytest.mark.usefixtures("_own_lanes")
async def test_a_ledger_belongs_to_its_app(tmp_path: Path) -> None:
    """From its first result on no other SDKAppID continues it."""
    client = OneClient()
    await carried_out(job_file(tmp_path, "a.csv", 1), SETTINGS, client)

    with pytest.raises(LedgerMismatch, match="SDKAppID 1400000077"):
        async with app.open_resume(
            tmp_path / "a.ledger.db", settings=replace(SETTINGS, sdkappid=1400000078), client=client.factory
        ):
            pass
