"""How a job becomes a ledger: folded, hashed, complete or not there at all."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from bulkops.errors import JobFileError, LedgerError
from bulkops.ledger import SqliteStore, adopt, freeze, remove
from bulkops.ledger.memory_rows import fold
from bulkops.model import Batch, Invalid, SourceFile
from tests.helpers.ledger import (
    BATCHES,
    CLEAR,
    CONVERSATION,
    FILES,
    GROUP,
    OPS,
    SUCCEEDED,
    Driver,
    freeze_job,
    simple_job,
)


def rows_of(batches: list[Batch]) -> list[tuple[int, str, str, int]]:
    return [row for batch in batches for row in batch.rows]


def test_a_frozen_job_says_what_it_came_to(tmp_path: Path) -> None:
    """Counts, the first bad rows, and where several options for one target are asked for."""
    frozen = freeze_job(tmp_path / "job.db")
    assert (frozen.rows, frozen.operations, frozen.duplicates, frozen.invalid) == (9, 5, 2, 2)
    assert frozen.by_op == {"delete_conversation": 2, "delete_conversation_group": 1, "clear_group_messages": 2}
    assert (frozen.variants, frozen.variants_example) == (2, ("a.csv", 2))
    assert [row.line for row in frozen.first_invalid] == [5, 2]


def test_the_hash_is_of_the_operations_in_their_order(tmp_path: Path) -> None:
    """Of their names and contents, and nothing else."""
    store_path = tmp_path / "job.db"
    frozen = freeze_job(store_path)
    with SqliteStore.open(store_path, write=False) as store:
        text = "".join(f"{op}\t{content}\n" for op, content in store.contents())
    assert frozen.sha256 == hashlib.sha256(text.encode()).hexdigest()


def test_the_hash_knows_neither_files_nor_batches_nor_references(tmp_path: Path) -> None:
    """The same operations from other files, cut otherwise, with duplicates and bad rows in between, are the same job."""
    rows = rows_of(simple_job(10))
    one = freeze_job(tmp_path / "one.db", [Batch(0, rows, [])])
    several = [
        Batch(0, rows[:3], []),
        Batch(0, [(api, content, "my id", line + 7) for api, content, _, line in rows[2:5]], []),
        Batch(1, rows[5:], [Invalid(1, 99, "", "no", "{}")]),
    ]
    other = freeze_job(tmp_path / "other.db", several)
    assert other.duplicates == 1
    assert one.sha256 == other.sha256


@pytest.mark.parametrize(
    "rows",
    [
        [(CONVERSATION, "u1\t1\tp1\t\t", "", 2), (CONVERSATION, "u2\t1\tp1\t\t", "", 3)],
        [(CONVERSATION, "u1\t1\tp1\t\t1", "", 2), (CONVERSATION, "u1\t1\tp1\t\t", "", 3)],
        [(GROUP, "u1\t1\tp1\t\t", "", 2), (CONVERSATION, "u1\t1\tp1\t\t", "", 3)],
        [(CONVERSATION, "u1\t1\tp1\t\t", "", 3)],
    ],
)
def test_another_job_has_another_hash(tmp_path: Path, rows: list[tuple[int, str, str, int]]) -> None:
    """Another target, option, API or number of operations."""
    reference = [(CONVERSATION, "u1\t1\tp1\t\t", "", 2), (CONVERSATION, "u1\t1\tp2\t\t", "", 3)]
    one = freeze_job(tmp_path / "one.db", [Batch(0, reference, [])])
    assert freeze_job(tmp_path / "other.db", [Batch(0, rows, [])]).sha256 != one.sha256


def test_repeats_are_found_however_far_apart_and_the_first_one_stays(tmp_path: Path) -> None:
    """Across batches and files; each API has its own targets, and only a trailing option makes variants."""
    batches = [
        Batch(0, [(GROUP, "u1\tName 1", "a", 2), (GROUP, "u1\tName 2", "b", 3)], []),
        Batch(0, [(CLEAR, "u1\tName 1", "c", n) for n in range(4, 3000)], []),
        Batch(1, [(GROUP, "u1\tName 1", "d", 1), (GROUP, "u1\tName 1", "e", 2), (CLEAR, "u1\tName ", "f", 3)], []),
    ]
    frozen = freeze_job(tmp_path / "job.db", batches)
    assert frozen == fold(batches, OPS, FILES).frozen
    assert (frozen.operations, frozen.duplicates, frozen.variants) == (4, 2997, 1)
    with SqliteStore.open(tmp_path / "job.db", write=False) as store:
        assert [row.ref for row in store.results()] == ["a", "b", "c", "f"]
        assert [(row.ref, row.content) for row in store.rows()][-3:] == [
            ("d", "u1\tName 1"),
            ("e", "u1\tName 1"),
            ("f", "u1\tName "),
        ]


def test_operations_of_every_stretch_are_handed_out(tmp_path: Path) -> None:
    """Also where one API comes in blocks far apart, and where its first block ends within another one's batch."""
    batches = []
    for block in range(6):
        api = (CONVERSATION, GROUP)[block % 2]
        rows = [(api, f"u{block}.{n}", "", n + 2) for n in range(9000)]
        batches += [Batch(0, rows[at : at + 3000], []) for at in range(0, 9000, 3000)]
    batches.append(Batch(0, [(CLEAR, f"@{n % 2}{n}" if n % 2 else f"@g{n}", "", n) for n in range(11)], []))
    freeze_job(tmp_path / "job.db", batches)
    with SqliteStore.open(tmp_path / "job.db", write=True) as store:
        for api, expected in ((CONVERSATION, 27000), (GROUP, 27000), (CLEAR, 11)):
            claimed = [each.seq for each in store.claim(api, 100_000)]
            assert len(claimed) == expected
            assert claimed == sorted(set(claimed))


