"""What goes wrong on the way, in our own words: exceptions of aiohttp, asyncio, the sockets and TLS become replies.

Exceptions are told apart by type and number. Their texts never get out: they are full of URLs, and of whatever a server sent.
"""

from __future__ import annotations

import asyncio
import errno
import ssl
from typing import Final

import aiohttp
from aiohttp.http import HttpProcessingError

from bulkops.model import Outcome, Reply

ON_CONNECTING: Final = (aiohttp.ClientError, OSError, UnicodeError, RuntimeError)
"""What connecting raises. A `UnicodeError` is a host that can't be a host; uvloop raises `RuntimeError` where others say `OSError`."""

ON_AWAITING: Final = (aiohttp.ClientError, HttpProcessingError, OSError)
"""What waiting for an answer and reading it raises. `TimeoutError` is an `OSError`."""

_CAUSES: Final = {
    errno.ECONNREFUSED: ("refused", "connection refused by {host}"),
    errno.EMFILE: ("descriptors", "too many open files to connect to {host}: raise the limit (ulimit -n)"),
    errno.ENFILE: ("descriptors", "too many open files on this machine to connect to {host}"),
    errno.ETIMEDOUT: ("connect_timeout", "{host} doesn't answer"),
}

_TRUST: Final = "check --endpoint; if the server is the right one, name the authority's certificate with --ca-file"
_ELSEWHERE: Final = "check --endpoint: something else may stand in its place"

# Source: OpenSSL, openssl-verification-options(1), X509_V_ERR_…
_CERTIFICATES: Final = {
    9: ("is not valid yet", "check this machine's clock; or the server needs another certificate"),
    10: ("has expired", "check this machine's clock; or the server needs a new certificate, see --endpoint"),
    18: ("is self-signed", _TRUST),
    19: ("comes from an authority that isn't trusted here (self-signed in its chain)", _TRUST),
    20: ("comes from an authority that isn't trusted here", _TRUST),
    21: ("comes from an authority that isn't trusted here", _TRUST),
    23: ("was revoked", _ELSEWHERE),
    62: ("is made out to another host", _ELSEWHERE),
    64: ("is made out to another address", _ELSEWHERE),
}


def not_connected(failure: BaseException, host: str) -> Reply:
    """The reply of a call for which no connection came about. Nothing has left.

    Args:
        failure: Anything of `ON_CONNECTING`.
        host: Host and port, for the words.
    """
    kind = type(failure).__name__
    if isinstance(failure, aiohttp.ClientConnectorCertificateError):
        fatal = wrong_certificate(failure.certificate_error, host)
        return not_sent("tls", f"{fatal} ({kind})", fatal=fatal)
    label, words = _cause(failure)
    return not_sent(label, f"{words.format(host=host)} ({kind})")


def not_sent(label: str, info: str, *, fatal: str = "") -> Reply:
    """The reply of a call of which no byte left."""
    return Reply(Outcome.NOT_SENT, label=label, info=info, fatal=fatal)


def unanswered(failure: BaseException, http: int | None) -> Reply:
    """The reply of a call that left and whose answer was lost on the way, or was no HTTP.

    Args:
        failure: Anything of `ON_AWAITING`.
        http: Status of the response, where that much of it came.
    """
    kind = type(failure).__name__
    if isinstance(failure, HttpProcessingError):
        return Reply(Outcome.UNANSWERED, http, None, "unreadable", f"the answer isn't HTTP ({kind})")
    number = getattr(failure, "errno", None)
    name = errno.errorcode.get(number, "") if isinstance(number, int) else ""
    where = "in the middle of the answer" if http is not None else "before an answer came"
    return Reply(Outcome.UNANSWERED, http, None, "lost", f"connection lost {where} ({' '.join(filter(None, (kind, name)))})")


def timed_out(words: str, http: int | None) -> Reply:
    """The reply of a call that left and was given up: `words` say after what."""
    return Reply(Outcome.UNANSWERED, http, None, "timeout", words)


def wrong_certificate(failure: BaseException, host: str) -> str:
    """What is wrong with a server's certificate, and what to do; one sentence."""
    number = getattr(failure, "verify_code", None)
    known = _CERTIFICATES.get(number) if isinstance(number, int) else None
    what, then = known or (f"was not accepted (OpenSSL's verify code {number})", _TRUST)
    return f"the certificate of {host} {what}: {then}"


def _cause(failure: BaseException) -> tuple[str, str]:
    """Label and words for a failure to connect that has nothing to do with certificates."""
    if isinstance(failure, aiohttp.ClientConnectorDNSError | UnicodeError):
        return "dns", "no address found for {host}"
    if isinstance(failure, aiohttp.ClientSSLError | ssl.SSLError):
        return "tls", "no TLS with {host}: does it speak https on this port?"
    if isinstance(failure, asyncio.TimeoutError):
        return "connect_timeout", "no connection to {host} in time"
    if isinstance(failure, OSError):
        number = failure.errno
        if number in _CAUSES:
            return _CAUSES[number]
        if isinstance(getattr(failure, "os_error", None), ConnectionError):
            return "tls", "{host} broke off the TLS handshake: does it speak https on this port?"
        reason = errno.errorcode.get(number, "") if number else ""
        return "unreachable", "{host} can't be reached" + (f": {reason}" if reason else "")
    return "unreachable", "{host} can't be reached"
