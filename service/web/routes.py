"""Every address of the service, and its handler."""

from aiohttp import web

from service.web import (
    admin,
    dialect,
    exports,
    hls,
    operations,
    pages,
    passthrough,
    readers,
    streams,
    tickets,
    websocket,
)
from service.web.described import handlers as described
from service.web.dialects.ai_sdk import handlers as ai_sdk
from service.web.dialects.openai import handlers as openai

# A dialect is a folder of its own; the next one is added here.
DIALECTS = (ai_sdk.add_routes, openai.add_routes)


def add_routes(app: web.Application) -> None:
    """Put every route on the application."""
    router = app.router
    for dialect_of in DIALECTS:
        dialect_of(app)
    router.add_get("/livez", operations.livez)
    router.add_get("/readyz", operations.readyz)
    router.add_get("/metrics", operations.metrics)
    router.add_get("/openapi.json", described.calls)
    router.add_get("/asyncapi.json", described.sockets)
    router.add_get("/docs", described.described)
    router.add_get("/", pages.front_page)
    router.add_get("/captions", pages.caption_bar)
    router.add_get("/static/{name}", pages.static_file)
    router.add_post("/v1/streams", streams.start)
    router.add_get("/v1/streams", streams.listing)
    router.add_get("/v1/streams/{id}", streams.show)
    router.add_delete("/v1/streams/{id}", streams.cancel)
    router.add_get("/v1/streams/{id}/ws", websocket.on_stream, allow_head=False)
    router.add_get("/v1/streams/{id}/events", readers.events)
    router.add_get("/v1/streams/{id}/ndjson", readers.ndjson)
    router.add_get("/v1/streams/{id}/text", readers.text)
    router.add_get("/v1/streams/{id}/captions.{kind:vtt|srt|json}", exports.captions)
    router.add_get("/v1/streams/{id}/master.m3u8", hls.master)
    router.add_get("/v1/streams/{id}/captions.m3u8", hls.captions)
    router.add_get("/v1/streams/{id}/captions/{number:[0-9]{1,5}}.vtt", hls.segment)
    router.add_post("/v1/tickets", tickets.create)
    router.add_delete("/v1/tickets/{jti}", tickets.revoke)
    router.add_get("/v1/admin/nodes", admin.nodes)
    router.add_get("/v1/admin/streams", admin.streams)
    router.add_get("/v1/admin/streams/{id}", admin.stream)
    router.add_delete("/v1/admin/streams/{id}", admin.cancel)
    router.add_get("/v1/admin/readers", admin.readers)
    router.add_delete("/v1/admin/readers", admin.disconnect_all)
    router.add_delete("/v1/admin/readers/{id}", admin.disconnect)
    router.add_post("/v1/admin/drain", admin.drain)
    router.add_post("/v1/admin/reload", admin.reload)
    router.add_get("/v1/ws", websocket.on_many, allow_head=False)
    router.add_get("/v1/channels/{name}/ws", websocket.on_channel, allow_head=False)
    router.add_get("/v1/channels/{name}/events", readers.channel_events)
    router.add_get("/v1/channels/{name}/ndjson", readers.channel_ndjson)
    router.add_post("/v1.3/analyze", dialect.analyze)
    router.add_route("*", "/v1.3/{path:.*}", passthrough.pass_through, expect_handler=passthrough.expect)
