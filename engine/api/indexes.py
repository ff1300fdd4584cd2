"""Routes of indexes: what is measured of the media in them is fixed when they are made."""

import json
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from engine.api.filters import Where
from engine.api.paging import Paging, listed, one_of
from engine.api.web import read_object
from engine.errors import ApiError, invalid, missing, unknown
from engine.store.indexes import find_index
from engine.store.library import Library, new_id, now

MODELS = ("marengo3.0", "pegasus1.2")
OPTIONS = ("visual", "audio")
_FAMILIES = ("marengo", "pegasus")
_LONGEST_NAME = 256
_COUNTS = """
(SELECT *, (SELECT count(*) FROM indexed WHERE index_id = indexes.id AND status = 'ready') AS video_count,
 (SELECT coalesce(sum(duration), 0) FROM indexed WHERE index_id = indexes.id AND status = 'ready') AS total_duration
 FROM indexes)
"""


class IndexRoutes:
    def __init__(self, library: Library, delete_index: Callable[[str], Awaitable[None]]) -> None:
        """Take what empties an index before it is deleted."""
        self._library = library
        self._delete_index = delete_index

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1.3/indexes", self.create),
            web.get("/v1.3/indexes", self.list),
            web.get("/v1.3/indexes/{index_id}", self.retrieve, allow_head=False),
            web.put("/v1.3/indexes/{index_id}", self.update),
            web.delete("/v1.3/indexes/{index_id}", self.delete),
        ]

    async def create(self, request: web.Request) -> web.Response:
        body = await read_object(request)
        name, models = _read_name(body), _read_models(body.get("models"))
        addons = _read_addons(body.get("addons"), models)
        moment = now()
        row = {
            "id": new_id(), "index_name": name, "models": json.dumps(models), "addons": json.dumps(addons),
            "created_at": moment, "updated_at": moment,
        }  # fmt: skip
        try:
            await self._library.insert("indexes", row)
        except sqlite3.IntegrityError as exc:
            raise _name_taken(name) from exc
        return web.json_response({"_id": row["id"]}, status=201)

    async def list(self, request: web.Request) -> web.Response:
        paging = Paging.of(request, ("created_at", "updated_at"))
        where = Where()
        where.equal("index_name", request.query.get("index_name"))
        for option in filter(None, request.query.get("model_options", "").split(",")):
            if option.strip() not in OPTIONS:
                raise invalid(f"The model_options parameter takes {', '.join(OPTIONS)}.")
            where.add(
                "EXISTS (SELECT 1 FROM json_each(models) AS model, json_each(model.value, '$.model_options') AS option"
                " WHERE option.value = ?)",
                option.strip(),
            )
        if "model_family" in request.query:
            family = one_of(request, "model_family", _FAMILIES)
            sql = "EXISTS (SELECT 1 FROM json_each(models) WHERE json_extract(value, '$.model_name') LIKE ?)"
            where.add(sql, f"{family}%")
        where.since(request, "created_at")
        where.since(request, "updated_at")
        return await listed(self._library, _COUNTS, paging, where, _told)

    async def retrieve(self, request: web.Request) -> web.Response:
        index = await find_index(self._library, request.match_info["index_id"])
        row = await self._library.row(f"SELECT * FROM {_COUNTS} WHERE id = ?", [index.id])  # noqa: S608
        if row is None:
            raise unknown("index", index.id)
        return web.json_response(_told(row))

    async def update(self, request: web.Request) -> web.Response:
        index = await find_index(self._library, request.match_info["index_id"])
        name = _read_name(await read_object(request))
        try:
            sql = "UPDATE indexes SET index_name = ?, updated_at = ? WHERE id = ?"
            await self._library.write(sql, [name, now(), index.id])
        except sqlite3.IntegrityError as exc:
            raise _name_taken(name) from exc
        return web.Response(status=204)

    async def delete(self, request: web.Request) -> web.Response:
        index = await find_index(self._library, request.match_info["index_id"])
        await self._delete_index(index.id)
        return web.Response(status=204)


def _told(row: dict[str, Any]) -> dict[str, Any]:
    """Return an index as the API shows it; here none expires."""
    return {
        "_id": row["id"],
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
        "index_name": row["index_name"],
        "total_duration": round(row["total_duration"], 3),
        "video_count": row["video_count"],
        "models": json.loads(row["models"]),
        "addons": json.loads(row["addons"]),
    }


def _name_taken(name: str) -> ApiError:
    return ApiError("index_name_already_exists", f"An index with the name {name[:64]!r} exists already.")


def _read_name(body: dict[str, Any]) -> str:
    name = body.get("index_name")
    if name is None:
        raise missing("index_name")
    if not isinstance(name, str) or not name.strip() or len(name) > _LONGEST_NAME:
        raise invalid(f"The index_name parameter must be a text of up to {_LONGEST_NAME} characters.")
    return name


def _read_models(models: Any) -> list[dict[str, Any]]:
    if models is None:
        raise missing("models")
    if not isinstance(models, list) or not models:
        raise invalid("The models parameter must be a list with at least one model.")
    read = []
    for place, model in enumerate(models):
        path = f"models[{place}]"
        if not isinstance(model, dict):
            raise invalid(f"The {path} parameter must be an object.")
        name, options = model.get("model_name"), model.get("model_options")
        if name is None:
            raise missing(f"{path}.model_name")
        if name not in MODELS:
            raise invalid(f"The {path}.model_name parameter must be one of {', '.join(MODELS)}.")
        options = list(OPTIONS) if options is None else options
        if not isinstance(options, list) or not options or any(one not in OPTIONS for one in options):
            raise invalid(f"The {path}.model_options parameter takes {', '.join(OPTIONS)}.")
        read.append({"model_name": name, "model_options": list(dict.fromkeys(options))})
    if len({one["model_name"] for one in read}) < len(read):
        raise invalid("The models parameter names a model twice.")
    return read


def _read_addons(addons: Any, models: list[dict[str, Any]]) -> list[str]:
    if addons is None:
        return []
    if not isinstance(addons, list) or any(one != "thumbnail" for one in addons):
        raise invalid("The addons parameter takes thumbnail.")
    if addons and not any(one["model_name"].startswith("marengo") for one in models):
        raise invalid("The thumbnail addon needs a Marengo model.")
    return list(dict.fromkeys(addons))
