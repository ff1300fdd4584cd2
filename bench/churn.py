"""Does it grow old: starts, readers that leave, resumes, cancels and changed keys, for as long as is asked.

    python -m bench.churn [--minutes 60] [--rate 4]

Runs the service as a user does, on SQLite, in front of an upstream of its own, with keys in a
file that change every minute. Prints a line each minute, and at the end what memory did (a line
fitted through the last three quarters), how long a probe waited, and how the streams ended.
"""

import argparse
import asyncio
import os
import random
import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import aiohttp
import orjson

from bench.rig import ROOT, stop, wait_port

TTL_S = 30
WORDS = [
    "the",
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "a",
    "lazy",
    "dog",
    "and",
    "[00:04]",
    "runs",
    "along",
    "the",
    "river",
]


async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each call with some words a second, for one to ten seconds; one in twenty breaks off."""
    with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            size = int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n")
            body = await reader.readexactly(size)
            if b'"prompt":"long"' in body:
                event = orjson.dumps({"event_type": "text_generation", "text": "x" * 120_000}) + b"\n"
                writer.write((b"%x\r\n%b\r\n" % (len(event), event)) * 100)
                await asyncio.sleep(60)
            for _ in range(random.randint(20, 200)):
                event = orjson.dumps({"event_type": "text_generation", "text": random.choice(WORDS) + " "}) + b"\n"
                writer.write(b"%x\r\n%b\r\n" % (len(event), event))
                await writer.drain()
                await asyncio.sleep(0.05)
            if random.random() < 0.05:
                break
            event = b'{"event_type":"stream_end","finish_reason":"stop","metadata":{"usage":{"output_tokens":9}}}\n'
            writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(event), event))
            await writer.drain()
    writer.close()


class Keys:
    """Keys in a file, by the command that operators have."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self.current = self._run("create", "one", "--tenant", "churn", "--scopes", "start,read,cancel,admin")

    def _run(self, *words: str) -> str:
        command = [sys.executable, "-m", "fanlight", "keys", *words]
        return subprocess.run(
            command, env=self._environment, cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout.strip()

    async def change(self) -> None:
        """Make another, use it, and revoke or rotate what was used before."""
        loop = asyncio.get_running_loop()
        name = f"k{secrets.token_hex(4)}"
        scopes = ("--tenant", "churn", "--scopes", "start,read,cancel,admin")
        self.current = await loop.run_in_executor(None, lambda: self._run("create", name, *scopes))
        await asyncio.sleep(3)
        old = getattr(self, "name", "one")
        await loop.run_in_executor(None, lambda: self._run("revoke", old))
        self.name = name


class Churn:
    """What clients do, and what became of it."""

    def __init__(self, url: str, keys: Keys, http: aiohttp.ClientSession) -> None:
        self.url, self.keys, self.http = url, keys, http
        self.seen: Counter[str] = Counter()
        self.waits: list[float] = []

    @property
    def key(self) -> dict[str, str]:
        return {"x-api-key": self.keys.current}

    async def one(self) -> None:
        """Start a stream, read it in some ways, perhaps leave, come back, or cancel it."""
        asked = {"prompt": secrets.token_hex(8), "video_id": "v", "fanlight": {"ttl_s": TTL_S, "channel": "hall"}}
        async with self.http.post(f"{self.url}/v1/streams", json=asked, headers=self.key) as answer:
            self.seen[f"start {answer.status}"] += 1
            if answer.status != 201:
                return
            stream = (await answer.json())["id"]
        readers = [
            self.socket(stream) if random.random() < 0.5 else self.body(stream) for _ in range(random.randint(0, 4))
        ]
        if random.random() < 0.1:
            readers.append(self.cancel(stream))
        await asyncio.gather(*readers)

    async def socket(self, stream: str, cursor: str | None = None) -> None:
        """Read over a WebSocket; one in three leaves, and half of those come back with their cursor."""
        query = {"view": random.choice(["text", "captions", "raw"])} if cursor is None else {"cursor": cursor}
        leaves = random.random() < 0.33
        at = None
        async with self.http.ws_connect(f"{self.url}/v1/streams/{stream}/ws", params=query, headers=self.key) as socket:
            until = time.monotonic() + random.uniform(0.1, 5)
            async for message in socket:
                told = orjson.loads(message.data)
                if told["type"] == "end":
                    self.seen[f"end {told['status']} {(told['error'] or {}).get('code')}"] += 1
                if told["type"] in ("attached", "delta") and query.get("view") == "text":
                    at = f"1.{told['to']}"
                if leaves and time.monotonic() > until:
                    break
            else:
                self.seen[f"close {socket.close_code}"] += 1
        if leaves and at and random.random() < 0.5:
            self.seen["resume"] += 1
            await self.socket(stream, at)

    async def body(self, stream: str) -> None:
        """Read over HTTP; one in three leaves."""
        way = random.choice(["events", "ndjson", "text"])
        with suppress(aiohttp.ClientPayloadError):
            async with self.http.get(f"{self.url}/v1/streams/{stream}/{way}", headers=self.key) as answer:
                self.seen[f"read {answer.status}"] += 1
                with suppress(TimeoutError):
                    async with asyncio.timeout(random.uniform(0.1, 5) if random.random() < 0.33 else 60):
                        await answer.read()

    async def cancel(self, stream: str) -> None:
        """Cancel it, after a while."""
        await asyncio.sleep(random.uniform(0, 3))
        async with self.http.delete(f"{self.url}/v1/streams/{stream}?force=1", headers=self.key) as answer:
            self.seen[f"cancel {answer.status}"] += 1

    async def probe(self) -> None:
        """Ask all the time how it is."""
        while True:
            before = time.perf_counter()
            async with self.http.get(f"{self.url}/livez"):
                self.waits.append(time.perf_counter() - before)
            await asyncio.sleep(0.05)


def resident(pid: int) -> int:
    """What a process takes, in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def slope(points: list[tuple[float, int]]) -> float:
    """Of a line through them: bytes an hour."""
    mean_t = sum(t for t, _ in points) / len(points)
    mean_b = sum(b for _, b in points) / len(points)
    over = sum((t - mean_t) * (b - mean_b) for t, b in points)
    return 3600 * over / sum((t - mean_t) ** 2 for t, _ in points)


async def run(minutes: float, rate: float) -> None:
    """Churn."""
    server = await asyncio.start_server(upstream, "127.0.0.1", 0)
    folder = tempfile.TemporaryDirectory(prefix="fanlight-churn-")
    home = Path(folder.name)
    port = 18_080
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("FANLIGHT_", "TWELVELABS_"))},
        "FANLIGHT_PORT": str(port),
        "FANLIGHT_UPSTREAM_URL": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1.3",
        "FANLIGHT_DATA_DIR": str(home),
        "FANLIGHT_KEYS": str(home / "keys.json"),
        "FANLIGHT_LOG_LEVEL": "warning",
        "FANLIGHT_STARTS_PER_MINUTE": "100000",
    }
    keys = Keys(environment)
    process = subprocess.Popen(
        [sys.executable, "-m", "service"], env=environment, cwd=ROOT, stderr=open(home / "log", "wb")
    )
    assert wait_port(port, process)
    points: list[tuple[float, int]] = []
    tasks: set[asyncio.Task[None]] = set()
    began = time.monotonic()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        churn = Churn(f"http://127.0.0.1:{port}", keys, http)
        probing = asyncio.create_task(churn.probe())
        next_minute = began + 60
        while time.monotonic() < began + 60 * minutes:
            task = asyncio.create_task(churn.one())
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            task.add_done_callback(
                lambda done: churn.seen.update([type(done.exception()).__name__] if done.exception() else [])
            )
            await asyncio.sleep(random.expovariate(rate))
            if time.monotonic() >= next_minute:
                next_minute += 60
                points.append((time.monotonic() - began, resident(process.pid)))
                descriptors = len(os.listdir(f"/proc/{process.pid}/fd"))
                print(
                    f"{points[-1][0] / 60:.0f} min: {points[-1][1] / 2**20:.1f} MiB, {descriptors} descriptors, {len(tasks)} at it",
                    flush=True,
                )
                change = asyncio.create_task(keys.change())
                tasks.add(change)
                change.add_done_callback(tasks.discard)
        await asyncio.wait(tasks, timeout=30)
        probing.cancel()
        async with http.get(f"{churn.url}/metrics") as answer:
            figures = await answer.text()
    stop(process)
    waits = sorted(churn.waits)
    told = points[len(points) // 4 :]
    print(
        f"memory: {points[0][1] / 2**20:.1f} to {points[-1][1] / 2**20:.1f} MiB, {slope(told) / 2**20:+.2f} MiB an hour"
    )
    print(
        f"probe: p50 {waits[len(waits) // 2] * 1e3:.1f} ms, p99 {waits[int(len(waits) * 0.99)] * 1e3:.1f} ms, worst {waits[-1] * 1e3:.0f} ms"
    )
    for name, count in sorted(churn.seen.items()):
        print(f"{name}: {count}")
    print(
        *(line for line in figures.splitlines() if line.startswith(("fanlight_loop_lag", "fanlight_limits_hit"))),
        sep="\n",
    )
    print(
        *sorted({line for line in (home / "log").read_text().splitlines() if '"level":"error"' in line})[:10], sep="\n"
    )
    folder.cleanup()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=float, default=4)
    arguments = parser.parse_args()
    asyncio.run(run(arguments.minutes, arguments.rate))
