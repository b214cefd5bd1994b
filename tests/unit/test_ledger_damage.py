"""What is no ledger, or no whole one, is refused in its own words and left as it is."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from bulkops.errors import LedgerError, LedgerMissing
from bulkops.ledger import SqliteStore
from bulkops.ledger.connection import Database, Mode, seal_pages
from bulkops.ledger.opening import APPLICATION_ID, FORMAT
from tests.helpers.ledger import (
    BUSY,
    CLEAR,
    CONVERSATION,
    GROUP,
    SUCCEEDED,
    Driver,
    copied,
    everything,
    flipped,
    freeze_job,
    simple_job,
)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """A small ledger, closed in order, with attempts in it."""
    path = tmp_path / "job.ledger.db"
    freeze_job(path)
    with SqliteStore.open(path, write=True) as store:
        driver = Driver.start(store)
        driver.carry_out(CONVERSATION, SUCCEEDED)
        driver.carry_out(GROUP, BUSY)
        driver.begin(CLEAR, *store.claim(CLEAR, 1))
    return path


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """A ledger as a kill leaves it: with a log of many commits, and its shared index."""
    path = tmp_path / "live" / "job.ledger.db"
    path.parent.mkdir()
    freeze_job(path, simple_job(60))
    with SqliteStore.open(path, write=True) as store:
        driver = Driver.start(store)
        for _ in range(20):
            driver.carry_out(CONVERSATION, SUCCEEDED)
        return copied(path, tmp_path / "killed", "-wal", "-shm")


def refusal(path: Path, *, write: bool = True) -> str:
    """What opening a ledger and reading it whole says."""
    with pytest.raises(LedgerError) as caught, SqliteStore.open(path, write=write) as store:
        everything(store)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("write", [True, False])
def test_a_missing_ledger_is_missing(tmp_path: Path, write: bool) -> None:
    """Not created by looking for it."""
    with pytest.raises(LedgerMissing, match="there is no ledger"):
        SqliteStore.open(tmp_path / "none.db", write=write)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("write", [True, False])
def test_an_empty_file_is_no_ledger(tmp_path: Path, write: bool) -> None:
    """SQLite would take it for an empty database."""
    (tmp_path / "empty.db").touch()
    assert "is empty (0 bytes)" in refusal(tmp_path / "empty.db", write=write)


def test_a_folder_is_no_ledger(tmp_path: Path) -> None:
    """Said in words."""
    assert "is no file" in refusal(tmp_path)


@pytest.mark.parametrize("write", [True, False])
def test_any_other_file_is_no_ledger(tmp_path: Path, write: bool) -> None:
    """A job file given by mistake, for instance."""
    path = tmp_path / "job.csv"
    path.write_text("op,From_Account\n" * 500)
    text = refusal(path, write=write)
    assert "it is no SQLite file" in text
    assert path.read_text().startswith("op,")


def test_a_foreign_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    """Byte for byte."""
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE job (id INTEGER)")
    other.close()
    before = path.read_bytes()
    assert "of another program" in refusal(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(("version", "age"), [(FORMAT - 1, "older"), (FORMAT + 1, "newer")])
def test_another_format_is_refused(ledger: Path, version: int, age: str) -> None:
    """Which version carries it on is said."""
    changed(ledger, f"PRAGMA user_version={version}")
    assert f"ledger format {version}, this bulkops knows {FORMAT}: carry it on with the {age} version" in refusal(ledger)


def changed(path: Path, sql: str) -> None:
    """Change a ledger behind its back, with checksums in order."""
    db = Database(path, Mode.WRITE)
    db.run(sql)
    db.close()


def test_a_ledger_without_its_job_was_not_completely_written(ledger: Path) -> None:
    """It can't have been: the job's row comes last."""
    changed(ledger, "DELETE FROM job")
    assert "not completely written" in refusal(ledger)


@pytest.mark.parametrize("keep", [1, 100, 511, 512, 4096, 5000, 40960, -1, -4096])
def test_a_cut_off_ledger_is_refused(ledger: Path, keep: int) -> None:
    """Wherever it is cut."""
    content = ledger.read_bytes()
    ledger.write_bytes(content[:keep])
    text = refusal(ledger)
    assert "cut off" in text or "no SQLite file" in text
    assert ledger.read_bytes() == content[:keep]


@pytest.mark.slow
@pytest.mark.parametrize("write", [True, False])
def test_a_flipped_bit_is_refused_or_harmless(ledger: Path, tmp_path: Path, write: bool) -> None:
    """Wherever it is: either the ledger is refused, or everything it says is what it said before."""
    with SqliteStore.open(ledger, write=False) as store:
        expected = everything(store)
    rng = random.Random(1)
    content = ledger.read_bytes()
    copy = tmp_path / "copy" / ledger.name
    copy.parent.mkdir()
    refused = 0
    for offset in [*range(100), *(rng.randrange(len(content)) for _ in range(200))]:
        copy.write_bytes(content)
        flipped(copy, offset, rng.randrange(8))
        try:
            with SqliteStore.open(copy, write=write) as store:
                said = everything(store)
            assert said == expected, offset
        except LedgerError:
            refused += 1
        for beside in copy.parent.glob(f"{copy.name}-*"):
            beside.unlink()
    assert refused > 290 if write else refused > 200


def test_a_flipped_bit_has_words_of_its_own(ledger: Path) -> None:
    """And the file stays as it is."""
    flipped(ledger, ledger.stat().st_size - 2000)
    before = ledger.read_bytes()
    assert "does not match its checksum" in refusal(ledger)
    assert ledger.read_bytes() == before


def test_a_header_that_denies_the_checksums_is_refused(ledger: Path) -> None:
    """Byte 20 says how much room a page reserves; without it nothing would be checked."""
    flipped(ledger, 20)
    text = refusal(ledger)
    assert "damaged" in text


def test_a_large_ledger_is_refused_when_the_damage_is_read(ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading gigabytes before the first call would take too long."""
    monkeypatch.setattr("bulkops.ledger.opening.VERIFIED_WHOLE", 0)
    page = ledger.read_bytes().index(b"u1\t1\tp1\t\t0")
    flipped(ledger, page)
    with SqliteStore.open(ledger, write=True) as store, pytest.raises(LedgerError, match="checksum"):
        list(store.results())


