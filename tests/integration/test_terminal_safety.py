"""What others wrote does nothing to a terminal and nothing in a spreadsheet, and what the job said comes back as it was (S3).

Others are whoever made the job file (ids, names of conversation groups, the file's name) and the server (ErrorInfo).
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bulkops.ledger import SqliteStore
from tests.helpers.cli import bulkops
from tests.helpers.command import credentials
from tests.helpers.driven import on_screen
from tests.helpers.otherserver_handle import OtherServer

pytestmark = pytest.mark.slow

ESCAPES = (
    "\x1b]0;pwned\x07",
    "\x1b]8;;https://evil.example\x1b\\link",
    "\x1b]52;c;cHduZWQ=\x07",
    "\x1b[2J\x1b[31mpwned",
    "\x1b[8mpwned",
    "\x1bPpwned\x1b\\",
    "\x1bcpwned",
    "\x9b31mpwned",
    "\x9d0;pwned\x9c",
    "\x08\x08\x08pwned",
    "\x7fpwned",
)
"""What a terminal acts on."""

DISGUISES = (
    "\u202egnp.exe",
    "\u2066pwned\u2069",
    "a\u200bb",
    "a\u2028b",
    "\ufeffa",
    "\U000e0041",
)
"""What a terminal shows as something else, or not at all. Legal in names of conversation groups."""

MARKUP = ("[bold red]pwned[/bold red]", "[link=https://evil.example]x[/link]", "[/]", "[@click=app.bell]x[/]", ":bomb:")
"""What rich acts on."""

FORMULAS = ("=1+1", "=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "\t=1+1", '=HYPERLINK("https://evil.example")')
"""What a spreadsheet acts on."""

REFS = (*ESCAPES, *DISGUISES, *MARKUP, *FORMULAS, " padded ", 'a "quoted" one', "a,b;c", "ключ", "")
NAMES = (*DISGUISES, *MARKUP, *(formula for formula in FORMULAS if "\t" not in formula), " padded ", 'a "quoted" one', "a,b;c")
INFO = "".join((*ESCAPES, *DISGUISES, *MARKUP, "\r\nnext line\npwned\tend"))

FILE = "ev\x1b[31mil [red]job.csv"


def cells(*rows: tuple[object, ...]) -> str:
    """Rows as CSV, every cell quoted."""
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    return out.getvalue()


def operations() -> list[tuple[str, str, str]]:
    """(id, UserID, name of a conversation group) of a job with every payload where it is legal."""
    longest = max(len(REFS), len(NAMES))
    return [(REFS[n % len(REFS)], f"u{n}", NAMES[n % len(NAMES)]) for n in range(longest)]


@pytest.fixture
def env(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A server that refuses half of the calls in its own way of words; the job lies in the folder."""
    rows = [("delete_conversation_group", *each) for each in operations()]
    (tmp_path / FILE).write_text(cells(("op", "id", "From_Account", "GroupName"), *rows), encoding="utf-8", newline="")
    with OtherServer() as server:
        server.order(*({"where": {"From_Account": f"u{n}"}, "code": 50002, "info": infos(n)} for n in range(0, len(rows), 2)))
        yield credentials(server)


