"""Entity collections and entities: names with reference images."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from engine.errors import unknown
from engine.store.library import Library
from engine.store.paging import Page, Paging, page_of
from engine.store.rows import as_value, is_id, new_id, now
from engine.store.where import Where

# An entity is ready when all its images are. One that was deleted is not waited for.
_WITH_STATUS = """
(SELECT *, CASE WHEN EXISTS (
    SELECT 1 FROM assets, json_each(asset_ids) WHERE assets.id = json_each.value AND assets.status = 'processing'
 ) THEN 'processing' ELSE 'ready' END AS status FROM entities)
"""


@dataclass(frozen=True, slots=True)
class Collection:
    id: str
    name: str
    description: str | None
    created_at: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class Entity:
    """An entity; ``status`` is that of its images."""

    id: str
    collection_id: str
    name: str
    description: str | None
    metadata: dict[str, Any] | None
    asset_ids: list[str]
    created_at: str
    updated_at: str
    status: str


class EntityWhere(Where):
    """What a list of entities may be asked for."""

    def shown_by(self, asset_id: str) -> None:
        """Require an image among those that show the entity."""
        self.add("EXISTS (SELECT 1 FROM json_each(asset_ids) WHERE value = ?)", asset_id)


class Collections:
    """The rows of ``entity_collections``."""

    def __init__(self, library: Library) -> None:
        self._library = library

    async def add(self, name: str, description: str | None) -> Collection:
        moment = now()
        made = Collection(new_id(), name, description, moment, moment)
        await self._library.insert("entity_collections", asdict(made))
        return made

    async def get(self, ident: str) -> Collection:
        """Return a collection.

        Raises:
            ApiError: ``resource_not_exist``.
        """
        sql = "SELECT * FROM entity_collections WHERE id = ?"
        row = await self._library.row(sql, [ident]) if is_id(ident) else None
        if row is None:
            raise unknown("entity collection", ident)
        return as_value(Collection, row)

    async def page(self, paging: Paging, where: Where) -> Page[Collection]:
        return await page_of(self._library, "entity_collections", paging, where, lambda row: as_value(Collection, row))

    async def update(self, changed: Collection) -> None:
        """Write what can be changed of a collection."""
        sql = "UPDATE entity_collections SET name = ?, description = ?, updated_at = ? WHERE id = ?"
        await self._library.write(sql, [changed.name, changed.description, changed.updated_at, changed.id])

    async def delete(self, ident: str) -> None:
        """Delete a collection, and its entities with it."""
        await self._library.write("DELETE FROM entity_collections WHERE id = ?", [ident])


class Entities:
    """The rows of ``entities``."""

    def __init__(self, library: Library) -> None:
        self._library = library

    async def add(
        self,
        collection_id: str,
        name: str,
        description: str | None,
        metadata: dict[str, Any] | None,
        asset_ids: list[str],
    ) -> str:
        """Add an entity; return its id."""
        moment = now()
        row = {
            "id": new_id(), "collection_id": collection_id, "name": name, "description": description,
            "metadata": None if metadata is None else json.dumps(metadata), "asset_ids": _once(asset_ids),
            "created_at": moment, "updated_at": moment,
        }  # fmt: skip
        await self._library.insert("entities", row)
        return str(row["id"])

    async def get(self, collection_id: str, ident: str) -> Entity:
        """Return an entity of a collection.

        Raises:
            ApiError: ``resource_not_exist``.
        """
        sql = f"SELECT * FROM {_WITH_STATUS} WHERE id = ? AND collection_id = ?"  # noqa: S608
        row = await self._library.row(sql, [ident, collection_id]) if is_id(ident) else None
        if row is None:
            raise unknown("entity", ident)
        return _entity(row)

    async def exists(self, ident: str) -> bool:
        return await self._library.row("SELECT 1 FROM entities WHERE id = ?", [ident]) is not None

    async def page(self, paging: Paging, where: EntityWhere) -> Page[Entity]:
        return await page_of(self._library, _WITH_STATUS, paging, where, _entity)

    async def update(self, ident: str, name: str, description: str | None, metadata: dict[str, Any] | None) -> None:
        sql = "UPDATE entities SET name = ?, description = ?, metadata = ?, updated_at = ? WHERE id = ?"
        kept = None if metadata is None else json.dumps(metadata)
        await self._library.write(sql, [name, description, kept, now(), ident])

    async def set_assets(self, ident: str, asset_ids: list[str]) -> None:
        sql = "UPDATE entities SET asset_ids = ?, updated_at = ? WHERE id = ?"
        await self._library.write(sql, [_once(asset_ids), now(), ident])

    async def delete(self, ident: str) -> None:
        await self._library.write("DELETE FROM entities WHERE id = ?", [ident])


def _entity(row: dict[str, Any]) -> Entity:
    metadata = None if row["metadata"] is None else json.loads(row["metadata"])
    return as_value(Entity, row, metadata=metadata, asset_ids=json.loads(row["asset_ids"]))


def _once(asset_ids: list[str]) -> str:
    return json.dumps(list(dict.fromkeys(asset_ids)))
