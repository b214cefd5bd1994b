"""What the service says: the vendor's sample answers, word for word, and its texts for ErrorCodes.

Pure. A body is bytes ready to send; how it travels is `wire`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from bulkops.model import FIELD_SEPARATOR, Api

TEXTS: Final[Mapping[int, str]] = MappingProxyType(
    {
        10002: "Internal server error. Please try again.",
        10003: "Invalid request command word.",
        10004: "Invalid parameter. Please check if the request is correct based on the error description.",
        10006: "The operation frequency limit is reached.",
        10007: "Insufficient operation permissions. The operator must be the admin.",
        10010: "The group does not exist, or it existed in the past but has now been dissolved.",
        10015: "Invalid Group ID. Please check if the Group ID is filled in correctly.",
        50001: "The requested UserID has not been imported to Chat. Please import the UserID first.",
        50002: "Incorrect request parameter. Check your request according to the error description.",
        50003: "The request requires app admin permissions.",
        50004: "Internal server error. Please try again.",
        50005: "Network timeout. Try again later.",
        51009: "The specified conversation group was not found. Please verify that the group name is correct.",
        51011: "The conversation group name contains more than 64 bytes.",
        51013: "The current version does not support conversation grouping.",
        60007: "REST API calls are too frequent, please reduce the request frequency.",
        60008: "service timeout or request format error,please check and try again",
        60009: "Wrong resource, please check the path.",
        60010: "The request requires app admin permissions.",
        60011: "The SDKAppID's requests are too frequent, please reduce the request frequency.",
        60018: "The requests are too frequent, please try again later.",
    }
)
"""ErrorInfo by ErrorCode: the vendor's words from the pages of the three APIs; for public codes (60000 and up) and 10006, of
which no sample answer is known, ours."""


class Answer(NamedTuple):
    """One answer, not yet on the wire.

    Args:
        label: How it is counted: the ErrorCode in digits, or `http_503`.
        body: As sent.
        status: HTTP status.
        content_type: Of the body.
        headers: Further header lines, each ended with CRLF.
    """

    label: str
    body: bytes
    status: int = 200
    content_type: str = "application/json"
    headers: bytes = b""


def dump(values: Mapping[str, object]) -> bytes:
    """JSON as the service writes it: compact, UTF-8."""
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def _display(api: Api) -> dict[str, object]:
    """`ErrorDisplay` where the vendor's samples have it: on recentcontact, but for conversation groups."""
    return {"ErrorDisplay": ""} if "recentcontact/" in api.path and "contact_group" not in api.path else {}


def success(api: Api, content: str, group_number: int = 1) -> Answer:
    """The vendor's sample answer for a call that was carried out.

    Args:
        api: What was called.
        content: The call's, as in `model.Operation`.
        group_number: Number of the conversation group that was deleted.
    """
    if any(field.as_list for field in api.fields):
        place = next(i for i, field in enumerate(api.fields) if field.as_list)
        item = {"GroupName": content.split(FIELD_SEPARATOR)[place], "GroupId": group_number}
        return Answer("0", dump({"GroupItem": [item], "ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": ""}))
    if display := _display(api):
        return Answer("0", dump({"ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": "", **display}))
    return _PLAIN


_PLAIN: Final = Answer("0", dump({"ActionStatus": "OK", "ErrorInfo": "", "ErrorCode": 0}))


def failure(code: int, info: str = "", api: Api | None = None) -> Answer:
    """The envelope of an ErrorCode.

    Args:
        code: Not 0.
        info: ErrorInfo; empty for the vendor's text.
        api: What was called, where it is known.
    """
    text = info or TEXTS.get(code, "The request failed.")
    values: dict[str, object] = {"ActionStatus": "FAIL", "ErrorCode": code, "ErrorInfo": text}
    return Answer(str(code), dump(values | (_display(api) if api else {})))


def gateway(status: int, *, empty: bool = False, retry_after: float = 0.0) -> Answer:
    """What a gateway in front of the service says: a page of its own, or nothing."""
    page = f"<html><head><title>{status}</title></head><body><center><h1>{status}</h1></center></body></html>\r\n"
    return Answer(f"http_{status}", b"" if empty else page.encode(), status, "text/html", retry_after_header(retry_after))


def retry_after_header(seconds: float) -> bytes:
    """The header line, in whole seconds; nothing for 0."""
    return b"Retry-After: %d\r\n" % -(-seconds // 1) if seconds else b""
