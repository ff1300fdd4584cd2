"""What two nodes send to Redis for 100 streams of 50 fragments a second and 1,000 readers."""

import asyncio
import time
from collections import Counter

import aiohttp

from bench.rig import cpu
from bench.store.figures import Goal, Measure
from bench.store.rig import Monitor, Readers, Upstream, node, start, store

STREAMS, READERS, EVERY_S, SECONDS = 100, 1000, 0.02, 6
WINDOWS = (0, 20, 50, 100)


async def sent(window: int) -> tuple[float, float, Counter[str]]:
    """Commands a second, percent of a core of both nodes, and what was sent most."""
    with store(f"redis {window} ms") as settings, Readers() as readers:
        path = settings["FANLIGHT_STORE"].removeprefix("unix://")
        # 1,000 readers take a while; no stream must end before the measure has.
        async with Upstream(900, EVERY_S) as upstream:
            # On no core of their own: two nodes want more than one.
            async with node(settings, upstream.port, None) as one, node(settings, upstream.port, None) as two:
                async with aiohttp.ClientSession() as http:
                    starts = (start(http, (one, two)[number % 2], str(number)) for number in range(STREAMS))
                    for stream in await asyncio.gather(*starts):
                        for reader in range(READERS // STREAMS):
                            await asyncio.to_thread(readers.open, (one, two)[reader % 2], stream)
                await asyncio.sleep(2)
                async with Monitor(path) as monitor:
                    written, read = upstream.written, readers.bytes
                    used, began = cpu(one.pid) + cpu(two.pid), time.perf_counter()
                    await asyncio.sleep(SECONDS)
                    took = time.perf_counter() - began
                    told, used = Counter(monitor.sent), cpu(one.pid) + cpu(two.pid) - used
                written, read = upstream.written - written, readers.bytes - read
                assert written / took / STREAMS * EVERY_S > 0.95, "the upstream did not keep its pace"
                # 14 bytes a fragment at least, so that many were read by all.
                assert read > written * 14 * READERS / STREAMS * 0.9, "readers were left behind"
    return sum(told.values()) / took, used / took * 100, told


async def measure(rounds: int) -> tuple[list[Measure], list[Goal]]:
    """Row 5 of the contract's figures."""
    rate = Measure("commands to Redis, 100 streams, 2 nodes, 1,000 readers", "1/s")
    spent = Measure("the same: CPU of both nodes", "% of a core")
    for _ in range(rounds):
        for window in WINDOWS:
            commands, used, told = await sent(window)
            rate.add(f"window {window} ms", commands)
            spent.add(f"window {window} ms", used)
            most = ", ".join(f"{name} {count / SECONDS:,.0f}" for name, count in told.most_common(6))
            print(f"window {window} ms, a second: {most}", flush=True)
    goals = [
        Goal(f"commands to Redis a second, window {window} ms", 4000, 1000, rate.seen[f"window {window} ms"], "{:,.0f}")
        for window in WINDOWS
    ]
    return [rate, spent], goals
