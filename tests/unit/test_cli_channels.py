"""What commands write: standard output and error, private files, logs without secrets."""

from __future__ import annotations

import base64
import io
import json
import logging
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO
from urllib.parse import quote

import pytest

from bulkops.cli.exits import exit_of
from bulkops.cli.files import append_private, replacing
from bulkops.cli.logs import Redaction, start_logging, stop_logging
from bulkops.cli.output import Output
from bulkops.cli.terminal import results_stream
from bulkops.errors import (
    BulkopsError,
    ConfigError,
    JobFileError,
    LedgerError,
    LedgerHeld,
    LedgerMismatch,
    LedgerMissing,
    RunStopped,
)
from tests.helpers.cli import Terminal

KEY = "5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e"
USERSIG = (
    "eJwtzM0KgkAUBeB3mXXI*JMzCi3ahBVuIqjZDcxQF*c3c*Z2dTUe3b*NvZ3zHc75wI7H2Lc*hVYQ7IFZTh*2qoCEMEMBJM2DZZ7BMASpXIBgNCxVAa6Bq6B8_"
)


class Broken(io.StringIO):
    """A stream that can't be written."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
        self.tried = 0

    def write(self, text: str, /) -> int:
        self.tried += 1
        raise self.error


# exit codes


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), 2),
        (JobFileError("x"), 2),
        (LedgerMissing("x"), 2),
        (LedgerMismatch("x"), 2),
        (LedgerHeld("x"), 5),
        (LedgerError("x"), 5),
        (RunStopped("x"), 3),
        (KeyboardInterrupt(), 4),
        (BulkopsError("x"), 70),
        (BrokenPipeError(), 70),
        (ValueError("x"), 70),
    ],
)
def test_every_exception_has_its_exit_code(error: BaseException, code: int) -> None:
    assert exit_of(error) == code


# standard output and error


def test_people_see_no_control_characters() -> None:
    """Whoever made the line."""
    err = io.StringIO()
    Output(None, err).say("a\x1b[2J\nb\u202e")
    assert err.getvalue() == "a\\x1b[2J\nb\\u202e\n"


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(5, "EIO"), ValueError("closed")])
def test_a_dead_standard_error_is_given_up_at_once(error: Exception) -> None:
    stream = Broken(error)
    output = Output(None, stream)
    output.say("a")
    output.say("b")
    assert stream.tried == 1


def test_a_process_without_streams_says_nothing() -> None:
    output = Output(None, None)
    output.say("a")
    output.answer(["b"])
    output.answer_json({})


def test_lines_go_above_a_live_picture() -> None:
    above: list[str] = []
    err = io.StringIO()
    output = Output(None, err)
    output.above = above.append
    output.say_all(["a", "b"])
    assert (above, err.getvalue()) == (["a\nb"], "")


def test_an_answer_is_escaped_and_json_is_ascii() -> None:
    out = io.StringIO()
    output = Output(out, None)
    output.answer(["漢\x1b"])
    output.answer_json({"漢": "\u202e"})
    text, made = out.getvalue().splitlines()
    assert text == "漢\\x1b"
    assert made.isascii()
    assert json.loads(made) == {"漢": "\u202e"}


def test_a_reader_that_has_gone_is_no_error() -> None:
    """And nothing more is written to it."""
    stream = Broken(BrokenPipeError())
    output = Output(stream, None)
    output.answer(["a"])
    output.answer(["b"])
    assert stream.tried == 1


def test_a_full_disk_behind_standard_output_is_an_error() -> None:
    with pytest.raises(ConfigError, match="can't write to standard output: No space left on device"):
        Output(Broken(OSError(28, "x")), None).answer(["a"])


def test_a_pipe_gets_results_byte_for_byte_in_utf8() -> None:
    """Whatever the locale, and without a second layer that closes the pipe."""
    raw = io.BytesIO()
    stdout = io.TextIOWrapper(raw, encoding="ascii", newline="\r\n")
    with results_stream(stdout) as stream:
        stream.write("漢\x1b\n\udcff")
    assert raw.getvalue() == "漢\x1b\n\\udcff".encode()
    stdout.write("more")


def test_a_terminal_gets_results_without_escapes() -> None:
    """Ids are the user's own text: on a screen they must not act."""
    screen = Terminal()
    with results_stream(screen) as stream:
        stream.write('"a\x1b[2J"\n"b"\n')
    assert screen.getvalue() == '"a\\x1b[2J"\n"b"\n'


def test_a_stream_without_bytes_gets_text() -> None:
    out = io.StringIO()
    with results_stream(out) as stream:
        stream.write("a\n")
    assert out.getvalue() == "a\n"


def test_a_pipe_that_closes_early_leaves_no_complaint() -> None:
    """`bulkops apis | head -1`: quiet, exit 0, also on the interpreter's way out."""
    command = f"{sys.executable} -m bulkops apis | head -1; exit ${{PIPESTATUS[0]}}"
    environ = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    ended = subprocess.run(["/bin/bash", "-c", command], env=environ, capture_output=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"delete_conversation\n", b"")


# files


