"""The common shape: many streams with few readers; beside pass-throughs and a C relay, in one run.

    python bench/many/run.py starts [--runs 3]      first fragment, fragments, short streams
    python bench/many/run.py streams [--steps 200,400,...]   S streams x 20 fragments/s x R readers, S raised
    python bench/many/run.py idle [--count 10000]   memory of a stream that was started and is silent

`--before DIR` adds another checkout of this service as the peer `before`; `--out FILE` keeps every row as a line of
JSON. The peer is on core 0, upstream and readers (httpload, C, one clock) on core 1. One reader of each stream is the caller
of the dialect that started it; the others came by WebSocket, which no pass-through has.
"""

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from gateway import run as gateway
from pictures import lines
from rig import BIN, LOAD_CORE, ROOT, SERVER_CORE, build, cpu, memory, stop, wait_port

LISTEN, UPSTREAM = gateway.LISTEN, gateway.UPSTREAM
PEERS = {
    "direct": None,
    "relay": [str(BIN / "relay"), str(LISTEN), str(UPSTREAM)],
    **{name: command for name, command in gateway.PEERS.items() if command is not None},
}
OURS = ("before", "fanlight")
SETTINGS = {**gateway.SETTINGS, "FANLIGHT_MAX_STREAMS": "20000", "FANLIGHT_MAX_STREAMS_PER_TENANT": "20000"}
# The scenarios of bench/gateway, and answers of one fragment: nearly all of that is the cost of a start.
SCENARIOS = {**gateway.SCENARIOS, "short1": ["--conns", "16", "--frags", "1", "--gap-us", "0", "--duration", "3"]}
RATE = 20
RAMP_S, COUNTED_S = 4, 4
TOO_LATE_US = 50_000


@contextmanager
def serving(peer: str, before: Path | None, **more: str) -> Iterator["subprocess.Popen[bytes] | None"]:
    """A peer on its core, in a scratch folder; None for the upstream itself."""
    command = PEERS[peer if peer != "before" else "fanlight"]
    if command is None:
        yield None
        return
    scratch = tempfile.mkdtemp(prefix="bench.")
    os.chmod(scratch, 0o777)  # nginx's workers are another user
    place = {"FANLIGHT_DATA_DIR": scratch}  # with FANLIGHT_STORE=sqlite in the environment the store is there
    if peer in OURS:
        place["PYTHONPATH"] = str(before if peer == "before" else ROOT)
    whole = ["taskset", "-c", SERVER_CORE, *(part.replace("{run}", scratch) for part in command)]
    with open(Path(scratch) / "log", "wb") as log:
        server = subprocess.Popen(
            whole, stdout=log, stderr=log, cwd=scratch, env={**os.environ, **SETTINGS, **place, **more}
        )
        try:
            if not wait_port(LISTEN, server):
                raise RuntimeError(f"{peer} did not start: {(Path(scratch) / 'log').read_text()[-300:]}")
            time.sleep(0.3)
            yield server
        finally:
            stop(server)
            shutil.rmtree(scratch, ignore_errors=True)


def load(peer: str, *arguments: str) -> list[str]:
    """The command of the load against a peer."""
    target = UPSTREAM if peer == "direct" else LISTEN
    program = [str(BIN / "httpload"), "--listen", str(UPSTREAM), "--target", f"127.0.0.1:{target}"]
    return ["taskset", "-c", LOAD_CORE, *program, *arguments]


# -- starts


def started(peer: str, scenario: str, before: Path | None) -> dict:
    """One peer through one scenario of bench/gateway."""
    with serving(peer, before) as server:
        spent = cpu(server.pid) if server else 0.0
        arguments = SCENARIOS[scenario]
        done = subprocess.run(load(peer, *arguments), capture_output=True, timeout=60, check=True)
        found = json.loads(done.stdout)
        spent = cpu(server.pid) - spent if server else 0.0
    found["cpu_us_per_request"] = spent * 1e6 / max(1, found["requests"])
    found["cpu_us_per_fragment"] = spent * 1e6 / max(1, found["frags"])
    return found


