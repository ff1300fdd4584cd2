"""Routes of indexes: what is measured of the media in them is fixed when they are made."""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from engine.api.filters import since
from engine.api.paging import listed, one_of, read_paging
from engine.api.web import read_object
from engine.errors import invalid, missing
from engine.store.indexes import CountedIndex, Indexes, IndexWhere

MODELS = ("marengo3.0", "pegasus1.2")
OPTIONS = ("visual", "audio")
_FAMILIES = ("marengo", "pegasus")
_LONGEST_NAME = 256


class IndexRoutes:
    def __init__(self, indexes: Indexes, delete_index: Callable[[str], Awaitable[None]]) -> None:
        """Take what empties an index before it is deleted."""
        self._indexes = indexes
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
        return web.json_response({"_id": await self._indexes.add(name, models, addons)}, status=201)

    async def list(self, request: web.Request) -> web.Response:
        paging = read_paging(request, ("created_at", "updated_at"))
        where = IndexWhere()
        where.equal("index_name", request.query.get("index_name"))
        for option in filter(None, request.query.get("model_options", "").split(",")):
            if option.strip() not in OPTIONS:
                raise invalid(f"The model_options parameter takes {', '.join(OPTIONS)}.")
            where.option(option.strip())
        if "model_family" in request.query:
            where.family(one_of(request, "model_family", _FAMILIES))
        since(where, request, "created_at")
        since(where, request, "updated_at")
        return listed(await self._indexes.page(paging, where), paging, _told)

    async def retrieve(self, request: web.Request) -> web.Response:
        return web.json_response(_told(await self._indexes.counted(request.match_info["index_id"])))

    async def update(self, request: web.Request) -> web.Response:
        index = await self._indexes.get(request.match_info["index_id"])
        await self._indexes.rename(index.id, _read_name(await read_object(request)))
        return web.Response(status=204)

    async def delete(self, request: web.Request) -> web.Response:
        index = await self._indexes.get(request.match_info["index_id"])
        await self._delete_index(index.id)
        return web.Response(status=204)


def _told(index: CountedIndex) -> dict[str, Any]:
    """Return an index as the API shows it; here none expires."""
    return {
        "_id": index.id,
        "created_at": index.created_at,
        "updated_at": index.updated_at,
        "index_name": index.index_name,
        "total_duration": round(index.total_duration, 3),
        "video_count": index.video_count,
        "models": index.models,
        "addons": index.addons,
    }


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
