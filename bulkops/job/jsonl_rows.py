"""JSONL → rows: one object a line, types as JSON has them.

The quick reader decodes into a struct and counts quotes: in a line whose every string is accounted for there is no room for
a second key of the same name, which JSON decoders drop without a word. The careful reader sees every pair.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import compress
from operator import attrgetter
from types import NoneType
from typing import Any, Final, NamedTuple, NoReturn, TypeAlias

import msgspec

from bulkops.chat.catalog import APIS
from bulkops.job import rules
from bulkops.job.calm import REF_CHARACTERS, calm
from bulkops.job.rows import Row
from bulkops.job.rules import RowFault
from bulkops.job.warnings import Notices, Tally
from bulkops.job.wording import plain, shown
from bulkops.model import FIELD_SEPARATOR, Api, Field, FieldKind

_BOM: Final = "\ufeff"
_TRAILING_COMMA: Final = re.compile(r".?,\s*[}\]]")
_COMMENTS: Final = ("#", "//", "/*")
_STRING_QUOTES: Final = 4  # of a key and its string
_NUMBER_QUOTES: Final = 2  # of a key alone
_IGNORED_KEYS: Final = 16  # most ignored keys that the quick reader learns
_Ignored: TypeAlias = str | int | bool | msgspec.UnsetType | None
_IGNORED_QUOTES: Final = {
    str: _STRING_QUOTES,
    int: _NUMBER_QUOTES,
    bool: _NUMBER_QUOTES,
    NoneType: _NUMBER_QUOTES,
    msgspec.UnsetType: 0,
}


class _Shape(NamedTuple):
    """How to read the calm rows of one API.

    Args:
        api: Its index.
        pick: From the decoded struct the values of its fields, in their order.
        quotes: How many quotes each field takes where it is present.
        matches: Whether a content is calm.
        absent: (index of a field, tally of the rows that leave it out).
    """

    api: int
    pick: Callable[[object], Sequence[object]]
    quotes: tuple[int, ...]
    matches: Callable[[str], object]
    absent: tuple[tuple[int, Tally], ...]


class JsonlRows:
    """Rows of a JSONL file.

    Args:
        fixed: The API that `--op` names.
        notices: Where warnings are counted.
    """

    def __init__(self, fixed: Api | None, notices: Notices) -> None:
        self._fixed = fixed
        self._notices = notices
        self._notation = _JsonNotation()
        self._ignored: tuple[str, ...] = ()
        self.quick = self._compiled()

    def careful(self, line: str, number: int) -> list[Row]:
        """As in `RowReader`."""
        record = _parsed(line)
        row = {key: value for key, value in record.items() if not key.startswith(rules.IGNORED_PREFIX)}
        if len(row) < len(record):
            self._learn(key for key in record if key not in row)
        try:
            if isinstance(record, _Repeating):
                key = record.repeated
                raise RowFault(f"the key {shown(key)} is there twice; remove one of them", plain(key))
            for key in row:
                if key not in rules.KNOWN_NAMES:
                    raise RowFault(rules.unknown_name(key, "key"), plain(key))
            if row.get(rules.OP) == "":
                del row[rules.OP]
            if row.get(rules.REF) == "":
                del row[rules.REF]
            api, operations, ref = rules.check(row, self._notation, self._fixed)
        except RowFault as fault:
            fault.cells = {key: value for key, value in row.items() if key in rules.KNOWN_NAMES}
            raise
        for texts in operations:
            self._notices.examine(APIS[api], texts, number)
        return [(api, FIELD_SEPARATOR.join(texts), ref, number) for texts in operations]

    def column_at(self, line: str, at: int) -> str:
        """As in `RowReader`: the message says where, the key is unknown."""
        return ""

    def _learn(self, keys: Iterable[str]) -> None:
        """Let the quick reader pass over these ignored keys from now on: a results file has them in every line."""
        known = tuple(dict.fromkeys((*self._ignored, *keys)))
        if len(self._ignored) < len(known) <= _IGNORED_KEYS:
            self._ignored = known
            self.quick = self._compiled()

    def _compiled(self) -> Callable[[str, int], Row | None]:
        """The quick reader."""
        names = _struct_names()
        ignored = {key: f"ignored_{at}" for at, key in enumerate(self._ignored)}
        ignored_values = _picker(list(ignored.values())) if ignored else None
        decode = msgspec.json.Decoder(_struct(names, ignored), strict=True).decode
        shape_of, notices = self._shapes(names).get, self._notices
        op_and_ref = attrgetter(names[rules.OP], names[rules.REF])

        def quick(line: str, number: int) -> Row | None:
            try:
                struct = decode(line)
                op, ref = op_and_ref(struct)
                shape = shape_of(op)
                if shape is None:
                    return None
                api, pick, weights, matches, absent = shape
                texts = [*map(str, pick(struct))]
            except (msgspec.MsgspecError, ValueError, RecursionError):  # ValueError: no UTF-8, or a number of 4,301 digits
                return None
            content = FIELD_SEPARATOR.join(texts)
            quotes = line.count('"')
            if "\\" in line:
                if "\\\\" in line:  # a quote after it may be escaped or not
                    return None
                quotes -= line.count('\\"')
            wanted = sum(compress(weights, texts)) + _STRING_QUOTES * (bool(op) + bool(ref))
            if ignored_values is not None:
                wanted += sum([_IGNORED_QUOTES[type(value)] for value in ignored_values(struct)])
            if quotes != wanted or matches(content) is None or (ref and (len(ref) > REF_CHARACTERS or not ref.isprintable())):
                return None
            for at, tally in absent:
                if not texts[at]:
                    tally.add(notices.file, number)
            return api, content, ref, number

        return quick

    def _shapes(self, names: Mapping[str, str]) -> dict[str, _Shape]:
        """How to read the calm rows of each API, by the value of `op`."""
        shapes: dict[str, _Shape] = {}
        for index, api in enumerate(APIS):
            if self._fixed is not None and api is not self._fixed:
                continue
            if not all(field.name in names for field in api.fields):
                continue
            shape = _Shape(
                api=index,
                pick=_picker([names[field.name] for field in api.fields]),
                quotes=tuple(_NUMBER_QUOTES if field.kind is FieldKind.INTEGER else _STRING_QUOTES for field in api.fields),
                matches=calm(api),
                absent=self._notices.absences(api),
            )
            shapes |= dict.fromkeys(api.aliases, shape)
            if self._fixed is not None:
                shapes[""] = shape
        return shapes


class _JsonNotation(rules.Notation):
    """Values have JSON's types, strictly. `null` is an error everywhere: what is absent is left out."""

    leave_out = "leave the key out"

    def op(self, value: object) -> str:
        return value if isinstance(value, str) else _mistyped(rules.OP, value, "a string")

    def ref(self, value: object) -> str:
        return value if isinstance(value, str) else _mistyped(rules.REF, value, "a string")

    def texts(self, field: Field, value: object) -> list[str]:
        if field.as_list and isinstance(value, list):
            if not value:
                raise RowFault(f"{field.name} is an empty list, which names nothing; name at least one", field.name)
            return [self._text(field, element, "a string, or a list of strings") for element in value]
        return [self._text(field, value, "a string, or a list of strings" if field.as_list else "a string")]

    def integer(self, field: Field, value: object) -> int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        return _mistyped(field.name, value, rules.range_of(field) + ", without quotes, point or exponent")

    @staticmethod
    def _text(field: Field, value: object, wanted: str) -> str:
        if not isinstance(value, str):
            return _mistyped(field.name, value, wanted)
        if not value:
            raise RowFault(f"{field.name} is an empty string; give it a value, or leave the key out", field.name)
        return value


