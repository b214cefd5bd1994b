"""The secret key: where it comes from, and what is said about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bulkops.cli.credentials import secret_key
from bulkops.errors import ConfigError

KEY = "0f1e2d3c" * 8


def key_file(folder: Path, content: bytes = KEY.encode(), mode: int = 0o600) -> str:
    path = folder / "key"
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)


def read(environ: dict[str, str], profile_file: str | None = None) -> tuple[str | None, list[str]]:
    warnings: list[str] = []
    secret = secret_key(environ, profile_file, warnings.append)
    return (secret.reveal() if secret else None), warnings


def test_no_key_is_no_key() -> None:
    assert read({}) == (None, [])
    assert read({"BULKOPS_SECRET_KEY": "", "BULKOPS_SECRET_KEY_FILE": ""}) == (None, [])


def test_a_key_comes_from_a_variable() -> None:
    assert read({"BULKOPS_SECRET_KEY": KEY}) == (KEY, [])


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_key_comes_from_a_file_without_its_newline(tmp_path: Path, end: bytes) -> None:
    path = key_file(tmp_path, KEY.encode() + end)
    assert read({"BULKOPS_SECRET_KEY_FILE": path}) == (KEY, [])
    assert read({}, path) == (KEY, [])


def test_a_variable_comes_before_a_profile(tmp_path: Path) -> None:
    assert read({"BULKOPS_SECRET_KEY": "other"}, key_file(tmp_path)) == ("other", [])


def test_both_variables_may_agree(tmp_path: Path) -> None:
    environ = {"BULKOPS_SECRET_KEY": KEY, "BULKOPS_SECRET_KEY_FILE": key_file(tmp_path)}
    assert read(environ)[0] == KEY


def test_variables_that_disagree_are_an_error_that_names_both(tmp_path: Path) -> None:
    environ = {"BULKOPS_SECRET_KEY": "other-key", "BULKOPS_SECRET_KEY_FILE": key_file(tmp_path)}
    with pytest.raises(ConfigError, match="BULKOPS_SECRET_KEY and BULKOPS_SECRET_KEY_FILE") as caught:
        read(environ)
    assert KEY not in str(caught.value)
    assert "other-key" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_key_file_that_others_can_read_is_warned_about(tmp_path: Path, mode: int) -> None:
    path = key_file(tmp_path, mode=mode)
    _, warnings = read({"BULKOPS_SECRET_KEY_FILE": path})
    assert warnings == [f"warning: others on this machine can read the key file {path}: chmod 600 {path}"]


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"two\nlines\n", b"\xff\xfe", b"k" * 70_000, b"tab\there", "schlüssel".encode()]
)
def test_a_file_that_holds_no_key_is_an_error_that_shows_nothing_of_it(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ConfigError, match="does not hold one line") as caught:
        read({"BULKOPS_SECRET_KEY_FILE": key_file(tmp_path, content)})
    assert "two" not in str(caught.value)
    assert "tab" not in str(caught.value)


def test_a_missing_key_file_is_an_error_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"can't read the key file .*nope: No such file or directory"):
        read({"BULKOPS_SECRET_KEY_FILE": str(tmp_path / "nope")})
