"""Foreign text made harmless."""

from __future__ import annotations

import subprocess
import sys
import unicodedata

import pytest

from bulkops.report.escape import escape, escape_info, shell_word

HARMFUL = [char for char in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(char) in {"Cc", "Cf", "Zl", "Zp", "Cs"}]


def test_printable_text_stays_as_it_is() -> None:
    """Letters of any script, symbols, spaces of any width and backslashes are no business of an escape."""
    text = "".join(map(chr, range(0x20, 0x7F))) + "é漢字🙂\u00a0\u3000\\x1b"
    assert escape(text) == text


def test_no_character_survives_that_a_terminal_acts_on() -> None:
    """Controls of both sets, bidi and format characters, line separators and surrogates all become visible."""
    escaped = escape("".join(HARMFUL))
    assert escaped.isascii()
    assert escaped.isprintable()


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\x9b", "\\x9b"),
        ("\u202e", "\\u202e"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_escapes_are_the_usual_ones(raw: str, shown: str) -> None:
    """What is escaped can be read by whoever knows any programming language."""
    assert escape(raw) == shown


def test_escaping_twice_changes_nothing() -> None:
    """Text may be escaped where it comes in and again where it goes out."""
    once = escape("a\x1b\\b\u2028")
    assert escape(once) == once


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_info_is_no_formula(start: str) -> None:
    """A server's words can't become a spreadsheet's formula."""
    assert escape_info(f"{start}cmd|' /C calc'!A0").startswith("'")


@pytest.mark.parametrize("info", ["", "no such group", "请求过于频繁", "a=b", " =1"])
def test_harmless_info_is_not_touched(info: str) -> None:
    """Only what has to be changed is."""
    assert escape_info(info) == info


@pytest.mark.parametrize(
    "path", ["job.ledger.db", "my job.db", "it's.db", "$(rm -rf ~).db", "a\x1b[2Jb.db", "zwei\nzeilen", "naïve.db"]
)
def test_a_shell_reads_a_word_back(path: str) -> None:
    """A command copied from the screen names exactly the file that was meant, and shows nothing a terminal acts on."""
    word = shell_word(path)
    assert escape(word) == word
    shown = subprocess.run(["/bin/bash", "-c", f"printf %s {word}"], capture_output=True, check=True)
    assert shown.stdout.decode() == path


def test_a_path_that_is_no_utf8_is_read_back_too() -> None:
    """Bytes of a file name that Python carries as surrogates become bytes again."""
    word = shell_word("a\udcff.db")
    shown = subprocess.run(["/bin/bash", "-c", f"printf %s {word}"], capture_output=True, check=True)
    assert shown.stdout == b"a\xff.db"
