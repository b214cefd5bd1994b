"""What a write-ahead log claims to hold, compared with what SQLite accepts of it.

SQLite stops reading a log at the first frame whose checksum is wrong and says nothing: one flipped byte would silently take
back every result behind it. A loss of power can only spoil the last transaction, which nobody was told was durable. So:
whatever lies behind the last accepted frame may hold at most one more committed transaction, and nothing that the shared
index had already counted as committed.

Reads files, decides, knows no connection. The index may only be read while no connection of this process is open on the
ledger: closing any descriptor of it would drop SQLite's locks. Format: sqlite.org/fileformat2.html and walformat.html.
"""

from __future__ import annotations

import os
import struct
from bisect import bisect_right
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_HEADER: Final = 32
_FRAME_HEADER: Final = 24
_MAGIC: Final = (0x377F0682, 0x377F0683)  # the lowest bit: checksums over big-endian words
_INDEX_HEADER: Final = 48


@dataclass(frozen=True, slots=True)
class Survey:
    """What the files say, whatever SQLite makes of them.

    Args:
        frames: Whole frames that fit into the log.
        header_valid: The log's own header matches its checksum.
        commits: Numbers, from 1, of the frames that end a transaction of this log's present generation; ascending.
        acknowledged: Frames that the shared index counts as committed; 0 where it says nothing about this generation.
    """

    frames: int
    header_valid: bool
    commits: tuple[int, ...]
    acknowledged: int

    def lost(self, accepted: int) -> str:
        """What is missing in what SQLite accepts, in words; empty where nothing is.

        Args:
            accepted: Frames that SQLite accepts.
        """
        if self.frames and not self.header_valid:
            return "the header of its write-ahead log is damaged"
        behind = len(self.commits) - bisect_right(self.commits, accepted)
        if behind > 1 or self.acknowledged > accepted:
            return f"frame {accepted + 1} of its write-ahead log is damaged, and committed results lie behind it"
        return ""


def survey(ledger: Path) -> Survey | None:
    """Survey the log beside a ledger; `None` where there is none, or an empty one.

    Raises:
        OSError: The log is there and can't be read.
    """
    try:
        handle = os.open(f"{ledger}-wal", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        size = os.fstat(handle).st_size
        header = os.pread(handle, _HEADER, 0)
        if len(header) < _HEADER:
            return None
        page_size, salts = struct.unpack_from(">I", header, 8)[0], header[16:24]
        step = _FRAME_HEADER + page_size
        if not _header_valid(header):
            return Survey((size - _HEADER) // (_FRAME_HEADER + 512), header_valid=False, commits=(), acknowledged=0)
        frames = (size - _HEADER) // step
        commits = []
        for number in range(1, frames + 1):
            head = os.pread(handle, _FRAME_HEADER, _HEADER + (number - 1) * step)
            if head[8:16] == salts and head[4:8] != b"\0\0\0\0":
                commits.append(number)
    finally:
        os.close(handle)
    return Survey(frames, header_valid=True, commits=tuple(commits), acknowledged=_acknowledged(ledger, salts))


def _header_valid(header: bytes) -> bool:
    magic, _, page_size = struct.unpack_from(">III", header)
    if magic not in _MAGIC or page_size < 512 or page_size & (page_size - 1):
        return False
    order = ">" if magic & 1 else "<"
    return _checksum(struct.unpack(f"{order}6I", header[:24])) == struct.unpack_from(">II", header, 24)


def _acknowledged(ledger: Path, salts: bytes) -> int:
    """Frames that the shared index counts as committed, where it is of the log's generation and in order itself."""
    with suppress(OSError):
        index = Path(f"{ledger}-shm").read_bytes()[: 2 * _INDEX_HEADER]
        first, second = index[:_INDEX_HEADER], index[_INDEX_HEADER:]
        if len(first) == _INDEX_HEADER and first == second and first[32:40] == salts:
            words = struct.unpack("=12I", first)
            if _checksum(words[:10]) == words[10:]:
                return int(words[4])
    return 0


def _checksum(words: tuple[int, ...]) -> tuple[int, int]:
    """SQLite's checksum over an even number of words."""
    first = second = 0
    for one, two in zip(words[::2], words[1::2], strict=True):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + two + first) & 0xFFFFFFFF
    return first, second
