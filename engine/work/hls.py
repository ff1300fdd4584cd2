"""Videos as HTTP Live Streaming (RFC 8216): a playlist, and its pieces, made when they are fetched.

For media that were put into an index with ``enable_video_stream``. As with thumbnails an
address carries its own token, since a player sends no API key; it lives a day.
"""

import math
from collections.abc import AsyncGenerator
from typing import Any

from engine.errors import ApiError
from engine.facts.job import CutPiece, FindPieces
from engine.store.indexed import Indexed
from engine.store.store import Store
from engine.store.streams import Piece
from engine.work.pool import Pool
from engine.work.thumbnails import Thumbnails
from engine.work.tokens import Expired, Forged, Tokens

LIFETIME_S = 24 * 3600.0
_STATUSES = {"ready": "COMPLETE", "failed": "ERROR"}


class Hls:
    """Remember which media are to be streamed; make their addresses, and what the addresses are for."""

    def __init__(self, store: Store, pool: Pool, thumbnails: Thumbnails) -> None:
        self._library = store.library
        self._indexed = store.indexed
        self._streams = store.streams
        self._pool = pool
        self._thumbnails = thumbnails
        self._tokens: Tokens | None = None

    async def open(self) -> None:
        self._tokens = Tokens(await self._library.secret("hls"), "hls")

    async def wish(self, indexed_id: str) -> None:
        """Have media in an index streamed."""
        await self._streams.wish(indexed_id)

    async def told(self, base: str, row: Indexed) -> dict[str, Any]:
        """Return the ``hls`` member of media in an index; nothing where it was not asked for.

        A file whose codecs do not fit, or whose picture is to be turned, is an ``ERROR``: nothing is encoded here.
        """
        if await self._streams.get(row.id) is None:
            return {}
        status = _STATUSES.get(row.status, "PROCESSING")
        pieces = await self._pieces(row) if status == "COMPLETE" else None
        if status == "COMPLETE" and pieces is None:
            status = "ERROR"
        told: dict[str, Any] = {"status": status, "updated_at": row.updated_at}
        if pieces is not None:
            assert self._tokens is not None
            told["video_url"] = f"{base}/v1.3/hls/{self._tokens.make(row.id, LIFETIME_S)}/index.m3u8"
            if row.width:
                # In the middle of what is there, which may be less than the file announces.
                told["thumbnail_urls"] = [self._thumbnails.url(base, row.id, pieces[-1][1] / 2)]
        return {"hls": told}

    async def playlist(self, token: str) -> str:
        """Return the playlist that a token is for.

        Raises:
            ApiError: ``resource_not_exist``, 404.
        """
        _, pieces = await self._asked(token)
        longest = max(end - begin for begin, end in pieces)
        lines = [
            *("#EXTM3U", "#EXT-X-VERSION:3", f"#EXT-X-TARGETDURATION:{math.ceil(longest)}"),
            *("#EXT-X-PLAYLIST-TYPE:VOD", "#EXT-X-INDEPENDENT-SEGMENTS"),
        ]
        for number, (begin, end) in enumerate(pieces):
            lines += [f"#EXTINF:{end - begin:.6f},", f"{number}.ts"]
        return "\n".join([*lines, "#EXT-X-ENDLIST", ""])

    async def piece(self, token: str, number: int) -> AsyncGenerator[tuple[int, bytes], None]:
        """Yield a piece in parts, each with the size of the whole.

        Raises:
            ApiError: there is none; ``resource_not_exist``, 404, where the token or the number is wrong.
        """
        row, pieces = await self._asked(token)
        if number >= len(pieces):
            raise ApiError("resource_not_exist", "The video has no such piece.", 404)
        begin, end = pieces[number]
        job = CutPiece(
            self._library.path_of(row.content),
            begin if number else None,
            end if number + 1 < len(pieces) else None,
        )
        async with self._pool.probe() as worker:
            await worker.give(job)
            while "end" not in (message := await worker.receive()):
                yield message["size"], bytes.fromhex(message["bytes"])

    async def _asked(self, token: str) -> tuple[Indexed, list[Piece]]:
        """Return the media and the pieces that an address is for."""
        assert self._tokens is not None
        try:
            ident = self._tokens.read(token)
        except (Forged, Expired) as exc:
            raise ApiError("resource_not_exist", "There is no such stream, or it has expired.", 404) from exc
        row = await self._indexed.get(ident)
        pieces = await self._pieces(row) if row is not None and row.status == "ready" else None
        if row is None or pieces is None:
            raise ApiError("resource_not_exist", "The video of this stream is gone.", 404)
        return row, pieces

    async def _pieces(self, row: Indexed) -> list[Piece] | None:
        """Return where the pieces of a file begin and end, found once; None where its codecs do not fit."""
        wish = await self._streams.get(row.id)
        if wish is None:
            return None
        pieces = wish.pieces
        if pieces is None:
            pieces = await self._find_pieces(row)
            await self._streams.set_pieces(row.id, pieces)
        return pieces or None

    async def _find_pieces(self, row: Indexed) -> list[Piece]:
        async with self._pool.probe() as worker:
            await worker.give(FindPieces(self._library.path_of(row.content)))
            try:
                found = (await worker.receive())["pieces"]
            except ApiError as exc:
                if exc.code not in ("parameter_invalid", "video_file_broken"):
                    raise
                found = []
        return [(begin, end) for begin, end in found]
