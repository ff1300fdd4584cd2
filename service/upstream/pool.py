"""Connections to one address: made, kept for the next call, and closed.

They are transports; whoever has taken one sets its protocol, and gives it back or closes it.
"""

import asyncio
import socket
import ssl
from collections import deque
from typing import Any, cast

import aiohappyeyeballs
from yarl import URL

from service.upstream.address import Address
from service.upstream.contract import ConnectTimeout, Unreachable

# Most servers keep an idle connection for longer.
KEPT_S = 15.0
MOST_KEPT = 256
# RFC 8305, section 8: how long one family of addresses is tried alone.
NEXT_ADDRESS_S = 0.25
# A name is not asked for again by every call.
NAME_S = 10.0


class Spare(asyncio.Protocol):
    """The protocol of a connection that serves no call: whatever comes was not asked for, and ends it."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one only in kind

    def data_received(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.abort()


class Pool:
    """Transports to one address; the last that came back is the first that goes out.

    Args:
        timeout_s: for a connection to be made, a name resolved and TLS agreed on.
    """

    def __init__(self, address: Address, timeout_s: float) -> None:
        self.loop = self._loop = asyncio.get_running_loop()
        self._address = address
        self._url = URL(address.base)
        self._timeout_s = timeout_s
        self._tls = _tls() if self._url.scheme == "https" else None
        self._kept: deque[tuple[float, asyncio.Transport]] = deque()  # since when; the oldest first
        self._timer: asyncio.TimerHandle | None = None
        self._found: list[Any] = []  # what the host's name stands for
        self._found_until = 0.0
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<Pool to {self._url.host}, {len(self._kept)} kept>"

    def kept(self) -> asyncio.Transport | None:
        """A connection that is there already."""
        while self._kept:
            _, transport = self._kept.pop()
            if not transport.is_closing():
                return transport
        return None

    async def made(self) -> asyncio.Transport:
        """A new connection.

        Raises:
            Unreachable, ConnectTimeout: there is none.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._made()
        except TimeoutError as exc:
            raise ConnectTimeout("no connection in time") from exc
        except OSError as exc:
            self._found_until = 0.0  # the name may stand for another by now
            raise Unreachable(type(exc).__name__) from exc

    def give_back(self, transport: asyncio.Transport) -> None:
        """Keep a connection on which nothing is under way."""
        if self._is_closed or len(self._kept) >= MOST_KEPT or transport.is_closing():
            transport.close()
            return
        spare = Spare()
        transport.set_protocol(spare)
        spare.connection_made(transport)
        self._kept.append((self._loop.time(), transport))
        if self._timer is None:
            self._timer = self._loop.call_later(KEPT_S, self._tidy)

    def close(self) -> None:
        """Close those that are kept, and keep no more: each that is out is closed by whoever has it."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        while self._kept:
            self._kept.popleft()[1].close()

    def _tidy(self) -> None:
        """Close what was kept for long enough."""
        self._timer = None
        old = self._loop.time() - KEPT_S
        while self._kept and self._kept[0][0] <= old:
            self._kept.popleft()[1].close()
        if self._kept:
            self._timer = self._loop.call_at(self._kept[0][0] + KEPT_S, self._tidy)

    async def _made(self) -> asyncio.Transport:
        if self._address.socket is not None:
            transport, _ = await self._loop.create_unix_connection(Spare, self._address.socket)
            return transport
        name = self._url.raw_host if self._tls is not None else None
        found = await self._addresses()
        if len(found) == 1 and found[0][0] is socket.AF_INET:  # nothing to choose from: half the work
            host, port = found[0][4]
            transport, _ = await self._loop.create_connection(Spare, host, port, ssl=self._tls, server_hostname=name)
            return transport
        sock = await aiohappyeyeballs.start_connection(found, happy_eyeballs_delay=NEXT_ADDRESS_S)
        transport, _ = await self._loop.create_connection(Spare, sock=sock, ssl=self._tls, server_hostname=name)
        return transport

    async def _addresses(self) -> list[Any]:
        if self._loop.time() >= self._found_until:
            host, port = self._url.raw_host, self._url.port
            self._found = list(await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))
            self._found_until = self._loop.time() + NAME_S
        return self._found


def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
