"""What a fault makes of a good answer, as far as it only changes the bytes of the answer. Pure."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from bulkops.sandbox.answers import Answer, dump
from bulkops.sandbox.faults import Fault, Kind

NOT_HTTP: Final = b"\x16\x03\x01\x02\x00 this is not HTTP \xff\xfe\r\n\r\n"
"""What `garbage:head` sends in place of a status line."""


def spoil(answer: Answer, fault: Fault) -> Answer:
    """The answer as the fault leaves it; as it was, where the fault is about the connection."""
    spoiler = _SPOILERS.get(fault.kind)
    return answer if spoiler is None else spoiler(answer, fault)


@lru_cache(maxsize=2)
def bomb(mebibytes: int) -> bytes:
    """A gzip stream of so many MiB that decompresses to a JSON object which says yes; about a thousandth of the size."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [packer.compress(b'{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":"')]
    block = b" " * 2**20
    parts.extend(packer.compress(block) for _ in range(mebibytes))
    parts.extend((packer.compress(b'"}'), packer.flush()))
    return b"".join(parts)


def _garbage(answer: Answer, _: Fault) -> Answer:
    return answer._replace(label="garbage", body=b'{"ActionStatus":"OK","ErrorCode":0\xff\x00<<')


def _empty(answer: Answer, _: Fault) -> Answer:
    return answer._replace(label="empty", body=b"")


def _huge(answer: Answer, fault: Fault) -> Answer:
    """Padded with spaces inside the object, so that it is good JSON of exactly so many bytes."""
    padding = b" " * max(0, fault.amount - len(answer.body))
    return answer._replace(label="huge", body=answer.body[:-1] + padding + answer.body[-1:])


def _gzip_bomb(answer: Answer, fault: Fault) -> Answer:
    return answer._replace(label="gzip-bomb", body=bomb(fault.amount), headers=b"Content-Encoding: gzip\r\n")


def _wrong_type(answer: Answer, fault: Fault) -> Answer:
    values = json.loads(answer.body)
    code = values.pop("ErrorCode")
    made: Mapping[str, object] = {"text": str(code), "float": float(code), "true": True, "null": None}
    if fault.variant != "missing":
        values["ErrorCode"] = made[fault.variant]
    return answer._replace(label="wrong-type", body=dump(values))


def _disagree(answer: Answer, fault: Fault) -> Answer:
    """ErrorCode 0, and something else that says no."""
    values = json.loads(answer.body) | {"ErrorCode": 0}
    if fault.variant == "fail":
        return answer._replace(label="disagree", body=dump(values | {"ActionStatus": "FAIL"}))
    return answer._replace(label="disagree", body=dump(values | {"ActionStatus": "OK"}), status=500)


def _content_type(answer: Answer, _: Fault) -> Answer:
    return answer._replace(label="content-type", content_type="text/html")


_SPOILERS: Final[Mapping[Kind, Callable[[Answer, Fault], Answer]]] = MappingProxyType(
    {
        Kind.GARBAGE: _garbage,
        Kind.EMPTY: _empty,
        Kind.HUGE: _huge,
        Kind.GZIP_BOMB: _gzip_bomb,
        Kind.WRONG_TYPE: _wrong_type,
        Kind.DISAGREE: _disagree,
        Kind.CONTENT_TYPE: _content_type,
    }
)
