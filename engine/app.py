"""The server put together: who owns what, and in which order it opens and closes."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from aiohttp import web

from engine.api.analyze import AnalyzeRoute
from engine.api.analyze_tasks import AnalyzeTaskRoutes
from engine.api.assets import AssetRoutes
from engine.api.embed import EmbedRoutes
from engine.api.embed_tasks import EmbedTaskRoutes
from engine.api.entities import EntityRoutes
from engine.api.hls import HlsRoutes
from engine.api.indexed_assets import IndexedAssetRoutes
from engine.api.indexes import IndexRoutes
from engine.api.multipart import MultipartRoutes
from engine.api.search import SearchRoutes
from engine.api.tasks import TaskRoutes
from engine.api.thumbnails import ThumbnailRoutes
from engine.api.web import add_headers, errors_as_json, log_requests, set_tenant
from engine.facts.kept import VERSION
from engine.senses import Senses
from engine.sentences.meaning import Meaning
from engine.store.library import MAX_BYTES, Library
from engine.store.store import Store
from engine.tell.paraphrase import Prompts
from engine.work.analysis import MediaSources
from engine.work.analyze_tasks import AnalyzeWork
from engine.work.embed_tasks import EmbedWork
from engine.work.embedder import Embedder
from engine.work.fetch import Fetcher
from engine.work.hls import Hls
from engine.work.indexer import Indexer
from engine.work.intake import Intake
from engine.work.pool import Pool
from engine.work.recorder import Recorder
from engine.work.search import Searcher
from engine.work.thumbnails import Thumbnails
from engine.work.uploads import UploadSessions
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
    store = Store(library)
    intake = Intake(store, pool, fetcher)
    recorder = Recorder(store, pool, max(1, settings.workers - 1), f"{VERSION}, {settings.senses.name()}")
    meaning = Meaning(settings.meaning)
    vectors = Vectors(library, meaning)
    prompts = Prompts(meaning)
    indexer = Indexer(store, pool, fetcher, recorder, vectors)
    sources = MediaSources(intake, indexer, recorder)
    sessions = UploadSessions(store, intake)
    thumbnails = Thumbnails(store, pool)
    hls = Hls(store, pool, thumbnails)
    searches = SearchRoutes(store, Searcher(store, pool, fetcher, vectors), thumbnails, meaning)
    embedder = Embedder(store, intake, pool, recorder, meaning, vectors)
    embeddings = EmbedWork(store, embedder)
    analyses = AnalyzeWork(store, sources, pool, prompts)

    parts: tuple[Part, ...] = (library, pool, intake, sessions, vectors, prompts, indexer, embeddings, analyses)

    async def lifetime(_: web.Application) -> AsyncIterator[None]:
        async with AsyncExitStack() as opened:
            opened.callback(meaning.close)
            for part in parts:
                await part.open()
                opened.push_async_callback(part.close)
            for addressed in (searches, thumbnails, hls):
                await addressed.open()
            yield

    app = web.Application(middlewares=[log_requests, set_tenant, errors_as_json], client_max_size=MAX_BODY_BYTES)
    app.cleanup_ctx.append(lifetime)
    app.on_response_prepare.append(add_headers)
    # Before the assets, whose ids match its paths.
    app.add_routes(MultipartRoutes(library, store.uploads, sessions).routes())
    app.add_routes(AssetRoutes(library, store.assets, intake).routes())
    app.add_routes(IndexRoutes(store.indexes, indexer.delete_index).routes())
    app.add_routes(IndexedAssetRoutes(store, indexer, embedder, hls).routes())
    app.add_routes(TaskRoutes(store, indexer, hls).routes())
    app.add_routes(searches.routes())
    app.add_routes(ThumbnailRoutes(thumbnails).routes())
    app.add_routes(HlsRoutes(hls).routes())
    app.add_routes(EmbedRoutes(library, embedder).routes())
    app.add_routes(EmbedTaskRoutes(library, store.embed_tasks, embeddings).routes())
    app.add_routes(EntityRoutes(store.collections, store.entities, store.assets).routes())
    app.add_routes(AnalyzeTaskRoutes(store.analyze_tasks, analyses).routes())
    app.add_routes(AnalyzeRoute(sources, pool, prompts).routes())
    return app
