"""The bare peer: aiohttp that passes the bytes of one streamed answer on, and does nothing else.

proxy_aiohttp.py PORT UPSTREAM_PORT
"""

import asyncio
import sys

import aiohttp
import uvloop
from aiohttp import web


async def serve(port: int, upstream: int) -> None:
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False)

    async def pass_on(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        body = await request.read()
        async with session.post(f"http://127.0.0.1:{upstream}{request.path_qs}", data=body) as response:
            await answer.prepare(request)
            async for data in response.content.iter_any():
                await answer.write(data)
        await answer.write_eof()
        return answer

    app = web.Application()
    app.router.add_post("/{path:.*}", pass_on)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=4096).start()
    await asyncio.Future()


uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2])))
