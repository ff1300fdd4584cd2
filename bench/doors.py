"""What strangers can do at the door: many of them, slow ones, large bodies, wrong tokens, hostile addresses.

    python -m bench.doors [--only WORD]

Starts the service as a user does, with the embedded engine and a key, and prints a row for each
drill: what was tried, what came of it, what the process took, and how long a probe on a
connection of its own waited for ``/livez`` meanwhile. Loopback only; takes three minutes.
"""

import argparse
import asyncio
import gzip
import hashlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

import aiohttp

from bench.churn import resident, upstream
from bench.rig import ROOT, stop, wait_port

KEY = "swordfish"
RIGHT = {"x-api-key": KEY}
PORT = 18_081
URL = f"http://127.0.0.1:{PORT}"
Drill = Callable[[int], Awaitable[str]]

# Schemes, credentials, this machine and networks in every disguise, names that lead within, and what is no address.
HOSTILE = (
    "file:///etc/passwd", "ftp://127.0.0.1/a.mp4", "gopher://127.0.0.1:6379/_INFO", "data:text/plain,a",
    "javascript:alert(1)", "unix:///var/run/docker.sock", "//127.0.0.1/a.mp4", "http://", "http:///a.mp4",
    "http://user:pass@127.0.0.1/", "http://127.0.0.1/", "http://127.0.0.1:6379/", "http://localhost/",
    "http://LOCALHOST:8080/", "http://localhost./", "http://0.0.0.0/", "http://0/", "http://127.1/",
    "http://2130706433/", "http://0x7f000001/", "http://0x7f.0.0.1/", "http://0177.0.0.1/", "http://[::1]/",
    "http://[::]/", "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/", "http://[64:ff9b::7f00:1]/",
    "http://[fe80::1]/", "http://10.0.0.1/", "http://172.16.0.1/", "http://192.168.0.1/", "http://169.254.169.254/",
    "http://169.254.169.254/latest/meta-data/", "http://100.64.0.1/", "http://224.0.0.1/", "http://255.255.255.255/",
    "http://127.0.0.1:99999/", "http://[::1", f"http://127.0.0.1:{PORT}/v1/streams",
)  # fmt: skip

# What would end a head early, name two lengths, hide a path, or be taken for another host.
INJECTED = (
    b"GET /v1/streams%0d%0aX-Injected:%201 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /v1/streams/..%2f..%2fetc%2fpasswd HTTP/1.1\r\nHost: localhost\r\nx-api-key: swordfish\r\n\r\n",
    b"GET /static/..%2f..%2fconfig%2fsettings.py HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /static/%2e%2e/%2e%2e/pages.py HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /v1.3/../v1/admin/nodes HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /v1.3/%2e%2e/v1/admin/nodes HTTP/1.1\r\nHost: localhost\r\nx-api-key: swordfish\r\n\r\n",
    b"GET //evil.example/v1/streams HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET http://evil.example/v1/streams HTTP/1.1\r\nHost: evil.example\r\nx-api-key: swordfish\r\n\r\n",
    b"GET /v1/streams HTTP/1.1\r\nHost: evil.example\r\nx-api-key: swordfish\r\n\r\n",
    b"GET /v1/streams HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nx-api-key: swordfish\r\n\r\n",
    b"GET /v1/streams HTTP/1.1\r\nHost: localhost\r\nx-api-key: wrong\r\nx-api-key: swordfish\r\n\r\n",
    b"GET /v1/streams HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: a\rX-Injected: 1\r\n\r\n",
    b"GET /v1/streams HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: a\nX-Injected: 1\r\n\r\n",
    b"GET /v1/streams HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: a\0b\r\n\r\n",
    b"GET /v1/streams HTTP/1.1\r\nHost: localhost\r\nX Injected: 1\r\n\r\n",
    b"GET /v1/streams HTTP/1.1\r\nHost: localhost\r\n folded\r\n\r\n",
    b"POST /v1/streams HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    b"POST /v1/streams HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
    b"POST /v1/streams HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n{}",
    b"POST /v1/streams HTTP/1.1\r\nHost: localhost\r\nContent-Length: +2\r\n\r\n{}",
    b"GET /v1/streams?ticket=a%0d%0aSet-Cookie:%20x HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /v1/channels/a%00b/ndjson HTTP/1.1\r\nHost: localhost\r\nx-api-key: swordfish\r\n\r\n",
)


