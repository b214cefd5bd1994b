"""Where settings come from: flags, then variables, then a profile; credentials that are missing, half set or in a file (contract, 5)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.support import conversations, seldom
from tests.helpers.command import Command
from tests.helpers.otherserver_handle import IDENTIFIER, KEY, SDKAPPID, OtherServer

pytestmark = pytest.mark.slow


@pytest.fixture
def ready(bare: Command) -> Command:
    """The command without credentials, with a small job."""
    bare.file("job.csv", conversations(3).csv())
    return bare


def profile(folder: Path, **entries: object) -> None:
    """A bulkops.toml with one profile, `x`."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{key} = {value!r}" if isinstance(value, str) else f"{key} = {value}" for key, value in entries.items()]
    (folder / "bulkops.toml").write_text("\n".join(["[profiles.x]", *lines, ""]))


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({}, ["BULKOPS_SDKAPPID", "BULKOPS_IDENTIFIER", "BULKOPS_SECRET_KEY"]),
        seldom({"BULKOPS_SDKAPPID": "14"}, ["BULKOPS_IDENTIFIER", "BULKOPS_SECRET_KEY"]),
        ({"BULKOPS_SDKAPPID": "14", "BULKOPS_IDENTIFIER": "a"}, ["BULKOPS_SECRET_KEY", "BULKOPS_SECRET_KEY_FILE"]),
        seldom({"BULKOPS_SECRET_KEY": "k"}, ["BULKOPS_SDKAPPID", "BULKOPS_IDENTIFIER"]),
    ],
    ids=["none", "app only", "no key", "key only"],
)
def test_missing_and_half_set_credentials_are_named(given: dict[str, str], named: list[str], ready: Command) -> None:
    """What is missing is named by its variable, what is there is not; exit 2, nothing made (5)."""
    ended = ready.run("run", "job.csv", "--yes", env=given).expect(2)

    for name in named:
        assert name in ended.screen
    for name in {"BULKOPS_SDKAPPID", "BULKOPS_IDENTIFIER"} - set(named):
        assert name not in ended.screen
    assert not (ready.folder / "job.ledger.db").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BULKOPS_SDKAPPID", "app"),
        seldom("BULKOPS_SDKAPPID", "0"),
        seldom("BULKOPS_RATE", "many"),
        seldom("BULKOPS_REGION", "mars"),
    ],
)
def test_a_variable_that_is_wrong_is_named(name: str, value: str, ready: Command) -> None:
    """A variable with a value that it does not take: exit 2, named (5)."""
    ended = ready.run("run", "job.csv", "--yes", env={name: value, "BULKOPS_SECRET_KEY": KEY}).expect(2)

    assert name in ended.screen


def test_the_key_may_be_in_a_file(ready: Command, server: OtherServer) -> None:
    """BULKOPS_SECRET_KEY_FILE names a file with the key; a missing one is exit 2 and named, an open one is warned about (5)."""
    key = ready.file("key", KEY + "\n")
    key.chmod(0o600)
    environ = {"BULKOPS_ENDPOINT": server.endpoint, "BULKOPS_SDKAPPID": str(SDKAPPID), "BULKOPS_IDENTIFIER": IDENTIFIER}

    ended = ready.run("run", "job.csv", "--yes", env={**environ, "BULKOPS_SECRET_KEY_FILE": "key"}).expect(0)
    missing = ready.run("run", "job.csv", "--yes", env={**environ, "BULKOPS_SECRET_KEY_FILE": "nokey"}).expect(2)
    key.chmod(0o644)
    readable = ready.run("run", "job.csv", "--yes", env={**environ, "BULKOPS_SECRET_KEY_FILE": "key"}).expect(0)

    assert "warning" not in ended.screen
    assert "nokey" in missing.screen
    assert "chmod 600" in readable.screen
    assert server.count == 3


def test_two_keys_that_differ_are_an_error(ready: Command, server: OtherServer) -> None:
    """BULKOPS_SECRET_KEY and the file both set with different keys: exit 2 rather than a guess; neither key shown (5)."""
    ready.file("key", "a" * 64)
    environ = {"BULKOPS_SDKAPPID": "14", "BULKOPS_IDENTIFIER": "a", "BULKOPS_SECRET_KEY": KEY, "BULKOPS_SECRET_KEY_FILE": "key"}

    ended = ready.run("run", "job.csv", "--yes", env=environ).expect(2)

    assert "BULKOPS_SECRET_KEY_FILE" in ended.screen
    assert KEY not in ended.screen
    assert "a" * 64 not in ended.screen


