"""Bytes → physical lines: encoding, byte order mark, line ends, and a cap on the length of a line.

A line ends at LF or CRLF and nowhere else. Lines come as text in chunks of bounded size; what a line may not hold is
carried along and named by `damage`, so that one bad line costs one row. What concerns a whole file is raised. Knows nothing
about cells, keys or rows.

Bytes that are not UTF-8 travel as the lone surrogates U+DC80…U+DCFF (`surrogateescape`); decoded UTF-8 never holds any.
"""

from __future__ import annotations

import codecs
import itertools
import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from bulkops.errors import JobFileError

LINE_BYTES: Final = 64 * 1024
"""Longest line, in bytes of UTF-8, its line end left out."""

CHUNK_LINES: Final = 16_384
"""Most lines in one chunk: what bounds the memory of a batch of short lines."""

_BOM_BYTES: Final = 8  # enough to tell UTF-32, UTF-16 and UTF-16 without a mark apart
_SURE_BYTES: Final = 4  # fewer with a NUL among them may be text that holds one
_SURELY_SHORT: Final = LINE_BYTES // 4  # characters that fit whatever they are
_NO_TEXT: Final = re.compile("[\0\r\ud800-\udfff]")


class Chunk(NamedTuple):
    """Some physical lines in their order.

    Args:
        first: Number of the first of them, from 1.
        lines: Without their line ends.
        doubtful: `damage` may have something to say about some of them; where it is false it has not.
    """

    first: int
    lines: list[str]
    doubtful: bool


class Damage(NamedTuple):
    """Why a line is no text.

    Args:
        message: What is wrong and what would be right.
        at: Where in the line, in characters from 0; -1 for the whole line.
    """

    message: str
    at: int


class Lines:
    """The physical lines of one file.

    Args:
        blocks: Its bytes, decompressed, none of the blocks empty.
        name: Its name, for errors.
    """

    def __init__(self, blocks: Iterable[bytes], name: str) -> None:
        self._blocks = iter(blocks)
        self._name = name
        self.encoding = "UTF-8"
        """Of the file; known once the first chunk came."""
        self.count = 0
        """Lines so far."""
        self.unterminated: str | None = None
        """After the end: the last line, where no line end closes it."""

    def __iter__(self) -> Iterator[Chunk]:
        """Every line once, in order.

        Raises:
            JobFileError: The file's encoding is none that is read, or it ends inside a character.
        """
        pending = b""
        for data in self._utf8():
            cut = data.rfind(b"\n")
            if cut < 0:
                # Never hold more of a line than proves it too long; two bytes more, since one of them may be half a line end.
                pending = (pending + data)[: LINE_BYTES + 2]
                continue
            block, pending = pending + data[: cut + 1], data[cut + 1 :][: LINE_BYTES + 2]
            yield from self._chunks(block)
        if pending:
            # A CR at the very end is no line end either: a second one keeps it from being taken for half of a CRLF.
            for chunk in self._chunks(pending + (b"\r\n" if pending.endswith(b"\r") else b"\n")):
                self.unterminated = chunk.lines[-1]
                yield chunk

    def _chunks(self, block: bytes) -> Iterator[Chunk]:
        """The lines of a block that ends with a line end."""
        if b"\r" in block:
            block = block.replace(b"\r\n", b"\n")
        doubtful = b"\0" in block or b"\r" in block
        try:
            text = block.decode()
        except UnicodeDecodeError:
            text = block.decode(errors="surrogateescape")
            doubtful = True
        lines = text.split("\n")
        lines.pop()  # after the last line end
        doubtful = doubtful or max(map(len, lines)) > _SURELY_SHORT
        for start in range(0, len(lines), CHUNK_LINES):
            part = lines[start : start + CHUNK_LINES]
            first, self.count = self.count + 1, self.count + len(part)
            yield Chunk(first, part, doubtful)

    def _utf8(self) -> Iterator[bytes]:
        """The file's bytes as UTF-8 without a byte order mark."""
        head = b""
        while len(head) < _BOM_BYTES and (more := next(self._blocks, b"")):
            head += more
        if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
            raise self._wrong_encoding("UTF-32")
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            self.encoding = "UTF-16"
            yield from self._transcoded(head)
            return
        if guess := _unmarked(head):
            raise self._wrong_encoding(guess)
        if head := head.removeprefix(codecs.BOM_UTF8):
            yield head
        yield from self._blocks

    def _transcoded(self, head: bytes) -> Iterator[bytes]:
        decoder = codecs.getincrementaldecoder("utf-16")("surrogatepass")
        try:
            for data in itertools.chain((head,), self._blocks):
                yield decoder.decode(data).encode(errors="surrogatepass")
            yield decoder.decode(b"", final=True).encode(errors="surrogatepass")
        except UnicodeDecodeError as error:
            raise JobFileError("the UTF-16 text ends inside a character: the file is cut off", file=self._name) from error

    def _wrong_encoding(self, encoding: str) -> JobFileError:
        return JobFileError(f"is {encoding}; save it as UTF-8, or as UTF-16 with a byte order mark", file=self._name, line=1)


def damage(line: str, encoding: str = "UTF-8") -> Damage | None:
    """Why a line of a doubtful chunk is no text, or `None` where it is."""
    if len(line) > _SURELY_SHORT and len(line.encode(errors="surrogateescape")) > LINE_BYTES:
        return Damage(f"the line is longer than {LINE_BYTES // 1024} KiB; no row is: is a line end missing?", -1)
    found = _NO_TEXT.search(line)
    if found is None:
        return None
    char, at = found[0], found.start()
    if char == "\0":
        return Damage(f"a NUL (U+0000) at character {at + 1}; remove it", at)
    if char == "\r":
        return Damage(f"a CR without LF at character {at + 1}; lines end with LF or CRLF", at)
    if encoding != "UTF-8":
        return Damage(f"no valid {encoding} at character {at + 1} (half of a surrogate pair); save the file as UTF-8", at)
    byte = ord(char) & 0xFF
    return Damage(f"no valid UTF-8 at character {at + 1} (byte 0x{byte:02X}); save the file as UTF-8", at)


def _unmarked(head: bytes) -> str:
    """The encoding that a file without a byte order mark has by its NULs; empty where they show none."""
    zeros = [not byte for byte in head[:_BOM_BYTES]]
    for encoding, width, texts in (("UTF-32", 4, (0, 3)), ("UTF-16", 2, (0, 1))):
        whole = len(zeros) // width * width
        for text in texts:
            if whole >= _SURE_BYTES and all(zero == (at % width != text) for at, zero in enumerate(zeros[:whole])):
                return f"{encoding} without a byte order mark"
    return ""
