"""Uploads in chunks: the life of a session, from its opening to the asset that it brings.

A chunk may come in any order and again; its ETag proves on report that the bytes that were
sent are the bytes that are here. When all chunks are reported they are joined behind the
answer; an engine that was killed joins them at its next start.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from engine.errors import ApiError, unknown
from engine.store.assets import Asset
from engine.store.rows import new_id, now, written
from engine.store.store import Store
from engine.store.uploads import Upload, over
from engine.work.intake import Intake, guess_type
from engine.work.jobs import Jobs
from engine.work.tokens import Tokens

log = structlog.get_logger()

CHUNK_BYTES = 8 * 1024**2
URL_LIFETIME_S = 3600.0
SESSION_LIFETIME_S = 24 * 3600.0
_PIECE_BYTES = 1 << 20


class UploadSessions:
    """Own the sessions, and the work that joins their chunks.

    Args:
        clock: seconds since 1970.
    """

    def __init__(self, store: Store, intake: Intake, clock: Callable[[], float] = time.time) -> None:
        self._library = store.library
        self._assets = store.assets
        self._uploads = store.uploads
        self._intake = intake
        self._clock = clock
        self._tokens: Tokens | None = None
        self._jobs = Jobs()

    async def open(self) -> None:
        """Join what was complete when an earlier run ended; drop chunks of sessions that are over."""
        self._tokens = Tokens(await self._library.secret("uploads"), "chunk", self._clock)
        await self.expire()
        unjoined = await self._uploads.unjoined()
        active = await self._uploads.active()
        await asyncio.to_thread(self._uploads.sweep, {one.id for one in (*active, *unjoined)})
        for upload in unjoined:
            self._jobs.start(upload.id, self._join(upload))

    async def close(self) -> None:
        await self._jobs.close()

    async def begin(self, filename: str, total_size: int) -> Upload:
        """Open a session, together with the asset that it brings.

        Raises:
            ApiError: there is no room for it.
        """
        await self._library.need(total_size)
        moment = now()
        asset = Asset(new_id(), "direct", "processing", filename, guess_type(filename), moment)
        upload = Upload(
            id=new_id(),
            asset_id=asset.id,
            filename=filename,
            status="active",
            total_size=total_size,
            chunk_size=CHUNK_BYTES,
            total_chunks=-(-total_size // CHUNK_BYTES),
            created_at=moment,
            updated_at=moment,
            expires_at=self.instant(SESSION_LIFETIME_S),
        )
        await self._uploads.add(asset, upload)
        return upload

    async def find(self, ident: str, active: bool = False) -> Upload:
        """Return a session.

        Raises:
            ApiError: there is none, or it is not active and should be.
        """
        await self.expire()
        upload = await self._uploads.get(ident)
        if upload is None:
            raise unknown("upload", ident)
        if active and upload.status != "active":
            raise ApiError("parameter_invalid", f"The upload is {upload.status}.")
        return upload

    # -- addresses of chunks -------------------------------------------------

    def token(self, ident: str, index: int) -> str:
        """Return what lets its bearer write a chunk for an hour."""
        assert self._tokens is not None
        return self._tokens.make(f"{ident}/{index}", URL_LIFETIME_S)

    async def named(self, token: str) -> tuple[Upload, int]:
        """Return the session and the chunk that a token lets one write.

        Raises:
            Forged, Expired: the token is none, or not any more.
            ApiError: the session is over.
        """
        assert self._tokens is not None
        ident, _, number = self._tokens.read(token).partition("/")
        upload = await self._uploads.get(ident)
        if upload is None or upload.status != "active":
            raise over()
        return upload, int(number)

    # -- the end of a session ------------------------------------------------

    def join(self, upload: Upload) -> None:
        """Make the asset's file of the chunks, behind the answer."""
        self._jobs.start(upload.id, self._join(upload))

    async def expire(self) -> None:
        """Close sessions whose day is over; their assets say so."""
        for upload in await self._uploads.overdue(self.instant(0)):
            error = ApiError("request_canceled_or_timed_out", "The upload was not completed in time.")
            # The asset first: a session that was not closed is found again, an asset is not.
            await self._assets.set_failed(upload.asset_id, error)
            await self._uploads.expire(upload.id)
            await asyncio.to_thread(self._uploads.remove_chunks, upload.id)

    def instant(self, ahead_s: float) -> str:
        """Return an instant that lies so many seconds ahead."""
        return written(datetime.fromtimestamp(self._clock() + ahead_s, UTC))

    async def _join(self, upload: Upload) -> None:
        """Make the asset's file of the chunks; they go when it is there."""
        incoming = self._library.incoming()
        try:
            await self._assets.get(upload.asset_id)  # it may have been deleted meanwhile
            for index, chunk in sorted((await self._uploads.chunks(upload.id)).items()):
                with self._uploads.path_of(upload.id, index, chunk.etag).open("rb") as file:
                    while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
                        await incoming.write(piece)
            await self._intake.from_parts(upload.asset_id, incoming)
        except (ApiError, OSError) as exc:
            log.warning("upload_not_joined", upload=upload.id)
            error = exc if isinstance(exc, ApiError) else ApiError("internal_error", "The chunks could not be joined.")
            await self._assets.set_failed(upload.asset_id, error)
        finally:
            incoming.discard()
        await asyncio.to_thread(self._uploads.remove_chunks, upload.id)
