"""Physical lines: what ends one, what it may hold, and that no line makes the reader hold more than its cap."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest

from bulkops.errors import JobFileError
from bulkops.job.lines import CHUNK_LINES, LINE_BYTES, Lines, damage
from bulkops.job.source import BLOCK_BYTES


def lines_of(*blocks: bytes) -> list[tuple[int, str]]:
    """(number, text) of every line."""
    return [pair for chunk in Lines(blocks, "x.csv") for pair in enumerate(chunk.lines, chunk.first)]


def test_a_line_ends_at_lf_or_crlf_and_nowhere_else() -> None:
    """U+2028, VT, NEL and form feed stay inside a line."""
    text = "a\u2028b\x0b\x85\x0c\r\nc\nd"
    assert lines_of(text.encode()) == [(1, "a\u2028b\x0b\x85\x0c"), (2, "c"), (3, "d")]


def test_a_crlf_cut_in_two_is_one_line_end() -> None:
    """Where a block ends between CR and LF, nothing is left over."""
    assert lines_of(b"a\r", b"\nb\r\n") == [(1, "a"), (2, "b")]


def test_a_cr_at_the_very_end_is_no_line_end() -> None:
    """It stays in the line, where it is an error."""
    assert lines_of(b"a\nb\r") == [(1, "a"), (2, "b\r")]


def test_a_mark_that_comes_in_pieces_is_seen() -> None:
    """A byte order mark split over blocks is still one."""
    assert lines_of(b"\xef", b"\xbb", b"\xbfa\n") == [(1, "a")]
    assert lines_of(*(bytes([byte]) for byte in "a\u00e9\U0001f600\n".encode("utf-16"))) == [(1, "a\u00e9\U0001f600")]


def test_a_surrogate_pair_split_over_blocks_is_one_character() -> None:
    """UTF-16 may be cut anywhere, also between the halves of a pair."""
    data = ("x" * 8 + "\U0001f600\n").encode("utf-16-le")
    assert lines_of(b"\xff\xfe" + data[:18], data[18:]) == [(1, "x" * 8 + "\U0001f600")]


def test_the_last_line_without_an_end_is_remembered() -> None:
    """It may be cut off; a file that ends properly has none."""
    for data, expected in ((b"a\nb", "b"), (b"a\nb\n", None), (b"", None)):
        lines = Lines([data] if data else [], "x.csv")
        for _ in lines:
            pass
        assert lines.unterminated == expected


def test_chunks_are_bounded_and_numbered_on() -> None:
    """A block of short lines comes in several chunks whose numbers follow each other."""
    lines = Lines([b"\n" * (CHUNK_LINES * 2 + 3)], "x.csv")
    assert [(chunk.first, len(chunk.lines)) for chunk in lines] == [
        (1, CHUNK_LINES),
        (CHUNK_LINES + 1, CHUNK_LINES),
        (2 * CHUNK_LINES + 1, 3),
    ]
    assert lines.count == 2 * CHUNK_LINES + 3


def test_a_huge_line_is_never_held() -> None:
    """Of a line of 64 MiB little more than the cap and a block is held, and the next line is read as ever."""

    def blocks() -> Iterator[bytes]:
        for _ in range(256):
            yield b"x" * BLOCK_BYTES
        yield b"\nnext\n"

    tracemalloc.start()
    try:
        (chunk,) = Lines(blocks(), "x.csv")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert chunk.doubtful
    assert damage(chunk.lines[0]) is not None
    assert chunk.lines[1] == "next"
    assert peak < 8 * BLOCK_BYTES


@pytest.mark.parametrize(("length", "fine"), [(LINE_BYTES, True), (LINE_BYTES + 1, False)])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_the_cap_counts_bytes_without_the_line_end(length: int, fine: bool, end: bytes) -> None:
    """64 KiB are a line, one byte more is not, whatever ends it."""
    ((_, line),) = lines_of(b"x" * length + end)
    assert (damage(line) is None) is fine


def test_the_cap_counts_bytes_and_not_characters() -> None:
    """Characters of several bytes reach the cap sooner."""
    assert damage("é" * (LINE_BYTES // 2)) is None
    found = damage("é" * (LINE_BYTES // 2) + "x")
    assert found is not None
    assert found.at == -1


def test_only_doubtful_chunks_have_damaged_lines() -> None:
    """What is clean text is said to be, and whatever `damage` finds is announced."""
    for data, doubtful in ((b"a\xc3\xa9\r\nb\n", False), (b"a\xff\n", True), (b"a\0\n", True), (b"a\rb\n", True)):
        (chunk,) = Lines([data], "x.csv")
        assert chunk.doubtful is doubtful
        assert any(damage(line) for line in chunk.lines) is doubtful


def test_an_encoding_that_is_not_read_is_named() -> None:
    """The error says what the file is, and what to save it as."""
    with pytest.raises(JobFileError, match=r"x\.csv:1: is UTF-32; save it as UTF-8"):
        lines_of("a,b\n".encode("utf-32"))
    with pytest.raises(JobFileError, match="UTF-16 without a byte order mark"):
        lines_of("群{".encode("utf-16-le").replace("群".encode("utf-16-le"), b"{\0"))


@pytest.mark.parametrize("data", [b"\0", b"\0\0\0\0\0\0\0\0", b"a\0\0b\0c\0d", b"ab"])
def test_stray_nuls_are_no_encoding(data: bytes) -> None:
    """A file with NULs in no order is text with NULs in it."""
    assert lines_of(data) == [(1, data.decode())]
