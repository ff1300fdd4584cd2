"""``/openapi.json``, ``/asyncapi.json`` and ``/docs``."""

from functools import cache
from importlib.metadata import version

from aiohttp import web

from service.web.described import asyncapi, openapi
from service.web.described.page import page
from service.web.errors import json_response
from service.web.keys import PUBLIC
from service.web.pages import POLICY

VERSION = version("fanlight")


async def calls(request: web.Request) -> web.Response:
    """``GET /openapi.json``."""
    return json_response(openapi.document(VERSION))


async def sockets(request: web.Request) -> web.Response:
    """``GET /asyncapi.json``."""
    public = request.app.get(PUBLIC)
    host = public.host if public is not None else request.host
    secure = (public.scheme if public is not None else request.scheme) == "https"
    return json_response(asyncapi.document(VERSION, host, secure=secure))


@cache
def _page() -> str:
    return page(openapi.document(VERSION), asyncapi.document(VERSION, "localhost", secure=False))


async def described(request: web.Request) -> web.Response:
    """``GET /docs``: both for people."""
    headers = {
        "Cache-Control": "no-cache",
        "Content-Security-Policy": POLICY,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    return web.Response(text=_page(), content_type="text/html", headers=headers)
