"""What a reply means for its operation: tables, and one pure function over them.

Knows no clock, no counter and no retry: how often something is repeated, and when a lane stops, is the engine's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from bulkops.model import Api, Outcome, Reply, Verdict

_TRANSIENT = dict.fromkeys(
    (
        50004,  # internal server error
        50005,  # network timeout
        10002,  # internal server error
        60008,  # backend timed out, or a malformed request; one code for both
        60013,  # the gateway could not parse its backend's answer
        60014,  # account exchange timed out
        70169,  # internal timeout
        70202,  # internal timeout
        70500,  # internal error
        51007,  # group id lookup failed
        10008,  # "illegal request, try again"
    ),
    Verdict.TRANSIENT,
)
_THROTTLED = dict.fromkeys(
    (
        60007,  # this REST API is called too often
        60018,  # too frequent
        60019,  # too frequent
        10006,  # operation frequency limit
        10023,  # message frequency limit
    ),
    Verdict.THROTTLED,
)
_REFUSED = dict.fromkeys(
    (
        50001,  # UserID not imported
        50002,  # bad parameter
        51011,  # conversation-group name too long
        10004,  # bad parameter
        10015,  # invalid group id
        60002,  # the URL could not be parsed
        60003,  # the body could not be parsed
        60015,  # an account in the body is not a string
        10005,  # too many accounts
        10011,  # the body could not be parsed
        10012,  # illegal operator UserID
    ),
    Verdict.REFUSED,
)
_FATAL = dict.fromkeys(
    (
        50003,  # the identifier is no app admin
        60004,  # account or signature wrong
        60005,  # account or signature wrong
        60006,  # SDKAppID not valid
        60010,  # the identifier is no app admin
        60012,  # SDKAppID missing
        60016,  # SDKAppID disabled
        60017,  # request disabled
        60020,  # plan expired, not bought or not yet active
        60021,  # the caller's IP address is not on the app's allow list
        70002,  # UserSig empty
        70003,  # UserSig illegal, often cut or wrongly escaped
        70005,  # UserSig illegal
        70009,  # the key belongs to another SDKAppID
        70013,  # identifier differs from the signed one
        70014,  # SDKAppID differs from the signed one
        70016,  # key not found: wrong region?
        70020,  # SDKAppID not found: wrong region?
        70050,  # verification failed too often; wait a minute
        70051,  # the admin account is blocked
        70114,  # restricted for security reasons
        70403,  # the identifier is no app admin
    ),
    Verdict.FATAL,
)

PUBLIC_CODES: Final[Mapping[int, Verdict]] = MappingProxyType(
    _TRANSIENT
    | _THROTTLED
    | _REFUSED
    | _FATAL
    | {
        0: Verdict.SUCCEEDED,
        51009: Verdict.ABSENT,  # no such conversation group
        10010: Verdict.ABSENT,  # no such group, or dissolved
        60011: Verdict.THROTTLED_APP,  # the whole SDKAppID is over its limit
        70001: Verdict.STALE_CREDENTIAL,  # UserSig expired
        70052: Verdict.STALE_CREDENTIAL,  # UserSig no longer valid
        51013: Verdict.FATAL_API,  # the plan lacks conversation groups
        10026: Verdict.FATAL_API,  # command disabled for this SDKAppID
        10003: Verdict.FATAL_API,  # bad command word
        60009: Verdict.FATAL_API,  # bad path
        10007: Verdict.FATAL_API_UNTIL_SUCCESS,  # no permission
    }
)
"""Codes that mean the same on every API. Source: the vendor's error code list, and its pages of 2018 to 2026."""

REMEDIES: Final[Mapping[int, str]] = MappingProxyType(
    dict.fromkeys((50003, 60010, 70403, 10007), "make the identifier an app administrator in the console, or name one that is")
    | dict.fromkeys((60004, 60005, 70002, 70003, 70005), "check BULKOPS_IDENTIFIER and the secret key: they don't go together")
    | {
        60006: "check BULKOPS_SDKAPPID",
        60012: "check BULKOPS_SDKAPPID",
        60016: "the app is disabled: see the console",
        60017: "the request is disabled for this app: see the console",
        60020: "the app's plan has expired or is not active yet (it takes about 5 minutes after purchase)",
        60021: "put this machine's address on the app's IP allow list",
        70009: "the secret key belongs to another SDKAppID: check BULKOPS_SECRET_KEY and BULKOPS_SDKAPPID",
        70013: "the identifier differs from the one that was signed: check BULKOPS_IDENTIFIER",
        70014: "the SDKAppID differs from the one that was signed: check BULKOPS_SDKAPPID",
        70016: "no key for this SDKAppID here: does the region fit the app? See --region",
        70020: "no such SDKAppID here: does the region fit the app? See --region",
        70050: "the signature failed too often: mend the secret key, wait a minute, go on",
        70051: "the admin account is blocked: see the console",
        70114: "the account is restricted for security reasons: see the console",
        70001: "UserSigs made now count as expired: this machine's clock and the server's differ (clock skew)",
        70052: "UserSigs made now count as invalid: this machine's clock may be off (clock skew), or the account was kicked",
        51013: "conversation groups need the Pro, Pro Plus or Enterprise edition",
        10026: "the command is disabled for this SDKAppID",
        10003: "the server does not know this command: check the endpoint",
        60009: "the server does not know this path: check the endpoint",
    }
)
"""What to do about a code that stops a run or an API."""


def verdict_of(api: Api, code: int) -> Verdict:
    """Verdict for one ErrorCode. A code no table knows is refused and kept with its text, never repeated blindly."""
    return api.codes.get(code) or PUBLIC_CODES.get(code, Verdict.REFUSED)


def judge(api: Api, reply: Reply, absent_codes: frozenset[int] = frozenset()) -> Verdict:
    """Verdict for one reply.

    Args:
        api: The API that was called.
        reply: What the client saw.
        absent_codes: Codes that the user takes for "already gone" (`--absent-codes`).
    """
    if reply.outcome is Outcome.NOT_SENT:
        return Verdict.FATAL if reply.fatal else Verdict.NOT_SENT
    if reply.outcome is Outcome.UNANSWERED:
        return Verdict.UNANSWERED
    if reply.code is None:
        return Verdict.THROTTLED  # HTTP 429 without a readable code
    if reply.code in absent_codes and reply.code != 0:
        return Verdict.ABSENT
    return verdict_of(api, reply.code)
