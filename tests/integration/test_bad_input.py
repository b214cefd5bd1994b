"""Every row of the table of bad input as a file: the documented result, with line and column."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from bulkops.errors import JobFileError
from tests.helpers.job import CLEAR, CONVERSATION, CONVERSATION_HEADER, GROUP, packed, read_job

GOOD = "delete_conversation,alice,1,bob,,1"
CSV_HEAD = f"{CONVERSATION_HEADER}\n{GOOD}\n".encode()
GROUPS_HEAD = b"GroupId,MsgSeq\ngood-group,1\n"
NAMES_HEAD = b"From_Account,GroupName\nalice,Work\n"
JSON_GOOD = b'{"op":"clear_group_messages","GroupId":"g1","MsgSeq":1}\n'


@dataclass(frozen=True, slots=True)
class Bad:
    """A file with exactly one bad row among good ones.

    Args:
        label: Names the case.
        data: The file.
        line, column: What the row's error has to say about the place.
        says: Words that its message holds.
        op: What `--op` says.
        name: The file's name.
        good: Valid rows in it.
    """

    label: str
    data: bytes
    line: int
    column: str
    says: str
    op: str | None = None
    name: str = "job.csv"
    good: int = 1


@dataclass(frozen=True, slots=True)
class Whole:
    """A file that can't be used at all; the arguments are those of `Bad`."""

    label: str
    data: bytes
    line: int
    column: str
    says: str
    op: str | None = None
    name: str = "job.csv"


@dataclass(frozen=True, slots=True)
class Good:
    """A file that looks odd and is fine.

    Args:
        label, data, op, name: As in `Bad`.
        rows: Valid rows in it.
        blank: Blank lines in it.
        warns: Words of a warning that it gives; empty for none at all.
    """

    label: str
    data: bytes
    rows: int = 1
    blank: int = 0
    warns: str = ""
    op: str | None = None
    name: str = "job.csv"


def conversation(row: str) -> bytes:
    """A CSV file of a good conversation (line 2) and `row` (line 3)."""
    return CSV_HEAD + row.encode() + b"\n"


def group(row: str) -> bytes:
    """A CSV file of a good clear (line 2) and `row` (line 3), for `--op`."""
    return GROUPS_HEAD + row.encode() + b"\n"


def named(name: str) -> bytes:
    """A CSV file of a good conversation group (line 2) and `name` (line 3), for `--op`."""
    return NAMES_HEAD + f"alice,{name}\n".encode()


def jsonl(label: str, line: str | bytes, column: str, says: str) -> Bad:
    """A JSONL file of a good row (line 1) and a bad one (line 2)."""
    data = line if isinstance(line, bytes) else line.encode()
    return Bad(label, JSON_GOOD + data + b"\n", 2, column, says, name="job.jsonl")


def clear_with(label: str, msg_seq: str, says: str) -> Bad:
    """A JSONL file of a good row and one with that `MsgSeq`."""
    return jsonl(label, f'{{"op":"{CLEAR}","GroupId":"g","MsgSeq":{msg_seq}}}', "MsgSeq", says)


def conversation_from(label: str, account: str, says: str) -> Bad:
    """A JSONL file of a good row and one with that `From_Account`."""
    line = f'{{"op":"{CONVERSATION}","From_Account":{account},"Type":1,"To_Account":"b"}}'
    return jsonl(label, line, "From_Account", says)


def group_named(label: str, name: str, says: str) -> Bad:
    """A JSONL file of a good row and one with that `GroupName`."""
    return jsonl(label, f'{{"op":"{GROUP}","From_Account":"a","GroupName":{name}}}', "GroupName", says)


def in_utf16(data: bytes) -> bytes:
    """`data` as UTF-16 with a byte order mark."""
    return data.decode().encode("utf-16")


