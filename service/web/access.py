"""What a request's caller may do, and which streams there are for it.

A stream that lies outside a ticket, or belongs to another tenant, is told of in the very words
that tell of one that does not exist.
"""

import orjson
from aiohttp import web

from protocol.errors import Refusal
from protocol.wire.options import Options
from service.access.caller import Caller, Grant, Scope
from service.access.limiter import Limiter
from service.access.tickets import MAX_TTL_S
from service.hub.hub import Hub
from service.hub.streams import Stream
from service.store.contract import StoreFailed
from service.web.guard import CALLER, REFUSED
from service.web.keys import KEYRING, LIMITER, MEMORY

TRIES = 8
MAX_OF_SESSION = 1000  # streams of one session that are remembered, the newest


def caller_of(request: web.Request, *scopes: Scope) -> Caller:
    """Whose request it is.

    Raises:
        Refusal: ``unauthenticated`` or ``ticket_expired``, where the door left that to the handler; ``forbidden``.
    """
    try:
        caller = request[CALLER]
    except KeyError:
        raise request[REFUSED] from None
    if scopes:
        caller.need(*scopes)
    return caller


async def visible(hub: Hub, caller: Caller, stream_id: str) -> Stream:
    """The stream of that id, as far as there is one for the caller.

    Raises:
        Refusal: ``not_found``; ``overloaded``.
    """
    grant = caller.grant
    if grant is None:
        return await hub.fetch(caller.tenant, stream_id)
    if grant.stream is not None and grant.stream != stream_id:
        raise _unknown()
    if grant.stream is None and grant.channel is None and stream_id not in await _started(hub, caller.tenant, grant):
        raise _unknown()
    stream = await hub.fetch(caller.tenant, stream_id)
    if grant.channel is not None and grant.channel not in stream.channels:
        raise _unknown()
    return stream


async def come_in(app: web.Application, caller: Caller, stream: Stream | None = None) -> None:
    """One more connection comes to read: a stream, or whatever there will be.

    Raises:
        Refusal: ``limit_reached``, ``overloaded``.
    """
    check_room(app, caller, stream)
    limiter = app[LIMITER]
    if limiter.concerns(caller):
        await limiter.attach(caller)


def check_room(app: web.Application, caller: Caller, stream: Stream | None = None) -> None:
    """Do nothing where there is room for one more connection: asked again where something was awaited since.

    Raises:
        Refusal: ``limit_reached``, ``overloaded``.
    """
    app[MEMORY].check_readers()
    limiter = app[LIMITER]
    if limiter.concerns(caller):
        limiter.check_readers(caller)
        _check_stream(limiter, caller, stream)


def check_seat(app: web.Application, caller: Caller, stream: Stream | None = None) -> None:
    """The same for a connection that is there already.

    Raises:
        Refusal: ``limit_reached``, ``overloaded``.
    """
    app[MEMORY].check_readers()
    limiter = app[LIMITER]
    if limiter.concerns(caller):
        _check_stream(limiter, caller, stream)


def _check_stream(limiter: Limiter, caller: Caller, stream: Stream | None) -> None:
    if stream is not None:
        limiter.check_stream(caller, sum(stream.presence().values()))


def check_still(request: web.Request) -> None:
    """Do nothing where whoever asked is somebody still: asked where a call has waited.

    Raises:
        Refusal: ``unauthenticated``, ``ticket_expired``.
    """
    request.app[KEYRING].check(caller_of(request))


def check_whole(caller: Caller) -> None:
    """Do nothing where a stream may be shown from its beginning.

    Raises:
        Refusal: ``forbidden``.
    """
    if caller.is_live_only:
        raise Refusal("forbidden", "this ticket shows nothing that was told before")


async def visible_ids(hub: Hub, caller: Caller) -> tuple[str, ...] | None:
    """The only streams that there are for the caller, newest first; None where its tenant's, or its channel's, are."""
    grant = caller.grant
    if grant is None or grant.channel is not None:
        return None
    return (grant.stream,) if grant.stream is not None else await _started(hub, caller.tenant, grant)


def check_channel(caller: Caller, name: str) -> None:
    """Do nothing where the caller may listen to a channel.

    Raises:
        Refusal: ``forbidden``, whether or not anything runs there.
    """
    if caller.grant is not None and caller.grant.channel != name:
        raise Refusal("forbidden", "this ticket is for something else than that channel")


def check_view(caller: Caller, view: str) -> None:
    """Do nothing where the caller may see a stream so.

    Raises:
        Refusal: ``forbidden``: operations on a tree are of no use without the tree so far.
    """
    if caller.is_live_only and view == "patch":
        raise Refusal("forbidden", "this ticket shows nothing that was told before; view patch begins with all of it")


def check_options(caller: Caller, options: Options) -> None:
    """Do nothing where the caller may start with these options.

    Raises:
        Refusal: ``forbidden``: what a ticket starts is told to nobody who did not ask for it.
    """
    if caller.grant is not None and options.channel is not None:
        raise Refusal("forbidden", "a ticket cannot start under the name of a channel")


def may_force(caller: Caller) -> bool:
    """Whether the caller may end what others started too: not with a ticket for what it starts itself."""
    grant = caller.grant
    return grant is None or grant.stream is not None or grant.channel is not None


async def remember_started(hub: Hub, caller: Caller, stream_id: str) -> None:
    """From now on the tickets of the caller's session see a stream.

    Raises:
        Refusal: ``overloaded``.
    """
    grant = caller.grant
    if grant is None:
        return
    store, now, name = hub.journal.store, hub.wall(), _note(grant)
    try:
        for _ in range(TRIES):
            before = await store.note(caller.tenant, name, now)
            known: list[str] = orjson.loads(before) if before is not None else []
            if stream_id in known:
                return
            told = orjson.dumps([*known, stream_id][-MAX_OF_SESSION:])
            # As long as a ticket that renews this one may last.
            if await store.write_note(caller.tenant, name, before, told, grant.expires + MAX_TTL_S, now):
                return
    except StoreFailed as exc:
        raise _unreachable() from exc
    raise _unreachable()


async def _started(hub: Hub, tenant: str, grant: Grant) -> tuple[str, ...]:
    try:
        told = await hub.journal.store.note(tenant, _note(grant), hub.wall())
    except StoreFailed as exc:
        raise _unreachable() from exc
    return tuple(reversed(orjson.loads(told))) if told is not None else ()


def _note(grant: Grant) -> str:
    return f"session:{grant.session}"


def _unknown() -> Refusal:
    return Refusal("not_found", "there is no such stream")


def _unreachable() -> Refusal:
    return Refusal("overloaded", "what a ticket started cannot be looked up now", retry_after_s=1)
