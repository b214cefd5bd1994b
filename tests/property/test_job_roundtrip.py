"""Whatever is valid comes back byte for byte, from whatever legal file it was written to."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulkops.chat.catalog import APIS
from bulkops.job.rows import Row
from tests.helpers.job import ReadJob, read_bytes
from tests.helpers.job_rows import Dialect, ValidRow, csv_file, dialects, jsonl_file, valid_rows

pytestmark = pytest.mark.slow

SOME_ROWS = st.lists(valid_rows(), min_size=1, max_size=8)


def expected(rows: Sequence[ValidRow], first_line: int) -> list[Row]:
    """What the reader has to hand on."""
    return [(row.api, row.content, row.ref, line) for line, row in enumerate(rows, first_line)]


def assert_read(job: ReadJob, rows: Sequence[ValidRow], first_line: int) -> None:
    """Every row came back, exactly."""
    assert list(job.invalid) == []
    assert list(job.rows) == expected(rows, first_line)
    assert job.files[0].rows == len(rows)


@settings(deadline=None, max_examples=150)
@given(rows=SOME_ROWS, dialect=dialects())
def test_csv_comes_back_as_it_was_written(rows: list[ValidRow], dialect: Dialect) -> None:
    """Every delimiter, quoting, line end, encoding, compression and order of columns gives the same contents."""
    assert_read(read_bytes(csv_file(rows, dialect)), rows, 2)


@settings(deadline=None, max_examples=150)
@given(rows=SOME_ROWS, dialect=dialects(), escaped=st.booleans())
def test_jsonl_comes_back_as_it_was_written(rows: list[ValidRow], dialect: Dialect, escaped: bool) -> None:
    """Escaped or not, in every encoding and compression, JSONL gives the same contents."""
    assert_read(read_bytes(jsonl_file(rows, dialect, escaped=escaped)), rows, 1)


@settings(deadline=None, max_examples=60)
@given(data=st.data(), dialect=dialects(), as_csv=st.booleans())
def test_an_op_given_from_outside_fills_what_rows_leave_out(data: st.DataObject, dialect: Dialect, as_csv: bool) -> None:
    """With `--op` a file without any `op` reads as if every row had it."""
    api = data.draw(st.sampled_from(range(len(APIS))))
    rows = data.draw(st.lists(valid_rows(api=api, with_op=False), min_size=1, max_size=4))

    written = csv_file(rows, dialect) if as_csv else jsonl_file(rows, dialect, escaped=False)

    assert_read(read_bytes(written, op=APIS[api].op), rows, 2 if as_csv else 1)
