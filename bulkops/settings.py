"""A run's settings as one frozen object, checked whole, built once at the edge (the command line, or a program).

Reads no environment and no file. What is stored in a ledger to resume from is `stored()`: never a secret.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Final
from urllib.parse import urlsplit

from bulkops.chat.catalog import APIS, BY_NAME
from bulkops.chat.verdicts import verdict_of
from bulkops.errors import ConfigError
from bulkops.model import Verdict

REGIONS: Final[Mapping[str, str]] = {
    "china": "https://console.tim.qq.com",
    "singapore": "https://adminapisgp.im.qcloud.com",
    "seoul": "https://adminapikr.im.qcloud.com",
    "tokyo": "https://adminapijpn.im.qcloud.com",
    "frankfurt": "https://adminapiger.im.qcloud.com",
    "siliconvalley": "https://adminapiusa.im.qcloud.com",
    "jakarta": "https://adminapiidn.im.qcloud.com",
}
"""Where an app's region answers. Source: the vendor's pages for the three APIs, 2020 to 2026."""

LARGEST: Final = 2**63 - 1
"""The largest whole number that a ledger can hold."""

_OWN_PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443}
_HOST: Final = re.compile(r"[\w:%-][\w.:%-]*")


class Secret:
    """A text that never shows itself: neither `repr`, `str`, formatting nor pickling give it away."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text. Only what signs with it calls this."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled")

    def __bool__(self) -> bool:
        return bool(self._text)


@dataclass(frozen=True, slots=True)
class MaxFailures:
    """When too many operations failed: a count, or a share once enough have ended.

    Args:
        count: Stop at this many; `None` where a share is meant.
        percent: Stop above this share of those that ended in the process.
        after: The share counts once this many have ended.
    """

    count: int | None = None
    percent: float = 50.0
    after: int = 1000

    @classmethod
    def parse(cls, text: str) -> MaxFailures:
        """`100` or `5%`.

        Raises:
            ConfigError: It is neither.
        """
        try:
            if text.endswith("%"):
                percent = float(text[:-1])
                if 0 <= percent <= 100:
                    return cls(percent=percent)
            elif text.isascii() and text.isdigit():
                return cls(count=int(text))
        except ValueError:
            pass
        raise ConfigError(f"--max-failures takes a whole number or a share such as 5%, not {text!r}")

    def __str__(self) -> str:
        return f"{self.percent:g}%" if self.count is None else str(self.count)


@dataclass(frozen=True, slots=True)
class Settings:
    """How a run is carried out. Durations in seconds, rates in calls per second.

    Args:
        sdkappid: The app. Positive.
        identifier: An administrator account of the app.
        secret_key: The app's key, which signs UserSigs.
        endpoint: `https://host[:port]`; plain http only to a loopback address.
        region: The region's name where the endpoint was chosen by it; for messages.
        ca_file: PEM file of certificates to trust instead of the system's.
        rates: Calls per second by op, where they differ from the published limit.
        allow_over_limit: Take rates above the published limit.
        max_attempts: Calls for one operation that count, the first included.
        absent_codes: ErrorCodes to take for "already gone".
        absent_fails: `--absent fail`: absent operations count against the exit code.
        hold_in_doubt: `--in-doubt hold`: what a crash left in doubt is not sent again.
        outage_limit: How long a lane may be without success before it stops.
        max_failures: Stop when this many operations failed in this process.
        max_ops: Refuse a job of more operations; `None` for no limit.
        max_duration: Stop after this long; `None` for never.
        canary: Operations of each API to carry out before asking; 0 for none.
        allow_shared_quota: Run although another run on this machine uses the same lane.
        sandbox: The run goes to the built-in sandbox.
        profile: Name of the profile that the command line took settings from; for the resume.
    """

    sdkappid: int
    identifier: str
    secret_key: Secret
    endpoint: str
    region: str = ""
    ca_file: str = ""
    rates: Mapping[str, int] = field(default_factory=dict)
    allow_over_limit: bool = False
    max_attempts: int = 8
    absent_codes: frozenset[int] = frozenset()
    absent_fails: bool = False
    hold_in_doubt: bool = False
    outage_limit: float = 1800.0
    max_failures: MaxFailures = MaxFailures()
    max_ops: int | None = None
    max_duration: float | None = None
    canary: int = 0
    allow_shared_quota: bool = False
    sandbox: bool = False
    profile: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.sdkappid <= LARGEST:
            raise ConfigError("the SDKAppID is a positive whole number; see the console")
        if not self.identifier:
            raise ConfigError("the identifier (an administrator account of the app) is missing")
        if not self.secret_key:
            raise ConfigError("the secret key is missing")
        if self.max_attempts < 1:
            raise ConfigError("--max-attempts is at least 1")
        check_endpoint(self.endpoint)
        check_absent_codes(self.absent_codes)
        check_rates(self.rates, allow_over_limit=self.allow_over_limit)

    def rate(self, op: str) -> int:
        """Calls per second of one API."""
        return self.rates.get(op, BY_NAME[op].rate)

    def stored(self) -> dict[str, object]:
        """What the ledger keeps to resume from, as JSON values; no secret."""
        out: dict[str, object] = {}
        for each in fields(self):
            if each.name == "secret_key":
                continue
            value = getattr(self, each.name)
            if isinstance(value, frozenset):
                value = sorted(value)
            elif isinstance(value, MaxFailures):
                value = str(value)
            elif isinstance(value, Mapping):
                value = dict(value)
            out[each.name] = value
        return out


