"""Routes of assets: bring one in, list, look at, delete."""

from typing import Any

from aiohttp import BodyPartReader, web

from engine.errors import invalid, missing
from engine.fetch import check_url
from engine.intake import Intake
from engine.library import Asset, Incoming, Library
from engine.web import page_info, positive

_PIECE_BYTES = 1 << 20
_FIELD_BYTES = 64 * 1024
_TYPES = ("image", "video", "audio")


class AssetRoutes:
    """Translate between HTTP and the intake."""

    def __init__(self, library: Library, intake: Intake) -> None:
        self._library = library
        self._intake = intake

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1.3/assets", self.create),
            web.get("/v1.3/assets", self.list),
            web.get("/v1.3/assets/{asset_id}", self.retrieve, allow_head=False),
            web.delete("/v1.3/assets/{asset_id}", self.delete),
        ]

    async def create(self, request: web.Request) -> web.Response:
        if request.content_type != "multipart/form-data":
            raise invalid("The request must be multipart/form-data.")
        incoming = self._library.incoming()
        try:
            fields, uploaded = await _read_form(request, incoming)
            asset = await self._take(fields, incoming, uploaded)
        finally:
            incoming.discard()
        return web.json_response(_told(asset), status=201)

    async def _take(self, fields: dict[str, str], incoming: Incoming, uploaded: str | None) -> Asset:
        method = fields.get("method")
        if method is None:
            raise missing("method")
        if method not in ("direct", "url"):
            raise invalid("The method parameter must be direct or url.")
        filename = fields.get("filename") or None
        if method == "direct":
            if uploaded is None:
                raise missing("file")
            if not incoming.size:
                raise invalid("The file parameter is empty.")
            return await self._intake.from_upload(incoming, filename or uploaded or None)
        url = fields.get("url")
        if not url:
            raise missing("url")
        check_url(url)
        return await self._intake.from_url(url, filename)

    async def list(self, request: web.Request) -> web.Response:
        page = positive(request, "page", 1)
        limit = positive(request, "page_limit", 10, most=50)
        kinds = request.query.getall("asset_types", [])
        if not set(kinds) <= set(_TYPES):
            raise invalid(f"The asset_types parameter takes {', '.join(_TYPES)}.")
        ids = request.query.getall("asset_ids", [])
        assets, total = await self._library.page(page, limit, ids, kinds)
        return web.json_response(
            {"data": [_told(asset) for asset in assets], "page_info": page_info(page, limit, total)}
        )

    async def retrieve(self, request: web.Request) -> web.Response:
        return web.json_response(_told(await self._library.get(request.match_info["asset_id"])))

    async def delete(self, request: web.Request) -> web.Response:
        asset_id = request.match_info["asset_id"]
        await self._library.delete(asset_id)
        self._intake.forget(asset_id)
        return web.Response(status=204)


def _told(asset: Asset) -> dict[str, Any]:
    """Return an asset as the API shows it; a failed one says why."""
    told: dict[str, Any] = {
        "_id": asset.id,
        "method": asset.method,
        "status": asset.status,
        "filename": asset.filename,
        "file_type": asset.file_type,
        "created_at": asset.created_at,
    }
    if asset.error_code:
        told["error"] = {"code": asset.error_code, "message": asset.error_message}
    return told


async def _read_form(request: web.Request, incoming: Incoming) -> tuple[dict[str, str], str | None]:
    """Read the fields of a form, the file straight to disk.

    Returns:
        The text fields, and the uploaded file's own name (empty when it has none), or
        None when there was no file.
    """
    fields: dict[str, str] = {}
    uploaded: str | None = None
    try:
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader):
                raise invalid("The form must not contain nested parts.")
            if part.name == "file" and uploaded is None:
                uploaded = (part.filename or "").encode(errors="replace").decode()
                while chunk := await part.read_chunk(_PIECE_BYTES):
                    await incoming.write(bytes(chunk))
            elif part.name:
                fields[part.name] = (await _read_field(part)).decode(errors="replace")
    except ValueError as exc:
        raise invalid("The form is malformed.") from exc
    return fields, uploaded


async def _read_field(part: BodyPartReader) -> bytes:
    value = bytearray()
    while chunk := await part.read_chunk(8192):
        value += chunk
        if len(value) > _FIELD_BYTES:
            raise invalid(f"The {part.name} parameter is too long.")
    return bytes(value)
