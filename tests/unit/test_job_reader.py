"""A job of several files: formats, order, counts, progress, and what the reader refuses."""

from __future__ import annotations

import ast
import io
from pathlib import Path

import pytest

import bulkops.job
from bulkops.chat.catalog import APIS
from bulkops.errors import ConfigError, JobFileError
from bulkops.job import JobReader, sha256_of
from bulkops.job.lines import CHUNK_LINES
from tests.helpers.job import CLEAR, packed, read_job, read_text

CSV = b"op,GroupId,MsgSeq\nclear_group_messages,a,1\nclear_group_messages,b,2\n"
JSONL = b'{"op":"clear_group_messages","GroupId":"c","MsgSeq":3}\n'


def written(folder: Path, name: str, data: bytes) -> str:
    """Write a file; its path."""
    path = folder / name
    path.write_bytes(data)
    return str(path)


def test_several_files_are_one_job(tmp_path: Path) -> None:
    """Rows come in the order of the files, each with its own line numbers, byte order mark and format."""
    names = [written(tmp_path, "a.csv", CSV), written(tmp_path, "b.jsonl.gz", packed(JSONL, ".gz"))]
    names.append(written(tmp_path, "c.tsv", b"\xef\xbb\xbf" + CSV.replace(b",", b"\t")))

    batches = list(JobReader(names).batches())

    assert [(batch.file, [row[1] for row in batch.rows]) for batch in batches] == [
        (0, ["a\t1", "b\t2"]),
        (1, ["c\t3"]),
        (2, ["a\t1", "b\t2"]),
    ]
    assert [row[3] for batch in batches for row in batch.rows] == [2, 3, 1, 2, 3]


def test_files_are_recorded_as_they_lie_on_disk(tmp_path: Path) -> None:
    """Name as given, digest and size of the compressed bytes, rows without header and blank lines."""
    name = written(tmp_path, "a.csv.zst", packed(CSV + b"\nx,y\n", ".zst"))
    job = read_job(name)
    (file,) = job.files
    assert (file.name, file.sha256, file.size, file.rows) == (name, sha256_of(name), Path(name).stat().st_size, 3)
    assert job.blank_lines == 1


def test_the_same_file_twice_is_read_twice(tmp_path: Path) -> None:
    """Its rows become duplicates further on, not here."""
    name = written(tmp_path, "a.csv", CSV)
    assert read_job(name, name).contents == ["a\t1", "b\t2"] * 2


@pytest.mark.parametrize("name", ["job", "job.txt", "job.gz", "JOB.DATA.ZST"])
@pytest.mark.parametrize("data", [CSV, JSONL, b"\n\r\n" + CSV, b"\n  " + JSONL])
def test_without_a_known_ending_the_content_says_what_it_is(tmp_path: Path, name: str, data: bytes) -> None:
    """A first character `{` means JSONL, anything else CSV."""
    ending = Path(name).suffix.lower()
    assert read_job(written(tmp_path, name, packed(data, ending))).contents == (["c\t3"] if b"{" in data else ["a\t1", "b\t2"])


def test_an_ending_decides_against_the_content(tmp_path: Path) -> None:
    """A .jsonl file that holds CSV is bad JSONL, and the reverse is a file without header."""
    assert len(read_job(written(tmp_path, "a.JSONL", CSV)).invalid) == 3
    with pytest.raises(JobFileError, match="no header"):
        read_job(written(tmp_path, "a.csv", JSONL))


def test_standard_input_may_be_compressed() -> None:
    """Its bytes say so."""
    reader = JobReader(["-"], stdin=io.BytesIO(packed(CSV, ".gz")))
    assert sum(len(batch.rows) for batch in reader.batches()) == 2
    assert reader.files[0].name == "-"


def test_a_missing_file_is_found_before_anything_is_read(tmp_path: Path) -> None:
    """The last of many files is looked at first."""
    reader = JobReader([written(tmp_path, "a.csv", CSV), str(tmp_path / "gone.csv")])
    with pytest.raises(JobFileError, match=r"gone\.csv: can't be read: No such file"):
        next(reader.batches())


def test_a_file_without_rows_spoils_the_job(tmp_path: Path) -> None:
    """Also where the others have some, and wherever its header is."""
    good = written(tmp_path, "a.csv", CSV)
    with pytest.raises(JobFileError, match="has a header but no rows"):
        read_job(good, written(tmp_path, "b.csv", b"\n" * (CHUNK_LINES + 5) + CSV.splitlines(True)[0] + b"\n"))


def test_blank_lines_before_the_header_are_skipped_and_numbered() -> None:
    """The header is the first line with something on it, however late."""
    job = read_text("\n" * (CHUNK_LINES + 3) + CSV.decode())
    assert job.blank_lines == CHUNK_LINES + 3
    assert [row[3] for row in job.rows] == [CHUNK_LINES + 5, CHUNK_LINES + 6]


def test_batches_are_bounded_and_progress_counts_all_rows() -> None:
    """No batch has more rows than a chunk has lines; progress ends at the number of rows."""
    rows = 2 * CHUNK_LINES + 10
    seen: list[int] = []
    reader = JobReader(["-"], op=CLEAR, stdin=io.BytesIO(b"GroupId\n" + b"g\n \n" * (rows // 2)), on_progress=seen.append)
    sizes = [len(batch.rows) + len(batch.invalid) for batch in reader.batches()]
    assert max(sizes) <= CHUNK_LINES
    assert len(seen) == len(sizes)
    assert seen[-1] == sum(sizes) == rows == reader.files[0].rows


def test_an_op_has_a_name_and_a_path_form() -> None:
    """Both are accepted from outside and in rows, and mean the same."""
    text = "GroupId,op,MsgSeq\na,clear_group_messages,1\nb,group_open_http_svc/clear_group_msg,1\nc,,1\n"
    assert read_text(text, op="group_open_http_svc/clear_group_msg").contents == ["a\t1", "b\t1", "c\t1"]


@pytest.mark.parametrize(
    ("files", "op", "says"),
    [
        ([], None, "no job file given"),
        (["-", "a.csv", "-"], None, "only once"),
        (["-"], None, "not available"),
        (["a.csv"], "clear_group_message", "did you mean clear_group_messages?"),
        (["a.csv"], "remove", "known are delete_conversation, recentcontact/delete"),
    ],
)
def test_usage_that_cannot_work_is_refused_at_once(files: list[str], op: str | None, says: str) -> None:
    """Before any file is opened."""
    with pytest.raises(ConfigError, match=says.replace("?", r"\?")):
        JobReader(files, op=op)


def test_batches_are_read_once() -> None:
    """A second reading would count everything twice."""
    reader = JobReader(["-"], stdin=io.BytesIO(CSV))
    assert list(reader.batches())
    with pytest.raises(RuntimeError, match="once"):
        next(reader.batches())


def test_no_op_and_no_field_is_named_in_the_code() -> None:
    """Everything about them comes from the catalog, so that a new API needs no change here."""
    names = {field.name for api in APIS for field in api.fields} | {name for api in APIS for name in api.aliases}
    for path in Path(bulkops.job.__file__).parent.glob("*.py"):
        texts = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
        assert not texts & names, path.name
