"""Certificates of a test's own authority, made on the spot."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

import trustme

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


class Authority:
    """Signs certificates, and is trusted by whoever names its file.

    Args:
        folder: Where its own certificate goes.
    """

    def __init__(self, folder: Path) -> None:
        self._ca = trustme.CA()
        self._folder = folder
        self.file = str(folder / "authority.pem")
        self._ca.cert_pem.write_to_path(self.file)

    def server(self, *hosts: str, expires_at: datetime | None = None) -> ssl.SSLContext:
        """TLS for a server with a certificate for these hosts."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert(*hosts, not_after=expires_at).configure_cert(context)
        return context

    def self_signed(self) -> ssl.SSLContext:
        """TLS for a server that shows the authority's own certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        both = self._folder / "self-signed.pem"
        both.write_bytes(self._ca.private_key_pem.bytes() + self._ca.cert_pem.bytes())
        context.load_cert_chain(both)
        return context
