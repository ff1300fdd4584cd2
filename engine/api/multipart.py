"""Routes of uploads in chunks: a session, an address for each chunk, a report, an asset.

The addresses lead back to this server, carry a token of their own in place of an API key,
and live for an hour.
"""

import asyncio
import hashlib
import re
from typing import Any

from aiohttp import web

from engine.api.assets import refuse_later
from engine.api.paging import listed, read_paging
from engine.api.web import origin, read_object
from engine.errors import ApiError, invalid, missing
from engine.store.library import MAX_ASSET_BYTES, Library
from engine.store.rows import now
from engine.store.uploads import Chunk, Upload, Uploads
from engine.work.tokens import Expired, Forged
from engine.work.uploads import URL_LIFETIME_S, UploadSessions

Urls = list[dict[str, Any]]

_FIRST_URLS = 50
_MOST_URLS = 50
_LONGEST_NAME = 255
# Chunks told of in one report; the largest upload has some hundred.
MAX_REPORTED = 10_000
_PIECE_BYTES = 1 << 20


class MultipartRoutes:
    def __init__(self, library: Library, uploads: Uploads, sessions: UploadSessions) -> None:
        self._library = library
        self._uploads = uploads
        self._sessions = sessions

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

    async def create(self, request: web.Request) -> web.Response:
        body = await read_object(request)
        refuse_later(body)
        upload = await self._sessions.begin(*_read_wanted(body))
        return web.json_response(
            {
                "upload_id": upload.id,
                "asset_id": upload.asset_id,
                "upload_urls": self._urls(request, upload.id, 1, min(_FIRST_URLS, upload.total_chunks)),
                "upload_headers": {},
                "chunk_size": upload.chunk_size,
                "total_chunks": upload.total_chunks,
                "expires_at": upload.expires_at,
            },
            status=201,
        )

    async def list(self, request: web.Request) -> web.Response:
        paging = read_paging(request)
        await self._sessions.expire()
        return listed(await self._uploads.page_of_open(paging), paging, _summary)

    async def status(self, request: web.Request) -> web.Response:
        paging = read_paging(request)
        upload = await self._sessions.find(request.match_info["upload_id"])
        chunks = await self._uploads.chunks(upload.id)
        shown = range(paging.skip + 1, min(paging.skip + 1 + paging.limit, upload.total_chunks + 1))
        completed = [chunk for chunk in chunks.values() if chunk.reported]
        return web.json_response(
            {
                "upload_id": upload.id,
                "status": upload.status,
                "uploaded_chunks": [_chunk_told(index, chunks.get(index)) for index in shown],
                "chunks_completed": len(completed),
                "chunks_failed": 0,  # a chunk that breaks off leaves nothing behind: it is pending again
                "chunks_pending": upload.total_chunks - len(completed),
                "page_info": paging.info(upload.total_chunks),
                "total_size": upload.total_size,
                "uploaded_size": sum(chunk.size for chunk in completed),
                "created_at": upload.created_at,
                "updated_at": upload.updated_at,
            }
        )

    async def presign(self, request: web.Request) -> web.Response:
        body = await read_object(request)
        start, count = _whole(body, "start"), _whole(body, "count", most=_MOST_URLS)
        upload = await self._sessions.find(request.match_info["upload_id"], active=True)
        last = min(start + count - 1, upload.total_chunks)
        if start > last:
            raise invalid(f"The start parameter must be a chunk from 1 to {upload.total_chunks}.")
        urls = self._urls(request, upload.id, start, last)
        return web.json_response(
            {
                "upload_id": upload.id,
                "start_index": start,
                "count": len(urls),
                "upload_urls": urls,
                "generated_at": now(),
                "expires_at": urls[0]["expires_at"],
            }
        )

    async def report(self, request: web.Request) -> web.Response:
        proofs = _read_report(await read_object(request))
        ident = request.match_info["upload_id"]
        upload = await self._sessions.find(ident)
        if upload.status != "completed":
            upload = await self._sessions.find(ident, active=True)
        reported = await self._uploads.report(upload, proofs)
        if reported.done:
            self._sessions.join(upload)
        told = {
            "asset_id": upload.asset_id,
            "processed_chunks": reported.processed,
            "duplicate_chunks": reported.duplicates,
            "total_completed": reported.total,
        }
        if reported.total == upload.total_chunks:
            told["url"] = f"{origin(request)}/v1.3/assets/{upload.asset_id}"
        return web.json_response(told)

    async def put(self, request: web.Request) -> web.Response:
        """Take the bytes of one chunk; whoever has the address may write it."""
        try:
            upload, index = await self._sessions.named(request.match_info["token"])
        except Expired as exc:
            raise ApiError("parameter_invalid", "This upload address has expired; ask for another.", 403) from exc
        except Forged as exc:
            raise ApiError("resource_not_exist", "There is no such upload address.", 404) from exc
        size = upload.size_of(index)
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
            await self._uploads.keep(upload.id, index, digest.hexdigest(), incoming)
        finally:
            incoming.discard()
        return web.Response(status=200, headers={"ETag": f'"{digest.hexdigest()}"'})

    def _urls(self, request: web.Request, ident: str, first: int, last: int) -> Urls:
        base, until = origin(request), self._sessions.instant(URL_LIFETIME_S)
        return [
            {
                "chunk_index": index,
                "url": f"{base}/v1.3/multipart-chunks/{self._sessions.token(ident, index)}",
                "expires_at": until,
            }
            for index in range(first, last + 1)
        ]


def _summary(upload: Upload) -> dict[str, Any]:
    names = ("status", "total_size", "chunk_size", "total_chunks", "created_at", "expires_at")
    return {"upload_id": upload.id, **{name: getattr(upload, name) for name in names}}


def _chunk_told(index: int, chunk: Chunk | None) -> dict[str, Any]:
    """Return a chunk as the API shows it; what has arrived and was not reported is pending too."""
    if chunk is None:
        return {"index": index, "status": "pending"}
    status = "completed" if chunk.reported else "pending"
    return {"index": index, "status": status, "uploaded_at": chunk.uploaded_at, "updated_at": chunk.updated_at}


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
    if not isinstance(chunks, list) or not 0 < len(chunks) <= MAX_REPORTED:
        raise invalid(f"The completed_chunks parameter must be a list of 1 to {MAX_REPORTED:,} chunks.")
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
