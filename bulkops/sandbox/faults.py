"""The faults that the sandbox can be told to show, and the one-line specs that order them.

A spec is `[OP:]KIND[=VALUE][:ARGUMENT…][@WINDOW]`. This module only reads and describes; it draws nothing, knows no clock
and no connection. Whether a fault falls on a call is `draws`, what it does to the bytes is `wire` and `server`.

Stages, in the order in which a call meets them: DOOR (the whole server: outage, freeze), BEFORE (instead of the effect),
AFTER (the effect happened, the answer suffers), DELAY (the answer comes late), IDLE (the connection, once it is idle).
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from bulkops.chat.catalog import BY_NAME


class Stage(Enum):
    """When a fault meets a call."""

    DOOR = "door"
    BEFORE = "before"
    AFTER = "after"
    DELAY = "delay"
    IDLE = "idle"


class Kind(Enum):
    """What a fault does. The values are the names in specs; `CODE` and `HTTP` are written `50004` and `http503`."""

    OUTAGE = "outage"
    FREEZE = "freeze"
    CODE = "code"
    HTTP = "http"
    THROTTLE = "throttle"
    CAPACITY = "capacity"
    POISON = "poison"
    REDIRECT = "redirect"
    RESET_BEFORE = "reset-before"
    RESET_AFTER = "reset-after"
    CUT = "cut"
    STALL = "stall"
    DRIP = "drip"
    GARBAGE = "garbage"
    EMPTY = "empty"
    HUGE = "huge"
    GZIP_BOMB = "gzip-bomb"
    WRONG_TYPE = "wrong-type"
    DISAGREE = "disagree"
    CONTENT_TYPE = "content-type"
    CLOSE_AFTER = "close-after"
    SLOW = "slow"
    IDLE_CLOSE = "idle-close"

    @property
    def stage(self) -> Stage:
        """When it meets a call."""
        return _STAGES.get(self, Stage.AFTER)


_STAGES: Final[Mapping[Kind, Stage]] = MappingProxyType(
    dict.fromkeys((Kind.OUTAGE, Kind.FREEZE), Stage.DOOR)
    | dict.fromkeys(
        (Kind.CODE, Kind.HTTP, Kind.THROTTLE, Kind.CAPACITY, Kind.POISON, Kind.REDIRECT, Kind.RESET_BEFORE),
        Stage.BEFORE,
    )
    | {Kind.SLOW: Stage.DELAY, Kind.IDLE_CLOSE: Stage.IDLE}
)

OUTAGES: Final = ("refuse", "hang", "reset")
"""Kinds of outage besides an HTTP status or an ErrorCode."""

WRONG_TYPES: Final = ("text", "float", "true", "null", "missing")
"""What `wrong-type` makes of the ErrorCode."""

MAX_HUGE: Final = 256 * 2**20
MAX_BOMB_MIB: Final = 1024


@dataclass(frozen=True, slots=True)
class Fault:
    """One misbehaviour, ordered. Made by `Fault.parse`; which fields count depends on the kind.

    Args:
        spec: The line that ordered it, for people.
        kind: What it does.
        op: The API it is limited to; empty for all.
        probability: Share of calls that it falls on, 0 to 1.
        code: ErrorCode to answer; 0 for none.
        status: HTTP status to answer; 0 for none.
        seconds: Duration, or the least of a range: delay, silence, Retry-After, time per byte, length of a freeze.
        most: The greatest of a range of durations; `seconds` where there is no range.
        amount: Calls per second (capacity), bytes (huge) or MiB (gzip-bomb).
        variant: `empty`, `head`, `after`, a wrong type, or the kind of an outage.
        target: Poison: a UserID, group id or name in the call, or the call's whole content.
        url: Redirect: where to; empty for the sandbox's own second port.
        begin, end: Seconds since the first call (or the start) between which it holds; the end is not included.
        from_start: Count `begin` and `end` from the server's start.
    """

    spec: str
    kind: Kind
    op: str = ""
    probability: float = 1.0
    code: int = 0
    status: int = 0
    seconds: float = 0.0
    most: float = 0.0
    amount: int = 0
    variant: str = ""
    target: str = ""
    url: str = ""
    begin: float = 0.0
    end: float = math.inf
    from_start: bool = False

    @classmethod
    def parse(cls, spec: str) -> Fault:
        """The fault that one line orders, such as `50004=3%` or `delete_conversation:slow=100%:80ms-120ms@10-60`.

        Raises:
            ValueError: It orders nothing; the message says what would.
        """
        op, rest = _split_op(spec.strip())
        if rest.startswith("poison:"):
            return _poison(spec, op, rest.removeprefix("poison:"))
        rest, window = _split_window(spec, rest)
        name, value, arguments = _split(spec, rest)
        kind, code, status = _kind(spec, name)
        fault = _window(cls(spec=spec.strip(), kind=kind, op=op, code=code, status=status), window)
        return _READERS[kind](fault, value, arguments)


_Arguments = list[str]
_Reader = Callable[[Fault, str, _Arguments], Fault]


def _wrong(spec: str, why: str) -> ValueError:
    return ValueError(f"the fault {spec.strip()!r} can't be ordered: {why}; see docs/sandbox.md")


def _split_op(text: str) -> tuple[str, str]:
    head, colon, rest = text.partition(":")
    if colon and head in BY_NAME:
        return BY_NAME[head].op, rest
    return "", text


def _split_window(spec: str, text: str) -> tuple[str, str]:
    body, at, window = text.rpartition("@")
    if not at:
        return text, ""
    if not window:
        raise _wrong(spec, "after @ comes a time window such as 30-150")
    return body, window


def _split(spec: str, text: str) -> tuple[str, str, _Arguments]:
    match = re.fullmatch(r"([a-z0-9_/-]+)(?:=([^:]*))?(?::(.*))?", text)
    if not match:
        raise _wrong(spec, "it is not of the form KIND=SHARE, such as 50004=3%")
    name, value, arguments = match.groups()
    if name == "redirect" and arguments is not None:  # a URL has colons of its own
        return name, value or "", arguments.split(":", 1)
    return name, value or "", arguments.split(":") if arguments is not None else []


def _kind(spec: str, name: str) -> tuple[Kind, int, int]:
    """Kind, ErrorCode and HTTP status that a name stands for."""
    if name.isdigit():
        return Kind.CODE, _code(spec, name), 0
    if match := re.fullmatch(r"http([0-9]+)", name):
        return Kind.HTTP, 0, _status(spec, match[1])
    named = {kind.value: kind for kind in Kind if kind not in {Kind.CODE, Kind.HTTP}}
    if name in named:
        return named[name], 0, 0
    near = difflib.get_close_matches(name, [*named, *BY_NAME], n=1)
    raise _wrong(spec, f"there is no fault and no API {name!r}" + (f", but {near[0]!r}" if near else ""))


def _whole(text: str) -> int:
    """The number that plain digits stand for; -1 for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else -1


