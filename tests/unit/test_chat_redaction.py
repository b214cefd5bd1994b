"""No secret gets through the redactor, in whatever form a server echoes it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from urllib.parse import quote

import pytest
from TLSSigAPIv2 import TLSSigAPIv2

from bulkops.chat.redaction import HIDDEN, Redactor
from tests.helpers.chat import ADMIN, KEY, SDKAPPID, traces_of

USERSIG: str = TLSSigAPIv2(SDKAPPID, KEY).gen_sig(ADMIN, 3600)

ECHOES: list[Callable[[str], str]] = [
    lambda secret: secret,
    lambda secret: f"bad signature '{secret}' given",
    lambda secret: quote(secret, safe=""),
    lambda secret: quote(secret, safe="").replace("%2A", "%2a"),
    lambda secret: f"/v4/recentcontact/delete?sdkappid=1&identifier=a&usersig={secret}&random=1",
    lambda secret: f"https://host/v4?usersig={quote(secret)}&random=1",
    lambda secret: base64.b64encode(f"key={secret};".encode()).decode(),
    lambda secret: base64.b64encode(f"ke={secret};".encode()).decode(),
    lambda secret: base64.urlsafe_b64encode(f"k={secret};".encode()).decode(),
    lambda secret: base64.b64encode(secret.encode()).decode(),
    lambda secret: f"begins {secret[:40]}…",
    lambda secret: f"ends …{secret[-40:]}",
    lambda secret: f"{secret[:30]} {secret[30:]}",
    lambda secret: secret * 3,
]


def known() -> Redactor:
    """A redactor that knows the key and the credential."""
    hide = Redactor(KEY)
    hide.add(USERSIG)
    return hide


@pytest.mark.parametrize("secret", [KEY, USERSIG], ids=["key", "UserSig"])
@pytest.mark.parametrize("echo", ECHOES, ids=range(len(ECHOES)))
def test_an_echo_holds_no_piece_of_a_secret(echo: Callable[[str], str], secret: str) -> None:
    """Raw, encoded, inside base64, cut off or doubled: not twelve characters in a row get through."""
    echoed = echo(secret)
    shown = known()(echoed)
    assert HIDDEN in shown
    for form in traces_of(secret):
        assert not any(form[at : at + 12] in shown for at in range(len(form) - 12))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ok",
        "service timeout or request format error,please check and try again",
        "user user_000000000000000001 is not imported",
        "see https://cloud.tencent.com/document/product/269/1671?lang=en#a",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "请求的 UserID 没有导入",
    ],
)
def test_other_texts_stay_as_they_are(text: str) -> None:
    """Ids, links and foreign hashes are no secrets."""
    assert known()(text) == text


def test_a_query_with_credentials_is_cut_off_even_where_they_are_unknown() -> None:
    """Whoever's credential it is, it isn't kept."""
    shown = known()('POST "http://h/v4/x?sdkappid=1400000000&identifier=boss&usersig=abc" failed')
    assert shown == f'POST "http://h/v4/x?{HIDDEN}" failed'


def test_only_the_newest_credentials_are_remembered() -> None:
    """Answers to the one before the last may still come; memory stays bounded."""
    hide = Redactor(KEY, remembered=2)
    credentials = [hashlib.sha256(name).hexdigest() for name in (b"first", b"second", b"third")]
    for credential in credentials:
        hide.add(credential)
    assert [hide(credential) == credential for credential in credentials] == [True, False, False]


@pytest.mark.parametrize("key", ['quotes"and\\slashes and blanks', "ключ-из-консоли", "p%25/+=p%25/+="])
def test_a_key_of_any_characters_is_hidden(key: str) -> None:
    """Also where its JSON and percent-encoded forms look different."""
    hide = Redactor(key)
    for form in traces_of(key):
        assert form not in hide(f"<{form}>")


def test_a_key_too_short_to_be_one_hides_nothing() -> None:
    """Else every text would be full of holes."""
    assert Redactor("e")("every letter stays") == "every letter stays"


def test_a_redactor_does_not_show_what_it_hides() -> None:
    """Its own repr gives nothing away."""
    hide = known()
    assert KEY not in repr(hide) + repr(hide._key)
