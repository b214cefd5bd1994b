"""The ledger's SQL, by name, from the .sql files beside it. Knows no database."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final

_NAME: Final = "-- name: "


@cache
def queries(file: str) -> Mapping[str, str]:
    """The statements of one file, by the names in its `-- name:` lines.

    Args:
        file: As in `commit` for `sql/commit.sql`.
    """
    text = files("bulkops.ledger").joinpath("sql", f"{file}.sql").read_text(encoding="utf-8")
    found: dict[str, str] = {}
    for part in f"\n{text}".split(f"\n{_NAME}")[1:]:
        name, _, body = part.partition("\n")
        if name in found:
            raise AssertionError(f"sql/{file}.sql has two statements named {name}")
        found[name.strip()] = body.strip()
    return found
