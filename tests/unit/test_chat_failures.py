"""Exceptions become replies by their type, and their texts stay inside."""

from __future__ import annotations

import errno
import ssl

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.http import HttpProcessingError

from bulkops.chat.failures import not_connected, unanswered, wrong_certificate
from bulkops.model import Outcome

HOST = "chat.example:443"
KEY = ConnectionKey("chat.example", 443, is_ssl=True, ssl=True, proxy=None, proxy_auth=None, proxy_headers_hash=None)
URL = "https://chat.example/v4/x?usersig=secret"


def connector_error(number: int | None) -> aiohttp.ClientConnectorError:
    return aiohttp.ClientConnectorError(KEY, OSError(number, URL))


class CertificateError(ssl.SSLCertVerificationError):
    """What OpenSSL says of a certificate."""

    def __init__(self, number: int | None) -> None:
        super().__init__(1, URL)
        if number is not None:
            self.verify_code = number


@pytest.mark.parametrize(
    ("failure", "label", "words"),
    [
        (connector_error(errno.ECONNREFUSED), "refused", "refused"),
        (connector_error(errno.ENETUNREACH), "unreachable", "ENETUNREACH"),
        (connector_error(errno.EHOSTUNREACH), "unreachable", "EHOSTUNREACH"),
        (connector_error(errno.EADDRNOTAVAIL), "unreachable", "EADDRNOTAVAIL"),
        (connector_error(None), "unreachable", "can't be reached"),
        (connector_error(errno.EMFILE), "descriptors", "ulimit"),
        (connector_error(errno.ENFILE), "descriptors", "open files"),
        (connector_error(errno.ETIMEDOUT), "connect_timeout", "answer"),
        (TimeoutError(), "connect_timeout", "in time"),
        (aiohttp.ConnectionTimeoutError(URL), "connect_timeout", "in time"),
        (aiohttp.ClientConnectorDNSError(KEY, OSError(-2, URL)), "dns", "no address"),
        (UnicodeError(URL), "dns", "no address"),
        (aiohttp.ClientConnectorSSLError(KEY, ssl.SSLError(1, URL)), "tls", "https"),
        (connector_error(errno.ECONNRESET), "tls", "handshake"),
        (ConnectionResetError(errno.ECONNRESET, URL), "unreachable", "ECONNRESET"),
        (RuntimeError(URL), "unreachable", "can't be reached"),
        (aiohttp.ClientConnectionError(URL), "unreachable", "can't be reached"),
    ],
)
def test_without_a_connection_nothing_was_sent(failure: Exception, label: str, words: str) -> None:
    """The label says why, the words name the host, and none of the exception's own text gets out."""
    reply = not_connected(failure, HOST)
    assert (reply.outcome, reply.label, reply.code, reply.http) == (Outcome.NOT_SENT, label, None, None)
    assert words in reply.info
    assert HOST in reply.info
    assert type(failure).__name__ in reply.info
    assert not reply.fatal
    assert "usersig" not in repr(reply)


@pytest.mark.parametrize(
    ("number", "words", "then"),
    [
        (9, "not valid yet", "clock"),
        (10, "expired", "--endpoint"),
        (18, "self-signed", "--ca-file"),
        (19, "isn't trusted", "--ca-file"),
        (20, "isn't trusted", "--ca-file"),
        (21, "isn't trusted", "--ca-file"),
        (23, "revoked", "--endpoint"),
        (62, "another host", "--endpoint"),
        (64, "another address", "--endpoint"),
        (77, "verify code 77", "--endpoint"),
        (None, "verify code None", "--ca-file"),
    ],
)
def test_a_wrong_certificate_is_fatal_and_says_what_to_do(number: int | None, words: str, then: str) -> None:
    """Nothing was sent, nothing will be, and the words name the host, the fault and the flag."""
    reply = not_connected(aiohttp.ClientConnectorCertificateError(KEY, CertificateError(number)), HOST)
    assert (reply.outcome, reply.label) == (Outcome.NOT_SENT, "tls")
    assert reply.fatal == wrong_certificate(CertificateError(number), HOST)
    for part in (HOST, words, then):
        assert part in reply.fatal
    assert reply.fatal in reply.info
    assert "usersig" not in repr(reply)


@pytest.mark.parametrize(
    ("failure", "http", "label", "words"),
    [
        (aiohttp.ServerDisconnectedError(URL), None, "lost", "before an answer came"),
        (aiohttp.ClientOSError(errno.ECONNRESET, URL), None, "lost", "ECONNRESET"),
        (aiohttp.ClientPayloadError(URL), 200, "lost", "in the middle"),
        (OSError(URL), 502, "lost", "in the middle"),
        (HttpProcessingError(code=400, message=URL), None, "unreadable", "isn't HTTP"),
    ],
)
def test_what_left_and_got_lost_is_unanswered(failure: Exception, http: int | None, label: str, words: str) -> None:
    """In doubt, with as much of the status as came."""
    reply = unanswered(failure, http)
    assert (reply.outcome, reply.label, reply.http, reply.code) == (Outcome.UNANSWERED, label, http, None)
    assert words in reply.info
    assert type(failure).__name__ in reply.info
    assert "usersig" not in repr(reply)
