"""The catalog as `bulkops apis` shows it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from bulkops.model import Api, Field, FieldKind
from bulkops.report.words import WIDTH


def lines(apis: Sequence[Api]) -> list[str]:
    """One block for each API: op, limit, path, fields."""
    out: list[str] = []
    width = max(len(field.name) for api in apis for field in api.fields)
    for api in apis:
        out += [
            api.op,
            *_row("op in job files", " or ".join(api.aliases)),
            *_row("limit", f"{api.rate} calls/s for one app"),
            *_row("path", f"/{api.path}"),
        ]
        for place, field in enumerate(api.fields):
            out += _row("" if place else "fields", f"{field.name:{width}}  {_takes(field)}", hang=width + 2)
        out += [*_row("source", api.source), ""]
    return out[:-1]


def _row(label: str, text: str, *, hang: int = 0) -> list[str]:
    """A label and what belongs to it, on as many lines as that takes; those after the first are indented by `hang` more."""
    first = f"  {label:15}  "
    return textwrap.wrap(first + text, WIDTH, subsequent_indent=" " * (len(first) + hang), break_on_hyphens=False)


def as_json(api: Api) -> dict[str, object]:
    """One API as a JSON object."""
    return {
        "op": api.op,
        "aliases": list(api.aliases),
        "path": api.path,
        "rate": api.rate,
        "fields": [
            {
                "name": field.name,
                "kind": field.kind.value,
                "required": field.required and field.only_with is None,
                "only_with": dict([field.only_with]) if field.only_with else None,
                "max_bytes": field.max_bytes or None,
                "minimum": field.minimum if field.kind is FieldKind.INTEGER else None,
                "maximum": field.maximum if field.kind is FieldKind.INTEGER else None,
            }
            for field in api.fields
        ],
        "codes": {str(code): verdict.word for code, verdict in sorted(api.codes.items())},
        "source": api.source,
    }


def _takes(field: Field) -> str:
    if field.kind is FieldKind.INTEGER:
        text = f"{field.minimum} to {field.maximum}"
    else:
        text = f"{field.kind.value}, at most {field.max_bytes} bytes"
    if field.only_with is not None:
        name, value = field.only_with
        return f"{text}; only and always with {name} {value}"
    return text if field.required else f"{text}; optional"