class _Repeating(dict[str, Any]):
    """An object that has a key twice: `repeated`."""

    repeated = ""


def _parsed(line: str) -> Mapping[str, Any]:
    """The object that a line holds.

    Raises:
        RowFault: It holds no single JSON object.
    """
    try:
        value = json.loads(line, object_pairs_hook=_object, parse_constant=_no_number, parse_float=_float)
    except json.JSONDecodeError as error:
        raise RowFault(_malformed(line, error)) from error
    except RecursionError as error:
        raise RowFault("nested too deeply; a line is one flat object") from error
    except ValueError as error:  # an integer of more than 4,300 digits
        raise RowFault("a number in it has too many digits to be read") from error
    if not isinstance(value, dict):
        raise RowFault(f'the line is {_kind(value)}; each line is one JSON object, such as {{"{rules.OP}": "{APIS[0].op}", …}}')
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    whole = dict(pairs)
    if len(whole) == len(pairs):
        return whole
    repeating = _Repeating(pairs)
    seen: set[str] = set()
    repeating.repeated = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]  # add returns None
    return repeating


def _no_number(text: str) -> NoReturn:
    raise RowFault(f"{text} is no JSON number; {rules.IGNORED_PREFIX} keys included, numbers are finite")


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise RowFault(f"the number {plain(text)} is too large")
    return number


