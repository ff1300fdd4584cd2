"""A server of files at an origin that is not the service's."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web


@asynccontextmanager
async def another_origin(files: dict[str, Path]) -> AsyncIterator[str]:
    """A server of the directory ``at``, whose place is known later than its address."""

    async def file(request: web.Request) -> web.FileResponse:
        return web.FileResponse(files["at"] / (request.match_info["path"] or "index.html"))

    app = web.Application()
    app.router.add_get("/{path:.*}", file)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
