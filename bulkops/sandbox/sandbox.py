"""The sandbox for programs: one object to start, to give orders to, and to ask what really happened."""

from __future__ import annotations

import ssl
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, Self

from bulkops.chat.catalog import APIS
from bulkops.sandbox.control import Control
from bulkops.sandbox.faults import Fault
from bulkops.sandbox.server import Server
from bulkops.sandbox.service import Options, Service
from bulkops.sandbox.stats import SandboxStats, SeenRequest

DEMO_SDKAPPID: Final = 1400000000
DEMO_IDENTIFIER: Final = "administrator"
DEMO_KEY: Final = "0123456789abcdef" * 4
"""Not a secret: the key of an app that exists in the sandbox only."""


class Sandbox:
    """The Tencent Cloud Chat REST API imitated on this machine, with faults to order.

    Every user and group exists until something changes that. Calls are checked as strictly as the vendor's pages allow,
    counted at the moment they arrive, and every effect is kept, so that a ledger can be compared with the truth.

    Args:
        apps: SDKAppID to key; by default one app, `DEMO_SDKAPPID` with `DEMO_KEY`.
        admins: Identifiers that may call.
        limit: Calls per second of each (SDKAppID, API); `None` for what the vendor publishes.
        enforce: Answer 60007 to what is beyond the limit; counted either way.
        tolerance: Seconds that the limit's window is shorter than a second, for a machine that reads its clock late.
        faults: `Fault`s or their one-line specs. The first that hits a call wins.
        seed: Of the faults: the same seed and the same calls meet the same faults.
        track: Keep every target's calls and effects. Without it memory stays flat and conversation groups never vanish.
        strict: Refuse unknown names in query and body.
        clock_offset: Seconds that the server's clock is ahead of this machine's. May be set while it runs.
        ssl_context: For https.

    Raises:
        ValueError: A fault can't be read, or a limit is not at least 1.
    """

    def __init__(
        self,
        *,
        apps: Mapping[int, str] | None = None,
        admins: frozenset[str] = frozenset({DEMO_IDENTIFIER}),
        limit: int | None = None,
        enforce: bool = True,
        tolerance: float = 0.0,
        faults: Sequence[Fault | str] = (),
        seed: int = 0,
        track: bool = True,
        strict: bool = True,
        clock_offset: float = 0.0,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.seed = seed
        self._options = Options(
            apps=dict(apps or {DEMO_SDKAPPID: DEMO_KEY}),
            admins=admins,
            limit=limit,
            enforce=enforce,
            tolerance=tolerance,
            strict=strict,
            track=track,
            seed=seed,
        )
        self._service = Service(self._options, _read(faults), time.monotonic_ns())
        self._server = Server(self._service, Control(self), clock_offset, ssl_context)

    # life

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen, and return the base URL.

        Args:
            host: A loopback address.
            port: 0 for any free one.

        Raises:
            ValueError: The host is no loopback address.
            OSError: The port is taken.
        """
        self._service.begin(time.monotonic_ns())
        return await self._server.start(host, port)

    async def stop(self) -> None:
        """Stop listening and end every connection, whatever it waits for. Counts stay readable."""
        await self._server.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        """Base URL, without a slash at its end.

        Raises:
            RuntimeError: It is not running.
        """
        return self._server.url

    @property
    def clock_offset(self) -> float:
        """Seconds that the server's clock is ahead of this machine's."""
        return self._server.clock_offset

    @clock_offset.setter
    def clock_offset(self, seconds: float) -> None:
        self._server.clock_offset = seconds

    # what it has seen

    def stats(self) -> SandboxStats:
        """Counts since the start or the last reset."""
        now = time.monotonic_ns()
        return SandboxStats(
            apis={api.op: self._service.stats(api, now) for api in APIS},
            connections=self._server.connections,
            open_connections=self._server.open_connections,
            redirected=self._server.redirected,
            elsewhere=dict(self._server.elsewhere),
        )

    def departures(self, op: str) -> list[float]:
        """When the calls of an API came: seconds of `time.monotonic`, oldest first; the newest million at least."""
        return self._service.departures(op)

    def effects(self, op: str) -> Counter[str]:
        """How often each content (as in `model.Operation`) was really carried out. Empty without `track`."""
        return self._service.world.effects(op)

    def calls(self, op: str) -> Counter[str]:
        """How often each content was asked for by well-formed calls. Empty without `track`."""
        return self._service.world.calls(op)

    def cleared_to(self, group_id: str) -> int:
        """Highest MsgSeq up to which a group was cleared: 0 for never, 2⁶³−1 for all."""
        return self._service.world.cleared_to(group_id)

    def last_requests(self) -> list[SeenRequest]:
        """The newest calls as they came, oldest first."""
        return self._server.last_requests()

    def reset(self) -> None:
        """Forget everything that was counted or changed. Faults stay, and their time begins anew."""
        self._service = Service(self._options, self.faults, time.monotonic_ns())
        self._server.use(self._service)

    # what it is told to do

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What is ordered, in its order."""
        return self._service.draws.faults

    def add_fault(self, fault: Fault | str) -> None:
        """Order one more fault.

        Raises:
            ValueError: The spec orders nothing.
        """
        self.set_faults((*self.faults, fault))

    def clear_faults(self) -> None:
        """End all faults, an outage too."""
        self.set_faults(())

    def set_faults(self, faults: Sequence[Fault | str]) -> None:
        """Order these faults and no others.

        Raises:
            ValueError: A spec orders nothing; then nothing is changed.
        """
        self._service.order(_read(faults))
        self._server.apply_faults()

    def dissolve(self, group_id: str) -> None:
        """From now on clears of the group are answered with 10010."""
        self._service.world.dissolve(group_id)

    def forget_user(self, user_id: str) -> None:
        """From now on calls for the user are answered with 50001."""
        self._service.world.forget_user(user_id)

    def forget_conversation_group(self, user_id: str, name: str) -> None:
        """From now on deletions of the user's conversation group are answered with 51009."""
        self._service.world.forget_conversation_group(user_id, name)

    def revoke_admin(self, identifier: str = DEMO_IDENTIFIER, code: int = 60010) -> None:
        """From now on the identifier's calls are answered with `code`."""
        self._service.credentials.revoke_admin(identifier, code)

    def grant_admin(self, identifier: str) -> None:
        """From now on the identifier may call."""
        self._service.credentials.grant_admin(identifier)

    def revoke_key(self, sdkappid: int = DEMO_SDKAPPID) -> None:
        """From now on the app's key is another: what is signed with the known one is answered with 70009."""
        self._service.credentials.revoke_key(sdkappid)

    def make_usersigs_stale(self) -> None:
        """Every UserSig issued up to the present second (of the server's clock) is answered with 70052."""
        self._service.credentials.make_stale(self._server.utc())


def _read(faults: Sequence[Fault | str]) -> tuple[Fault, ...]:
    return tuple(Fault.parse(fault) if isinstance(fault, str) else fault for fault in faults)
