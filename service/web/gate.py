"""What happens to every request before its handler, and to every failure after it."""

import asyncio
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from itertools import count

import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware

from protocol.errors import Refusal
from service.access.caller import Caller
from service.watch import lines
from service.watch.lines import say_besides
from service.web.errors import refusal_response
from service.web.guard import CALLER, REFUSED, Guard, cors_headers, preflight
from service.web.keys import CORS, FORMS, UPSTREAM, WATCHING
from service.web.trail import TRAIL, Trail

log = structlog.get_logger()
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# A request that brings no id is told apart from all others by its process and its number there.
_PROCESS, _NUMBERS = secrets.token_hex(4), count()

# Operations must answer a probe that knows no key and no name.
PUBLIC_PAGES = frozenset({"/", "/captions", "/docs", "/openapi.json", "/asyncapi.json"})
PUBLIC_FILES = "/static/"
# What the embedded engine signs: addresses that carry their right, which it checks. As it
# is on the wire, and without a dot that could lead elsewhere.
_PRESIGNED = re.compile(
    r"PUT /v1\.3/multipart-chunks(/[\w-]+)+|GET /v1\.3/(thumbnails|hls)(/[\w-]+)+(\.m3u8|\.ts)?", re.ASCII
)
OPEN_PATHS = frozenset({"/livez", "/readyz", "/metrics"})
# Headers that decide something and have one value: of two, one would pass the door and the
# other be obeyed. Without a header in it twice a request needs no closer look.
SINGLE = frozenset(
    {"host", "origin", "x-api-key", "authorization", "content-type", "content-length", "expect"}
    | {"idempotency-key", "last-event-id", "sec-websocket-key", "sec-websocket-version"}
    | {"access-control-request-method", "access-control-request-headers"}
)


def gate(guard: Guard) -> Middleware:
    """The middleware: request id, Host, Origin, tenant, and refusals as answers."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        asked = request.headers.get("X-Request-Id")
        request_id = asked if asked and _REQUEST_ID.fullmatch(asked) else f"{_PROCESS}{next(_NUMBERS):08x}"
        route = _route(request)
        trail = Trail(request.app[WATCHING], request, request_id, route, traced=route not in OPEN_PATHS)
        request[TRAIL] = trail
        say_besides({"request_id": request_id, **_trace(trail)})
        began = time.perf_counter()
        request[CORS] = {"X-Request-Id": request_id}
        response: web.StreamResponse
        try:
            response = await _admitted(guard, request, handler)
        except Refusal as refusal:
            response = _refused(request, trail, refusal)
        except web.HTTPException as exc:
            response = _refused(request, trail, _as_refusal(exc))
            if "Allow" in exc.headers:
                response.headers["Allow"] = exc.headers["Allow"]
                response.set_status(405)
        except asyncio.CancelledError:
            # 499 in the access logs of nginx: the caller left before its answer.
            log.info("caller_left", method=request.method, route=route)
            trail.end(fault="caller_left")
            raise
        except Exception:
            log.exception("request_failed", method=request.method, route=route)
            response = _refused(request, trail, Refusal("internal", "the service failed"))
        if not response.prepared:
            response.headers.update(request[CORS])
        if lines.tells_requests:
            millis = round((time.perf_counter() - began) * 1000, 1)
            log.debug("request", method=request.method, route=route, status=response.status, millis=millis)
        if request.get(TRAIL) is trail:  # else it goes on with the connection
            trail.answered(response.status, request.match_info.get("id"))
            trail.end(response.status, str(response.status) if response.status >= 500 else "")
        return response

    return middleware


def _trace(trail: Trail) -> dict[str, str]:
    """The trace that a request belongs to, for log lines."""
    return {"trace_id": trail.context.trace_id} if trail.context is not None else {}


def _refused(request: web.Request, trail: Trail, refusal: Refusal) -> web.Response:
    """A refusal in the words of the dialect that the path belongs to."""
    trail.refused(refusal.code, request.match_info.get("id"))
    for beginning, form in request.app[FORMS].items():
        if request.path.startswith(beginning):
            return form(refusal)
    return refusal_response(refusal, request.path)


async def _admitted(guard: Guard, request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.path in OPEN_PATHS:
        return await handler(request)
    _check_single(request)
    guard.check_host(request)
    is_public = request.path in PUBLIC_PAGES or request.path.startswith(PUBLIC_FILES) or _is_presigned(request)
    if _is_preflight(request) and not guard.keyring.is_open and (origin := request.headers.get("Origin")):
        # It comes without what would tell whose page it is; the call behind it is judged.
        request[CORS].update(cors_headers(origin))
        return preflight(request, origin)
    caller, refused = (None, None) if is_public else _caller(guard, request)
    origin = guard.check_origin(request, caller)
    if origin is not None:
        request[CORS].update(cors_headers(origin))
        if _is_preflight(request):
            return preflight(request, origin)
    if caller is not None:
        request[CALLER] = request[TRAIL].caller = caller
    elif refused is not None:
        # A browser cannot see the status of a refused handshake: there the
        # handler upgrades, and closes with the code.
        if request.headers.get("Upgrade", "").lower() != "websocket":
            raise refused
        request[REFUSED] = refused
    return await handler(request)


def _caller(guard: Guard, request: web.Request) -> tuple[Caller | None, Refusal | None]:
    """Who it is, or why it is nobody."""
    try:
        caller = guard.caller(request)
        guard.check_own_origin(request, caller)
    except Refusal as refusal:
        return None, refusal
    return caller, None


def _check_single(request: web.Request) -> None:
    # As they were sent: the parsed headers name each but once.
    names = [name.lower() for name, _ in request.raw_headers]
    if len(names) == len(set(names)):
        return
    for name in SINGLE:
        if names.count(name.encode()) > 1:
            raise Refusal("invalid_request", f"the header {name} was sent twice")


def _is_preflight(request: web.Request) -> bool:
    return request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers


def _is_presigned(request: web.Request) -> bool:
    """Whether a request carries its right in its address: our engine checks it, which is sent no key of ours."""
    asked = f"{request.method} {request.raw_path}"
    return _PRESIGNED.fullmatch(asked) is not None and request.app[UPSTREAM].api_key is None


def _route(request: web.Request) -> str:
    """The route as it was declared: no ids, no query."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unknown"


def _as_refusal(exc: web.HTTPException) -> Refusal:
    if exc.status == 413:
        return Refusal("too_large", "the body is larger than the service takes")
    if exc.status in (404, 405):
        return Refusal("not_found" if exc.status == 404 else "invalid_request", exc.reason)
    return Refusal("invalid_request" if exc.status < 500 else "internal", exc.reason)
