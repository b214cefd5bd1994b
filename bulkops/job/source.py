"""Job files as bytes: what may be opened, what is compressed and how, and what the bytes on disk amount to.

Hands on decompressed bytes in blocks of bounded size and hashes what lies on disk. Knows nothing about text, lines or rows.
Everything that is wrong here concerns a whole file.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from bulkops.errors import JobFileError

if sys.version_info >= (3, 14):
    from compression import zstd  # pragma: no cover  # the suite's coverage is gated on the oldest Python
else:
    from backports import zstd

STDIN: Final = "-"
"""The name that means standard input."""

BLOCK_BYTES: Final = 256 * 1024
"""Most bytes that are read, and that a decompressor hands out, at a time."""

_MAGIC_BYTES: Final = 4
_COMPRESSIONS: Final = {".gz": "gzip", ".zst": "zstd"}


def unpacked_name(name: str) -> str:
    """`name` in lower case and without the ending of a compression."""
    lower = name.lower()
    return next((lower.removesuffix(ending) for ending in _COMPRESSIONS if lower.endswith(ending)), lower)


def check_openable(name: str) -> None:
    """Return where `name` is something that job files are read from, and opening it has no side effect.

    Raises:
        JobFileError: It is missing, can't be looked at, or is neither a regular file nor a pipe.
    """
    try:
        mode = Path(name).stat().st_mode
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise _unreadable(name, error) from error
    if stat.S_ISDIR(mode):
        raise JobFileError("is a directory; name the job files in it", file=name)
    if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
        raise JobFileError("is neither a regular file nor a pipe, so it is not read", file=name)


def sha256_of(path: str | os.PathLike[str]) -> str:
    """SHA-256 in hex of a file's bytes on disk, without parsing them; equal to `SourceFile.sha256` where nothing changed.

    Raises:
        JobFileError: It can't be read.
    """
    name = os.fspath(path)
    check_openable(name)
    try:
        with Path(name).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(name, error) from error


class Readable(Protocol):
    """What a source needs of a stream: a binary file, opened buffered or not."""

    def read(self, size: int, /) -> bytes | None: ...


class Source:
    """One job file as decompressed bytes. After its blocks were read to the end, `sha256` and `size` are those on disk.

    Args:
        name: As the user wrote it; `-` for standard input.
        stream: Where its bytes come from.
        max_decompressed: Refuse a compressed file that unpacks to more bytes than this.
    """

    def __init__(self, name: str, stream: Readable, *, max_decompressed: int) -> None:
        self.name = name
        self.size = 0
        self._stream = stream
        self._digest = hashlib.sha256()
        self._max_decompressed = max_decompressed

    @property
    def sha256(self) -> str:
        """Of the bytes read so far, in hex."""
        return self._digest.hexdigest()

    def blocks(self) -> Iterator[bytes]:
        """Decompressed bytes in their order, none empty, each at most a few `BLOCK_BYTES`.

        Raises:
            JobFileError: The bytes can't be read, are cut off, damaged, or unpack to too much.
        """
        raw = self._raw()
        head = b""
        while len(head) < _MAGIC_BYTES and (more := next(raw, b"")):
            head += more
        compression = _compression(head)
        named = next((kind for ending, kind in _COMPRESSIONS.items() if self.name.lower().endswith(ending)), "")
        if compression:
            yield from self._unpack(compression, _chained(head, raw))
        elif named and head:
            raise JobFileError(f"is named like a {named} file, but its content is not {named}", file=self.name)
        elif head:
            yield from _chained(head, raw)

    def _raw(self) -> Iterator[bytes]:
        """Bytes as they lie on disk, hashed and counted."""
        while True:
            try:
                data = self._stream.read(BLOCK_BYTES)
            except (OSError, ValueError) as error:  # ValueError: it was closed
                raise _unreadable(self.name, error) from error
            if data is None:  # nothing there yet is not the end
                raise JobFileError("can't be read: it is in non-blocking mode", file=self.name)
            if not data:
                return
            self._digest.update(data)
            self.size += len(data)
            yield data

    def _unpack(self, compression: str, raw: Iterator[bytes]) -> Iterator[bytes]:
        unpacked = 0
        try:
            for block in _members(raw, _UNPACKERS[compression]):
                unpacked += len(block)
                if unpacked > self._max_decompressed:
                    raise JobFileError(
                        f"unpacks to more than {self._max_decompressed:,} bytes; split it into several files",
                        file=self.name,
                    )
                yield block
        except EOFError as error:
            message = f"the {compression} data ends in the middle: the file is cut off; get it again"
            raise JobFileError(message, file=self.name) from error
        except (zlib.error, zstd.ZstdError) as error:
            message = f"the {compression} data is damaged, or other bytes follow it ({error}); get the file again"
            raise JobFileError(message, file=self.name) from error


@contextlib.contextmanager
def opened(name: str, stdin: BinaryIO | None, *, max_decompressed: int) -> Iterator[Source]:
    """The source of that name, closed afterwards unless it is standard input.

    Raises:
        JobFileError: It can't be opened.
    """
    if name == STDIN and stdin is not None:
        yield Source(name, stdin, max_decompressed=max_decompressed)
        return
    check_openable(name)
    try:
        stream = Path(name).open("rb", buffering=0)  # noqa: SIM115  # closed below; only the opening may fail in these words
    except OSError as error:
        raise _unreadable(name, error) from error
    with stream:
        yield Source(name, stream, max_decompressed=max_decompressed)


class _Unpacker(Protocol):
    """One member of a compressed stream, in the manner of `ZstdDecompressor`."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _GzipUnpacker:
    """zlib's decompressor, checking header and CRC, with the manner of `ZstdDecompressor`."""

    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(wbits=31)  # 31: gzip header and trailer
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._inflater.eof

    @property
    def unused_data(self) -> bytes:
        return self._inflater.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        out = self._inflater.decompress(self._inflater.unconsumed_tail + data, max_length)
        # A full block may leave output behind even where all input went in.
        self.needs_input = len(out) < max_length and not self._inflater.unconsumed_tail
        return out


_UNPACKERS: Final[dict[str, Callable[[], _Unpacker]]] = {"gzip": _GzipUnpacker, "zstd": zstd.ZstdDecompressor}


def _members(raw: Iterator[bytes], new: Callable[[], _Unpacker]) -> Iterator[bytes]:
    """Everything that the members of a compressed stream hold, one after the other.

    Raises:
        EOFError: The last member is cut off.
    """
    member = new()
    for data in raw:
        rest = data
        while rest or not (member.needs_input or member.eof):
            if member.eof:
                member = new()
            block = member.decompress(rest, BLOCK_BYTES)
            rest = member.unused_data if member.eof else b""
            if block:
                yield block
    if not member.eof:
        raise EOFError


def _compression(head: bytes) -> str:
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    skippable = head[1:4] == b"\x2a\x4d\x18" and 0x50 <= head[0] <= 0x5F
    return "zstd" if skippable or head.startswith(b"\x28\xb5\x2f\xfd") else ""


def _chained(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from rest


def _unreadable(name: str, error: Exception) -> JobFileError:
    cause = (error.strerror or "") if isinstance(error, OSError) else str(error)
    return JobFileError(f"can't be read: {cause or type(error).__name__}", file=name)
