"""The sandbox's own pages: what it has seen, for people and for programs, and orders to it over HTTP.

Answers only requests whose Host is a loopback address, and takes orders only as JSON, so that no web page elsewhere can
give any. Knows the sandbox by its public methods.
"""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlsplit

from aiohttp import web

from bulkops.chat.catalog import BY_NAME
from bulkops.model import FIELD_SEPARATOR, Api
from bulkops.sandbox.answers import Answer, dump
from bulkops.sandbox.door import loopback

if TYPE_CHECKING:
    from bulkops.sandbox.sandbox import Sandbox

PREFIX: Final = "/sandbox/"

_POLICY: Final = (
    b"Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline';"
    b" connect-src 'self'; img-src data:\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
)


class Control:
    """Answers the requests that are not calls.

    Args:
        sandbox: What it shows and steers.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._handlers: dict[tuple[str, str], Callable[[str, object], Answer]] = {
            ("GET", "/"): self._page,
            ("GET", "/sandbox/stats"): self._stats,
            ("GET", "/sandbox/effects"): self._effects,
            ("GET", "/sandbox/faults"): self._show_faults,
            ("POST", "/sandbox/faults"): self._add_faults,
            ("DELETE", "/sandbox/faults"): self._clear_faults,
            ("POST", "/sandbox/world"): self._world,
            ("POST", "/sandbox/reset"): self._reset,
        }

    def answer(self, request: web.BaseRequest, path: str, query: str, body: bytes | None) -> Answer:
        """What is shown or done; 400 says in words what was wrong."""
        handler = self._handlers.get((request.method, path))
        if handler is None:
            return _problem(404, "there is nothing here; see docs/sandbox.md")
        if not _is_loopback(request.headers.get("Host", "")):
            return _problem(403, "the sandbox answers only under a loopback address")
        given: object = None
        if request.method == "POST":
            if request.content_type != "application/json":
                return _problem(415, "orders come as JSON: Content-Type: application/json")
            try:
                given = json.loads(body or b"null")
            except (ValueError, RecursionError):
                return _problem(400, "the body is no JSON")
        try:
            return handler(query, given)
        except ValueError as exc:
            return _problem(400, str(exc))

    def _page(self, _: str, __: object) -> Answer:
        page = importlib.resources.files(__package__).joinpath("page.html").read_bytes()
        return Answer("page", page, content_type="text/html; charset=utf-8", headers=_POLICY)

    def _stats(self, _: str, __: object) -> Answer:
        faults = [fault.spec for fault in self._sandbox.faults]
        return _json(
            {"url": self._sandbox.url, "seed": self._sandbox.seed, "faults": faults, **self._sandbox.stats().as_json()}
        )

    def _effects(self, query: str, _: object) -> Answer:
        """A line for each content: its fields as sent, and how often it was carried out and asked for."""
        name = parse_qs(query).get("op", [""])[0]
        if name not in BY_NAME:
            raise ValueError(f"op is one of {', '.join(sorted({api.op for api in BY_NAME.values()}))}")
        api = BY_NAME[name]
        effects, calls = self._sandbox.effects(api.op), self._sandbox.calls(api.op)
        lines = [
            dump({"op": api.op, **_fields(api, content), "effects": effects[content], "calls": count}) + b"\n"
            for content, count in calls.items()
        ]
        return Answer("effects", b"".join(lines), content_type="application/x-ndjson")

    def _show_faults(self, _: str, __: object) -> Answer:
        return _json({"faults": [fault.spec for fault in self._sandbox.faults]})

    def _add_faults(self, query: str, given: object) -> Answer:
        specs = given.get("faults") if isinstance(given, dict) else given
        self._sandbox.set_faults((*self._sandbox.faults, *_texts(specs, 'a list of specs, such as {"faults": ["50004=3%"]}')))
        return self._show_faults(query, given)

    def _clear_faults(self, query: str, given: object) -> Answer:
        self._sandbox.clear_faults()
        return self._show_faults(query, given)

    def _world(self, _: str, given: object) -> Answer:
        """Change what exists: each key is a list of ids."""
        orders = {
            "dissolve": self._sandbox.dissolve,
            "forget_users": self._sandbox.forget_user,
            "revoke_admins": self._sandbox.revoke_admin,
            "grant_admins": self._sandbox.grant_admin,
        }
        if not isinstance(given, dict) or not given or given.keys() - orders.keys():
            raise ValueError(f"the world takes an object with {', '.join(orders)}, each a list of ids")
        lists = {key: _texts(value, f"{key} is a list of ids") for key, value in given.items()}
        for key, ids in lists.items():
            for each in ids:
                orders[key](each)
        return _json({"changed": sum(len(ids) for ids in lists.values())})

    def _reset(self, _: str, __: object) -> Answer:
        self._sandbox.reset()
        return _json({"reset": True})


def _fields(api: Api, content: str) -> dict[str, object]:
    values = zip(api.fields, content.split(FIELD_SEPARATOR), strict=True)
    return {field.name: int(text) if field.maximum else text for field, text in values if text}


def _texts(given: object, wanted: str) -> list[str]:
    if not isinstance(given, list) or not all(isinstance(text, str) for text in given):
        raise ValueError(wanted)
    return given


def _is_loopback(host: str) -> bool:
    try:
        loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False
    return True


def _json(values: dict[str, object]) -> Answer:
    return Answer("control", dump(values), headers=b"Cache-Control: no-store\r\n")


def _problem(status: int, text: str) -> Answer:
    return Answer("control", dump({"error": text}), status)
