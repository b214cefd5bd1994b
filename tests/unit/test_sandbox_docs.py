"""What docs/sandbox.md promises about faults, held against the parser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bulkops.sandbox.faults import Fault, Kind, Stage

TEXT = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text(encoding="utf-8")
ROWS = [
    (spec, effect.strip())
    for spec, _, effect in re.findall(r"^\| `([^`]+)` \| (.*) \| ([^|]*) \|$", TEXT.partition("## Faults")[2], re.MULTILINE)
]


@pytest.mark.parametrize(("spec", "effect"), ROWS, ids=[spec for spec, _ in ROWS])
def test_a_documented_spec_can_be_ordered_and_has_the_effect_it_says(spec: str, effect: str) -> None:
    fault = Fault.parse(spec)

    late = fault.kind.stage in {Stage.DELAY, Stage.IDLE} or fault.kind is Kind.FREEZE
    happens = fault.kind.stage is Stage.AFTER or fault.variant == "after"
    assert effect == ("as it would be" if late else "**yes**" if happens else "no")


def test_every_kind_of_fault_is_documented() -> None:
    assert {Fault.parse(spec).kind for spec, _ in ROWS} == set(Kind)


def test_every_spec_that_the_text_mentions_can_be_ordered() -> None:
    kinds = "|".join(kind.value for kind in Kind)
    mentioned = re.findall(rf"`((?:[a-z_]+:)?(?:\d{{5}}|(?:{kinds})\d*)[=:][^` ]+)`", TEXT)

    assert len(mentioned) > len(ROWS)
    for spec in mentioned:
        Fault.parse(spec.replace("URL", "http://127.0.0.1:9/"))
