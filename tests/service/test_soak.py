"""Thousands of analyses with random readers, leavings, resumes, cancels and upstream faults in one process."""

import asyncio
import gc
import hashlib
import random
import resource
from contextlib import suppress
from dataclasses import replace
from typing import Any

import aiohttp
import orjson
import pytest

from service.web import keys
from tests.fakes.service import Service, Serving
from tests.fakes.upstream import Cut, Play, end, start, text
from tests.fakes.waiting import until

KINDS = ("whole", "whole", "whole", "cut", "truncated", "junk", "error", "refused")


def play(choice: random.Random) -> tuple[Play, str]:
    """One upstream answer, and the text that must come of it."""
    parts = [f"{choice.random()} – 🎬 " for _ in range(choice.randint(1, 20))]
    steps: list[Any] = [start(), *[text(part) for part in parts]]
    match choice.choice(KINDS):
        case "whole":
            steps.append(end())
        case "cut":
            steps.append(Cut())
        case "junk":
            steps.append(b"junk\n")
        case "error":
            steps.append(b'{"code":"c","message":"m"}\n')
        case "refused":
            return Play([b"{}"], 400), ""
    return Play(steps), "".join(parts)


async def watch(service: Service, stream: str, seed: int) -> tuple[str, dict[str, Any] | None]:
    """Read over a random transport, leaving and resuming at random; the text and the ending seen."""
    choice = random.Random(seed)
    shown, cursor, ending = "", None, None
    for attempt in range(6):
        leave_after = choice.randint(1, 4) if attempt < 5 and choice.random() < 0.5 else None
        query = f"?cursor={cursor}" if cursor else ""
        async for message in messages(service, stream, query, choice.choice(["ws", "events", "ndjson"])):
            if message["type"] == "attached" and message["mode"] == "snapshot":
                shown = ""
            if message["type"] in ("attached", "delta"):
                assert message["from"] == len(shown.encode())
                shown += message["text"]
                cursor = f"{message.get('gen', 1)}.{message['to']}"
            if message["type"] == "end":
                assert ending is None
                ending = message
            if leave_after is not None and (leave_after := leave_after - 1) <= 0:
                break
        if ending is not None:
            return shown, ending
    return shown, ending


async def messages(service: Service, stream: str, query: str, kind: str):
    url = f"{service.url}/v1/streams/{stream}/{kind}{query}"
    if kind == "ws":
        async with service.http.ws_connect(url) as socket:
            async for frame in socket:
                yield orjson.loads(frame.data)
        return
    async with service.http.get(url) as answer:
        async for line in answer.content:
            line = line.removeprefix(b"data: ").strip()
            if line.startswith(b"{"):
                yield orjson.loads(line)


async def one(service: Service, seed: int) -> None:
    choice = random.Random(seed)
    script, whole = play(choice)
    service.upstream.scripts[str(seed)] = script
    stream = await service.start(prompt=str(seed))
    readers = [asyncio.create_task(watch(service, stream, seed * 10 + n)) for n in range(choice.randint(0, 3))]
    if choice.random() < 0.15:
        for _ in range(choice.randint(0, 5)):
            await asyncio.sleep(0)
        async with service.http.delete(f"{service.url}/v1/streams/{stream}") as answer:
            assert answer.status in (200, 202)
    if choice.random() < 0.2:
        with suppress(aiohttp.ClientPayloadError, asyncio.CancelledError, aiohttp.ServerDisconnectedError):
            async with service.analyze(prompt=f"{seed}") as answer:
                if choice.random() < 0.5:
                    answer.close()
                else:
                    await answer.read()
    shown = await service.show(stream, "?wait=20")
    assert shown["ended_at"] is not None
    for text_seen, ending in await asyncio.gather(*readers):
        if ending is not None:
            assert text_seen == shown["text"]
            assert ending["sha256"] == shown["sha256"] == hashlib.sha256(text_seen.encode()).hexdigest()
            assert ending["status"] == shown["status"]
        else:
            assert shown["text"].startswith(text_seen)
    assert whole.startswith(shown["text"])
    assert shown["status"] != "completed" or shown["text"] == whole


async def soak(service: Service, count: int, at_once: int) -> None:
    waiting = asyncio.Semaphore(at_once)

    async def bounded(service: Service, seed: int) -> None:
        async with waiting:
            await one(service, seed)

    # Bodies that end close their connection, and a pool may hand it out before it has seen that.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http:
        client = replace(service, http=http)
        await asyncio.gather(*(bounded(client, seed) for seed in range(count)))
    async with asyncio.timeout(10):
        await until(lambda: not (service.hub.running or service.upstream.open or len(service.app[keys.CONNECTIONS])))
    pumps = [task for task in asyncio.all_tasks() if task.get_name().startswith("pump")]
    assert not pumps


async def test_a_hundred_analyses_in_disorder_leave_nothing_behind(serving: Serving):
    async with serving(Play([])) as service:
        await soak(service, 100, 40)


@pytest.mark.slow
async def test_ten_thousand_analyses_in_disorder_leave_nothing_behind(serving: Serving):
    async with serving(Play([]), max_kept_bytes=4 << 20, max_kept_bytes_per_tenant=4 << 20) as service:
        asyncio.get_running_loop().set_debug(False)
        await soak(service, 2000, 60)
        gc.collect()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(4):
            await soak(service, 2000, 60)
        gc.collect()
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown < 30_000, f"{grown} KiB more after 8,000 more analyses"
