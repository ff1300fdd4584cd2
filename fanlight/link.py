"""The connections of a client: every wait has an end, and nothing is left behind.

Above this module nobody sees what aiohttp raises.
"""

import asyncio
import math
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace
from typing import Any, Self
from weakref import WeakSet

import aiohttp

from fanlight.errors import Inexact, Refused, TooLarge, Unreachable

CONNECT_S = 10.0
# How long leaving may take, towards a peer that answers nothing.
LEAVE_S = 0.25
# In place of a handshake these are final; another status may be a proxy's, and pass.
_NAMES = {
    204: "ended", 400: "invalid_request", 401: "unauthenticated", 403: "forbidden", 404: "not_found", 410: "gone",
}  # fmt: skip
_PASSING = frozenset({408, 425, 429})
# What another ticket helps against.
EXPIRED = "ticket_expired"
# After a close with one of these codes asking again does not help.
_FINAL_CLOSES = {1008: "invalid_request", 4401: "unauthenticated", 4403: "forbidden", 4404: "not_found"}


class Link:
    """Connections to one service; an async context manager.

    Args:
        url: the service's address, without a slash at its end.
        silence_s: a WebSocket on which nothing came for that long is dead.
        max_message_bytes: longest message that is taken.
        ticket: gives the one to come with now; None where none is needed.

    Attributes:
        session: the HTTP client beneath.
        closed: whether it was left.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        silence_s: float,
        max_message_bytes: int,
        ticket: Callable[[], Awaitable[str | None]],
    ) -> None:
        self._url = url
        self._ticket = ticket
        self._headers = headers
        self._silence_s = silence_s
        self._max_message_bytes = max_message_bytes
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self._waits: set[asyncio.Timeout] = set()
        self.closed = False

    async def __aenter__(self) -> Self:
        redirects = aiohttp.TraceConfig()
        redirects.on_request_redirect.append(_refuse_redirect)
        self.session = aiohttp.ClientSession(
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
            # Any number of streams may be watched; and clocks are not to be rounded up to whole seconds.
            connector=aiohttp.TCPConnector(limit=0, timeout_ceil_threshold=math.inf, socket_factory=self._made),
            trace_configs=[redirects],
        )
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.closed = True
        for clock in self._waits:
            if not clock.expired():
                clock.reschedule(asyncio.get_running_loop().time())
        # A transport waits for a peer to take what was written; without its socket it does not.
        for sock in self._sockets:
            _shut(sock)
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                await self.session.close()

    def _made(self, info: Any) -> socket.socket:
        made = socket.socket(*info[:3])
        self._sockets.add(made)
        return made

    @asynccontextmanager
    async def waiting(self, seconds: float | None) -> AsyncIterator[asyncio.Timeout]:
        """Bound what is waited for within, in time and by the end of the link.

        Raises:
            Unreachable: it took too long, a connection failed, or the link was left.
        """
        if self.closed:
            raise Unreachable("the client was left")
        clock = asyncio.timeout(seconds)
        try:
            async with clock:
                self._waits.add(clock)
                try:
                    yield clock
                finally:
                    self._waits.discard(clock)
        except (aiohttp.ClientError, OSError) as exc:  # of which TimeoutError is one
            raise Unreachable(self._why(exc, clock)) from exc
        except AssertionError as exc:
            # aiohttp's, where its connections went while it was busy with them.
            if not self.closed:
                raise
            raise Unreachable(self._why(exc, clock)) from exc

    def _why(self, exc: Exception, clock: asyncio.Timeout) -> str:
        if self.closed:
            return "the client was left"
        if clock.expired():
            return f"{self._url} did not answer in time"
        return f"{self._url} could not be reached: {exc or type(exc).__name__}"

    async def ask(self, method: str, path: str, answer_s: float | None, **arguments: Any) -> tuple[int, bytes]:
        """One call; returns the answer's status and body.

        Raises:
            Unreachable: there was no answer, or none in time.
        """
        async with self.waiting(answer_s):
            headers = {**(arguments.pop("headers", None) or {}), **await self._rights()}
            async with self.session.request(method, self._url + path, headers=headers, **arguments) as response:
                return response.status, await response.read()

    async def _rights(self) -> dict[str, str]:
        ticket = await self.ticket()
        return {"Authorization": f"Bearer {ticket}"} if ticket is not None else {}

    async def ticket(self) -> str | None:
        """The ticket to come with now.

        Raises:
            Unreachable: none can be had.
        """
        try:
            async with self.waiting(CONNECT_S):
                return await self._ticket()
        except Unreachable:
            raise
        except Exception as exc:
            raise Unreachable(f"no ticket was given: {type(exc).__name__}") from exc

    async def connect(self, path: str, params: Mapping[str, str]) -> aiohttp.ClientWebSocketResponse[Any]:
        """Make a WebSocket.

        Raises:
            Refused: asking again does not help.
            Unreachable: asking again may.
        """
        async with self.waiting(min(CONNECT_S, self._silence_s)):
            try:
                return await self.session.ws_connect(
                    self._url + path,
                    params=params,
                    headers=await self._rights(),
                    # A ping after two thirds of the silence, and a third for its pong.
                    heartbeat=self._silence_s / 1.5,
                    max_msg_size=self._max_message_bytes + 1,  # where aiohttp begins to refuse
                    timeout=aiohttp.ClientWSTimeout(ws_close=LEAVE_S),
                    autoping=False,
                    decode_text=False,
                )
            except aiohttp.WSServerHandshakeError as exc:
                if _is_final(exc.status):
                    raise Refused(exc.status, _NAMES.get(exc.status, f"http_{exc.status}")) from exc
                raise

    async def pong(self, made: aiohttp.ClientWebSocketResponse[Any], ping: bytes) -> None:
        """Answer a ping; a peer that pings and reads nothing could hold us up for ever.

        Raises:
            Unreachable: it does.
        """
        async with self.waiting(self._silence_s):
            await made.pong(ping)


class Frames:
    """What comes over one WebSocket; an async context manager.

    It is none that is made of a generator: of several that are left open the loop closes the inner ones first.

    Args:
        path, params: what is asked for.
    """

    def __init__(self, link: Link, path: str, params: Mapping[str, str]) -> None:
        self._link = link
        self._path, self._params = path, params

    async def __aenter__(self) -> Self:
        self._socket = await self._link.connect(self._path, self._params)
        self._beneath = self._socket.get_extra_info("socket")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        # A task of its own, so that no clock of aiohttp's strikes in whoever is leaving.
        closing = asyncio.ensure_future(self._socket.close())
        try:
            await asyncio.wait({closing}, timeout=LEAVE_S)
        finally:
            if self._beneath is not None:
                _shut(self._beneath)
        await asyncio.wait({closing})

    async def next(self) -> bytes | None:
        """The next text frame; None once the connection is over, in a way that may pass.

        Raises:
            Refused: the connection is over, and asking again does not help.
            Inexact, TooLarge: what came is no text frame.
        """
        while True:
            told = await self._socket.receive()
            match told.type:
                case aiohttp.WSMsgType.TEXT:
                    return told.data  # type: ignore[no-any-return]
                case aiohttp.WSMsgType.BINARY:
                    raise Inexact("a binary frame came")
                case aiohttp.WSMsgType.PING:
                    await self._link.pong(self._socket, told.data)
                case aiohttp.WSMsgType.PONG:
                    pass
                case _:
                    self._check_end(told.data, told.extra)
                    return None

    async def renew(self) -> None:
        """Go on with another ticket; where none can be had the connection ends with its own.

        Raises:
            Unreachable: the connection is gone.
        """
        with suppress(Unreachable):
            ticket = await self._link.ticket()
            if ticket is not None:
                async with self._link.waiting(CONNECT_S):
                    await self._socket.send_json({"type": "ticket", "ticket": ticket})

    def _check_end(self, fault: Any, reason: Any) -> None:
        if isinstance(fault, aiohttp.WebSocketError):
            if fault.code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG:
                raise TooLarge(f"a message is longer than max_message_bytes: {fault}") from fault
            raise Inexact(f"the frames are no WebSocket's: {fault}") from fault
        code = self._socket.close_code or 0
        if code in _FINAL_CLOSES:
            raise Refused(code, EXPIRED if reason == EXPIRED else _FINAL_CLOSES[code])


def _is_final(status: int) -> bool:
    return status == 204 or (400 <= status < 500 and status not in _PASSING)


def _shut(sock: Any) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


async def _refuse_redirect(
    _session: aiohttp.ClientSession, _context: SimpleNamespace, told: aiohttp.TraceRequestRedirectParams
) -> None:
    # aiohttp would follow, and send the key wherever it is led.
    answer = told.response
    answer.close()
    where = answer.headers.get("Location", "")[:200]
    raise aiohttp.ClientResponseError(
        answer.request_info, answer.history, status=answer.status, message=f"it redirects to {where}"
    )
