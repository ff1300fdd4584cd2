"""The server put together: who owns what, and in which order it opens and closes."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from aiohttp import web

from engine.api.analyze import AnalyzeRoute, MediaSources
from engine.api.analyze_tasks import AnalyzeTaskRoutes
from engine.api.assets import AssetRoutes
from engine.api.embed import EmbedRoutes
from engine.api.embed_tasks import EmbedTaskRoutes
from engine.api.entities import EntityRoutes
from engine.api.hls import Hls
from engine.api.indexed_assets import IndexedAssetRoutes
from engine.api.indexes import IndexRoutes
from engine.api.multipart import MultipartRoutes
from engine.api.search import SearchRoutes
from engine.api.tasks import TaskRoutes
from engine.api.thumbnails import Thumbnails
from engine.api.web import add_headers, errors_as_json, log_requests, set_tenant
from engine.facts.kept import VERSION
from engine.senses import Senses
from engine.sentences.meaning import Meaning
from engine.store.library import MAX_BYTES, Library
from engine.tell.paraphrase import Prompts
from engine.work.embedder import Embedder
from engine.work.fetch import Fetcher
from engine.work.indexer import Indexer
from engine.work.intake import Intake
from engine.work.pool import Pool
from engine.work.recorder import Recorder
from engine.work.vectors import Vectors

# 30 MB of media as base64, and the rest of the request.
MAX_BODY_BYTES = 48 * 1024**2


class Part(Protocol):
    """What opens when the server starts, and closes when it ends."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line says.

    Attributes:
        workers: how many analyses run at once.
        senses: what an analysis hears and reads with.
        meaning: the directory of the weights; None for words only.
        max_bytes: what media and uploads may take in all.
    """

    data_dir: Path
    workers: int
    allow_private_urls: bool = False
    senses: Senses = field(default_factory=Senses)
    meaning: Path | None = None
    max_bytes: int = MAX_BYTES


def create_app(settings: Settings) -> web.Application:
    """Build the application; nothing is opened before it starts."""
    library = Library(settings.data_dir, settings.max_bytes)
    pool = Pool(settings.workers, settings.senses)
    fetcher = Fetcher(settings.allow_private_urls)
    intake = Intake(library, pool, fetcher)
    recorder = Recorder(library, pool, max(1, settings.workers - 1), f"{VERSION}, {settings.senses.name()}")
    meaning = Meaning(settings.meaning)
    vectors = Vectors(library, meaning)
    prompts = Prompts(meaning)
    indexer = Indexer(library, pool, fetcher, recorder, vectors)
    sources = MediaSources(intake, indexer, recorder)
    uploads = MultipartRoutes(library, intake)
    thumbnails = Thumbnails(library, pool)
    hls = Hls(library, pool, thumbnails)
    searches = SearchRoutes(library, pool, fetcher, thumbnails, meaning, vectors)
    embedder = Embedder(library, intake, pool, recorder, meaning, vectors)
    embeddings = EmbedTaskRoutes(library, embedder)
    analyses = AnalyzeTaskRoutes(library, sources, pool, prompts)

    parts: tuple[Part, ...] = (library, pool, intake, uploads, vectors, prompts, indexer, embeddings, analyses)

    async def lifetime(_: web.Application) -> AsyncIterator[None]:
        for part in parts:
            await part.open()
        await searches.open()
        await thumbnails.open()
        await hls.open()
        yield
        for part in reversed(parts):
            await part.close()
        meaning.close()

    app = web.Application(middlewares=[log_requests, set_tenant, errors_as_json], client_max_size=MAX_BODY_BYTES)
    app.cleanup_ctx.append(lifetime)
    app.on_response_prepare.append(add_headers)
    app.add_routes(uploads.routes())  # before the assets, whose ids match its paths
    app.add_routes(AssetRoutes(library, intake).routes())
    app.add_routes(IndexRoutes(library, indexer.delete_index).routes())
    app.add_routes(IndexedAssetRoutes(library, indexer, embedder, hls).routes())
    app.add_routes(TaskRoutes(library, indexer, hls).routes())
    app.add_routes(searches.routes())
    app.add_routes(thumbnails.routes())
    app.add_routes(hls.routes())
    app.add_routes(EmbedRoutes(library, embedder).routes())
    app.add_routes(embeddings.routes())
    app.add_routes(EntityRoutes(library).routes())
    app.add_routes(analyses.routes())
    app.add_routes(AnalyzeRoute(sources, pool, prompts).routes())
    return app
