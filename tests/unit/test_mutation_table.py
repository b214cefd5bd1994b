"""The table of mutations fits the source that it breaks; whether tests notice is for `make mutation` to see."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.mutation.mutant import Edit, Mutation, Rotten
from tests.mutation.table import TABLE

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("mutation", TABLE, ids=lambda mutation: mutation.name)
def test_a_mutation_fits_its_source_and_stays_python(mutation: Mutation) -> None:
    """Its text stands there exactly once; what replaces it is something else that can be compiled."""
    for file, (before, after) in mutation.sources(ROOT).items():
        assert before != after
        if file.endswith(".py"):
            compile(after, file, "exec")


@pytest.mark.parametrize("mutation", TABLE, ids=lambda mutation: mutation.name)
def test_a_mutation_names_tests_that_exist(mutation: Mutation) -> None:
    """Each by file, or by file and function."""
    assert mutation.tests
    for test in mutation.tests:
        file, _, function = test.partition("::")
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert function in names or not function, test


def test_names_are_told_apart() -> None:
    """They are what the script is asked for, and what it reports."""
    names = [mutation.name for mutation in TABLE]
    assert len(set(names)) == len(names) >= 25


def test_a_mutation_that_fits_no_more_is_loud() -> None:
    """Neither a text that is gone nor one that stands there twice is passed over."""
    for text in ("nothing", "old and old"):
        with pytest.raises(Rotten):
            Edit("some.py", "old", "new").mutated(text)