LONG_LINE = "x" * (64 * 1024)
GZIPPED = gzip.compress(CSV_HEAD * 50, mtime=0)
ZSTD = packed(CSV_HEAD * 50, ".zst")
BALLAST = (b" " * 1023 + b"\n") * 1025
BAD_CRC = GZIPPED[:-8] + bytes(4) + GZIPPED[-4:]

ENCODINGS: Sequence[Bad | Whole | Good] = (
    Good("UTF-8 with BOM", b"\xef\xbb\xbf" + CSV_HEAD),
    Good("JSONL with BOM", b"\xef\xbb\xbf" + JSON_GOOD, name="job.jsonl"),
    jsonl("BOM inside a file", b"\xef\xbb\xbf" + JSON_GOOD.strip(), "", "byte order mark"),
    Whole("two BOMs", b"\xef\xbb\xbf" * 2 + CSV_HEAD, 1, "\\ufeffop", "did you mean op?"),
    Good("UTF-16 with BOM", in_utf16(CSV_HEAD)),
    Good("UTF-16 big-endian with BOM", b"\xfe\xff" + CSV_HEAD.decode().encode("utf-16-be")),
    Whole("UTF-16 without BOM", CSV_HEAD.decode().encode("utf-16-le"), 1, "", "is UTF-16 without a byte order mark"),
    Whole("UTF-16 big-endian without BOM", CSV_HEAD.decode().encode("utf-16-be"), 1, "", "is UTF-16 without a byte order mark"),
    Whole("UTF-32 with BOM", CSV_HEAD.decode().encode("utf-32"), 1, "", "is UTF-32"),
    Whole("UTF-32 without BOM", CSV_HEAD.decode().encode("utf-32-be"), 1, "", "is UTF-32 without a byte order mark"),
    Whole("UTF-16 cut inside a character", in_utf16(CSV_HEAD)[:-1], 0, "", "cut off"),
    Bad(
        "GB18030",
        NAMES_HEAD + "alice,群组\n".encode("gb18030"),
        3,
        "GroupName",
        "no valid UTF-8 at character 8 (byte 0xD7)",
        GROUP,
    ),
    Bad("invalid UTF-8 in an id", CSV_HEAD + b"delete_conversation,al\xff,1,bob,,1\n", 3, "From_Account", "byte 0xFF"),
    Whole("GB18030 in the header", "From_Account,群组\n".encode("gb18030"), 1, "", "no valid UTF-8"),
    Bad("UTF-16 with half a pair", in_utf16(CSV_HEAD) + b"\x00\xd8\n\0", 3, "op", "no valid UTF-16 at character 1"),
)

LINES: Sequence[Bad | Whole | Good] = (
    Good("CRLF", CSV_HEAD.replace(b"\n", b"\r\n")),
    Bad("lone CR", conversation(f"{GOOD}\r{GOOD}"), 3, "ClearRamble", "a CR without LF at character 35"),
    Whole("only CRs", CSV_HEAD.replace(b"\n", b"\r"), 1, "", "CR without LF"),
    Bad("CR at the very end", CSV_HEAD + GOOD.encode() + b"\r", 3, "ClearRamble", "a CR without LF"),
    Bad("NUL in a field", conversation("delete_conversation,al\0ice,1,bob,,1"), 3, "From_Account", "a NUL"),
    Bad(
        "U+2028", named("a\u2028b\u0085").replace(b"\xc2\x85", b"") + b"alice,a\x0bb\n", 4, "GroupName", "U+000B", GROUP, good=2
    ),
    Bad("NEL", named("a\u0085b"), 3, "GroupName", "U+0085 at character 2", GROUP),
    Good("blank lines", b"\n" + CSV_HEAD.replace(b"\n", b"\n\n\r\n"), blank=5),
    Bad("only commas", conversation(",,,,,"), 3, "", "every cell is empty"),
    Bad("only spaces", group("   "), 3, "", "holds only spaces", CLEAR),
    Bad("only spaces in JSONL", JSON_GOOD + b"   \n", 2, "", "holds only spaces", name="job.jsonl"),
    Bad(
        "a comment where ids begin otherwise",
        conversation("# note"),
        3,
        "From_Account",
        "the row has 1 cell, but the header has 6",
    ),
    Good("a comment that is a legal id", b"GroupId,MsgSeq\n# note,1\n", warns="look like comments", op=CLEAR),
    jsonl("a comment in JSONL", "// note", "", "a comment"),
    Bad("64 KiB and a byte", group(f"{LONG_LINE}x"), 3, "", "longer than 64 KiB", CLEAR),
    Bad("a line of exactly 64 KiB", group(LONG_LINE), 3, "MsgSeq", "1 cell", CLEAR),
    Bad("a line of 1 MB", group("x" * 2**20) + b"g2,2\n", 3, "", "longer than 64 KiB", CLEAR, good=2),
    Whole("a header of 1 MB", b"x" * 2**20, 1, "", "longer than 64 KiB"),
    Good("no newline at the end", CSV_HEAD[:-1], warns="have no line end"),
    Whole("empty", b"", 0, "", "is empty"),
    Whole("only blank lines", b"\n\n", 0, "", "only blank lines"),
    Whole("only a header", CSV_HEAD.splitlines()[0], 0, "", "no rows"),
    Whole("empty JSONL", b"", 0, "", "is empty", name="job.jsonl"),
    Good("the same row twice", CSV_HEAD + GOOD.encode() + b"\n", rows=2),
)

