"""Who may import whom: the table of docs/architecture.md, enforced on every import statement of the package."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "bulkops"
WORDS = {"model", "errors", "watching", "_version"}

ALLOWED: dict[str, set[str]] = {
    "_version": set(),
    "model": set(),
    "watching": {"model"},
    "errors": {"model"},
    "settings": {"model", "errors", "chat.catalog", "chat.verdicts"},
    "job": WORDS | {"chat.catalog"},
    "chat": WORDS,
    "ledger": WORDS,
    "report": WORDS | {"chat.catalog"},
    "engine": WORDS,
    "sandbox": WORDS | {"chat.catalog"},
    "testing": WORDS | {"engine"},
    "app": WORDS | {"settings", "job", "chat", "ledger", "engine", "report", "sandbox"},
    "cli": WORDS | {"settings", "job", "chat", "ledger", "engine", "report", "sandbox", "app"},
    "__init__": WORDS | {"settings", "app", "report.summary"},
    "__main__": {"cli"},
}
"""What each folder or module of the package may import of the others."""

HOMES: dict[str, tuple[str, ...]] = {
    "aiohttp": ("chat.", "sandbox."),
    "yarl": ("chat.",),
    "multidict": ("chat.",),
    "aiolimiter": ("engine.limiter",),
    "tenacity": ("engine.backoff",),
    "apsw": ("ledger.",),
    "TLSSigAPIv2": ("chat.usersig",),
    "msgspec": ("job.", "chat.", "ledger."),
    "rich": ("report.", "cli."),
    "typer": ("cli.",),
    "backports": ("job.",),
    "compression": ("job.",),  # the standard library's from Python 3.14 on
    "uvloop": ("cli.",),
}
"""Where a library is at home."""


def modules() -> list[tuple[str, Path]]:
    """(dotted name below the package, file) of every module."""
    return [(".".join(path.relative_to(PACKAGE).with_suffix("").parts), path) for path in sorted(PACKAGE.rglob("*.py"))]


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything that a module imports at run time."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    exempt = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in exempt:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            assert node.module is not None
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"


def folder(module: str) -> str:
    return module.split(".", maxsplit=1)[0]


def may_import(module: str, target: str) -> bool:
    """Whether `module` may import `target`, both below the package."""
    if folder(target) == folder(module):
        return True
    return any(target == allowed or target.startswith(f"{allowed}.") for allowed in ALLOWED[folder(module)])


@pytest.mark.parametrize(("module", "path"), modules(), ids=[name for name, _ in modules()])
def test_a_module_imports_only_what_its_folder_may(module: str, path: Path) -> None:
    for line, name in imports(path):
        if name.startswith("bulkops."):
            assert may_import(module, name.removeprefix("bulkops.")), f"{path}:{line}: {module} may not import {name}"


@pytest.mark.parametrize(("module", "path"), modules(), ids=[name for name, _ in modules()])
def test_a_library_is_imported_only_where_it_is_at_home(module: str, path: Path) -> None:
    for line, name in imports(path):
        library = name.split(".")[0]
        if library in sys.stdlib_module_names or library in {"bulkops", "__future__"}:
            continue
        assert library in HOMES, f"{path}:{line}: {library} has no home"
        assert f"{module}.".startswith(HOMES[library]), f"{path}:{line}: {library} is at home in {HOMES[library]}"


def test_every_folder_is_in_the_table() -> None:
    assert {folder(module) for module, _ in modules()} == set(ALLOWED)


@pytest.mark.parametrize(
    ("module", "target"),
    [("engine.lane", "chat.client.ChatClient"), ("ledger.store", "chat.catalog.APIS"), ("job.reader", "ledger.store")],
)
def test_the_table_refuses_arrows_that_matter(module: str, target: str) -> None:
    assert not may_import(module, target)


def test_only_the_command_line_reads_the_environment_prints_or_exits() -> None:
    for module, path in modules():
        if folder(module) in {"cli", "__main__"}:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                assert ast.unparse(node) not in {"os.environ", "os.getenv", "sys.exit"}, f"{path}:{node.lineno}"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "print", f"{path}:{node.lineno}: prints"


def test_no_module_is_longer_than_five_hundred_lines() -> None:
    long = {module: lines for module, path in modules() if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 500}
    assert not long
