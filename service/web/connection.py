"""Connections that carry streams, after aiohttp has done the handshake.

A reader may stay for hours and needs nothing of an HTTP server's machinery: so its
transport is given a protocol of our own, a fraction of the size, and the fan-out
writes straight to it. WebSockets and readers of endless bodies leave aiohttp for good
(`detach`); a caller of the upstream dialect has its connection borrowed for one answer
and given back for the next request (`borrow`).

This module is the one place that knows aiohttp's server from inside.
"""

import asyncio
import fcntl
import socket
import struct
import sys
import termios
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, cast

import structlog
from aiohttp import web

from protocol.errors import Refusal
from protocol.wire import messages
from protocol.wire.frames import Framing
from service.access.caller import Caller
from service.hub.subscribers import Subscriber
from service.web.guard import CALLER
from service.web.server import Handler
from service.web.trail import TRAIL, Trail
from service.web.turns import Turns

log = structlog.get_logger()
AGE_SPREAD = 0.2
EARLY_BYTES = 1 << 16  # what a caller may send before its answer begins; then it waits
GOLDEN = 0.6180339887  # multiples of it, less their whole parts, are spread evenly


class Sent(web.StreamResponse):
    """What a handler returns for an answer that is on its transport already."""

    @property
    def prepared(self) -> bool:
        """Whether its headers have left."""
        return True

    def __init__(self, *, keep_alive: bool) -> None:
        super().__init__()
        self._keep_alive = keep_alive

    async def prepare(self, request: web.BaseRequest) -> None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None


