"""Indexes: what is measured of the media in them."""

import json
import sqlite3
from dataclasses import dataclass
from typing import Any, TypeVar

from engine.errors import ApiError, unknown
from engine.store.library import Library
from engine.store.paging import Page, Paging, page_of
from engine.store.rows import as_value, is_id, new_id, now
from engine.store.where import Where

_COUNTED = """
(SELECT *, (SELECT count(*) FROM indexed WHERE index_id = indexes.id AND status = 'ready') AS video_count,
 (SELECT coalesce(sum(duration), 0) FROM indexed WHERE index_id = indexes.id AND status = 'ready') AS total_duration
 FROM indexes)
"""


T = TypeVar("T", bound="Index")


@dataclass(frozen=True, slots=True)
class Index:
    """What is measured of the media in it: ``models`` are each ``model_name`` with its ``model_options``."""

    id: str
    index_name: str
    models: list[dict[str, Any]]
    addons: list[str]
    created_at: str
    updated_at: str

    def options_of(self, family: str) -> set[str] | None:
        """Return what the model of a family looks at; None when there is no such model."""
        options = [set(one["model_options"]) for one in self.models if one["model_name"].startswith(family)]
        return set().union(*options) if options else None


@dataclass(frozen=True, slots=True)
class CountedIndex(Index):
    """An index, with the number and the length of what is ready in it."""

    video_count: int
    total_duration: float


class IndexWhere(Where):
    """What a list of indexes may be asked for."""

    def option(self, option: str) -> None:
        """Require a model that looks at something."""
        self.add(
            "EXISTS (SELECT 1 FROM json_each(models) AS model, json_each(model.value, '$.model_options') AS option"
            " WHERE option.value = ?)",
            option,
        )

    def family(self, family: str) -> None:
        """Require a model of a family."""
        sql = "EXISTS (SELECT 1 FROM json_each(models) WHERE json_extract(value, '$.model_name') LIKE ?)"
        self.add(sql, f"{family}%")


class Indexes:
    """The rows of ``indexes``."""

    def __init__(self, library: Library) -> None:
        self._library = library

    async def add(self, name: str, models: list[dict[str, Any]], addons: list[str]) -> str:
        """Make an index; return its id.

        Raises:
            ApiError: ``index_name_already_exists``.
        """
        moment = now()
        row = {
            "id": new_id(), "index_name": name, "models": json.dumps(models), "addons": json.dumps(addons),
            "created_at": moment, "updated_at": moment,
        }  # fmt: skip
        try:
            await self._library.insert("indexes", row)
        except sqlite3.IntegrityError as exc:
            raise _name_taken(name) from exc
        return str(row["id"])

    async def get(self, index_id: str) -> Index:
        """Return an index.

        Raises:
            ApiError: ``resource_not_exist``.
        """
        return _read(Index, await self._row("indexes", index_id))

    async def counted(self, index_id: str) -> CountedIndex:
        """Return an index with what is ready in it.

        Raises:
            ApiError: ``resource_not_exist``.
        """
        return _read(CountedIndex, await self._row(_COUNTED, index_id))

    async def page(self, paging: Paging, where: IndexWhere) -> Page[CountedIndex]:
        return await page_of(self._library, _COUNTED, paging, where, lambda row: _read(CountedIndex, row))

    async def rename(self, index_id: str, name: str) -> None:
        """Give an index another name.

        Raises:
            ApiError: ``index_name_already_exists``.
        """
        sql = "UPDATE indexes SET index_name = ?, updated_at = ? WHERE id = ?"
        try:
            await self._library.write(sql, [name, now(), index_id])
        except sqlite3.IntegrityError as exc:
            raise _name_taken(name) from exc

    async def _row(self, table: str, index_id: str) -> dict[str, Any]:
        sql = f"SELECT * FROM {table} WHERE id = ?"  # noqa: S608 -- tables are named by our code
        row = await self._library.row(sql, [index_id]) if is_id(index_id) else None
        if row is None:
            raise unknown("index", index_id)
        return row


def _read(kind: type[T], row: dict[str, Any]) -> T:
    return as_value(kind, row, models=json.loads(row["models"]), addons=json.loads(row["addons"]))


def _name_taken(name: str) -> ApiError:
    return ApiError("index_name_already_exists", f"An index with the name {name[:64]!r} exists already.")