def environment(home: str, **more: str) -> dict[str, str]:
    """Of a service with a key; what else is asked for comes on top."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("FANLIGHT_", "TWELVELABS_"))}
    told = {"PORT": str(PORT), "DATA_DIR": home, "LOG_LEVEL": "error", "STORE": "memory"}
    told["API_KEYS"] = f"me:{hashlib.sha256(KEY.encode()).hexdigest()}"
    return clean | {f"FANLIGHT_{name}": value for name, value in (told | more).items()}


@contextmanager
def serving(descriptors: int = 0, **more: str) -> Iterator[int]:
    """The service; its process's id."""

    def bound() -> None:
        if descriptors:
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

    with tempfile.TemporaryDirectory(prefix="fanlight-doors-") as home:
        process = subprocess.Popen(
            [sys.executable, "-m", "service"], env=environment(home, **more), cwd=ROOT, preexec_fn=bound
        )
        try:
            assert wait_port(PORT, process)
            yield process.pid
        finally:
            stop(process)


# -- the drills


async def idle_sockets(pid: int) -> str:
    """10,000 sockets that say nothing."""
    before, began = resident(pid), time.monotonic()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers=RIGHT) as http:
        sockets = []
        for _ in range(100):
            sockets += await asyncio.gather(*(http.ws_connect(f"{URL}/v1/ws") for _ in range(100)))
        took, each = time.monotonic() - began, (resident(pid) - before) / len(sockets)
        await asyncio.sleep(22)  # each was pinged once
        alive = sum(not socket.closed for socket in sockets)
    return f"{alive:,} open after {took:.1f} s, {each / 1024:.1f} KiB each"


async def few_descriptors(pid: int) -> str:
    """400 clients of a process that may open 256 files."""
    answers: Counter[str] = Counter()
    pairs = []
    for _ in range(400):
        reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
        writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        pairs.append((reader, writer))
    await asyncio.sleep(1)
    for reader, _ in pairs:
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(0.02):
                answers[(await reader.readline())[9:12].decode() or "closed"] += 1
    for _, writer in pairs:
        writer.close()
    await asyncio.sleep(1.5)
    began = time.monotonic()
    async with aiohttp.ClientSession() as http, http.get(f"{URL}/livez") as answer:
        after = f"{answer.status} {1000 * (time.monotonic() - began):.0f} ms after they left"
    return f"{answers['200']} answered at once, {answers['closed']} closed, the others wait; {after}"