def head(status: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """The head of an HTTP/1.1 answer."""
    fields = "".join([f"{name}: {value}\r\n" for name, value in headers])
    return f"HTTP/1.1 {status}\r\n{fields}\r\n".encode("latin-1")


def detach(request: web.Request, connection: "Connection") -> bytes:
    """Take the transport away from aiohttp for good; return what was read beyond the request.

    Nothing may be awaited between this and the handler's return.
    """
    protocol = request.protocol
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the peer has left")
    connection.caller = request.get(CALLER)
    trail = request.pop(TRAIL)
    connection.trail = trail if trail.goes_on else None
    tail = bytes(protocol._message_tail)
    # To aiohttp the connection is lost: it lets go of everything, and closes nothing.
    protocol.transport = None
    transport.set_protocol(connection)
    protocol.connection_lost(None)
    if not transport.is_reading():
        transport.resume_reading()
    connection.connection_made(transport)
    return tail


def reset(transport: asyncio.BaseTransport | None) -> None:
    """Break a connection off with a reset, not with an end that could pass for the body's own.

    What the peer has not taken yet is lost; a cursor brings it again.
    """
    if transport is None:
        return
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with suppress(OSError):  # of a kind without, or closed already
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    cast(asyncio.Transport, transport).abort()


def framing_headers(*, chunked: bool, kept: bool) -> dict[str, str]:
    """How a body of unknown length is framed.

    Never ``Connection: close`` where the last chunk tells the end: some clients (Node's
    fetch) then take a cut for one. Where the connection is not ``kept`` behind the body
    it closes all the same, and the idle time of 0 s says so to those who would use it again.
    """
    if not chunked:
        return {"Connection": "close"}
    idle = {} if kept else {"Keep-Alive": "timeout=0"}
    return {"Transfer-Encoding": "chunked", "Connection": "keep-alive", **idle}


class in_charge:  # noqa: N801  # a context
    """What fails after a connection was taken over is ours to tell: aiohttp has no way any more."""

    __slots__ = ("_connection",)

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(exc, Exception):
            return False
        log.error("connection_failed", connection=type(self._connection).__name__, exc_info=exc)
        self._connection.fail()
        return True


class borrow:  # noqa: N801  # a context
    """Have a caller's connection for one answer; it goes back to aiohttp at the end."""

    __slots__ = ("_connection", "_protocol", "_request")

    def __init__(self, request: web.Request, connection: "BorrowedConnection") -> None:
        self._request = request
        self._protocol = request.protocol
        self._connection = connection

    def __enter__(self) -> "BorrowedConnection":
        request, connection, protocol, transport = (
            self._request,
            self._connection,
            self._protocol,
            self._request.transport,
        )
        if transport is None:
            raise ConnectionResetError("the caller has left")
        connection.caller = request.get(CALLER)
        connection.trail = request[TRAIL]
        transport.set_protocol(connection)
        if isinstance(protocol, Handler):
            connection.has_mark, protocol.has_mark = protocol.has_mark, True
        connection.connection_made(transport)
        return connection

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.give_back(self._protocol)


class LateHeads:
    """Close connections whose first request has not come within the deadline.

    aiohttp times the silence between requests; the head of the first one, sent
    a byte at a time, would have that long too.
    """

    def __init__(self, server: web.Server, deadline_s: float) -> None:
        self._server = server
        self._deadline_s = deadline_s
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[Any, float] = {}
        self._timer = self._loop.call_later(self._tick_s, self._tick)

    @property
    def _tick_s(self) -> float:
        return min(1.0, self._deadline_s / 4)

    def close(self) -> None:
        """Stop keeping time."""
        self._timer.cancel()

    def _tick(self) -> None:
        self._timer = self._loop.call_later(self._tick_s, self._tick)
        now = self._loop.time()
        waiting = {c: self._waiting.get(c, now) for c in self._server.connections if not c._request_count}
        for connection, since in waiting.items():
            if now - since >= self._deadline_s:
                connection.force_close()
        self._waiting = waiting


async def first_requests(server: web.Server, patience_s: float) -> None:
    """Wait until no connection waits for its first request any more, but not longer than ``patience_s``.

    Who has just connected has a request on the way, and would lose it where the connection is closed.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(patience_s):
            while not all(c._request_count for c in server.connections):  # noqa: ASYNC110  # no event tells
                await asyncio.sleep(0.01)


class Connections:
    """Every connection that was taken over; the send deadline and the heartbeats are kept here.

    Args:
        high_water_bytes: what a socket may hold unsent before its reader is passed over.
        send_deadline_s: a peer that takes no byte for that long is given up.
    """

    def __init__(self, high_water_bytes: int, send_deadline_s: float) -> None:
        self.high_water_bytes = high_water_bytes
        self.send_deadline_s = send_deadline_s
        self.max_age_s: float | None = None
        self._open: dict[Connection, _Entry] = {}  # the oldest first
        self.by_owner: Counter[str] = Counter()  # by `tenant`, and by `tenant/key`
        self._stuck: dict[Connection, tuple[int, float]] = {}  # bytes not taken yet, since when
        self.loop = self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._ticks = 0
        self._emptied = asyncio.Event()
        self.turns = Turns(self._loop)

    def __len__(self) -> int:
        return len(self._open)

    @property
    def unsent_bytes(self) -> int:
        """Bytes that the kernel has no room for."""
        return sum(connection.waiting_bytes for connection in self._stuck)

    def open(self) -> "list[Connection]":
        """Those that are open now."""
        return list(self._open)

    def start(self) -> None:
        """Begin to keep time."""
        self._timer = self._loop.call_later(self._tick_s, self._tick)

    async def gone(self, patience_s: float) -> None:
        """Wait until every connection has closed, but no longer than that."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                while self._open:
                    self._emptied.clear()
                    await self._emptied.wait()

    async def close(self) -> None:
        """Break off what is still open."""
        if self._timer is not None:
            self._timer.cancel()
        for connection in list(self._open):
            connection.drop()
        await self.gone(1.0)

    @property
    def _tick_s(self) -> float:
        return min(1.0, self.send_deadline_s / 4)

    def add(self, connection: "Connection") -> None:
        owners = connection.caller.owners if connection.caller is not None else ()
        self._open[connection] = _Entry(self._loop.time(), owners)
        self.by_owner.update(owners)

    def age_s(self, connection: "Connection") -> float:
        """How long a connection has been open."""
        return self._loop.time() - self._open[connection].since

    def discard(self, connection: "Connection") -> None:
        entry = self._open.pop(connection, None)
        for owner in entry.owners if entry is not None else ():
            self.by_owner[owner] -= 1
            if not self.by_owner[owner]:
                del self.by_owner[owner]
        if not self._open:
            self._emptied.set()
        self._stuck.pop(connection, None)

    def stuck(self, connection: "Connection") -> None:
        """A peer has stopped taking bytes: from now on its progress is watched."""
        self._stuck.setdefault(connection, (connection.untaken_bytes, self._loop.time()))

    def flowing(self, connection: "Connection") -> None:
        """All that waited has been taken."""
        self._stuck.pop(connection, None)

    def _tick(self) -> None:
        self._timer = self._loop.call_later(self._tick_s, self._tick)
        self._ticks += 1
        now = self._loop.time()
        for connection, (waiting, since) in list(self._stuck.items()):
            left = connection.untaken_bytes
            if left < waiting:
                self._stuck[connection] = (left, now)
            elif now - since >= self.send_deadline_s:
                self._stuck[connection] = (left, now)
                connection.too_slow()
        # A twentieth of the connections each second: nobody waits for a burst of pings.
        every = max(1, round(20.0 / self._tick_s))
        for connection in [c for c in self._open if c.slot % every == self._ticks % every]:
            connection.beat()
        self._send_the_old_away(now)

    def _send_the_old_away(self, now: float) -> None:
        """End who has been here for long enough: it comes back with its cursor, to a newer node where there is one."""
        if self.max_age_s is None:
            return
        for connection, entry in list(self._open.items()):
            if now - entry.since < self.max_age_s * (1 - AGE_SPREAD):
                return
            # Those that came together do not leave together.
            due = self.max_age_s * (1 - AGE_SPREAD * (connection.slot * GOLDEN % 1))
            if now - entry.since >= due and not connection.is_leaving:
                connection.announce_drain(0)
                connection.drain()


@dataclass(frozen=True, slots=True)
class _Entry:
    """An open connection: since when, on the loop's clock, and whom it is counted for."""

    since: float
    owners: tuple[str, ...]


class Connection(asyncio.Protocol):
    """One taken-over connection; an `Outlet` for its subscribers.

    Subclasses say how a transport ends and what it does with what the peer sends.
    """

    framing: Framing
    has_mark = False  # whether its socket was told already what it may hold
    _slots = 0
    trail: Trail | None = None  # where there is anything to tell of it

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self.write: Callable[[bytes], None] = _nowhere
        self.fd = -1
        self.paused = False
        self.subscribers: dict[str, Subscriber] = {}
        self.caller: Caller | None = None
        Connection._slots += 1
        self.slot = Connection._slots

    def __repr__(self) -> str:
        state = "paused" if self.paused else "open" if self._transport is not None else "closed"
        return f"<{type(self).__name__} {state}, {len(self.subscribers)} subscribers>"

    # -- the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not of asyncio's classes, only of their kind.
        self._transport = transport = cast(asyncio.Transport, transport)
        # The kernel holds what the mark allows, and no more: a slow peer then gets few
        # large deltas instead of many small ones, queued long ago. Beyond that we pause at
        # once, so that while not paused nothing waits in the transport, and the fan-out
        # may write to the socket itself.
        sock = transport.get_extra_info("socket")
        if not self.has_mark:
            with suppress(OSError):  # of a kind without
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, self._connections.high_water_bytes)
        transport.set_write_buffer_limits(high=0)
        self.write = transport.write
        self.fd = -1 if transport.get_extra_info("sslcontext") is not None else sock.fileno()
        self._connections.add(self)
        if self.waiting_bytes and not self.paused:
            self.pause_writing()  # aiohttp was told of that, not we

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.write, self.fd = _nowhere, -1
        self._connections.discard(self)
        self.leave_all()
        if self.trail is not None:
            self.trail.end()

    def pause_writing(self) -> None:
        self.paused = True
        self._connections.stuck(self)
        for subscriber in list(self.subscribers.values()):
            subscriber.stall()

    def resume_writing(self) -> None:
        self.paused = False
        self._connections.flowing(self)
        for subscriber in list(self.subscribers.values()):
            if not self.paused:
                subscriber.resume()

    def data_received(self, data: bytes) -> None:
        """A reader over HTTP has nothing more to say."""

    def eof_received(self) -> bool:
        """A peer that has closed its half has left: a reader that only stops sending is not worth the guess."""
        return False

    @property
    def is_leaving(self) -> bool:
        """Whether it ends already."""
        return self._transport is None or self._transport.is_closing()

    @property
    def transport_name(self) -> str:
        """How its readers are told."""
        return self.framing.name.rstrip("+").removesuffix("/1.0")

    @property
    def address(self) -> str | None:
        """Where its peer is; None on a Unix socket."""
        name = self._transport.get_extra_info("peername") if self._transport is not None else None
        return str(name[0]) if isinstance(name, tuple) else None

    @property
    def waiting_bytes(self) -> int:
        """Bytes that the kernel has not accepted yet."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    @property
    def untaken_bytes(self) -> int:
        """Bytes that the peer has not taken yet, those in the kernel among them where it tells.

        A peer may take a little all the time and the kernel still have no room for more.
        """
        queued = bytearray(4)
        sock = self._transport.get_extra_info("socket") if self._transport is not None else None
        if sock is not None:
            with suppress(OSError):
                fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, queued)
        return self.waiting_bytes + int.from_bytes(queued, sys.byteorder)

    # -- the hub's side

    def attached(self, subscriber: Subscriber) -> None:
        self.subscribers[subscriber.stream_id] = subscriber
        if self.trail is not None:
            self.trail.saw(subscriber.calls)
            self.trail.note("read", "attached", subscriber.stream_id)

    def ended(self, subscriber: Subscriber, clean: bool) -> None:
        self.subscribers.pop(subscriber.stream_id, None)
        self.finish(clean=clean)

    def leave_all(self) -> None:
        """Leave every stream."""
        subscribers, self.subscribers = self.subscribers, {}
        for subscriber in subscribers.values():
            subscriber.leave()

    # -- how it ends

    def finish(self, *, clean: bool) -> None:
        """Everything was told (or cannot be): end as the transport ends."""
        raise NotImplementedError

    def fail(self) -> None:
        """Our own fault."""
        self.drop()

    def too_slow(self) -> None:
        """The peer took no byte for the send deadline."""
        self.drop()

    def beat(self) -> None:
        """Called about every 20 s."""

    def announce_drain(self, retry_after_ms: int) -> None:
        """The service is going down; what runs may still end."""

    def drain(self) -> None:
        """The service is down in a moment."""
        self.drop()

    def warn(self, in_s: float) -> None:
        """The caller's ticket expires then."""

    def expel(self, refusal: Refusal) -> None:
        """The caller is nobody any more."""
        self.drop()

    def close(self) -> None:
        """Close once what is queued has left; the send deadline watches over that."""
        if self._transport is not None:
            self._transport.close()
            if self.waiting_bytes:
                self._connections.stuck(self)

    def drop(self) -> None:
        """Break the connection off."""
        reset(self._transport)


