"""Which headers cross the service, and in which direction."""

from collections.abc import Mapping

from aiohttp import web

from service.web.guard import CALLER, presented_key
from service.web.keys import FORWARD_KEYS, TELL_TENANT
from service.web.trail import TRAIL

# RFC 9110, section 7.6.1, and what older clients send.
HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
TENANT_HEADER = "X-Fanlight-Tenant"
RELAYED = frozenset({"retry-after", "x-api-version", "content-type"})


def relayed(headers: Mapping[str, str]) -> dict[str, str]:
    """What a caller of ``/v1.3/analyze`` is told of the upstream's headers."""
    return {
        name: value
        for name, value in headers.items()
        if (lower := name.lower()) in RELAYED or lower.startswith("x-ratelimit-")
    }


def tenant_header(request: web.Request) -> dict[str, str]:
    """Whose call it is, for the embedded engine alone: it serves those who wait tenant by tenant."""
    if not request.app[TELL_TENANT]:
        return {}
    caller = request.get(CALLER)
    return {TENANT_HEADER: caller.tenant if caller is not None else ""}


def analyze_headers(request: web.Request) -> dict[str, str]:
    """What is sent upstream with an analyze call besides the upstream's own."""
    headers = tenant_header(request)
    if request.app[FORWARD_KEYS] and (key := presented_key(request)):
        headers["x-api-key"] = key
    step = request[TRAIL].context
    return headers | step.headers() if step is not None else headers
