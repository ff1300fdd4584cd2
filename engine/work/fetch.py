"""The one function that fetches a URL for a stranger.

An address is judged where the socket is made, after the name was resolved: whatever
name, literal or redirect led there, a socket to a private address never comes to be, and
the address that was judged is the one that is connected to.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from urllib.parse import unquote, urljoin, urlsplit

import aiohttp

from engine.errors import invalid

MAX_REDIRECTS = 5
_CONNECT_TIMEOUT_S = 10.0
_READ_TIMEOUT_S = 30.0
_TOTAL_TIMEOUT_S = 30 * 60.0
_CHUNK_BYTES = 1 << 20

# Networks that carry an IPv4 address inside: the inner one would be reached.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class AddressRefused(PermissionError):
    """The address is not one of the public internet."""


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet, also through any of its disguises."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def check_url(url: str) -> None:
    """Refuse what cannot be fetched, by its form alone.

    Raises:
        ApiError: ``parameter_invalid``.
    """
    try:
        parts = urlsplit(url)
        port_is_sound = parts.port is None or parts.port > 0
    except ValueError as exc:
        raise invalid("The url parameter is not a valid URL.") from exc
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_sound:
        raise invalid("The url parameter must be an http or https address.")
    if parts.username is not None or parts.password is not None:
        raise invalid("The url parameter must not contain a user name or password.")


def filename_of(url: str) -> str | None:
    """Return the last part of a URL's path."""
    return unquote(urlsplit(url).path).rpartition("/")[2] or None


class Fetcher:
    """Fetch URLs.

    Args:
        allow_private: also connect to loopback, private and link-local addresses.
    """

    def __init__(self, allow_private: bool = False) -> None:
        self._allow_private = allow_private

    async def fetch(self, url: str, write: Callable[[bytes], Awaitable[None]]) -> None:
        """Hand the body at ``url`` to ``write``, which bounds its size by raising.

        Raises:
            ApiError: ``parameter_invalid``; the address is refused, or does not answer
                with 200 and a body.
        """
        connector = aiohttp.TCPConnector(socket_factory=self._socket, use_dns_cache=False, force_close=True, limit=1)
        timeout = aiohttp.ClientTimeout(
            total=_TOTAL_TIMEOUT_S, sock_connect=_CONNECT_TIMEOUT_S, sock_read=_READ_TIMEOUT_S
        )
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
        ) as session:
            try:
                await self._follow(session, url, write)
            except (aiohttp.ClientError, OSError, TimeoutError, UnicodeError) as exc:
                raise invalid(f"The url parameter could not be fetched: {_reason(exc)}.") from exc

    async def _follow(
        self, session: aiohttp.ClientSession, url: str, write: Callable[[bytes], Awaitable[None]]
    ) -> None:
        for _ in range(MAX_REDIRECTS + 1):
            check_url(url)
            async with session.get(url, allow_redirects=False) as response:
                if response.status in (301, 302, 303, 307, 308) and "Location" in response.headers:
                    url = urljoin(url, response.headers["Location"])
                    continue
                if response.status != 200:
                    raise invalid(f"The url parameter could not be fetched: it answers {response.status}.")
                async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                    await write(chunk)
                return
        raise invalid(f"The url parameter could not be fetched: more than {MAX_REDIRECTS} redirects.")

    def _socket(self, address: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, where = address
        if not self._allow_private and not is_public(str(where[0])):
            raise AddressRefused("the address is not a public one")
        return socket.socket(family, kind, protocol)


def _reason(exc: BaseException) -> str:
    """Say what went wrong without repeating the address, which may hold secrets."""
    cause: BaseException | None = exc
    while cause is not None:
        if isinstance(cause, AddressRefused) or "not a public one" in str(cause):
            return "its address is not a public one"
        cause = cause.__cause__
    if isinstance(exc, asyncio.TimeoutError):
        return "it took too long"
    if isinstance(exc, aiohttp.ClientConnectorError):
        return "no connection could be made"
    return "the transfer broke"
