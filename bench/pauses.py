"""How long everybody waits while one client does its worst.

    python -m bench.pauses [--service DIR] [--only WORD]

Starts the service as a user does, in front of an upstream of its own, and attacks it in one
way after the other; beside each, a probe on a connection of its own asks ``/livez`` all the
time and remembers its longest wait. ``--service`` names another checkout to run, for a
comparison. Loopback only; each attack is bounded in bytes and time.
"""

import argparse
import base64
import gzip
import hashlib
import multiprocessing
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from multiprocessing.connection import Connection
from pathlib import Path

import orjson

from bench.rig import ROOT, stop, wait_port

KEY = "a key"
SECONDS = 8.0  # at most, for each attack
MASK = b"\0\0\0\0"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# -- the upstream: answers every prompt that has a script


LONG = "[" + ",".join(f'{{"start": {n}, "end": {n + 1}, "text": "what is said {n}"}}' for n in range(18_000)) + "]"
SCRIPTS = {
    "short": [{"event_type": "text_generation", "text": "hi"}],
    "long": [{"event_type": "text_generation", "text": LONG[at : at + 20_000]} for at in range(0, len(LONG), 20_000)],
    "wide": [{"event_type": "x", "a": [[] for _ in range(300_000)]}],
}


def upstream(listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


def answer(connection: socket.socket) -> None:
    with connection, suppress(OSError):
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(1 << 16)
        head, _, body = data.partition(b"\r\n\r\n")
        size = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
        while len(body) < size and (more := connection.recv(1 << 20)):
            body += more
        name = next((name for name in SCRIPTS if f'"prompt":"{name}"'.encode() in body), "short")
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n\r\n")
        for event in [*SCRIPTS[name], {"event_type": "stream_end", "finish_reason": "stop"}]:
            connection.sendall(orjson.dumps(event) + b"\n")


# -- the probe


def probe(port: int, told: Connection) -> None:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    told.send(None)
    worst = 0.0
    while not told.poll():
        before = time.perf_counter()
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        connection.recv(4096)
        worst = max(worst, time.perf_counter() - before)
        time.sleep(0.001)
    told.send(worst)


def longest_wait(port: int, attack: Callable[[int], str]) -> tuple[float, str]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=probe, args=(port, theirs))
    process.start()
    ours.recv()
    time.sleep(0.2)
    said = attack(port)
    time.sleep(0.5)
    ours.send(None)
    worst = ours.recv()
    process.join()
    return worst, said


# -- the attacks; each returns what it was told


def opened(port: int, *, key: bool = True) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port))
    head = "GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    head += f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}\r\n"
    sock.sendall((head + (f"x-api-key: {KEY}\r\n" if key else "") + "\r\n").encode())
    assert b" 101 " in sock.recv(4096)
    return sock