def test_a_file_appears_complete_and_private(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with replacing(path) as stream:
        stream.write("a\n漢\udcff\n")
        assert not path.exists()
    assert path.read_bytes() == "a\n漢\\udcff\n".encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_existing_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old", encoding="utf-8")
    path.chmod(0o644)
    with replacing(path) as stream:
        stream.write("new")
    assert path.read_text(encoding="utf-8") == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def fail_after_writing(stream: TextIO, error: BaseException) -> None:
    stream.write("new")
    raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_file_that_fails_leaves_the_old_one_and_nothing_else(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(error), replacing(path) as stream:
        fail_after_writing(stream, error())
    assert [each.name for each in tmp_path.iterdir()] == ["out.csv"]
    assert path.read_text(encoding="utf-8") == "old"


def test_a_full_disk_is_an_error_that_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"out\.csv: No space left"), replacing(tmp_path / "out.csv"):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_no_link_is_followed_and_no_device_replaced(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious", encoding="utf-8")
    link = tmp_path / "link"
    link.symlink_to(victim)
    for path in (link, tmp_path, Path(os.devnull)):
        with pytest.raises(ConfigError, match="no plain file"), replacing(path):
            pass
    with pytest.raises(ConfigError):
        append_private(link)
    assert victim.read_text(encoding="utf-8") == "precious"


@pytest.mark.parametrize("place", ["missing/out.csv", "file/out.csv"])
def test_a_place_that_can_not_be_written_is_an_error(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="can't write"), replacing(tmp_path / place):
        pass


def test_a_log_file_is_private_and_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for line in ("a\n", "b\n"):
        with append_private(path) as stream:
            stream.write(line)
    assert path.read_text(encoding="utf-8") == "a\nb\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(ConfigError):
        append_private(Path(os.devnull))


# logs


class Log:
    """Logging as a command starts it, and what came of it."""

    def __init__(self, level: str, file: Path | None) -> None:
        self.err = io.StringIO()
        self.redact = Redaction()
        self.redact.learn(KEY)
        self._handler = start_logging(Output(None, self.err), level, str(file) if file else None, self.redact)

    def close(self) -> str:
        stop_logging(self._handler)
        return self.err.getvalue()


@pytest.fixture
def root() -> Iterator[None]:
    """The root logger's level, given back."""
    before = logging.getLogger().level, logging.raiseExceptions
    yield
    logging.getLogger().setLevel(before[0])
    logging.raiseExceptions = before[1]


FORMS = [
    KEY,
    USERSIG,
    quote(USERSIG, safe=""),
    base64.b64encode(KEY.encode()).decode(),
    base64.b64encode(b"x" + KEY.encode() + b"yz").decode()[4:-8],
    base64.b64encode(USERSIG.encode()).decode(),
    f"usersig={USERSIG}",
    f"usersig%3D{USERSIG}",
    json.dumps({"usersig": "short-one-42"}),
    "https://h/v4/x?sdkappid=1&usersig=short-one-42&random=7",
]


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("form", FORMS)
def test_no_secret_reaches_a_log(form: str) -> None:
    """Neither as the message, nor as its argument, nor in a traceback."""
    log = Log("debug", None)
    logger = logging.getLogger("bulkops.test")
    logger.debug(f"before {form} after")  # noqa: G004 - as it would come from a library
    logger.debug("with %s", form)
    try:
        raise ValueError(form)
    except ValueError:
        logger.exception("failed")
    text = log.close()
    for secret in (KEY, USERSIG, "short-one-42", form[-24:]):
        if secret not in "&random=7":
            assert secret not in text.replace("&random=7", "")
    assert text.count("[hidden]") >= 3
    assert "before" in text


@pytest.mark.usefixtures("root")
def test_a_message_stays_on_its_line() -> None:
    """A server's text can't forge a second record; a traceback has its lines."""
    log = Log("warning", None)
    logging.getLogger("x").warning("a\nERROR forged\x1b[2J")
    logging.getLogger("x").info("not shown")
    try:
        raise ValueError("x")
    except ValueError:
        logging.getLogger("x").exception("b")
    lines = log.close().splitlines()
    assert lines[0].endswith("WARNING x: a\\nERROR forged\\x1b[2J")
    assert lines[1].endswith("ERROR x: b")
    assert lines[2] == "Traceback (most recent call last):"


@pytest.mark.usefixtures("root")
def test_a_log_file_takes_what_standard_error_would(tmp_path: Path) -> None:
    log = Log("info", tmp_path / "log")
    logging.getLogger("x").info("hello %s", KEY)
    assert log.close() == ""
    assert "hello [hidden]" in (tmp_path / "log").read_text(encoding="utf-8")


@pytest.mark.usefixtures("root")
def test_logging_leaves_no_handler_behind() -> None:
    before = list(logging.getLogger().handlers)
    Log("debug", None).close()
    assert logging.getLogger().handlers == before


def test_nothing_is_hidden_that_is_no_secret() -> None:
    redact = Redaction()
    redact.learn(KEY)
    text = "delete_conversation 50004 eJ is fine, ZUos too; @TGS#_abc job.csv:12"
    assert redact(text) == text