def _status(spec: str, text: str) -> int:
    if not 200 <= _whole(text) <= 599:
        raise _wrong(spec, f"{text!r} is no HTTP status from 200 to 599")
    return int(text)


def _code(spec: str, text: str) -> int:
    if not 1 <= _whole(text) <= 999_999:
        raise _wrong(spec, f"{text!r} is no ErrorCode")
    return int(text)


def _share(fault: Fault, text: str) -> Fault:
    """The fault with its probability: `3%`, `0.03`, or nothing for every call."""
    if not text:
        return fault
    number, percent = (text[:-1], 100.0) if text.endswith("%") else (text, 1.0)
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", number) or float(number) / percent > 1:
        raise _wrong(fault.spec, f"{text!r} is no share of the calls such as 3% or 0.03")
    return replace(fault, probability=float(number) / percent)


_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}


def _seconds(spec: str, text: str) -> float:
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|)", text)
    if not match:
        raise _wrong(spec, f"{text!r} is no duration such as 12s or 50ms")
    return float(match[1]) * _UNITS[match[2]]


def _window(fault: Fault, text: str) -> Fault:
    if not text:
        return fault
    from_start = text.startswith("start:")
    begin, dash, end = text.removeprefix("start:").partition("-")
    if not dash and fault.kind is not Kind.FREEZE:
        raise _wrong(fault.spec, "a time window is FROM-TO, FROM- or -TO in seconds")
    first = _seconds(fault.spec, begin) if begin else 0.0
    last = _seconds(fault.spec, end) if end else math.inf
    if first >= last:
        raise _wrong(fault.spec, "its time window is empty")
    return replace(fault, begin=first, end=last, from_start=from_start)


