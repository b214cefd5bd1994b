"""From job files to a frozen ledger: a new one, or the proof that an existing one is of the same job.

Everything here happens before the first call; nothing here sends.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO, Final

from bulkops.chat.catalog import APIS, BY_NAME
from bulkops.errors import BulkopsError, ConfigError, JobFileError, LedgerError, LedgerMismatch
from bulkops.job import JobReader, sha256_of
from bulkops.job.warnings import Risk
from bulkops.ledger import Frozen, SqliteStore, adopt, freeze, remove
from bulkops.model import ApiFigures, Batch, Figures, Invalid, PlanWarning, SourceFile, Status
from bulkops.report.status import resume_command

SUFFIXES: Final = (".csv", ".tsv", ".jsonl", ".ndjson", ".gz", ".zst")
"""What a ledger's default name leaves out of its first file's."""


BUILDING: Final = ".bulkops-new"
"""What the name of a ledger that is being made ends in. What is found there is removed: no file of a user's is called so."""

FileName = str | os.PathLike[str]
"""A path as a program may give it."""


def check_name(name: str) -> None:
    """See that a path can be written down.

    Raises:
        ConfigError: It is no UTF-8, or the locale says so.
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"the name {name!r} is no UTF-8: rename the file, or set the locale that it was named in") from None


@dataclass(frozen=True, slots=True)
class JobSource:
    """What to read, and how.

    Args:
        files: Names as the user wrote them; `-` for standard input.
        op: The `op` of rows that name none.
        on_invalid: `stop`, or `skip` to carry out the valid rows of a job that has bad ones.
        stdin: Where `-` reads from.
        on_progress: Called with the rows read so far, from another thread.
    """

    files: tuple[str, ...]
    op: str | None = None
    on_invalid: str = "stop"
    stdin: BinaryIO | None = None
    on_progress: Callable[[int], None] | None = None

    def __post_init__(self) -> None:
        if not self.files:
            raise ConfigError("no job file given")
        for name in self.files:
            check_name(name)
        if self.on_invalid not in {"stop", "skip"}:
            raise ConfigError(f"--on-invalid is stop or skip, not {self.on_invalid!r}")

    def stored(self) -> dict[str, object]:
        """What the ledger keeps of it, beside the files' own records."""
        return {"files": list(self.files), "op": self.op, "on_invalid": self.on_invalid}


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do, or does. Nothing has been sent when it is shown.

    Args:
        ledger: Path that the run uses, or would use.
        figures: Counts, by API.
        files: The job files as read; names by `Invalid.file`.
        warnings: Riskiest first.
        invalid: The first 20 bad rows; `figures.invalid` has their count.
        rates: Calls per second by op of this job.
        seconds: What is left of it at those rates; lanes run side by side, so the longest counts.
        sandbox: The ledger belongs to the sandbox.
        continues: A ledger of the same job with attempts was found.
        orphans: Operations left `sending` by a process that is gone.
        notes: Said before anything is sent.
        blank_lines: Skipped lines.
    """

    ledger: str
    figures: Figures
    files: tuple[SourceFile, ...]
    warnings: tuple[PlanWarning, ...]
    invalid: tuple[Invalid, ...]
    rates: Mapping[str, int]
    seconds: float
    sandbox: bool
    continues: bool = False
    orphans: int = 0
    notes: tuple[str, ...] = ()
    blank_lines: int = 0

    @property
    def source_names(self) -> tuple[str, ...]:
        """File names by index."""
        return tuple(file.name for file in self.files)


def default_ledger(first_file: str, *, sandbox: bool) -> Path:
    """Where the ledger of a job lies when nobody says: beside its first file.

    Raises:
        ConfigError: That is no name of a file.
    """
    path = Path(first_file)
    if not path.name:
        raise ConfigError(f"{first_file!r} is no job file: name one")
    while path.suffix.lower() in SUFFIXES:
        path = path.with_suffix("")
    return path.with_name(f"{path.name}{'.sandbox' if sandbox else ''}.ledger.db")


def there_is(path: Path) -> bool:
    """Whether there is a file; one with too long a name can't be.

    Raises:
        LedgerError: It can't be told.
    """
    try:
        return path.exists()
    except OSError as exc:
        if exc.errno == errno.ENAMETOOLONG:
            return False
        raise LedgerError(f"{path} can't be looked at ({exc.strerror}): check the rights of its folders") from exc


def check_folder(ledger: Path) -> None:
    """See that a ledger has a folder to lie in.

    Raises:
        ConfigError: It has none, or the path is no UTF-8.
        LedgerError: It can't be told.
    """
    check_name(str(ledger))
    if not there_is(ledger.parent) or not ledger.parent.is_dir():
        raise ConfigError(f"there is no folder {ledger.parent} for the ledger")


def plan_of(
    figures: Figures,
    *,
    ledger: Path,
    rates: Mapping[str, int],
    sandbox: bool,
    files: tuple[SourceFile, ...] = (),
    warnings: tuple[PlanWarning, ...] = (),
    invalid: tuple[Invalid, ...] = (),
    blank_lines: int = 0,
) -> Plan:
    """The plan for what a ledger has pending."""
    of_job = {op: rates.get(op, BY_NAME[op].rate) for op in figures.apis}
    left = {op: sum(count for status, count in api.by_status.items() if not status.ended) for op, api in figures.apis.items()}
    return Plan(
        ledger=str(ledger),
        figures=figures,
        files=files,
        warnings=warnings,
        invalid=invalid,
        rates=of_job,
        seconds=max((left[op] / of_job[op] for op in left), default=0.0),
        sandbox=sandbox,
        blank_lines=blank_lines,
    )


@dataclass(frozen=True, slots=True)
class Reading:
    """A job as it was read into a ledger."""

    frozen: Frozen
    files: tuple[SourceFile, ...]
    warnings: tuple[PlanWarning, ...]
    blank_lines: int


async def read_job(source: JobSource, path: Path, *, sandbox: bool) -> Reading:
    """Read the whole job into a new ledger at `path`, in a thread; cancelled, the thread ends with its next rows.

    Raises:
        JobFileError: A file as a whole can't be read.
        LedgerError: The ledger can't be written.
    """
    cancelled = threading.Event()
    reader = JobReader(source.files, op=source.op, stdin=source.stdin, on_progress=source.on_progress)

    def batches() -> Iterator[Batch]:
        for batch in reader.batches():
            if cancelled.is_set():
                raise BulkopsError("reading was interrupted")
            yield batch

    def work() -> Reading:
        try:
            frozen = freeze(path, batches(), ops=_ops(), files=lambda: reader.files, sandbox=sandbox)
        except BaseException:
            with contextlib.suppress(LedgerError):  # what went wrong before matters more than what it left behind
                remove_ledger(path)
            raise
        return Reading(frozen, reader.files, _warnings(reader, frozen), reader.blank_lines)

    future = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        cancelled.set()
        await asyncio.gather(future, return_exceptions=True)
        raise


def remove_ledger(path: Path) -> None:
    """Remove a ledger that nobody uses, and what lies beside it.

    Raises:
        LedgerError: The disk refuses.
    """
    try:
        remove(path)
    except OSError as exc:
        raise LedgerError(f"{path} can't be removed ({exc.strerror}): check the disk and the folder's rights") from exc


def fresh_figures(frozen: Frozen) -> Figures:
    """The figures of a ledger in which nothing was begun yet."""
    apis = {
        op: ApiFigures(operations=count, by_status={status: count if status is Status.PENDING else 0 for status in Status})
        for op, count in frozen.by_op.items()
    }
    return Figures(
        rows=frozen.rows,
        duplicates=frozen.duplicates,
        invalid=frozen.invalid,
        operations=frozen.operations,
        apis=apis,
    )


def refuse_invalid(reading: Reading, source: JobSource) -> None:
    """See that bad rows are allowed.

    Raises:
        JobFileError: There are some, and the job is to stop at them.
    """
    total = reading.frozen.invalid
    if total and source.on_invalid == "stop":
        message = f"{how_many_invalid(total)}, so nothing is sent; repair them, or carry out the others with --on-invalid skip"
        first = reading.frozen.first_invalid
        raise JobFileError(message, invalid=first, total=total, names=tuple(file.name for file in reading.files))


def how_many_invalid(total: int) -> str:
    """The beginning of a sentence about bad rows."""
    return "1 row is invalid" if total == 1 else f"{total:,} rows are invalid"


async def freeze_new(source: JobSource, target: Path, *, sandbox: bool) -> Reading:
    """A new ledger at `target`, in place of one in which nothing was ever begun. The caller holds the ledger's lock."""
    if target.is_symlink():
        if not there_is(target):
            raise LedgerError(f"{target} is a symbolic link to nothing: name the file itself with --ledger")
        target = target.resolve()  # what it leads to is locked, and is replaced
    building = Path(f"{target}{BUILDING}")
    remove_ledger(building)
    reading = await read_job(source, building, sandbox=sandbox)
    adopt(building, target)
    return reading


