"""Routes of entity collections and entities: names with reference images.

They are kept in full. Finding them in media is refused where it is asked for (search),
since nothing here recognises a face or a thing.
"""

from dataclasses import replace
from typing import Annotated, Any

from aiohttp import web
from pydantic import Field

from engine.api.bodies import Body, Metadata, Text, read_body, says, that
from engine.api.paging import listed, one_of, read_paging
from engine.api.web import read_object
from engine.errors import ApiError, invalid
from engine.store.assets import Assets
from engine.store.entities import Collection, Collections, Entities, Entity, EntityWhere
from engine.store.rows import now
from engine.store.where import Where

Ids = list[str]
_SORTS = ("created_at", "updated_at", "name")
_STATUSES = ("processing", "ready")
_MOST_AT_ONCE = 1000


Name = Annotated[Text, that(lambda name: bool(name.strip()), "must not be empty")]


class Changes(Body):
    """What can be changed of a collection; what is left out stays."""

    name: Name | None = None
    description: Text | None = None


class EntityChanges(Changes):
    metadata: Metadata | None = None


class NewCollection(Body):
    name: Name
    description: Text | None = None


class Images(Body):
    """The assets that show an entity."""

    asset_ids: Annotated[Annotated[list[str], Field(min_length=1)], says("must be a list with at least one id")]


class NewEntity(Images, NewCollection):
    metadata: Metadata | None = None


class Bulk(Body):
    """Many entities, each of which is judged by itself."""

    entities: Annotated[
        Annotated[list[Any], Field(min_length=1, max_length=_MOST_AT_ONCE)],
        says(f"must be a list of 1 to {_MOST_AT_ONCE} entities"),
    ]


