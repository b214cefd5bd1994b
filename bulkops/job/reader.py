"""The whole way of a job's files: one after the other, every byte to the end, in batches of bounded size.

Decides each file's format, and what no single line can know: that a file is empty, how many rows it has, that its last line
is open. Knows nothing about what becomes of the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

from bulkops.chat.catalog import BY_NAME
from bulkops.errors import ConfigError, JobFileError
from bulkops.job import rows
from bulkops.job.csv_rows import CsvRows, header_of
from bulkops.job.jsonl_rows import JsonlRows
from bulkops.job.lines import Chunk, Lines
from bulkops.job.source import STDIN, Source, check_openable, opened, unpacked_name
from bulkops.job.warnings import Notices
from bulkops.job.wording import shown, suggestion
from bulkops.model import Api, Batch, PlanWarning, SourceFile

_CSV_ENDINGS = (".csv", ".tsv")
_JSONL_ENDINGS = (".jsonl", ".ndjson")


class JobReader:
    """The rows of a job's files, checked, each in exactly one place: valid or invalid.

    Args:
        files: Names as the user wrote them, in their order; `-` is standard input.
        op: What `--op` says: fills `op` where a row has none; a row with another one is invalid.
        stdin: Standard input, where `files` names it.
        max_decompressed: Refuse a compressed file that unpacks to more bytes than this.
        on_progress: Called with the rows so far, about once a batch.

    Raises:
        ConfigError: No file, no standard input, or an `op` that no API has.
    """

    def __init__(
        self,
        files: Sequence[str],
        *,
        op: str | None = None,
        stdin: BinaryIO | None = None,
        max_decompressed: int = 16 * 2**30,
        on_progress: Callable[[int], None] | None = None,
    ) -> None:
        if not files:
            raise ConfigError("no job file given")
        if files.count(STDIN) > 1:
            raise ConfigError("standard input (-) can be read only once; name it once")
        if STDIN in files and stdin is None:
            raise ConfigError("standard input (-) is not available here; name a file")
        self._names = tuple(files)
        self._fixed = _fixed(op)
        self._stdin = stdin
        self._max_decompressed = max_decompressed
        self._on_progress = on_progress
        self._notices = Notices()
        self._files: list[SourceFile] = []
        self._rows = 0
        self._blank_lines = 0
        self._started = False

    @property
    def files(self) -> tuple[SourceFile, ...]:
        """Those that were read to the end, in their order; digests and sizes of the bytes on disk."""
        return tuple(self._files)

    @property
    def warnings(self) -> tuple[PlanWarning, ...]:
        """What is worth a word about the valid rows, riskiest first; complete after the end."""
        return self._notices.found()

    @property
    def blank_lines(self) -> int:
        """Lines with nothing on them, which were skipped."""
        return self._blank_lines

    def batches(self) -> Iterator[Batch]:
        """Every row of every file, once, in order. Can be read once.

        Raises:
            JobFileError: A file can't be used at all. What was handed out before is then worth nothing.
        """
        if self._started:
            raise RuntimeError("the batches of a JobReader can be read once")
        self._started = True
        for name in self._names:  # before the first hour of reading, not after it
            if name != STDIN:
                check_openable(name)
        for index, name in enumerate(self._names):
            with opened(name, self._stdin, max_decompressed=self._max_decompressed) as source:
                yield from self._file(index, source)

    def _file(self, index: int, source: Source) -> Iterator[Batch]:
        lines = Lines(source.blocks(), source.name)
        self._notices.file = source.name
        rows_before = self._rows
        header_seen = False
        reader: rows.RowReader | None = None
        for chunk in lines:
            rest = chunk
            if reader is None:
                rest = self._without_blank(chunk)
                if not rest.lines:
                    continue
                reader, header_seen = self._reader(source.name, rest, lines.encoding)
                if header_seen:
                    rest = Chunk(rest.first + 1, rest.lines[1:], rest.doubtful)
            portion = rows.read(rest, reader, index, lines.encoding)
            self._blank_lines += portion.blank
            self._rows += len(portion.rows) + len(portion.invalid)
            self._notices.count_rows(portion.rows)
            if portion.rows or portion.invalid:
                yield Batch(index, portion.rows, portion.invalid)
                if self._on_progress is not None:
                    self._on_progress(self._rows)
        if self._rows == rows_before:
            raise JobFileError(_empty(lines, header_seen=header_seen), file=source.name)
        if lines.unterminated is not None:
            self._notices.unterminated(lines.unterminated, lines.count)
        self._files.append(SourceFile(source.name, source.sha256, source.size, self._rows - rows_before))

    def _without_blank(self, chunk: Chunk) -> Chunk:
        """`chunk` without the blank lines that it begins with, which are counted."""
        blank = next((at for at, line in enumerate(chunk.lines) if line), len(chunk.lines))
        self._blank_lines += blank
        return Chunk(chunk.first + blank, chunk.lines[blank:], chunk.doubtful)

    def _reader(self, name: str, chunk: Chunk, encoding: str) -> tuple[rows.RowReader, bool]:
        """The reader for a file's format, and whether the chunk's first line was its header."""
        line = chunk.lines[0]
        bare = unpacked_name(name)
        if bare.endswith(_JSONL_ENDINGS) or (not bare.endswith(_CSV_ENDINGS) and line.lstrip().startswith("{")):
            return JsonlRows(self._fixed, self._notices), False
        return CsvRows(header_of(line, name, chunk.first, self._fixed, encoding), self._fixed, self._notices), True


def _fixed(op: str | None) -> Api | None:
    if op is None:
        return None
    api = BY_NAME.get(op)
    if api is None:
        raise ConfigError(f"--op {shown(op)} is no operation; {suggestion(op, BY_NAME)}")
    return api


def _empty(lines: Lines, *, header_seen: bool) -> str:
    if header_seen:
        return "has a header but no rows; is this the right file?"
    return "has only blank lines; is this the right file?" if lines.count else "is empty; is this the right file?"