CSV: Sequence[Bad | Whole | Good] = (
    Bad(
        "newline in quotes",
        conversation('delete_conversation,alice,1,"b\nob",,1'),
        3,
        "To_Account",
        "not closed on this line",
        good=1,
    ),
    Bad(
        "unbalanced quote",
        conversation('delete_conversation,"alice,1,bob,,1') + f"{GOOD}\n".encode(),
        3,
        "From_Account",
        "not closed",
        good=2,
    ),
    Bad(
        "junk after a quote",
        conversation('delete_conversation,"a"x,1,bob,,1'),
        3,
        "From_Account",
        "'x' follows the closing quote",
    ),
    Bad("quote inside a cell", conversation('delete_conversation,a"b,1,bob,,1'), 3, "From_Account", "has a quote inside"),
    Whole("duplicate header", b"GroupId,MsgSeq,GroupId\na,1,b\n", 1, "GroupId", "two columns are named", CLEAR),
    Whole("header without a name", b"GroupId,,MsgSeq\na,,1\n", 1, "", "column 2 has no name", CLEAR),
    Bad("missing column", conversation("delete_conversation,alice,1,bob,"), 3, "ClearRamble", "5 cells, but the header has 6"),
    Bad("extra column", conversation(f"{GOOD},"), 3, "", "7 cells, but the header has 6"),
    Whole("header in another case", b"from_account,GroupName\na,b\n", 1, "from_account", "did you mean From_Account?", GROUP),
    Whole("header with a space", b"From_Account, GroupName\na,b\n", 1, " GroupName", "did you mean GroupName?", GROUP),
    Whole("unknown header", b"GroupId,MsgSeq,Owner\na,1,b\n", 1, "Owner", "unknown column 'Owner'", CLEAR),
    Good("semicolon", CSV_HEAD.replace(b",", b";")),
    Good("tab", CSV_HEAD.replace(b",", b"\t"), name="job.tsv"),
    Good("tab in a .csv", CSV_HEAD.replace(b",", b"\t")),
    Whole("another delimiter", CSV_HEAD.replace(b",", b"|"), 1, "", "separated by '|'"),
    Whole("no header", f"{GOOD}\n{GOOD}\n".encode(), 1, "", "no header"),
    Whole("a quote open in the header", b'GroupId,"MsgSeq\na,1\n', 1, "", "column 2: the quote is not closed", CLEAR),
    Whole("no op", b"GroupId\na\n", 1, "op", "add a column op, or give --op"),
    Whole("a required column missing", b"MsgSeq\n1\n", 1, "GroupId", "column GroupId is missing", CLEAR),
    Good("ignored columns", b'GroupId,_info\na,"=cmd|x ""y"", z"\n', warns="MsgSeq", op=CLEAR),
)

