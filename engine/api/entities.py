"""Routes of entity collections and entities: names with reference images.

They are kept in full. Finding them in media is refused where it is asked for (search),
since nothing here recognises a face or a thing.
"""

import json
from typing import Any

from aiohttp import web

from engine.api.filters import Where, check_metadata
from engine.api.paging import Paging, listed, one_of
from engine.api.web import read_object
from engine.errors import ApiError, invalid, missing, unknown
from engine.store.library import Library, is_id, new_id, now

Ids = list[str]
_SORTS = ("created_at", "updated_at", "name")
_STATUSES = ("processing", "ready")
_MOST_AT_ONCE = 1000
# An entity is ready when all its images are. One that was deleted is not waited for.
_WITH_STATUS = """
(SELECT *, CASE WHEN EXISTS (
    SELECT 1 FROM assets, json_each(asset_ids) WHERE assets.id = json_each.value AND assets.status = 'processing'
 ) THEN 'processing' ELSE 'ready' END AS status FROM entities)
"""


class EntityRoutes:
    def __init__(self, library: Library) -> None:
        self._library = library

    def routes(self) -> list[web.RouteDef]:
        top = "/v1.3/entity-collections"
        one = f"{top}/{{collection_id}}"
        inner = f"{one}/entities"
        entity = f"{inner}/{{entity_id}}"
        return [
            web.get(top, self.list_collections),
            web.post(top, self.create_collection),
            web.get(one, self.retrieve_collection, allow_head=False),
            web.patch(one, self.update_collection),
            web.delete(one, self.delete_collection),
            web.get(inner, self.list),
            web.get("/v1.3/assets/{asset_id}/entities", self.list_by_asset),
            web.post(inner, self.create),
            web.post(f"{inner}/bulk", self.create_bulk),
            web.get(entity, self.retrieve, allow_head=False),
            web.patch(entity, self.update),
            web.delete(entity, self.delete),
            web.post(f"{entity}/assets", self.add_assets),
            web.delete(f"{entity}/assets", self.remove_assets),
        ]

    # -- collections -------------------------------------------------------

    async def list_collections(self, request: web.Request) -> web.Response:
        paging = Paging.of(request, _SORTS)
        where = Where()
        where.equal("name", request.query.get("name"))
        return await listed(self._library, "entity_collections", paging, where, _collection_told)

    async def create_collection(self, request: web.Request) -> web.Response:
        body = await read_object(request)
        moment = now()
        row = {
            "id": new_id(), "name": _name(body, "name"), "description": _text(body, "description"),
            "created_at": moment, "updated_at": moment,
        }  # fmt: skip
        await self._library.insert("entity_collections", row)
        return web.json_response(_collection_told(row), status=201)

    async def retrieve_collection(self, request: web.Request) -> web.Response:
        return web.json_response(_collection_told(await self._collection(request)))

    async def update_collection(self, request: web.Request) -> web.Response:
        row, body = await self._collection(request), await read_object(request)
        row |= _changes(body)
        sql = "UPDATE entity_collections SET name = ?, description = ?, updated_at = ? WHERE id = ?"
        row["updated_at"] = now()
        await self._library.write(sql, [row["name"], row["description"], row["updated_at"], row["id"]])
        return web.json_response(_collection_told(row))

    async def delete_collection(self, request: web.Request) -> web.Response:
        row = await self._collection(request)
        await self._library.write("DELETE FROM entity_collections WHERE id = ?", [row["id"]])
        return web.Response(status=204)

    # -- entities ----------------------------------------------------------

    async def list(self, request: web.Request) -> web.Response:
        collection = await self._collection(request)
        paging = Paging.of(request, _SORTS)
        where = Where()
        where.equal("collection_id", collection["id"])
        where.equal("name", request.query.get("name"))
        if "status" in request.query:
            where.equal("status", one_of(request, "status", _STATUSES))
        return await listed(self._library, _WITH_STATUS, paging, where, _told)

    async def list_by_asset(self, request: web.Request) -> web.Response:
        asset = await self._library.get(request.match_info["asset_id"])
        where = Where()
        where.add("EXISTS (SELECT 1 FROM json_each(asset_ids) WHERE value = ?)", asset.id)
        return await listed(self._library, _WITH_STATUS, Paging.of(request), where, _told)

    async def create(self, request: web.Request) -> web.Response:
        collection = await self._collection(request)
        ident = await self._add(collection["id"], await read_object(request))
        return web.json_response(_told(await self._entity(collection["id"], ident)), status=201)

    async def create_bulk(self, request: web.Request) -> web.Response:
        """Each entity is added or refused by itself."""
        collection = await self._collection(request)
        wanted = (await read_object(request)).get("entities")
        if wanted is None:
            raise missing("entities")
        if not isinstance(wanted, list) or not 1 <= len(wanted) <= _MOST_AT_ONCE:
            raise invalid(f"The entities parameter must be a list of 1 to {_MOST_AT_ONCE} entities.")
        added, errors = [], []
        for place, body in enumerate(wanted):
            try:
                if not isinstance(body, dict):
                    raise invalid(f"The entities[{place}] parameter must be an object.")
                row = await self._entity(collection["id"], await self._add(collection["id"], body))
                added.append({"_id": row["id"], "name": row["name"], "status": row["status"]})
            except ApiError as exc:
                name = body.get("name") if isinstance(body, dict) else None
                told = {"entity_index": place, "error_reason": exc.message}
                errors.append(told | ({"entity_name": name} if isinstance(name, str) else {}))
        told = {"success_count": len(added), "failed_count": len(errors), "entities": added, "errors": errors}
        return web.json_response(told, status=201)

    async def retrieve(self, request: web.Request) -> web.Response:
        return web.json_response(_told(await self._named(request)))

    async def update(self, request: web.Request) -> web.Response:
        row, body = await self._named(request), await read_object(request)
        row |= _changes(body)
        if body.get("metadata") is not None:
            row["metadata"] = json.dumps(check_metadata(body["metadata"], "metadata"))
        sql = "UPDATE entities SET name = ?, description = ?, metadata = ?, updated_at = ? WHERE id = ?"
        await self._library.write(sql, [row["name"], row["description"], row["metadata"], now(), row["id"]])
        return web.json_response(_told(await self._named(request)))

    async def delete(self, request: web.Request) -> web.Response:
        row = await self._named(request)
        await self._library.write("DELETE FROM entities WHERE id = ?", [row["id"]])
        return web.Response(status=204)

    async def add_assets(self, request: web.Request) -> web.Response:
        row = await self._named(request)
        ids = await self._images(await read_object(request))
        return await self._set_assets(request, row, [*json.loads(row["asset_ids"]), *ids])

    async def remove_assets(self, request: web.Request) -> web.Response:
        row = await self._named(request)
        ids, have = _asset_ids(await read_object(request)), json.loads(row["asset_ids"])
        for ident in ids:
            if ident not in have:
                raise invalid(f"The asset {ident[:64]!r} does not belong to the entity.")
        kept = [ident for ident in have if ident not in ids]
        if not kept:
            raise invalid("The last asset of an entity cannot be removed.")
        return await self._set_assets(request, row, kept)

    async def _set_assets(self, request: web.Request, row: dict[str, Any], ids: Ids) -> web.Response:
        sql = "UPDATE entities SET asset_ids = ?, updated_at = ? WHERE id = ?"
        await self._library.write(sql, [json.dumps(list(dict.fromkeys(ids))), now(), row["id"]])
        return web.json_response(_told(await self._named(request)))

    # -- rows --------------------------------------------------------------

    async def _collection(self, request: web.Request) -> dict[str, Any]:
        ident = request.match_info["collection_id"]
        sql = "SELECT * FROM entity_collections WHERE id = ?"
        row = await self._library.row(sql, [ident]) if is_id(ident) else None
        if row is None:
            raise unknown("entity collection", ident)
        return row

    async def _named(self, request: web.Request) -> dict[str, Any]:
        collection = await self._collection(request)
        return await self._entity(collection["id"], request.match_info["entity_id"])

    async def _entity(self, collection_id: str, ident: str) -> dict[str, Any]:
        sql = f"SELECT * FROM {_WITH_STATUS} WHERE id = ? AND collection_id = ?"  # noqa: S608
        row = await self._library.row(sql, [ident, collection_id]) if is_id(ident) else None
        if row is None:
            raise unknown("entity", ident)
        return row

    async def _add(self, collection_id: str, body: dict[str, Any]) -> str:
        name, description = _name(body, "name"), _text(body, "description")
        metadata = body.get("metadata")
        ids = await self._images(body)
        moment = now()
        row = {
            "id": new_id(), "collection_id": collection_id, "name": name, "description": description,
            "metadata": None if metadata is None else json.dumps(check_metadata(metadata, "metadata")),
            "asset_ids": json.dumps(list(dict.fromkeys(ids))), "created_at": moment, "updated_at": moment,
        }  # fmt: skip
        await self._library.insert("entities", row)
        return str(row["id"])

    async def _images(self, body: dict[str, Any]) -> Ids:
        """Return the assets that a body names: they must be images, and usable."""
        ids = _asset_ids(body)
        for ident in ids:
            asset = await self._library.get(ident)
            if asset.status == "failed":
                raise ApiError(
                    asset.error_code or "parameter_invalid", f"The asset {ident} failed: {asset.error_message}"
                )
            if not (asset.file_type or "").startswith("image/"):
                raise invalid(f"The asset {ident} is no image; an entity is shown by images.")
        return ids