def test_the_key_is_never_a_flag(ready: Command) -> None:
    """There is no --secret-key; whoever tries is told the variable (5)."""
    ended = ready.run("run", "job.csv", "--secret-key", KEY, "--yes").expect(2)

    assert KEY not in ended.screen


@pytest.mark.parametrize("place", ["here", "home"])
def test_a_profile_gives_everything_but_the_key_itself(place: str, ready: Command, server: OtherServer) -> None:
    """`--profile x` from ./bulkops.toml or ~/.config/bulkops/, with paths relative to it; a resume needs no flag (5)."""
    folder = ready.folder if place == "here" else ready.folder / "home" / ".config" / "bulkops"
    profile(
        folder, sdkappid=SDKAPPID, identifier=IDENTIFIER, endpoint=server.endpoint, secret_key_file="key", rate=50, canary=1
    )
    (folder / "key").write_text(KEY)
    (folder / "key").chmod(0o600)

    stopped = ready.run("run", "job.csv", "--yes", "--profile", "x").expect(4)
    ready.run(*stopped.continuation).expect(0)

    assert server.count == 3


def test_flags_go_before_variables_before_profiles(ready: Command) -> None:
    """The same setting in all three: the flag counts, then the variable, then the profile (5)."""
    profile(ready.folder, rate=10, region="seoul")

    def planned(*flags: str, **variables: str) -> str:
        return " ".join(ready.run("plan", "job.csv", "--profile", "x", *flags, env=variables).expect(0).stdout.split())

    assert "10 5 %" in planned()
    assert "20 10 %" in planned(BULKOPS_RATE="20")
    assert "30 15 %" in planned("--rate", "30", BULKOPS_RATE="20")
    assert "adminapikr" in planned()
    assert "adminapijpn" in planned(BULKOPS_REGION="tokyo")
    assert "adminapiger" in planned("--region", "frankfurt", BULKOPS_REGION="tokyo")
    assert "127.0.0.1:9" in planned(BULKOPS_ENDPOINT="http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[profiles.x]\nregoin = 'seoul'\n", "region"),
        seldom("[profiles.y]\n", "profiles.x"),
        ("[profiles.x]\nsecret_key = 'abc'\n", "secret_key_file"),
        seldom("[profiles.x\n", "TOML"),
        seldom("[profiles.x]\nrate = 500\n", "--allow-over-limit"),
        seldom("[profiles.x]\nmax_ops = true\n", "max_ops"),
    ],
    ids=["typo", "missing", "key inside", "no TOML", "over limit", "wrong type"],
)
def test_a_profile_that_is_wrong_is_a_usage_error(content: str, says: str, ready: Command) -> None:
    """A missing profile, an unknown entry, a key inside, broken TOML: exit 2, in words, the key not shown (5)."""
    ready.file("bulkops.toml", content)

    ended = ready.run("plan", "job.csv", "--profile", "x").expect(2)

    assert says in ended.screen
    assert "'abc'" not in ended.screen


def test_resume_takes_settings_from_the_ledger_and_flags_override(ready: Command, server: OtherServer) -> None:
    """App, endpoint and rate come from the ledger: a resume needs only the key; a flag overrides what it says (5)."""
    flags = ["--sdkappid", str(SDKAPPID), "--identifier", IDENTIFIER, "--endpoint", server.endpoint, "--rate", "2"]
    ready.file("job.csv", conversations(13).csv())
    stopped = ready.run("run", "job.csv", "--yes", "--canary", "1", *flags, env={"BULKOPS_SECRET_KEY": KEY}).expect(4)

    slow = ready.start(*stopped.continuation, env={"BULKOPS_SECRET_KEY": KEY})
    server.wait_for_calls(3)
    slow.kill()
    seen = server.record
    ready.run("resume", "job.ledger.db", "--rate", "200", env={"BULKOPS_SECRET_KEY": KEY}).expect(0)

    assert seen.worst_second("delete_conversation", lateness=0.005) <= 2
    assert server.record.worst_second("delete_conversation") > 2


def test_a_misspelt_variable_is_pointed_out(ready: Command) -> None:
    """BULKOPS_SDKAPPI is no setting: a warning names the right one (5)."""
    ended = ready.run("run", "job.csv", "--sandbox", "--yes", env={"BULKOPS_SDKAPPI": "14"}).expect(0)

    assert "BULKOPS_SDKAPPID" in ended.screen
