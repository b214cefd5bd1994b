"""Numbers, durations and tables as people read them."""

from __future__ import annotations

import pytest

from bulkops.report.words import counted, cut, duration, percent, short_count, table


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.0s"),
        (-1.0, "0.0s"),
        (0.44, "0.4s"),
        (41.2, "41s"),
        (59.6, "1m00s"),
        (725, "12m05s"),
        (4980, "1h23m"),
        (187_200, "2d04h"),
    ],
)
def test_a_duration_has_two_units_at_most(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize("number", [0, 99_999, 100_000, 999_499, 999_500, 1_234_567, 12_345_678, 123_456_789])
def test_a_short_count_fits_five_characters(number: int) -> None:
    assert len(short_count(number)) <= 5


@pytest.mark.parametrize(("number", "text"), [(99_999, "99999"), (123_456, "123k"), (1_234_567, "1.23M"), (10_000_000, "10M")])
def test_a_short_count_keeps_three_digits(number: int, text: str) -> None:
    assert short_count(number) == text


def test_a_hundred_percent_is_all_of_it() -> None:
    """Nobody reads that everything is done while one operation is missing."""
    assert percent(999_999, 1_000_000) == "99.9 %"
    assert percent(10, 10) == "100.0 %"
    assert percent(0, 0) == "100.0 %"
    assert percent(1, 3) == "33.3 %"


def test_one_is_singular() -> None:
    assert counted(1, "operation") == "1 operation"
    assert counted(9000, "operation") == "9,000 operations"
    assert counted(2, "entry", "entries") == "2 entries"


@pytest.mark.parametrize(("width", "text"), [(5, "abcde"), (4, "abc…"), (1, "…"), (0, "")])
def test_a_cut_says_so(width: int, text: str) -> None:
    assert cut("abcde", width) == text


def test_a_table_lines_up() -> None:
    """Words to the left, numbers to the right, nothing trailing."""
    assert table([("API", "calls"), ("a", "1"), ("bcd", "200")]) == ["  API  calls", "  a        1", "  bcd    200"]
