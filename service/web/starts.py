"""Start an analysis in the name of a request's caller, whatever the dialect."""

from aiohttp import web

from service.hub.hub import NATIVE, Dialect
from service.hub.requests import Asked
from service.hub.streams import Started
from service.web.access import caller_of, check_options, check_room, check_whole, come_in, remember_started
from service.web.keys import CORS, HUB, LIMITER
from service.web.trail import TRAIL
from service.web.upstream_headers import analyze_headers
from service.web.usage import Account


async def begin(request: web.Request, asked: Asked, dialect: Dialect, *, idempotency_key: str | None = None) -> Started:
    """Start an analysis, or come to one.

    Raises:
        Refusal: ``forbidden``; see also `service.hub.hub.Hub.begin`.
    """
    app, caller = request.app, caller_of(request, "start")
    hub = app[HUB]
    reads = dialect is not NATIVE  # and is told the answer from its beginning
    if reads:
        check_whole(caller)
        await come_in(app, caller)
    check_options(caller, asked.options)
    key = None if idempotency_key is None else caller.space + idempotency_key
    account = Account(app[LIMITER], caller)
    started = await hub.begin(
        caller.tenant, asked, dialect, headers=analyze_headers(request), idempotency_key=key, payer=account
    )
    if account.drawn is not None:
        request[CORS].update(account.drawn.headers("starts"))
    trail = request[TRAIL]
    trail.saw(started.stream.run.calls)
    trail.note("start" if started.join == "leader" else "join", started.join, started.stream.id)
    await remember_started(hub, caller, started.stream.id)
    if reads:
        check_room(app, caller, started.stream)
    return started
