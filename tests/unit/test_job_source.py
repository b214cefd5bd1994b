"""Job files as bytes: what may be opened, and that digests and sizes are those on disk."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import threading
from pathlib import Path

import pytest
from backports import zstd

from bulkops.errors import JobFileError
from bulkops.job import sha256_of
from bulkops.job.source import BLOCK_BYTES, Source, check_openable, opened, unpacked_name
from tests.helpers.job import packed

TEXT = b"".join(b"line %d\n" % number for number in range(200_000))


class Dribble:
    """A stream that gives little at a time, as pipes do."""

    def __init__(self, data: bytes, size: int) -> None:
        self._stream = io.BytesIO(data)
        self._size = size

    def read(self, size: int, /) -> bytes | None:
        return self._stream.read(min(size, self._size))


class Failing:
    """A stream that ends in an error."""

    def __init__(self, error: Exception | None) -> None:
        self._error = error

    def read(self, size: int, /) -> bytes | None:
        if self._error is None:
            return None
        raise self._error


def unpacked(data: bytes, name: str = "x", step: int = 10**9) -> tuple[bytes, Source]:
    """Everything that a source hands out, and the source."""
    source = Source(name, Dribble(data, step), max_decompressed=2**30)
    blocks = list(source.blocks())
    assert all(0 < len(block) <= BLOCK_BYTES for block in blocks)
    return b"".join(blocks), source


@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
@pytest.mark.parametrize("step", [10**9, 4099])
def test_bytes_come_back_with_digest_and_size_of_the_disk(ending: str, step: int) -> None:
    """Compressed or not, in large reads or small, the content is whole and the digest is of what lies on disk."""
    data = packed(TEXT, ending)
    content, source = unpacked(data, f"x{ending}", step)
    assert content == TEXT
    assert (source.sha256, source.size) == (hashlib.sha256(data).hexdigest(), len(data))


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_single_bytes_are_enough_to_see_a_compression(ending: str) -> None:
    """The first bytes of a pipe may come one at a time."""
    assert unpacked(packed(b"hello", ending), "x", 1)[0] == b"hello"


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_a_bomb_is_stopped_before_it_is_held(ending: str) -> None:
    """Blocks stay small however well a file was packed, and the limit ends it."""
    source = Source("x", io.BytesIO(packed(bytes(2**24), ending)), max_decompressed=2**20)
    blocks = source.blocks()
    assert sum(len(next(blocks)) for _ in range(4)) == 2**20
    with pytest.raises(JobFileError, match="unpacks to more than 1,048,576 bytes"):
        next(blocks)


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_a_file_cut_anywhere_is_never_taken_for_whole(ending: str) -> None:
    """Every proper beginning of a compressed file is an error, or empty."""
    data = packed(b"GroupId\n" + bytes(range(97, 123)) * 3 + b"\n", ending)
    for length in range(1, len(data)):
        with pytest.raises(JobFileError):
            unpacked(data[:length], f"x{ending}")


def test_frames_that_hold_nothing_are_passed_over() -> None:
    """zstd's skippable frames, which some tools put first, and empty members are fine."""
    skippable = b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"abcd"
    assert unpacked(skippable + zstd.compress(b"x"))[0] == b"x"
    assert unpacked(gzip.compress(b"") + gzip.compress(b"x") + gzip.compress(b""))[0] == b"x"


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(5, "Input/output error"), "can't be read: Input/output error"),
        (OSError("odd"), "can't be read: OSError"),
        (ValueError("read of closed file"), "can't be read: read of closed file"),
        (None, "non-blocking"),
    ],
)
def test_a_read_that_fails_is_an_error_about_the_file(error: Exception | None, says: str) -> None:
    """Nothing that goes wrong while reading is taken for the end of the file."""
    with pytest.raises(JobFileError, match=says) as caught:
        list(Source("x", Failing(error), max_decompressed=1).blocks())
    assert caught.value.file == "x"


def test_only_files_and_pipes_are_opened(tmp_path: Path) -> None:
    """A missing file, a directory, a device and an impossible name are refused without being opened."""
    for name, says in ((tmp_path / "none", "No such file"), (tmp_path, "is a directory"), (Path("/dev/null"), "neither")):
        with pytest.raises(JobFileError, match=says):
            check_openable(str(name))
    with pytest.raises(JobFileError, match="null"):
        check_openable("a\0b")


def test_a_file_that_goes_away_or_is_locked_up_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where opening fails after the look at it, the error names the file."""
    path = tmp_path / "x.csv"
    path.touch()

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(JobFileError, match="Permission denied"), opened(str(path), None, max_decompressed=1):
        raise AssertionError
    with pytest.raises(JobFileError, match="Permission denied"):
        sha256_of(path)


def test_a_symlink_is_read_through(tmp_path: Path) -> None:
    """What it points to counts."""
    (tmp_path / "x.csv").write_bytes(b"hello")
    (tmp_path / "link.csv").symlink_to("x.csv")
    with opened(str(tmp_path / "link.csv"), None, max_decompressed=1) as source:
        assert list(source.blocks()) == [b"hello"]


def test_a_pipe_is_read_like_a_file(tmp_path: Path) -> None:
    """A FIFO gives what is written into it."""
    path = tmp_path / "pipe.csv"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(b"hello",))
    writer.start()
    with opened(str(path), None, max_decompressed=1) as source:
        assert b"".join(source.blocks()) == b"hello"
    writer.join()


def test_standard_input_stays_open() -> None:
    """Whoever gave it closes it."""
    stream = io.BytesIO(b"x")
    with opened("-", stream, max_decompressed=1):
        pass
    assert not stream.closed


def test_the_digest_alone_equals_that_of_reading(tmp_path: Path) -> None:
    """`sha256_of` says whether a file is still the one that was read."""
    path = tmp_path / "x.csv.gz"
    path.write_bytes(packed(TEXT, ".gz"))
    with opened(str(path), None, max_decompressed=2**30) as source:
        assert sum(map(len, source.blocks())) == len(TEXT)
    assert sha256_of(path) == source.sha256


def test_the_ending_of_a_compression_is_left_out_of_a_name() -> None:
    """Whatever its case, and once."""
    assert unpacked_name("A.CSV.GZ") == "a.csv"
    assert unpacked_name("a.jsonl.zst") == "a.jsonl"
    assert unpacked_name("gz") == "gz"
