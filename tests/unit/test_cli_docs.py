"""The documentation of the command line says all that there is, and nothing that there isn't."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from bulkops.cli.credentials import KEY_FILE_VARIABLE, KEY_VARIABLE
from bulkops.cli.entry import SPECS
from bulkops.cli.exits import exit_of
from bulkops.cli.options import SETTINGS
from bulkops.report import summary as outcomes
from bulkops.report.results import OUTCOME_COLUMNS
from bulkops.report.summary import summarize
from tests.helpers.report import figures

DOCS = Path(__file__).parents[2] / "docs"
FLAGS = {spec.name: {option.flag for option in spec.flags} | {"--help"} for spec in SPECS}


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def section(name: str) -> str:
    """The part of commands.md about one command."""
    return page("commands.md").split(f"\n## {name}\n")[1].split("\n## ")[0]


def examples(text: str) -> list[list[str]]:
    """Every command line in a block of shell."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines() if line.startswith("bulkops ")]


@pytest.mark.parametrize("spec", SPECS, ids=[spec.name for spec in SPECS])
def test_every_command_is_documented_with_an_example(spec: object) -> None:
    assert isinstance(spec, type(SPECS[0]))
    assert f"bulkops {spec.name}" in page("commands.md").split("## plan")[0]
    assert examples(section(spec.name))


def test_every_flag_of_run_and_results_is_documented() -> None:
    """The others take those of `run`, or name their own in their text."""
    for name in ("run", "results"):
        missing = {flag for flag in FLAGS[name] - {"--help"} if flag not in section(name) and flag not in section("run")}
        assert not missing
    assert all(flag in section("retry") for flag in ("--status", "--code", "--dry-run"))
    assert "--port" in section("sandbox")


@pytest.mark.parametrize("name", ["commands.md", "configuration.md", "exit-codes.md"])
def test_no_example_has_a_flag_that_does_not_exist(name: str) -> None:
    for words in examples(page(name)):
        flags = {word.split("=")[0] for word in words if word.startswith("--")}
        assert flags <= FLAGS[words[1]], words


def test_every_setting_is_documented_with_its_variable() -> None:
    text = page("configuration.md")
    for option in SETTINGS.values():
        assert f"| `{option.flag}` | `{option.variable}` |" in text
    assert KEY_VARIABLE in text
    assert KEY_FILE_VARIABLE in text


def test_every_exit_code_is_documented() -> None:
    codes = {value for name, value in vars(outcomes).items() if name.startswith("EXIT_")}
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", page("exit-codes.md"), re.MULTILINE)}
    assert documented == codes
    assert exit_of(ValueError()) in documented


def test_every_key_of_the_json_is_documented() -> None:
    made = summarize(figures(succeeded=1), ledger="x", state="finished", reason=None, exit=0).as_json()
    text = page("exit-codes.md")
    for key in (*made, "errors", "warnings"):
        assert f"| `{key}` |" in text
    for key in ("file", "line", "column", "message", "operations", "calls", "rate", "codes"):
        assert f"`{key}`" in text


def test_every_column_of_results_is_documented() -> None:
    for column in OUTCOME_COLUMNS:
        assert f"`{column}`" in section("results")
