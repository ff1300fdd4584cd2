"""Gigabytes through the service, up and down: is its memory flat?

python bench/gateway/bulk.py [--gib 4]
"""

import argparse
import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
from aiohttp import web

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from rig import cpu, memory, stop, wait_port

SERVICE, UPSTREAM = 9401, 9402
PIECE = b"\0" * (1 << 20)


async def upstream() -> web.AppRunner:
    """Takes any body, and sends as many MiB as it is asked for."""

    async def take(request: web.Request) -> web.Response:
        size = 0
        async for data in request.content.iter_any():
            size += len(data)
        return web.json_response({"bytes": size})

    async def give(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        answer.content_length = int(request.query["mib"]) << 20
        await answer.prepare(request)
        for _ in range(int(request.query["mib"])):
            await answer.write(PIECE)
        return answer

    app = web.Application()
    app.router.add_put("/v1.3/bulk", take)
    app.router.add_get("/v1.3/bulk", give)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", UPSTREAM).start()
    return runner


async def main(mib: int) -> None:
    runner = await upstream()
    settings = {"FANLIGHT_PORT": str(SERVICE), "FANLIGHT_UPSTREAM_URL": f"http://127.0.0.1:{UPSTREAM}/v1.3"}
    settings["FANLIGHT_STORE"] = "memory"
    service = subprocess.Popen([sys.executable, "-m", "service"], env={**os.environ, **settings})
    try:
        await asyncio.to_thread(wait_port, SERVICE, service)
        url = f"http://127.0.0.1:{SERVICE}/v1.3/bulk"
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(timeout=timeout) as session:

            async def up() -> None:
                async def pieces():
                    for _ in range(mib):
                        yield PIECE

                async with session.put(url, data=pieces(), headers={"Content-Length": str(mib << 20)}) as answer:
                    assert (await answer.json())["bytes"] == mib << 20

            async def down() -> None:
                async with session.get(f"{url}?mib={mib}") as answer:
                    size = 0
                    async for data in answer.content.iter_any():
                        size += len(data)
                    assert size == mib << 20

            print(
                "| direction | MiB | s | CPU s | memory before | most | after (MiB) |\n|---|---:|---:|---:|---:|---:|---:|"
            )
            for name, transfer in (("up", up), ("down", down)):
                before, spent, began = memory(service.pid), cpu(service.pid), time.monotonic()
                most, task = before, asyncio.ensure_future(transfer())
                while not task.done():
                    most = max(most, memory(service.pid))
                    await asyncio.sleep(0.05)
                await task
                figures = [before, most, memory(service.pid)]
                took, spent = time.monotonic() - began, cpu(service.pid) - spent
                print(
                    f"| {name} | {mib} | {took:.1f} | {spent:.1f} | {' | '.join(f'{f / 2**20:.1f}' for f in figures)} |"
                )
    finally:
        stop(service)
        await runner.cleanup()


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--gib", type=float, default=4.0)
asyncio.run(main(int(parser.parse_args().gib * 1024)))