class EntityRoutes:
    def __init__(self, collections: Collections, entities: Entities, assets: Assets) -> None:
        self._collections = collections
        self._entities = entities
        self._assets = assets

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
        paging = read_paging(request, _SORTS)
        where = Where()
        where.equal("name", request.query.get("name"))
        return listed(await self._collections.page(paging, where), paging, _collection_told)

    async def create_collection(self, request: web.Request) -> web.Response:
        wanted = read_body(NewCollection, await read_object(request))
        made = await self._collections.add(wanted.name, wanted.description)
        return web.json_response(_collection_told(made), status=201)

    async def retrieve_collection(self, request: web.Request) -> web.Response:
        return web.json_response(_collection_told(await self._collection(request)))

    async def update_collection(self, request: web.Request) -> web.Response:
        row, changes = await self._collection(request), read_body(Changes, await read_object(request))
        changed = replace(row, **changes.model_dump(exclude_unset=True), updated_at=now())
        await self._collections.update(changed)
        return web.json_response(_collection_told(changed))

    async def delete_collection(self, request: web.Request) -> web.Response:
        row = await self._collection(request)
        await self._collections.delete(row.id)
        return web.Response(status=204)

    # -- entities ----------------------------------------------------------

    async def list(self, request: web.Request) -> web.Response:
        collection = await self._collection(request)
        paging = read_paging(request, _SORTS)
        where = EntityWhere()
        where.equal("collection_id", collection.id)
        where.equal("name", request.query.get("name"))
        if "status" in request.query:
            where.equal("status", one_of(request, "status", _STATUSES))
        return listed(await self._entities.page(paging, where), paging, _told)

    async def list_by_asset(self, request: web.Request) -> web.Response:
        asset = await self._assets.get(request.match_info["asset_id"])
        where, paging = EntityWhere(), read_paging(request)
        where.shown_by(asset.id)
        return listed(await self._entities.page(paging, where), paging, _told)

    async def create(self, request: web.Request) -> web.Response:
        collection = await self._collection(request)
        ident = await self._add(collection.id, await read_object(request))
        return web.json_response(_told(await self._entities.get(collection.id, ident)), status=201)

    async def create_bulk(self, request: web.Request) -> web.Response:
        """Each entity is added or refused by itself."""
        collection = await self._collection(request)
        wanted = read_body(Bulk, await read_object(request)).entities
        added, errors = [], []
        for place, body in enumerate(wanted):
            try:
                if not isinstance(body, dict):
                    raise invalid(f"The entities[{place}] parameter must be an object.")
                row = await self._entities.get(collection.id, await self._add(collection.id, body))
                added.append({"_id": row.id, "name": row.name, "status": row.status})
            except ApiError as exc:
                name = body.get("name") if isinstance(body, dict) else None
                told = {"entity_index": place, "error_reason": exc.message}
                errors.append(told | ({"entity_name": name} if isinstance(name, str) else {}))
        told = {"success_count": len(added), "failed_count": len(errors), "entities": added, "errors": errors}
        return web.json_response(told, status=201)

    async def retrieve(self, request: web.Request) -> web.Response:
        return web.json_response(_told(await self._named(request)))

    async def update(self, request: web.Request) -> web.Response:
        row, changes = await self._named(request), read_body(EntityChanges, await read_object(request))
        changed = replace(row, **changes.model_dump(exclude_unset=True))
        await self._entities.update(row.id, changed.name, changed.description, changed.metadata)
        return web.json_response(_told(await self._named(request)))

    async def delete(self, request: web.Request) -> web.Response:
        row = await self._named(request)
        await self._entities.delete(row.id)
        return web.Response(status=204)

    async def add_assets(self, request: web.Request) -> web.Response:
        row = await self._named(request)
        ids = await self._images(read_body(Images, await read_object(request)).asset_ids)
        return await self._set_assets(request, row, [*row.asset_ids, *ids])

    async def remove_assets(self, request: web.Request) -> web.Response:
        row = await self._named(request)
        ids = read_body(Images, await read_object(request)).asset_ids
        for ident in ids:
            if ident not in row.asset_ids:
                raise invalid(f"The asset {ident[:64]!r} does not belong to the entity.")
        kept = [ident for ident in row.asset_ids if ident not in ids]
        if not kept:
            raise invalid("The last asset of an entity cannot be removed.")
        return await self._set_assets(request, row, kept)

    async def _set_assets(self, request: web.Request, row: Entity, ids: Ids) -> web.Response:
        await self._entities.set_assets(row.id, ids)
        return web.json_response(_told(await self._named(request)))

    # -- rows --------------------------------------------------------------

    async def _collection(self, request: web.Request) -> Collection:
        return await self._collections.get(request.match_info["collection_id"])

    async def _named(self, request: web.Request) -> Entity:
        collection = await self._collection(request)
        return await self._entities.get(collection.id, request.match_info["entity_id"])

    async def _add(self, collection_id: str, body: dict[str, Any]) -> str:
        wanted = read_body(NewEntity, body)
        ids = await self._images(wanted.asset_ids)
        return await self._entities.add(collection_id, wanted.name, wanted.description, wanted.metadata, ids)

    async def _images(self, ids: Ids) -> Ids:
        """Return the assets that are named: they must be images, and usable."""
        for ident in ids:
            asset = await self._assets.get(ident)
            if asset.status == "failed":
                raise ApiError(
                    asset.error_code or "parameter_invalid", f"The asset {ident} failed: {asset.error_message}"
                )
            if not (asset.file_type or "").startswith("image/"):
                raise invalid(f"The asset {ident} is no image; an entity is shown by images.")
        return ids


def _collection_told(row: Collection | Entity) -> dict[str, Any]:
    told = {"_id": row.id, "name": row.name, "created_at": row.created_at, "updated_at": row.updated_at}
    return told | ({"description": row.description} if row.description is not None else {})


def _told(row: Entity) -> dict[str, Any]:
    told = _collection_told(row) | {"asset_ids": row.asset_ids, "status": row.status}
    return told | ({"metadata": row.metadata} if row.metadata is not None else {})