def report_starts(rows: dict[tuple[str, str], list[dict]]) -> None:
    """Medians; the ratios to bare aiohttp are medians of those within each round."""
    figures = {
        "first fragment p50 µs": lambda row: row["ttfb_us"]["p50"],
        "fragment p50 µs": lambda row: row["frag_us"]["p50"],
        "fragment p99 µs": lambda row: row["frag_us"]["p99"],
        "CPU a fragment µs": lambda row: row["cpu_us_per_fragment"],
        "CPU a stream µs": lambda row: row["cpu_us_per_request"],
        "streams/s": lambda row: row["rps"],
    }
    print("| calls | through | " + " | ".join(f"{name} | x" for name in figures) + " |")
    print("|---|---|" + "---:|---:|" * len(figures))
    for (scenario, peer), found in rows.items():
        bare = rows.get((scenario, "aiohttp"), [])
        cells = []
        for figure in figures.values():
            ratios = [figure(row) / figure(to) for row, to in zip(found, bare, strict=False) if figure(to)]
            ratio = f"{statistics.median(ratios):.2f}" if ratios else ""
            cells.append(f"{statistics.median(map(figure, found)):,.1f} | {ratio}")
        print(f"| {scenario} | {peer} | " + " | ".join(cells) + " |")


def starts(asked: argparse.Namespace) -> None:
    rows: dict[tuple[str, str], list[dict]] = {}
    for round_ in range(asked.runs):  # interleaved: a noisy minute hits every peer
        for scenario in asked.scenarios.split(","):
            for peer in asked.peers:
                row = started(peer, scenario, asked.before)
                if row["errors"] or row["short"]:
                    print(f"{scenario} {peer}: {row}", file=sys.stderr)
                rows.setdefault((scenario, peer), []).append(row)
                keep(asked.out, {"round": round_, "scenario": scenario, "peer": peer, **row})
    report_starts(rows)


# -- streams


