"""Routes of embeddings, both generations: checked in full, and refused, since there are no weights.

A vector that did not come from the model would be compared as if it had: numbers of any
other origin are worse than none. So every call that would make one says what it needs,
lists are empty, and no task exists.
"""

from collections.abc import Mapping
from typing import Any, NoReturn

from aiohttp import web

from engine.errors import ApiError, invalid, missing, unknown
from engine.fetch import check_url
from engine.filters import instant
from engine.forms import Form, read_form
from engine.library import Library
from engine.paging import Paging, one_of
from engine.web import deprecated, nested, read_object

WHY = (
    "This engine has no embedding weights, and gives no numbers in their place: vectors of marengo3.0 are made by the"
    " TwelveLabs cloud only. Set the service's upstream to it, with a key, to have them."
)
MODEL = "marengo3.0"
_STATUSES = ("processing", "ready", "failed")
_INPUTS = ("text", "image", "text_image", "audio", "video", "multi_input")
_OPTIONS = {"audio": ("audio", "transcription"), "video": ("visual", "audio", "transcription")}
_SOURCES = ("base64_string", "url", "asset_id")


def refuse_embeddings(what: str) -> NoReturn:
    """Say that there is no vector to give.

    Raises:
        ApiError: ``parameter_invalid``.
    """
    raise ApiError("parameter_invalid", f"{what} cannot be served. {WHY}")


class EmbedRoutes:
    def __init__(self, library: Library) -> None:
        self._library = library

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1.3/embed", deprecated(self.create)),
            web.get("/v1.3/embed/tasks", deprecated(self.list_v1)),
            web.post("/v1.3/embed/tasks", deprecated(self.create_task)),
            web.get("/v1.3/embed/tasks/{task_id}/status", deprecated(self.status), allow_head=False),
            web.get("/v1.3/embed/tasks/{task_id}", self.retrieve, allow_head=False),
            web.post("/v1.3/embed-v2", nested(self.create_v2)),
            web.get("/v1.3/embed-v2/tasks", self.list),
            web.post("/v1.3/embed-v2/tasks", nested(self.create_task_v2)),
            web.get("/v1.3/embed-v2/tasks/{task_id}", nested(self.retrieve_v2), allow_head=False),
        ]

    async def create(self, request: web.Request) -> web.Response:
        async with read_form(request, self._library, "image_file", "audio_file") as form:
            _check_model(form.text("model_name"))
            given = [
                kind
                for kind in ("text", "image", "audio")
                if form.text(kind) or form.text(f"{kind}_url") or form.file(f"{kind}_file")
            ]
            if not given:
                raise missing("text, image_url, image_file, audio_url or audio_file")
            for name in ("image_url", "audio_url"):
                if url := form.text(name):
                    check_url(url)
            _seconds(form, "audio_start_offset_sec")
        refuse_embeddings(f"An embedding of {' and '.join(given)}")

    async def create_task(self, request: web.Request) -> web.Response:
        async with read_form(request, self._library, "video_file") as form:
            _check_model(form.text("model_name"))
            url = form.text("video_url")
            if url is not None:
                check_url(url)
            elif form.file("video_file") is None:
                raise missing("video_url or video_file")
            length = _seconds(form, "video_clip_length")
            if length is not None and not 2 <= length <= 10:
                raise invalid("The video_clip_length parameter must be from 2 to 10.")
            start, end = _seconds(form, "video_start_offset_sec"), _seconds(form, "video_end_offset_sec")
            if end is not None and end < (start or 0.0) + (length or 6.0):
                raise invalid("The video_end_offset_sec parameter must leave room for a clip.")
            if not set(form.texts("video_embedding_scope")) <= {"clip", "video"}:
                raise invalid("The video_embedding_scope parameter takes clip, video.")
        refuse_embeddings("A task that embeds a video")

    async def create_v2(self, request: web.Request) -> web.Response:
        refuse_embeddings(f"An embedding of {_read_input(await read_object(request), _INPUTS)}")

    async def create_task_v2(self, request: web.Request) -> web.Response:
        kind = _read_input(await read_object(request), ("audio", "video"))
        refuse_embeddings(f"A task that embeds {kind}")

    async def list(self, request: web.Request) -> web.Response:
        """No task can be made here, so there is none to list; what is asked for is checked all the same."""
        paging = Paging.of(request)
        for name in ("started_at", "ended_at"):
            if name in request.query:
                instant(name, request.query[name])
        if "status" in request.query:
            one_of(request, "status", _STATUSES)
        return web.json_response({"data": [], "page_info": paging.info(0)})

    # The same answers; marks of routes hang on their handlers, so each route has one of its own.

    async def list_v1(self, request: web.Request) -> web.Response:
        return await self.list(request)

    async def status(self, request: web.Request) -> web.Response:
        return await self.retrieve(request)

    async def retrieve_v2(self, request: web.Request) -> web.Response:
        return await self.retrieve(request)

    async def retrieve(self, request: web.Request) -> web.Response:
        raise unknown("task", request.match_info["task_id"])


def _check_model(name: Any) -> None:
    if name is None:
        raise missing("model_name")
    if name != MODEL:
        raise invalid(f"The model_name parameter must be {MODEL}.")


def _seconds(form: Form, name: str) -> float | None:
    text = form.text(name)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e9:
        raise invalid(f"The {name} parameter must be a number from 0 on.")
    return value


def _read_input(body: dict[str, Any], kinds: tuple[str, ...]) -> str:
    """Check a request of the second generation; return its input type.

    Raises:
        ApiError: with the member's path.
    """
    kind = body.get("input_type")
    if kind is None:
        raise missing("input_type")
    if kind not in kinds:
        raise invalid(f"The input_type parameter must be one of {', '.join(kinds)}.")
    _check_model(body.get("model_name"))
    value = body.get(kind)
    if value is None:
        raise missing(kind)
    if not isinstance(value, dict):
        raise invalid(f"The {kind} parameter must be an object.")
    if kind in ("text", "text_image") and not (
        isinstance(value.get("input_text"), str) and value["input_text"].strip()
    ):
        raise missing(f"{kind}.input_text")
    if kind == "multi_input":
        sources = value.get("media_sources", [])
        if not isinstance(sources, list) or len(sources) > 10:
            raise invalid("The multi_input.media_sources parameter must be a list of up to 10 sources.")
        for place, source in enumerate(sources):
            _check_source(source, f"multi_input.media_sources[{place}]")
    elif kind != "text":
        _check_source(value.get("media_source"), f"{kind}.media_source")
    if kind in _OPTIONS:
        _check_words(value, kind, "embedding_option", _OPTIONS[kind])
        _check_words(value, kind, "embedding_scope", ("clip", "asset"))
        _check_words(value, kind, "embedding_type", ("separate_embedding", "fused_embedding"))
    return str(kind)


def _check_source(source: Any, path: str) -> None:
    if source is None:
        raise missing(path)
    if not isinstance(source, dict):
        raise invalid(f"The {path} parameter must be an object.")
    given = [name for name in _SOURCES if source.get(name) is not None]
    if len(given) != 1 or not isinstance(source[given[0]], str):
        raise invalid(f"The {path} parameter must name exactly one of {', '.join(_SOURCES)}.")
    if given[0] == "url":
        check_url(source["url"])


def _check_words(value: Mapping[str, Any], kind: str, name: str, allowed: tuple[str, ...]) -> None:
    words = value.get(name)
    if words is not None and (not isinstance(words, list) or any(word not in allowed for word in words)):
        raise invalid(f"The {kind}.{name} parameter takes {', '.join(allowed)}.")
