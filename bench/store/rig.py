"""What the measures share: an upstream at a pace, nodes of the service, an engine, readers that cost nothing."""

import asyncio
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import orjson

from bench.pauses import free_port
from bench.rig import LOAD_CORE, ROOT, SERVER_CORE, stop

READY_S = 60.0


class Upstream:
    """Answers each call with fragments at a pace; a fragment's text is when it was written.

    Args:
        phase_s: where in the pace it writes, so that several upstreams do not write at the same moment.

    Attributes:
        written: fragments so far.
    """

    def __init__(self, fragments: int, every_s: float, phase_s: float | None = None) -> None:
        self._fragments, self._every_s, self._phase_s = fragments, every_s, phase_s
        self.port = free_port()
        self.written = 0

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
            if self._phase_s is not None:
                began += (self._phase_s - began) % self._every_s + self._every_s
            for number in range(self._fragments):
                await asyncio.sleep(max(0.0, began + number * self._every_s - time.perf_counter()))
                if writer.is_closing():
                    return
                event = {"event_type": "text_generation", "text": f"{time.perf_counter():.7f} "}
                writer.write(orjson.dumps(event) + b"\n")
                self.written += 1
            writer.write(b'{"event_type":"stream_end","finish_reason":"stop"}\n')
        writer.close()


@contextmanager
def store(name: str) -> Iterator[dict[str, str]]:
    """A store, empty, and the settings that lead to it.

    Args:
        name: ``memory``, ``sqlite`` or ``redis``; ``redis 50 ms`` has a window.
    """
    kind, window = [*name.split(" "), "0"][:2]
    settings = {"FANLIGHT_STORE_WINDOW_MS": window}
    with tempfile.TemporaryDirectory(prefix="bench.") as folder:
        if kind == "redis":
            with engine(Path(folder)) as path:
                yield settings | {"FANLIGHT_STORE": f"unix://{path}"}
        else:
            yield settings | {"FANLIGHT_STORE": kind if kind == "memory" else f"sqlite:{folder}/streams.db"}


@contextmanager
def engine(folder: Path) -> Iterator[Path]:
    """Redis on the load's core, with `appendonly yes`; its Unix socket."""
    path = folder / "redis.sock"
    settings = ["--port", "0", "--unixsocket", str(path), "--dir", str(folder), "--save", "", "--appendonly", "yes"]
    command = ["taskset", "-c", LOAD_CORE, "redis-server", *settings, "--loglevel", "warning"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 10
        while not path.exists():
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError("redis-server did not start")
            time.sleep(0.02)
        yield path
    finally:
        stop(process)


@dataclass(frozen=True, slots=True)
class Node:
    """A process of the service."""

    url: str
    port: int
    pid: int


@asynccontextmanager
async def node(settings: Mapping[str, str], upstream: int, core: str | None = SERVER_CORE) -> AsyncIterator[Node]:
    """The service as one process, ready; on no core of its own where that is None."""
    port = free_port()
    ours = {
        "FANLIGHT_PORT": str(port),
        "FANLIGHT_UPSTREAM_URL": f"http://127.0.0.1:{upstream}/v1.3",
        "FANLIGHT_LOG_LEVEL": "error",
        "FANLIGHT_DRAIN_S": "1",
    }
    pinned = [] if core is None else ["taskset", "-c", core]
    command = [*pinned, sys.executable, "-m", "service"]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **ours, **settings})
    try:
        await asyncio.to_thread(wait_ready, port, process)
        yield Node(f"http://127.0.0.1:{port}", port, process.pid)
    finally:
        await asyncio.to_thread(stop, process)


def wait_ready(port: int, process: "subprocess.Popen[bytes]") -> None:
    """Wait for the first 200 of ``/readyz``.

    Raises:
        RuntimeError: it ends first, or takes a minute.
    """
    until = time.monotonic() + READY_S
    while process.poll() is None and time.monotonic() < until:
        with suppress(OSError, urllib.error.HTTPError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=READY_S).read()
            return
        time.sleep(0.01)
    raise RuntimeError("the service is not ready")


async def start(http: aiohttp.ClientSession, at: Node, prompt: str) -> str:
    """Start a stream; its id."""
    async with http.post(f"{at.url}/v1/streams", json={"prompt": prompt}) as answer:
        return str((await answer.json())["id"])


class Readers:
    """Readers of bare texts whose sockets are emptied ten times a second, so that the load costs next to nothing.

    Attributes:
        bytes: read so far, heads and framing included.
    """

    def __init__(self) -> None:
        self._sockets: list[tuple[socket.socket, bytearray]] = []
        self._stopped = threading.Event()
        self.bytes = 0

    def open(self, at: Node, stream: str) -> None:
        """One more reader."""
        sock = socket.create_connection(("127.0.0.1", at.port))
        sock.sendall(f"GET /v1/streams/{stream}/text HTTP/1.1\r\nHost: 127.0.0.1:{at.port}\r\n\r\n".encode())
        self._sockets.append((sock, bytearray()))

    def __enter__(self) -> "Readers":
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stopped.set()
        self._thread.join()
        for sock, _ in self._sockets:
            sock.close()

    def _read(self) -> None:
        while not self._stopped.wait(0.1):
            for sock, tail in list(self._sockets):
                with suppress(BlockingIOError, ConnectionError):
                    data = sock.recv(1 << 18, socket.MSG_DONTWAIT)
                    self.bytes += len(data)
                    if data:
                        tail[:] = (tail + data)[-5:]

    @property
    def cut(self) -> int:
        """How many have not read to a good end."""
        return sum(tail != b"0\r\n\r\n" for _, tail in self._sockets)


class Monitor:
    """Counts what clients send to an engine, by MONITOR: a script is one line, what it calls inside is marked `lua`."""

    _LINE = re.compile(rb'^\+\S+ \[\d+ (\w+)[^\]]*\] "(\w+)', re.MULTILINE)

    def __init__(self, path: str) -> None:
        self._path = path
        self.sent: Counter[str] = Counter()

    async def __aenter__(self) -> "Monitor":
        reader, self._writer = await asyncio.open_unix_connection(self._path, limit=1 << 24)
        self._writer.write(b"MONITOR\r\n")
        await reader.readline()
        self._task = asyncio.create_task(self._count(reader))
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._task.cancel()
        self._writer.close()

    async def _count(self, reader: asyncio.StreamReader) -> None:
        rest = b""
        while data := await reader.read(1 << 20):
            lines, newline, rest = (rest + data).rpartition(b"\n")
            for origin, name in self._LINE.findall(lines + newline):
                if origin != b"lua":
                    self.sent[name.decode().upper()] += 1
