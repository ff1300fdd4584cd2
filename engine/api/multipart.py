"""Uploads in chunks: a session, an address for each chunk, a report, an asset.

The addresses lead back to this server, carry a token of their own in place of an API key,
and live for an hour. A chunk may come in any order and again; its ETag proves on report
that the bytes that were sent are the bytes that are here. When all chunks are reported
they are joined behind the answer; an engine that was killed joins them at its next start.
"""

import asyncio
import hashlib
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from aiohttp import web

from engine.api.assets import refuse_later
from engine.api.filters import Where
from engine.api.paging import Paging, listed
from engine.api.web import origin, read_object
from engine.errors import ApiError, invalid, missing, unknown
from engine.store.library import MAX_ASSET_BYTES, Asset, Incoming, Library, is_id, new_id, now
from engine.work.intake import Intake, guess_type
from engine.work.jobs import Jobs
from engine.work.tokens import Expired, Forged, Tokens

log = structlog.get_logger()

Urls = list[dict[str, Any]]

CHUNK_BYTES = 8 * 1024**2
URL_LIFETIME_S = 3600.0
SESSION_LIFETIME_S = 24 * 3600.0
_FIRST_URLS = 50
_MOST_URLS = 50
_LONGEST_NAME = 255
_PIECE_BYTES = 1 << 20


