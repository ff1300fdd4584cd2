"""Routes of HTTP Live Streaming: a playlist, and its pieces."""

from contextlib import aclosing

from aiohttp import web

from engine.errors import ApiError
from engine.work.hls import Hls

_KEPT = {"Cache-Control": "private, max-age=3600"}


class HlsRoutes:
    def __init__(self, hls: Hls) -> None:
        self._hls = hls

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1.3/hls/{token}/index.m3u8", self.playlist),
            web.get("/v1.3/hls/{token}/{number:[0-9]{1,5}}.ts", self.piece, allow_head=False),
        ]

    async def playlist(self, request: web.Request) -> web.Response:
        text = await self._hls.playlist(request.match_info["token"])
        return web.Response(text=text, content_type="application/vnd.apple.mpegurl", headers=_KEPT)

    async def piece(self, request: web.Request) -> web.StreamResponse:
        response: web.StreamResponse | None = None
        # Closed here, so that the worker goes with a caller who goes, and not some time later.
        async with aclosing(self._hls.piece(request.match_info["token"], int(request.match_info["number"]))) as parts:
            async for size, part in parts:
                if response is None:
                    response = web.StreamResponse(headers={"Content-Type": "video/mp2t", **_KEPT})
                    response.content_length = size
                    await response.prepare(request)
                await response.write(part)
        if response is None:
            raise ApiError("video_file_broken", "There is nothing in this piece.", 400)
        return response