def _malformed(line: str, error: json.JSONDecodeError) -> str:
    """What to say about a line that is no JSON."""
    where = f"at character {error.pos + 1}"
    rest = line[error.pos :].lstrip()
    if line.startswith(_BOM):
        return "a byte order mark inside the file; were files joined? Remove it"
    if line.lstrip().startswith(_COMMENTS):
        return "a comment, which JSON does not have; remove the line"
    if not line.strip():
        return "the line holds only spaces; remove it"
    if error.msg == "Extra data":
        hint = "each object has a line of its own" if rest.startswith("{") else f"remove {shown(rest)}"
        return f"something follows the object {where}; {hint}"
    around = line[: error.pos].rstrip()[-1:] + rest  # newer Pythons point to the comma, older ones behind it
    if _TRAILING_COMMA.match(around):
        return f"no valid JSON {where}: a comma before the end; remove it"
    return f"no valid JSON {where}: {error.msg.removesuffix(' at')}"


def _mistyped(name: str, value: object, wanted: str) -> NoReturn:
    if value is None:
        raise RowFault(f"{name} is null; leave the key out where there is no value", name)
    raise RowFault(f"{name} is {_kind(value)}; it has to be {wanted}", name)


def _kind(value: object) -> str:
    """A JSON value in words."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return f"the string {shown(value)}"
        case list():
            return "an array"
        case dict():
            return "an object"
    return f"the number {plain(repr(value))}"


def _struct_names() -> dict[str, str]:
    """Attribute of the struct by key. A field that is text in one API and a number in another has none: never calm."""
    numeric: dict[str, set[bool]] = {}
    for field in (field for api in APIS for field in api.fields):
        numeric.setdefault(field.name, set()).add(field.kind is FieldKind.INTEGER)
    keys = (rules.OP, rules.REF, *(name for name, kinds in numeric.items() if len(kinds) == 1))
    return {key: f"value_{at}" for at, key in enumerate(keys)}


def _struct(names: dict[str, str], ignored: dict[str, str]) -> type[msgspec.Struct]:
    """A struct of all keys. Absent ones are empty strings, which no present value may be. Lists of names are never calm.

    Args:
        names: Attribute by known key.
        ignored: Attribute by ignored key.
    """
    numbers = {field.name for api in APIS for field in api.fields if field.kind is FieldKind.INTEGER}
    return msgspec.defstruct(
        "_Line",
        [
            *((attribute, int if key in numbers else str, "") for key, attribute in names.items()),
            *((attribute, _Ignored, msgspec.UNSET) for attribute in ignored.values()),
        ],
        rename={attribute: key for key, attribute in (names | ignored).items()},
        forbid_unknown_fields=True,
        gc=False,
    )


def _picker(attributes: Sequence[str]) -> Callable[[object], Sequence[object]]:
    """`attrgetter`, with a tuple for a single attribute too."""
    if len(attributes) == 1:
        return lambda struct: (getattr(struct, attributes[0]),)
    return attrgetter(*attributes)