def infos(number: int) -> str:
    """A server's words."""
    return INFO if number % 4 else FORMULAS[number // 4 % len(FORMULAS)]


HARMLESS = re.compile(rb"\x1b\[(?:\?25[hl]|[0-9;]*m|[0-9]*[ABCDGJK]|\?2026[hl])")
"""What the live picture itself is made of: colours, the cursor, lines cleared."""


def check_inert(screen: bytes) -> None:
    """See that a terminal got nothing to act on but the picture's own."""
    rest = HARMLESS.sub(b"", screen).decode("utf-8")
    acted_on = sorted({char for char in rest if not char.isprintable() and char not in "\r\n"})
    assert not acted_on, [f"U+{ord(char):04X}" for char in acted_on]
    for payload in ESCAPES:
        assert payload.encode() not in screen
    assert b"\x1b[31m" + b"pwned" not in screen
    assert b"\x1b[31m" + b"il" not in screen


def test_no_command_lets_a_payload_through_to_a_terminal(tmp_path: Path, env: dict[str, str]) -> None:
    """Plan, live run, status and results at a terminal: escapes visible, markup as it was written."""
    ledger = tmp_path / "ev\x1b[31mil [red]job.ledger.db"
    screens = {}
    for name, arguments in {
        "plan": ("plan", FILE),
        "run": ("run", FILE, "--yes", "--progress", "live", "--log-level", "debug"),
        "status": ("status", ledger),
        "results": ("results", ledger),
        "rows": ("results", ledger, "--rows", "--format", "jsonl"),
    }.items():
        code, screens[name] = on_screen(tmp_path, *arguments, env=env)
        assert code == (1 if name == "run" else 0), screens[name].decode()
        check_inert(screens[name])

    assert b"ev\\x1b[31mil [red]job.csv" in screens["plan"]
    for markup in MARKUP:
        assert markup.encode() in screens["results"]
    assert b"\\x1b]0;pwned\\x07" in screens["results"]
    assert b"\\u202egnp.exe" in screens["results"]


def test_a_stop_that_a_server_words_is_inert(tmp_path: Path, env: dict[str, str]) -> None:
    """The reason of a fatal answer, live and in plain lines, in the JSON and in a later status."""
    with OtherServer() as server:
        server.order({"code": 60020, "info": INFO})
        env = credentials(server)
        code, live = on_screen(tmp_path, "run", FILE, "--yes", "--progress", "live", "--ledger", "l.db", env=env)
        again, plain = on_screen(tmp_path, "resume", "l.db", "--progress", "plain", "--json", env=env)
    _, status = on_screen(tmp_path, "status", "l.db")

    assert (code, again) == (3, 3)
    for screen in (live, plain, status):
        check_inert(screen)
        assert b"\\x1b]0;pwned\\x07" in screen or b"\\u001b]0;pwned\\u0007" in screen


def test_bad_rows_and_headers_are_told_inertly(tmp_path: Path) -> None:
    """What is wrong is shown where it can be seen, and does nothing."""
    rows = [("delete_conversation_group", "", payload, payload) for payload in (*ESCAPES, *MARKUP, *DISGUISES)]
    (tmp_path / "rows.csv").write_text(cells(("op", "id", "From_Account", "GroupName"), *rows), encoding="utf-8")
    (tmp_path / "header.csv").write_text(cells(("op", "From_Account", "\x1b]0;pwned\x07[red]x[/]")), encoding="utf-8")
    (tmp_path / "keys.jsonl").write_text(json.dumps({"op": "\x1b]0;pwned\x07", "\u202e[red]": 1}) + "\n")

    for name in ("rows.csv", "header.csv", "keys.jsonl"):
        code, screen = on_screen(tmp_path, "plan", name)
        assert code == 2
        check_inert(screen)
        assert b"pwned" in screen or b"\\u202e[red]" in screen


def test_results_are_data_and_a_job_again(tmp_path: Path, env: dict[str, str]) -> None:
    """Every cell quoted, the operation's columns byte for byte, nothing put in front; only `_info` is made harmless."""
    job, ledger, out = tmp_path / FILE, tmp_path / "l.db", tmp_path / "out.csv"
    assert bulkops("run", str(job), "--yes", "--ledger", str(ledger), environ=env).code == 1
    assert bulkops("results", str(ledger), "-o", str(out)).code == 0
    text = out.read_bytes().decode("utf-8")
    listed = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))

    assert [(row["id"], row["From_Account"], row["GroupName"]) for row in listed] == operations()
    quoted = [line for line in text.split("\n") if line]
    assert len(quoted) == len(listed) + 1, "a line break in a cell"
    assert all(line.startswith('"') and line.endswith('"') for line in quoted)
    for number, row in enumerate(listed):
        assert row["_status"] == ("succeeded" if number % 2 else "failed")
        assert not row["_info"].startswith(("=", "+", "-", "@", "\t", "\r"))
        assert row["_info"].isprintable()
    assert any(row["_info"] == "'=1+1" for row in listed)

    again = tmp_path / "again.db"
    assert bulkops("plan", str(out), "--ledger", str(again)).code == 0
    with SqliteStore.open(ledger, write=False) as first, SqliteStore.open(again, write=False) as second:
        assert first.job().sha256 == second.job().sha256
        assert [row[2] for row in first.results()] == [row[2] for row in second.results()]
