"""What only the ledger as a file has to do: readers beside a run, files beside the file, full disks, speed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import apsw
import pytest

from bulkops.errors import LedgerError
from bulkops.ledger import Changes, SqliteStore, ledger_lock
from bulkops.ledger.connection import Database, Mode, create_private, seal_pages
from bulkops.ledger.sql import queries
from bulkops.model import Intent, Operation, Status
from tests.helpers.ledger import (
    BUSY,
    CONVERSATION,
    EXHAUSTED,
    FAILED,
    SECOND,
    START,
    SUCCEEDED,
    Driver,
    by_status,
    copied,
    everything,
    freeze_job,
    settled,
    simple_job,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A frozen job of 300 operations."""
    freeze_job(tmp_path / "job.ledger.db", simple_job(300))
    return tmp_path / "job.ledger.db"


# -- Files ---------------------------------------------------------------------------------------------------------------


def test_a_ledger_closed_in_order_is_one_file(path: Path) -> None:
    """Nothing beside it, so that copying it copies everything."""
    with SqliteStore.open(path, write=True) as store:
        Driver.start(store).carry_out(CONVERSATION, SUCCEEDED)
        assert Path(f"{path}-wal").exists()
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_reading_a_closed_ledger_leaves_nothing_beside_it(path: Path) -> None:
    """Not even while it is read."""
    with SqliteStore.open(path, write=False) as store:
        everything(store)
        assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["a?b#c%20d&e.db", "ü 漢字.db", "with space.db", ":memory:", "-x.db"])
def test_any_file_name_will_do(tmp_path: Path, name: str) -> None:
    """Names mean nothing to SQLite."""
    path = tmp_path / name
    freeze_job(path)
    for write in (False, True, False):
        with SqliteStore.open(path, write=write) as store:
            assert store.job().operations == 5
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_a_name_that_is_no_utf8_is_refused_in_words(tmp_path: Path) -> None:
    """SQLite can't open it."""
    path = tmp_path / os.fsdecode(b"\xff.db")
    with pytest.raises(LedgerError, match="no UTF-8"):
        freeze_job(path)
    assert list(tmp_path.iterdir()) == []


def test_a_symbolic_link_to_a_ledger_leads_to_it(path: Path, tmp_path: Path) -> None:
    """Whoever put it there meant it; the log lies beside the file, not beside the link."""
    (tmp_path / "other").mkdir()
    link = tmp_path / "other" / "link.db"
    link.symlink_to(path)
    with SqliteStore.open(link, write=True) as store:
        Driver.start(store).carry_out(CONVERSATION, SUCCEEDED)
        assert Path(f"{path}-wal").exists()
        with SqliteStore.open(path, write=False) as reader:
            assert by_status(reader.figures())[Status.SUCCEEDED] == 1
    assert [each.name for each in link.parent.iterdir()] == ["link.db"]


def test_other_databases_of_the_process_are_left_alone(path: Path) -> None:
    """The checksum VFS is used by ledgers only."""
    with SqliteStore.open(path, write=False):
        assert apsw.vfs_names()[0] != "cksmvfs"
        assert apsw.Connection(":memory:").open_vfs != "cksmvfs"


# -- Readers beside a run ------------------------------------------------------------------------------------------------


def test_a_reader_can_not_write(path: Path) -> None:
    """Not by mistake either."""
    with SqliteStore.open(path, write=False) as store:
        for write in (
            lambda: store.confirm(START),
            lambda: store.claim(CONVERSATION, 1),
            lambda: store.apply(Changes(1)),
            lambda: store.recover(hold=False, at=START),
        ):
            with pytest.raises(LedgerError, match="for reading only"):
                write()


def test_a_closed_store_says_so(path: Path) -> None:
    """Instead of something about connections; closing it again does nothing."""
    store = SqliteStore.open(path, write=True)
    store.close()
    store.close()
    with pytest.raises(LedgerError, match="is closed"):
        store.figures()


def test_a_reader_sees_what_a_live_run_has_made_durable(path: Path) -> None:
    """And what is under way counts as under way while the lock is held, as lost when it is not."""
    lock = ledger_lock(path)
    lock.acquire()
    with SqliteStore.open(path, write=True) as store:
        driver = Driver.start(store)
        driver.carry_out(CONVERSATION, SUCCEEDED)
        with SqliteStore.open(path, write=False) as reader:
            driver.begin(CONVERSATION, *store.claim(CONVERSATION, 2))
            assert by_status(reader.figures()) == {Status.PENDING: 297, Status.SENDING: 2, Status.SUCCEEDED: 1}
            assert reader.figures().apis["delete_conversation"].calls == 1
            lock.release()
            assert reader.figures().apis["delete_conversation"].codes == {"0": 1, "lost": 2}