VALUES: Sequence[Bad | Whole | Good] = (
    Bad("leading space", group(" g,1"), 3, "GroupId", "has a space at its start", CLEAR),
    Bad("trailing space", group("g ,1"), 3, "GroupId", "has a space at its end", CLEAR),
    Bad("NBSP", group("g\u00a0,1"), 3, "GroupId", "U+00A0 at character 2", CLEAR),
    Bad("look-alike", group("gr\u043eup,1"), 3, "GroupId", "U+043E", CLEAR),
    Bad("zero-width", group("gr\u200boup,1"), 3, "GroupId", "U+200B", CLEAR),
    Bad("full-width", group("\uff41,1"), 3, "GroupId", "U+FF41", CLEAR),
    Bad("combining", group("e\u0301,1"), 3, "GroupId", "U+0301", CLEAR),
    Bad("DEL", group("g\x7f,1"), 3, "GroupId", "U+007F", CLEAR),
    Bad("escape sequence", group("\x1b[2J,1"), 3, "GroupId", "'\\x1b[2J'", CLEAR),
    Bad("group id of 49 bytes", group("g" * 49 + ",1"), 3, "GroupId", "at most 48", CLEAR),
    Good("group id of 48 bytes", group("g" * 48 + ",1"), rows=2, op=CLEAR),
    Bad("UserID of 33 bytes", conversation(f"delete_conversation,{'a' * 33},1,bob,,1"), 3, "From_Account", "at most 32"),
    Good("UserID of 32 bytes", conversation(f"delete_conversation,{'a' * 32},1,bob,,1"), rows=2),
    Bad("name of 65 bytes", named("é" * 32 + "x"), 3, "GroupName", "takes 65 bytes", GROUP),
    Good("name of 64 bytes", named("é" * 32), rows=2, op=GROUP),
    Good("name with spaces around", named(" é\u200b "), rows=2, op=GROUP),
    Good("no MsgSeq", b"GroupId,MsgSeq\ng,\n", warns="they have no MsgSeq", op=CLEAR),
    Bad("MsgSeq 0", group("g,0"), 3, "MsgSeq", "an integer from 1 to 9223372036854775807", CLEAR),
    Good("MsgSeq 2^63-1", group(f"g,{2**63 - 1}"), rows=2, op=CLEAR),
    Bad("MsgSeq 2^63", group(f"g,{2**63}"), 3, "MsgSeq", "an integer from 1 to", CLEAR),
    Bad("MsgSeq 2^64 and more", group(f"g,{'9' * 5000}"), 3, "MsgSeq", "an integer from 1 to", CLEAR),
    Bad("leading zeros", group("g,007"), 3, "MsgSeq", "write 7", CLEAR),
    Bad("a sign", group("g,+1"), 3, "MsgSeq", "in digits only", CLEAR),
    Bad("a point", group("g,1.0"), 3, "MsgSeq", "in digits only", CLEAR),
    Bad("other digits", group("g,\u0661"), 3, "MsgSeq", "in digits only", CLEAR),
    Bad("a space before digits", group("g, 1"), 3, "MsgSeq", "in digits only", CLEAR),
    Bad("unknown op", conversation("remove,alice,1,bob,,1"), 3, "op", "unknown op 'remove'"),
    Bad("op in another case", conversation("Delete_Conversation,alice,1,bob,,1"), 3, "op", "did you mean delete_conversation?"),
    Bad("op missing", conversation(",alice,1,bob,,1"), 3, "op", "op is missing"),
    Bad(
        "another op than --op",
        CSV_HEAD + b"delete_conversation_group,alice,,,,\n",
        3,
        "op",
        "--op says delete_conversation",
        CONVERSATION,
    ),
    Good("op filled in", conversation(",alice,1,carol,,1"), rows=2, op="recentcontact/delete"),
    Bad("no Type", conversation("delete_conversation,alice,,bob,,1"), 3, "Type", "Type is missing"),
    Bad("no To_Account", conversation("delete_conversation,alice,1,,,1"), 3, "To_Account", "needs it where Type is 1"),
    Bad("both targets", conversation("delete_conversation,alice,1,bob,g,1"), 3, "ToGroupid", "belongs to Type 2 only"),
    Bad("ClearRamble 2", conversation("delete_conversation,alice,1,bob,,2"), 3, "ClearRamble", "it has to be 0 or 1"),
    Bad(
        "a column of another op",
        b"op,From_Account,Type,To_Account,MsgSeq\ndelete_conversation,a,1,b,\ndelete_conversation,a,1,b,7\n",
        3,
        "MsgSeq",
        "MsgSeq is no field of delete_conversation; leave the cell empty",
    ),
    Bad("id of 257 bytes", b"GroupId,MsgSeq,id\ng,1,a\ng,1," + b"x" * 257 + b"\n", 3, "id", "at most 256", CLEAR),
    Good("id of 256 bytes, any text", b"GroupId,MsgSeq,id\ng,1," + ("é" * 126 + "\x1b\u200f").encode() + b"\n", op=CLEAR),
    Good("spreadsheet damage", b"GroupId,MsgSeq\n1.23E+15,1\n", warns="spoilt by a spreadsheet", op=CLEAR),
    Good("Community group", b"GroupId,MsgSeq\n@TGS#_abc,1\n", warns="Community", op=CLEAR),
    Good("formula", b"GroupId,MsgSeq\n=cmd|' /C calc'!A0,1\n", op=CLEAR),
)

