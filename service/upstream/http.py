"""An upstream over HTTP: any v1.3 server, on TCP or a Unix socket.

Analyses are called by a client of our own, on the transport itself; what is passed through,
uploads among it, goes by aiohttp's.

Redirects are answers like any other, no proxy is taken from the environment, no
cookie is kept: what the caller did not send is not sent.
"""

import re
import ssl
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from service.upstream.address import Address
from service.upstream.answer import HttpAnswer
from service.upstream.contract import Answer, BadHttp, Broken, ConnectTimeout, Unreachable, UpstreamFault, ignored
from service.upstream.pool import Pool

READ_BUFFER_BYTES = 1 << 16
# A body up to here is copied behind its head, and leaves with it.
JOINED_BYTES = 1 << 16
UNSAFE = re.compile("[\r\n\0]")


def translated(exc: Exception) -> UpstreamFault:
    """aiohttp's word for what went wrong, in the contract's words."""
    if isinstance(exc, aiohttp.ConnectionTimeoutError):
        return ConnectTimeout(type(exc).__name__)
    if isinstance(exc, aiohttp.ClientConnectorError | ssl.SSLError):
        return Unreachable(type(exc).__name__)
    if isinstance(exc, aiohttp.ClientPayloadError):
        # One class there for a body cut short and one that does not inflate.
        bad = isinstance(exc.__cause__, aiohttp.http_exceptions.ContentEncodingError)
        return (BadHttp if bad else Broken)(type(exc).__name__)
    if isinstance(exc, aiohttp.ClientResponseError | aiohttp.http_exceptions.HttpProcessingError):
        return BadHttp(type(exc).__name__)
    return Broken(type(exc).__name__)


FAULTS = (aiohttp.ClientError, aiohttp.http_exceptions.HttpProcessingError, OSError, TimeoutError)


class HttpUpstream:
    """One upstream address and the connections to it.

    An async context manager: leaving it closes every connection.

    Args:
        address: where it is.
        api_key: sent as ``x-api-key`` in place of the caller's; None sends none.
        connect_timeout_s: the connect clock.
        silence_timeout_s: how long an answer that is passed through may stall.
    """

    def __init__(
        self,
        address: Address,
        *,
        api_key: str | None,
        connect_timeout_s: float,
        silence_timeout_s: float | None = None,
    ) -> None:
        self.address = address
        self.api_key = api_key
        self._connect_timeout_s = connect_timeout_s
        # For calls that are passed through: an upload may take an hour, a silence may not.
        self.passing_timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=connect_timeout_s, sock_read=silence_timeout_s
        )
        self._session: aiohttp.ClientSession | None = None
        self._pool: Pool | None = None
        self._head = self._request_head()

    async def __aenter__(self) -> Self:
        self._pool = Pool(self.address, self._connect_timeout_s)
        connector: aiohttp.BaseConnector
        if self.address.socket is not None:
            connector = aiohttp.UnixConnector(self.address.socket, limit=0)
        else:
            connector = aiohttp.TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_timeout_s, connect=None),
            read_bufsize=READ_BUFFER_BYTES,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.close()
        if self._session is not None:
            await self._session.close()

    @property
    def session(self) -> aiohttp.ClientSession:
        """The client, for the pass-through of other calls."""
        assert self._session is not None, "the upstream is used outside its context"
        return self._session

    def url(self, path_qs: str) -> URL:
        """The upstream's address for what follows ``/v1.3``, already percent-encoded."""
        return URL(self.address.base + path_qs, encoded=True)

    def analyze(
        self,
        body: bytes,
        headers: Mapping[str, str],
        connected: Callable[[], None],
        begun: Callable[[Answer], None] = ignored,
    ) -> AbstractAsyncContextManager[Answer]:
        """See `service.upstream.contract.Upstream.analyze`."""
        assert self._pool is not None, "the upstream is used outside its context"
        return _Call(self._pool, self._request(body, headers), connected, begun)

    def _request_head(self) -> str:
        """What the head of each call begins with."""
        url = self.url("/analyze")
        own = {
            "Host": url.host_port_subcomponent or "",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "User-Agent": "fanlight",
            "Content-Type": "application/json",
        }
        return f"POST {url.raw_path} HTTP/1.1\r\n" + _fields(own)

    def _request(self, body: bytes, headers: Mapping[str, str]) -> tuple[bytes, ...]:
        """A call as it is written, a small one in one piece."""
        if self.api_key is not None:  # which may be another one by now
            headers = {**headers, "x-api-key": self.api_key}
        head = f"{self._head}{_fields(headers)}Content-Length: {len(body)}\r\n\r\n".encode()
        return (head + body,) if len(body) <= JOINED_BYTES else (head, body)


class _Call:
    """One call, as long as it lasts."""

    __slots__ = ("_answer", "_begun", "_connected", "_pool", "_request", "_transport")

    def __init__(
        self,
        pool: Pool,
        request: tuple[bytes, ...],
        connected: Callable[[], None],
        begun: Callable[[Answer], None],
    ) -> None:
        self._pool = pool
        self._request = request
        self._connected = connected
        self._begun = begun
        self._answer: HttpAnswer | None = None

    async def __aenter__(self) -> Answer:
        self._transport = transport = self._pool.kept() or await self._pool.made()
        try:
            self._connected()
            self._answer = answer = HttpAnswer(transport, self._pool.loop, self._begun)
            for part in self._request:
                transport.write(part)
            self._request = ()
            await answer.begun()
        except BaseException:
            self._leave()
            raise
        return answer

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        """What is still to be sent, or to come, is nobody's any more."""
        answer, transport = self._answer, self._transport
        if answer is not None:
            answer.leave()
        if answer is not None and answer.leaves_connection and not transport.get_write_buffer_size():
            answer.resume()
            self._pool.give_back(transport)
        else:
            transport.abort()


def _fields(headers: Mapping[str, str]) -> str:
    """Lines of a head.

    Raises:
        ValueError: one would be more than a line.
    """
    if any(map(UNSAFE.search, headers.values())):
        raise ValueError("a header's value is more than a line")
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
