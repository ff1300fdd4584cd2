"""WebSockets: the handshake, what clients say, and how a socket ends (wire contract, sections 4 and 5)."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from aiohttp import web

from protocol.errors import Refusal
from protocol.upstream.request import check_members
from protocol.wire import messages
from protocol.wire.commands import (
    MAX_COMMAND_BYTES,
    Cancel,
    Command,
    NewTicket,
    Ping,
    Start,
    Subscribe,
    Unsubscribe,
    parse_command,
    read_message,
    usable_ref,
)
from protocol.wire.cursors import parse_cursor
from protocol.wire.frames import CLOSE, CLOSE_TIMEOUT_S, PING, PONG, WEBSOCKET, Framing, ws_close, ws_frame
from protocol.wire.options import parse_options
from protocol.wire.websocket import Incoming, WebSocketError, WebSocketReader, accept_key
from service.access.caller import Caller, Scope
from service.hub.channels import Listener
from service.hub.hub import NATIVE
from service.hub.requests import Asked, ask
from service.hub.streams import Started, Stream
from service.hub.subscribers import Subscriber
from service.store.rates import Rate, draw
from service.web.access import (
    caller_of,
    check_channel,
    check_options,
    check_room,
    check_seat,
    check_view,
    come_in,
    may_force,
    remember_started,
    visible,
)
from service.web.connection import Connection, Sent, detach, head, in_charge
from service.web.keys import CONNECTIONS, CORS, HUB, KEYRING, LIMITER, WATCHING
from service.web.readers import asked_channel, asked_view
from service.web.streams import read_of
from service.web.trail import TRAIL
from service.web.turns import FRAME_BYTES, FRAMES
from service.web.upstream_headers import analyze_headers
from service.web.usage import Account

PROTOCOL = "fanlight.v1"
MAX_FAULTS = 20  # malformed messages in `FAULTS_WINDOW_S`; one more is close code 1008
FAULTS_WINDOW_S = 10.0
# Bytes that a peer may leave with the kernel and still have its pings answered.
MAX_UNTAKEN_BYTES = 1 << 16
_CLOSE_FRAME = 0x80 | CLOSE  # its first byte


def handshake(request: web.Request) -> bytes:
    """The head that accepts an upgrade (RFC 6455, section 4.2).

    Raises:
        Refusal: ``invalid_request``; the answer is plain HTTP.
    """
    headers = request.headers
    if request.version < (1, 1):
        raise Refusal("invalid_request", "a WebSocket handshake is HTTP/1.1")
    tokens = {token.strip().lower() for token in headers.get("Connection", "").split(",")}
    if headers.get("Upgrade", "").lower() != "websocket" or "upgrade" not in tokens:
        raise Refusal("invalid_request", "this address speaks WebSocket")
    if headers.get("Sec-WebSocket-Version") != "13":
        raise Refusal("invalid_request", "WebSocket version 13 is spoken here")
    if request.content_length or "Transfer-Encoding" in headers:
        raise Refusal("invalid_request", "a WebSocket handshake has no body")
    try:
        accept = accept_key(headers.get("Sec-WebSocket-Key", ""))
    except ValueError as exc:
        raise Refusal("invalid_request", "Sec-WebSocket-Key is malformed") from exc
    answer = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept)]
    offered = [name.strip() for name in headers.get("Sec-WebSocket-Protocol", "").split(",")]
    if PROTOCOL in offered:  # and never one that carries a ticket
        answer.append(("Sec-WebSocket-Protocol", PROTOCOL))
    return head("101 Switching Protocols", [*answer, *request[CORS].items()])


class WebSocketConnection(Connection):
    """A socket after its handshake: reads messages, answers pings, closes as the protocol asks."""

    framing: Framing = WEBSOCKET

    def __init__(self, app: web.Application) -> None:
        super().__init__(app[CONNECTIONS])
        self._hub = app[HUB]
        self._keyring, self._limiter = app[KEYRING], app[LIMITER]
        self._watching = app[WATCHING]
        self._app = app
        self._rate = Rate("messages", app[LIMITER].bounds.messages_per_minute)
        self._full_at: Mapping[str, float] = {}
        self._reader = WebSocketReader(MAX_COMMAND_BYTES)
        self._inbox: list[Incoming] = []  # read and not handled yet
        self._broken: WebSocketError | None = None
        self._ping: bytes | None = None  # not answered yet
        self.held = False  # what comes next has to wait for what came last
        self._faults: list[float] = []  # when
        self._closing: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    # -- what the peer sends

    def data_received(self, data: bytes) -> None:
        if self._closing is not None:
            # Nothing is read any more. Only the close frame that answers ours is waited for,
            # and a peer sends that by itself.
            if data[0] == _CLOSE_FRAME:
                self.close()
            return
        self._reader.feed(data)
        self._connections.turns.ask(self)

    def take_turn(self) -> bool:
        """See `service.web.turns.Sender`."""
        if self._transport is None:
            return False
        if not self._inbox:
            self._inbox, self._broken = self._reader.take(FRAMES, FRAME_BYTES)
        self._handle()
        if self._broken is not None and not self._inbox:
            self.close_with(self._broken.code, self._broken.reason)
        stays = self.paused or self.held
        more = self._closing is None and not stays and (bool(self._inbox) or self._reader.waiting)
        if not self._transport.is_closing():
            # What waits for its turn is enough: the peer's kernel holds the rest.
            self._transport.pause_reading() if more or stays else self._transport.resume_reading()
        return more

    def _handle(self) -> None:
        """Take messages in order, for as long as the peer also takes the answers."""
        while self._inbox and not self.paused and not self.held and self._closing is None:
            message = self._inbox.pop(0)
            if message.opcode == CLOSE:
                self._closed_by_peer(message.payload)
            elif message.opcode == PING:
                self._ping = message.payload
            elif message.opcode != PONG:
                self._told(message.payload)
        self._answer_ping()

    def _answer_ping(self) -> None:
        """Answer the latest ping (RFC 6455, section 5.5.3); none while the peer does not take the answers."""
        if self._ping is None or self._closing is not None or self.paused:
            return
        if self.untaken_bytes <= MAX_UNTAKEN_BYTES:
            ping, self._ping = self._ping, None
            self.write(ws_frame(PONG, ping))

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._transport is not None:
            # A peer that does not read the answers asks no further questions.
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.paused and self._closing is None:
            self._connections.turns.ask(self)

    def _told(self, payload: bytes) -> None:
        drawn, fresh = draw(self._full_at, [self._rate], self._loop.time())
        if drawn.wait_s:
            self._limiter.hits["messages_per_minute"] += 1
            self._watching.refused("limit_reached", self.trail)
            self.close_with(4429, "limit_reached")
            return
        self._full_at = fresh
        ref = None
        with in_charge(self):
            try:
                message = read_message(payload)
                ref = usable_ref(message)
                self.command(parse_command(message))
            except Refusal as refusal:
                self._refuse(refusal, ref)

    def go_on(self, work: Callable[[], None], ref: Any) -> None:
        """Do what a message asked that had to wait, and then what came behind it."""
        self.held = False
        if self._transport is None or self._closing is not None:
            return  # behind a close frame nothing is said
        with in_charge(self):
            try:
                work()
            except Refusal as refusal:
                self._refuse(refusal, ref)
        self._connections.turns.ask(self)

    def _cancel_stream(self, stream: Stream, command: Cancel) -> None:
        """Cancel a stream; where other nodes have a say in it what comes next waits for them."""
        caller, hub = self._need("cancel"), self._hub
        force = command.force and may_force(caller)
        if hub.peers is None:
            hub.cancel(stream, force=force)
            self._note("cancel", "ok", stream.id)
            return

        def told(fault: Refusal | None) -> None:
            if fault is not None:
                raise fault
            self._note("cancel", "ok", stream.id)

        self.held = True
        hub.cancel_then(stream, force, lambda fault: self.go_on(partial(told, fault), command.ref))

    def _need(self, *scopes: Scope) -> Caller:
        """Who speaks here.

        Raises:
            Refusal: ``forbidden``: it may not do that.
        """
        assert self.caller is not None, "a socket without a caller is closed"
        self.caller.need(*scopes)
        return self.caller

    def _renew(self, command: NewTicket) -> None:
        """Go on with another ticket, of the same tenant and for the same things.

        Raises:
            Refusal: ``unauthenticated``, ``ticket_expired``, ``forbidden``.
        """
        fresh, own = self._keyring.by_ticket(command.ticket), self._need()
        if not fresh.renews(own):
            raise Refusal("forbidden", "that ticket is for something else than this connection's")
        self.caller = fresh
        if self.trail is not None:
            self.trail.caller = fresh
        self._note("ticket", "renewed")

    def _note(self, call: str, result: str, stream: str | None = None) -> None:
        if self.trail is not None:
            self.trail.note(call, result, stream)

    def _refuse(self, refusal: Refusal, ref: Any) -> None:
        self._watching.refused(refusal.code, self.trail)
        self.say(messages.error(refusal.code, refusal.message, refusal.answer.retryable, ref=ref))
        if refusal.code != "not_found":
            self._fault()

    def _fault(self) -> None:
        now = self._loop.time()
        self._faults = [*(when for when in self._faults if when >= now - FAULTS_WINDOW_S), now]
        if len(self._faults) > MAX_FAULTS:
            self.close_with(1008, "invalid_request")

    def command(self, command: Command) -> None:
        """Do what a message asks.

        Raises:
            Refusal: it cannot be done; the socket stays open.
        """
        raise NotImplementedError

    def say(self, payload: bytes) -> None:
        """Send one message."""
        self.write(WEBSOCKET.message(payload, None))

    # -- how it ends

    def close_with(self, code: int, reason: str) -> None:
        """Begin the closing handshake; a peer that does not answer it in time is aborted."""
        if self._closing is not None or self._transport is None:
            return
        self.leave_all()
        self.write(ws_close(code, reason))
        self._closing = self._loop.call_later(CLOSE_TIMEOUT_S, self.drop)
        self._transport.resume_reading()

    def _closed_by_peer(self, payload: bytes) -> None:
        self.leave_all()
        self.write(ws_close(int.from_bytes(payload[:2], "big") if payload else 1000))
        self._closing = self._loop.call_later(CLOSE_TIMEOUT_S, self.drop)
        self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._closing is not None:
            self._closing.cancel()
        self._inbox.clear()
        super().connection_lost(exc)

    def finish(self, *, clean: bool) -> None:
        self.close_with(1000, "")

    def fail(self) -> None:
        self.close_with(1011, "internal")

    def too_slow(self) -> None:
        self.close_with(1013, "too_slow")

    def drain(self) -> None:
        self.close_with(1001, "draining")

    @property
    def is_leaving(self) -> bool:
        return self._closing is not None or super().is_leaving

    def expel(self, refusal: Refusal) -> None:
        self.close_with(refusal.answer.close, refusal.code)

    def warn(self, in_s: float) -> None:
        if self._closing is None:
            self.say(messages.expiring(in_s))

    def beat(self) -> None:
        # A missing pong alone is no reason to close: the send deadline sees
        # whether bytes are still taken.
        if self._closing is None and not self.paused:
            self._answer_ping()
            self.write(ws_frame(PING, b""))


class StreamSocket(WebSocketConnection):
    """The socket on one stream: closes 1000 after the ending."""

    def __init__(self, app: web.Application, stream: Stream) -> None:
        super().__init__(app)
        self._stream = stream

    def command(self, command: Command) -> None:
        if isinstance(command, Ping):
            self.say(messages.pong(command.ref))
            return
        if isinstance(command, NewTicket):
            self._renew(command)
            return
        if isinstance(command, Subscribe | Start):
            raise Refusal("invalid_request", "this socket shows one stream; /v1/ws shows many")
        if command.stream not in (None, self._stream.id):
            raise Refusal("not_found", "this socket shows another stream")
        if isinstance(command, Cancel):
            self._cancel_stream(self._stream, command)
        elif subscriber := self.subscribers.pop(self._stream.id, None):
            subscriber.leave()

    def announce_drain(self, retry_after_ms: int) -> None:
        subscriber = self.subscribers.get(self._stream.id)
        if subscriber is not None:
            cursors = {self._stream.id: str(subscriber.cursor)}
            self.say(messages.draining(self._stream.id, retry_after_ms, cursors))


class ManySocket(WebSocketConnection):
    """The socket for many streams: subscribe, start and cancel by message."""

    def __init__(self, app: web.Application, caller: Caller, headers: dict[str, str]) -> None:
        super().__init__(app)
        self.caller = caller
        self._tenant = caller.tenant
        self._headers = headers
        self._listeners: dict[str, Listener] = {}

    def command(self, command: Command) -> None:
        match command:
            case Ping():
                self.say(messages.pong(command.ref))
            case NewTicket():
                self._renew(command)
            case Subscribe():
                self._subscribe(command)
            case Unsubscribe():
                self._unsubscribe(command)
            case Start():
                self._start(command)
            case Cancel():
                self._cancel(command)

    def _subscribe(self, command: Subscribe) -> None:
        caller = self._need("read")
        if (command.stream is None) == (command.channel is None):
            raise Refusal("invalid_request", "subscribe: either stream or channel")
        check_view(caller, command.view)
        if command.channel is not None:
            check_channel(caller, command.channel)
            self._listen(command)
            return
        # What there is for a ticket is looked up first, and what is bounded is counted.
        plain = caller.grant is None and not self._limiter.concerns(caller)
        stream = self._hub.find(self._tenant, command.stream or "") if plain else None
        if stream is None:
            self._fetch(command, command.stream or "")
            return
        self._see(stream, command)

    def _see(self, stream: Stream, command: Subscribe) -> None:
        cursor = parse_cursor(command.cursor)
        if not self._hub.has_reached(stream, cursor):
            self.held = True
            self._hub.reach_then(
                stream, cursor, lambda _: self.go_on(partial(self._attach, stream, command), command.ref)
            )
            return
        self._attach(stream, command)

    def _attach(self, stream: Stream, command: Subscribe) -> None:
        if not self._is_ready([stream], command, partial(self._attach, stream, command)):
            return
        if stream.id not in self.subscribers:
            check_seat(self._app, self._need(), stream)
        with stream.hold():  # replacing one's only subscription is not leaving
            self._drop_subscription(stream.id)
            stream.attach(
                self,
                command.view,
                parse_cursor(command.cursor),
                presence=command.presence,
                live_only=self._need().is_live_only,
                ref=command.ref,
            )

    def _is_ready(self, streams: Iterable[Stream], command: Subscribe, again: Callable[[], None]) -> bool:
        """Whether a subscription can be had at once; else ``again`` is what comes next, and nothing before it."""
        for stream in streams:
            if not stream.prepare(command.view, lambda: self.go_on(again, command.ref)):
                self.held = True
                return False
        return True

    def _fetch(self, command: Subscribe | Cancel, stream_id: str) -> None:
        """Have a stream at hand that only the store has, and then do what was asked."""
        self.held = True
        # With the stream itself: one that memory has no room for is forgotten at once, and would be fetched for ever.
        self._hub.told(
            self._there(command, stream_id),
            lambda found: self.go_on(partial(self._fetched, command, found), command.ref),
        )

    async def _there(self, command: Subscribe | Cancel, stream_id: str) -> Stream:
        caller = self._need()
        stream = await visible(self._hub, caller, stream_id)
        if isinstance(command, Subscribe):
            await self._limiter.attach(caller)
        return stream

    def _fetched(self, command: Subscribe | Cancel, found: Stream | Refusal) -> None:
        if isinstance(found, Refusal):
            raise found
        if isinstance(command, Cancel):
            self._cancel_stream(found, command)
        else:
            self._see(found, command)

    def _listen(self, command: Subscribe) -> None:
        name, caller = command.channel or "", self._need()
        if self._hub.peers is None and not self._limiter.concerns(caller):
            self._listen_to(command, self._hub.running_under(self._tenant, name))
            return
        self.held = True
        self._hub.told(
            self._under(caller, name), lambda found: self.go_on(partial(self._listen_to, command, found), command.ref)
        )

    async def _under(self, caller: Caller, name: str) -> tuple[Stream, ...]:
        await self._limiter.attach(caller)
        return await self._hub.under(self._tenant, name)

    def _listen_to(self, command: Subscribe, running: tuple[Stream, ...] | Refusal) -> None:
        if isinstance(running, Refusal):
            raise running
        name = command.channel or ""
        if not self._is_ready(running, command, partial(self._listen_to, command, running)):
            return
        for stream in running:
            check_seat(self._app, self._need(), stream)
        self._unlisten(name)
        listener = self._listeners[name] = Listener(
            self, command.view, command.presence, live_only=self._need().is_live_only
        )
        self._hub.listen(self._tenant, name, listener, parse_cursor(command.cursor), command.ref, running)

    def listen(self, name: str, listener: Listener, cursor: str | None, running: tuple[Stream, ...]) -> None:
        """Attach the socket to a channel from its beginning."""
        self._listeners[name] = listener
        self._hub.listen(self._tenant, name, listener, parse_cursor(cursor), running=running)

    def _unlisten(self, name: str) -> None:
        listener = self._listeners.pop(name, None)
        if listener is not None:
            self._hub.unlisten(self._tenant, name, listener)

    def _unsubscribe(self, command: Unsubscribe) -> None:
        if (command.stream is None) == (command.channel is None):
            raise Refusal("invalid_request", "unsubscribe: either stream or channel")
        if command.channel is not None:
            self._unlisten(command.channel)
            return
        self._drop_subscription(command.stream or "")

    def _drop_subscription(self, stream_id: str) -> None:
        subscriber = self.subscribers.pop(stream_id, None)
        if subscriber is not None:
            subscriber.leave()

    def _start(self, command: Start) -> None:
        caller = self._need("start", "read")
        request = dict(command.request)
        options = parse_options(request.pop("fanlight", None))
        check_options(caller, options)
        check_members(request)
        asked = ask(request, options)
        key = command.idempotency_key and caller.space + command.idempotency_key
        plain = caller.grant is None and not self._limiter.concerns(caller)
        if plain and not self._hub.needs_recall(self._tenant, asked, key):
            started = self._hub.start(
                self._tenant, asked, NATIVE, headers=self._headers, idempotency_key=key, payer=caller.key
            )
            self._started(command, started)
            return
        self.held = True
        self._hub.told(
            self._begun(caller, asked, key),
            lambda found: self.go_on(partial(self._started, command, found), command.ref),
        )

    async def _begun(self, caller: Caller, asked: Asked, key: str | None) -> Started:
        account = Account(self._limiter, caller)
        started = await self._hub.begin(
            self._tenant, asked, NATIVE, headers=self._headers, idempotency_key=key, payer=account
        )
        await remember_started(self._hub, caller, started.stream.id)
        await self._limiter.attach(caller)
        return started

    def _started(self, command: Start, started: Started | Refusal) -> None:
        if isinstance(started, Refusal):
            raise started
        self._note("start" if started.join == "leader" else "join", started.join, started.stream.id)
        see = partial(
            self._see,
            started.stream,
            Subscribe(
                type="subscribe",
                stream=started.stream.id,
                view=command.view,
                presence=command.presence,
                ref=command.ref,
            ),
        )
        if self._hub.journal.store.durable:
            # An id that was told is not forgotten: its beginning is kept first.
            self.held = True
            self._hub.journal.add(None, lambda: self.go_on(see, command.ref))
        else:
            see()

    def _cancel(self, command: Cancel) -> None:
        if command.stream is None:
            raise Refusal("invalid_request", "cancel: which stream?")
        caller = self._need("cancel")
        stream = self._hub.find(self._tenant, command.stream) if caller.grant is None else None
        if stream is None:
            self._fetch(command, command.stream)
            return
        self._cancel_stream(stream, command)

    def ended(self, subscriber: Subscriber, clean: bool) -> None:
        """A stream's ending is not the socket's."""
        if self.subscribers.get(subscriber.stream_id) is subscriber:
            del self.subscribers[subscriber.stream_id]

    def attached(self, subscriber: Subscriber) -> None:
        # A channel may announce a stream that is subscribed to already.
        self._drop_subscription(subscriber.stream_id)
        super().attached(subscriber)

    def leave_all(self) -> None:
        for name in list(self._listeners):
            self._unlisten(name)
        super().leave_all()

    def announce_drain(self, retry_after_ms: int) -> None:
        cursors = {stream_id: str(subscriber.cursor) for stream_id, subscriber in self.subscribers.items()}
        self.say(messages.draining(None, retry_after_ms, cursors))


class _Refused(WebSocketConnection):
    """A socket that is closed with a code as soon as it is open."""

    def command(self, command: Command) -> None:
        """Nobody is served here."""


def _upgrade(request: web.Request, accepted: bytes, connection: WebSocketConnection) -> bytes:
    tail = detach(request, connection)
    connection.write(accepted)
    return tail


async def on_stream(request: web.Request) -> web.StreamResponse:
    """``GET /v1/streams/{id}/ws``: a WebSocket on this stream."""
    accepted = handshake(request)
    try:
        caller = caller_of(request, "read")
        stream, view = await read_of(request), asked_view(request)
        await stream.ready(view)
        check_room(request.app, caller, stream)
    except Refusal as refusal:
        return _refuse(request, accepted, refusal)
    connection = StreamSocket(request.app, stream)
    tail = _upgrade(request, accepted, connection)
    cursor, presence = parse_cursor(request.query.get("cursor")), request.query.get("presence") == "1"
    with in_charge(connection):
        stream.attach(connection, view, cursor, presence=presence, live_only=caller.is_live_only)
    return _begun(connection, tail)


async def on_many(request: web.Request) -> web.StreamResponse:
    """``GET /v1/ws``: a WebSocket for many streams."""
    accepted = handshake(request)
    try:
        caller = caller_of(request)  # what it asks says which scopes it needs
        check_room(request.app, caller)
    except Refusal as refusal:
        return _refuse(request, accepted, refusal)
    connection = ManySocket(request.app, caller, analyze_headers(request))
    return _begun(connection, _upgrade(request, accepted, connection))


async def on_channel(request: web.Request) -> web.StreamResponse:
    """``GET /v1/channels/{name}/ws``: attached before the stream is started."""
    accepted = handshake(request)
    try:
        caller = caller_of(request, "read")
        name, view = asked_channel(request), asked_view(request)
        check_channel(caller, name)
        await come_in(request.app, caller)
        running = await request.app[HUB].under(caller.tenant, name)
        for stream in running:
            await stream.ready(view)
        for stream in running:
            check_room(request.app, caller, stream)
    except Refusal as refusal:
        return _refuse(request, accepted, refusal)
    connection = ManySocket(request.app, caller, analyze_headers(request))
    tail = _upgrade(request, accepted, connection)
    with in_charge(connection):
        listener = Listener(connection, view, request.query.get("presence") == "1", live_only=caller.is_live_only)
        connection.listen(name, listener, request.query.get("cursor"), running)
    return _begun(connection, tail)


def _begun(connection: WebSocketConnection, tail: bytes) -> Sent:
    if tail:
        connection.data_received(tail)
    return Sent(keep_alive=False)


def _refuse(request: web.Request, accepted: bytes, refusal: Refusal) -> Sent:
    request[TRAIL].refused(refusal.code, request.match_info.get("id"))
    connection = _Refused(request.app)
    _upgrade(request, accepted, connection)
    connection.close_with(refusal.answer.close, refusal.code)
    return Sent(keep_alive=False)
