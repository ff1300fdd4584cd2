"""The engine in front of a real model's server: what goes over the wire, how soon, and how much.

    python bench/model/tiny.py MODEL        (torch and transformers, in an environment of their own)
    transformers serve --device cpu MODEL
    python -m bench.model.run http://127.0.0.1:8000/v1 MODEL PID CLIP [CLIP ...]

PID is the server's: once a caller has left, it should have nothing more to do. The figures in docs/engine.md come
from here.
"""

import asyncio
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.engine.conftest import RunningEngine, running_engine
from tests.engine.measure.__main__ import memory

SCHEMA = {"type": "object", "properties": {"mood": {"type": "string"}}, "required": ["mood"]}
LEAVES_AFTER = 5  # fragments


class Relay:
    """Bytes passed on and counted between the engine and the server, on a thread of its own."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target, self._path = (parts.hostname or "", parts.port or 80), parts.path
        self.sent = self.received = 0
        self.asked_at = 0.0
        self.left = threading.Event()  # the engine closed a connection before the server did
        ready = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True).start()
        ready.wait()

    async def _serve(self, ready: threading.Event) -> None:
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{self._path}"
        ready.set()
        await server.serve_forever()

    async def _pass_on(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        far, onward = await asyncio.open_connection(*self._target)
        self.asked_at = time.perf_counter()

        async def up() -> None:
            while data := await near.read(1 << 16):
                self.sent += len(data)
                onward.write(data)
            self.left.set()

        async def down() -> None:
            while data := await far.read(1 << 16):
                self.received += len(data)
                back.write(data)

        ways = [asyncio.create_task(up()), asyncio.create_task(down())]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        for writer in (onward, back):
            writer.close()


class Peaks:
    """The most memory of each kind of process below the engine, in MiB."""

    def __init__(self, engine: RunningEngine) -> None:
        self._engine, self._of, self._over = engine, dict[str, int](), threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        while not self._over.wait(0.1):
            for kind, size in memory(self._engine).items():
                self._of[kind] = max(self._of.get(kind, 0), size)

    def close(self) -> dict[str, int]:
        self._over.set()
        self._thread.join()
        return self._of


def burnt(pid: int, seconds: float = 3.0) -> float:
    """CPU seconds of the server in the next few."""
    before = _cpu_s(pid)
    time.sleep(seconds)
    return round(_cpu_s(pid) - before, 2)


def _cpu_s(pid: int) -> float:
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def asked(engine: RunningEngine, body: dict[str, Any], relay: Relay, leave: bool = False) -> dict[str, Any]:
    """Stream an analysis; what came of it."""
    began = time.perf_counter()
    told: dict[str, Any] = {"fragments": 0, "text": ""}
    connection = engine.connect()
    connection.sock.settimeout(600)
    connection.request("POST", "/v1.3/analyze", json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    told["status"] = response.status
    for line in response if response.status == 200 else ():
        event = json.loads(line) if line.strip() else {}
        if event.get("text"):
            if not told["fragments"]:
                told["model_asked_s"] = round(relay.asked_at - began, 2)
                told["first_s"] = round(time.perf_counter() - began, 2)
            told["fragments"] += 1
            told["text"] += event["text"]
        if "metadata" in event:
            told["metadata"] = event["metadata"]
            told["ended"] = event.get("finish_reason")
        if leave and told["fragments"] >= LEAVES_AFTER:
            break
    if response.status != 200:
        told["said"] = response.read().decode()
    response.close()
    connection.close()
    told["total_s"] = round(time.perf_counter() - began, 2)
    return told


def tell(what: str, told: dict[str, Any], relay: Relay) -> None:
    text = told.pop("text")
    print(f"{what}: sent {relay.sent}, received {relay.received} bytes; {json.dumps(told)}\n   {text[:100]!r}")
    relay.sent = relay.received = 0


def main(url: str, model: str, pid: int, clips: list[Path]) -> None:
    relay = Relay(url)
    with tempfile.TemporaryDirectory() as home:
        with running_engine(Path(home), "--vlm-url", relay.url, "--vlm-model", model) as engine:
            for clip in clips:
                video = {"type": "asset_id", "asset_id": engine.upload(clip)["_id"]}
                body = {"video": video, "prompt": "What happens? Give times as [mm:ss].", "max_tokens": 500}
                peaks = Peaks(engine)
                tell(f"{clip.name}, measured for it", asked(engine, body, relay), relay)
                print("   MiB at most:", peaks.close())
                tell(f"{clip.name}, again", asked(engine, body, relay), relay)
                as_json = {**body, "response_format": {"type": "json_schema", "json_schema": SCHEMA}}
                tell(f"{clip.name}, by a schema", asked(engine, as_json, relay), relay)
                relay.left.clear()
                told = asked(engine, {**body, "max_tokens": 4000}, relay, leave=True)
                left = relay.left.wait(10)
                tell(f"{clip.name}, left after {LEAVES_AFTER} fragments; the engine hung up: {left}", told, relay)
                print("   CPU seconds of the server in the 3 s after:", burnt(pid))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), [Path(name) for name in sys.argv[4:]])
