"""One regular expression for each API that tells calm rows from all others, made from the catalog.

A row is calm where its values are surely valid and nothing about them is worth a warning, absent fields apart. The
expression is allowed to miss calm rows (they are then read with care), never to take one for calm that is not: whatever it
matches, `rules` accepts with the same content. Nothing else may be concluded from it; messages come from `rules`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from bulkops.job.warnings import COMMENT_STARTS, ID_KINDS, SPOILT_PATTERN
from bulkops.model import FIELD_SEPARATOR, Api, Field, FieldKind

REF_CHARACTERS: Final = 64
"""A printable `id` of so many characters surely fits, whatever they are."""

_FEW: Final = 16  # an integer of so few possible values is spelt out
_NEVER: Final = "(?!)"


def calm(api: Api) -> Callable[[str], re.Match[str] | None]:
    """A function that matches contents (values joined by `FIELD_SEPARATOR`) of calm rows of `api`."""
    groups: dict[tuple[str, int], str] = {}
    mentioned = [field.only_with for field in api.fields if field.only_with is not None]
    parts = []
    for field in api.fields:
        pattern = _value(field)
        values = sorted({value for name, value in mentioned if name == field.name})
        if values:
            groups |= {(field.name, value): f"w{len(groups) + at}" for at, value in enumerate(values)}
            pattern = "|".join(f"(?P<{groups[field.name, value]}>{value})" for value in values)
        if field.only_with is not None:
            # A condition on a field that comes later can't be written this way: such rows are all read with care.
            group = groups.get(field.only_with)
            parts.append(f"(?({group})(?:{pattern}))" if group else _NEVER)
        else:
            parts.append(f"(?:{pattern})" if field.required else f"(?:{pattern})?")
    return re.compile(re.escape(FIELD_SEPARATOR).join(parts)).fullmatch


def _value(field: Field) -> str:
    """The surely valid values of one field."""
    if field.kind is FieldKind.INTEGER:
        return _integer(field.minimum, field.maximum)
    comments = "|".join(map(re.escape, COMMENT_STARTS))
    if field.kind not in ID_KINDS:
        # A character takes at most four bytes. A leading space is legal, but may be all there is in the line.
        few = field.max_bytes // 4
        wide = rf"|[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{{1,{few}}}" if few else ""
        return f"(?! |{comments})(?:[ -~]{{1,{field.max_bytes}}}{wide})"
    refused = "".join(f"|{re.escape(prefix)}" for prefix, _ in field.refused_prefixes)
    more = f"(?:[ -~]{{0,{field.max_bytes - 2}}}[!-~])?" if field.max_bytes > 1 else ""
    return f"(?!{comments}{refused}|(?:{SPOILT_PATTERN})(?:{FIELD_SEPARATOR}|$))[!-~]{more}"


def _integer(minimum: int, maximum: int) -> str:
    """Canonical digits of surely so many in the range; of a wide range not its very ends."""
    if maximum - minimum < _FEW:
        return "|".join(map(str, range(minimum, maximum + 1)))
    fewest = 0 if minimum <= 1 else len(str(minimum))
    most = len(str(maximum)) - 2
    return f"[1-9][0-9]{{{fewest},{most}}}" if fewest <= most else _NEVER
