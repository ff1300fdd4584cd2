"""Who may call: Host, Origin and API keys (wire contract, section 8)."""

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import web

from protocol.errors import Refusal

LOCAL_TENANT = "local"
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Guard:
    """The door.

    Attributes:
        hosts: names accepted in ``Host`` besides loopback names, lower case, without port.
        origins: browser origins accepted besides the same origin.
        keys: SHA-256 (hex) of each API key to the tenant's name; empty admits everybody.
        forward_keys: callers bring the upstream's own key, and each key is a tenant.
    """

    hosts: frozenset[str]
    origins: frozenset[str]
    keys: Mapping[str, str]
    forward_keys: bool = False
    # Tenants of callers with their own keys are named so by all who use one store, and by nobody else.
    salt: Callable[[], bytes] = bytes

    def check_host(self, request: web.Request) -> None:
        """Refuse a request that was meant for another name (DNS rebinding).

        Raises:
            Refusal: ``forbidden``.
        """
        name = _host_name(request.headers.get("Host", ""))
        if name is None or not (_is_loopback_name(name) or name in self.hosts):
            raise Refusal("forbidden", "this service does not answer to that Host")

    def check_origin(self, request: web.Request) -> str | None:
        """Return the origin to allow by CORS, None where there is none to allow.

        Raises:
            Refusal: ``forbidden``: a page from elsewhere.
        """
        origin = request.headers.get("Origin")
        if origin is None or _same_origin(origin, request):
            return None
        if origin in self.origins:
            return origin
        raise Refusal("forbidden", "pages of that origin may not call this service")

    def tenant(self, request: web.Request) -> str:
        """Whose request it is.

        Raises:
            Refusal: ``unauthenticated``; ``overloaded``, where tenants cannot be told apart yet.
        """
        key = presented_key(request)
        if self.keys:
            name = self.keys.get(hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()) if key else None
            if name is None:
                raise Refusal("unauthenticated", "an API key is needed, as x-api-key or Authorization: Bearer")
            return name
        if self.forward_keys:
            if not key:
                raise Refusal("unauthenticated", "bring your own upstream key, as x-api-key")
            if not (salt := self.salt()):
                raise Refusal("overloaded", "where streams are kept cannot be reached yet", retry_after_s=1)
            return "key-" + hmac.digest(salt, key.encode(errors="surrogateescape"), "sha256").hex()[:32]
        return LOCAL_TENANT


def presented_key(request: web.Request) -> str | None:
    """The API key of a request: ``x-api-key``, else ``Authorization: Bearer``."""
    key = request.headers.get("x-api-key")
    if key:
        return key
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _host_name(header: str) -> str | None:
    match = _HOST.fullmatch(header)
    return match[1].lower().strip("[]") if match else None


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
            " X-Request-Id"
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
