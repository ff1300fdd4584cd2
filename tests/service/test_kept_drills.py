"""A hundred kills of one process on SQLite, at random moments, with ten streams and thirty readers that resume."""

import asyncio
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.fakes.resuming import ResumingReader
from tests.fakes.talking import Tale, TalkingServer
from tests.fakes.waiting import until
from tests.service.test_going_down import process

KINDS = ("ws", "events", "ndjson")
STREAMS = 10
KILLS = 100
PATIENCE_S = 30.0


@asynccontextmanager
async def served(upstream: TalkingServer, path: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    async with process(upstream, store=f"sqlite:{path}", node="one", drain_s="1") as running:
        yield running


async def killed(seed: int, folder: Path) -> tuple[list[ResumingReader], float]:
    """One kill; the readers, who have their endings, and the seconds from the start anew to ready."""
    choice, path = random.Random(seed), folder / f"{seed}.db"
    loop = asyncio.get_running_loop()
    async with TalkingServer() as upstream, aiohttp.ClientSession() as http:
        async with served(upstream, path) as (child, url):
            readers = [reader for n in range(STREAMS) for reader in await begin(http, url, upstream, n)]
            tasks = [asyncio.create_task(reader.run()) for reader in readers]
            await asyncio.sleep(choice.uniform(0.0, 0.8))
            child.kill()
            await child.wait()
        began = loop.time()
        async with served(upstream, path) as (_, url):
            took = loop.time() - began
            for reader in readers:
                reader.move([url])
            await until(lambda: all(reader.ending for reader in readers), PATIENCE_S)
            await asyncio.gather(*tasks)
            async with http.get(url + "/v1/streams?status=running") as answer:
                assert (await answer.json())["streams"] == []
            for reader in readers:
                async with http.get(f"{url}/v1/streams/{reader.stream}") as answer:
                    record = await answer.json()
                assert (reader.ending or {})["sha256"] == record["sha256"]
                assert reader.shown.decode() == record["text"]
    return readers, took


async def begin(http: aiohttp.ClientSession, url: str, upstream: TalkingServer, n: int) -> list[ResumingReader]:
    """One stream, every second one to be called again, and three readers of it."""
    upstream.tales[f"tale {n}"] = Tale(40, 0.02)
    body = {"prompt": f"tale {n}", "fanlight": {"restart": n % 2}}
    async with http.post(url + "/v1/streams", json=body) as answer:
        stream = (await answer.json())["id"]
    return [ResumingReader([url], stream, kind) for kind in KINDS]


async def test_a_kill_with_many_streams_costs_no_reader_a_byte(tmp_path: Path):
    readers, _ = await killed(0, tmp_path)
    assert all(reader.is_whole for reader in readers)


@pytest.mark.slow
async def test_a_hundred_kills_cost_no_reader_a_byte(tmp_path: Path):
    differing = lost = cuts = 0
    slowest = 0.0
    for seed in range(KILLS):
        readers, took = await killed(seed, tmp_path)
        differing += sum(not reader.is_whole for reader in readers)
        lost += sum(reader.lost for reader in readers)
        cuts += sum(reader.cuts for reader in readers)
        slowest = max(slowest, took)
    sys.stdout.write(
        f"\n{KILLS} kills, {KILLS * STREAMS * 3} readers: {differing} differing, {lost} bytes lost, "
        f"{cuts} reconnects, ready after {slowest:.2f} s at the latest\n"
    )
    assert (differing, lost) == (0, 0)