def frame(first: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((first, 0x80 | size)) + MASK + payload
    return bytes((first, 0xFE)) + struct.pack("!H", size) + MASK + payload


def pushed(sock: socket.socket, data: bytes) -> int:
    """Send until the peer takes no more or the time is over; return the bytes sent."""
    sock.settimeout(0.5)
    sent, until = 0, time.monotonic() + SECONDS
    view = memoryview(data)
    with suppress(OSError):
        while sent < len(data) and time.monotonic() < until:
            sent += sock.send(view[sent : sent + (1 << 16)])
    return sent


def fragments(port: int, *, key: bool) -> str:
    with opened(port, key=key) as sock:
        sent = pushed(sock, frame(0x01, b"a") + frame(0x00, b"a") * 16_000)
        time.sleep(1)
        return f"{sent // 1000} kB taken"


def small_messages(port: int) -> str:
    sockets = [opened(port) for _ in range(8)]
    data = frame(0x81, b'{"type":"ping"}') * 4000
    with_answers = [threading.Thread(target=drained, args=(sock,)) for sock in sockets]
    for thread in with_answers:
        thread.start()
    senders = [threading.Thread(target=pushed, args=(sock, data)) for sock in sockets]
    for thread in senders:
        thread.start()
    for thread in [*senders, *with_answers]:
        thread.join()
    return "32,000 answered"


def drained(sock: socket.socket) -> None:
    left, want = 4000 * 17, 0
    sock.settimeout(SECONDS)
    with suppress(OSError):
        while want < left and (data := sock.recv(1 << 16)):
            want += len(data)
    sock.close()


def unread_pings(port: int) -> str:
    with opened(port) as sock:
        sent = pushed(sock, frame(0x89, b"p" * 64) * 1_400_000)
        return f"{sent >> 20} MiB taken"


def big_messages(port: int) -> str:
    body = b'{"type":"start","request":{"a":[' + b",".join([b"[]"] * 21_000) + b"]}}"
    sockets = [opened(port) for _ in range(8)]
    for sock in sockets:
        pushed(sock, frame(0x81, body) * 3)
    told = sockets[0].recv(4096)
    for sock in sockets:
        sock.close()
    return told[2:60].decode(errors="replace")


def post(port: int, path: str, body: bytes, *, key: bool = True, **headers: str) -> str:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    named |= {"Content-Type": "application/json"} | ({"x-api-key": KEY} if key else {})
    try:
        connection.request("POST", path, body, named)
        answer = connection.getresponse()
        return f"{answer.status} {answer.read(60).decode(errors='replace')}"
    except OSError as exc:
        return type(exc).__name__
    finally:
        connection.close()


def pipelined(port: int) -> str:
    with socket.create_connection(("127.0.0.1", port)) as sock:
        reader = threading.Thread(target=drained, args=(sock,))
        reader.start()
        sent = pushed(sock, b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n" * 10_000)
        reader.join()
        return f"{sent // 1000} kB taken"


def get(port: int, path: str) -> str:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path, headers={"x-api-key": KEY})
    answer = connection.getresponse()
    size = len(answer.read())
    connection.close()
    return f"{answer.status}, {size >> 10} KiB"


def read_late(port: int, view: str) -> str:
    started = post(port, "/v1/streams", b'{"prompt":"long"}')
    stream = started.partition('"id":"')[2].partition('"')[0]
    if view == "partial":
        get(port, f"/v1/streams/{stream}?wait=20")
        return get(port, f"/v1/streams/{stream}?partial=1")
    get(port, f"/v1/streams/{stream}?wait=20")
    return get(port, f"/v1/streams/{stream}/ndjson?view={view}")


BOMB = gzip.compress(bytes(1 << 30), 6)
ARRAYS = b'{"prompt":[' + b",".join([b"[]"] * 3_000_000) + b"]}"
KEYS = b"{" + b",".join(b'"k%d":1' % n for n in range(1_000_000)) + b"}"
SCHEMA = b'{"prompt":"p","response_format":{"type":"json_schema","json_schema":{"enum":[%b]}}}' % b",".join(
    [b"[]"] * 20_000
)
MEDIA = b'{"prompt":"short","video":{"type":"base64_string","base64_string":"%b"}}' % base64.b64encode(
    os.urandom(33 << 20)
)

ATTACKS: dict[str, Callable[[int], str]] = {
    "nothing": lambda port: "",
    "WebSocket: 112 kB of one-byte fragments, no key": lambda port: fragments(port, key=False),
    "WebSocket: the same with a key": lambda port: fragments(port, key=True),
    "WebSocket: 32,000 good messages on eight sockets": small_messages,
    "WebSocket: pings, answers not read": unread_pings,
    "WebSocket: 24 messages of 64 KiB of empty arrays": big_messages,
    "gzip of 1 GiB, wrong key": lambda port: post(port, "/v1/streams", BOMB, key=False, Content_Encoding="gzip"),
    "gzip of 1 GiB to /metrics": lambda port: post(port, "/metrics", BOMB, key=False, Content_Encoding="gzip"),
    "gzip of 1 GiB, good key": lambda port: post(port, "/v1/streams", BOMB, Content_Encoding="gzip"),
    "gzip of 1 GiB, passed through": lambda port: post(port, "/v1.3/assets", BOMB, Content_Encoding="gzip"),
    "JSON: 3 million empty arrays": lambda port: post(port, "/v1/streams", ARRAYS),
    "JSON: a million keys": lambda port: post(port, "/v1/streams", KEYS),
    "JSON: a schema of 20,000 empty arrays": lambda port: post(port, "/v1/streams", SCHEMA),
    "JSON: 44 MB of base64": lambda port: post(port, "/v1/streams", MEDIA),
    "HTTP: 10,000 requests in one go": pipelined,
    "the upstream: an event of 300,000 empty arrays": lambda port: post(port, "/v1/streams", b'{"prompt":"wide"}'),
    "a first reader of 1 MB of JSON: json": lambda port: read_late(port, "json"),
    "a first reader of 1 MB of JSON: captions": lambda port: read_late(port, "captions"),
    "a first reader of 1 MB of JSON: patch": lambda port: read_late(port, "patch"),
    "the tree so far of 1 MB of JSON": lambda port: read_late(port, "partial"),
}


@contextmanager
def serving(directory: Path) -> Iterator[tuple[int, int]]:
    """The service and an upstream; gives port and process id."""
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=upstream, args=(listener,), daemon=True).start()
    port = free_port()
    settings = {
        "FANLIGHT_PORT": str(port),
        "FANLIGHT_UPSTREAM_URL": f"http://127.0.0.1:{listener.getsockname()[1]}/v1.3",
        "FANLIGHT_API_KEYS": f"anna:{hashlib.sha256(KEY.encode()).hexdigest()}",
        "FANLIGHT_LOG_LEVEL": "error",
        "FANLIGHT_STORE": "memory",
        "PYTHONPATH": str(directory),
    }
    environment = os.environ | settings
    process = subprocess.Popen([sys.executable, "-m", "service"], cwd=directory, env=environment)
    try:
        assert wait_port(port, process)
        yield port, process.pid
    finally:
        stop(process)
        listener.close()


def peak(pid: int) -> int:
    """The most memory that a process has held so far, in bytes."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) << 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--service", type=Path, default=ROOT)
    parser.add_argument("--only", default="")
    asked = parser.parse_args()
    print("| attack | longest wait | memory | answer |\n|---|---|---|---|")
    for name, attack in ATTACKS.items():
        if asked.only in name:
            with serving(asked.service.resolve()) as (port, pid):
                before = peak(pid)
                worst, said = longest_wait(port, attack)
                print(f"| {name} | {worst * 1000:.0f} ms | +{peak(pid) - before >> 20} MiB | {said} |", flush=True)


if __name__ == "__main__":
    main()
