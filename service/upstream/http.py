"""An upstream over HTTP: any v1.3 server, on TCP or a Unix socket.

Redirects are answers like any other, no proxy is taken from the environment, no
cookie is kept: what the caller did not send is not sent.
"""

import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

import aiohttp
from yarl import URL

from service.upstream.address import Address
from service.upstream.contract import BadHttp, Broken, ConnectTimeout, Unreachable, UpstreamFault

READ_BUFFER_BYTES = 1 << 16


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


class HttpAnswer:
    """The answer to one analyze call (contract: `service.upstream.contract.Answer`)."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._content = response.content
        self.status = response.status
        self.headers = response.headers

    async def read(self) -> bytes:
        try:
            return await self._content.readany()
        except FAULTS as exc:
            # A reader that was busy when the connection broke has not seen what
            # came before the break; aiohttp keeps it, and raises instead.
            if rest := b"".join(bytes(part) for part in self._content._buffer):
                self._content._buffer.clear()
                return rest
            raise translated(exc) from exc


class HttpUpstream:
    """One upstream address and the connections to it.

    An async context manager: leaving it closes every connection.

    Args:
        address: where it is.
        api_key: sent as ``x-api-key`` in place of the caller's; None sends none.
        connect_timeout_s: the connect clock.
        silence_timeout_s: how long an answer that is passed through may stall.
        max_connections: connections at once; 0 is no limit (admission is the hub's).
    """

    def __init__(
        self,
        address: Address,
        *,
        api_key: str | None,
        connect_timeout_s: float,
        silence_timeout_s: float | None = None,
        max_connections: int = 0,
    ) -> None:
        self.address = address
        self.api_key = api_key
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_s, connect=None)
        # For calls that are passed through: an upload may take an hour, a silence may not.
        self.passing_timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=connect_timeout_s, sock_read=silence_timeout_s
        )
        self._max_connections = max_connections
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector: aiohttp.BaseConnector
        if self.address.socket is not None:
            connector = aiohttp.UnixConnector(self.address.socket, limit=self._max_connections)
        else:
            connector = aiohttp.TCPConnector(limit=self._max_connections)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            timeout=self._timeout,
            read_bufsize=READ_BUFFER_BYTES,
            trace_configs=[_connection_trace()],
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
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

    @asynccontextmanager
    async def analyze(
        self, body: bytes, headers: Mapping[str, str], connected: Callable[[], None]
    ) -> AsyncIterator[HttpAnswer]:
        """See `service.upstream.contract.Upstream.analyze`."""
        sent = {**headers, "Content-Type": "application/json", "Accept-Encoding": "identity"}
        if self.api_key is not None:
            sent["x-api-key"] = self.api_key
        try:
            response = await self.session.post(
                self.url("/analyze"),
                data=body,
                headers=sent,
                allow_redirects=False,
                trace_request_ctx=connected,
            )
        except FAULTS as exc:
            raise translated(exc) from exc
        try:
            yield HttpAnswer(response)
        finally:
            # Closes the connection unless the body was read to its end.
            response.close() if not response.content.at_eof() else response.release()


def _connection_trace() -> aiohttp.TraceConfig:
    """Tell a request's ``connected`` when its connection, new or kept, is there."""

    async def told(_session: aiohttp.ClientSession, context: Any, _params: object) -> None:
        if context.trace_request_ctx is not None:
            context.trace_request_ctx()

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(told)
    trace.on_connection_reuseconn.append(told)
    return trace
