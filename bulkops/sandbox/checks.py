"""Checks a call's query and body against the vendor's pages, as strictly as a server that means it.

Names are case-sensitive, types are strict, nothing is repaired. What an API takes is the catalog's; which ErrorCode says
no is worked out from the codes that the API documents, so that a new API needs no line here. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Final, NoReturn
from urllib.parse import unquote_plus

from bulkops.model import FIELD_SEPARATOR, Api, Field, FieldKind
from bulkops.sandbox.credentials import Query, Refusal

QUERY_NAMES: Final = frozenset({"sdkappid", "identifier", "usersig", "random", "contenttype"})

MAX_BODY: Final = 64 * 1024
"""Bytes of body that are read; the vendor documents no limit, and genuine ones have about 100."""

_PRINTABLE: Final = re.compile(r"[\x20-\x7e]+")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")

_BAD_PARAMETER: Final = (50002, 10004, 30001, 40001, 90001, 70402, 60002)
_BAD_GROUP_ID: Final = (10015,)
_BAD_NAME: Final = (51011,)


def documented(api: Api, candidates: tuple[int, ...]) -> int:
    """The first of some ErrorCodes that an API documents; 0 for none of them."""
    return next((code for code in candidates if code in api.codes), 0)


def read_query(text: str, *, strict: bool = True) -> Query | Refusal:
    """What a call's query says, or why it can't be read.

    Args:
        text: What follows the question mark, as it came.
        strict: Refuse unknown names, and a missing `contenttype`.
    """
    values: dict[str, str] = {}
    for part in text.split("&"):
        name, equals, value = part.partition("=")
        name = unquote_plus(name)
        if not equals:
            return Refusal(60002, "the query can't be parsed: each part is name=value")
        if name in values:
            return Refusal(60002, f"the query can't be parsed: {_shown(name)} comes twice")
        values[name] = unquote_plus(value) if "%" in value or "+" in value else value
    if "sdkappid" not in values:
        return Refusal(60012, "SDKAppID is missing in the query")
    sdkappid = values["sdkappid"]
    if not (sdkappid.isascii() and sdkappid.isdigit() and 0 < len(sdkappid) <= 10):
        return Refusal(60006, "SDKAppID is not valid")
    for name in ("identifier", "usersig", "random"):
        if name not in values:
            return Refusal(60002, f"the query lacks {name}")
    query = Query(int(sdkappid), values["identifier"], values["usersig"])
    return _bad_rest(values, strict) or query


def _bad_rest(values: dict[str, str], strict: bool) -> Refusal | None:
    unknown = values.keys() - QUERY_NAMES
    if unknown and strict:
        return Refusal(60002, f"the query has an unknown name {_shown(min(unknown))}; names are case-sensitive")
    number = values["random"]
    if not (number.isascii() and number.isdigit() and len(number) <= 10 and int(number) < 2**32):
        return Refusal(60002, "random is an unsigned 32-bit integer in decimal digits")
    if values.get("contenttype", "" if strict else "json") != "json":
        return Refusal(60002, "contenttype is always json")
    return None


def _shown(text: str) -> str:
    """A name from outside, safe and short enough for a message."""
    return ascii(text[:40])


class _BadJsonError(ValueError):
    """A body that `json` would take and the sandbox won't."""


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _BadJsonError("a key comes twice")
    return found


def _constant(text: str) -> NoReturn:
    raise _BadJsonError(f"{text} is no JSON")


_LOADS: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant).decode
"""Made once: `json.loads` with hooks makes a decoder at every call."""


class BodyCheck:
    """Reads the bodies of one API.

    Args:
        api: Its row in the catalog.
        strict: Refuse unknown fields.
    """

    def __init__(self, api: Api, *, strict: bool = True) -> None:
        self._api = api
        self._strict = strict
        self._names = frozenset(field.name for field in api.fields)
        self._bad = documented(api, _BAD_PARAMETER) or 60002

    def read(self, body: bytes) -> str | Refusal:
        """The call's content, as in `model.Operation`, or why it is refused."""
        try:
            fields = _LOADS(body.decode("utf-8"))
        except (ValueError, RecursionError):
            return Refusal(60003, "the request's JSON can't be parsed, please check the format")
        if not isinstance(fields, dict):
            return Refusal(60003, "the request's JSON is no object")
        if self._strict and not fields.keys() <= self._names:
            unknown = min(fields.keys() - self._names)
            return Refusal(self._bad, f"{_shown(unknown)} is no field of this API; names are case-sensitive")
        texts = []
        for field in self._api.fields:
            text = self._field(field, fields)
            if isinstance(text, Refusal):
                return text
            texts.append(text)
        return FIELD_SEPARATOR.join(texts)

    def _field(self, field: Field, fields: dict[str, object]) -> str | Refusal:
        condition = field.only_with
        wanted = condition is None or fields.get(condition[0]) == condition[1]
        if field.name not in fields:
            if wanted and field.required:
                return Refusal(self._bad, f"{field.name} is required")
            return ""
        if not wanted and condition is not None:
            return Refusal(self._bad, f"{field.name} goes only with {condition[0]} {condition[1]}")
        value = fields[field.name]
        if field.as_list:
            if not isinstance(value, list) or len(value) != 1:
                return Refusal(self._bad, f"{field.name} is a list of exactly one")
            value = value[0]
        return _VALUES[field.kind](self._api, self._bad, field, value)


def _user_id(_: Api, bad: int, field: Field, value: object) -> str | Refusal:
    if not isinstance(value, str):
        return Refusal(60015, f"{field.name} is not a string")
    if not _PRINTABLE.fullmatch(value) or len(value) > field.max_bytes:
        return Refusal(bad, f"{field.name} is no UserID: 1 to {field.max_bytes} bytes of printable ASCII")
    return value


def _group_id(api: Api, bad: int, field: Field, value: object) -> str | Refusal:
    if not isinstance(value, str):
        return Refusal(bad, f"{field.name} is not a string")
    if not _PRINTABLE.fullmatch(value) or len(value) > field.max_bytes:
        return Refusal(documented(api, _BAD_GROUP_ID) or bad, f"{field.name} is no group ID")
    if any(value.startswith(prefix) for prefix, _ in field.refused_prefixes):
        return Refusal(bad, f"{field.name} is of a group type that this API does not support")
    return value


def _name(api: Api, bad: int, field: Field, value: object) -> str | Refusal:
    if not isinstance(value, str) or not value or _CONTROL.search(value):
        return Refusal(bad, f"{field.name} is no name")
    try:
        size = len(value.encode("utf-8"))
    except UnicodeEncodeError:  # a lone surrogate, which JSON can spell
        return Refusal(bad, f"{field.name} is no text")
    if size > field.max_bytes:
        return Refusal(documented(api, _BAD_NAME) or bad, f"{field.name} has more than {field.max_bytes} bytes")
    return value


def _integer(_: Api, bad: int, field: Field, value: object) -> str | Refusal:
    if type(value) is not int:  # true is an int to isinstance
        return Refusal(bad, f"{field.name} is not an integer")
    if not field.minimum <= value <= field.maximum:
        return Refusal(bad, f"{field.name} is {field.minimum} to {field.maximum}")
    return str(value)


_VALUES: Final[dict[FieldKind, Callable[[Api, int, Field, object], str | Refusal]]] = {
    FieldKind.USER_ID: _user_id,
    FieldKind.GROUP_ID: _group_id,
    FieldKind.NAME: _name,
    FieldKind.INTEGER: _integer,
}