def test_a_reader_of_a_closed_ledger_notices_that_a_run_begins(path: Path) -> None:
    """It read without locks; from then on it reads like any other."""
    with SqliteStore.open(path, write=False) as reader:
        assert by_status(reader.figures()) == {Status.PENDING: 300}
        with SqliteStore.open(path, write=True) as store:
            Driver.start(store).carry_out(CONVERSATION, SUCCEEDED)
            assert by_status(reader.figures()) == {Status.PENDING: 299, Status.SUCCEEDED: 1}
            assert len(list(reader.results(["succeeded"]))) == 1


def test_whoever_only_holds_the_lock_is_not_yet_at_work(path: Path) -> None:
    """So looking at a ledger before continuing it leaves no log beside it either."""
    lock = ledger_lock(path)
    lock.acquire()
    with SqliteStore.open(path, write=False) as store:
        everything(store)
    lock.release()
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_results_in_the_middle_of_a_run_do_not_hold_its_log(tmp_path: Path) -> None:
    """A half-read answer keeps no transaction open."""
    path = tmp_path / "job.db"
    freeze_job(path, simple_job(9000))
    with SqliteStore.open(path, write=True) as store, SqliteStore.open(path, write=False) as reader:
        rows = reader.rows()
        assert next(rows).status == "pending"
        Driver.start(store).carry_out(CONVERSATION, SUCCEEDED)
        assert store._writer is not None
        store._writer.checkpoint()
        assert Path(f"{path}-wal").stat().st_size == 0
        assert sum(1 for _ in rows) == 8999


def test_a_killed_ledger_can_be_read_and_stays_as_it_is(path: Path, tmp_path: Path) -> None:
    """Whoever looks at it first does not change what the next run finds."""
    with SqliteStore.open(path, write=True) as store:
        driver = Driver.start(store)
        driver.begin(CONVERSATION, *store.claim(CONVERSATION, 3))
        killed = copied(path, tmp_path / "killed", "-wal", "-shm")
    before = killed.read_bytes(), Path(f"{killed}-wal").read_bytes()
    with SqliteStore.open(killed, write=False) as store:
        assert store.orphan_count() == 3
        assert [row.status for row in store.results(["sending"])] == ["sending"] * 3
    assert (killed.read_bytes(), Path(f"{killed}-wal").read_bytes()) == before