async def match(source: JobSource, store: SqliteStore, target: Path) -> Reading | None:
    """See that the files ask for the job of an existing ledger. `None` where their bytes alone prove it.

    Raises:
        LedgerMismatch: They ask for another one; the message says what differs.
    """
    if await asyncio.to_thread(_same_bytes, source, store):
        return None
    other = Path(f"{target}{BUILDING}")
    remove_ledger(other)
    reading = await read_job(source, other, sandbox=False)
    try:
        refuse_invalid(reading, source)
        if reading.frozen.sha256 != store.job().sha256:
            raise LedgerMismatch(await asyncio.to_thread(_difference, store, other, target))
    finally:
        remove_ledger(other)
    return reading


async def read_for_plan(source: JobSource, ledger: Path | None, *, sandbox: bool) -> Reading:
    """Read a job only to show its plan: into `ledger`, or into a file that is gone afterwards."""
    if ledger is not None:
        return await freeze_new(source, ledger, sandbox=sandbox)
    try:
        place = tempfile.TemporaryDirectory(prefix=".bulkops-plan-", dir=_roomy_folder(source))
    except OSError as exc:
        raise LedgerError(
            f"there is no room to work in, neither beside the job nor for temporary files ({exc.strerror})"
        ) from exc
    with place as folder:
        return await read_job(source, Path(folder) / "plan.db", sandbox=sandbox)