def _asset_ids(body: dict[str, Any]) -> list[str]:
    ids = body.get("asset_ids")
    if ids is None:
        raise missing("asset_ids")
    if not isinstance(ids, list) or not ids or not all(isinstance(one, str) for one in ids):
        raise invalid("The asset_ids parameter must be a list with at least one id.")
    return ids


def _name(body: dict[str, Any], member: str) -> str:
    name = _text(body, member)
    if name is None:
        raise missing(member)
    if not name.strip():
        raise invalid(f"The {member} parameter must not be empty.")
    return name


def _text(body: dict[str, Any], member: str) -> str | None:
    value = body.get(member)
    if value is not None and not isinstance(value, str):
        raise invalid(f"The {member} parameter must be a string.")
    return value


def _changes(body: dict[str, Any]) -> dict[str, Any]:
    """Return the members that a body changes; what it leaves out stays."""
    changes: dict[str, Any] = {}
    if body.get("name") is not None:
        changes["name"] = _name(body, "name")
    if body.get("description") is not None:
        changes["description"] = _text(body, "description")
    return changes


def _collection_told(row: dict[str, Any]) -> dict[str, Any]:
    told = {"_id": row["id"], "name": row["name"], "created_at": row["created_at"], "updated_at": row["updated_at"]}
    return told | ({"description": row["description"]} if row["description"] is not None else {})


def _told(row: dict[str, Any]) -> dict[str, Any]:
    told = _collection_told(row) | {"asset_ids": json.loads(row["asset_ids"]), "status": row["status"]}
    return told | ({"metadata": json.loads(row["metadata"])} if row["metadata"] is not None else {})
