"""SQLite, and the only module that knows its binding: connections with page checksums, errors in words.

Whatever the binding raises ends here as a `LedgerError`. Knows files, modes and transactions; knows no table.
"""

from __future__ import annotations

import os
import stat
import struct
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import apsw
import apsw.sqlite_extra

from bulkops.errors import LedgerError, LedgerMissing

Row = tuple[Any, ...]
"""One row of a result. Its types are the schema's (STRICT tables), which no type checker sees."""

PAGE_SIZE: Final = 4096
RESERVED_BYTES: Final = 8
"""At the end of every page, for its checksum."""

CHECKSUM_ERROR: Final = apsw.SQLITE_IOERR_DATA
"""SQLite's code for a page that does not match its checksum."""

_BUSY_MS: Final = 2000


class Mode(Enum):
    """What a connection is for, and how SQLite is set for it.

    Normal locking always: with `locking_mode=EXCLUSIVE` every reader beside a live run is told "database is locked".
    """

    BUILD = "build"
    """A new file that nobody sees before it is complete: no journal, no sync. It is synced, then given its name."""
    WRITE = "write"
    """The one writing connection."""
    READ = "read"
    """Beside a writer, or of a ledger whose process was killed: short transactions, never checkpoints."""
    FROZEN = "frozen"
    """Read a cleanly closed file without locks and without files beside it; see `store.Reader`."""


_SETTINGS: Final = {
    # trusted_schema: a ledger may come from anywhere, its schema must not run functions. fullfsync: macOS' fsync does not sync.
    Mode.BUILD: "pragma journal_mode=off; pragma synchronous=off; pragma cache_size=-16000; pragma temp_store=file;"
    " pragma threads=1; pragma trusted_schema=off;",
    # wal_autocheckpoint: the store moves the log itself, and says so in the file before.
    Mode.WRITE: "pragma synchronous=full; pragma fullfsync=on; pragma checkpoint_fullfsync=on; pragma cache_size=-8000;"
    " pragma temp_store=file; pragma journal_size_limit=16777216; pragma trusted_schema=off; pragma wal_autocheckpoint=0;",
    Mode.READ: "pragma query_only=on; pragma cache_size=-8000; pragma trusted_schema=off;",
    Mode.FROZEN: "pragma query_only=on; pragma cache_size=-8000; pragma trusted_schema=off;",
}

_open_files: Counter[tuple[int, int, bool]] = Counter()  # (device, inode, for writing)
_open_files_lock = threading.Lock()


@cache
def _checksum_vfs() -> str:
    """Name of the VFS that puts a checksum into every page and checks it on every read; loaded once per process.

    The extension makes itself the default for all connections of the process, which is nobody's wish but ours: undone.
    """
    before = apsw.vfs_names()[0]
    try:
        apsw.sqlite_extra.load(apsw.Connection(":memory:"), "cksumvfs")
    except (apsw.sqlite_extra.NotAvailable, apsw.Error, LookupError) as exc:
        raise LedgerError(f"this installation of apsw lacks SQLite's checksum VFS ({exc}): install apsw's own wheel") from exc
    apsw.set_default_vfs(before)
    return "cksmvfs"