def _range(fault: Fault, text: str) -> Fault:
    least, dash, most = text.partition("-")
    seconds = _seconds(fault.spec, least)
    upper = _seconds(fault.spec, most) if dash else seconds
    if upper < seconds:
        raise _wrong(fault.spec, "its range of durations runs backwards")
    return replace(fault, seconds=seconds, most=upper)


def _one(fault: Fault, arguments: _Arguments, default: str | None = None) -> str:
    """The only argument.

    Raises:
        ValueError: There are more, or none and no default.
    """
    if len(arguments) > 1 or (not arguments and default is None):
        raise _wrong(fault.spec, f"{fault.kind.value} takes one argument after a colon")
    return arguments[0] if arguments else default or ""


def _plain(fault: Fault, value: str, arguments: _Arguments) -> Fault:
    if arguments:
        raise _wrong(fault.spec, f"{fault.kind.value} takes no argument")
    return _share(fault, value)


def _read_code(fault: Fault, value: str, arguments: _Arguments) -> Fault:
    variant = _one(fault, arguments, "")
    if variant not in {"", "after"}:
        raise _wrong(fault.spec, "the only argument of an ErrorCode is 'after' (the effect happens all the same)")
    return _share(replace(fault, variant=variant), value)


def _read_http(fault: Fault, value: str, arguments: _Arguments) -> Fault:
    body = _one(fault, arguments, "")
    if body in {"", "empty"}:
        return _share(replace(fault, variant=body), value)
    return _share(replace(fault, code=_code(fault.spec, body)), value)


def _read_throttle(fault: Fault, value: str, arguments: _Arguments) -> Fault:
    if len(arguments) > 2:
        raise _wrong(fault.spec, "throttle takes a code (60007, 60018, 60011 or 429) and a Retry-After, no more")
    answer = _throttle_answer(fault, arguments[0] if arguments else "60007")
    if len(arguments) == 2:
        answer = replace(answer, seconds=_seconds(fault.spec, arguments[1]))
    return _share(answer, value)


def _throttle_answer(fault: Fault, text: str) -> Fault:
    """HTTP status for three digits, ErrorCode for more."""
    if len(text) == 3:
        return replace(fault, status=_status(fault.spec, text))
    return replace(fault, code=_code(fault.spec, text))


def _read_capacity(fault: Fault, value: str, arguments: _Arguments) -> Fault:
    if _whole(value) < 1:
        raise _wrong(fault.spec, "capacity takes calls per second, such as capacity=40")
    return _throttle_answer(replace(fault, amount=int(value)), _one(fault, arguments, "60007"))


def _read_redirect(fault: Fault, value: str, arguments: _Arguments) -> Fault:
    status = _status(fault.spec, arguments[0] if arguments else "302")
    url = arguments[1] if len(arguments) > 1 else ""
    if not 300 <= status <= 399:
        raise _wrong(fault.spec, "a redirect has a status from 300 to 399")
    if url and not re.fullmatch(r"https?://[^\s\x00-\x20]+", url):
        raise _wrong(fault.spec, "a redirect goes to a URL")
    if url and urlsplit(url).hostname not in {"127.0.0.1", "localhost", "::1"}:
        raise _wrong(fault.spec, "a redirect stays on this machine: it would hand a UserSig to another host")
    return _share(replace(fault, status=status, url=url), value)


