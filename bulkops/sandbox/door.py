"""The listening socket: loopback only, and able to refuse connections for a while without losing its port."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable

BACKLOG = 1024


def loopback(host: str) -> str:
    """The address to bind for a host of this machine.

    Raises:
        ValueError: The host is not for certain a loopback address.
    """
    if host == "localhost":
        return "127.0.0.1"
    try:
        if ipaddress.ip_address(host).is_loopback:
            return host
    except ValueError:
        pass
    raise ValueError(f"the sandbox listens on loopback addresses only, such as 127.0.0.1, not on {host!r}")


class Door:
    """A listening socket.

    Args:
        factory: Makes the protocol of a connection.
        ssl_context: For https.
    """

    def __init__(self, factory: Callable[[], asyncio.Protocol], ssl_context: ssl.SSLContext | None) -> None:
        self._factory = factory
        self._ssl = ssl_context
        self._address: tuple[str, int] = ("", 0)
        self._listener: asyncio.Server | None = None
        self._placeholder: socket.socket | None = None

    @property
    def url(self) -> str:
        """Base URL, without a slash at its end."""
        host, port = self._address
        return f"{'https' if self._ssl else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"

    @property
    def open(self) -> bool:
        """Whether connections are accepted."""
        return self._listener is not None

    async def listen(self, host: str, port: int) -> None:
        """Bind and accept connections.

        Raises:
            ValueError: The host is no loopback address.
            OSError: The port is taken.
        """
        self._address = (loopback(host), port)
        sock = self._bind()
        self._address = (self._address[0], int(sock.getsockname()[1]))
        await self._accept(sock)

    def shut(self) -> None:
        """Refuse connections from now on. The port stays ours: a bound socket that does not listen refuses them."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            self._placeholder = self._bind()

    async def reopen(self) -> None:
        """Accept connections again."""
        if self._placeholder is not None:
            sock, self._placeholder = self._placeholder, None
            await self._accept(sock)

    def close(self) -> None:
        """Stop listening for good."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if self._placeholder is not None:
            self._placeholder.close()
            self._placeholder = None

    async def _accept(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._factory, sock=sock, ssl=self._ssl, backlog=BACKLOG)

    def _bind(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setblocking(False)
            sock.bind(self._address)
        except OSError:
            sock.close()
            raise
        return sock