class Database:
    """One connection to a ledger's file, used by one thread at a time.

    Args:
        path: The file; it must exist (`create_private` makes a new one).
        mode: What it is opened for.
        checked: Refuse pages that don't match their checksum.

    Raises:
        LedgerMissing: There is no such file.
        LedgerError: It can't be opened.
    """

    def __init__(self, path: Path, mode: Mode, *, checked: bool = True) -> None:
        self.path = path
        self.mode = mode
        self._place = os.path.realpath(path)
        self._log: int | None = None
        self.log_frames = 0
        """Frames in the WAL after the newest commit of this connection, once `count_log` was called."""
        self._connection: apsw.Connection | None = None
        self._file: tuple[int, int, bool] | None = None
        vfs = _checksum_vfs()
        file = (*_identity(path), mode is Mode.WRITE)
        with _open_files_lock:
            _open_files[file] += 1
        self._file = file
        try:
            with self._errors():
                self._connection = _connect(path, mode, vfs)
                self._connection.set_busy_timeout(_BUSY_MS)
                settings = _SETTINGS[mode] if checked else f"pragma checksum_verification=off; {_SETTINGS[mode]}"
                self._connection.execute(settings).fetchall()
        except BaseException:
            self.close()
            raise

    @property
    def _open(self) -> apsw.Connection:
        if self._connection is None:
            raise LedgerError(f"{self.path} is closed")
        return self._connection

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._connection is None

    def all(self, sql: str, args: Sequence[object] = ()) -> list[Row]:
        """Every row of a result."""
        with self._errors():
            return self._open.execute(sql, args).fetchall()

    def one(self, sql: str, args: Sequence[object] = ()) -> Row | None:
        """The first row of a result."""
        with self._errors():
            cursor = self._open.execute(sql, args)
            row: Row | None = cursor.fetchone()
            cursor.close(True)  # whatever is left of the result is not wanted
            return row

    def value(self, sql: str, args: Sequence[object] = ()) -> Any:
        """The first column of the first row; `None` without rows."""
        row = self.one(sql, args)
        return None if row is None else row[0]

    def run(self, sql: str, args: Sequence[object] = ()) -> int:
        """Rows changed by a statement (or a script without arguments)."""
        with self._errors():
            connection = self._open
            connection.execute(sql, args).fetchall()
            return connection.changes()

    def many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """Run a statement once for every row."""
        with self._errors():
            self._open.executemany(sql, rows).close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One transaction that is durable on leaving, or rolled back where anything raises."""
        self.run("begin immediate")
        try:
            yield
            self.run("commit")
        except BaseException:
            self._roll_back()
            raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """One consistent view for several reads. Keep it short: it holds the WAL back."""
        self.run("begin")
        try:
            yield
        finally:
            self._roll_back()

    def _roll_back(self) -> None:
        with suppress(apsw.Error):
            if self._connection is not None and self._connection.in_transaction:
                self._connection.execute("rollback").close()

    def reserve_checksums(self) -> None:
        """Make room for checksums; only before anything was written."""
        with self._errors():
            self._open.reserve_bytes(reserve=RESERVED_BYTES)

    def has_checksums(self) -> bool:
        """Whether the pages carry checksums and reads check them."""
        with self._errors():
            return self._open.reserve_bytes() == RESERVED_BYTES

    def wal_frames(self) -> int | None:
        """Frames of the WAL that SQLite accepts, after its own recovery; `None` where it won't say: nothing can be written."""
        with suppress(apsw.ReadOnlyError), self._errors(passing=apsw.ReadOnlyError):
            return self._open.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)[0]
        return None

    def checkpoint(self) -> None:
        """Move everything from the WAL into the file, and empty it; as far as readers let us."""
        self._checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)

    def move_log(self) -> None:
        """Move from the WAL into the file what no reader needs there, without waiting for any."""
        self._checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE)

    def _checkpoint(self, mode: int) -> None:
        with suppress(apsw.BusyError), self._errors(passing=apsw.BusyError):
            self._open.wal_checkpoint(mode=mode)

    def count_log(self) -> None:
        """From now on keep `log_frames`."""

        def committed(_connection: apsw.Connection, _name: str, frames: int) -> int:
            self.log_frames = frames
            return apsw.SQLITE_OK

        self._open.set_wal_hook(committed)

    def check_place(self) -> None:
        """See that the file is still where it was opened, and its log beside it: what is written now must be found again.

        Raises:
            LedgerError: It was moved, removed or replaced.
        """
        here = self._file is not None and _inode(self._place) == self._file[1]
        if not here or (self._log is not None and _inode(f"{self._place}-wal") != self._log):
            raise LedgerError(
                f"{self.path} or its log ({self.path}-wal) was moved, removed or replaced while it was in use, so what happens now"
                " would be lost: bring them back under these names, if you can, before going on"
            )

    def remember_log(self) -> None:
        """From now on `check_place` asks for the log, too."""
        self._log = _inode(f"{self._place}-wal")

    def leave_as_is(self) -> None:
        """Write nothing more, not even on closing: the files are evidence, or can't be trusted any more."""
        if self._connection is not None:
            self._connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)

    def close(self) -> None:
        """Close the connection; closed ones stay closed. Closing the last one empties the WAL into the file.

        Raises:
            LedgerError: That failed.
        """
        connection, self._connection = self._connection, None
        file, self._file = self._file, None
        try:
            if connection is not None:
                with self._errors():
                    connection.close()
        finally:
            if file is not None:
                with _open_files_lock:
                    _open_files[file] -= 1

    @contextmanager
    def _errors(self, passing: type[Exception] | tuple[type[Exception], ...] = ()) -> Iterator[None]:
        try:
            yield
        except passing:
            raise
        except apsw.Error as exc:
            raise _explained(exc, self.path, self.mode) from exc
        except UnicodeEncodeError as exc:
            raise LedgerError(f"{os.fsencode(self.path)!r} holds text that is no UTF-8: {exc.reason}") from exc


def sync_folder(path: Path) -> None:
    """Make the names of the files beside a ledger durable: SQLite does that for a new log, and ignores a failure.

    Raises:
        LedgerError: The disk refuses.
    """
    folder = Path(os.path.realpath(path)).parent
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as exc:
        raise LedgerError(f"the disk failed on {folder} ({exc.strerror}): look at the disk before going on") from exc


def opened_in_this_process(path: Path) -> bool:
    """Whether a connection of this process is open on the file.

    POSIX drops a process's locks on a file when it closes any descriptor of it: then SQLite's files must not be touched.
    """
    return any(_open_here(path))


def written_in_this_process(path: Path) -> bool:
    """Whether a connection of this process is open on the file for writing."""
    return _open_here(path)[1]


