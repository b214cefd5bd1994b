"""What the vendor's pages ask of a call, checked to the letter: query, UserSig, body. Pure; shares nothing with `bulkops`.

Written from the vendor's pages and the fact sheet alone, a second time and on purpose: the sandbox and the client might both
misread them in the same way.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

PATHS: Final = {
    "/v4/recentcontact/delete": "delete_conversation",
    "/v4/recentcontact/del_contact_group": "delete_conversation_group",
    "/v4/group_open_http_svc/clear_group_msg": "clear_group_messages",
}
_QUERY: Final = ["sdkappid", "identifier", "usersig", "random", "contenttype"]
_BAD_BODY: Final = {"delete_conversation": 50002, "delete_conversation_group": 50002, "clear_group_messages": 10004}


class Refused(Exception):
    """The call is answered with an ErrorCode.

    Args:
        code: The ErrorCode.
        info: Its text.
        violation: It breaks the protocol, which no client that follows the pages ever does.
    """

    def __init__(self, code: int, info: str, *, violation: bool = False) -> None:
        super().__init__(info)
        self.code = code
        self.info = info
        self.violation = violation


@dataclass(frozen=True)
class App:
    """The one app that the server knows.

    Args:
        sdkappid: Its number.
        key: Its secret key.
        admins: Accounts that may call.
    """

    sdkappid: int
    key: str
    admins: frozenset[str]


@dataclass(frozen=True)
class Query:
    """A query that is as the pages say."""

    identifier: str
    usersig: str
    random: int


def read_query(text: str, sdkappid: int) -> Query:
    """The query of a call.

    Args:
        text: What follows the question mark.
        sdkappid: The app that the server knows.

    Raises:
        Refused: It is not as the pages say.
    """
    try:
        pairs = parse_qsl(text, strict_parsing=True, keep_blank_values=True, errors="strict", encoding="utf-8")
    except ValueError as error:
        raise Refused(60002, "the query can't be parsed", violation=True) from error
    values = dict(pairs)
    names = [name for name, _ in pairs]
    if "sdkappid" not in values:
        raise Refused(60012, "sdkappid is missing", violation=True)
    if sorted(names) != sorted(_QUERY):
        raise Refused(60002, f"the query has {sorted(names)}", violation=True)
    if values["contenttype"] != "json":
        raise Refused(60002, "contenttype is not json", violation=True)
    if not _is_decimal(values["random"]) or int(values["random"]) > 4294967295:
        raise Refused(60002, "random is no unsigned 32-bit integer", violation=True)
    if values["sdkappid"] != str(sdkappid):
        raise Refused(60006, "SDKAppID is not valid")
    return Query(values["identifier"], values["usersig"], int(values["random"]))


def expiry(query: Query, app: App) -> int:
    """When the query's UserSig expires, in seconds since 1970; it is sound in all other respects.

    Raises:
        Refused: It is not.
    """
    if not query.usersig:
        raise Refused(70002, "UserSig is empty", violation=True)
    try:
        text = query.usersig.translate(str.maketrans("*-_", "+/="))
        signed = json.loads(zlib.decompress(base64.b64decode(text, validate=True)))
        version, identifier, sdkappid = signed["TLS.ver"], signed["TLS.identifier"], signed["TLS.sdkappid"]
        expire, time, sig = signed["TLS.expire"], signed["TLS.time"], signed["TLS.sig"]
    except (binascii.Error, zlib.error, ValueError, KeyError, TypeError) as error:
        raise Refused(70003, "UserSig can't be read", violation=True) from error
    integers = (sdkappid, expire, time)
    if version != "2.0" or not all(isinstance(value, int) for value in integers) or not isinstance(identifier, str):
        raise Refused(70003, "UserSig has wrong types", violation=True)
    if identifier != query.identifier:
        raise Refused(70013, "identifier differs from the signed one")
    if sdkappid != app.sdkappid:
        raise Refused(70014, "SDKAppID differs from the signed one")
    text = f"TLS.identifier:{identifier}\nTLS.sdkappid:{sdkappid}\nTLS.time:{time}\nTLS.expire:{expire}\n"
    digest = hmac.digest(app.key.encode(), text.encode(), hashlib.sha256)
    if not hmac.compare_digest(base64.b64encode(digest).decode(), str(sig)):
        raise Refused(70009, "UserSig verification failed")
    return int(time) + int(expire)


def read_body(op: str, raw: bytes) -> dict[str, Any]:
    """The fields of a call.

    Raises:
        Refused: They are not as the pages say.
    """
    try:
        body = json.loads(raw, object_pairs_hook=_unique)
    except ValueError as error:
        raise Refused(60003, "the body is no JSON", violation=True) from error
    if not isinstance(body, dict):
        raise Refused(60003, "the body is no JSON object", violation=True)
    wrong = _CHECKS[op](body)
    if wrong:
        raise Refused(_BAD_BODY[op], wrong, violation=True)
    return body


def target_of(op: str, body: Mapping[str, object]) -> str:
    """One text for an operation: two calls for the same one have the same."""
    return f"{op} {json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(',', ':'))}"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key twice")
    return found


def _conversation(body: Mapping[str, object]) -> str:
    keys = set(body) - {"ClearRamble"}
    kind = body.get("Type")
    expected = {1: {"From_Account", "Type", "To_Account"}, 2: {"From_Account", "Type", "ToGroupid"}}
    if type(kind) is not int or kind not in expected or keys != expected[kind]:
        return f"Type {kind!r} with {sorted(body)}"
    if "ClearRamble" in body and (type(body["ClearRamble"]) is not int or body["ClearRamble"] not in (0, 1)):
        return "ClearRamble is neither 0 nor 1"
    if kind == 2 and not _is_group(body["ToGroupid"]):
        return "ToGroupid is no group id"
    if kind == 1 and not _is_user(body["To_Account"]):
        return "To_Account is no UserID"
    return "" if _is_user(body["From_Account"]) else "From_Account is no UserID"


def _conversation_group(body: Mapping[str, object]) -> str:
    names = body.get("GroupName")
    if set(body) != {"From_Account", "GroupName"} or not _is_user(body["From_Account"]):
        return f"{sorted(body)} instead of From_Account and GroupName"
    if not isinstance(names, list) or len(names) != 1 or not isinstance(names[0], str):
        return "GroupName is no list of one name"
    return "" if 0 < len(names[0].encode()) <= 64 else "GroupName has more than 64 bytes"


def _clear(body: Mapping[str, object]) -> str:
    if not {"GroupId"} <= set(body) <= {"GroupId", "MsgSeq"} or not _is_group(body["GroupId"]):
        return f"{sorted(body)} instead of GroupId and MsgSeq"
    if "MsgSeq" in body and (type(body["MsgSeq"]) is not int or not 1 <= body["MsgSeq"] < 2**63):
        return "MsgSeq is no positive integer"
    return ""


_CHECKS: Final = {
    "delete_conversation": _conversation,
    "delete_conversation_group": _conversation_group,
    "clear_group_messages": _clear,
}


def _is_user(value: object) -> bool:
    return isinstance(value, str) and 1 <= len(value.encode()) <= 32


def _is_group(value: object) -> bool:
    return isinstance(value, str) and 1 <= len(value.encode()) <= 48


def _is_decimal(text: str) -> bool:
    return text.isascii() and text.isdigit()
