"""What surrounds a command may be odd: streams, encodings, homes, disks, and settings that belong somewhere else."""

from __future__ import annotations

import io
import json
import os
import pwd
from pathlib import Path

import pytest

from bulkops.cli import logs
from bulkops.cli.entry import run_command_line
from bulkops.cli.output import Output
from bulkops.cli.progress import make_view
from bulkops.cli.session import Streams
from bulkops.errors import ConfigError
from bulkops.settings import REGIONS, Secret, Settings, canonical_endpoint
from tests.helpers.chat_tls import Authority
from tests.helpers.cli import CREDENTIALS, bulkops
from tests.helpers.fakeapp import FakeApp, install
from tests.helpers.report import result_row, snapshot

KEY = CREDENTIALS["BULKOPS_SECRET_KEY"]


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeApp:
    """The fake application, and a folder with a ledger to work in."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.db").touch()
    return install(monkeypatch, FakeApp())


# encodings


class Ascii(io.TextIOWrapper):
    """A stream of a locale without more than ASCII, and what was written to it."""

    def __init__(self, *, terminal: bool = False) -> None:
        self.raw_bytes = io.BytesIO()
        self._terminal = terminal
        super().__init__(self.raw_bytes, encoding="ascii", newline="")

    def isatty(self) -> bool:
        return self._terminal

    @property
    def written(self) -> bytes:
        """All of it, what is still buffered too."""
        self.flush()
        return self.raw_bytes.getvalue()


def in_ascii(*argv: str, terminal: bool = False) -> tuple[int, bytes, bytes]:
    """Exit code, standard output and standard error of a command line in such a locale."""
    out, err = Ascii(terminal=terminal), Ascii()
    code = run_command_line(argv, environ=CREDENTIALS, streams=Streams(io.StringIO(), out, err))
    return code, out.written, err.written


@pytest.mark.usefixtures("app")
@pytest.mark.parametrize("argv", [("plan", "a.csv", "--ledger"), ("run", "a.csv", "--yes", "--ledger"), ("status",)])
def test_an_answer_is_given_with_escapes_for_what_the_encoding_lacks(argv: tuple[str, ...]) -> None:
    Path("漢.db").touch()
    code, out, _ = in_ascii(*argv, "漢.db")
    assert code == 0
    assert b"\\u6f22.db" in out


def test_what_is_said_goes_on_after_a_character_that_the_encoding_lacks() -> None:
    """The first such line is not the last one."""
    stream = Ascii()
    Output(None, stream).say_all(["漢", "after"])
    assert stream.written == b"\\u6f22\nafter\n"


def test_json_does_not_depend_on_the_encoding() -> None:
    stream = Ascii()
    Output(stream, None).answer_json({"漢": "…"})
    assert json.loads(stream.written) == {"漢": "…"}


@pytest.mark.parametrize(("terminal", "shown"), [(False, "漢".encode()), (True, b"\\u6f22")])
def test_results_are_utf8_for_programs_and_escapes_on_a_terminal(app: FakeApp, terminal: bool, shown: bytes) -> None:
    """Whatever the locale: a file of results is a job again."""
    app.rows = [result_row(ref="漢")]
    code, out, _ = in_ascii("results", "job.db", terminal=terminal)
    assert code == 0
    assert shown in out


# endpoints


@pytest.mark.parametrize(
    ("endpoint", "canonical"),
    [
        ("https://console.tim.qq.com:443", REGIONS["china"]),
        ("https://CONSOLE.tim.qq.com./", REGIONS["china"]),
        ("HTTPS://console.tim.qq.com", REGIONS["china"]),
        ("https://console.tim.qq.com:", REGIONS["china"]),
        ("https://h:80", "https://h:80"),
        ("https://h:08443", "https://h:8443"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("http://localhost:443", "http://localhost:443"),
        ("http://[::1]:80/", "http://[::1]"),
        ("https://[FE80::1]:8443", "https://[fe80::1]:8443"),
    ],
)
def test_an_endpoint_has_one_spelling(endpoint: str, canonical: str) -> None:
    assert canonical_endpoint(endpoint) == canonical
    assert canonical_endpoint(canonical) == canonical


@pytest.mark.parametrize("region", list(REGIONS))
def test_the_regions_are_spelt_that_way(region: str) -> None:
    assert canonical_endpoint(REGIONS[region]) == REGIONS[region]


@pytest.mark.parametrize("spelling", ["https://console.tim.qq.com:443", "https://CONSOLE.tim.qq.com./"])
def test_a_region_and_its_own_host_agree_in_every_spelling(app: FakeApp, spelling: str) -> None:
    assert bulkops("run", "job.csv", "--yes", "--region", "china", "--endpoint", spelling).code == 0
    assert (app.settings.endpoint, app.settings.region) == (REGIONS["china"], "china")


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://[::1",
        "https://[nonsense]",
        "https://.",
        "https://h\\x",
        "https://a b",
        KEY,
        f"console.tim.qq.com/v4/x?usersig={KEY}",
        f"https://host:99999/?usersig={KEY}",
        f"https://user:{KEY}@host:0",
        f"https://:{KEY}@host",
        f"https://@host/{KEY}",
        f"https://host/#{KEY}",
    ],
)
def test_an_endpoint_that_is_none_is_refused_without_showing_more_than_its_host(endpoint: str) -> None:
    """Named by where it came from: what somebody pasted there may hold a UserSig or the key."""
    ended = bulkops("plan", "job.csv", "--endpoint", endpoint)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "bulkops plan: --endpoint: the endpoint " in ended.err
    assert KEY not in ended.err
    ended = bulkops("plan", "job.csv", "--json", environ={"BULKOPS_ENDPOINT": endpoint})
    assert ended.code == 2
    assert "bulkops plan: BULKOPS_ENDPOINT: the endpoint " in ended.err
    assert KEY not in ended.err + ended.out


# the SDKAppID


def test_a_key_given_for_the_sdkappid_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They stand side by side in the console. A flag, a variable and a profile name themselves instead."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bulkops.toml").write_text(f'[profiles.p]\nsdkappid = "{KEY}"\n', encoding="utf-8")
    given: list[tuple[tuple[str, ...], dict[str, str], str]] = [
        (("--sdkappid", KEY), {}, "--sdkappid"),
        ((), {"BULKOPS_SDKAPPID": KEY}, "BULKOPS_SDKAPPID"),
        (("--profile", "p"), {}, "sdkappid in [profiles.p] of bulkops.toml"),
    ]
    for argv, environ, label in given:
        ended = bulkops("plan", "job.csv", "--json", *argv, environ=environ)
        assert ended.code == 2
        assert f"{label} takes a whole number, at least 1; what was given is not shown" in ended.err
        assert KEY not in ended.err + ended.out


@pytest.mark.parametrize("number", [str(2**63), "9" * 20, pytest.param("9" * 5000, id="long")])
def test_a_number_that_no_ledger_holds_is_refused_before_anything_is_asked(app: FakeApp, number: str) -> None:
    for environ in (CREDENTIALS | {"BULKOPS_SDKAPPID": number}, CREDENTIALS | {"BULKOPS_MAX_OPS": number}):
        ended = bulkops("run", "job.csv", "--yes", environ=environ)
        assert ended.code == 2
        assert f"takes a whole number, at most {2**63 - 1}" in ended.err
    assert app.asked == []


def test_a_program_can_not_give_such_an_sdkappid_either() -> None:
    with pytest.raises(ConfigError, match="SDKAppID"):
        Settings(sdkappid=2**63, identifier="administrator", secret_key=Secret(KEY), endpoint=REGIONS["china"])


# logs


class FullDisk(io.StringIO):
    """A file whose last bytes find no room."""

    def close(self) -> None:
        super().close()
        raise OSError(28, "No space left on device")


@pytest.mark.usefixtures("app")
def test_a_log_that_can_not_be_closed_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "append_private", lambda _: FullDisk())
    ended = bulkops("status", "job.db", "--log-file", "log")
    assert (ended.code, ended.err) == (0, "")


# homes


def unknown(_: object) -> pwd.struct_passwd:
    """The system's answer about somebody it doesn't know."""
    raise KeyError


def test_a_user_without_a_home_can_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A container's user, say: profiles are looked for beside the job only."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert bulkops("apis", environ={"HOME": ""}).code == 0
    ended = bulkops("plan", "job.csv", "--profile", "p", environ={"HOME": ""})
    assert ended.err == "bulkops plan: no [profiles.p] in bulkops.toml\n"


@pytest.mark.parametrize(
    ("argv", "environ"),
    [
        (("--log-file", "~nosuchuser/log"), CREDENTIALS),
        (("--log-file", "~nosuchuser"), CREDENTIALS),
        (("--ca-file", "~nosuchuser/ca.pem"), CREDENTIALS),
        ((), CREDENTIALS | {"BULKOPS_SECRET_KEY": "", "BULKOPS_SECRET_KEY_FILE": "~nosuchuser/key"}),
        (("--profile", "p"), CREDENTIALS),
    ],
)
def test_the_home_of_nobody_is_refused_in_words(app: FakeApp, argv: tuple[str, ...], environ: dict[str, str]) -> None:
    Path("bulkops.toml").write_text('[profiles.p]\nsecret_key_file = "~nosuchuser/key"\n', encoding="utf-8")
    ended = bulkops("run", "job.csv", "--yes", *argv, environ=environ)
    assert ended.code == 2
    assert "can't resolve ~nosuchuser" in ended.err
    assert ended.err.count("there is no such home folder") == 1
    assert app.asked == []


# standard error


def test_without_standard_error_nothing_is_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    """Not on standard output either, where the JSON goes."""
    view = make_view("live", Output(None, None), sandbox=True)
    view.show(snapshot())
    view.close()
    assert capsys.readouterr().out == ""


# certificates


def test_a_file_without_certificates_is_noticed_before_anything_is_opened(app: FakeApp, tmp_path: Path) -> None:
    """And not once the process stands in the ledger, after a yes."""
    (tmp_path / "ca.pem").write_text("root:x:0:0::/root:/bin/sh\n", encoding="utf-8")
    ended = bulkops("run", "job.csv", "--yes", "--ca-file", "ca.pem")
    assert (ended.code, ended.last_line) == (2, "bulkops run: --ca-file: ca.pem is no PEM file of certificates")
    assert app.asked == []


def test_certificates_are_taken(app: FakeApp, tmp_path: Path) -> None:
    """A plain address has no use for them, so there they need not be any."""
    authority = Authority(tmp_path)
    assert bulkops("run", "job.csv", "--yes", "--ca-file", authority.file).code == 0
    assert app.settings.ca_file == authority.file
    plain = ("--endpoint", "http://127.0.0.1:9", "--ca-file", os.devnull)
    assert bulkops("run", "job.csv", "--yes", *plain).code == 0
