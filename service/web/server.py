"""aiohttp's server as this service runs it: no byte inflated, and its errors in our words.

Bodies are left as they were sent: the handler that may have one inflates it (`service.web.bodies`),
and what is passed through arrives as it came. What aiohttp says of a request that it cannot
read quotes the request, a key or a ticket among it; here that is neither told nor logged.
"""

import asyncio

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from protocol.errors import Refusal
from service.web.errors import refusal_response

log = structlog.get_logger()


class Handler(RequestHandler):
    """One connection until its first request is read, and between requests.

    Attributes:
        has_mark: whether its socket has the low-water mark of those that carry streams.
    """

    __slots__ = ("has_mark",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self.has_mark = False
        super().connection_made(transport)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what no handler of ours has seen; the connection closes behind it."""
        if status >= 500:
            log.error("request_failed", fault=type(exc).__name__ if exc else str(status))
        else:
            log.debug("request_unreadable", fault=type(exc).__name__)
        if request.writer.output_size:
            raise ConnectionError("the answer has begun, and cannot become another")
        refusal = (
            Refusal("internal", "the service failed")
            if status >= 500
            else Refusal("invalid_request", "the request is not HTTP/1.1 as RFC 9112 has it, or its head is too long")
        )
        response = refusal_response(refusal, request.path)
        response.force_close()
        return response


class _Server(web.Server):
    """Makes a handler for each connection."""

    def __call__(self) -> RequestHandler:
        return Handler(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """Runs an application on such a server."""

    async def _make_server(self) -> web.Server:
        theirs = await super()._make_server()
        return _Server(
            theirs.request_handler,
            request_factory=theirs.request_factory,
            handler_cancellation=theirs.handler_cancellation,
            loop=asyncio.get_running_loop(),
            auto_decompress=False,
            **theirs._kwargs,
        )