# -- The log -----------------------------------------------------------------------------------------------------------


def test_a_killed_ledger_opens_with_everything(killed: Path) -> None:
    """Its log is whole."""
    with SqliteStore.open(killed, write=False) as store:
        assert len(list(store.results(["succeeded"]))) == 20
    with SqliteStore.open(killed, write=True) as store:
        assert len(list(store.results(["succeeded"]))) == 20
    assert [path.name for path in killed.parent.iterdir()] == [killed.name]


@pytest.mark.slow
@pytest.mark.parametrize("write", [True, False])
def test_a_flipped_bit_in_the_log_is_refused_or_harmless(killed: Path, tmp_path: Path, write: bool) -> None:
    """SQLite itself would silently drop every result behind it."""
    with SqliteStore.open(copied(killed, tmp_path / "sound", "-wal", "-shm"), write=False) as store:
        expected = everything(store)
    log = Path(f"{killed}-wal")
    rng = random.Random(2)
    refused = 0
    for offset in [*range(32), *(rng.randrange(log.stat().st_size) for _ in range(60))]:
        copy = copied(killed, tmp_path / "copy", "-wal", "-shm")
        flipped(Path(f"{copy}-wal"), offset, rng.randrange(8))
        before = Path(f"{copy}-wal").read_bytes()
        try:
            with SqliteStore.open(copy, write=write) as store:
                assert everything(store) == expected, offset
        except LedgerError:
            refused += 1
            assert Path(f"{copy}-wal").read_bytes() == before
    assert refused > 80


def test_a_damaged_log_has_words_of_its_own(killed: Path) -> None:
    """Which say what lies behind the damage."""
    flipped(Path(f"{killed}-wal"), 32 + 24 + 100)
    assert "committed results lie behind it" in refusal(killed)


def test_a_damaged_header_of_the_log_has_words_of_its_own(killed: Path) -> None:
    """Without it the whole log would be ignored."""
    flipped(Path(f"{killed}-wal"), 17)
    assert "header of its write-ahead log is damaged" in refusal(killed)


def test_the_last_commit_is_missed_where_the_shared_index_knows_of_it(killed: Path) -> None:
    """After a kill (not after a loss of power) the index is still there."""
    log = Path(f"{killed}-wal")
    flipped(log, log.stat().st_size - 100)
    assert "committed results lie behind it" in refusal(killed)


def test_a_loss_of_power_may_tear_the_last_commit(killed: Path) -> None:
    """It was never acknowledged: what was before it counts, and the log starts anew."""
    Path(f"{killed}-shm").unlink()
    log = Path(f"{killed}-wal")
    flipped(log, log.stat().st_size - 100)
    with SqliteStore.open(killed, write=True) as store:
        assert len(list(store.results(["succeeded"]))) == 19
        assert log.stat().st_size == 0


