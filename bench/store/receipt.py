"""From the upstream's write of a fragment to its receipt by one WebSocket reader.

All stores are measured at the same time, a few milliseconds apart in each 20, and a reader at
another node reads the same fragments as the one at the owner: a noisy moment hits all.
"""

import asyncio
import gc
from contextlib import AsyncExitStack
from time import perf_counter

import aiohttp
import orjson

from bench.store.figures import Goal, Measure
from bench.store.rig import Node, Upstream, node, start, store

EVERY_S = 0.02
STORES = ("memory", "sqlite", "redis")
OTHER = "redis, at another node"


async def receipts(http: aiohttp.ClientSession, at: Node, stream: str) -> list[float]:
    """Milliseconds of each fragment, in order."""
    waits: list[float] = []
    async with http.ws_connect(f"{at.url}/v1/streams/{stream}/ws") as socket:
        async for frame in socket:
            now, message = perf_counter(), orjson.loads(frame.data)
            waits += [(now - float(word)) * 1000 for word in message.get("text", "").split()]
            if message["type"] == "end":
                break
    return waits


def quantile(values: list[float], share: float) -> float:
    """The value below which a share of them lies."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


async def one_round(fragments: int) -> dict[str, list[float]]:
    """Milliseconds of each fragment, by who read it."""
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        places: dict[str, Node] = {}
        for number, name in enumerate(STORES):
            settings = stack.enter_context(store(name))
            phase_s = EVERY_S * number / len(STORES)
            upstream = await stack.enter_async_context(Upstream(fragments, EVERY_S, phase_s))
            places[name] = await stack.enter_async_context(node(settings, upstream.port))
            if name == "redis":
                places[OTHER] = await stack.enter_async_context(node(settings, upstream.port))
        streams = {name: await start(http, places[name], "p") for name in STORES}
        streams[OTHER] = streams["redis"]
        gc.collect()
        gc.disable()
        tasks = {name: asyncio.create_task(receipts(http, places[name], streams[name])) for name in places}
        found = {name: await task for name, task in tasks.items()}
        gc.enable()
        return found


async def measure(rounds: int) -> tuple[list[Measure], list[Goal]]:
    """Rows 1 and 4 of the contract's figures."""
    middle, tail = Measure("publish to receipt, p50", "ms"), Measure("publish to receipt, p99", "ms")
    added: tuple[list[float], list[float]] = [], []
    for _ in range(rounds):
        found = await one_round(500)
        # What came in one piece when the reader joined says nothing.
        found = {name: waits[50:] for name, waits in found.items()}
        for name, waits in found.items():
            middle.add(name, quantile(waits, 0.5))
            tail.add(name, quantile(waits, 0.99))
        apart = [there - here for there, here in zip(found[OTHER], found["redis"], strict=True)]
        added[0].append(quantile(apart, 0.5))
        added[1].append(quantile(apart, 0.99))
    return [middle, tail], [
        Goal("publish to receipt, sqlite against memory, p50, ms more", 1, 0.3, middle.beyond("sqlite", "memory")),
        Goal("reader at another node, ms later than one at the owner, p50 of all fragments", 3, 1, added[0]),
        Goal("the same, p99 of all fragments", 15, 5, added[1]),
        Goal("the same, p99 there less p99 at the owner", 15, 5, tail.beyond(OTHER, "redis")),
    ]