LOOK = """
import os, sys
from pathlib import Path
from bulkops.errors import LedgerError
from bulkops.ledger import SqliteStore
from bulkops.ledger.connection import _checksum_vfs
_checksum_vfs()
if os.geteuid() == 0:  # root may write everywhere
    os.setgid(65534)
    os.setuid(65534)
try:
    with SqliteStore.open(Path(sys.argv[1]), write=False) as store:
        print(sum(row.status == "succeeded" for row in store.rows()))
except LedgerError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("closed", "suffixes", "said"),
    [
        (True, (), "1"),
        (False, ("-wal", "-shm"), "1"),
        (False, ("-wal",), "its folder can't be written, which SQLite needs"),
        (False, (), "its log is gone"),
    ],
)
def test_a_ledger_can_be_read_where_nothing_can_be_written(
    path: Path, closed: bool, suffixes: tuple[str, ...], said: str
) -> None:
    """An archive, for instance: closed in order, or killed with all its files; otherwise it is said what to do."""
    with tempfile.TemporaryDirectory() as folder, SqliteStore.open(path, write=True) as store:
        Driver.start(store).carry_out(CONVERSATION, SUCCEEDED)
        if closed:
            store.close()
        archive = copied(path, Path(folder) / "archive", *suffixes)
        rights = {each: (0o500 if each.is_dir() else 0o400) for each in (*archive.parent.iterdir(), archive.parent)}
        Path(folder).chmod(0o755)
        for each, mode in rights.items():
            if os.geteuid() == 0:
                os.chown(each, 65534, 65534)
            each.chmod(mode)
        shown = subprocess.run([sys.executable, "-c", LOOK, str(archive)], capture_output=True, text=True, check=True)
        archive.parent.chmod(0o700)
    assert said in shown.stdout


# -- Trouble -------------------------------------------------------------------------------------------------------------


def carry_out_all(driver: Driver) -> None:
    """Until nothing is left."""
    while driver.store.claim(CONVERSATION, 0) == []:
        driver.carry_out(CONVERSATION, FAILED)


@pytest.mark.slow
def test_a_full_disk_ends_the_writing(path: Path) -> None:
    """In words, with the path; what was durable before stays, and closing writes nothing more."""
    store = SqliteStore.open(path, write=True)
    driver = Driver.start(store)
    driver.carry_out(CONVERSATION, SUCCEEDED)
    assert store._writer is not None
    store._writer.run(f"PRAGMA max_page_count={store._writer.value('PRAGMA page_count')}")
    with pytest.raises(LedgerError, match=r"no space is left on the disk of .*job\.ledger\.db"):
        carry_out_all(driver)
    done = by_status(store.figures())
    store.close()
    assert Path(f"{path}-wal").stat().st_size > 0
    with SqliteStore.open(path, write=True) as store:
        assert by_status(store.figures()) == done


def test_a_change_is_whole_or_not_at_all(path: Path) -> None:
    """A group that contradicts what is on record leaves nothing behind."""
    with SqliteStore.open(path, write=True) as store:
        driver = Driver.start(store)
        operation = driver.carry_out(CONVERSATION, BUSY)
        before = everything(store)
        again = settled(Operation(1, operation.content), SUCCEEDED, START, START)[0]
        changes = Changes(driver.process, [(CONVERSATION, Intent(9, 1, START))], [(CONVERSATION, again)])
        with pytest.raises(LedgerError, match="UNIQUE constraint"):
            store.apply(changes)
        assert everything(store) == before


def test_a_program_that_locks_the_ledger_is_named_as_the_cause(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database shell with an open transaction, say."""
    monkeypatch.setattr("bulkops.ledger.connection._BUSY_MS", 1)
    hold = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('BEGIN IMMEDIATE');"
        " print('held', flush=True); sys.stdin.read()"
    )
    with SqliteStore.open(path, write=True) as store:
        Driver.start(store)
        command = [sys.executable, "-c", hold, str(path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == b"held\n"
            with pytest.raises(LedgerError, match="locked by another program"):
                store.confirm(START)
            other.communicate()


def test_a_missing_checksum_vfs_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An apsw that was built without its extras."""
    from bulkops.ledger.connection import _checksum_vfs

    def missing(*_: object) -> None:
        raise apsw.sqlite_extra.NotAvailable("cksumvfs is not included")

    monkeypatch.setattr(apsw.sqlite_extra, "load", missing)
    _checksum_vfs.cache_clear()
    try:
        with pytest.raises(LedgerError, match="lacks SQLite's checksum VFS"):
            SqliteStore.open(path, write=False)
    finally:
        _checksum_vfs.cache_clear()


@pytest.mark.parametrize(
    ("code", "mode", "words"),
    [
        (apsw.SQLITE_NOTADB, Mode.WRITE, "no SQLite file"),
        (apsw.SQLITE_IOERR_DATA, Mode.READ, "does not match its checksum"),
        (apsw.SQLITE_CORRUPT, Mode.READ, "damaged or cut off"),
        (apsw.SQLITE_FULL, Mode.BUILD, "no space is left on the disk"),
        (apsw.SQLITE_BUSY, Mode.WRITE, "locked by another program"),
        (apsw.SQLITE_CANTOPEN, Mode.READ, "its folder can't be written"),
        (apsw.SQLITE_CANTOPEN, Mode.WRITE, "check the rights"),
        (apsw.SQLITE_READONLY, Mode.WRITE, "check the rights"),
        (apsw.SQLITE_IOERR_FSYNC, Mode.WRITE, r"the disk failed on .*SQLITE_IOERR_FSYNC"),
        (apsw.SQLITE_TOOBIG, Mode.WRITE, "TooBigError"),
    ],
)
def test_what_sqlite_says_is_said_in_words(path: Path, code: int, mode: Mode, words: str) -> None:
    """With the path, and what to do."""
    db = Database(path, Mode.READ)
    db.mode = mode

    def fail() -> bool:
        raise apsw.exception_for(code)

    db._open.set_progress_handler(fail, 1)
    with pytest.raises(LedgerError, match=words) as caught:
        db.all("SELECT * FROM operation")
    assert str(path) in str(caught.value)
    assert isinstance(caught.value.__cause__, apsw.Error)
    db.close()


def test_a_path_through_a_file_leads_nowhere(path: Path) -> None:
    """Said in words, by stores and connections alike."""
    for attempt in (lambda: SqliteStore.open(path / "x", write=True), lambda: Database(path / "x", Mode.READ)):
        with pytest.raises(LedgerError, match="can't be read"):
            attempt()


def test_a_ledger_that_can_not_be_sealed_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that can't be written, for instance."""

    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(LedgerError, match="Read-only file system"):
        seal_pages(path)


def test_a_reader_that_is_overtaken_in_the_middle_of_a_look_looks_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it read without locks while a run was writing is worth nothing, an error least of all."""
    with SqliteStore.open(path, write=False) as reader, SqliteStore.open(path, write=True) as store:
        original = Database.value
        looks = []

        def torn(db: Database, sql: str, args: tuple[object, ...] = ()) -> object:
            looks.append(db.mode)
            if db.mode is Mode.FROZEN:
                Driver.start(store).carry_out(CONVERSATION, SUCCEEDED)
                raise LedgerError("torn")
            return original(db, sql, args)

        monkeypatch.setattr(reader._reader._db, "value", torn.__get__(reader._reader._db))
        assert reader.touched()
        assert looks == [Mode.FROZEN]
        assert reader._reader._db.mode is Mode.READ


def test_an_error_without_a_run_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody wrote: looking again would not help."""
    with SqliteStore.open(path, write=False) as reader:

        def broken(*_: object) -> None:
            raise LedgerError("broken")

        monkeypatch.setattr(reader._reader._db, "value", broken)
        with pytest.raises(LedgerError, match="broken"):
            reader.touched()


# -- Size and speed ------------------------------------------------------------------------------------------------------


def test_statements_of_a_commit_touch_only_their_own_rows(path: Path) -> None:
    """No statement that runs while operations are carried out scans a table that grows with the job."""
    hot = {**queries("commit"), **{name: queries("store")[name] for name in ("claim_open", "claim_untouched", "orphans")}}
    db = Database(path, Mode.READ)
    for name, sql in hot.items():
        count = max(
            (int(sql[at + 1]) for at, sign in enumerate(sql) if sign == "?" and sql[at + 1 : at + 2].isdigit()), default=0
        )
        args = ("[]",) * (count or sql.count("?"))
        plan = [row[3] for row in db.all(f"EXPLAIN QUERY PLAN {sql}", args)]
        scans = [
            line
            for line in plan
            if line.startswith("SCAN") and "VIRTUAL TABLE" not in line and "USING INDEX sending" not in line
        ]
        assert [line for line in scans if line.split()[1] in {"operation", "o", "open", "w", "attempt"}] == [], name
    db.close()


def test_names_of_statements_are_unique() -> None:
    """A second one of a name would silently win."""
    for file in ("schema", "freeze", "store", "commit", "recovery", "read"):
        assert all(queries(file).values())


@pytest.mark.slow
def test_an_operation_takes_at_most_250_bytes_with_its_attempts(tmp_path: Path) -> None:
    """Also where one in thirty needs a second attempt."""
    total, path = 20_000, tmp_path / "job.db"
    freeze_job(path, simple_job(total))
    with SqliteStore.open(path, write=True) as store:
        driver = Driver.start(store)
        while claimed := store.claim(CONVERSATION, 500):
            driver.begin(CONVERSATION, *claimed)
            changes = driver.changes()
            outcomes = [BUSY if each.seq % 30 == 0 else SUCCEEDED for each in claimed]
            results = [settled(each, how, START, START + SECOND) for each, how in zip(claimed, outcomes, strict=True)]
            changes.settlements = [(CONVERSATION, settlement) for settlement, _ in results]
            store.apply(changes)
            for _, after in [result for result, how in zip(results, outcomes, strict=True) if how is BUSY]:
                driver.again(CONVERSATION, after, EXHAUSTED)
    assert path.stat().st_size / total <= 250


def test_a_resume_reads_no_more_than_it_needs(tmp_path: Path) -> None:
    """The first claim after a long run looks at the operations that are left, not at those that ended."""
    path = tmp_path / "job.db"
    freeze_job(path, simple_job(5000))
    with SqliteStore.open(path, write=True) as store:
        driver = Driver.start(store)
        driver.begin(CONVERSATION, *store.claim(CONVERSATION, 4990))
        changes = driver.changes()
        changes.settlements = [(api, settled(before, SUCCEEDED, START, START)[0]) for api, before in driver.sending.values()]
        store.apply(changes)
    with SqliteStore.open(path, write=True) as store:
        assert store._claims is not None
        assert store._claims._low[CONVERSATION].mark == 4990
        assert [each.seq for each in store.claim(CONVERSATION, 100)] == list(range(4991, 5001))


def test_a_private_file_is_made_once(tmp_path: Path) -> None:
    """Whoever comes second is told."""
    create_private(tmp_path / "x")
    with pytest.raises(LedgerError, match="there already"):
        create_private(tmp_path / "x")
