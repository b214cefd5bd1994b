"""The expression for calm rows matches nothing that is not valid, and is made from whatever the catalog says."""

from __future__ import annotations

import pytest

from bulkops.chat.catalog import APIS
from bulkops.job.calm import calm
from bulkops.model import Api, Field, FieldKind
from tests.helpers.job import CLEAR, CONVERSATION, GROUP, api_of, content_of


def api_with(*fields: Field) -> Api:
    """An API of these fields."""
    return Api("op", "v4/p", 1, fields, {}, "")


def is_calm(api: Api, *values: str) -> bool:
    """Whether a row with these values is calm."""
    return calm(api)(content_of(*values)) is not None


@pytest.mark.parametrize(
    ("op", "values"),
    [
        (CONVERSATION, ("alice", "1", "bob", "", "")),
        (CONVERSATION, ("a b", "2", "", "@TGS#1", "1")),
        (CONVERSATION, ("a" * 32, "2", "", "g" * 48, "0")),
        (CONVERSATION, ("1000234", "1", "3e10", "", "")),
        (GROUP, ("a", "x" * 64)),
        (GROUP, ("a", "群" * 16)),
        (CLEAR, ("g", "")),
        (CLEAR, ("g", str(10**18 - 1))),
    ],
)
def test_ordinary_rows_are_calm(op: str, values: tuple[str, ...]) -> None:
    """What most files hold is read quickly."""
    assert is_calm(api_of(op), *values)


@pytest.mark.parametrize(
    ("op", "values"),
    [
        (CONVERSATION, ("alice", "1", "", "", "")),
        (CONVERSATION, ("alice", "1", "bob", "g", "")),
        (CONVERSATION, ("alice", "2", "bob", "", "")),
        (CONVERSATION, ("alice", "3", "", "", "")),
        (CONVERSATION, ("alice", "", "", "", "")),
        (CONVERSATION, ("alice", "01", "bob", "", "")),
        (CONVERSATION, ("alice", "1", "bob", "", "2")),
        (CONVERSATION, ("a" * 33, "1", "bob", "", "")),
        (CONVERSATION, (" a", "1", "bob", "", "")),
        (CONVERSATION, ("a ", "1", "bob", "", "")),
        (CONVERSATION, ("é", "1", "bob", "", "")),
        (CONVERSATION, ("a\tb", "1", "bob", "")),
        (CONVERSATION, ("1.23E+15", "1", "bob", "", "")),
        (CONVERSATION, ("alice", "1", "#N/A", "", "")),
        (GROUP, ("a", "é" * 40)),
        (GROUP, ("a", "x" * 65)),
        (GROUP, ("a", "x\x85")),
        (GROUP, ("a", " ")),
        (GROUP, ("a", "")),
        (CLEAR, ("@TGS#_1", "1")),
        (CLEAR, ("g", "0")),
        (CLEAR, ("g", str(2**63))),
        (CLEAR, ("g", "\u0661")),
        (CLEAR, ("g", "1\n")),
    ],
)
def test_rows_that_are_wrong_or_worth_a_word_are_not_calm(op: str, values: tuple[str, ...]) -> None:
    """The careful way decides about them."""
    assert not is_calm(api_of(op), *values)


@pytest.mark.parametrize(
    ("minimum", "maximum", "yes", "no"),
    [
        (0, 1, ("0", "1"), ("2", "", "00")),
        (1, 99, ("1", "9"), ("0", "100", "01")),
        (5, 5000, ("10", "999"), ("4", "5001", "0")),
        (0, 2**32 - 1, ("1", "999999999"), (str(2**32),)),
        (50, 80, (), ("49", "81")),
    ],
)
def test_integers_are_calm_well_inside_their_range(
    minimum: int, maximum: int, yes: tuple[str, ...], no: tuple[str, ...]
) -> None:
    """Whatever the range, nothing outside it is calm."""
    api = api_with(Field("n", FieldKind.INTEGER, minimum=minimum, maximum=maximum))
    assert all(is_calm(api, value) for value in yes)
    assert not any(is_calm(api, value) for value in no)


def test_a_condition_on_a_later_field_makes_no_row_calm() -> None:
    """Such rows would all be read the careful way."""
    api = api_with(
        Field("x", FieldKind.USER_ID, max_bytes=9, only_with=("n", 1)),
        Field("n", FieldKind.INTEGER, minimum=1, maximum=2),
    )
    assert not is_calm(api, "a", "1")


def test_short_fields_have_expressions_too() -> None:
    """An id of one byte and a name of three are possible."""
    api = api_with(Field("a", FieldKind.USER_ID, max_bytes=1), Field("b", FieldKind.NAME, max_bytes=3))
    assert is_calm(api, "x", "abc")
    assert not is_calm(api, "xy", "abc")
    assert not is_calm(api, "x", "é")


def test_every_api_of_the_catalog_has_calm_rows() -> None:
    """No API is read the careful way only."""
    samples = {api.op: [("a" if field.required and field.only_with is None else "") for field in api.fields] for api in APIS}
    samples[CONVERSATION] = ["a", "1", "b", "", "1"]
    assert all(is_calm(api, *samples[api.op]) for api in APIS)