async def slow(pid: int) -> str:
    """200 heads and 200 bodies, a byte a second."""
    heads = b"GET /v1/streams HTTP/1.1\r\nHost: localhost\r\nX-A: " + b"a" * 100
    post = b"POST /v1/streams HTTP/1.1\r\nHost: localhost\r\nx-api-key: swordfish\r\nContent-Type: application/json\r\n"
    bodies = post + b"Content-Length: 1000\r\n\r\n"

    async def drip(at_once: bytes, rest: bytes) -> tuple[float, bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
        began, answer = time.monotonic(), asyncio.ensure_future(reader.read(64))
        writer.write(at_once)
        for byte in rest:
            if (await asyncio.wait({answer}, timeout=1))[0]:
                break
            with suppress(ConnectionError):
                writer.write(bytes([byte]))
        with suppress(ConnectionError):
            return time.monotonic() - began, await answer
        return time.monotonic() - began, b""

    one = asyncio.gather(*(drip(b"", heads) for _ in range(200)))
    other = asyncio.gather(*(drip(bodies, b"{" + b" " * 90) for _ in range(200)))
    told = []
    for name, results in (("heads", await one), ("bodies", await other)):
        statuses = Counter(answer[9:12].decode() or "closed" for _, answer in results)
        longest = max(took for took, _ in results)
        told.append(
            f"{name} {', '.join(f'{count} {status}' for status, count in statuses.items())} after {longest:.0f} s"
        )
    return "; ".join(told)


async def large(pid: int) -> str:
    """A body of 1 GiB, and 1 GiB packed into 1 MiB, without a key and with one."""
    before, told = resident(pid), []
    zeros = bytes(1 << 20)
    bomb = gzip.compress(zeros * 1024)
    for name, packed in (("1 GiB", False), ("bomb", True)):
        for right in ({}, RIGHT):
            reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
            key = f"x-api-key: {KEY}\r\n" if right else ""
            size = len(bomb) if packed else 1 << 30
            coded = "Content-Encoding: gzip\r\n" if packed else ""
            head = f"POST /v1/streams HTTP/1.1\r\nHost: localhost\r\n{key}{coded}Content-Type: application/json\r\n"
            writer.write(f"{head}Content-Length: {size}\r\n\r\n".encode())
            sent, answer = 0, asyncio.ensure_future(reader.read(64))
            with suppress(ConnectionError):
                while sent < size and not answer.done():
                    writer.write(bomb if packed else zeros)
                    sent += len(bomb) if packed else len(zeros)
                    await writer.drain()
            with suppress(ConnectionError):
                told.append(
                    f"{name} {'with' if right else 'without'} a key {(await answer)[9:12].decode() or 'cut'} after {sent >> 20} MiB"
                )
            writer.close()
    return f"{'; '.join(told)}; {(resident(pid) - before) / 2**20:+.0f} MiB"


async def deaf(pid: int) -> str:
    """200 readers that never read, of a text of 12 MB."""
    before = resident(pid)
    async with aiohttp.ClientSession(headers=RIGHT) as http:
        asked = {"prompt": "long", "video_id": "v"}
        async with http.post(f"{URL}/v1/streams", json=asked) as answer:
            stream = (await answer.json())["id"]
        pairs = []
        for _ in range(200):
            reader, writer = await asyncio.open_connection("127.0.0.1", PORT, limit=1 << 10)
            writer.write(
                f"GET /v1/streams/{stream}/ndjson HTTP/1.1\r\nHost: localhost\r\nx-api-key: {KEY}\r\n\r\n".encode()
            )
            reader._transport.pause_reading()  # type: ignore[attr-defined]
            pairs.append((reader, writer))
        await asyncio.sleep(5)
        most, began = resident(pid) - before, time.monotonic()
        while time.monotonic() - began < 40:
            async with http.get(f"{URL}/metrics") as answer:
                figures = await answer.text()
            left = [line for line in figures.splitlines() if line.startswith("fanlight_connections ")]
            if float(left[0].split()[1]) == 0:
                break
            await asyncio.sleep(1)
        gone = time.monotonic() - began + 5
        for _, writer in pairs:
            writer.close()
    return f"{most / 2**20:+.0f} MiB while they stay, all gone after {gone:.0f} s"


async def wrong_tokens(pid: int) -> str:
    """1,000 wrong keys and tickets a second, for ten seconds."""
    statuses: Counter[int] = Counter()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=16)) as http:

        async def one(n: int) -> None:
            bearer = {"Authorization": f"Bearer {'eyJhbGciOiJub25lIn0.e30.' if n % 2 else 'fl_wrong_'}{n}"}
            async with http.get(f"{URL}/v1/streams", headers=bearer) as answer:
                statuses[answer.status] += 1

        began, tasks = time.monotonic(), []
        for n in range(10_000):
            tasks.append(asyncio.create_task(one(n)))
            if (ahead := n / 1000 - (time.monotonic() - began)) > 0.005:
                await asyncio.sleep(ahead)
        await asyncio.gather(*tasks)
        took = time.monotonic() - began
    return f"{', '.join(f'{count:,} {status}' for status, count in statuses.items())} in {took:.1f} s"