JSONL: Sequence[Bad | Whole | Good] = (
    conversation_from("number for an id", "1", "is the number 1; it has to be a string"),
    conversation_from("float for an id", "1.0", "is the number 1.0"),
    conversation_from("huge number for an id", str(2**64), f"is the number {2**64}"),
    conversation_from("true for an id", "true", "is true"),
    conversation_from("null for an id", "null", "is null; leave the key out"),
    conversation_from("array for an id", '["a"]', "is an array"),
    conversation_from("object for an id", "{}", "is an object"),
    conversation_from("empty id", '""', "is an empty string"),
    conversation_from("lone surrogate in an id", '"\\ud800"', "U+D800"),
    clear_with("string for a number", '"1"', "is the string '1'"),
    clear_with("float for a number", "1.0", "is the number 1.0"),
    clear_with("exponent", "1e3", "is the number 1000.0"),
    clear_with("true for a number", "true", "is true"),
    clear_with("null for a number", "null", "is null; leave the key out"),
    clear_with("2^63", str(2**63), "an integer from 1 to"),
    clear_with("2^64", str(2**64), "an integer from 1 to"),
    clear_with("negative", "-1", "an integer from 1 to"),
    jsonl("5,000 digits", f'{{"op":"{CLEAR}","GroupId":"g","MsgSeq":{"9" * 5000}}}', "", "too many digits"),
    jsonl("NaN", f'{{"op":"{CLEAR}","GroupId":"g","MsgSeq":NaN}}', "", "NaN is no JSON number"),
    jsonl("Infinity", f'{{"op":"{CLEAR}","GroupId":"g","MsgSeq":-Infinity}}', "", "-Infinity is no JSON number"),
    jsonl("1e999", f'{{"op":"{CLEAR}","GroupId":"g","MsgSeq":1e999}}', "", "the number 1e999 is too large"),
    jsonl("duplicate key", f'{{"op":"{CLEAR}","GroupId":"g","GroupId":"h"}}', "GroupId", "'GroupId' is there twice"),
    jsonl("duplicate key, same value", f'{{"op":"{CLEAR}","GroupId":"g","MsgSeq":1,"MsgSeq":1}}', "MsgSeq", "is there twice"),
    jsonl("duplicate key, escaped", f'{{"op":"{CLEAR}","GroupId":"g","Group\\u0049d":"h"}}', "GroupId", "is there twice"),
    jsonl("unknown key", f'{{"op":"{CLEAR}","GroupID":"g"}}', "GroupID", "unknown key 'GroupID'; did you mean GroupId?"),
    jsonl(
        "key of another op",
        f'{{"op":"{CLEAR}","GroupId":"g","Type":1}}',
        "Type",
        "Type is no field of clear_group_messages; leave the key out",
    ),
    jsonl("deep nesting", '{"op":' + "[" * 30_000, "", "nested too deeply"),
    jsonl(
        "lone surrogate in a name",
        f'{{"op":"{GROUP}","From_Account":"a","GroupName":"\\ud83d"}}',
        "GroupName",
        "half of a surrogate pair",
    ),
    jsonl(
        "control character, raw",
        b'{"op":"clear_group_messages","GroupId":"a\x01"}',
        "",
        "at character 42: Invalid control character",
    ),
    group_named("control character, escaped", '"a\\u0001"', "U+0001 at character 2"),
    group_named("C1 control character, escaped", '"a\\u0085"', "a control character is no part of a name"),
    jsonl("newline in an id, escaped", f'{{"op":"{CLEAR}","GroupId":"g","id":"a\\nb"}}', "id", "U+000A at character 2"),
    jsonl(
        "number for the reference",
        f'{{"op":"{CLEAR}","GroupId":"g","id":7}}',
        "id",
        "id is the number 7; it has to be a string",
    ),
    jsonl("number for op", '{"op":7,"GroupId":"g"}', "op", "op is the number 7"),
    jsonl("op missing", '{"GroupId":"g"}', "op", "op is missing"),
    jsonl("two objects", JSON_GOOD.strip() * 2, "", "each object has a line of its own"),
    jsonl("words after the object", JSON_GOOD.strip() + b" x", "", "at character 57; remove 'x'"),
    jsonl("trailing comma", f'{{"op":"{CLEAR}","GroupId":"g",}}', "", "a comma before the end; remove it"),
    jsonl("array", f'["{CLEAR}"]', "", "the line is an array"),
    jsonl("scalar", "1", "", "the line is the number 1"),
    jsonl("string", '"x"', "", "the line is the string 'x'"),
    jsonl("null", "null", "", "the line is null"),
    jsonl("true", "true", "", "the line is true"),
    jsonl("half an object", f'{{"op":"{CLEAR}"', "", "no valid JSON at character 29"),
    jsonl("single quotes", "{'op':1}", "", "no valid JSON at character 2"),
    jsonl("invalid UTF-8", b'{"op":"\xff"}', "", "no valid UTF-8 at character 8"),
    jsonl("NUL", b'{"op":"\0"}', "", "a NUL"),
    group_named("an empty list", "[]", "is an empty list"),
    group_named("a bad name in a list", '["ok","no\\tway"]', "U+0009"),
    group_named("a number in a list", '["ok",1]', "a list of strings"),
    group_named("an empty name in a list", '["ok",""]', "is an empty string"),
    group_named("a list in a list", '[["ok"]]', "is an array"),
    Good(
        "a list of names", f'{{"op":"{GROUP}","From_Account":"a","GroupName":["x","y"]}}\n'.encode(), rows=2, name="job.ndjson"
    ),
    Good("spaces around", b" " + JSON_GOOD.strip() + b" \n", name="job.jsonl"),
    Good("ignored keys", JSON_GOOD[:-2] + b',"_x":{"a":[1.5,null]}}\n', name="job.jsonl"),
)

