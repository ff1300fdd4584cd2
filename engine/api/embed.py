"""Routes of embeddings that are answered at once, both generations.

Requests name ``marengo3.0``, as the API wants it; answers name what made each vector, and
no two models' vectors are ever mixed. Without weights a request is checked in full, and
refused with what would change that: numbers of any other origin are worse than none.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from engine.api.embed_query import (
    INPUTS,
    check_model,
    check_text,
    no_fusion,
    read_kind,
    read_media,
    read_parts,
    read_source,
    read_text,
    refuse_sound,
    seconds,
    sound_query,
)
from engine.api.forms import Form, read_form
from engine.api.web import deprecated, nested, read_object
from engine.errors import ApiError, missing
from engine.store.library import Library
from engine.work.embedder import Embedded, Embedder, MediaVectors, models_of
from engine.work.fetch import check_url
from engine.work.media_query import MediaQuery, Source

# Longer media are embedded in tasks.
LONGEST_S = 600.0


class EmbedRoutes:
    def __init__(self, library: Library, embedder: Embedder) -> None:
        self._library = library
        self._embedder = embedder

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1.3/embed", deprecated(self.create)),
            web.post("/v1.3/embed-v2", nested(self.create_v2)),
        ]

    # -- the first generation ----------------------------------------------

    async def create(self, request: web.Request) -> web.Response:
        async with read_form(request, self._library, "image_file", "audio_file") as form:
            check_model(form.text("model_name"))
            text, image, audio = form.text("text"), _source(form, "image"), _source(form, "audio")
            start = seconds(form, "audio_start_offset_sec") or 0.0
            if not (text or image or audio):
                raise missing("text, image_url, image_file, audio_url or audio_file")
            check_text("text", text or "")
            self._embedder.meaning.need("An embedding")
            told: dict[str, Any] = {}
            rows: list[Embedded] = []
            if text:
                rows.append(await self._embedder.text("text", text))
                told["text_embedding"] = {"segments": [segment(rows[-1])]}
            if image:
                async with self._lend(form, "image", image) as path:
                    rows.append(await self._embedder.image(path))
                told["image_embedding"] = {"segments": [segment(rows[-1])], "metadata": image.told()}
            if audio:
                async with self._lend(form, "audio", audio) as path:
                    made = await self._embedder.media(path, None, sound_query(audio, start), LONGEST_S)
                rows += made.rows
                told["audio_embedding"] = _sound_told(made) | {"metadata": audio.told()}
        return web.json_response({"model_name": models_of(rows), **told})

    @asynccontextmanager
    async def _lend(self, form: Form, name: str, source: Source) -> AsyncIterator[Path]:
        if source.kind == "file":
            upload = form.file(f"{name}_file")
            assert upload is not None
            await asyncio.to_thread(upload.incoming.finish)
            yield upload.incoming.path
        else:
            async with self._embedder.lend(source) as (path, _):
                yield path

    # -- the second generation ---------------------------------------------

    async def create_v2(self, request: web.Request) -> web.Response:
        kind, value = read_kind(await read_object(request), INPUTS)
        if kind in ("audio", "video"):
            return await self._media(read_media(value, kind))
        if kind == "text":
            return await self._text(read_text(value, kind), {})
        if kind == "image":
            return await self._image(read_source(value.get("media_source"), "image.media_source"), "image")
        if kind == "multi_input":
            part = read_parts(value)
            about = {"metadata": {"input_type": kind}}
            return await (self._text(part, about) if isinstance(part, str) else self._image(part, kind))
        read_text(value, kind)
        read_source(value.get("media_source"), f"{kind}.media_source")
        raise no_fusion("A vector of a text and an image together")

    async def _text(self, text: str, about: dict[str, Any]) -> web.Response:
        self._embedder.meaning.need("An embedding of text")
        return web.json_response({"data": [row_told(await self._embedder.text("input_text", text))], **about})

    async def _image(self, source: Source, kind: str) -> web.Response:
        self._embedder.meaning.need("An embedding of an image")
        async with self._embedder.lend(source) as (path, _):
            row = await self._embedder.image(path)
        named = source.told() if kind == "image" else {}
        return web.json_response({"data": [row_told(row)], "metadata": {"input_type": kind, **named}})

    async def _media(self, query: MediaQuery) -> web.Response:
        self._embedder.meaning.need(f"An embedding of {query.kind}")
        async with self._embedder.lend(query.source) as (path, sha256):
            made = await self._embedder.media(path, sha256, query, LONGEST_S)
        return web.json_response(
            {"data": [row_told(row) for row in made.rows], "metadata": metadata(query, made), **unheard(made)}
        )


def row_told(row: Embedded) -> dict[str, Any]:
    """Return a vector as the second generation tells it, with the model that made it."""
    return {
        "embedding": row.vector,
        "embedding_option": row.option,
        "embedding_scope": row.scope,
        "start_sec": row.start,
        "end_sec": row.end,
        "model_name": row.model,
    }


def segment(row: Embedded, whole: str = "asset") -> dict[str, Any]:
    """Return a vector as the first generation tells it, with the model that made it.

    Args:
        whole: what the scope of a whole file is called.
    """
    told: dict[str, Any] = {"float": row.vector, "model_name": row.model}
    if row.option is not None:
        told |= {
            "start_offset_sec": row.start,
            "end_offset_sec": row.end,
            "embedding_option": row.option,
            "embedding_scope": whole if row.scope == "asset" else row.scope,
        }
    return told


def metadata(query: MediaQuery, made: MediaVectors) -> dict[str, Any]:
    """Return the second generation's description of embedded media."""
    told: dict[str, Any] = {"input_type": query.kind, **query.source.told()}
    if query.kind == "video" and query.strategy == "fixed":
        told["clip_length"] = int(query.length_s)
    return told | {
        "embedding_options": list(query.options),
        "embedding_scopes": list(query.scopes),
        "duration": made.duration,
        "start_offset_sec": query.start,
        "end_offset_sec": min(query.end or made.duration, made.duration),
    }


def unheard(made: MediaVectors) -> dict[str, Any]:
    """Say why nobody listened: an empty list must not pass for a silent file."""
    if not made.unheard:
        return {}
    return {"examinations": {"speech": {"outcome": "not_available", "reason": made.unheard}}}


def _sound_told(made: MediaVectors) -> dict[str, Any]:
    if made.rows:
        return {"segments": [segment(row) for row in made.rows]}
    return {"segments": [], "error_message": made.unheard or "No speech was understood in it."}


def _source(form: Form, name: str) -> Source | None:
    """Return where a form's image or sound is, if it names one; an address wins over a file."""
    if url := form.text(f"{name}_url"):
        check_url(url)
        return Source("url", url)
    upload = form.file(f"{name}_file")
    return Source("file", upload.filename) if upload else None


def check_options(options: Sequence[str], given: tuple[str, ...]) -> None:
    """Refuse options whose vectors no model here makes.

    Raises:
        ApiError: ``parameter_invalid``.
    """
    for option in options:
        if option == "audio":
            raise refuse_sound()
        if option not in given:
            raise ApiError(
                "parameter_invalid", f"The embedding option {option} cannot be served; there is {', '.join(given)}."
            )
