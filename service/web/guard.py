"""Who may call: Host, Origin, keys and tickets (wire contract, section 8)."""

import hmac
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from aiohttp import web

from protocol.errors import Refusal
from service.access.caller import USUAL, Caller
from service.access.keyring import LOCAL_TENANT, Keyring
from service.access.tickets import looks_like_ticket

CALLER = web.RequestKey("caller", Caller)
REFUSED = web.RequestKey("refused", Refusal)  # why there is no caller, where the handler has to tell it
TICKET_PROTOCOL = "ticket."  # what a WebSocket subprotocol begins with that carries one
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")


_ANYBODY = Caller(LOCAL_TENANT)


@dataclass(frozen=True, slots=True)
class Guard:
    """The door.

    Attributes:
        hosts: names accepted in ``Host`` besides loopback names, lower case, without port.
        origins: browser origins accepted besides the same origin.
        keyring: the keys and tickets that are good; where there is no key everybody comes in.
        forward_keys: callers bring the upstream's own key, and each key is a tenant.
    """

    hosts: frozenset[str]
    origins: frozenset[str]
    keyring: Keyring
    forward_keys: bool = False
    # Tenants of callers with their own keys are named so by all who use one store, and by nobody else.
    salt: Callable[[], bytes] = bytes

    def check_host(self, request: web.Request) -> None:
        """Refuse a request that was meant for another name (DNS rebinding).

        Raises:
            Refusal: ``forbidden``.
        """
        name, is_loopback = _host_of(request.headers.get("Host", ""))
        if name is None or not (is_loopback or name in self.hosts):
            raise Refusal("forbidden", "this service does not answer to that Host")

    def check_origin(self, request: web.Request, caller: Caller | None) -> str | None:
        """Return the origin to allow by CORS, None where there is none to allow.

        Raises:
            Refusal: ``forbidden``: a page from elsewhere.
        """
        origin = request.headers.get("Origin")
        if origin is None or _same_origin(origin, request):
            return None
        if origin in self.origins or origin in self.keyring.origins or (caller and origin in caller.origins):
            return origin
        if caller is None and origin in self._origins_of_ticket(request):
            return origin  # so that its page can read that it has expired
        raise Refusal("forbidden", "pages of that origin may not call this service")

    def _origins_of_ticket(self, request: web.Request) -> frozenset[str]:
        try:
            ticket = presented_ticket(request)
        except Refusal:
            return frozenset()
        return self.keyring.origins_of(ticket) if ticket is not None else frozenset()

    def check_own_origin(self, request: web.Request, caller: Caller) -> None:
        """Refuse a page that the door lets in, but not with this key or ticket.

        Raises:
            Refusal: ``forbidden``.
        """
        origin = request.headers.get("Origin")
        if origin is None:
            return
        own = origin in caller.origins
        if not own and (caller.origins or not (origin in self.origins or _same_origin(origin, request))):
            raise Refusal("forbidden", "pages of that origin may not use this key or ticket")

    def caller(self, request: web.Request) -> Caller:
        """Who it is.

        Raises:
            Refusal: ``unauthenticated``, ``ticket_expired``; ``overloaded``, where tenants cannot be told
                apart yet; ``invalid_request``.
        """
        ticket = presented_ticket(request)
        if ticket is not None:
            return self.keyring.by_ticket(ticket)
        key = presented_key(request)
        if not self.keyring.is_open:
            return self.keyring.by_key(key or "")
        if self.forward_keys:
            if not key:
                raise Refusal("unauthenticated", "bring your own upstream key, as x-api-key")
            if not (salt := self.salt()):
                raise Refusal("overloaded", "where streams are kept cannot be reached yet", retry_after_s=1)
            name = "key-" + hmac.digest(salt, key.encode(errors="surrogateescape"), "sha256").hex()[:32]
            return Caller(name, USUAL)
        return _ANYBODY


def presented_ticket(request: web.Request) -> str | None:
    """The ticket of a request: ``?ticket=``, a WebSocket subprotocol, or a bearer's token of its form.

    Raises:
        Refusal: ``invalid_request``: there are several.
    """
    found = request.query.getall("ticket", []) if request.rel_url.raw_query_string else []
    if offered := request.headers.get("Sec-WebSocket-Protocol"):
        names = [name.strip() for name in offered.split(",")]
        found += [name.removeprefix(TICKET_PROTOCOL) for name in names if name.startswith(TICKET_PROTOCOL)]
    if len(found) > 1:
        raise Refusal("invalid_request", "one ticket at a time")
    if found:
        return found[0]
    token = presented_key(request)
    return token if token is not None and looks_like_ticket(token) else None


def presented_key(request: web.Request) -> str | None:
    """The API key of a request: ``x-api-key``, else ``Authorization: Bearer``."""
    key = request.headers.get("x-api-key")
    if key:
        return key
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


@lru_cache(maxsize=64)
def _host_of(header: str) -> tuple[str | None, bool]:
    """The name in ``Host``, None where there is none, and whether it is this machine's own."""
    match = _HOST.fullmatch(header)
    name = match[1].lower().strip("[]") if match else None
    return name, name is not None and _is_loopback_name(name)


def _is_loopback_name(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _same_origin(origin: str, request: web.Request) -> bool:
    parts = urlsplit(origin)
    # Behind a proxy that ends TLS the scheme differs; the authority is what counts.
    return parts.scheme in ("http", "https") and parts.netloc.lower() == request.headers.get("Host", "").lower()


def cors_headers(origin: str) -> dict[str, str]:
    """What lets a page of ``origin`` read an answer."""
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": (
            "Fanlight-Stream, Fanlight-Join, Fanlight-Attached, X-Resumable-Stream-Id, Location, Retry-After,"
            " RateLimit, RateLimit-Policy, X-Request-Id"
        ),
        "Vary": "Origin",
    }


def preflight(request: web.Request, origin: str) -> web.Response:
    """The answer to a CORS preflight."""
    asked = request.headers.get("Access-Control-Request-Headers", "")
    return web.Response(
        status=204,
        headers={
            **cors_headers(origin),
            "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
            "Access-Control-Allow-Headers": asked if re.fullmatch(r"[A-Za-z0-9, _-]{0,1000}", asked) else "",
            "Access-Control-Max-Age": "600",
        },
    )
