"""Verifies a call's SDKAppID, identifier and UserSig, from the vendor's description alone.

Shares no code with what signs. Source: the vendor's UserSig pages: zlib over JSON, in base64 with `+/=` written `*-_`;
HMAC-SHA256 over four lines of text. No text here ever holds a key or a UserSig.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import zlib
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

_MAX_TICKET: Final = 4096
"""Bytes of JSON in a UserSig; genuine ones have about 200. Guards against a bomb."""

_CACHED: Final = 1024
"""UserSigs whose signature is remembered as verified; a client has one at a time."""

_FROM_WIRE: Final = str.maketrans("*-_", "+/=")


class Refusal(NamedTuple):
    """An ErrorCode and its ErrorInfo."""

    code: int
    info: str


class Query(NamedTuple):
    """What a call's URL says about the caller. Never shown: it holds the UserSig."""

    sdkappid: int
    identifier: str
    usersig: str

    def __repr__(self) -> str:
        return f"Query(sdkappid={self.sdkappid}, …)"


class _Ticket(NamedTuple):
    """A UserSig's contents, its signature verified."""

    issued: int
    life: int


class Credentials:
    """The apps that the sandbox knows, their keys and administrators.

    Args:
        apps: SDKAppID to key.
        admins: Identifiers that may call.
    """

    def __init__(self, apps: Mapping[int, str], admins: Iterable[str]) -> None:
        self._keys = dict(apps)
        self._admins = set(admins)
        self._not_admin: dict[str, int] = {}
        self._cache: dict[Query, _Ticket | Refusal] = {}
        self._stale_until = -1

    def knows(self, sdkappid: int) -> bool:
        """Whether there is such an app."""
        return sdkappid in self._keys

    def revoke_admin(self, identifier: str, code: int = 60010) -> None:
        """Take an identifier's right away; its calls get `code` (60010, or 50003 and 10007 as the APIs say it)."""
        self._admins.discard(identifier)
        self._not_admin[identifier] = code

    def grant_admin(self, identifier: str) -> None:
        """Make an identifier an administrator."""
        self._admins.add(identifier)

    def revoke_key(self, sdkappid: int) -> None:
        """Replace an app's key by one that nobody has: whatever was or will be signed with the old one is wrong."""
        self._keys[sdkappid] = secrets.token_hex(32)
        self._cache.clear()

    def make_stale(self, now: float) -> None:
        """Declare every UserSig issued up to now no longer valid (as after a kick of the account): 70052."""
        self._stale_until = int(now)

    def verify(self, query: Query, now: float) -> Refusal | None:
        """Why a call is refused; `None` if it may pass.

        Args:
            query: The call's.
            now: Server time, seconds since 1970. A UserSig from the future is accepted: no tolerance is documented.
        """
        ticket = self._cache.get(query)
        if ticket is None:
            if len(self._cache) >= _CACHED:
                self._cache.clear()
            ticket = self._cache[query] = self._open(query)
        if isinstance(ticket, Refusal):
            return ticket
        if now >= ticket.issued + ticket.life:
            return Refusal(70001, "UserSig expired")
        if ticket.issued <= self._stale_until:
            return Refusal(70052, "UserSig is no longer valid, please generate a new one")
        if query.identifier not in self._admins:
            return Refusal(self._not_admin.get(query.identifier, 60010), "the request requires app admin permissions")
        return None

    def _open(self, query: Query) -> _Ticket | Refusal:
        key = self._keys.get(query.sdkappid)
        if key is None:
            return Refusal(70020, "SDKAppID not found, please check whether the data center is the right one")
        if not query.usersig:
            return Refusal(70002, "UserSig is empty")
        found = _decode(query.usersig)
        if found is None:
            return Refusal(70003, "UserSig is illegal, it can't be parsed")
        if found["TLS.identifier"] != query.identifier:
            return Refusal(70013, "the identifier in the request differs from the one in the UserSig")
        if found["TLS.sdkappid"] != query.sdkappid:
            return Refusal(70014, "the SDKAppID in the request differs from the one in the UserSig")
        if not hmac.compare_digest(_signature(key, found), str(found["TLS.sig"]).encode()):
            return Refusal(70009, "UserSig verification failed, please check the key")
        return _Ticket(int(found["TLS.time"]), int(found["TLS.expire"]))


_TYPES: Final = {
    "TLS.ver": str,
    "TLS.identifier": str,
    "TLS.sdkappid": int,
    "TLS.expire": int,
    "TLS.time": int,
    "TLS.sig": str,
}


def _decode(usersig: str) -> dict[str, str | int] | None:
    """The fields of a UserSig, with their types; `None` where it is none."""
    if not usersig.isascii() or set(usersig) & set("+/="):
        return None
    try:
        packed = base64.b64decode(usersig.translate(_FROM_WIRE), validate=True)
        unpacker = zlib.decompressobj()
        plain = unpacker.decompress(packed, _MAX_TICKET)
        if not unpacker.eof or unpacker.unused_data:
            return None
        found = json.loads(plain.decode("utf-8"))
    except (binascii.Error, zlib.error, ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or any(type(found.get(name)) is not kind for name, kind in _TYPES.items()):
        return None
    if found["TLS.ver"] != "2.0" or not isinstance(found.get("TLS.userbuf", ""), str):
        return None
    return found


def _signature(key: str, found: Mapping[str, str | int]) -> bytes:
    names = ["TLS.identifier", "TLS.sdkappid", "TLS.time", "TLS.expire"]
    if "TLS.userbuf" in found:
        names.append("TLS.userbuf")
    text = "".join(f"{name}:{found[name]}\n" for name in names)
    return base64.b64encode(hmac.new(key.encode(), text.encode(), hashlib.sha256).digest())
