"""What callers and readers saw of each upstream behaviour in the suite, as a table.

python bench/behaviours.py > docs/upstream-behaviours.md
"""

import asyncio
import os
import resource
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
for name in list(os.environ):
    if name.startswith(("FANLIGHT_", "TWELVELABS_")):
        del os.environ[name]

import aiohttp
import structlog

from config.settings import Settings
from service.app import served
from tests.fakes.service import Service
from tests.fakes.upstream import ScriptedServer
from tests.service.behaviours import CASES, Case
from tests.service.test_upstream_behaviours import as_dialect, as_events


def seen(messages: list[dict]) -> str:
    """What a reader of messages ended with."""
    last = messages[-1]
    return f"{last['status']}" if last["type"] == "end" else "no end"


async def row(case: Case) -> str:
    began = time.perf_counter()
    async with ScriptedServer(case.play, raw=case.raw) as upstream:
        settings = Settings(port=0, upstream_url=upstream.url, store="memory", **case.all_settings)
        async with served(settings) as (app, url), aiohttp.ClientSession() as http:
            service = Service(url, http, app, upstream)
            status, clean = await as_dialect(service)
            stream = await service.start(fanlight={"join": "never"})
            (socket, _), events = await asyncio.gather(service.watch(stream), as_events(service, stream))
            late = await service.read(stream)
    ending = socket[-1]
    code = (ending["error"] or {}).get("code") or ""
    took = (time.perf_counter() - began) * 1000
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    body = "clean" if clean and status == 200 else "whole" if clean else "cut"
    return (
        f"| {case.name} | {status}, {body} | {seen(socket)} | {seen(events)} | {seen(late)} "
        f"| {ending['status']} | {code} | {took:,.0f} | {peak:.0f} |"
    )


async def main() -> None:
    print("# Upstream behaviours\n")
    print(
        f"{len(CASES)} behaviours of an upstream, each played through a service of its own by `bench/behaviours.py`; the"
    )
    print(
        "suite asserts every row (`tests/service/test_upstream_behaviours.py`). *Dialect* is the status and the body of a"
    )
    print(
        "streaming `POST /v1.3/analyze`; the other readers came by WebSocket, Server-Sent Events and, after the end, NDJSON."
    )
    print(
        "Clocks were shortened; the time is of the whole row, two runs with their retries; memory is the peak so far, of"
    )
    print("service, upstream and readers in one process.\n")
    print("| the upstream does this | dialect | WebSocket | SSE | late joiner | status | code | ms | peak MiB |")
    print("|---|---|---|---|---|---|---|---:|---:|")
    for case in CASES:
        print(await row(case))


structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
asyncio.run(main())