def many(peer: str, streams: int, readers: int, before: Path | None) -> dict:
    """``streams`` at once, each with ``readers``; what is counted comes when all of them run."""
    with serving(peer, before) as server:
        empty = memory(server.pid) if server else 0
        shape = ["--conns", str(streams), "--frags", str(RATE * 600), "--gap-us", str(1_000_000 // RATE)]
        spread = ["--ramp-ms", str(RAMP_S * 1000), "--duration", str(COUNTED_S), "--ws", str(readers - 1)]
        program = subprocess.Popen(
            load(peer, *shape, *spread), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        with program:
            assert program.stderr is not None
            assert program.stdout is not None
            while not (line := program.stderr.readline()).startswith(b"COUNTING"):
                if not line:
                    raise RuntimeError(f"{peer} {streams}: the load ended before it counted")
            spent, held = (cpu(server.pid), memory(server.pid)) if server else (0.0, 0)
            found = json.loads(program.stdout.readline())
            spent = cpu(server.pid) - spent if server else 0.0
    found |= {"streams": streams, "readers": readers, "core": spent / COUNTED_S}
    found["cpu_us_per_fragment"] = spent * 1e6 / max(1, found["frags"])
    found["kib_per_stream"] = (held - empty) / streams / 1024
    found["worst_p99_us"] = max(found["frag_us"]["p99"], found["ws"]["p99"] if readers > 1 else 0.0)
    return found


def keeps_up(row: dict) -> bool:
    """Whether a peer is not behind yet: a p99 alone may be another's noise on a shared machine."""
    due = row["streams"] * RATE * COUNTED_S
    return row["frag_us"]["p50"] < TOO_LATE_US and row["frags"] > 0.95 * due and not row["errors"]


def streams(asked: argparse.Namespace) -> None:
    print(
        "| readers | through | streams | fragment p50 ms | p99 ms | WebSocket p99 ms | CPU a fragment µs | core | KiB a stream | load busy |"
    )
    print("|---|---|" + "---:|" * 8)
    seen: dict[str, list[tuple[float, float]]] = {}
    for readers in map(int, asked.readers.split(",")):
        for peer in asked.peers:
            if readers > 1 and peer not in OURS:
                continue
            for count in map(int, asked.steps.split(",")):
                row = many(peer, count, readers, asked.before)
                keep(asked.out, {"peer": peer, **row})
                seen.setdefault(f"{peer} x {readers}", []).append((count, row["cpu_us_per_fragment"]))
                ws = f"{row['ws']['p99'] / 1000:.1f}" if readers > 1 else ""
                print(
                    f"| {readers} | {peer} | {count:,} | {row['frag_us']['p50'] / 1000:.2f} | {row['frag_us']['p99'] / 1000:.1f} | {ws} "
                    f"| {row['cpu_us_per_fragment']:.1f} | {row['core']:.2f} | {row['kib_per_stream']:.1f} | {row['gen_busy']:.2f} |",
                    flush=True,
                )
                if not keeps_up(row):
                    break
    if asked.picture:
        lines(asked.picture, "CPU of a fragment against streams at 20 fragments/s each", seen, "streams", "µs")


# -- idle


async def silent(count: int, started: "asyncio.Event") -> asyncio.Server:
    """An upstream that says ``stream_start`` and nothing more; tells when that many have been answered."""
    told = 0
    line = b'{"event_type":"stream_start","metadata":{"generation_id":"g"}}\n'
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"

    class Silent(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            nonlocal told
            if b"/analyze" in data:
                told += 1
                self.transport.write(answer + b"%x\r\n%s\r\n" % (len(line), line))
                if told == count:
                    started.set()

    return await asyncio.get_running_loop().create_server(Silent, "127.0.0.1", UPSTREAM, backlog=4096)


async def fill(count: int) -> None:
    """Start streams over a few connections, natively: nobody reads them."""
    import aiohttp

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=16)) as session:

        async def one(n: int) -> None:
            body = {"prompt": str(n), "video_id": "v"}
            async with session.post(f"http://127.0.0.1:{LISTEN}/v1/streams", json=body) as answer:
                assert answer.status == 201, await answer.text()

        for begin in range(0, count, 100):
            await asyncio.gather(*(one(n) for n in range(begin, min(count, begin + 100))))


async def idle_of(peer: str, count: int, before: Path | None) -> float:
    """KiB that a silent stream costs."""
    all_started = asyncio.Event()
    server = await silent(count, all_started)
    with serving(peer, before, FANLIGHT_FIRST_EVENT_TIMEOUT_S="600", FANLIGHT_IDLE_TIMEOUT_S="600") as process:
        assert process is not None
        empty = memory(process.pid)
        await fill(count)
        await all_started.wait()
        await asyncio.sleep(1)
        found = (memory(process.pid) - empty) / count / 1024
    server.close()
    return found


def idle(asked: argparse.Namespace) -> None:
    for peer in asked.peers:
        if peer in OURS:
            kib = asyncio.run(idle_of(peer, asked.count, asked.before))
            keep(asked.out, {"peer": peer, "idle": asked.count, "kib_per_stream": kib})
            print(f"{peer}: {asked.count:,} silent streams, {kib:.1f} KiB each")


def keep(path: Path | None, row: dict) -> None:
    if path:
        with path.open("a") as out:
            out.write(json.dumps(row) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["starts", "streams", "idle"])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--scenarios", default=",".join(SCENARIOS))
    parser.add_argument("--peers", help="of " + ", ".join([*PEERS, "before"]))
    parser.add_argument("--readers", default="1,2")
    parser.add_argument("--steps", default="100,200,400,600,800,1000,1200,1500,2000,3000")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--before", type=Path, help="another checkout, its extension built")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--picture", type=Path)
    asked = parser.parse_args()
    asked.peers = asked.peers.split(",") if asked.peers else [*PEERS, *(["before"] if asked.before else [])]
    build(HERE / "relay.c", HERE.parent / "gateway" / "httpload.c")
    {"starts": starts, "streams": streams, "idle": idle}[asked.what](asked)


if __name__ == "__main__":
    main()
