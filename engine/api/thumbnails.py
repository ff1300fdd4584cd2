"""Thumbnails: a picture of a video at a time, drawn by a worker when it is fetched.

Only for indexes that were made with the addon. An address carries its own token, as an
``<img>`` sends no API key, and lives as long as the page of results it came with.
"""

from typing import Any

from aiohttp import web

from engine.errors import ApiError
from engine.store.library import Library
from engine.work.pool import Pool
from engine.work.tokens import Expired, Forged, Tokens

LIFETIME_S = 3600.0


class Thumbnails:
    """Make addresses of thumbnails, and answer them."""

    def __init__(self, library: Library, pool: Pool) -> None:
        self._library = library
        self._pool = pool
        self._tokens: Tokens | None = None

    async def open(self) -> None:
        self._tokens = Tokens(await self._library.secret("thumbnails"), "thumbnail")

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/v1.3/thumbnails/{token}", self.retrieve, allow_head=False)]

    def url(self, base: str, video_id: str, at: float) -> str:
        """Return the address of a video's picture at a time."""
        assert self._tokens is not None
        return f"{base}/v1.3/thumbnails/{self._tokens.make(f'{video_id}/{at:.3f}', LIFETIME_S)}"

    async def retrieve(self, request: web.Request) -> web.Response:
        assert self._tokens is not None
        try:
            ident, _, at = self._tokens.read(request.match_info["token"]).partition("/")
        except (Forged, Expired) as exc:
            raise ApiError("resource_not_exist", "There is no such thumbnail, or not any more.", 404) from exc
        row = await self._library.row("SELECT * FROM indexed WHERE id = ?", [ident])
        if row is None or row["status"] != "ready":
            raise ApiError("resource_not_exist", "The video of this thumbnail is gone.", 404)
        image = await self._draw(row, float(at))
        return web.Response(body=image, content_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})

    async def _draw(self, row: dict[str, Any], at: float) -> bytes:
        async with self._pool.probe() as worker:
            path = str(self._library.path_of(row["sha256"]))
            await worker.give({"kind": "thumbnail", "path": path, "at": at})
            return bytes.fromhex((await worker.receive())["image"])
