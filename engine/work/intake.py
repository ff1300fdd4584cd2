"""Bring media in: from an upload, an address or base64; then judge them in a worker.

An asset is answered for at once (``processing``) and judged behind the answer. An engine
that starts again takes up what was left ``processing`` when it ended.
"""

import asyncio
import base64
import binascii
import mimetypes
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import structlog

from engine.errors import ApiError, invalid
from engine.facts.job import Probe
from engine.store.assets import Asset
from engine.store.library import Incoming
from engine.store.rows import new_id, now
from engine.store.store import Store
from engine.work.fetch import Fetcher, filename_of
from engine.work.pool import Pool

log = structlog.get_logger()

MAX_BASE64_BYTES = 30 * 1000**2  # to analyse
MAX_EMBED_BASE64_BYTES = 36 * 1000**2
# How long an analysis waits for an asset that is still being judged.
_PATIENCE_S = 10.0

_PICTURE_TYPES = {
    "mov": "video/mp4", "matroska": "video/x-matroska", "avi": "video/x-msvideo", "flv": "video/x-flv",
    "mpegts": "video/mp2t", "mpeg": "video/mpeg", "asf": "video/x-ms-wmv", "ogg": "video/ogg",
}  # fmt: skip
_SOUND_TYPES = {
    "mov": "audio/mp4", "matroska": "audio/webm", "mp3": "audio/mpeg", "flac": "audio/flac",
    "wav": "audio/wav", "ogg": "audio/ogg", "aac": "audio/aac", "aiff": "audio/aiff",
}  # fmt: skip


class Intake:
    """Own the tasks that fetch and judge assets."""

    def __init__(self, store: Store, pool: Pool, fetcher: Fetcher) -> None:
        self._library = store.library
        self._assets = store.assets
        self._pool = pool
        self._fetcher = fetcher
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def open(self) -> None:
        """Take up what an earlier run left."""
        for asset in await self._assets.processing():
            if asset.sha256:
                self._start(asset.id, self._judge(asset))
            elif asset.url:
                self._start(asset.id, self._fetch(asset))
            # Else its chunks are still on their way.

    async def close(self) -> None:
        """Stop; assets in the middle stay ``processing`` and are taken up at the next start."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def from_upload(self, incoming: Incoming, filename: str | None) -> Asset:
        """Make an asset of a file that was uploaded in full."""
        asset = Asset(new_id(), "direct", "processing", filename, guess_type(filename), now())
        asset = await self._assets.add_with_content(asset, incoming)
        self._start(asset.id, self._judge(asset))
        return asset

    async def from_url(self, url: str, filename: str | None) -> Asset:
        """Make an asset that is fetched behind the answer."""
        name = filename or filename_of(url)
        asset = Asset(new_id(), "url", "processing", name, guess_type(name), now(), url)
        await self._assets.add(asset)
        self._start(asset.id, self._fetch(asset))
        return asset

    async def from_parts(self, asset_id: str, incoming: Incoming) -> None:
        """Give an asset that was uploaded in chunks its bytes."""
        await self._assets.set_content(asset_id, incoming)
        self._start(asset_id, self._judge(await self._assets.get(asset_id)))

    async def ready(self, asset_id: str) -> Path:
        """Return the file of an asset, after waiting a little if it is still being judged.

        Raises:
            ApiError: there is no such asset, it failed (with the reason's code), or it
                is not ready.
        """
        if task := self._tasks.get(asset_id):
            await asyncio.wait({task}, timeout=_PATIENCE_S)
        asset = await self._assets.get(asset_id)
        if asset.status == "failed":
            raise ApiError(asset.error_code or "video_file_broken", asset.error_message or "The asset failed.")
        if asset.status != "ready" or asset.sha256 is None:
            raise ApiError("video_not_ready", f"The asset {asset_id} is still being processed.")
        return self._library.path_of(asset.sha256)

    @asynccontextmanager
    async def passing(self, source: str, value: str, most: int = MAX_BASE64_BYTES) -> AsyncIterator[Path]:
        """Lend a file that is there for one request: ``source`` is ``url`` or ``base64_string``.

        Args:
            most: bytes that base64 may hold.
        """
        incoming = self._library.incoming()
        try:
            if source == "url":
                await self._fetcher.fetch(value, incoming.write)
            else:
                await incoming.write(await asyncio.to_thread(decoded, value, most))
            incoming.finish()
            yield incoming.path
        finally:
            incoming.discard()

    def forget(self, asset_id: str) -> None:
        """Stop working on an asset that is being deleted."""
        if task := self._tasks.get(asset_id):
            task.cancel()

    def _start(self, asset_id: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(self._guarded(asset_id, work))
        self._tasks[asset_id] = task
        task.add_done_callback(lambda _: self._tasks.pop(asset_id, None))

    async def _guarded(self, asset_id: str, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except ApiError as exc:
            log.info("asset_failed", asset=asset_id, code=exc.code)
            await self._assets.set_failed(asset_id, exc)
        except Exception:
            log.exception("asset_intake_broke", asset=asset_id)
            error = ApiError("internal_error", "The engine failed to take the asset in.", 500)
            await self._assets.set_failed(asset_id, error)

    async def _fetch(self, asset: Asset) -> None:
        assert asset.url is not None
        incoming = self._library.incoming()
        try:
            await self._fetcher.fetch(asset.url, incoming.write)
            await self._assets.set_content(asset.id, incoming)
        finally:
            incoming.discard()
        await self._judge(await self._assets.get(asset.id))

    async def _judge(self, asset: Asset) -> None:
        assert asset.sha256 is not None
        async with self._pool.probe() as worker:
            await worker.give(Probe(self._library.path_of(asset.sha256)))
            message = await worker.receive()
        await self._assets.set_ready(asset.id, file_type(message["clip"], message["format"], asset.file_type))
        log.info("asset_ready", asset=asset.id, duration_s=message["clip"]["duration"])


def guess_type(filename: str | None) -> str:
    """Guess a MIME type from a name, until the file was looked at."""
    return mimetypes.guess_type(filename or "")[0] or "application/octet-stream"


def file_type(clip: dict[str, Any], container: str, guess: str | None) -> str:
    """Name the MIME type of a file that was looked at; the guess counts where it fits."""
    kind = "image" if clip["still_image"] else "video" if clip["width"] is not None else "audio"
    if guess and guess.startswith(f"{kind}/"):
        return guess
    name = container.partition(",")[0]
    if kind == "image":
        return f"image/{name.removesuffix('_pipe')}"
    return (_PICTURE_TYPES if kind == "video" else _SOUND_TYPES).get(name, f"{kind}/{name}")


def decoded(text: str, most: int = MAX_BASE64_BYTES) -> bytes:
    """Decode base64, with or without a ``data:`` head.

    Raises:
        ApiError: it is no base64, or has more than ``most`` bytes.
    """
    body = text.partition(",")[2] if text.startswith("data:") else text
    try:
        media = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise invalid("The base64_string parameter is not valid base64.") from exc
    if len(media) > most:
        why = f"The base64_string parameter holds more than {most // 1000**2} MB."
        raise ApiError("video_filesize_too_large", why)
    return media
