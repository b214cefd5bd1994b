"""From rows to a complete ledger: loaded, folded, hashed, made durable, and only then given its name.

Memory stays bounded whatever the size: rows go to disk as they come, and repeats are found by SQLite's sorter, which works on
disk. Knows no file format and no catalog; what it must know of an API is given with it.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from operator import itemgetter
from pathlib import Path
from typing import Final

from bulkops.errors import LedgerError
from bulkops.ledger.connection import PAGE_SIZE, Database, Mode, create_private
from bulkops.ledger.mending import hash_of
from bulkops.ledger.opening import APPLICATION_ID, FORMAT
from bulkops.ledger.records import FIRST_INVALID, Frozen, storable
from bulkops.ledger.sql import queries
from bulkops.ledger.tally import fresh
from bulkops.model import Batch, Invalid, SourceFile

_SQL: Final = queries("freeze")
_NEAR: Final = 16384
"""Rows between two stretches of one API up to which they count as one."""

BESIDE: Final = ("-wal", "-shm", "-journal")
"""What SQLite puts beside a file."""


def freeze(
    path: Path,
    batches: Iterable[Batch],
    *,
    ops: Sequence[tuple[str, bool]],
    files: Callable[[], Sequence[SourceFile]],
    sandbox: bool,
    at: int | None = None,
) -> Frozen:
    """Build a ledger of a job at a path where nothing is yet. Complete and closed on return; `adopt` gives it its name.

    Args:
        path: Where; the file is created 0600 and removed again if anything fails.
        batches: The job's rows, file after file.
        ops: By the APIs' index: name, and whether the last field is an optional integer (rows that differ in nothing else
            have one target).
        files: Asked once after the last batch.
        sandbox: Mark it as the sandbox's.
        at: Now, microseconds since 1970, UTC; the system's clock where left out.

    Returns:
        What the job came to.

    Raises:
        LedgerError: It can't be written.
        Exception: Whatever `batches` raises.
    """
    create_private(path)
    try:
        db = Database(path, Mode.BUILD)
        try:
            frozen = _Freezer(db, ops).freeze(batches, files, sandbox, time.time_ns() // 1000 if at is None else at)
            db.run("pragma journal_mode=wal")
        finally:
            db.close()
    except BaseException:
        with suppress(OSError):  # what went wrong matters more than what it left behind
            remove(path)
        raise
    return frozen


def adopt(path: Path, target: Path) -> None:
    """Give a frozen ledger its name: durable, in place of what was there, which is gone with what lay beside it.

    Raises:
        LedgerError: The disk refuses.
    """
    try:
        _sync(path)
        folder = target.resolve().parent
        for suffix in BESIDE:  # before the rename: an old log must not meet the new file
            Path(f"{target}{suffix}").unlink(missing_ok=True)
        _sync(folder)
        path.rename(target)
        _sync(folder)
    except OSError as exc:
        raise LedgerError(
            f"{target} can't be put in its place ({exc.strerror}): check the disk and the folder's rights"
        ) from exc


def remove(path: Path) -> None:
    """Remove a ledger that nobody uses, and what lies beside it."""
    for suffix in ("", *BESIDE):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class _Freezer:
    """One ledger being built."""

    def __init__(self, db: Database, ops: Sequence[tuple[str, bool]]) -> None:
        self._db = db
        self._ops = ops
        self._seq = 0  # of the last row loaded
        self._by_api: Counter[int] = Counter()
        self._invalid = 0
        self._first_invalid: list[Invalid] = []
        self._sources: list[tuple[int, int]] = []  # (first seq, file)
        self._spans: dict[int, list[list[int]]] = {}  # by API: [first, last]

    def freeze(self, batches: Iterable[Batch], files: Callable[[], Sequence[SourceFile]], sandbox: bool, at: int) -> Frozen:
        self._create()
        with self._db.transaction():
            for batch in batches:
                self._load(batch)
        sources = files()
        with self._db.transaction():
            duplicates, variants, variants_seq = self._fold()
            sha256 = hash_of(self._db)
            operations = sum(self._by_api.values())
            frozen = Frozen(
                sha256=sha256,
                rows=operations + duplicates + self._invalid,
                duplicates=duplicates,
                invalid=self._invalid,
                operations=operations,
                by_op={op: self._by_api[api] for api, (op, _) in enumerate(self._ops) if self._by_api[api]},
                variants=variants,
                variants_example=self._place(variants_seq, sources) if variants else None,
                first_invalid=tuple(self._first_invalid),
            )
            self._describe(frozen, sources, sandbox, at)
        return frozen

    def _create(self) -> None:
        db = self._db
        db.run(f"pragma page_size={PAGE_SIZE}")
        db.reserve_checksums()
        with db.transaction():  # written out before anything else: the first page switches the checksums on
            db.run(queries("schema")["tables"])
            db.run(f"pragma application_id={APPLICATION_ID}")
            db.run(f"pragma user_version={FORMAT}")
            db.many(_SQL["insert_api"], [(api, op, has_option) for api, (op, has_option) in enumerate(self._ops)])

    def _load(self, batch: Batch) -> None:
        if batch.rows:
            first = self._seq + 1
            self._seq += len(batch.rows)
            self._db.many(_SQL["insert_row"], batch.rows)
            if not self._sources or self._sources[-1][1] != batch.file:
                self._sources.append((first, batch.file))
            in_batch = Counter(map(itemgetter(0), batch.rows))
            self._by_api.update(in_batch)
            for api in in_batch:
                self._extend_span(api, first)
        if batch.invalid:
            self._invalid += len(batch.invalid)
            self._first_invalid += batch.invalid[: FIRST_INVALID - len(self._first_invalid)]
            self._db.many(
                _SQL["insert_invalid"],
                [(row.file, row.line, row.column, storable(row.message), storable(row.cells)) for row in batch.invalid],
            )

    def _extend_span(self, api: int, first: int) -> None:
        spans = self._spans.setdefault(api, [])
        if spans and first - spans[-1][1] <= _NEAR:
            spans[-1][1] = self._seq
        else:
            spans.append([first, self._seq])

    def _fold(self) -> tuple[int, int, int]:
        """Move repeats to `duplicate`: duplicates, targets with several options, seq of the first row about such a one."""
        db = self._db
        options = sum(1 << api for api, (_, has_option) in enumerate(self._ops) if has_option)
        repeats, variants, example = db.one(_SQL["survey_targets"], (options,)) or (0, 0, None)
        if not repeats:
            return 0, 0, 0
        db.run(_SQL["find_duplicates"])
        self._by_api.subtract(dict(db.all(_SQL["duplicates_by_api"])))
        duplicates = db.run(_SQL["keep_duplicates"])
        if duplicates:
            db.run(_SQL["drop_duplicates"])
        return duplicates, variants, example or 0

    def _place(self, seq: int, sources: Sequence[SourceFile]) -> tuple[str, int]:
        file = [file for first, file in self._sources if first <= seq][-1]
        return sources[file].name, self._db.value(_SQL["line_of"], (seq,))

    def _describe(self, frozen: Frozen, sources: Sequence[SourceFile], sandbox: bool, at: int) -> None:
        db = self._db
        db.many(
            _SQL["insert_file"],
            [(index, storable(file.name), file.sha256, file.size, file.rows) for index, file in enumerate(sources)],
        )
        db.many(_SQL["insert_source"], self._sources)
        db.many(_SQL["insert_span"], [(api, *span) for api, spans in self._spans.items() for span in spans])
        by_api = [(api, count) for api, count in sorted(self._by_api.items()) if count]
        db.many(_SQL["set_operations"], by_api)
        db.many(_SQL["insert_tally"], fresh(by_api).rows())
        counts = (frozen.rows, frozen.duplicates, frozen.invalid, frozen.operations)
        db.run(_SQL["insert_job"], (at, frozen.sha256, *counts, sandbox))
