"""Routes of assets: bring one in, list, look at, delete."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from engine.api.forms import Form, read_form
from engine.api.paging import listed, read_paging
from engine.errors import invalid, missing
from engine.store.assets import Asset, Assets
from engine.store.library import Library
from engine.work.fetch import check_url
from engine.work.intake import Intake

_TYPES = ("image", "video", "audio")
# What SDKs since 1.3 can ask for here, and where it can be had.
_LATER = {
    "enable_hls": "enable_video_stream of an indexed asset",
    "enable_thumbnail": "the addon thumbnail of an index",
    "user_metadata": "user_metadata of an indexed asset",
}


class AssetRoutes:
    """Translate between HTTP and the intake."""

    def __init__(self, library: Library, assets: Assets, intake: Intake) -> None:
        self._library = library
        self._assets = assets
        self._intake = intake

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1.3/assets", self.create),
            web.get("/v1.3/assets", self.list),
            web.get("/v1.3/assets/{asset_id}", self.retrieve, allow_head=False),
            web.delete("/v1.3/assets/{asset_id}", self.delete),
        ]

    async def create(self, request: web.Request) -> web.Response:
        async with read_form(request, self._library, "file") as form:
            asset = await self._take(form)
        return web.json_response(_told(asset), status=201)

    async def _take(self, form: Form) -> Asset:
        method = form.needed("method")
        if method not in ("direct", "url"):
            raise invalid("The method parameter must be direct or url.")
        refuse_later(form.fields)
        filename = form.text("filename")
        if method == "direct":
            upload = form.file("file")
            if upload is None:
                raise missing("file")
            return await self._intake.from_upload(upload.incoming, filename or upload.filename or None)
        url = form.needed("url")
        check_url(url)
        return await self._intake.from_url(url, filename)

    async def list(self, request: web.Request) -> web.Response:
        paging = read_paging(request)
        kinds = request.query.getall("asset_types", [])
        if not set(kinds) <= set(_TYPES):
            raise invalid(f"The asset_types parameter takes {', '.join(_TYPES)}.")
        ids = request.query.getall("asset_ids", [])
        name = request.query.get("filename")
        return listed(await self._assets.page(paging, ids, kinds, name), paging, _told)

    async def retrieve(self, request: web.Request) -> web.Response:
        return web.json_response(_told(await self._assets.get(request.match_info["asset_id"])))

    async def delete(self, request: web.Request) -> web.Response:
        asset_id = request.match_info["asset_id"]
        await self._assets.delete(asset_id)
        self._intake.forget(asset_id)
        return web.Response(status=204)


def refuse_later(given: Mapping[str, Any]) -> None:
    """Refuse what later APIs keep with an asset; ``false`` asks for nothing.

    Raises:
        ApiError: ``parameter_invalid``, with what serves instead.
    """
    for name, instead in _LATER.items():
        if given.get(name) not in (None, False, ["false"], ["False"]):
            raise invalid(f"The {name} parameter is not served with assets; use {instead}.")


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
