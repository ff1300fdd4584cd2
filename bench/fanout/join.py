"""What joining late costs: milliseconds and bytes against the text's length, alone and with 1,000 others receiving.

    python bench/fanout/join.py [--joins 15] [--picture FILE]

From opening the connection until the last byte of the text so far is there. The server is on core 0, everything else on
core 1; the others get 50 fragments a second meanwhile.
"""

import argparse
import os
import re
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
from pictures import lines
from rig import BIN, LOAD_CORE, build, cpu
from run import PEERS, PUB, Server

SIZES = [0, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 21]
HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
END_OF = re.compile(rb'"to":(\d+)')


class Joiner:
    """One WebSocket reader, as plain as possible: its own cost must not be measured."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._sock = socket.create_connection((parts.hostname, parts.port))
        self._sock.sendall(HANDSHAKE.format(path=parts.path, host=parts.netloc).encode())
        self._data = bytearray()
        self.read = 0
        while (end := self._data.find(b"\r\n\r\n")) < 0:
            self._more()
        del self._data[: end + 4]

    def _more(self) -> None:
        data = self._sock.recv(1 << 20)
        if not data:
            raise RuntimeError("the server has closed")
        self.read += len(data)
        self._data += data

    def _take(self, count: int) -> bytes:
        while len(self._data) < count:
            self._more()
        data = bytes(self._data[:count])
        del self._data[:count]
        return data

    def message(self) -> bytes:
        size = self._take(2)[1]
        if size >= 126:
            size = int.from_bytes(self._take(2 if size == 126 else 8), "big")
        return self._take(size)

    def until(self, offset: int) -> None:
        """Read until the text is there up to ``offset``."""
        place = -1
        while place < offset:
            found = END_OF.search(self.message(), 0, 400)
            place = int(found[1]) if found else place

    def close(self) -> None:
        self._sock.close()


def publish(size: int) -> None:
    """Let the upstream tell a text of that many bytes."""
    with socket.create_connection(("127.0.0.1", PUB)) as sock:
        sock.sendall((b"word " * 12 + b"end.\n") * (size // 64))


def settle(server: Server, load: "subprocess.Popen[bytes]") -> None:
    """Wait until the others, who join too, have their text; then let them receive."""
    assert load.stderr is not None
    assert load.stdin is not None
    while not load.stderr.readline().startswith(b"READY"):
        pass
    before, spent = -1.0, cpu(server.process.pid)
    while spent - before > 0.02:
        time.sleep(0.5)
        before, spent = spent, cpu(server.process.pid)
    load.stdin.write(b"go\n")
    load.stdin.flush()
    time.sleep(1)


def measure(size: int, others: int, joins: int) -> tuple[list[float], int]:
    """Milliseconds of each join, and the bytes of one."""
    with Server("fanlight") as server:
        publish(size)
        first = Joiner(server.address)
        first.until(size)
        first.close()
        load = None
        if others:
            command = [str(BIN / "wsload"), "--url", server.address, "--pub", server.publish, "--n", str(others)]
            command += ["--rate", "50", "--duration", "600", "--seq-pat", '\\"seq\\":', "--ts-pat", '\\"ts\\":']
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
            load = subprocess.Popen([*command, "--wait-go"], **pipes)
            settle(server, load)
        try:
            times = []
            for _ in range(joins):
                began = time.perf_counter()
                joiner = Joiner(server.address)
                joiner.until(size)
                times.append((time.perf_counter() - began) * 1000)
                joiner.close()
                time.sleep(0.1)
            return times, joiner.read
        finally:
            if load is not None:
                load.kill()
                load.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--joins", type=int, default=15)
    parser.add_argument("--picture", type=Path)
    asked = parser.parse_args()
    build(*(HERE / "gen").glob("*.c"), PEERS / "c_epoll.c")
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    drawn: dict[str, list[tuple[float, float]]] = {"alone": [], "with 1,000 others": []}
    print("| text KiB | alone, ms | slowest | with 1,000 others, ms | slowest | bytes |")
    print("|---:|---:|---:|---:|---:|---:|")
    for size in SIZES:
        alone, read = measure(size, 0, asked.joins)
        among, _ = measure(size, 1000, asked.joins)
        for name, times in zip(drawn, (alone, among), strict=True):
            drawn[name].append((size / 1024, statistics.median(times)))
        cells = [f"{statistics.median(times):.1f} | {max(times):.1f}" for times in (alone, among)]
        print(f"| {size // 1024} | {' | '.join(cells)} | {read:,} |", flush=True)
    if asked.picture:
        lines(asked.picture, "Joining late, against the length of the text", drawn, "KiB", "ms")


if __name__ == "__main__":
    main()
