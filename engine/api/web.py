"""What all routes share: errors as the API writes them, headers, one log line a request."""

import json
import re
import time
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

import structlog
from aiohttp import web

from engine.errors import ApiError, invalid
from engine.work.turns import TENANT

log = structlog.get_logger()

API_VERSION = "1.3"
TENANT_HEADER = "X-Fanlight-Tenant"
_HOST = re.compile(r"[A-Za-z0-9._\-]+(:[0-9]+)?|\[[0-9a-fA-F:.]+\](:[0-9]+)?")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_DEPRECATED = web.RequestKey("deprecated", bool)


def nested(handler: Handler) -> Handler:
    """Wrap a handler whose errors the API nests: ``{"error": {"code", "message"}}``."""

    @wraps(handler)
    async def wrapped(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except ConnectionError:
            raise
        except Exception as exc:
            return error_response(error_of(exc, request), nest=True)

    return wrapped


def deprecated(handler: Handler) -> Handler:
    """Wrap a call that the API has announced for removal: whatever it answers says so."""

    @wraps(handler)
    async def wrapped(request: web.Request) -> web.StreamResponse:
        request[_DEPRECATED] = True
        return await handler(request)

    return wrapped


def error_response(error: ApiError, nest: bool = False) -> web.Response:
    again = error.retry_after or ("5" if error.status == 429 else None)
    headers = {"Retry-After": again} if again else None
    body = {"error": error.body()} if nest else error.body()
    return web.json_response(body, status=error.status, headers=headers)


def error_of(exc: Exception, request: web.Request) -> ApiError:
    """Return what a caller is told of a failure; tracebacks go to the log only."""
    match exc:
        case ApiError():
            return exc
        case UnicodeEncodeError():
            # JSON can name half of a surrogate pair, which neither the library nor an answer can hold.
            return invalid("A parameter holds half of a surrogate pair.")
        case web.HTTPRequestEntityTooLarge():
            return ApiError("parameter_invalid", "The request body is too large.", 413)
        case web.HTTPNotFound():
            return ApiError("resource_not_exist", "There is no such path.", 404)
        case web.HTTPMethodNotAllowed():
            return ApiError("parameter_invalid", "The path does not take this method.", 405)
    log.error("request_broke", method=request.method, exc_info=exc)
    return ApiError("internal_error", "The engine failed.", 500)


@web.middleware
async def refuse_encoded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse encoded bodies: a compressed one can grow to any size, and blocks the loop while it is inflated."""
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding.strip().lower() not in ("", "identity"):
        return error_response(invalid("The Content-Encoding header must be identity: send the body as it is."))
    return await handler(request)


@web.middleware
async def set_tenant(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Remember the tenant of this request: the gateway names it, and no other client reaches the engine."""
    TENANT.set(request.headers.get(TENANT_HEADER, ""))
    return await handler(request)


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every failure into the API's error object."""
    try:
        return await handler(request)
    except ConnectionError:
        raise
    except Exception as exc:
        response = error_response(error_of(exc, request))
        if isinstance(exc, web.HTTPMethodNotAllowed):
            response.headers["Allow"] = ", ".join(sorted(exc.allowed_methods))
        return response


@web.middleware
async def log_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Write one line a request: the route, never the query or the body."""
    began = time.monotonic()
    status: int | str = "gone"
    try:
        response = await handler(request)
        status = response.status
        return response
    finally:
        resource = request.match_info.route.resource
        log.info(
            "request",
            method=request.method,
            route=resource.canonical if resource else None,
            status=status,
            seconds=round(time.monotonic() - began, 3),
        )


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["X-Api-Version"] = API_VERSION
    if request.get(_DEPRECATED):
        # The date that RFC 9745 wants is not published; the form of its drafts says as much as is known.
        response.headers["Deprecation"] = "true"


async def read_object(request: web.Request) -> dict[str, Any]:
    """Return the JSON object in the body.

    Raises:
        ApiError: ``parameter_invalid``, the body is not one.
    """
    try:
        body = json.loads(await request.read(), parse_constant=_no_number)
    except (ValueError, RecursionError) as exc:
        raise invalid("The request body is not valid JSON.") from exc
    if not isinstance(body, dict):
        raise invalid("The request body must be a JSON object.")
    return body


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def positive(request: web.Request, name: str, default: int, most: int | None = None) -> int:
    """Return a query parameter that must be a whole number from 1 on.

    Raises:
        ApiError: ``parameter_invalid``.
    """
    text = request.query.get(name, str(default))
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if number < 1 or (most is not None and number > most):
        raise invalid(f"The {name} parameter must be a whole number from 1{f' to {most}' if most else ''}.")
    return number


def origin(request: web.Request) -> str:
    """Return the address at which the caller reaches us, also through a gateway."""
    scheme = request.headers.get("X-Forwarded-Proto", request.scheme).partition(",")[0].strip()
    host = request.headers.get("X-Forwarded-Host", request.headers.get("Host", "")).partition(",")[0].strip()
    if scheme not in ("http", "https") or not _HOST.fullmatch(host):
        raise invalid("The host header names no host.")
    return f"{scheme}://{host}"
