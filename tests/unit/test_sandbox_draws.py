"""Which faults fall on which call: seeded, windowed, and the same however calls interleave."""

from __future__ import annotations

import pytest

from bulkops.sandbox.draws import Drawn, Draws, Elapsed, active
from bulkops.sandbox.faults import Fault
from bulkops.sandbox.quota import SECOND

OP = "delete_conversation"


def draws(*specs: str, seed: int = 0) -> Draws:
    return Draws([Fault.parse(spec) for spec in specs], seed)


def at(first: float, start: float = 0.0) -> Elapsed:
    return Elapsed(start, first, round(first * SECOND))


def drawn_for(source: Draws, contents: list[str], number: int | None = 0) -> dict[str, Drawn]:
    return {content: source.draw(OP, content, number, at(1)) for content in contents}


def test_the_same_seed_draws_the_same_faults_in_any_order_of_calls() -> None:
    """What falls on a call does not depend on what was called before it."""
    contents = [f"user{i}" for i in range(200)]
    specs = ("50004=20%", "reset-after=20%", "slow=30%:1ms-9ms")

    forward = drawn_for(draws(*specs, seed=7), contents)
    backward = drawn_for(draws(*specs, seed=7), contents[::-1])

    assert forward == backward
    assert forward != drawn_for(draws(*specs, seed=8), contents)


def test_a_repeated_call_is_drawn_for_anew() -> None:
    source = draws("50004=50%")

    hits = [source.draw(OP, "user1", number, at(1)).before is not None for number in range(200)]

    assert 60 < sum(hits) < 140


def test_without_tracking_draws_are_one_sequence_that_repeats_with_its_seed() -> None:
    contents = [f"user{i}" for i in range(100)]

    first = drawn_for(draws("50004=50%", seed=3), contents, number=None)

    assert first == drawn_for(draws("50004=50%", seed=3), contents, number=None)
    assert len({drawn.before for drawn in first.values()}) == 2


def test_a_share_of_the_calls_is_met() -> None:
    source = draws("50004=3%")

    hits = sum(source.draw(OP, f"user{i}", 0, at(1)).before is not None for i in range(5000))

    assert 110 <= hits <= 190


@pytest.mark.parametrize(("share", "hits"), [("0%", 0), ("100%", 300)])
def test_no_share_means_never_and_the_whole_means_always(share: str, hits: int) -> None:
    source = draws(f"50004={share}")

    assert sum(source.draw(OP, f"user{i}", 0, at(1)).before is not None for i in range(300)) == hits


def test_the_luck_of_one_fault_does_not_depend_on_the_window_of_another() -> None:
    contents = [f"user{i}" for i in range(200)]

    alone = drawn_for(draws("60007=50%@90-", "50004=30%"), contents)
    together = {content: draws("60007=50%@0-0.5", "50004=30%").draw(OP, content, 0, at(1)) for content in contents}

    assert [d.before and d.before.code for d in alone.values()] == [d.before and d.before.code for d in together.values()]


def test_the_first_fault_of_a_stage_wins_and_stages_add_up() -> None:
    drawn = draws("50004", "http503", "cut", "reset-after", "slow:1s", "slow:2s", "idle-close:50ms").draw(OP, "u", 0, at(1))

    assert drawn.before is not None
    assert drawn.before.spec == "50004"
    assert drawn.after is not None
    assert drawn.after.spec == "cut"
    assert (drawn.delay, drawn.idle) == (3.0, 0.05)


def test_a_range_of_durations_is_drawn_from_evenly() -> None:
    source = draws("slow:80ms-120ms")

    delays = [source.draw(OP, f"user{i}", 0, at(1)).delay for i in range(500)]

    assert all(0.08 <= delay <= 0.12 for delay in delays)
    assert min(delays) < 0.085
    assert max(delays) > 0.115


@pytest.mark.parametrize(
    ("spec", "moment", "holds"),
    [
        ("cut@5-9", at(4.999), False),
        ("cut@5-9", at(5), True),
        ("cut@5-9", at(9), False),
        ("cut@-9", at(0), True),
        ("cut@-9", at(-1), False),
        ("cut@5-", at(1e6), True),
        ("cut", at(-1), True),
        ("cut@start:5-9", at(-1, start=6), True),
        ("cut@start:5-9", at(6, start=20), False),
        ("clear_group_messages:cut", at(1), False),
        ("delete_conversation:cut", at(1), True),
    ],
)
def test_a_fault_holds_in_its_window_and_for_its_api(spec: str, moment: Elapsed, holds: bool) -> None:
    assert active(Fault.parse(spec), OP, moment) is holds


def test_poison_falls_on_every_call_with_its_target() -> None:
    """Any of a call's ids, or its whole content; not a part of an id."""
    source = draws("poison:user7=50004")

    hit = [source.draw(OP, content, 0, at(1)).before is not None for content in ("user7\t1\tx", "x\t1\tuser7", "user77\t1\tx")]

    assert hit == [True, True, False]
    assert draws("poison:a\tb=503").draw(OP, "a\tb", 0, at(1)).before is not None


def test_a_capacity_rejects_what_is_beyond_it_for_each_api() -> None:
    source = draws("capacity=2")

    first = [source.draw(OP, str(i), 0, at(1)).before is not None for i in range(3)]
    other = source.draw("clear_group_messages", "g", 0, at(1)).before

    assert first == [False, False, True]
    assert other is None
    assert source.draw(OP, "later", 0, at(2)).before is None


def test_a_capacity_of_the_whole_app_is_shared_by_its_apis() -> None:
    source = draws("capacity=1:60011")

    assert source.draw(OP, "u", 0, at(1)).before is None
    assert source.draw("clear_group_messages", "g", 0, at(1)).before is not None


def test_a_freeze_lasts_until_its_end() -> None:
    source = draws("freeze:3s@10s", "freeze:1s@10s")

    assert source.frozen(OP, at(9)) == 0
    assert source.frozen(OP, at(11)) == pytest.approx(2.0)
    assert source.frozen(OP, at(13)) == 0


def test_an_outage_is_found_in_its_window_only() -> None:
    source = draws("freeze:1s", "outage=503@1-2")

    assert source.doors
    assert not source.any
    assert source.outage(OP, at(0)) is None
    assert source.outage(OP, at(1)) == source.faults[1]