COMPRESSION: Sequence[Bad | Whole | Good] = (
    Whole("gzip cut", GZIPPED[:-20], 0, "", "cut off", name="job.csv.gz"),
    Whole("gzip with a bad CRC", BAD_CRC, 0, "", "damaged", name="job.csv.gz"),
    Whole("gzip with junk behind", GZIPPED + b"junk", 0, "", "other bytes follow it", name="job.csv.gz"),
    Whole("gzip with zeros behind", GZIPPED + bytes(512), 0, "", "other bytes follow it", name="job.csv.gz"),
    Whole("zstd cut", ZSTD[:-5], 0, "", "cut off", name="job.csv.zst"),
    Whole("zstd damaged", ZSTD[:20] + bytes(10) + ZSTD[30:], 0, "", "damaged", name="job.csv.zst"),
    Whole("zstd with junk behind", ZSTD + b"junk", 0, "", "other bytes follow it", name="job.csv.zst"),
    Whole("not gzip at all", CSV_HEAD, 0, "", "its content is not gzip", name="job.csv.gz"),
    Whole("not zstd at all", CSV_HEAD, 0, "", "its content is not zstd", name="job.csv.ZST"),
    Whole("empty gzip", gzip.compress(b""), 0, "", "is empty", name="job.csv.gz"),
    Whole("gzip bomb", gzip.compress(CSV_HEAD + BALLAST), 0, "", "unpacks to more than 1,048,576 bytes", name="job.csv.gz"),
    Whole("zstd bomb", packed(CSV_HEAD + BALLAST, ".zst"), 0, "", "unpacks to more than", name="job.csv.zst"),
    Good("two gzip members", packed(CSV_HEAD, ".gz") + packed(GOOD.encode() + b"\n", ".gz"), rows=2, name="job.csv.gz"),
    Good("two zstd frames", packed(CSV_HEAD, ".zst") + packed(GOOD.encode() + b"\n", ".zst"), rows=2, name="job.csv.zst"),
    Good("gzip without the ending", packed(CSV_HEAD, ".gz"), name="job.csv"),
)