def _nowhere(_data: bytes) -> None:
    """Where the bytes of a closed connection go."""


class BodyConnection(Connection):
    """A reader of an endless HTTP body: SSE, NDJSON or bare text."""

    def __init__(self, connections: Connections, framing: Framing, *, chunked: bool) -> None:
        super().__init__(connections)
        self.framing = framing
        self._chunked = chunked

    def finish(self, *, clean: bool) -> None:
        if not clean:
            # Without its last chunk the body is cut, and every client knows;
            # a body that only ends with its connection must be torn.
            self.close() if self._chunked else self.drop()
            return
        self.close()

    def drain(self) -> None:
        # Not the ending, and a body that is cut says so.
        self.leave_all()
        self.finish(clean=False)

    def warn(self, in_s: float) -> None:
        self._say(messages.expiring(in_s))

    def expel(self, refusal: Refusal) -> None:
        if not self._speaks:
            self.drop()
            return
        self._say(messages.error(refusal.code, refusal.message, refusal.answer.retryable))
        self.drain()

    @property
    def _speaks(self) -> bool:
        """Whether its readers take messages, and not bare text."""
        return not self.framing.name.startswith("text")

    def _say(self, told: bytes) -> None:
        if self._speaks:
            self.write(self.framing.body(self.framing.message(told, None)))

    def announce_drain(self, retry_after_ms: int) -> None:
        for subscriber in self.subscribers.values():
            cursor = str(subscriber.cursor)
            told = messages.draining(subscriber.stream_id, retry_after_ms, {subscriber.stream_id: cursor})
            self._say(told)


