"""The credential: a UserSig, made once, used for many calls, renewed long before it expires.

The only module that knows the signing library. It never decides that a run ends: a server's "expired" is the engine's business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from TLSSigAPIv2 import TLSSigAPIv2

from bulkops.errors import ConfigError

if TYPE_CHECKING:
    from bulkops.engine.ports import Clock

LIFE: Final = 3600
"""How long a UserSig is valid, in whole seconds. The library's own default is 180 days, and anybody can read what it holds.

Whole: the library signs `3600.0` as written but sends 3600, which no server accepts.
"""

RENEWAL_PAUSE: Final = 1.0
"""Least seconds between two renewals."""


class UserSigner:
    """Gives the UserSig of the moment.

    A new one is made at half its life by the monotonic clock; when the wall clock has moved away from that by more than a
    quarter of its life, in either direction (set by hand, or the machine slept); and on `renew`. So it is never used in the
    last quarter of its life.

    Args:
        sdkappid: The app.
        identifier: The administrator account that signs.
        key: Gives the app's key. Asked whenever a UserSig is made, and not kept.
        clock: Both clocks. The library itself signs with the machine's wall clock.
        life: How long a UserSig is valid, in whole seconds.

    Raises:
        ConfigError: Nothing can be signed with this key.
    """

    __slots__ = ("_clock", "_identifier", "_key", "_life", "_made_monotonic", "_made_utc", "_sdkappid", "_stale", "_usersig")

    def __init__(self, sdkappid: int, identifier: str, key: Callable[[], str], clock: Clock, *, life: int = LIFE) -> None:
        self._sdkappid = sdkappid
        self._identifier = identifier
        self._key = key
        self._clock = clock
        self._life = life
        self._make()

    def current(self) -> str:
        """The UserSig to use now, in the library's alphabet (letters, digits, `*`, `-`, `_`)."""
        elapsed = self._clock.monotonic() - self._made_monotonic
        drift = (self._clock.utc() - self._made_utc) / 1e6 - elapsed
        stale = self._stale and elapsed >= RENEWAL_PAUSE
        if stale or elapsed >= self._life / 2 or abs(drift) > self._life / 4:
            self._make()
        return self._usersig

    def renew(self) -> None:
        """Make a new one, as soon as the present one is a second old: the library signs with whole seconds."""
        self._stale = True

    def _make(self) -> None:
        try:
            library = TLSSigAPIv2(self._sdkappid, self._key())
            # Renamed in the library's repository, not in its releases, under one version number.
            sign = getattr(library, "gen_sig", None) or library.genUserSig
            usersig = str(sign(self._identifier, self._life))
        except Exception as failure:  # noqa: BLE001 - whatever it is, its text and its locals may hold the key
            kind = type(failure).__name__
        else:
            self._usersig = usersig
            self._stale = False
            self._made_monotonic = self._clock.monotonic()
            self._made_utc = self._clock.utc()
            return
        # Outside of the handler: an exception raised in it would carry the first one along.
        raise ConfigError(f"no UserSig can be signed with the secret key given ({kind}): copy the key from the console again")
