"""Mutated sample files: never a traceback, never a lost row, never an id that is not in the file byte for byte."""

from __future__ import annotations

import gzip
import json
import random
import re
from typing import Final

import pytest
from backports import zstd

from bulkops.chat.catalog import APIS
from bulkops.errors import JobFileError
from bulkops.model import FIELD_SEPARATOR
from tests.helpers.job import JOBS, ReadJob, read_bytes

SEED: Final = 20240607
MUTATIONS: Final = 3_000
STRESS_MUTATIONS: Final = 100_000

TOKENS: Final = (
    *(b'"', b'""', b",", b";", b"\t", b"\n", b"\r", b"\r\n", b"\0", b"\\", b'\\"', b"\\u0000", b"\\ud800", b" ", b"{", b"}"),
    *(b"[", b"]", b"null", b"true", b"NaN", b"1e999", b"007", b"-1", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\xc2\x85"),
    *(b"\xe2\x80\xa8", b"# ", b"_", b"op", b'"op":"x",', b"delete_conversation", b"x" * 65, b"y" * 70_000, b"\x1f\x8b"),
)
ESCAPE: Final = re.compile(r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u....|\\.")


def samples() -> list[bytes]:
    """The sample job files, in a fixed order, with the head of the long one in its place."""
    files = sorted(path for path in JOBS.iterdir() if path.suffix != ".md")
    return [
        path.read_bytes() if path.name != "demo.csv" else b"".join(path.read_bytes().splitlines(True)[:20]) for path in files
    ]


def mutated(data: bytes, source: random.Random) -> bytes:
    """`data` with one to four small injuries."""
    for _ in range(source.randint(1, 4)):
        at, other = source.randrange(len(data) + 1), source.randrange(len(data) + 1)
        low, high = sorted((at, other))
        match source.randrange(7):
            case 0:
                data = data[:at] + bytes([source.randrange(256)]) + data[at + 1 :]
            case 1:
                data = data[:at] + source.choice(TOKENS) + data[at:]
            case 2:
                data = data[:at] + source.choice(TOKENS) + data[at + source.randrange(4) :]
            case 3:
                data = data[:low] + data[min(high, low + 30) :]
            case 4:
                data = data[:at] + data[low : low + 40] + data[at:]
            case 5:
                data = data[:high]
            case _:
                data = data + data[:low] if len(data) < 20_000 else data
    return data


def plain_lines(data: bytes) -> list[str]:
    """The physical lines of a job file by other means than the reader's."""
    if data.startswith(b"\x1f\x8b"):
        data = gzip.decompress(data)
    elif data.startswith(b"\x28\xb5\x2f\xfd"):
        data = zstd.decompress(data)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = data.decode("utf-16", "surrogatepass")
    else:
        text = data.removeprefix(b"\xef\xbb\xbf").decode(errors="surrogateescape")
    lines = text.split("\n")
    last = lines.pop()
    return [line.removesuffix("\r") for line in lines] + ([last] if last else [])


def unescaped(line: str) -> str:
    """A line of JSON with its escapes resolved."""

    def resolved(found: re.Match[str]) -> str:
        try:
            return str(json.loads(f'"{found[0]}"'))
        except ValueError:
            return found[0]

    return ESCAPE.sub(resolved, line)


def assert_sound(job: ReadJob, data: bytes) -> None:
    """Every line is in exactly one place, and nothing was made up."""
    lines = plain_lines(data)
    filled = [number for number, line in enumerate(lines, 1) if line]
    valid = {row[3] for row in job.rows}
    invalid = [bad.line for bad in job.invalid]
    header = [] if lines[filled[0] - 1].lstrip().startswith("{") else filled[:1]
    assert sorted([*valid, *invalid]) == filled[len(header) :]
    assert job.blank_lines == len(lines) - len(filled)
    for api, content, ref, number in job.rows:
        line = lines[number - 1]
        values = content.split(FIELD_SEPARATOR)
        assert len(values) == len(APIS[api].fields)
        for value in (*values, ref):
            assert value in line or value in line.replace('""', '"') or value in unescaped(line)
    for bad in job.invalid:
        assert bad.message
        assert f"{bad.message} {bad.column}".isprintable()
        assert isinstance(json.loads(bad.cells), dict)
        bad.cells.encode()


@pytest.mark.parametrize(
    "mutations",
    [pytest.param(MUTATIONS, marks=pytest.mark.slow), pytest.param(STRESS_MUTATIONS, marks=pytest.mark.stress)],
)
def test_mutated_files_do_no_harm(mutations: int) -> None:
    """Each mutated file ends as rows and bad rows that account for every line, or as one error about the file."""
    source = random.Random(SEED)
    originals = samples()
    accepted = 0
    refusals: list[str] = []
    for _ in range(mutations):
        data = mutated(source.choice(originals), source)
        op = source.choice([None, None, None, *(api.op for api in APIS)])
        try:
            job = read_bytes(data, op=op)
        except JobFileError as error:
            refusals.append(str(error))
            continue
        accepted += 1
        assert_sound(job, data)
    assert all(refusal.isprintable() for refusal in refusals)
    assert accepted > mutations / 4
