"""An upstream for the page: it holds assets, takes files, and its analyses say what the test says."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.fakes.upstream import end, start, text
from tests.fakes.waiting import until

CHUNK_BYTES = 3 << 20
INDEX = {"_id": "i1", "index_name": "fanlight-page"}


@dataclass
class Analysis:
    """One analysis that runs, and goes on when it is told to."""

    body: dict[str, Any]
    _steps: "asyncio.Queue[bytes | None]" = field(default_factory=asyncio.Queue)

    @property
    def prompt(self) -> str:
        return self.body["prompt"]

    def say(self, more: str) -> None:
        """Let its text grow."""
        self._steps.put_nowait(text(more))

    def end(self, reason: str = "stop") -> None:
        """Let it end well."""
        self._steps.put_nowait(end(reason))
        self.stop()

    def stop(self) -> None:
        """Let its bytes end here, whether or not its end was said."""
        self._steps.put_nowait(None)

    async def play(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(start())
        while (line := await self._steps.get()) is not None:
            await response.write(line)
        return response


@dataclass
class Library:
    """The upstream and what came to it.

    Attributes:
        public: the service's address, under which chunks of files are taken.
        assets: rows by their ids; what is sent to it becomes a row.
        failing: what makes a file unusable, as the row's ``error``.
        refusal: status and body with which every analysis is refused.
        hits: what every search finds.
        chunks: the numbers of the chunks that came, in their order.
    """

    url: str = ""
    public: str = ""
    assets: dict[str, dict[str, Any]] = field(default_factory=dict)
    failing: dict[str, str] | None = None
    refusal: tuple[int, dict[str, str]] | None = None
    hits: list[dict[str, Any]] = field(default_factory=list)
    analyses: list[Analysis] = field(default_factory=list)
    chunks: list[int] = field(default_factory=list)
    indexed: list[str] = field(default_factory=list)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    _total: int = 0

    async def asked(self, words: str) -> Analysis:
        """The analysis whose prompt has these words, once it runs."""
        await until(lambda: any(words in each.prompt for each in self.analyses))
        return [each for each in self.analyses if words in each.prompt][-1]

    def hold(self, name: str) -> str:
        """Have an asset; its id."""
        asset = f"a{next(self._numbers)}"
        status = {"status": "failed", "error": self.failing} if self.failing else {"status": "ready"}
        row = {"_id": asset, "method": "direct", "filename": name, "created_at": "2026-11-26T03:43:44Z"}
        self.assets[asset] = row | status
        return asset

    async def analyze(self, request: web.Request) -> web.StreamResponse:
        if self.refusal is not None:
            status, told = self.refusal
            return web.json_response(told, status=status)
        analysis = Analysis(await request.json())
        self.analyses.append(analysis)
        return await analysis.play(request)

    async def list(self, request: web.Request) -> web.Response:
        return web.json_response({"data": list(self.assets.values())})

    async def show(self, request: web.Request) -> web.Response:
        row = self.assets.get(request.match_info["id"])
        absent = {"code": "resource_not_exist", "message": "There is no such asset."}
        return web.json_response(row) if row else web.json_response(absent, status=404)

    async def take(self, request: web.Request) -> web.Response:
        form = await request.post()
        return web.json_response(self.assets[self.hold(str(form["filename"]))], status=201)

    async def begin(self, request: web.Request) -> web.Response:
        asked = await request.json()
        self._total = -(-asked["total_size"] // CHUNK_BYTES)
        return web.json_response(
            {
                "upload_id": "u1",
                "asset_id": self.hold(asked["filename"]),
                "upload_urls": [self._address(1)],
                "chunk_size": CHUNK_BYTES,
                "total_chunks": self._total,
            },
            status=201,
        )

    def _address(self, number: int) -> dict[str, Any]:
        return {"chunk_index": number, "url": f"{self.public}/v1.3/multipart-chunks/u1/{number}"}

    async def addresses(self, request: web.Request) -> web.Response:
        first = (await request.json())["start"]
        return web.json_response({"upload_urls": [self._address(n) for n in range(first, self._total + 1)]})

    async def take_chunk(self, request: web.Request) -> web.Response:
        await request.read()
        self.chunks.append(int(request.match_info["number"]))
        return web.Response(headers={"ETag": f'"{self.chunks[-1]}"'})

    async def report(self, request: web.Request) -> web.Response:
        return web.json_response({"processed_chunks": len((await request.json())["completed_chunks"])})

    async def indexes(self, request: web.Request) -> web.Response:
        return web.json_response({"data": [INDEX]})

    async def videos(self, request: web.Request) -> web.Response:
        rows = [
            {"_id": f"v{asset}", "asset_id": asset, "system_metadata": {"filename": row["filename"]}}
            for asset, row in self.assets.items()
        ]
        return web.json_response({"data": rows})

    async def search(self, request: web.Request) -> web.Response:
        return web.json_response({"data": self.hits, "search_pool": {"total_count": len(self.assets)}})

    def routes(self) -> "list[web.RouteDef]":
        uploads = "/v1.3/assets/multipart-uploads"
        return [
            web.post("/v1.3/analyze", self.analyze),
            web.get("/v1.3/assets", self.list),
            web.post("/v1.3/assets", self.take),
            web.post(uploads, self.begin),
            web.post(uploads + "/u1", self.report),
            web.post(uploads + "/u1/presigned-urls", self.addresses),
            web.put("/v1.3/multipart-chunks/u1/{number}", self.take_chunk),
            web.get("/v1.3/assets/{id}", self.show),
            web.get("/v1.3/indexes", self.indexes),
            web.get("/v1.3/indexes/i1/indexed-assets", self.videos),
            web.post("/v1.3/search", self.search),
        ]


@asynccontextmanager
async def library() -> AsyncIterator[Library]:
    """It, on a port of its own."""
    held = Library()
    app = web.Application(client_max_size=64 << 20)
    app.router.add_routes(held.routes())
    runner = web.AppRunner(app, handler_cancellation=True)  # of analyses that nobody ended
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    held.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1.3"
    try:
        yield held
    finally:
        await runner.cleanup()
