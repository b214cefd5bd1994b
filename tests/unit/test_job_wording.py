"""How messages show what a file holds."""

from __future__ import annotations

import pytest

from bulkops.job.wording import character, nearest, plain, shown, suggestion


def test_what_a_terminal_would_act_on_is_escaped() -> None:
    """Controls, bidi marks and lone surrogates never reach a screen."""
    text = "a\x1b[2J\u202e\ud800\x85"
    assert shown(text).isprintable()
    assert plain(text).isprintable()
    assert plain(text) == "a\\x1b[2J\\u202e\\ud800\\x85"


def test_long_text_is_cut_and_says_how_long_it_was() -> None:
    """A message stays a line."""
    assert shown("x" * 1234) == "'" + "x" * 60 + "'… (1,234 characters)"
    assert plain("x" * 1234) == "x" * 60 + "…"
    assert shown("x" * 60) == repr("x" * 60)


def test_a_character_is_named_by_its_code_point() -> None:
    """And shown where it can be."""
    assert character("\u043e") == "'\u043e' (U+043E)"
    assert character("\u200b") == "U+200B"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("from_account", "From_Account"), (" Type ", "Type"), ("Form_Acount", "From_Account"), ("zzz", ""), ("", "")],
)
def test_the_nearest_name_is_found(name: str, expected: str) -> None:
    """By case and spaces first, then by likeness."""
    assert nearest(name, ("From_Account", "Type")) == expected


def test_without_a_near_name_all_are_listed() -> None:
    """So that the reader need not look them up."""
    assert suggestion("zzz", ["a1", "b2"]) == "known are a1, b2"
    assert suggestion("A1", ["a1", "b2"]) == "did you mean a1?"
