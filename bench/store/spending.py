"""CPU: of a delivery to 1,000 readers, of 100 streams at once, and of two workers against one process."""

import asyncio
import re
import threading
import time
import urllib.request
from contextlib import suppress

import aiohttp

from bench.fanout.run import HERE, PEERS, WS, Server, loaded
from bench.rig import build, cpu
from bench.store.figures import Goal, Measure
from bench.store.rig import Readers, Upstream, node, start, store

READERS = 1000
# One fragment outstanding: none can be joined with the next one.
LOAD = ["--window", "1", "--duration", "3"]
STREAMS, FRAGMENTS, EVERY_S = 100, 500, 0.02


def metrics(name: str) -> list[float]:
    """A metric of all workers of the server under load."""
    text = urllib.request.urlopen(f"http://127.0.0.1:{WS}/metrics", timeout=5).read().decode()
    return [float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE)]


def delivery(name: str, workers: int = 1) -> tuple[float, float]:
    """Microseconds of CPU for one delivery, all processes of the service together, and the share of the fullest one."""
    shares: list[float] = []

    def look() -> None:
        time.sleep(2)
        with suppress(OSError):
            readers = metrics("fanlight_readers")
            shares.append(max(readers) / sum(readers))

    with store(name) as settings, Server("fanlight", {**settings, "FANLIGHT_WORKERS": str(workers)}) as server:
        until = time.monotonic() + 10
        while workers > 1 and sum(metrics("fanlight_worker_up")) < workers and time.monotonic() < until:
            time.sleep(0.1)
        looking = threading.Thread(target=look)
        looking.start()
        found = loaded(server, READERS, LOAD)
        looking.join()
    assert found["missing"] == 0
    return found["us_per_delivery"], shares[0]


async def deliveries(rounds: int) -> tuple[list[Measure], list[Goal]]:
    """Rows 2 and 7 of the contract's figures."""
    build(*(HERE / "gen").glob("*.c"), PEERS / "c_epoll.c")
    seen = Measure(f"CPU for one delivery, {READERS:,} readers, one fragment outstanding", "µs")
    spread = Measure("the fullest worker's share of the readers", "of 1")
    for _ in range(rounds):
        for name in ("memory", "sqlite", "redis"):
            seen.add(name, (await asyncio.to_thread(delivery, name))[0])
        us, share = await asyncio.to_thread(delivery, "redis", 2)
        seen.add("redis, two workers", us)
        spread.add("redis, two workers", share)
    return [seen, spread], [
        Goal("CPU a delivery, sqlite against memory", 1.10, 1.03, seen.against("sqlite", "memory")),
        Goal("CPU a delivery, two workers against one process on redis", 1.15, 1.05,
             seen.against("redis, two workers", "redis")),
    ]  # fmt: skip


async def many(name: str) -> float:
    """Percent of a core with 100 streams of 50 fragments a second and a reader each."""
    with store(name) as settings, Readers() as readers:
        async with Upstream(FRAGMENTS, EVERY_S) as upstream, node(settings, upstream.port) as at:
            async with aiohttp.ClientSession() as http:
                # At once: with a window each start waits for a commit.
                for stream in await asyncio.gather(*(start(http, at, str(number)) for number in range(STREAMS))):
                    readers.open(at, stream)
            await asyncio.sleep(1)
            before, written, began = cpu(at.pid), upstream.written, time.perf_counter()
            await asyncio.sleep(6)
            used, took = cpu(at.pid) - before, time.perf_counter() - began
            pace = (upstream.written - written) / took / STREAMS * EVERY_S
            assert pace > 0.95, f"the upstream kept {pace:.2f} of its pace"
            while upstream.written < STREAMS * FRAGMENTS:
                await asyncio.sleep(0.1)
            await asyncio.sleep(1)
            assert not readers.cut
    return used / took * 100


async def processes(rounds: int) -> tuple[list[Measure], list[Goal]]:
    """Row 3 of the contract's figures."""
    seen = Measure(f"{STREAMS} streams of 50 fragments/s with a reader each", "% of a core")
    for _ in range(rounds):
        for name in ("memory", "sqlite", "sqlite 20 ms", "redis", "redis 50 ms", "redis 100 ms"):
            seen.add(name, await many(name))
    return [seen], [
        Goal(
            f"CPU of a process with {STREAMS} streams, {name} against memory", 1.35, 1.15, seen.against(name, "memory")
        )
        for name in ("sqlite", "sqlite 20 ms")
    ]
