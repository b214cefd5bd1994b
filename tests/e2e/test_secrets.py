"""Secrets and files: nowhere a key or UserSig, every file 0600, no link followed (contract, 3; acceptance S1 to S3)."""

from __future__ import annotations

import base64
import stat
import urllib.parse
from pathlib import Path

import pytest

from tests.e2e.support import conversations, mixed, seldom
from tests.helpers.command import Command, Ended
from tests.helpers.otherserver_handle import KEY, OtherServer

pytestmark = pytest.mark.slow


def forms(secret: str) -> list[bytes]:
    """A secret as it might be written down: raw, URL-encoded, in base64 at any of its three offsets."""
    raw = secret.encode()
    encoded = [base64.b64encode(b"x" * offset + raw)[4 if offset else 0 : -4] for offset in range(3)]
    quoted = [urllib.parse.quote(secret, safe="").encode(), urllib.parse.quote_plus(secret).encode()]
    return [raw, *quoted, *encoded, raw.hex().encode(), secret[:40].encode()]


def check_silent(folder: Path, *ended: Ended, secrets: list[str]) -> None:
    """See that no form of a secret is in any output or any file of a folder."""
    texts = {f"output of {each.arguments}": (each.stdout + each.stderr).encode() for each in ended}
    for path in folder.rglob("*"):
        if path.is_file():
            texts[str(path)] = path.read_bytes()
    assert len(texts) > len(ended)
    for where, text in texts.items():
        for secret in secrets:
            for form in forms(secret):
                assert form not in text, f"a secret in {where}"
        assert b"usersig=eJ" not in text, f"a UserSig in {where}"
        assert b"TLS.sig" not in text, f"a UserSig in {where}"


FAULTS: dict[str, list[dict[str, object]]] = {
    "fine": [],
    "lost": [{"share": 0.3, "reset": "after"}],
    "reset before": [{"share": 0.3, "reset": "before"}],
    "cut": [{"share": 0.3, "cut": True}],
    "garbage": [{"share": 0.3, "body": "<html>"}],
    "http_502": [{"share": 0.3, "http": 502, "body": "no"}],
    "redirect": [{"http": 302, "body": "", "headers": {"Location": "http://127.0.0.1:9/?usersig=x"}}],
    "fatal": [{"skip": 5, "code": 70009}],
    "stale": [{"skip": 5, "count": 1, "code": 70001}],
    "refused": [{"share": 0.3, "code": 50001}],
}


@pytest.mark.parametrize(
    "fault", ["lost", "garbage", "fatal", *map(seldom, sorted(FAULTS.keys() - {"lost", "garbage", "fatal"}))]
)
def test_no_secret_in_any_output_log_or_ledger(fault: str, command: Command, server: OtherServer) -> None:
    """At --log-level debug, over each failure that a client can meet: no key, no UserSig, raw, URL-encoded or base64 (3; S1)."""
    command.file("job.csv", mixed(20).csv())
    server.order(*FAULTS[fault])
    flags = ["--log-level", "debug", "--log-file", "debug.log", "--max-attempts", "3"]

    ran = command.run("run", "job.csv", "--yes", *flags)
    loud = command.run("resume", "job.ledger.db", "--log-level", "debug")
    status = command.run("status", "job.ledger.db", "--json")
    command.run("results", "job.ledger.db", "-o", "out.csv").expect(0)

    assert (command.folder / "debug.log").stat().st_size > 0
    check_silent(command.folder, ran, loud, status, secrets=[KEY])


def test_an_answer_that_repeats_the_usersig_is_redacted(command: Command, server: OtherServer) -> None:
    """ErrorInfo that echoes the request's URL, UserSig and all: shown and kept without it (3; S1)."""
    command.file("job.csv", conversations(20).csv())
    server.order({"where": {"From_Account": "user6"}, "code": 50001, "info": "bad request", "echo": True})

    ran = command.run("run", "job.csv", "--yes", "--json", "--log-level", "debug", "--log-file", "debug.log").expect(1)
    listed = command.run("results", "job.ledger.db").expect(0)

    check_silent(command.folder, ran, listed, secrets=[KEY])
    assert b"eJ" not in listed.stdout.encode(), "a UserSig begins so"
    assert "bad request" in listed.stdout


