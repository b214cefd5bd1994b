"""The soak's reconciliation finds what it is there to find: without this, a soak that passes would prove nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support import STATUSES
from tests.helpers.otherserver_handle import Record
from tests.helpers.soak_check import Books, differences
from tests.helpers.soak_job import write_job
from tests.helpers.soak_plan import jobs, spells, strikes
from tests.helpers.soak_watch import Samples

OP = "delete_conversation"
TARGETS = [f"{OP} {number}" for number in range(4)]


def record(labels: Iterable[tuple[int, str]], *, every: float = 0.1, effects: Iterable[int] | None = None) -> Record:
    """What a server saw: (target's number, label) of each call."""
    calls = [[place * every, OP, TARGETS[number], "admin", place, label] for place, (number, label) in enumerate(labels)]
    done = [number for number, label in labels if label == "0"] if effects is None else effects
    return Record({"calls": calls, "effects": Counter(TARGETS[number] for number in done), "violations": [], "connections": 1})


def books(statuses: list[str], seen: Record, codes: dict[str, int], **changes: Any) -> Books:
    """The two sides of a job of four deletions."""
    summary = {
        "rows": 4,
        "duplicates": 0,
        "invalid": 0,
        "operations": 4,
        "resent_in_doubt": 0,
        "by_status": dict.fromkeys(STATUSES, 0) | Counter(statuses),
        "apis": {OP: {"calls": sum(codes.values()), "codes": codes}},
    }
    made = Books(
        targets=TARGETS,
        rows=4,
        duplicates=0,
        invalid=0,
        rate=200,
        statuses=list(zip(TARGETS, statuses, strict=False)),
        summary=summary,
        record=seen,
    )
    return replace(made, **changes)


DONE = ["succeeded"] * 4
ALL_WELL = [(number, "0") for number in range(4)]


def test_a_job_that_went_well_has_no_differences() -> None:
    assert differences(books(DONE, record(ALL_WELL), {"0": 4})) == []


def test_what_the_server_said_no_to_may_have_ended_in_many_ways() -> None:
    """Absent, refused, given up, in doubt: each with what the server saw of it."""
    seen = record([(0, "51009"), (1, "50002"), (2, "50004"), (3, "reset_after")], effects=[3])
    codes = {"51009": 1, "50002": 1, "50004": 1, "lost": 1}
    assert differences(books(["absent", "failed", "exhausted", "in_doubt"], seen, codes)) == []


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (books(DONE[:3], record(ALL_WELL), {"0": 4}), "1 lost"),
        (books([*DONE[:3], "sending"], record(ALL_WELL), {"0": 4}), "not ended"),
        (books(DONE, record(ALL_WELL[:3]), {"0": 3}), "never carried it out"),
        (books(DONE, record([*ALL_WELL[:3], (3, "reset_before")]), {"0": 3, "lost": 1}), "never carried it out"),
        (books([*DONE[:3], "absent"], record(ALL_WELL), {"0": 4}), "never said that it was gone"),
        (books([*DONE[:3], "failed"], record(ALL_WELL), {"0": 4}), "never refused it"),
        (books([*DONE[:3], "exhausted"], record(ALL_WELL), {"0": 4}), "the server carried it out"),
        (books([*DONE[:3], "in_doubt"], record(ALL_WELL), {"0": 4}), "1 operations are in doubt, only 0"),
        (books(DONE, record([*ALL_WELL, (3, "0")]), {"0": 5}), "carried out what had been done"),
        (books(DONE, record([*ALL_WELL, (3, "50004")]), {"0": 4}), "5 calls arrived, 4 are counted"),
        (books(DONE, record(ALL_WELL), {"0": 4, "timeout": 1}), "4 calls arrived, 5 are counted"),
        (books(DONE, record([*ALL_WELL, (3, "50004")]), {"0": 4, "50005": 1}), "50005 counted 1 times"),
        (books(DONE, record([*ALL_WELL, (0, "60007")]), {"0": 4, "60007": 1}, ended_before={TARGETS[0]: 1}), "was sent again"),
        (books(DONE, record(ALL_WELL, every=0.001), {"0": 4}, rate=3), "4 calls in one second, 3 are allowed"),
        (
            books(DONE, record(ALL_WELL, every=0.001), {"0": 4}, before={OP: [-0.5 + n / 1000 for n in range(198)]}),
            "202 calls in one second together",
        ),
        (books(DONE, record(ALL_WELL), {"0": 4}, rows=5), "rows, duplicates"),
        (books(DONE, record(ALL_WELL), {"0": 4}, targets=TARGETS[:3]), "1 foreign"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_kind_of_difference_is_found(wrong: Books, words: str) -> None:
    assert any(words in difference for difference in differences(wrong)), differences(wrong)


def test_the_same_seed_gives_the_same_plan() -> None:
    """Weather, blows and jobs alike; another seed gives another one."""
    for source in (spells, strikes, jobs):
        first, again, other = (list(islice(source(seed), 20)) for seed in ("a", "a", "b"))
        assert first == again != other


@pytest.mark.parametrize("place", range(6))
def test_a_job_file_holds_what_it_says(place: int, tmp_path: Path) -> None:
    """As many rows, no target twice but for the repeats."""
    plan = next(islice(jobs("seed"), place, None))
    job = write_job(plan, tmp_path)
    assert job.rows == len(job.targets) + plan.duplicates + plan.invalid
    assert len(set(job.targets)) == len(job.targets) == plan.operations


def test_growth_and_descriptors_are_found() -> None:
    """A process that gains a MiB every second, and one that keeps what it opened."""
    grown = Samples("grown", 300, [float(at) for at in range(120)], [50.0 + at for at in range(120)], [90] * 120)
    leaky = Samples("leaky", 300, [float(at) for at in range(120)], [50.0] * 120, [90 + 10 * at for at in range(120)])
    flat = Samples("flat", 300, [float(at) for at in range(120)], [50.0] * 120, [90] * 120)
    assert "grew" in "".join(grown.complaints())
    assert "descriptors" in "".join(leaky.complaints())
    assert list(flat.complaints()) == []
