"""What the other server does out of the ordinary: orders that pick calls and say what becomes of them. Pure but for its dice."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final


@dataclass
class Order:
    """One fault: which calls it is for, and what becomes of them. The first order that picks a call decides.

    Args:
        op: Only calls of this API.
        where: Only calls whose body has these values.
        share: Only this share of them, drawn with a fixed seed.
        skip: Let the first so many of them pass.
        count: Then pick at most so many.
        attempts: Pick only the first so many calls for each target.
        code, info: Answer with this ErrorCode.
        http: Answer with this HTTP status.
        body: Answer with this body, whatever it is.
        headers: Further header lines of the answer.
        reset: Break the connection off with a TCP reset, `before` or `after` the effect.
        stall: Never answer.
        cut: Send half of the answer, then close the connection.
        close: Answer, then close the connection without having said so.
        delay: Answer so many seconds later.
        effect: Whether the call takes effect all the same.
        echo: The text tells the client the path of its own request, as it came and decoded.
    """

    op: str = ""
    where: Mapping[str, object] = field(default_factory=dict)
    share: float = 1.0
    skip: int = 0
    count: int | None = None
    attempts: int | None = None
    code: int | None = None
    info: str = ""
    http: int = 200
    body: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    reset: str = ""
    stall: bool = False
    cut: bool = False
    close: bool = False
    delay: float = 0.0
    effect: bool = False
    echo: bool = False

    @property
    def passes(self) -> bool:
        """Whether the call is carried out and answered as usual, but for how the answer is sent."""
        return self.code is None and self.http == 200 and self.body is None and not self.reset and not self.stall

    @property
    def label(self) -> str:
        """What became of a call, in one word."""
        if self.reset:
            return f"reset_{self.reset}"
        if self.stall:
            return "stall"
        if self.code is not None:
            return str(self.code)
        if self.http != 200:
            return f"http_{self.http}"
        return "garbage"


class Script:
    """The orders in force."""

    def __init__(self, orders: list[Mapping[str, Any]]) -> None:
        self._orders = [Order(**order) for order in orders]
        self._dice = [random.Random(number) for number in range(len(orders))]
        self._seen: Counter[int] = Counter()
        self._of_target: Counter[tuple[int, str]] = Counter()

    def order_for(self, op: str, body: Mapping[str, object], target: str) -> Order | None:
        """The order that picks this call; `None` for none."""
        for index, order in enumerate(self._orders):
            if order.op not in ("", op) or any(body.get(key) != value for key, value in order.where.items()):
                continue
            if order.share < 1 and self._dice[index].random() >= order.share:
                continue
            if order.attempts is not None:
                self._of_target[index, target] += 1
                if self._of_target[index, target] > order.attempts:
                    continue
            self._seen[index] += 1
            place = self._seen[index] - order.skip
            if place > 0 and (order.count is None or place <= order.count):
                return order
        return None


SHAPES: Final = (
    "plain",
    "no_status",
    "extra",
    "code_first",
    "code_last",
    "text",
    "chunked",
    "close",
    "pretty",
    "lower_headers",
)
"""Shapes of an answer that are all legal; `mixed` is each in turn."""


def envelope(code: int, info: str, shape: str, extra: Mapping[str, object]) -> bytes:
    """An answer's body in one of the shapes."""
    status = {"ActionStatus": "FAIL" if code else "OK"}
    rest = {"ErrorInfo": info, "ErrorDisplay": info}
    body: dict[str, object]
    if shape == "no_status":
        body = {"ErrorCode": code, **rest, **extra}
    elif shape == "extra":
        body = {"RequestId": "5f0e", "ResultItem": [{"ErrorCode": 50004}], **extra, **status, "ErrorCode": code, **rest}
    elif shape == "code_first":
        body = {"ErrorCode": code, **status, **rest, **extra}
    elif shape == "code_last":
        body = {**extra, **status, **rest, "ErrorCode": code}
    else:
        body = {**status, "ErrorCode": code, **rest, **extra}
    if shape == "pretty":
        return b"\r\n" + json.dumps(body, indent=4).encode() + b"\n"
    return json.dumps(body, ensure_ascii=False).encode()


def response(body: bytes, http: int, shape: str, headers: Mapping[str, str], *, close: bool) -> bytes:
    """A whole HTTP response."""
    names = {"type": "Content-Type", "length": "Content-Length", "coding": "Transfer-Encoding", "connection": "Connection"}
    if shape == "lower_headers":
        names = {key: name.lower() for key, name in names.items()}
    lines = [f"HTTP/1.1 {http} {'OK' if http == 200 else 'Whatever'}"]
    lines.append(f"{names['type']}: {'text/plain' if shape == 'text' else 'application/json'}")
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if close:
        lines.append(f"{names['connection']}: close")
    if shape == "chunked":
        lines.append(f"{names['coding']}: chunked")
        half = max(1, len(body) // 2)
        chunks = [part for part in (body[:half], body[half:]) if part]
        body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in chunks) + b"0\r\n\r\n"
    else:
        lines.append(f"{names['length']}: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
