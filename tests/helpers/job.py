"""Reading job files in tests: bytes in, what became of every row out."""

from __future__ import annotations

import gzip
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from backports import zstd

from bulkops.chat.catalog import APIS
from bulkops.job import JobReader
from bulkops.job.csv_rows import CsvRows, Header
from bulkops.job.jsonl_rows import JsonlRows
from bulkops.job.rows import Row, RowReader
from bulkops.job.rules import RowFault
from bulkops.job.warnings import Notices
from bulkops.model import FIELD_SEPARATOR, Api, Invalid, PlanWarning, SourceFile

JOBS: Final = Path(__file__).parents[2] / "jobs"
"""The sample files."""

CLEAR: Final = "clear_group_messages"
CONVERSATION: Final = "delete_conversation"
GROUP: Final = "delete_conversation_group"

CONVERSATION_HEADER: Final = "op,From_Account,Type,To_Account,ToGroupid,ClearRamble"


@dataclass(frozen=True, slots=True)
class ReadJob:
    """What a job came to.

    Args:
        rows: Valid rows, all files.
        invalid: The others.
        files, warnings, blank_lines: As the reader says after the end.
    """

    rows: tuple[Row, ...]
    invalid: tuple[Invalid, ...]
    files: tuple[SourceFile, ...]
    warnings: tuple[PlanWarning, ...]
    blank_lines: int

    @property
    def contents(self) -> list[str]:
        """Of the valid rows, in their order."""
        return [content for _, content, _, _ in self.rows]

    @property
    def total(self) -> int:
        """Rows in all."""
        return len(self.rows) + len(self.invalid)


def read_job(*files: str | Path, op: str | None = None, stdin: bytes | None = None, max_decompressed: int = 2**30) -> ReadJob:
    """Read files to the end."""
    stream = None if stdin is None else io.BytesIO(stdin)
    reader = JobReader([str(file) for file in files], op=op, stdin=stream, max_decompressed=max_decompressed)
    rows: list[Row] = []
    invalid: list[Invalid] = []
    for batch in reader.batches():
        rows += batch.rows
        invalid += batch.invalid
    return ReadJob(tuple(rows), tuple(invalid), reader.files, reader.warnings, reader.blank_lines)


def read_bytes(data: bytes, *, op: str | None = None, max_decompressed: int = 2**30) -> ReadJob:
    """Read bytes as standard input, so that the content says what they are."""
    return read_job("-", op=op, stdin=data, max_decompressed=max_decompressed)


def read_text(text: str, *, op: str | None = None) -> ReadJob:
    """Read text as standard input, in UTF-8."""
    return read_bytes(text.encode(), op=op)


def packed(data: bytes, ending: str) -> bytes:
    """`data` compressed as its name's ending says: `.gz`, `.zst`, or not at all."""
    if ending == ".gz":
        return gzip.compress(data, mtime=0)
    return zstd.compress(data) if ending == ".zst" else data


def content_of(*values: str) -> str:
    """The content that holds these values."""
    return FIELD_SEPARATOR.join(values)


@dataclass(slots=True)
class TwoReaders:
    """One format's reader, to ask its quick and its careful way about the same line."""

    reader: RowReader
    notices: Notices

    def quickly(self, line: str) -> Row | None:
        """What the quick way makes of a line."""
        return self.reader.quick(line, 1)

    def carefully(self, line: str) -> list[Row] | str:
        """What the careful way makes of a line: rows, or what is wrong."""
        try:
            return self.reader.careful(line, 1)
        except RowFault as fault:
            return fault.message


def csv_readers(*names: str, delimiter: str = ",", fixed: Api | None = None) -> TwoReaders:
    """The two ways through a CSV file with these columns."""
    notices = Notices()
    return TwoReaders(CsvRows(Header(names, delimiter), fixed, notices), notices)


def jsonl_readers(fixed: Api | None = None) -> TwoReaders:
    """The two ways through a JSONL file."""
    notices = Notices()
    return TwoReaders(JsonlRows(fixed, notices), notices)


def api_of(op: str) -> Api:
    """The API of that name."""
    return next(api for api in APIS if api.op == op)