def _read_timed(default: str | None) -> _Reader:
    def read(fault: Fault, value: str, arguments: _Arguments) -> Fault:
        return _share(_range(fault, _one(fault, arguments, default)), value)

    return read


def _read_amount(default: int, largest: int) -> _Reader:
    def read(fault: Fault, value: str, arguments: _Arguments) -> Fault:
        text = _one(fault, arguments, str(default))
        if not 1 <= _whole(text) <= largest:
            raise _wrong(fault.spec, f"{fault.kind.value} takes a whole number from 1 to {largest}")
        return _share(replace(fault, amount=int(text)), value)

    return read


def _read_variant(*variants: str) -> _Reader:
    def read(fault: Fault, value: str, arguments: _Arguments) -> Fault:
        variant = _one(fault, arguments, variants[0])
        if variant not in variants:
            raise _wrong(fault.spec, f"{fault.kind.value} takes one of {', '.join(variants)}")
        return _share(replace(fault, variant=variant), value)

    return read


def _read_outage(fault: Fault, value: str, arguments: _Arguments) -> Fault:
    if arguments:
        raise _wrong(fault.spec, "an outage takes no argument")
    if value == "refuse" and fault.op:
        raise _wrong(fault.spec, "refuse closes the port, and with it every API: leave the API out")
    if value in OUTAGES:
        return replace(fault, variant=value)
    if _whole(value) < 0:
        raise _wrong(fault.spec, f"an outage is one of {', '.join(OUTAGES)}, an HTTP status or an ErrorCode")
    return _throttle_answer(fault, value)


def _read_freeze(fault: Fault, value: str, arguments: _Arguments) -> Fault:
    length = _seconds(fault.spec, value or _one(fault, arguments))
    if length <= 0:
        raise _wrong(fault.spec, "a freeze lasts longer than 0 s")
    return replace(fault, seconds=length, end=fault.begin + length)


def _read_idle_close(fault: Fault, value: str, arguments: _Arguments) -> Fault:
    return _range(fault, value or _one(fault, arguments))


def _poison(spec: str, op: str, text: str) -> Fault:
    """Its target may hold any character, so the code is looked for from the end."""
    target, equals, answer = text.rpartition("=")
    code, _, window = answer.partition("@")
    if not equals or not target:
        raise _wrong(spec, "poison takes a target and a code, such as poison:user7=50004")
    fault = Fault(spec=spec.strip(), kind=Kind.POISON, op=op, target=target)
    return _window(_throttle_answer(fault, code), window)


_READERS: Final[Mapping[Kind, _Reader]] = MappingProxyType(
    dict.fromkeys(Kind, _plain)
    | {
        Kind.OUTAGE: _read_outage,
        Kind.FREEZE: _read_freeze,
        Kind.CODE: _read_code,
        Kind.HTTP: _read_http,
        Kind.THROTTLE: _read_throttle,
        Kind.CAPACITY: _read_capacity,
        Kind.REDIRECT: _read_redirect,
        Kind.STALL: _read_timed("12s"),
        Kind.DRIP: _read_timed("500ms"),
        Kind.SLOW: _read_timed(None),
        Kind.GARBAGE: _read_variant("body", "head"),
        Kind.HUGE: _read_amount(2**20, MAX_HUGE),
        Kind.GZIP_BOMB: _read_amount(64, MAX_BOMB_MIB),
        Kind.WRONG_TYPE: _read_variant(*WRONG_TYPES),
        Kind.DISAGREE: _read_variant("http", "fail"),
        Kind.IDLE_CLOSE: _read_idle_close,
    }
)
