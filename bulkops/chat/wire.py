"""What goes over the wire, as bytes, and what the bytes that come back amount to. Pure: no clock, no socket, no credential.

A request's body is made from an operation's `content` and its API's row in the catalog. An answer is a complete JSON object
of at most 64 KiB whose ErrorCode is an integer; everything else is unanswered, however much it looks like a success.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final, NamedTuple

import msgspec

from bulkops.model import FIELD_SEPARATOR, Api, FieldKind, Outcome, Reply

MAX_ANSWER: Final = 64 * 1024
"""Longest body that is read, in bytes."""

MAX_INFO: Final = 4096
"""Longest ErrorInfo that is kept, in characters."""

MAX_RETRY_AFTER: Final = 300.0
"""Longest wait that a server is granted, in seconds."""

_SECONDS: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?", re.ASCII)
_CODES: Final = range(-(2**63), 2**63)  # what a ledger can hold
_DECIDING: Final = ("ErrorCode", "ActionStatus")


def body_of(api: Api, content: str) -> bytes:
    """The JSON body of one call: the catalog's fields in its order, absent ones left out.

    Args:
        api: The API to call.
        content: As in `Operation`: one value for each field of the API.

    Raises:
        ValueError: `content` doesn't have one value for each field.
    """
    fields: dict[str, object] = {}
    for field, value in zip(api.fields, content.split(FIELD_SEPARATOR), strict=True):
        if not value:
            continue
        if field.kind is FieldKind.INTEGER:
            fields[field.name] = int(value)
        else:
            fields[field.name] = [value] if field.as_list else value
    return msgspec.json.encode(fields)


def answered(http: int, body: bytes, *, hide: Callable[[str], str], retry_after: float | None = None) -> Reply:
    """The reply that a whole HTTP response amounts to: an answer, or none.

    Args:
        http: Its status.
        body: All of its body.
        hide: Takes secrets out of a text; a server may echo what it was sent.
        retry_after: What it asked to wait, in seconds.
    """
    envelope = _read(body)
    if envelope is None:
        return no_answer(http, "no JSON object with an integer ErrorCode", retry_after)
    code = envelope.code
    if code == 0:
        if not 200 <= http < 300:
            return no_answer(http, "ErrorCode 0 disagrees with the HTTP status", retry_after, has_code=True)
        if envelope.failed:
            return no_answer(http, "ErrorCode 0 disagrees with ActionStatus FAIL", retry_after, has_code=True)
    return Reply(Outcome.ANSWERED, http, code, str(code), _text(envelope.info, hide) if envelope.info else "", retry_after)


def no_answer(http: int, why: str, retry_after: float | None = None, *, has_code: bool = False) -> Reply:
    """The reply to a response that is no answer: throttled if its status is 429, else unanswered.

    Args:
        http: Its status.
        why: What is wrong with it, in words.
        retry_after: What it asked to wait, in seconds.
        has_code: Whether it does have an ErrorCode, one that can't be right; a 429 counts as throttled only without one.
    """
    if http == HTTPStatus.TOO_MANY_REQUESTS and not has_code:
        return Reply(Outcome.ANSWERED, http, None, "http_429", "HTTP 429 without a readable ErrorCode", retry_after)
    label = "unreadable" if 200 <= http < 300 else f"http_{http}"
    return Reply(Outcome.UNANSWERED, http, None, label, f"HTTP {http}: {why}", retry_after)


def retry_after(value: str | None, *, date: str | None = None, now: float) -> float | None:
    """Seconds that a Retry-After header asks to wait, at most 300; `None` for none, nonsense, or a moment gone by.

    Args:
        value: The header: seconds, or an HTTP date.
        date: The Date header. A date is measured from it where it can be read: the two clocks needn't agree.
        now: Seconds since 1970, ours.
    """
    if value is None:
        return None
    value = value.strip()
    if _SECONDS.fullmatch(value):
        return min(float(value), MAX_RETRY_AFTER)
    until = _timestamp(value)
    if until is None:
        return None
    since = _timestamp(date) if date else None
    wait = until - (now if since is None else since)
    return min(wait, MAX_RETRY_AFTER) if wait >= 0 else None


class _Envelope(NamedTuple):
    code: int
    failed: bool
    info: object


class _AmbiguousError(ValueError):
    """A key that decides comes twice: whichever one was meant, it isn't known."""


def _read(body: bytes) -> _Envelope | None:
    """The ErrorCode, whether ActionStatus is FAIL, and ErrorInfo; `None` where the body is no answer."""
    if len(body) > MAX_ANSWER:
        return None
    try:
        fields = msgspec.json.decode(body)
        if b"\\" in body or body.count(b'"ErrorCode"') != 1 or body.count(b'"ActionStatus"') > 1:
            fields = _decode_strictly(body)  # msgspec lets the last of two equal keys win
    except (ValueError, RecursionError):
        try:
            fields = _decode_strictly(body)  # msgspec refuses a lone surrogate, which is legal JSON
        except (ValueError, RecursionError):
            return None
    if not isinstance(fields, dict):
        return None
    code = fields.get("ErrorCode")
    if type(code) is not int or code not in _CODES:  # a bool is an int to isinstance
        return None
    status = fields.get("ActionStatus")
    return _Envelope(code, isinstance(status, str) and status.strip().upper() == "FAIL", fields.get("ErrorInfo"))


def _decode_strictly(body: bytes) -> object:
    """The JSON value, with the standard library's decoder.

    Raises:
        ValueError: It is no JSON, or an object in it has ErrorCode or ActionStatus twice.
    """

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        fields = dict(pairs)
        if len(fields) != len(pairs):
            names = [name for name, _ in pairs]
            if any(names.count(name) > 1 for name in _DECIDING):
                raise _AmbiguousError
        return fields

    def refuse(constant: str) -> object:
        raise ValueError(constant)  # NaN and Infinity are no JSON

    value: object = json.loads(body.decode("utf-8"), object_pairs_hook=once, parse_constant=refuse)
    return value


def _text(info: object, hide: Callable[[str], str]) -> str:
    """ErrorInfo as text without secrets, cut to what is kept. Secrets go before that: the cut could halve one.

    They are looked for in twice as much, which hides a halved one as well: in all of 64 KiB that would take milliseconds.
    """
    try:
        text = info if isinstance(info, str) else json.dumps(info, ensure_ascii=False)
    except RecursionError:
        return "(nested too deeply)"
    text = text[: 2 * MAX_INFO].encode("utf-8", "replace").decode("utf-8")  # a lone surrogate could be neither stored nor shown
    return hide(text)[:MAX_INFO]


def _timestamp(text: str) -> float | None:
    """Seconds since 1970 of an HTTP date; `None` where it is none."""
    try:
        at = parsedate_to_datetime(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
