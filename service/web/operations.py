"""``/livez`` and ``/readyz``: for whoever runs the service."""

from aiohttp import web

from service.web.errors import json_response
from service.web.keys import HUB, READY


async def livez(request: web.Request) -> web.Response:
    """The process answers."""
    return json_response({"status": "ok"})


async def readyz(request: web.Request) -> web.Response:
    """Whether calls can be served; waits for the embedded engine, and asks nothing of the cloud."""
    hub = request.app[HUB]
    engine = request.app[READY].ready()
    ok = engine and not hub.draining
    state = "draining" if hub.draining else "ok" if engine else "starting"
    body = {
        "status": state,
        "upstream": {"ready": engine, "breaker": hub.breaker.state},
        "running": hub.running,
    }
    return json_response(body, 200 if ok else 503)
