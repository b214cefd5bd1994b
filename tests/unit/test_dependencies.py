"""What is depended upon: every floor has its reason, every version is pinned by hash, and what matters most is really there."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import apsw
import pytest
from aiohttp import http_parser

from bulkops.ledger.connection import _checksum_vfs

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINS = sorted((ROOT / "requirements").glob("*.txt"))

_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9.-]+)(?:\[[a-z,]+\])?(?P<kind>>=|==)(?P<floor>[0-9.]+)")


def floors(requirements: list[str]) -> dict[str, str]:
    """Floors (or exact versions) by package."""
    found = [_REQUIREMENT.match(requirement) for requirement in requirements]
    assert all(found), requirements
    return {match["name"].lower(): match["floor"] for match in found if match}


def documented() -> dict[str, tuple[str, str]]:
    """(floor, reason) by package, as docs/dependencies.md has them."""
    rows = re.findall(
        r"^\| ([\w.-]+)(?: \(extra\))? \| ([\d.]+) \| (.+) \|$", (ROOT / "docs/dependencies.md").read_text(), re.MULTILINE
    )
    return {name.lower(): (floor, reason) for name, floor, reason in rows}


def wanted() -> dict[str, str]:
    """Floors of what users install, extras included."""
    extras = [requirement for group in PROJECT["optional-dependencies"].values() for requirement in group]
    return floors([*PROJECT["dependencies"], *extras])


def pins(path: Path) -> dict[str, str]:
    """Versions by package of a file of pins, continuation lines joined."""
    lines = path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    return {line.partition("==")[0]: line.partition("==")[2].split()[0] for line in lines if line.strip()}


def test_every_dependency_has_a_row_with_its_floor() -> None:
    """And the table has no row for what is not depended upon."""
    assert {name: floor for name, (floor, _) in documented().items()} == wanted()


def test_every_floor_has_a_reason() -> None:
    """More than the package's name."""
    assert all(len(reason.split()) >= 5 for _, reason in documented().values())


def test_the_next_major_version_is_kept_out() -> None:
    """What may break us needs a decision; the one that is pinned exactly says so itself."""
    for requirement in PROJECT["dependencies"]:
        assert re.search(r",<\d+|==", requirement) or requirement.startswith("backports.zstd"), requirement


@pytest.mark.parametrize("path", PINS, ids=lambda path: path.name)
def test_every_line_is_pinned_by_hash_and_names_no_host(path: Path) -> None:
    """One exact version, at least one SHA-256, no index, no URL, no path, no option."""
    text = path.read_text(encoding="utf-8")
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    for line in lines:
        name_version, *rest = line.split(" --hash=")
        requirement, _, marker = name_version.partition(" ; ")
        assert re.fullmatch(r"[a-z0-9.-]+==[0-9][0-9a-z.+]*", requirement.strip()), line[:60]
        assert not marker or re.fullmatch(r"[\w\s.'\"=<>!()-]+", marker.strip()), line[:60]
        assert rest, f"no hash: {line[:60]}"
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", digest.strip()) for digest in rest), line[:60]
    assert not re.search(r"://|@ |^-|index|trusted-host", text, re.MULTILINE)


def test_the_pins_keep_to_the_floors() -> None:
    """Everything that users install is pinned, at its floor or above."""
    pinned = pins(ROOT / "requirements/dev.txt")
    for name, floor in wanted().items():
        assert _numbers(pinned[name.replace(".", "-")]) >= _numbers(floor), name


def test_what_is_installed_keeps_to_the_floors() -> None:
    """Else these tests would prove nothing about what users get; the extra may be missing."""
    for name, floor in floors(PROJECT["dependencies"]).items():
        assert _numbers(version(name)) >= _numbers(floor), name


def test_aiohttp_parses_in_c() -> None:
    """Its Python parser costs several times the CPU, and has had request smuggling bugs of its own."""
    assert http_parser.HttpResponseParser is not http_parser.HttpResponseParserPy
    assert http_parser.HttpResponseParser.__module__ == "aiohttp._http_parser"


def test_sqlite_has_the_checksum_vfs_and_no_bug_that_corrupts() -> None:
    """SQLite 3.7.0 to 3.51.2 can corrupt a WAL file with two connections."""
    assert _checksum_vfs() in apsw.vfs_names()
    assert _numbers(apsw.sqlite_lib_version()) >= (3, 51, 3)


def test_the_signing_library_has_the_method_that_is_called() -> None:
    """Under one version number its repository and its releases name it differently."""
    from TLSSigAPIv2 import TLSSigAPIv2

    assert hasattr(TLSSigAPIv2, "gen_sig") or hasattr(TLSSigAPIv2, "genUserSig")


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


@pytest.mark.xdist_group("together")
def test_tests_of_a_group_stay_together(request: pytest.FixtureRequest) -> None:
    """pytest-xdist writes the group into the test's id; where pytest ignored that, groups would be scattered in silence."""
    in_groups = getattr(request.config.option, "loadgroup", False)  # as --dist loadgroup sets it for each of its workers
    assert request.node.nodeid.endswith("@together" if in_groups else "stay_together")
