"""Thumbnails: a picture of a video at a time, drawn by a worker when it is fetched.

Only for indexes that were made with the addon. An address carries its own token, as an
``<img>`` sends no API key, and lives as long as the page of results it came with.
"""

from engine.errors import ApiError
from engine.facts.job import Thumbnail
from engine.store.store import Store
from engine.work.pool import Pool
from engine.work.tokens import Expired, Forged, Tokens

LIFETIME_S = 3600.0


class Thumbnails:
    """Make addresses of thumbnails, and draw what they are for."""

    def __init__(self, store: Store, pool: Pool) -> None:
        self._library = store.library
        self._indexed = store.indexed
        self._pool = pool
        self._tokens: Tokens | None = None

    async def open(self) -> None:
        self._tokens = Tokens(await self._library.secret("thumbnails"), "thumbnail")

    def url(self, base: str, video_id: str, at: float) -> str:
        """Return the address of a video's picture at a time."""
        assert self._tokens is not None
        return f"{base}/v1.3/thumbnails/{self._tokens.make(f'{video_id}/{at:.3f}', LIFETIME_S)}"

    async def draw(self, token: str) -> bytes:
        """Return the picture that a token is for, as JPEG.

        Raises:
            ApiError: ``resource_not_exist``, 404; the token is none or too old, or the video is gone.
        """
        assert self._tokens is not None
        try:
            ident, _, at = self._tokens.read(token).partition("/")
        except (Forged, Expired) as exc:
            raise ApiError("resource_not_exist", "There is no such thumbnail, or not any more.", 404) from exc
        row = await self._indexed.get(ident)
        if row is None or row.status != "ready":
            raise ApiError("resource_not_exist", "The video of this thumbnail is gone.", 404)
        async with self._pool.probe() as worker:
            await worker.give(Thumbnail(self._library.path_of(row.content), float(at)))
            return bytes.fromhex((await worker.receive())["image"])