def check_endpoint(endpoint: str) -> None:
    """See that an endpoint is usable. What is refused is not quoted beyond scheme and host: the rest may hold a credential.

    Raises:
        ConfigError: It is no URL of a host, or plain http to anything but a loopback address.
    """
    try:
        parts = urlsplit(endpoint)
        usable = parts.scheme in _OWN_PORTS and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not parts.hostname or not _HOST.fullmatch(parts.hostname):
        raise ConfigError("the endpoint is no URL such as https://console.tim.qq.com; or give --region")
    if "@" in parts.netloc or parts.query or parts.fragment or parts.path not in {"", "/"}:
        raise ConfigError(
            f"the endpoint {parts.scheme}://{parts.hostname}… is more than scheme, host and port: give only those"
        )
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ConfigError(f"plain http to {parts.hostname} would show the UserSig to the network: use https")


def canonical_endpoint(endpoint: str) -> str:
    """An endpoint as everybody spells it: in lower case, without the scheme's own port, a dot or a slash at its end.

    Raises:
        ConfigError: As in `check_endpoint`.
    """
    check_endpoint(endpoint)
    parts = urlsplit(endpoint)
    host = str(parts.hostname).rstrip(".")
    port = "" if parts.port in {None, _OWN_PORTS[parts.scheme]} else f":{parts.port}"
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}"


def is_loopback(host: str) -> bool:
    """Whether a host is this machine for certain, without asking a name server."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_absent_codes(codes: frozenset[int]) -> None:
    """See that codes may mean "already gone": those that would be refused otherwise.

    Raises:
        ConfigError: One means success, or that something must be repeated or mended.
    """
    for code in sorted(codes):
        verdicts = {verdict_of(api, code) for api in APIS}
        if not verdicts <= {Verdict.REFUSED, Verdict.ABSENT}:
            word = min(verdicts - {Verdict.REFUSED, Verdict.ABSENT}).word.replace("_", " ")
            raise ConfigError(f"--absent-codes {code}: that code means {word}; only codes that are refused can mean absent")


def check_rates(rates: Mapping[str, int], *, allow_over_limit: bool) -> None:
    """See that rates are whole, at least 1 and within the published limits.

    Raises:
        ConfigError: One is not, or names no API.
    """
    published = {api.op: api.rate for api in APIS}
    for op, rate in rates.items():
        if op not in published:
            raise ConfigError(f"--rate {op}={rate}: there is no API {op!r}; see bulkops apis")
        if rate < 1:
            raise ConfigError(f"--rate {rate}: the rate is a whole number, at least 1")
        if rate > published[op] and not allow_over_limit:
            raise ConfigError(
                f"--rate {rate} is above the {published[op]} calls per second that the vendor publishes for {op}:"
                " the surplus would be rejected; --allow-over-limit if the app has a higher quota"
            )
