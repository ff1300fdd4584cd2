"""Routes of thumbnails."""

from aiohttp import web

from engine.work.thumbnails import Thumbnails


class ThumbnailRoutes:
    def __init__(self, thumbnails: Thumbnails) -> None:
        self._thumbnails = thumbnails

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/v1.3/thumbnails/{token}", self.retrieve, allow_head=False)]

    async def retrieve(self, request: web.Request) -> web.Response:
        image = await self._thumbnails.draw(request.match_info["token"])
        return web.Response(body=image, content_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})