def _roomy_folder(source: JobSource) -> str | None:
    """Beside the job where that can be written: /tmp may be small, and in memory."""
    parent = Path(source.files[0]).resolve().parent
    try:
        with tempfile.TemporaryFile(dir=parent):
            return str(parent)
    except OSError:
        return None


def _ops() -> list[tuple[str, bool]]:
    """(op, whether it ends in an option) of every API, by index."""
    return [(api.op, api.has_option) for api in APIS]


def _warnings(reader: JobReader, frozen: Frozen) -> tuple[PlanWarning, ...]:
    warnings = list(reader.warnings)
    if frozen.variants:
        message = "ask for one target with different options: they are separate calls"
        warnings.append(PlanWarning(Risk.OPTIONS, message, frozen.variants, frozen.variants_example))
    return tuple(sorted(warnings, key=lambda warning: warning.risk))


def _same_bytes(source: JobSource, store: SqliteStore) -> bool:
    """Whether the files are byte for byte those that the ledger was frozen from, read in the same way."""
    recorded = store.files()
    processes = store.processes()
    if "-" in source.files or len(recorded) != len(source.files) or not processes:
        return False
    settings = processes[-1].settings
    if settings.get("op") != source.op or settings.get("on_invalid") != source.on_invalid:
        return False
    same_kind = (Path(a.name).suffixes == Path(b).suffixes for a, b in zip(recorded, source.files, strict=True))
    if not all(same_kind):
        return False
    try:
        if not all(Path(name).is_file() for name in source.files):
            return False  # a pipe can be read but once
        return all(sha256_of(name) == file.sha256 for name, file in zip(source.files, recorded, strict=True))
    except OSError:
        return False  # the reader says in words what is wrong with it


def _difference(store: SqliteStore, other: Path, target: Path) -> str:
    """What differs between a ledger's job and another one, in words."""
    there = store.job()
    new = SqliteStore.open(other, write=False)
    try:
        here = new.job()
        place = next(
            (n for n, (a, b) in enumerate(zip_longest(store.contents(), new.contents()), start=1) if a != b),
            0,
        )
    finally:
        new.close()
    text = f"{target} belongs to another job: {there.operations} operations there, {here.operations} in the files"
    if place:
        text += f"; the first difference is at operation {place}"
    return f"{text}. Carry out the new files with another --ledger, or continue the old job with: {resume_command(str(target))}"