def test_a_job_without_valid_rows_is_a_ledger_too(tmp_path: Path) -> None:
    """Its bad rows are what `results --status invalid` shows."""
    invalid = [Invalid(0, line, "Type", "no", "{}") for line in range(2, 40)]
    frozen = freeze_job(tmp_path / "job.db", [Batch(0, [], invalid)])
    assert (frozen.operations, frozen.invalid, len(frozen.first_invalid)) == (0, 38, 20)
    assert frozen.sha256 == hashlib.sha256(b"").hexdigest()
    with SqliteStore.open(tmp_path / "job.db", write=True) as store:
        assert store.claim(CONVERSATION, 5) == []
        assert len(list(store.results(["invalid"]))) == 38


def test_files_are_asked_for_after_the_last_batch(tmp_path: Path) -> None:
    """Their hashes and row counts are known only then."""
    read: list[SourceFile] = []

    def batches() -> Iterator[Batch]:
        yield from BATCHES
        read.extend(FILES)

    freeze(tmp_path / "job.db", batches(), ops=OPS, files=lambda: read, sandbox=True)
    with SqliteStore.open(tmp_path / "job.db", write=False) as store:
        assert store.files() == list(FILES)
        assert store.job().sandbox
        assert store.job().created_at > 1_600_000_000_000_000


def test_a_ledger_is_private_whatever_the_umask(tmp_path: Path) -> None:
    """The file, and what SQLite puts beside it while it is open."""
    before = os.umask(0)
    try:
        freeze_job(tmp_path / "job.db")
        with SqliteStore.open(tmp_path / "job.db", write=True) as store:
            Driver.start(store).carry_out(CONVERSATION, SUCCEEDED)
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("job.db", "job.db-wal", "job.db-shm"), 0o600)


def test_a_restrictive_umask_does_not_lock_us_out(tmp_path: Path) -> None:
    """0600 is what it says."""
    before = os.umask(0o777)
    try:
        freeze_job(tmp_path / "job.db")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "job.db").stat().st_mode) == 0o600


def test_nothing_that_exists_is_overwritten(tmp_path: Path) -> None:
    """Neither a file nor what a symbolic link points to."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "link.db").symlink_to(victim)
    (tmp_path / "dangling.db").symlink_to(tmp_path / "elsewhere")
    for name in ("victim", "link.db", "dangling.db"):
        with pytest.raises(LedgerError, match="there already"):
            freeze_job(tmp_path / name)
    assert victim.read_text() == "precious"
    assert not (tmp_path / "elsewhere").exists()


def test_a_place_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    """With what to do."""
    with pytest.raises(LedgerError, match=r"no such folder|can't be created .*--ledger"):
        freeze_job(tmp_path / "nowhere" / "job.db")


def test_a_reader_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    """Half a job is no job."""

    def batches() -> Iterator[Batch]:
        yield BATCHES[0]
        raise JobFileError("the file is cut off")

    with pytest.raises(JobFileError):
        freeze(tmp_path / "job.db", batches(), ops=OPS, files=lambda: FILES, sandbox=False)
    assert list(tmp_path.iterdir()) == []


def test_a_ledger_gets_its_name_when_it_is_complete(tmp_path: Path) -> None:
    """In place of the old one, of which nothing stays, its log least of all."""
    target, building = tmp_path / "job.ledger.db", tmp_path / "job.ledger.db.bulkops-new"
    freeze_job(target)
    for suffix in ("-wal", "-shm"):
        Path(f"{target}{suffix}").write_bytes(b"of the old one")
    frozen = freeze_job(building, simple_job(3))
    adopt(building, target)
    assert [path.name for path in tmp_path.iterdir()] == ["job.ledger.db"]
    with SqliteStore.open(target, write=False) as store:
        assert store.job().sha256 == frozen.sha256


def test_an_old_log_is_gone_for_good_before_the_new_file_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a loss of power leaves: never the new file beside the old log."""
    target, building = tmp_path / "job.db", tmp_path / "job.db.new"
    freeze_job(building)
    log = Path(f"{target}-wal")
    log.write_bytes(b"of the old one")
    seen: list[tuple[bool, bool]] = []
    monkeypatch.setattr(os, "fsync", lambda _: seen.append((log.exists(), target.exists())))
    adopt(building, target)
    assert seen == [(True, False), (False, False), (False, True)]


def test_adopting_what_is_not_there_is_an_error_of_the_ledger(tmp_path: Path) -> None:
    """With the path in it."""
    with pytest.raises(LedgerError, match=r"job\.db can't be put in its place"):
        adopt(tmp_path / "missing", tmp_path / "job.db")


def test_removing_a_ledger_removes_what_lies_beside_it(tmp_path: Path) -> None:
    """And nothing else."""
    for name in ("job.db", "job.db-wal", "job.db-shm", "job.db.lock"):
        (tmp_path / name).touch()
    remove(tmp_path / "job.db")
    remove(tmp_path / "job.db")
    assert [path.name for path in tmp_path.iterdir()] == ["job.db.lock"]
