"""What things cost, as counts and ratios that no busy machine changes. The seconds are in benchmarks/.

A limit here is what was counted when it was set, and about a quarter: CPython's versions count a little differently. Whoever
runs into one has made every operation dearer, or has a reason to raise it.
"""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import msgspec
import pytest

from bulkops.job import JobReader
from bulkops.ledger import SqliteStore
from bulkops.ledger.connection import Database
from bulkops.ledger.records import Changes
from bulkops.model import Intent, Settlement, Status, Verdict
from tests.helpers.costs import Carried, carry_out, counting, frozen_ledger

FEW, MANY = 400, 1600

MODULES = """
import sys
before = set(sys.modules)
sys.argv = ["bulkops", sys.argv[1]]
from bulkops.cli import main
try:
    main()
except SystemExit:
    pass
print("\\n".join(sorted(set(sys.modules) - before)), file=sys.stderr)
"""

HEAVY = {"aiohttp", "aiolimiter", "apsw", "backports", "cryptography", "msgspec", "multidict", "rich", "tenacity", "yarl"}


@pytest.fixture(scope="module")
def carried(tmp_path_factory: pytest.TempPathFactory) -> tuple[Carried, Carried]:
    """The same job with few operations, and with many: the difference is what operations cost."""
    folder = tmp_path_factory.mktemp("costs")
    return carry_out(folder / "few.ledger.db", FEW), carry_out(folder / "many.ledger.db", MANY)


@pytest.mark.slow
def test_an_operation_takes_a_bounded_number_of_function_calls(carried: tuple[Carried, Carried]) -> None:
    """Engine and ledger enter a bounded number of functions for each operation (123 when this was set)."""
    few, many = carried

    assert (many.calls - few.calls) / (MANY - FEW) <= 155


@pytest.mark.slow
def test_operations_take_no_tasks_of_their_own(carried: tuple[Carried, Carried]) -> None:
    """Four times as many operations take not one task more: workers are few, and stay."""
    few, many = carried

    assert many.tasks == few.tasks


@pytest.mark.slow
def test_operations_become_durable_in_groups(carried: tuple[Carried, Carried]) -> None:
    """At 200 calls a second at most one transaction is made for every eight operations."""
    few, many = carried

    assert (many.transactions - few.transactions) / (MANY - FEW) <= 1 / 8


@pytest.mark.slow
def test_an_operation_takes_few_bytes_of_the_ledger(carried: tuple[Carried, Carried]) -> None:
    """An operation that was carried out takes about 90 bytes of the closed ledger, with its attempt and the user's id."""
    few, many = carried

    assert (many.size - few.size) / (MANY - FEW) <= 115


def _statements(path: Path, operations: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """Statements that SQLite is given to begin and to settle so many operations in one group each."""
    frozen_ledger(path, operations)
    given = 0
    plain = Database.run

    def counted(self: Database, sql: str, args: tuple[object, ...] = ()) -> int:
        nonlocal given
        given += 1
        return plain(self, sql, args)

    with SqliteStore.open(path, write=True) as store, monkeypatch.context() as patch:
        claimed = store.claim(0, operations)
        patch.setattr(Database, "run", counted)
        store.apply(Changes(0, intents=[(0, Intent(each.seq, 1, 1)) for each in claimed]))
        store.apply(Changes(0, settlements=[(0, _success(each.seq)) for each in claimed]))
    return given


def _success(seq: int) -> Settlement:
    return Settlement(seq, 1, 1, 2, Verdict.SUCCEEDED, Status.SUCCEEDED, 200, 0, "0", "", True, 1, 1, False)


def test_a_group_takes_as_many_statements_as_one_operation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A group of 500 operations is given to SQLite in as few statements as a group of one."""
    one = _statements(tmp_path / "one.db", 1, monkeypatch)

    assert one <= 16
    assert _statements(tmp_path / "many.db", 500, monkeypatch) == one


@cache
def _rows(form: str, rows: int) -> str:
    if form == "csv":
        lines = [f"delete_conversation,user_{n:07d},1,peer_{n:07d},1,ref-{n}" for n in range(rows)]
        return "\n".join(["op,From_Account,Type,To_Account,ClearRamble,id", *lines, ""])
    each = (
        {
            "op": "delete_conversation",
            "From_Account": f"user_{n:07d}",
            "Type": 1,
            "To_Account": f"peer_{n:07d}",
            "ClearRamble": 1,
        }
        for n in range(rows)
    )
    return "".join([msgspec.json.encode(row).decode() + "\n" for row in each])


def _calls_to_read(path: Path, form: str, rows: int) -> int:
    path.write_text(_rows(form, rows))
    with counting() as count:
        read = sum(len(batch.rows) for batch in JobReader([str(path)]).batches())
    assert read == rows
    return count.calls


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_row_takes_a_bounded_number_of_function_calls(tmp_path: Path, form: str) -> None:
    """A row without anything unusual is read and checked by a bounded number of functions (9 of CSV, 8 of JSONL when set)."""
    few = _calls_to_read(tmp_path / f"few.{form}", form, 5_000)
    many = _calls_to_read(tmp_path / f"many.{form}", form, 25_000)

    assert (many - few) / 20_000 <= 11.5


def _imported(flag: str) -> set[str]:
    """Modules that the command imports to answer a flag."""
    ran = subprocess.run([sys.executable, "-c", MODULES, flag], capture_output=True, text=True, check=True, timeout=60)
    return set(ran.stderr.split())


@pytest.mark.slow
def test_the_version_is_said_without_loading_the_program() -> None:
    """`--version` imports three modules of bulkops, no library and no asyncio."""
    imported = _imported("--version")

    assert {name for name in imported if name.partition(".")[0] == "bulkops"} == {"bulkops", "bulkops._version", "bulkops.cli"}
    assert not imported & (HEAVY | {"asyncio", "typer", "ssl", "sqlite3"})


@pytest.mark.slow
def test_help_is_said_without_the_engine_and_its_libraries() -> None:
    """`--help` loads typer and the tables it is made from, but no library that a run needs."""
    imported = _imported("--help")

    assert not imported & HEAVY
    assert not {
        name for name in imported if name.startswith(("bulkops.app", "bulkops.engine", "bulkops.ledger", "bulkops.sandbox"))
    }
    assert len({name for name in imported if name.partition(".")[0] == "bulkops"}) <= 32
