"""What the gateway itself costs: calls through it against direct ones, next to nginx and bare aiohttp, in one run.

The proxy under test runs on core 0; upstream and callers (httpload, C, one clock) on core 1.
python bench/gateway/run.py [--runs 3] [--scenarios calls1,calls16] [--peers direct,fanlight]
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent

sys.path.insert(0, str(HERE.parent))
from rig import BIN, build, cpu, stop, wait_port

LISTEN, UPSTREAM = 9301, 9302
PEERS = {
    "direct": None,
    "nginx": ["nginx", "-c", str(HERE / "nginx_proxy.conf"), "-p", "{run}"],
    "aiohttp": [sys.executable, str(HERE / "proxy_aiohttp.py"), str(LISTEN), str(UPSTREAM)],
    "fanlight": [sys.executable, "-m", "service"],
}
SETTINGS = {
    "FANLIGHT_PORT": str(LISTEN),
    "FANLIGHT_UPSTREAM_URL": f"http://127.0.0.1:{UPSTREAM}/v1.3",
    "FANLIGHT_LOG_LEVEL": "info",
    "FANLIGHT_DRAIN_S": "1",
    "FANLIGHT_STORE": os.environ.get("FANLIGHT_STORE", "memory"),
}
SCENARIOS = {
    "calls1": ["--conns", "1", "--frags", "200", "--gap-us", "1000", "--duration", "2"],
    "calls16": ["--conns", "16", "--frags", "200", "--gap-us", "10000", "--duration", "4"],
    "calls64": ["--conns", "64", "--frags", "200", "--gap-us", "20000", "--duration", "6"],
    "short200": ["--conns", "32", "--frags", "200", "--gap-us", "0", "--duration", "3"],
}


def measure(peer: str, scenario: str) -> dict:
    run = tempfile.mkdtemp(prefix="bench.")
    os.chmod(run, 0o777)  # nginx's workers are another user
    command = PEERS[peer]
    log = open(Path(run) / "log", "wb")
    server = None
    if command is not None:
        command = ["taskset", "-c", "0", *(part.replace("{run}", run) for part in command)]
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=run, env={**os.environ, **SETTINGS})
    try:
        if server is not None and not wait_port(LISTEN, server):
            return {"error": (Path(run) / "log").read_text()[-300:]}
        time.sleep(0.3)
        before = cpu(server.pid) if server else 0.0
        target = LISTEN if server else UPSTREAM
        load = [
            "taskset",
            "-c",
            "1",
            str(BIN / "httpload"),
            "--listen",
            str(UPSTREAM),
            "--target",
            f"127.0.0.1:{target}",
        ]
        done = subprocess.run([*load, *SCENARIOS[scenario]], capture_output=True, timeout=60, check=True)
        found = json.loads(done.stdout)
        spent = cpu(server.pid) - before if server else 0.0
        found["cpu_us_per_request"] = round(spent * 1e6 / max(1, found["requests"]), 1)
        return found
    finally:
        if server is not None:
            stop(server)
        log.close()
        shutil.rmtree(run, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--scenarios", default=",".join(SCENARIOS))
    parser.add_argument("--peers", default=",".join(PEERS))
    asked = parser.parse_args()
    build(HERE / "httpload.c")
    found: dict[tuple[str, str], list[dict]] = {}
    for _ in range(asked.runs):  # interleaved: a noisy minute hits every peer
        for scenario in asked.scenarios.split(","):
            for peer in asked.peers.split(","):
                row = measure(peer, scenario)
                if "error" in row or row["errors"] or row["short"]:
                    print(f"{scenario} {peer}: {row}", file=sys.stderr)
                found.setdefault((scenario, peer), []).append(row)
    print("| calls | through | first fragment p50 | p99 | fragment p50 | p99 (µs) | streams/s | CPU a stream (µs) |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for (scenario, peer), rows in found.items():
        rows = [row for row in rows if "error" not in row]
        figures = [
            statistics.median(row[kind][quantile] for row in rows)
            for kind in ("ttfb_us", "frag_us")
            for quantile in ("p50", "p99")
        ]
        rate = statistics.median(row["rps"] for row in rows)
        cost = statistics.median(row["cpu_us_per_request"] for row in rows)
        shown = " | ".join(f"{figure:,.0f}" for figure in figures)
        print(f"| {scenario} | {peer} | {shown} | {rate:,.0f} | {cost:,.0f} |")


if __name__ == "__main__":
    main()