class MultipartRoutes:
    """Own the sessions and their chunks.

    Args:
        clock: seconds since 1970.
    """

    def __init__(self, library: Library, intake: Intake, clock: Callable[[], float] = time.time) -> None:
        self._library = library
        self._intake = intake
        self._clock = clock
        self._tokens: Tokens | None = None
        self._jobs = Jobs()

    async def open(self) -> None:
        """Join what was complete when an earlier run ended; drop chunks of sessions that are over."""
        self._tokens = Tokens(await self._library.secret("uploads"), "chunk", self._clock)
        await self._expire()
        sql = "SELECT uploads.* FROM uploads JOIN assets ON assets.id = asset_id WHERE uploads.status = 'completed'"
        unjoined = await self._library.rows(f"{sql} AND assets.status = 'processing' AND sha256 IS NULL")
        active = await self._library.rows("SELECT id FROM uploads WHERE status = 'active'")
        await asyncio.to_thread(_sweep, self._library.uploads, {row["id"] for row in (*active, *unjoined)})
        for row in unjoined:
            self._jobs.start(row["id"], self._join(row))

    async def close(self) -> None:
        await self._jobs.close()

    def routes(self) -> list[web.RouteDef]:
        base = "/v1.3/assets/multipart-uploads"
        return [
            web.get(base, self.list),
            web.post(base, self.create),
            web.get(f"{base}/{{upload_id}}", self.status, allow_head=False),
            web.post(f"{base}/{{upload_id}}", self.report),
            web.post(f"{base}/{{upload_id}}/presigned-urls", self.presign),
            web.put("/v1.3/multipart-chunks/{token}", self.put),
        ]

    # -- sessions ----------------------------------------------------------

    async def create(self, request: web.Request) -> web.Response:
        body = await read_object(request)
        refuse_later(body)
        filename, total_size = _read_wanted(body)
        await self._library.need(total_size)
        asset = Asset(new_id(), "direct", "processing", filename, guess_type(filename), now())
        moment = now()
        upload: dict[str, Any] = {
            "id": new_id(), "asset_id": asset.id, "filename": filename, "status": "active",
            "total_size": total_size, "chunk_size": CHUNK_BYTES, "total_chunks": -(-total_size // CHUNK_BYTES),
            "created_at": moment, "updated_at": moment, "expires_at": self._instant(SESSION_LIFETIME_S),
        }  # fmt: skip
        await self._library.insert_all([("assets", asdict(asset)), ("uploads", upload)])
        last = min(_FIRST_URLS, upload["total_chunks"])
        return web.json_response(
            {
                "upload_id": upload["id"],
                "asset_id": asset.id,
                "upload_urls": self._urls(request, upload["id"], 1, last),
                "upload_headers": {},
                "chunk_size": CHUNK_BYTES,
                "total_chunks": upload["total_chunks"],
                "expires_at": upload["expires_at"],
            },
            status=201,
        )

    async def list(self, request: web.Request) -> web.Response:
        paging = Paging.of(request)
        await self._expire()
        where = Where()
        where.add("status != 'completed'")
        return await listed(self._library, "uploads", paging, where, _summary)

    async def status(self, request: web.Request) -> web.Response:
        paging = Paging.of(request)
        upload = await self._find(request)
        chunks = await self._chunks(upload)
        first = (paging.page - 1) * paging.limit + 1
        shown = range(first, min(first + paging.limit, upload["total_chunks"] + 1))
        completed = [chunk for chunk in chunks.values() if chunk["reported"]]
        return web.json_response(
            {
                "upload_id": upload["id"],
                "status": upload["status"],
                "uploaded_chunks": [_chunk_told(index, chunks.get(index)) for index in shown],
                "chunks_completed": len(completed),
                "chunks_failed": 0,  # a chunk that breaks off leaves nothing behind: it is pending again
                "chunks_pending": upload["total_chunks"] - len(completed),
                "page_info": paging.info(upload["total_chunks"]),
                "total_size": upload["total_size"],
                "uploaded_size": sum(chunk["size"] for chunk in completed),
                "created_at": upload["created_at"],
                "updated_at": upload["updated_at"],
            }
        )

    async def presign(self, request: web.Request) -> web.Response:
        body = await read_object(request)
        start, count = _whole(body, "start"), _whole(body, "count", most=_MOST_URLS)
        upload = await self._find(request, active=True)
        last = min(start + count - 1, upload["total_chunks"])
        if start > last:
            raise invalid(f"The start parameter must be a chunk from 1 to {upload['total_chunks']}.")
        urls = self._urls(request, upload["id"], start, last)
        return web.json_response(
            {
                "upload_id": upload["id"],
                "start_index": start,
                "count": len(urls),
                "upload_urls": urls,
                "generated_at": now(),
                "expires_at": urls[0]["expires_at"],
            }
        )

    async def report(self, request: web.Request) -> web.Response:
        reported = _read_report(await read_object(request))
        upload = await self._find(request)
        if upload["status"] != "completed":
            upload = await self._find(request, active=True)
        ident, total, moment = upload["id"], upload["total_chunks"], now()

        def write(db: sqlite3.Connection) -> tuple[int, int, int, bool]:
            duplicates = 0
            for index, etag, size in reported:
                row = db.execute(
                    "SELECT etag, size, reported FROM chunks WHERE upload_id = ? AND chunk_index = ?", [ident, index]
                ).fetchone()
                if index > total or row is None:
                    raise invalid(f"Chunk {index} has not been uploaded.")
                if (row[0], row[1]) != (etag, size):
                    raise invalid(f"The proof or the size of chunk {index} is not that of the bytes that arrived.")
                duplicates += row[2]
                db.execute(
                    "UPDATE chunks SET reported = 1, updated_at = ? WHERE upload_id = ? AND chunk_index = ?",
                    [moment, ident, index],
                )
            count = db.execute("SELECT count(*) FROM chunks WHERE upload_id = ? AND reported", [ident]).fetchone()[0]
            db.execute("UPDATE uploads SET updated_at = ? WHERE id = ?", [moment, ident])
            sql = "UPDATE uploads SET status = 'completed' WHERE id = ? AND status = 'active'"
            done = count == total and db.execute(sql, [ident]).rowcount == 1  # of several who say so, one joins
            return len(reported) - duplicates, duplicates, count, done

        processed, duplicates, count, done = await self._library.together(write)
        if done:
            self._jobs.start(ident, self._join(upload))
        told = {
            "asset_id": upload["asset_id"],
            "processed_chunks": processed,
            "duplicate_chunks": duplicates,
            "total_completed": count,
        }
        if count == total:
            told["url"] = f"{origin(request)}/v1.3/assets/{upload['asset_id']}"
        return web.json_response(told)

    # -- chunks ------------------------------------------------------------

    async def put(self, request: web.Request) -> web.Response:
        """Take the bytes of one chunk; whoever has the address may write it."""
        assert self._tokens is not None
        try:
            ident, _, number = self._tokens.read(request.match_info["token"]).partition("/")
        except Expired as exc:
            raise ApiError("parameter_invalid", "This upload address has expired; ask for another.", 403) from exc
        except Forged as exc:
            raise ApiError("resource_not_exist", "There is no such upload address.", 404) from exc
        upload, index = await self._row(ident), int(number)
        if upload is None or upload["status"] != "active":
            raise _over()
        size = _size_of(upload, index)
        incoming = self._library.incoming()
        digest = hashlib.md5(usedforsecurity=False)
        try:
            async for piece in request.content.iter_chunked(_PIECE_BYTES):
                if incoming.size + len(piece) > size:
                    raise ApiError("parameter_invalid", f"Chunk {index} must have {size} bytes.", 413)
                digest.update(piece)
                await incoming.write(piece)
            if incoming.size != size:
                raise invalid(f"Chunk {index} must have {size} bytes; {incoming.size} came.")
            await asyncio.to_thread(incoming.finish)
            await self._keep(ident, index, digest.hexdigest(), incoming)
        finally:
            incoming.discard()
        return web.Response(status=200, headers={"ETag": f'"{digest.hexdigest()}"'})

    async def _keep(self, ident: str, index: int, etag: str, incoming: Incoming) -> None:
        """Keep a chunk's bytes: a row that is there has always the bytes that its ETag names."""
        target, moment = self._path(ident, index, etag), now()

        def write(db: sqlite3.Connection) -> None:
            if not db.execute("SELECT 1 FROM uploads WHERE id = ? AND status = 'active'", [ident]).fetchone():
                raise _over()
            _move(incoming.path, target)
            # Other bytes under the same number have to be reported anew.
            db.execute(
                "INSERT INTO chunks VALUES (?, ?, ?, ?, 0, ?, ?) ON CONFLICT (upload_id, chunk_index) DO UPDATE SET"
                " reported = reported AND etag = excluded.etag, etag = excluded.etag, updated_at = excluded.updated_at",
                [ident, index, etag, incoming.size, moment, moment],
            )

        def tidy(db: sqlite3.Connection) -> None:
            """Remove what was written over; another may have written meanwhile."""
            sql = "SELECT etag FROM chunks WHERE upload_id = ? AND chunk_index = ?"
            kept = self._path(ident, index, db.execute(sql, [ident, index]).fetchone()[0])
            for path in kept.parent.glob(f"{index:06d}-*"):
                if path != kept:
                    path.unlink()

        await self._library.together(write)
        await self._library.together(tidy)

    def _urls(self, request: web.Request, ident: str, first: int, last: int) -> Urls:
        assert self._tokens is not None
        base, until = origin(request), self._instant(URL_LIFETIME_S)
        return [
            {
                "chunk_index": index,
                "url": f"{base}/v1.3/multipart-chunks/{self._tokens.make(f'{ident}/{index}', URL_LIFETIME_S)}",
                "expires_at": until,
            }
            for index in range(first, last + 1)
        ]

    def _path(self, ident: str, index: int, etag: str) -> Path:
        return self._library.uploads / ident / f"{index:06d}-{etag}"

    async def _join(self, upload: dict[str, Any]) -> None:
        """Make the asset's file of the chunks; they go when it is there."""
        incoming = self._library.incoming()
        try:
            await self._library.get(upload["asset_id"])  # it may have been deleted meanwhile
            for index, row in sorted((await self._chunks(upload)).items()):
                with self._path(upload["id"], index, row["etag"]).open("rb") as chunk:
                    while piece := await asyncio.to_thread(chunk.read, _PIECE_BYTES):
                        await incoming.write(piece)
            await self._intake.from_parts(upload["asset_id"], incoming)
        except (ApiError, OSError) as exc:
            log.warning("upload_not_joined", upload=upload["id"])
            error = exc if isinstance(exc, ApiError) else ApiError("internal_error", "The chunks could not be joined.")
            await self._library.set_failed(upload["asset_id"], error)
        finally:
            incoming.discard()
        await asyncio.to_thread(shutil.rmtree, self._library.uploads / upload["id"], True)

    # -- rows --------------------------------------------------------------

    async def _find(self, request: web.Request, active: bool = False) -> dict[str, Any]:
        ident = request.match_info["upload_id"]
        await self._expire()
        upload = await self._row(ident)
        if upload is None:
            raise unknown("upload", ident)
        if active and upload["status"] != "active":
            raise invalid(f"The upload is {upload['status']}.")
        return upload

    async def _row(self, ident: str) -> dict[str, Any] | None:
        return await self._library.row("SELECT * FROM uploads WHERE id = ?", [ident]) if is_id(ident) else None

    async def _chunks(self, upload: dict[str, Any]) -> dict[int, dict[str, Any]]:
        rows = await self._library.rows("SELECT * FROM chunks WHERE upload_id = ?", [upload["id"]])
        return {row["chunk_index"]: row for row in rows}

    async def _expire(self) -> None:
        """Close sessions whose day is over; their assets say so."""
        moment = self._instant(0)
        over = await self._library.rows("SELECT * FROM uploads WHERE status = 'active' AND expires_at <= ?", [moment])
        for upload in over:
            error = ApiError("request_canceled_or_timed_out", "The upload was not completed in time.")
            # The asset first: a session that was not closed is found again, an asset is not.
            await self._library.set_failed(upload["asset_id"], error)
            await self._library.write("UPDATE uploads SET status = 'expired' WHERE id = ?", [upload["id"]])
            await asyncio.to_thread(shutil.rmtree, self._library.uploads / upload["id"], True)

    def _instant(self, ahead_s: float) -> str:
        moment = datetime.fromtimestamp(self._clock() + ahead_s, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _over() -> ApiError:
    return ApiError("parameter_invalid", "This upload is over.", 403)


def _summary(upload: dict[str, Any]) -> dict[str, Any]:
    names = ("status", "total_size", "chunk_size", "total_chunks", "created_at", "expires_at")
    return {"upload_id": upload["id"], **{name: upload[name] for name in names}}


def _chunk_told(index: int, chunk: dict[str, Any] | None) -> dict[str, Any]:
    """Return a chunk as the API shows it; what has arrived and was not reported is pending too."""
    if chunk is None:
        return {"index": index, "status": "pending"}
    status = "completed" if chunk["reported"] else "pending"
    return {"index": index, "status": status, "uploaded_at": chunk["uploaded_at"], "updated_at": chunk["updated_at"]}


def _size_of(upload: dict[str, Any], index: int) -> int:
    before = (index - 1) * upload["chunk_size"]
    return int(min(upload["chunk_size"], upload["total_size"] - before))


def _read_wanted(body: dict[str, Any]) -> tuple[str, int]:
    filename = body.get("filename")
    if filename is None:
        raise missing("filename")
    if not isinstance(filename, str) or not filename.strip() or len(filename) > _LONGEST_NAME:
        raise invalid(f"The filename parameter must be a text of up to {_LONGEST_NAME} characters.")
    if body.get("type") is None:
        raise missing("type")
    if body["type"] not in ("video", "audio"):
        raise invalid("The type parameter must be video.")
    size = _whole(body, "total_size")
    if size > MAX_ASSET_BYTES:
        raise ApiError("video_filesize_too_large", "The file is larger than 4 GB.")
    return filename, size


def _whole(body: dict[str, Any], name: str, most: int = 1 << 53) -> int:
    value = body.get(name)
    if value is None:
        raise missing(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise invalid(f"The {name} parameter must be a whole number from 1 to {most}.")
    return value


def _read_report(body: dict[str, Any]) -> list[tuple[int, str, int]]:
    chunks = body.get("completed_chunks")
    if chunks is None:
        raise missing("completed_chunks")
    if not isinstance(chunks, list) or not chunks:
        raise invalid("The completed_chunks parameter must be a list with at least one chunk.")
    read = []
    for place, chunk in enumerate(chunks):
        path = f"completed_chunks[{place}]"
        if not isinstance(chunk, dict):
            raise invalid(f"The {path} parameter must be an object.")
        if chunk.get("proof_type") != "etag":
            raise invalid(f"The {path}.proof_type parameter must be etag.")
        proof = chunk.get("proof")
        if not isinstance(proof, str) or not re.fullmatch(r'"?[0-9a-f]{32}"?', proof):
            raise invalid(f"The {path}.proof parameter must be the ETag that the chunk was answered with.")
        read.append((_whole(chunk, "chunk_index"), proof.strip('"'), _whole(chunk, "chunk_size")))
    return read


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    source.replace(target)
    descriptor = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sweep(uploads: Path, active: set[str]) -> None:
    for directory in uploads.iterdir():
        if directory.name not in active:
            shutil.rmtree(directory, ignore_errors=True)
