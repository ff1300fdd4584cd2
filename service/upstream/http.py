"""An upstream over HTTP: any v1.3 server, on TCP or a Unix socket.

Redirects are answers like any other, no proxy is taken from the environment, no
cookie is kept: what the caller did not send is not sent.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self, cast

import aiohttp
from aiohttp.base_protocol import BaseProtocol
from yarl import URL

from service.upstream.address import Address
from service.upstream.contract import BadHttp, Broken, ConnectTimeout, Unreachable, UpstreamFault

READ_BUFFER_BYTES = 1 << 16
# What `HttpAnswer` takes of aiohttp's reader past its public side: on the version that
# pyproject.toml names, and on no other.
_READER = ("_buffer", "_cursor", "_size", "_http_chunk_splits", "_protocol")


def check_reader(reader: object, protocol: object) -> None:
    """Refuse to start on an aiohttp that is built otherwise: it would lose text, or never end.

    Raises:
        RuntimeError: naming what is missing.
    """
    missing = [name for name in _READER if not hasattr(reader, name)]
    if not hasattr(protocol, "_reading_paused"):
        missing.append("_reading_paused")
    if missing:
        raise RuntimeError(f"aiohttp {aiohttp.__version__} is not the one that this service knows: no {missing}")


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


class Tap(asyncio.Protocol):
    """Sits between a transport and aiohttp's client and says when something has come through.

    aiohttp would wake a task for each piece, which costs as much as everything else
    that is done with a small one.
    """

    def __init__(self, transport: asyncio.Transport, told: Callable[[], None]) -> None:
        self._transport = transport
        self._told = told
        self._protocol = cast(asyncio.Protocol, transport.get_protocol())
        self.pause_writing = self._protocol.pause_writing  # type: ignore[method-assign]
        self.resume_writing = self._protocol.resume_writing  # type: ignore[method-assign]
        transport.set_protocol(self)

    def data_received(self, data: bytes) -> None:
        self._protocol.data_received(data)
        self._told()

    def eof_received(self) -> bool | None:
        keep_open = self._protocol.eof_received()
        self._told()
        return keep_open

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocol.connection_lost(exc)
        self._told()

    def remove(self) -> None:
        """Leave the two alone; idempotent."""
        if self._transport.get_protocol() is self:
            self._transport.set_protocol(self._protocol)


class HttpAnswer:
    """The answer to one analyze call (contract: `service.upstream.contract.Answer`)."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self._content = response.content
        self.status = response.status
        self.headers = response.headers

    async def deliver(self, take: Callable[[bytes], bool]) -> None:
        """See `service.upstream.contract.Answer.deliver`."""
        if self._over(take):
            return
        connection = self._response.connection
        transport = connection.transport if connection is not None else None
        if transport is None:
            raise Broken("the connection is gone")
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def told() -> None:
            if over.done():
                return
            try:
                if not self._over(take):
                    return
                over.set_result(None)
            except Exception as exc:
                over.set_exception(exc)
            # At the end of a body its connection may serve the next call at once.
            tap.remove()

        tap = Tap(transport, told)
        try:
            await over
        finally:
            tap.remove()

    def _over(self, take: Callable[[bytes], bool]) -> bool:
        """Hand on what is there; whether ``take`` has enough or the body has ended.

        Raises:
            UpstreamFault: it has ended as it should not.
        """
        while self._content._buffer:
            if take(self._arrived()):
                return True
        if (exc := self._content.exception()) is not None:
            raise translated(cast(Exception, exc)) from exc
        return self._content.at_eof()

    def _arrived(self) -> bytes:
        """All that aiohttp holds of the body, also after a break, where it would raise instead.

        Its own way resumes the parser for each piece, paused or not.
        """
        content = self._content
        data = b"".join(content._buffer)
        content._buffer.clear()
        content._cursor += content._size
        content._size = 0
        if content._http_chunk_splits:
            content._http_chunk_splits.clear()
        if content._protocol._reading_paused:
            content._protocol.resume_reading()
        return data


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
        protocol = BaseProtocol(asyncio.get_running_loop())
        check_reader(aiohttp.StreamReader(protocol, READ_BUFFER_BYTES), protocol)
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