@pytest.mark.slow
def test_a_log_cut_anywhere_keeps_what_was_synced_before(killed: Path, tmp_path: Path) -> None:
    """A loss of power drops what was not synced; with the index gone, too, every whole commit still counts."""
    size = Path(f"{killed}-wal").stat().st_size
    seen = []
    for keep in range(32, size, size // 40):
        copy = copied(killed, tmp_path / "copy", "-wal")
        with Path(f"{copy}-wal").open("r+b") as log:
            log.truncate(keep)
        with SqliteStore.open(copy, write=True) as store:
            seen.append(len(list(store.results(["succeeded"]))))
        for path in copy.parent.iterdir():
            path.unlink()
    assert seen == sorted(seen)
    assert seen[0] == 0
    assert seen[-1] >= 18


def test_a_log_of_an_earlier_generation_is_no_damage(tmp_path: Path) -> None:
    """After a checkpoint the log is written from its start again; what is left behind is of no account."""
    path = tmp_path / "live" / "job.db"
    path.parent.mkdir()
    freeze_job(path, simple_job(60))
    with SqliteStore.open(path, write=True) as store:
        assert store._writer is not None
        driver = Driver.start(store)
        for _ in range(10):
            driver.carry_out(CONVERSATION, SUCCEEDED)
        store._writer._open.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
        before = Path(f"{path}-wal").stat().st_size
        driver.carry_out(CONVERSATION, SUCCEEDED)
        assert Path(f"{path}-wal").stat().st_size == before
        copy = copied(path, tmp_path / "killed", "-wal", "-shm")
    with SqliteStore.open(copy, write=True) as store:
        assert len(list(store.results(["succeeded"]))) == 11


@pytest.mark.parametrize("size", [0, 31, 32])
def test_a_log_without_frames_says_nothing(ledger: Path, size: int) -> None:
    """A process that was killed before its first commit leaves one."""
    Path(f"{ledger}-wal").write_bytes(bytes(size))
    with SqliteStore.open(ledger, write=True) as store:
        assert store.touched()


@pytest.mark.parametrize("offset", [4, 16, 32, 44])
def test_a_spoilt_shared_index_is_of_no_account(killed: Path, offset: int) -> None:
    """SQLite makes it anew from the log, which is whole."""
    for copy in (offset, offset + 48):
        flipped(Path(f"{killed}-shm"), copy)
    with SqliteStore.open(killed, write=True) as store:
        assert len(list(store.results(["succeeded"]))) == 20


def test_a_log_that_can_not_be_read_belongs_to_the_ledger(killed: Path) -> None:
    """Without it results would be missing."""
    log = Path(f"{killed}-wal")
    log.unlink()
    log.mkdir()
    assert "-wal can't be read" in refusal(killed)


def test_the_application_id_is_ours() -> None:
    """Published: `file` and other tools may know it."""
    assert APPLICATION_ID.to_bytes(4, "big") == b"bops"


def test_other_programs_can_read_a_ledger(ledger: Path) -> None:
    """The checksums are in room that SQLite leaves alone."""
    with sqlite3.connect(ledger) as other:
        assert other.execute("SELECT count(*) FROM operation").fetchone() == (5,)
        assert other.execute("SELECT status, code FROM outcome WHERE seq = 1").fetchone() == (4, "0")
    other.close()


# -- Visitors ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def visited(killed: Path) -> Path:
    """A killed ledger that another program has opened, looked at and closed."""
    look = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM operation').fetchall()"
    subprocess.run([sys.executable, "-c", look, str(killed)], check=True)
    assert not Path(f"{killed}-wal").exists()
    return killed


def test_a_look_by_another_program_costs_nothing(visited: Path) -> None:
    """It moves the log into the file without checksums; the content is proved otherwise, and sealed when it is written to."""
    with SqliteStore.open(visited, write=False) as store:
        before = everything(store)
        assert len(list(store.results(["succeeded"]))) == 20
    with SqliteStore.open(visited, write=True) as store:
        assert everything(store) == before
    flipped(visited, visited.read_bytes().index(b"u50\t1"))
    assert "does not match its checksum" in refusal(visited)


def test_a_clean_ledger_is_not_changed_by_a_look(ledger: Path) -> None:
    """Nothing is in its log that could be moved."""
    before = ledger.read_bytes()
    with sqlite3.connect(ledger) as other:
        other.execute("SELECT count(*) FROM operation").fetchall()
    other.close()
    assert ledger.read_bytes() == before
    with SqliteStore.open(ledger, write=True) as store:
        assert store.touched()


def test_damage_is_still_found_after_such_a_look(visited: Path, tmp_path: Path) -> None:
    """In an operation, in what became of one, and in the structure."""
    content = visited.read_bytes()
    for spoilt, words in (
        (content.replace(b"u50\t1", b"u51\t1", 1), "its operations are not those of its job"),
        (content.replace(b"statuspending", b"statuspenzing", 1), "its counts are not those of its operations"),
        (content[:4096] + bytes(200) + content[4296:], "damaged"),
    ):
        copy = tmp_path / visited.name
        copy.write_bytes(spoilt)
        assert words in refusal(copy)
        assert copy.read_bytes() == spoilt


def test_checksums_are_those_of_the_checksum_vfs(ledger: Path) -> None:
    """Made anew, they are what they were."""
    before = ledger.read_bytes()
    spoilt = bytearray(before)
    for page in range(0, len(before), 4096):
        spoilt[page + 4088 : page + 4096] = bytes(8)
    ledger.write_bytes(spoilt)
    assert seal_pages(ledger) == len(before) // 4096
    assert ledger.read_bytes() == before
    assert seal_pages(ledger) == 0
