"""What keeping costs: the stores beside each other in one run.

    python -m bench.store [--only WORD] [--streams 100000]

Each row is one process of the service, in front of an upstream of the bench's own, with one store
after the other; loopback only. *Publish to receipt* is from the upstream's write of a fragment to
its receipt by one WebSocket reader.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import orjson

from bench.pauses import free_port
from bench.rig import ROOT, cpu, stop, wait_port
from service.store.contract import Begun, Ended, Grown
from service.store.sqlite import SqliteStore

STORES = ("memory", "sqlite")


class Upstream:
    """Answers each call with fragments at a pace; a fragment's text is when it was written."""

    def __init__(self, fragments: int, every_s: float) -> None:
        self._fragments, self._every_s = fragments, every_s
        self.port = free_port()

    async def __aenter__(self) -> "Upstream":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            size = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(size)
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
            began = time.perf_counter()
            for number in range(self._fragments):
                await asyncio.sleep(max(0.0, began + number * self._every_s - time.perf_counter()))
                event = {"event_type": "text_generation", "text": f"{time.perf_counter():.7f} "}
                writer.write(orjson.dumps(event) + b"\n")
            writer.write(b'{"event_type":"stream_end","finish_reason":"stop"}\n')
        writer.close()


@asynccontextmanager
async def service(store: str, upstream: int, folder: Path) -> AsyncIterator[tuple[str, int]]:
    """The service with a store; its address and process."""
    port = free_port()
    settings = {
        "FANLIGHT_PORT": str(port),
        "FANLIGHT_UPSTREAM_URL": f"http://127.0.0.1:{upstream}/v1.3",
        "FANLIGHT_LOG_LEVEL": "warning",
        "FANLIGHT_STORE": "memory" if store == "memory" else f"sqlite:{folder}/streams.db",
        "FANLIGHT_DRAIN_S": "1",
    }
    process = subprocess.Popen([sys.executable, "-m", "service"], cwd=ROOT, env=os.environ | settings)
    try:
        assert await asyncio.to_thread(wait_port, port, process)
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        await asyncio.to_thread(stop, process)


async def receipt(store: str, folder: Path) -> tuple[float, str]:
    """Milliseconds from publish to receipt, at 50 fragments a second."""
    waits: list[float] = []
    async with Upstream(300, 0.02) as upstream, service(store, upstream.port, folder) as (url, _):
        async with aiohttp.ClientSession() as http, http.ws_connect(f"{url}/v1/ws") as socket:
            await socket.send_json({"type": "start", "request": {"prompt": "p"}})
            async for frame in socket:
                now, message = time.perf_counter(), orjson.loads(frame.data)
                waits += [now - float(word) for word in message.get("text", "").split()]
                if message["type"] == "end":
                    break
    waits.sort()
    return statistics.median(waits) * 1000, f"p99 {waits[int(len(waits) * 0.99)] * 1000:.2f}"


async def many(store: str, folder: Path) -> tuple[float, str]:
    """Percent of a core with 100 streams of 50 fragments a second and a reader each."""
    async with Upstream(500, 0.02) as upstream, service(store, upstream.port, folder) as (url, pid):
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as http:

            async def one(number: int) -> int:
                async with http.post(f"{url}/v1/streams", json={"prompt": str(number)}) as answer:
                    stream = (await answer.json())["id"]
                async with http.get(f"{url}/v1/streams/{stream}/text") as answer:
                    return len((await answer.read()).split())

            readers = [asyncio.create_task(one(number)) for number in range(100)]
            await asyncio.sleep(2)
            before, began = cpu(pid), time.perf_counter()
            await asyncio.sleep(6)
            used = (cpu(pid) - before) / (time.perf_counter() - began)
            assert await asyncio.gather(*readers) == [500] * 100
    return used * 100, ""


async def ready(store: str, folder: Path, streams: int) -> tuple[float, str]:
    """Seconds from the start of the process to ready, with many kept streams of 40 KiB."""
    if store != "memory":
        kept = SqliteStore(folder / "streams.db")
        await kept.open()
        block, meta = b"x" * 4000, b"{}" * 200
        for start in range(0, streams, 500):
            changes = [
                change
                for number in range(start, min(streams, start + 500))
                for change in (
                    Begun(f"st_{number}", "t", 1.0, meta, None),
                    *(Grown(f"st_{number}", block) for _ in range(10)),
                    Ended(f"st_{number}", b"{}", "completed", 1.0, 4e9, b"i%d" % number),
                )
            ]
            await kept.commit(changes)
        await kept.close()
    began = time.perf_counter()
    async with service(store, 9, folder) as (url, _):
        await asyncio.to_thread(lambda: urllib.request.urlopen(url + "/readyz", timeout=60).read())
        took = time.perf_counter() - began
    size = sum(path.stat().st_size for path in folder.iterdir())
    return took, f"{size / 2**30:.1f} GiB"


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="")
    parser.add_argument("--streams", type=int, default=100_000)
    asked = parser.parse_args()
    measures: dict[str, Callable[[str, Path], object]] = {
        "publish to receipt, one reader, p50 ms": receipt,
        "100 streams of 50 fragments/s, % of a core": many,
        f"start to ready with {asked.streams:,} kept streams, s": lambda store, folder: ready(
            store, folder, asked.streams
        ),
    }
    print("| measure | " + " | ".join(STORES) + " |\n|---|" + "---|" * len(STORES))
    for name, measure in measures.items():
        if asked.only not in name:
            continue
        cells = []
        for store in STORES:
            with tempfile.TemporaryDirectory() as folder:
                value, more = await measure(store, Path(folder))  # type: ignore[misc]
                cells.append(f"{value:.2f}{f' ({more})' if more else ''}")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
