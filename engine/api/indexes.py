"""Routes of indexes: what is measured of the media in them is fixed when they are made."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import Field, ValidationInfo, field_validator

from engine.api.bodies import Body, list_or, read_body, says, sentence, takes, that
from engine.api.filters import since
from engine.api.paging import listed, one_of, read_paging
from engine.api.web import read_object
from engine.errors import invalid
from engine.store.indexes import CountedIndex, Indexes, IndexWhere

MODELS = ("marengo3.0", "pegasus1.2")
OPTIONS = ("visual", "audio")
_FAMILIES = ("marengo", "pegasus")
_LONGEST_NAME = 256


class NewName(Body):
    """The body that renames an index."""

    index_name: Annotated[
        Annotated[str, that(lambda name: bool(name.strip()) and len(name) <= _LONGEST_NAME, "")],
        says(f"must be a text of up to {_LONGEST_NAME} characters"),
    ]


class Model(Body):
    model_name: Annotated[Literal["marengo3.0", "pegasus1.2"], says(f"must be one of {', '.join(MODELS)}")]
    model_options: Annotated[Annotated[list[str], Field(min_length=1)], takes(*OPTIONS)] = Field(
        default_factory=lambda: list(OPTIONS)
    )


class NewIndex(NewName):
    """The body that makes an index."""

    models: Annotated[
        list[Model],
        list_or("must be a list with at least one model"),
        that(lambda models: len({one.model_name for one in models}) == len(models), "names a model twice"),
    ]
    addons: Annotated[list[str], takes("thumbnail")] = Field(default_factory=list)

    @field_validator("addons")
    @classmethod
    def _can_be_had(cls, addons: list[str], info: ValidationInfo) -> list[str]:
        if addons and not any(one.model_name.startswith("marengo") for one in info.data.get("models", [])):
            raise sentence("The thumbnail addon needs a Marengo model.")
        return addons


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
        wanted = read_body(NewIndex, await read_object(request))
        models = [model.model_dump() for model in wanted.models]
        ident = await self._indexes.add(wanted.index_name, models, wanted.addons)
        return web.json_response({"_id": ident}, status=201)

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
        await self._indexes.rename(index.id, read_body(NewName, await read_object(request)).index_name)
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
