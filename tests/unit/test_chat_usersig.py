"""A UserSig is what the vendor's servers verify, and never gets old."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import traceback
import zlib
from typing import Any

import pytest

from bulkops.chat import usersig as usersig_module
from bulkops.chat.usersig import UserSigner
from bulkops.errors import ConfigError
from tests.helpers.chat import ADMIN, KEY, SDKAPPID, HandClock


class CountingKey:
    """Gives the key and counts how often it was asked: once for every UserSig."""

    def __init__(self, key: str = KEY) -> None:
        self.key = key
        self.asked = 0

    def __call__(self) -> str:
        self.asked += 1
        return self.key


def opened(usersig: str) -> dict[str, Any]:
    """What a UserSig says, read as a server reads it."""
    packed = base64.b64decode(usersig.translate(str.maketrans("*-_", "+/=")), validate=True)
    fields: dict[str, Any] = json.loads(zlib.decompress(packed))
    return fields


def verifies(usersig: str, key: str) -> bool:
    """Whether a server that holds the key would accept the signature."""
    fields = opened(usersig)
    signed = "".join(f"TLS.{name}:{fields[f'TLS.{name}']}\n" for name in ("identifier", "sdkappid", "time", "expire"))
    digest = hmac.new(key.encode(), signed.encode(), hashlib.sha256).digest()
    return hmac.compare_digest(base64.b64encode(digest).decode(), fields["TLS.sig"])


def test_a_usersig_verifies() -> None:
    """Identifier, app and life are the ones asked for, and the signature fits them and the key."""
    usersig = UserSigner(SDKAPPID, ADMIN, CountingKey(), HandClock()).current()
    fields = opened(usersig)
    assert verifies(usersig, KEY)
    assert not verifies(usersig, KEY[::-1])
    assert (fields["TLS.identifier"], fields["TLS.sdkappid"], fields["TLS.ver"]) == (ADMIN, SDKAPPID, "2.0")
    assert fields["TLS.expire"] == 3600
    assert type(fields["TLS.expire"]) is int
    assert abs(fields["TLS.time"] - time.time()) < 5


@pytest.mark.parametrize("identifier", ["a b", "admin&x=1", "ümlaut", "0"])
def test_any_identifier_can_sign(identifier: str) -> None:
    """The signature covers the identifier as it is."""
    usersig = UserSigner(SDKAPPID, identifier, CountingKey(), HandClock()).current()
    assert verifies(usersig, KEY)
    assert opened(usersig)["TLS.identifier"] == identifier


def test_a_usersig_is_reused() -> None:
    """One serves all calls until half its life is over."""
    key, clock = CountingKey(), HandClock()
    signer = UserSigner(SDKAPPID, ADMIN, key, clock)
    for _ in range(1799):
        signer.current()
        clock.pass_time(1)
    assert key.asked == 1
    clock.pass_time(1)
    signer.current()
    assert key.asked == 2


def test_renewals_go_on_for_ever() -> None:
    """A day takes one every half hour."""
    key, clock = CountingKey(), HandClock()
    signer = UserSigner(SDKAPPID, ADMIN, key, clock)
    for _ in range(24 * 60):
        clock.pass_time(60)
        signer.current()
    assert key.asked == 1 + 48


@pytest.mark.parametrize(("jump", "renewed"), [(86400, 1), (-86400, 1), (901, 1), (-901, 1), (899, 0), (-899, 0)])
def test_a_jump_of_the_wall_clock_renews_once(jump: float, renewed: int) -> None:
    """Set by hand or after a sleep: a quarter of a life apart, the old one is not trusted; less is no matter."""
    key, clock = CountingKey(), HandClock()
    signer = UserSigner(SDKAPPID, ADMIN, key, clock)
    clock.wall += jump
    for _ in range(10):
        signer.current()
        clock.pass_time(0.1)
    assert key.asked == 1 + renewed


def test_renew_makes_a_new_one_at_most_once_a_second() -> None:
    """Many stale answers at once are one event."""
    key, clock = CountingKey(), HandClock()
    signer = UserSigner(SDKAPPID, ADMIN, key, clock)
    clock.pass_time(1)
    for _ in range(300):
        signer.renew()
        signer.current()
    assert key.asked == 2
    clock.pass_time(0.99)
    signer.renew()
    signer.current()
    assert key.asked == 2
    clock.pass_time(0.01)
    signer.current()
    assert key.asked == 3


def test_one_that_is_stale_from_the_start_is_renewed_a_second_later() -> None:
    """The library signs with whole seconds: made at once, the new one could be the old one."""
    key, clock = CountingKey(), HandClock()
    signer = UserSigner(SDKAPPID, ADMIN, key, clock)
    signer.renew()
    signer.current()
    assert key.asked == 1
    clock.pass_time(1)
    signer.current()
    assert key.asked == 2
    clock.pass_time(1)
    signer.current()
    assert key.asked == 2


def test_the_newer_name_of_the_librarys_method_does_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's repository renamed it without a new version number."""
    expiries: list[object] = []

    class Renamed:
        def __init__(self, sdkappid: int, key: str) -> None:
            self.text = f"{sdkappid}-{key}"

        def genUserSig(self, userid: str, expire: int) -> str:  # noqa: N802 - the library's spelling
            expiries.append(expire)
            return f"{self.text}-{userid}"

    monkeypatch.setattr(usersig_module, "TLSSigAPIv2", Renamed)
    assert UserSigner(1, "boss", lambda: "key", HandClock()).current() == "1-key-boss"
    assert expiries == [3600]
    assert type(expiries[0]) is int


def test_a_key_that_cannot_sign_is_told_without_showing_it() -> None:
    """The library's exception holds the key; ours doesn't, nor does its traceback."""
    key = f"{KEY}\udcff"
    with pytest.raises(ConfigError, match="secret key") as caught:
        UserSigner(SDKAPPID, ADMIN, lambda: key, HandClock())
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert KEY not in "".join(traceback.format_exception(caught.value))
