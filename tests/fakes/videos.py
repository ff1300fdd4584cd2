"""An upstream with one video in an index: its playlist and pieces over HLS, and an analysis that says what a test says."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.fakes.upstream import end, start, text

INDEX, VIDEO, ASSET = "i1", "v1", "a1"
PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10.0,\n0.ts\n#EXTINF:4.5,\n1.ts\n#EXT-X-ENDLIST\n"


@dataclass
class VideoUpstream:
    """The upstream and what it holds.

    Attributes:
        row: the video's row in its index; ``hls`` is added where it has none.
        files: what stands below ``/v1.3/hls/``, by name.
    """

    url: str = ""
    row: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=lambda: {"t/index.m3u8": PLAYLIST.encode()})
    asked: list[str] = field(default_factory=list)
    _says: "asyncio.Queue[bytes | None]" = field(default_factory=asyncio.Queue)

    def say(self, more: str) -> None:
        """Let the analysis go on."""
        self._says.put_nowait(text(more))

    def end(self) -> None:
        """Let the analysis end."""
        self._says.put_nowait(end())
        self._says.put_nowait(None)

    async def analyze(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(start())
        while (line := await self._says.get()) is not None:
            await response.write(line)
        return response

    async def read(self, request: web.Request) -> web.StreamResponse:
        path = request.path.removeprefix("/v1.3")
        self.asked.append(path)
        if path.startswith("/hls/"):
            body = self.files.get(path.removeprefix("/hls/"))
            return web.Response(body=body) if body is not None else web.Response(status=404)
        told = self._lists().get(path)
        return web.json_response(told) if told else web.json_response({"code": "resource_not_exist"}, status=404)

    def _lists(self) -> Mapping[str, Any]:
        streamed = {"hls": {"status": "COMPLETE", "video_url": f"{self.url}/hls/t/index.m3u8"}}
        return {
            "/indexes": {"data": [{"_id": "i0"}, {"_id": INDEX}]},
            f"/assets/{ASSET}/indexed-assets": {"data": [{"_id": VIDEO, "index": {"_id": INDEX}}]},
            f"/indexes/{INDEX}/indexed-assets/{VIDEO}": {"_id": VIDEO} | streamed | self.row,
        }


@asynccontextmanager
async def video_upstream() -> AsyncIterator[VideoUpstream]:
    """It, on a port of its own."""
    upstream = VideoUpstream()
    app = web.Application()
    app.router.add_post("/v1.3/analyze", upstream.analyze)
    app.router.add_get("/v1.3/{path:.*}", upstream.read)
    runner = web.AppRunner(app, handler_cancellation=True)  # of analyses that nobody ended
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    upstream.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1.3"
    try:
        yield upstream
    finally:
        await runner.cleanup()