class BorrowedConnection(Connection):
    """A caller's connection for the length of one answer (see `borrow`)."""

    def __init__(self, connections: Connections, framing: Framing, *, chunked: bool) -> None:
        super().__init__(connections)
        self.framing = framing
        self._chunked = chunked
        self._kept: list[bytes] = []  # what the caller sent meanwhile
        self._kept_bytes = 0
        self._head, self._fd = b"", -1
        self.has_begun = False
        self.refusal: Refusal | None = None  # to be told in the answer's place
        self.done: asyncio.Future[bool] = connections.loop.create_future()

    def begin(self, answer_head: bytes) -> None:
        """Send the answer's head along with the first of its body: one packet, one call."""
        self.has_begun = True
        if self._kept and self._transport is not None:
            self._transport.pause_reading()
        self._head, self.write = answer_head, self._first_write
        self._fd, self.fd = self.fd, -1  # nothing may be written past the head

    def _first_write(self, data: bytes) -> None:
        if self._transport is not None:
            self.write, self.fd = self._transport.write, self._fd
            for subscriber in self.subscribers.values():
                subscriber.write = self.write
            self._transport.write(self._head + data)
        self._head = b""

    def data_received(self, data: bytes) -> None:
        # The next request, sent early: it waits, within reason. Until the answer begins a caller that leaves
        # is noticed by reading alone.
        self._kept.append(data)
        self._kept_bytes += len(data)
        if self._transport is not None and (self.has_begun or self._kept_bytes > EARLY_BYTES):
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.has_begun:
            self.trail = None  # it is a call still, and ends as one
        super().connection_lost(exc)
        self._settle(False)

    def fail(self) -> None:
        self.expel(Refusal("internal", "the service failed"))

    def finish(self, *, clean: bool) -> None:
        if not clean and not self._chunked:
            self.drop()  # a body that only ends with its connection must be torn
        self._settle(clean)

    def too_slow(self) -> None:
        self.drop()

    def drain(self) -> None:
        """Its stream is ended with the hub, and so is it."""

    def expel(self, refusal: Refusal) -> None:
        if self.has_begun:
            self.drop()
        elif not self.done.done():
            self.refusal = refusal  # there is a way yet to say why
            self._settle(False)

    def step_back(self) -> None:
        """There is nothing to write here: the caller is answered in another way."""
        self._settle(False)

    def _settle(self, clean: bool) -> None:
        if not self.done.done():
            self.done.set_result(clean)

    def give_back(self, protocol: Any) -> bool:
        """Return the transport to aiohttp; False where it is gone."""
        if self.done.cancelled() and not self._chunked:
            self.drop()  # with its handler: the body is cut, and must look so
        transport, self._transport = self._transport, None
        self.write, self.fd = _nowhere, -1
        self._connections.discard(self)
        self.leave_all()
        if transport is None:
            protocol.connection_lost(None)
            return False
        transport.set_protocol(protocol)
        transport.set_write_buffer_limits()
        if self.paused:
            protocol.pause_writing()
        if self._kept:
            if not transport.is_closing():
                transport.resume_reading()
            protocol.data_received(b"".join(self._kept))
        return True


class ChannelBodyConnection(BodyConnection):
    """A reader of a channel's body: streams come and go, the body stays."""

    on_lost: Callable[[], None] = staticmethod(lambda: None)

    def ended(self, subscriber: Subscriber, clean: bool) -> None:
        self.subscribers.pop(subscriber.stream_id, None)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.on_lost()
