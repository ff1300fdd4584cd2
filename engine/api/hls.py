"""Videos as HTTP Live Streaming (RFC 8216): a playlist, and its pieces, made when they are fetched.

For what was put into an index with ``enable_video_stream``. As with thumbnails an address
carries its own token, since a player sends no API key; it lives a day.
"""

import json
import math
from typing import Any

from aiohttp import web

from engine.api.thumbnails import Thumbnails
from engine.errors import ApiError
from engine.store.library import Library
from engine.work.pool import Pool
from engine.work.tokens import Expired, Forged, Tokens

LIFETIME_S = 24 * 3600.0
_STATUSES = {"ready": "COMPLETE", "failed": "ERROR"}


class Hls:
    """Remember who is to be streamed, make the addresses, and answer them."""

    def __init__(self, library: Library, pool: Pool, thumbnails: Thumbnails) -> None:
        self._library = library
        self._pool = pool
        self._thumbnails = thumbnails
        self._tokens: Tokens | None = None

    async def open(self) -> None:
        self._tokens = Tokens(await self._library.secret("hls"), "hls")

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1.3/hls/{token}/index.m3u8", self.playlist),
            web.get("/v1.3/hls/{token}/{number:[0-9]{1,5}}.ts", self.piece, allow_head=False),
        ]

    async def wish(self, indexed_id: str) -> None:
        """Have a row of ``indexed`` streamed."""
        await self._library.write("INSERT OR IGNORE INTO video_streams (indexed_id) VALUES (?)", [indexed_id])

    async def told(self, base: str, row: dict[str, Any]) -> dict[str, Any]:
        """Return the ``hls`` member of a row of ``indexed``; nothing where it was not asked for.

        A file whose codecs do not fit is an ``ERROR``: nothing is encoded anew here.
        """
        wish = await self._library.row("SELECT * FROM video_streams WHERE indexed_id = ?", [row["id"]])
        if wish is None:
            return {}
        status = _STATUSES.get(row["status"], "PROCESSING")
        if status == "COMPLETE" and await self._pieces(row["id"], row["sha256"]) is None:
            status = "ERROR"
        told: dict[str, Any] = {"status": status, "updated_at": row["updated_at"]}
        if status == "COMPLETE":
            assert self._tokens is not None
            told["video_url"] = f"{base}/v1.3/hls/{self._tokens.make(row['id'], LIFETIME_S)}/index.m3u8"
            if row["width"]:
                told["thumbnail_urls"] = [self._thumbnails.url(base, row["id"], (row["duration"] or 0.0) / 2)]
        return {"hls": told}

    async def playlist(self, request: web.Request) -> web.Response:
        _, pieces = await self._asked(request)
        longest = max(end - begin for begin, end in pieces)
        lines = [
            *("#EXTM3U", "#EXT-X-VERSION:3", f"#EXT-X-TARGETDURATION:{math.ceil(longest)}"),
            *("#EXT-X-PLAYLIST-TYPE:VOD", "#EXT-X-INDEPENDENT-SEGMENTS"),
        ]
        for number, (begin, end) in enumerate(pieces):
            lines += [f"#EXTINF:{end - begin:.6f},", f"{number}.ts"]
        text = "\n".join([*lines, "#EXT-X-ENDLIST", ""])
        return web.Response(text=text, content_type="application/vnd.apple.mpegurl", headers=_KEPT)

    async def piece(self, request: web.Request) -> web.StreamResponse:
        row, pieces = await self._asked(request)
        number = int(request.match_info["number"])
        if number >= len(pieces):
            raise ApiError("resource_not_exist", "The video has no such piece.", 404)
        begin, end = pieces[number]
        job = {
            "kind": "piece",
            "path": str(self._library.path_of(row["sha256"])),
            "begin": begin if number else None,
            "end": end if number + 1 < len(pieces) else None,
        }
        async with self._pool.probe() as worker:
            await worker.give(job)
            response: web.StreamResponse | None = None
            while "end" not in (message := await worker.receive()):
                if response is None:
                    response = web.StreamResponse(headers={"Content-Type": "video/mp2t", **_KEPT})
                    response.content_length = message["size"]
                    await response.prepare(request)
                await response.write(bytes.fromhex(message["bytes"]))
        if response is None:
            raise ApiError("video_file_broken", "There is nothing in this piece.", 400)
        return response

    async def _asked(self, request: web.Request) -> tuple[dict[str, Any], list[tuple[float, float]]]:
        """The row and the pieces that an address is for."""
        assert self._tokens is not None
        try:
            ident = self._tokens.read(request.match_info["token"])
        except (Forged, Expired) as exc:
            raise ApiError("resource_not_exist", "There is no such stream, or not any more.", 404) from exc
        row = await self._library.row("SELECT * FROM indexed WHERE id = ?", [ident])
        pieces = await self._pieces(ident, row["sha256"]) if row is not None and row["status"] == "ready" else None
        if row is None or pieces is None:
            raise ApiError("resource_not_exist", "The video of this stream is gone.", 404)
        return row, pieces

    async def _pieces(self, ident: str, sha256: str) -> list[tuple[float, float]] | None:
        """Where the pieces of a file begin and end, found once; None where its codecs do not fit."""
        wish = await self._library.row("SELECT pieces FROM video_streams WHERE indexed_id = ?", [ident])
        if wish is None:
            return None
        if wish["pieces"] is None:
            async with self._pool.probe() as worker:
                await worker.give({"kind": "pieces", "path": str(self._library.path_of(sha256))})
                try:
                    found = (await worker.receive())["pieces"]
                except ApiError as exc:
                    if exc.code not in ("parameter_invalid", "video_file_broken"):
                        raise
                    found = []
            text = json.dumps(found)
            await self._library.write("UPDATE video_streams SET pieces = ? WHERE indexed_id = ?", [text, ident])
        else:
            found = json.loads(wish["pieces"])
        return [(begin, end) for begin, end in found] or None


_KEPT = {"Cache-Control": "private, max-age=3600"}
