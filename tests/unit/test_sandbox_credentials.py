"""UserSigs verified from the vendor's description: each way to be wrong has its code."""

from __future__ import annotations

import json
import zlib

import pytest
from TLSSigAPIv2 import TLSSigAPIv2

from bulkops.sandbox import DEMO_IDENTIFIER, DEMO_KEY, DEMO_SDKAPPID
from bulkops.sandbox.credentials import Credentials, Query
from tests.helpers.sandbox import ticket, usersig, wrap

NOW = 1_800_000_000
OTHER_APP = 1400000001


def credentials() -> Credentials:
    return Credentials({DEMO_SDKAPPID: DEMO_KEY, OTHER_APP: "f" * 64}, {DEMO_IDENTIFIER})


def code(sig: str, *, identifier: str = DEMO_IDENTIFIER, sdkappid: int = DEMO_SDKAPPID, now: float = NOW) -> int:
    """ErrorCode for a UserSig; 0 where it may pass."""
    refusal = credentials().verify(Query(sdkappid, identifier, sig), now)
    return refusal.code if refusal else 0


def test_the_vendors_own_library_makes_what_is_accepted() -> None:
    signer = TLSSigAPIv2(DEMO_SDKAPPID, DEMO_KEY)
    plain = signer.gen_sig(DEMO_IDENTIFIER, 3600)
    with_buffer = signer.gen_sig_with_userbuf(DEMO_IDENTIFIER, 3600, b"abc")

    assert code(plain, now=0) == 0
    assert code(with_buffer, now=0) == 0


def test_a_usersig_is_good_until_the_second_in_which_it_expires() -> None:
    sig = usersig(issued=NOW, life=60)

    assert code(sig, now=NOW + 59.999) == 0
    assert code(sig, now=NOW + 60) == 70001


def test_a_usersig_from_a_clock_ahead_is_accepted() -> None:
    """No tolerance is documented, so none is imitated."""
    assert code(usersig(issued=NOW + 600)) == 0


def changed(**fields: object) -> str:
    return wrap(json.dumps(ticket(issued=NOW) | fields).encode())


def without(name: str) -> str:
    return wrap(json.dumps({key: value for key, value in ticket(issued=NOW).items() if key != name}).encode())


@pytest.mark.parametrize(
    "sig",
    [
        "nonsense",
        usersig(issued=NOW)[:-20],
        usersig(issued=NOW) + "=",
        usersig(issued=NOW) + "é",
        usersig(issued=NOW)[:40] + "!" + usersig(issued=NOW)[41:],
        wrap(b"no json"),
        wrap(b"[]"),
        wrap(b"\xff\xfe"),
        wrap(b"[" * 100_000),
        wrap(json.dumps(ticket(issued=NOW)).encode() + b" " * 5000),
        wrap(zlib.compress(b"twice")),
        changed(**{"TLS.ver": "1.0"}),
        changed(**{"TLS.time": "1"}),
        changed(**{"TLS.expire": 3600.0}),
        changed(**{"TLS.sdkappid": True}),
        changed(**{"TLS.userbuf": 1}),
        without("TLS.sig"),
    ],
)
def test_what_can_not_be_parsed_is_70003(sig: str) -> None:
    assert code(sig) == 70003


@pytest.mark.parametrize(
    ("sig", "expected"),
    [
        ("", 70002),
        (usersig("somebody", issued=NOW), 70013),
        (usersig(sdkappid=OTHER_APP, issued=NOW), 70014),
        (usersig(key="0" * 64, issued=NOW), 70009),
        (changed(**{"TLS.expire": 999_999}), 70009),
        (changed(**{"TLS.time": NOW + 1}), 70009),
        (changed(**{"TLS.userbuf": "YWJj"}), 70009),
    ],
)
def test_what_does_not_fit_has_its_own_code(sig: str, expected: int) -> None:
    assert code(sig) == expected


def test_an_unknown_app_is_70020_whatever_it_signs() -> None:
    assert code(usersig(sdkappid=7, issued=NOW), sdkappid=7) == 70020


def test_who_is_no_administrator_is_60010_although_the_signature_is_right() -> None:
    assert code(usersig("user1", issued=NOW), identifier="user1") == 60010


def test_a_wrong_key_shows_before_an_expired_life() -> None:
    assert code(usersig(key="0" * 64, issued=NOW, life=1), now=NOW + 100) == 70009


@pytest.mark.parametrize("expected", [60010, 50003, 10007])
def test_a_revoked_administrator_gets_the_code_that_was_asked_for(expected: int) -> None:
    """Also when the UserSig was verified before, and until the right comes back."""
    gate = credentials()
    query = Query(DEMO_SDKAPPID, DEMO_IDENTIFIER, usersig(issued=NOW))
    assert gate.verify(query, NOW) is None

    gate.revoke_admin(DEMO_IDENTIFIER, expected)
    refusal = gate.verify(query, NOW)
    gate.grant_admin(DEMO_IDENTIFIER)

    assert refusal is not None
    assert refusal.code == expected
    assert gate.verify(query, NOW) is None


def test_a_revoked_key_makes_what_it_signed_wrong() -> None:
    gate = credentials()
    query = Query(DEMO_SDKAPPID, DEMO_IDENTIFIER, usersig(issued=NOW))
    gate.verify(query, NOW)

    gate.revoke_key(DEMO_SDKAPPID)

    refusal = gate.verify(query, NOW)
    assert refusal is not None
    assert refusal.code == 70009


def test_usersigs_made_stale_are_70052_and_newer_ones_pass() -> None:
    gate = credentials()

    gate.make_stale(NOW + 0.5)

    old = gate.verify(Query(DEMO_SDKAPPID, DEMO_IDENTIFIER, usersig(issued=NOW)), NOW + 1)
    assert old is not None
    assert old.code == 70052
    assert gate.verify(Query(DEMO_SDKAPPID, DEMO_IDENTIFIER, usersig(issued=NOW + 1)), NOW + 1) is None


def test_no_more_usersigs_are_remembered_than_the_bound() -> None:
    """A caller that never repeats one does not fill the memory, and is judged all the same."""
    gate = credentials()
    for number in range(2500):
        refusal = gate.verify(Query(DEMO_SDKAPPID, DEMO_IDENTIFIER, f"junk{number}"), NOW)
        assert refusal is not None
        assert refusal.code == 70003

    assert len(gate._cache) <= 1024


def test_nothing_that_is_shown_holds_the_usersig_or_the_key() -> None:
    gate = credentials()
    sig = usersig("somebody", issued=NOW)
    query = Query(DEMO_SDKAPPID, DEMO_IDENTIFIER, sig)

    shown = f"{query!r} {query} {gate.verify(query, NOW)!r} {gate!r}"

    assert sig not in shown
    assert DEMO_KEY not in shown