async def hostile(pid: int) -> str:
    """Addresses that lead within, to be fetched by the engine."""
    told: Counter[str] = Counter()
    async with aiohttp.ClientSession(headers=RIGHT) as http:
        while True:
            async with http.get(f"{URL}/readyz") as answer:
                if answer.status == 200:
                    break
            await asyncio.sleep(0.2)
        for address in HOSTILE:
            form = aiohttp.FormData({"method": "url", "url": address})
            async with http.post(f"{URL}/v1.3/assets", data=form) as answer:
                body = await answer.json()
            if answer.status < 400:
                for _ in range(50):
                    async with http.get(f"{URL}/v1.3/assets/{body['_id']}") as answer:
                        body = await answer.json()
                    if body["status"] != "processing":
                        break
                    await asyncio.sleep(0.1)
                told[body["status"]] += 1
                if body["status"] == "ready":
                    print("FETCHED", address)
            else:
                told[str(answer.status)] += 1
    return f"{len(HOSTILE)} addresses: {', '.join(f'{count} {what}' for what, count in sorted(told.items()))}"


async def injections(pid: int) -> str:
    """Heads and paths that would say more than they should."""
    statuses: Counter[str] = Counter()
    for sent in INJECTED:
        reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
        writer.write(sent)
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(2):
                answer = await reader.read(1 << 16)
        status = answer[9:12].decode() or "closed"
        statuses[status] += 1
        head = answer.partition(b"\r\n\r\n")[0].lower()
        if status < "400" or b"x-injected" in head or b"set-cookie" in head:
            print("TAKEN", sent, answer[:200])
        writer.close()
    return f"{len(INJECTED)} requests: {', '.join(f'{count} {status}' for status, count in sorted(statuses.items()))}"


async def probed(drill: Drill, pid: int) -> tuple[str, float]:
    """A drill, and the longest wait of a probe beside it, in seconds."""
    command = [sys.executable, "-c", PROBE, str(PORT)]
    probe = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert probe.stdout is not None
    await probe.stdout.readline()
    said = await drill(pid)
    waited, _ = await probe.communicate(b"")
    return said, float(waited)


PROBE = """
import select, socket, sys, time
sock = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
print(flush=True)
worst = 0.0
while not select.select([sys.stdin], [], [], 0.01)[0]:
    before = time.perf_counter()
    sock.sendall(b"GET /livez HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
    sock.recv(4096)
    worst = max(worst, time.perf_counter() - before)
print(worst)
"""


async def run(only: str) -> None:
    """All drills, or those with that word in their name."""
    print("| drill | what came of it | memory | longest wait of a probe |\n|---|---|---|---|", flush=True)
    server = await asyncio.start_server(upstream, "127.0.0.1", 0)
    scripted = {"UPSTREAM_URL": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1.3"}
    drills: list[tuple[Drill, int, dict[str, str]]] = [
        (idle_sockets, 0, scripted), (few_descriptors, 256, scripted), (slow, 0, scripted), (large, 0, scripted),
        (deaf, 0, scripted), (wrong_tokens, 0, scripted), (hostile, 0, {}), (injections, 0, scripted),
    ]  # fmt: skip
    for drill, descriptors, settings in drills:
        if only not in drill.__name__:
            continue
        with serving(descriptors, **settings) as pid:
            before = resident(pid)
            said, worst = await probed(drill, pid)
            memory = f"{before / 2**20:.0f} to {resident(pid) / 2**20:.0f} MiB"
        about = (drill.__doc__ or "").rstrip(".")
        print(f"| {about} | {said} | {memory} | {worst * 1e3:.0f} ms |", flush=True)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="")
    asyncio.run(run(parser.parse_args().only))