def test_no_secret_in_a_defects_output(command: Command) -> None:
    """The key is in no message about the environment, a bad key file or a wrong key either (S1)."""
    command.file("job.csv", conversations(3).csv())
    command.file("key", f"{KEY}\n{KEY}\n")

    two_lines = command.run("run", "job.csv", "--yes", env={"BULKOPS_SECRET_KEY": "", "BULKOPS_SECRET_KEY_FILE": "key"}).expect(
        2
    )
    as_app = command.run("run", "job.csv", "--yes", env={"BULKOPS_SDKAPPID": "abc"}).expect(2)

    assert KEY not in two_lines.stderr + as_app.stderr


def test_every_file_is_closed_to_others(command: Command, server: OtherServer) -> None:
    """Ledger, its companions, log and results have mode 0600, during the run and after it, whatever the umask (3; S2)."""
    command.file("job.csv", conversations(150).csv())
    run = command.start("run", "job.csv", "--yes", "--rate", "100", "--log-level", "debug", "--log-file", "debug.log")
    server.wait_for_calls(50)
    during = modes(command.folder)
    run.wait().expect(0)
    command.run("results", "job.ledger.db", "-o", "out.csv").expect(0)
    command.run("plan", "job.csv", "--ledger", "plan.db").expect(0)

    assert {"job.ledger.db", "job.ledger.db-wal", "debug.log"} <= set(during)
    for found in (during, modes(command.folder)):
        assert set(found.values()) == {0o600}, found


def modes(folder: Path) -> dict[str, int]:
    """Permissions of the files that the command has made in a folder."""
    made = (path for path in folder.iterdir() if path.is_file() and path.name != "job.csv")
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in made}


@pytest.mark.parametrize(
    ("link", "arguments"),
    [
        ("job.ledger.db", ("run", "job.csv", "--yes")),
        seldom("job.ledger.db.lock", ("run", "job.csv", "--yes")),
        ("job.ledger.db.new", ("run", "job.csv", "--yes")),
        seldom("job.ledger.db-wal", ("run", "job.csv", "--yes")),
        ("out.csv", ("results", "kept.db", "-o", "out.csv")),
        ("debug.log", ("run", "job.csv", "--yes", "--log-level", "debug", "--log-file", "debug.log")),
        seldom("plan.db", ("plan", "job.csv", "--ledger", "plan.db")),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_no_link_is_followed(link: str, arguments: tuple[str, ...], command: Command) -> None:
    """A symlink where a file is to be made: what it points to is neither written nor emptied (3; S2)."""
    command.file("job.csv", conversations(3).csv())
    command.run("plan", "job.csv", "--ledger", "kept.db").expect(0)
    victim = command.file("victim", "precious\n")
    (command.folder / link).symlink_to(victim)

    ended = command.run(*arguments)

    assert victim.read_text() == "precious\n"
    assert ended.code in {0, 2, 5}
    assert "Traceback" not in ended.stderr


def test_what_a_server_writes_does_nothing_to_a_terminal(command: Command, server: OtherServer) -> None:
    """Escapes and markup in ErrorInfo and ids are inert on screen; a formula in `_info` is made harmless (S3)."""
    evil = "\x1b]0;owned\x07\x1b[2J[bold]x[/bold]\u202egnp.exe"
    command.file("job.csv", conversations(20).csv())
    server.order(
        {"where": {"From_Account": "user6"}, "code": 50001, "info": f"=cmd|' /C calc'!A0 {evil}"},
        {"where": {"From_Account": "user9"}, "code": 50002, "info": evil},
    )

    run = command.start("run", "job.csv", "--yes", terminal=True, env={"NO_COLOR": "1"})
    ended = run.wait().expect(1)
    listed = command.run("results", "job.ledger.db", "--status", "failed").expect(0)

    assert "\x1b]0" not in ended.stderr + ended.stdout
    assert "owned\x07" not in ended.stderr + ended.stdout + listed.stdout
    assert "\x1b" not in listed.stdout
    assert "\u202e" not in listed.stdout
    assert "\"'=cmd" in listed.stdout
