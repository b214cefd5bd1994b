"""What the other server makes of a call: checks it, counts it, looks for an order, answers. Knows no socket and no clock."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import unquote

from tests.helpers.otherserver_rules import PATHS, App, Query, Refused, expiry, read_body, read_query, target_of
from tests.helpers.otherserver_script import SHAPES, Order, Script, envelope, response

_VIOLATIONS_KEPT: Final = 20
_THROTTLED: Final = 60007


class Call(NamedTuple):
    """One arrival: when (seconds since 1970), what it asked for, who asked, and what became of it."""

    at: float
    op: str
    target: str
    identifier: str
    random: int
    label: str


class Peer(Protocol):
    """What an answer is written to."""

    def write(self, data: bytes) -> None: ...
    def close(self) -> None: ...
    def reset(self) -> None: ...


class Service:
    """The APIs: checks, counts, orders, answers.

    Args:
        app: The app that may call.
    """

    def __init__(self, app: App) -> None:
        self._original = app
        self.reset()

    def reset(self) -> None:
        """Be as if just started."""
        self.app = self._original
        self.script = Script([])
        self.shape = "plain"
        self.latency = 0.0
        self.enforce = 0
        self.tolerance = 0.0
        self.absent: frozenset[str] = frozenset()
        self.connections = 0
        self.forget()

    def forget(self) -> None:
        """Count from zero."""
        self.calls: list[Call] = []
        self.effects: Counter[str] = Counter()
        self.violations: list[str] = []
        self._accepted: dict[str, deque[float]] = {}
        self._sound: dict[str, int] = {}
        self._deleted: set[str] = set()
        self._turn = 0

    def call(self, method: str, path: str, body: bytes, at: float, peer: Peer, later: Callable[..., object]) -> None:
        """Take one call and have it answered."""
        op = PATHS.get(path.partition("?")[0], "")
        target, query, order = "", Query("", "", -1), None
        effect = False
        try:
            query = self._admitted(method, path, at)
            fields = read_body(op, body)
            target = target_of(op, fields)
            if self.enforce and not self._within_limit(op, at):
                raise Refused(_THROTTLED, "this API is called too often")  # before any order goes to it
            order = self.script.order_for(op, fields, target)
            code, info, extra = self._outcome(op, fields, target, order)
            if order is not None and order.echo:
                info += f" {path} {unquote(path)} {query.usersig}"
            effect = code == 0 or bool(order and (order.effect or order.reset == "after"))
        except Refused as refused:
            code, info, extra = refused.code, refused.info, {}
            if refused.violation and len(self.violations) < _VIOLATIONS_KEPT:
                self.violations.append(f"{method} {path.partition('?')[0]}: {refused.info}")
        plain = order is None or order.passes
        self.calls.append(
            Call(at, op, target, query.identifier, query.random, str(code) if plain or order is None else order.label)
        )
        if effect:
            self.effects[target] += 1
            self._deleted.add(target)
        self._answer(peer, later, order, code, info, extra)

    def _admitted(self, method: str, path: str, at: float) -> Query:
        """The query of a call from somebody who may make it."""
        route, _, text = path.partition("?")
        if route not in PATHS:
            raise Refused(60009, f"no such path: {route}", violation=True)
        if method != "POST":
            raise Refused(60002, f"{method} instead of POST", violation=True)
        query = read_query(text, self.app.sdkappid)
        known = f"{query.identifier} {query.usersig}"
        if known not in self._sound:
            self._sound[known] = expiry(query, self.app)
        if self._sound[known] <= at:
            raise Refused(70001, "UserSig expired")
        if query.identifier not in self.app.admins:
            raise Refused(60010, "the identifier is no app admin")
        return query

    def _outcome(self, op: str, fields: dict[str, Any], target: str, order: Order | None) -> tuple[int, str, dict[str, object]]:
        """ErrorCode, text and further keys of the answer."""
        if order is not None and order.code is not None:
            return order.code, order.info, {}
        if order is not None and not order.passes:
            return -1, "", {}
        if op == "clear_group_messages":
            return (10010, "the group does not exist", {}) if fields["GroupId"] in self.absent else (0, "", {})
        if op == "delete_conversation_group":
            name = fields["GroupName"][0]
            if name in self.absent or target in self._deleted:
                return 51009, "the conversation group does not exist", {}
            return 0, "", {"GroupItem": [{"GroupName": name, "GroupId": 1}]}
        return 0, "", {}

    def _within_limit(self, op: str, at: float) -> bool:
        accepted = self._accepted.setdefault(op, deque(maxlen=self.enforce))
        if len(accepted) == self.enforce and at - accepted[0] < 1.0 - self.tolerance:
            return False
        accepted.append(at)
        return True

    def _answer(
        self, peer: Peer, later: Callable[..., object], order: Order | None, code: int, info: str, extra: dict[str, object]
    ) -> None:
        order = order or Order()
        if order.reset:
            peer.reset()
            return
        if order.stall:
            return
        shape = self.shape
        if shape == "mixed":
            shape = SHAPES[self._turn % len(SHAPES)]
            self._turn += 1
        goodbye = shape == "close"
        body = order.body.encode() if order.body is not None else envelope(max(code, 0), info, shape, extra)
        answer = response(body, order.http, shape, order.headers, close=goodbye)
        if order.cut:
            answer = answer[: -(len(body) // 2 + 1)]
        delay = self.latency + order.delay
        arguments = (peer, answer, goodbye or order.cut or order.close)
        if delay:
            later(delay, _send, *arguments)
        else:
            _send(*arguments)

    def set(self, values: dict[str, Any]) -> None:
        """Go on under other conditions."""
        for name, value in values.items():
            if name == "orders":
                self.script = Script(value)
            elif name == "key":
                self.app = replace(self.app, key=value)
                self._sound.clear()
            elif name == "admins":
                self.app = replace(self.app, admins=frozenset(value))
            elif name == "absent":
                self.absent = frozenset(value)
            elif name in {"shape", "latency", "enforce", "tolerance"}:
                setattr(self, name, value)
            else:
                raise ValueError(f"there is no condition {name}")


def _send(peer: Peer, answer: bytes, close: bool) -> None:
    peer.write(answer)
    if close:
        peer.close()
