"""The parts of the server put together: which part owns which, and in which order they open and close."""

from collections.abc import AsyncIterator, Iterator
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
from engine.api.figures import FiguresRoute
from engine.api.hls import HlsRoutes
from engine.api.indexed_assets import IndexedAssetRoutes
from engine.api.indexes import IndexRoutes
from engine.api.multipart import MultipartRoutes
from engine.api.search import SearchRoutes
from engine.api.tasks import TaskRoutes
from engine.api.thumbnails import ThumbnailRoutes
from engine.api.web import add_headers, errors_as_json, log_requests, refuse_encoded, set_tenant
from engine.facts.kept import VERSION
from engine.senses import Senses, sense_with
from engine.sentences.meaning import Meaning
from engine.store.library import MAX_BYTES, Library
from engine.store.store import Store
from engine.tell.paraphrase import Prompts
from engine.work.analysis import MediaSources
from engine.work.analyze_tasks import AnalyzeWork
from engine.work.answers import Answers
from engine.work.embed_tasks import EmbedWork
from engine.work.embedder import Embedder
from engine.work.fetch import Fetcher
from engine.work.hls import Hls
from engine.work.indexer import Indexer
from engine.work.intake import Intake
from engine.work.model import Model, ModelSettings
from engine.work.pool import Pool
from engine.work.recorder import Recorder
from engine.work.search import Searcher
from engine.work.thumbnails import Thumbnails
from engine.work.uploads import UploadSessions
from engine.work.vectors import Vectors

# 30 MB of media as base64, and the rest of the request.
MAX_BODY_BYTES = 48 * 1024**2


MIDDLEWARES = (log_requests, refuse_encoded, set_tenant, errors_as_json)


class Part(Protocol):
    """What opens when the server starts, and closes when it ends."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line says.

    Attributes:
        workers: the number of analyses that run at once.
        senses: what an analysis hears and reads with.
        meaning: the directory of the weights; None for words only.
        max_bytes: the bytes that media and uploads may take in all.
        model: what answers analyses in the measured answers' place.
    """

    data_dir: Path
    workers: int
    allow_private_urls: bool = False
    senses: Senses = field(default_factory=Senses)
    meaning: Path | None = None
    max_bytes: int = MAX_BYTES
    model: ModelSettings | None = None


class Engine:
    """All parts of one server; nothing is opened before it starts."""

    def __init__(self, settings: Settings) -> None:
        self.library = library = Library(settings.data_dir, settings.max_bytes)
        self.store = store = Store(library)
        sense_with(settings.senses)
        self.pool = pool = Pool(settings.workers, settings.senses)
        self.fetcher = fetcher = Fetcher(settings.allow_private_urls)
        self.meaning = meaning = Meaning(settings.meaning)
        version = f"{VERSION}, {settings.senses.name()}"
        self.recorder = recorder = Recorder(store, pool, max(1, settings.workers - 1), version)
        self.vectors = vectors = Vectors(library, meaning)
        self.prompts = prompts = Prompts(meaning)
        self.intake = intake = Intake(store, pool, fetcher)
        self.sessions = UploadSessions(store, intake)
        self.indexer = indexer = Indexer(store, pool, fetcher, recorder, vectors)
        self.thumbnails = thumbnails = Thumbnails(store, pool)
        self.hls = Hls(store, pool, thumbnails)
        self.embedder = embedder = Embedder(store, intake, pool, recorder, meaning, vectors)
        self.embeddings = EmbedWork(store, embedder)
        self.sources = sources = MediaSources(intake, indexer, recorder)
        self.model = Model(settings.model, pool, recorder) if settings.model else None
        self.answers = answers = Answers(pool, prompts, self.model)
        self.analyses = AnalyzeWork(store, sources, answers)
        self.searches = SearchRoutes(store, Searcher(store, pool, fetcher, vectors), thumbnails, meaning)

    async def lifetime(self, _: web.Application) -> AsyncIterator[None]:
        """Open the parts, and close what is open, the last first."""
        parts: tuple[Part, ...] = (
            *(self.library, self.pool, self.intake, self.sessions, self.vectors, self.prompts),
            *((self.model,) if self.model else ()),
            *(self.indexer, self.embeddings, self.analyses),
        )
        async with AsyncExitStack() as opened:
            opened.callback(self.meaning.close)
            for part in parts:
                await part.open()
                opened.push_async_callback(part.close)
            for addressed in (self.searches, self.thumbnails, self.hls):
                await addressed.open()
            yield

    def routes(self) -> Iterator[web.RouteDef]:
        """Yield all routes; uploads come before the assets, whose ids match their paths."""
        store = self.store
        yield from MultipartRoutes(self.library, store.uploads, self.sessions).routes()
        yield from AssetRoutes(self.library, store.assets, self.intake).routes()
        yield from IndexRoutes(store.indexes, self.indexer.delete_index).routes()
        yield from IndexedAssetRoutes(store, self.indexer, self.embedder, self.hls).routes()
        yield from TaskRoutes(store, self.indexer, self.hls).routes()
        yield from self.searches.routes()
        yield from ThumbnailRoutes(self.thumbnails).routes()
        yield from HlsRoutes(self.hls).routes()
        yield from EmbedRoutes(self.library, self.embedder).routes()
        yield from EmbedTaskRoutes(self.library, store.embed_tasks, self.embeddings).routes()
        yield from EntityRoutes(store.collections, store.entities, store.assets).routes()
        yield from AnalyzeTaskRoutes(store.analyze_tasks, self.analyses).routes()
        yield from AnalyzeRoute(self.sources, self.answers).routes()
        yield from FiguresRoute(self.model.turns if self.model else None).routes()


def create_app(settings: Settings) -> web.Application:
    """Build the application."""
    engine = Engine(settings)
    app = web.Application(middlewares=MIDDLEWARES, client_max_size=MAX_BODY_BYTES)
    app.cleanup_ctx.append(engine.lifetime)
    app.on_response_prepare.append(add_headers)
    app.add_routes(engine.routes())
    return app
