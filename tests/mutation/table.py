"""All mutations, by what they break."""

from __future__ import annotations

from typing import Final

from tests.mutation import of_chat, of_engine, of_records
from tests.mutation.mutant import Mutation

TABLE: Final[tuple[Mutation, ...]] = (*of_engine.MUTATIONS, *of_chat.MUTATIONS, *of_records.MUTATIONS)
