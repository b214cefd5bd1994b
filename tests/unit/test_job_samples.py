"""The sample files are what their README says."""

from __future__ import annotations

import gzip

from backports import zstd

from bulkops.chat.catalog import APIS
from bulkops.job import Risk
from tests.helpers.job import JOBS, read_job

SAMPLES = sorted(path for path in JOBS.iterdir() if path.name != "README.md" and ".ledger.db" not in path.name)
"""What is there, but for the ledgers that whoever tried them left behind."""


def test_every_sample_is_described_and_every_description_has_its_file() -> None:
    """jobs/README.md names exactly the files that are there."""
    text = (JOBS / "README.md").read_text()
    assert all(f"]({path.name})" in text for path in SAMPLES)
    assert text.count("](") == len(SAMPLES)


def test_good_samples_are_good() -> None:
    """All but bad.csv are valid to the last row."""
    for path in SAMPLES:
        if path.name != "bad.csv":
            job = read_job(path)
            assert job.rows
            assert not job.invalid


def test_the_bad_sample_has_its_faults_where_they_are_documented() -> None:
    """Two good rows, nine bad ones, one blank line."""
    job = read_job(JOBS / "bad.csv")
    assert [row[3] for row in job.rows] == [2, 13]
    assert [(bad.line, bad.column) for bad in job.invalid] == [
        (3, "From_Account"),
        (4, "Type"),
        (5, "To_Account"),
        (6, "op"),
        (7, "MsgSeq"),
        (8, "GroupName"),
        (9, "ToGroupid"),
        (11, "To_Account"),
        (12, "GroupId"),
    ]
    assert job.blank_lines == 1


def test_compressed_samples_hold_what_the_plain_ones_hold() -> None:
    """Byte for byte."""
    assert gzip.decompress((JOBS / "clear-groups.csv.gz").read_bytes()) == (JOBS / "clear-groups.csv").read_bytes()
    packed = (JOBS / "conversation-groups.jsonl.zst").read_bytes()
    assert zstd.decompress(packed) == (JOBS / "conversation-groups.jsonl").read_bytes()


def test_both_formats_give_the_same_job() -> None:
    """mixed.csv and mixed.jsonl hold the same rows."""
    csv, jsonl = read_job(JOBS / "mixed.csv"), read_job(JOBS / "mixed.jsonl")
    assert [row[:3] for row in csv.rows] == [row[:3] for row in jsonl.rows]
    assert len(csv.rows) == 18


def test_the_demo_has_a_hundred_of_each_kind() -> None:
    """300 rows, none of them twice, with one thing to warn about."""
    job = read_job(JOBS / "demo.csv")
    assert [sum(row[0] == api for row in job.rows) for api in range(len(APIS))] == [100, 100, 100]
    assert len({row[:2] for row in job.rows}) == 300
    assert [(warning.risk, warning.count) for warning in job.warnings] == [(Risk.ABSENT, 5)]


def test_clears_of_whole_histories_are_warned_about() -> None:
    """clear-groups.csv has four of them."""
    (warning,) = read_job(JOBS / "clear-groups.csv").warnings
    assert (warning.risk, warning.count) == (Risk.ABSENT, 4)