def _open_here(path: Path) -> tuple[bool, bool]:
    """(for reading, for writing)."""
    with suppress(OSError):
        found = path.stat()
        with _open_files_lock:
            return _open_files[found.st_dev, found.st_ino, False] > 0, _open_files[found.st_dev, found.st_ino, True] > 0
    return False, False


def seal_pages(path: Path) -> int:
    """Put the right checksum into every page that has a wrong one. No connection may be open on the file.

    Returns:
        How many there were.

    Raises:
        LedgerError: The file can't be changed.
    """
    _checksum_vfs()  # connections made from now on know `verify_checksum`
    sealed = 0
    try:
        with closing(apsw.Connection(":memory:")) as judge, path.open("r+b", buffering=0) as file:
            offset = 0
            while len(page := os.pread(file.fileno(), PAGE_SIZE, offset)) == PAGE_SIZE:
                if not judge.execute("SELECT verify_checksum(?)", (page,)).get:
                    os.pwrite(file.fileno(), _page_checksum(page), offset + PAGE_SIZE - RESERVED_BYTES)
                    sealed += 1
                offset += PAGE_SIZE
            os.fsync(file.fileno())
    except OSError as exc:
        raise LedgerError(f"{path} can't be written ({exc.strerror}): check its rights and the disk") from exc
    return sealed


def _page_checksum(page: bytes) -> bytes:
    """As the checksum VFS makes it."""
    first = second = 0
    words = struct.unpack(f"<{(PAGE_SIZE - RESERVED_BYTES) // 4}I", page[:-RESERVED_BYTES])
    for one, two in zip(words[::2], words[1::2], strict=True):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + two + first) & 0xFFFFFFFF
    return struct.pack("<II", first, second)


def create_private(path: Path) -> None:
    """Create an empty file that only its owner can read, whatever the umask; no symlink is followed.

    Raises:
        LedgerError: There is something already, or the file can't be made.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(handle, 0o600)
        finally:
            os.close(handle)
    except FileExistsError as exc:
        raise LedgerError(f"{path} is there already: remove it, or name another with --ledger") from exc
    except OSError as exc:
        raise LedgerError(f"{path} can't be created ({exc.strerror}): name a writable place with --ledger") from exc


def _inode(path: str) -> int | None:
    """`None` where there is no file."""
    with suppress(OSError):
        return os.stat(path).st_ino  # noqa: PTH116 - twice for every commit: no object is made for it
    return None


def _identity(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except FileNotFoundError as exc:
        raise LedgerMissing(f"there is no ledger {path}: check the path, or start with bulkops run") from exc
    except OSError as exc:
        raise LedgerError(f"{path} can't be read ({exc.strerror})") from exc
    if not stat.S_ISREG(found.st_mode):
        raise LedgerError(f"{path} is no file, so it is no ledger: name a file with --ledger")
    return found.st_dev, found.st_ino


def _connect(path: Path, mode: Mode, vfs: str) -> apsw.Connection:
    if mode is Mode.FROZEN:
        uri = f"file://{quote(os.fsencode(path.absolute()))}?immutable=1"
        return apsw.Connection(uri, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI, vfs=vfs)
    flags = apsw.SQLITE_OPEN_READONLY if mode is Mode.READ else apsw.SQLITE_OPEN_READWRITE
    return apsw.Connection(str(path), flags=flags, vfs=vfs)


def _explained(exc: apsw.Error, path: Path, mode: Mode) -> LedgerError:
    """What went wrong, in words that say what to do."""
    code = getattr(exc, "extendedresult", 0)
    match exc:
        case apsw.NotADBError():
            text = f"{path} is no bulkops ledger: it is no SQLite file, or its first bytes are damaged; check the path"
        case apsw.IOError() if code == CHECKSUM_ERROR:
            text = f"{path} is damaged: a page does not match its checksum. Restore the file from a copy; nothing was changed"
        case apsw.CorruptError():
            text = f"{path} is damaged or cut off: its structure is broken. Restore the file from a copy; nothing was changed"
        case apsw.FullError():
            text = (
                f"no space is left on the disk of {path}: make room (sorting a large job needs some in /var/tmp or /tmp, too)"
            )
        case apsw.BusyError() | apsw.LockedError():
            text = f"{path} is locked by another program: close whatever has it open (an SQLite shell?)"
        case apsw.CantOpenError() if mode is Mode.READ:
            text = (
                f"{path} can't be opened: its run did not end cleanly, and its folder can't be written, which SQLite needs"
                " to read such a file. Copy it to a writable folder together with the files ending in -wal and -shm"
            )
        case apsw.CantOpenError() | apsw.ReadOnlyError() | apsw.PermissionsError():
            text = f"{path} can't be opened for this: check the rights of the file and of its folder"
        case apsw.IOError():
            text = f"the disk failed on {path} ({_cause(exc)}): look at the disk before going on"
        case _:
            text = f"{path} can't be used ({type(exc).__name__}: {exc})"
    return LedgerError(text)


def _cause(exc: apsw.Error) -> str:
    code = getattr(exc, "extendedresult", 0)
    return f"{apsw.mapping_extended_result_codes.get(code, 'I/O error')}: {exc}"