CASES = (*ENCODINGS, *LINES, *CSV, *VALUES, *JSONL, *COMPRESSION)
LIMIT = 2**20  # decompressed bytes in these tests


def cases(kind: type[Bad | Whole | Good]) -> pytest.MarkDecorator:
    """All cases of one kind as parameters."""
    chosen = [case for case in CASES if isinstance(case, kind)]
    return pytest.mark.parametrize("case", chosen, ids=[case.label for case in chosen])


@cases(Bad)
def test_a_bad_row_is_reported_with_line_column_and_cause(tmp_path: Path, case: Bad) -> None:
    """A bad row never passes, never hides the good ones, and says where it is and what is wrong."""
    path = tmp_path / case.name
    path.write_bytes(case.data)

    job = read_job(path, op=case.op, max_decompressed=LIMIT)

    first = job.invalid[0]
    assert (first.file, first.line, first.column) == (0, case.line, case.column)
    assert case.says in first.message
    assert len(job.rows) == case.good
    assert job.files[0].rows == job.total


@cases(Whole)
def test_a_file_that_cannot_be_used_is_refused_as_a_whole(tmp_path: Path, case: Whole) -> None:
    """What concerns a whole file is one error with the file's name, and line and column where they are known."""
    path = tmp_path / case.name
    path.write_bytes(case.data)

    with pytest.raises(JobFileError) as caught:
        read_job(path, op=case.op, max_decompressed=LIMIT)

    error = caught.value
    assert (error.file, error.line, error.column) == (str(path), case.line, case.column)
    assert case.says in error.message


@cases(Good)
def test_odd_files_that_are_fine_are_read(tmp_path: Path, case: Good) -> None:
    """What is legal is read, with a warning where a person should look."""
    path = tmp_path / case.name
    path.write_bytes(case.data)

    job = read_job(path, op=case.op, max_decompressed=LIMIT)

    assert not job.invalid
    assert len(job.rows) == case.rows
    assert job.blank_lines == case.blank
    assert [case.warns in warning.message for warning in job.warnings] == ([True] if case.warns else [])
