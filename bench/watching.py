"""The dashboard's panels over a real service under load, as a picture: `python -m bench.watching`.

The service runs as a process of its own, with its store in a file, and a Prometheus of its own scrapes it. The
load starts, joins, resumes, reads over every transport, falls behind, is refused and cancels. Then each panel's
own expressions are asked of Prometheus, and what they gave is drawn. Needs `prometheus` and Chromium.
"""

import argparse
import asyncio
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from playwright.async_api import async_playwright

from bench.pictures import COLOURS
from bench.rig import ROOT, stop, wait_port
from tests.browser.pictures import smaller
from tests.fakes.browser import CHROMIUM
from tests.fakes.upstream import end, start, text

BOARD = json.loads((ROOT / "deploy" / "grafana" / "dashboard.json").read_text(encoding="utf-8"))
PICTURE = ROOT / "docs" / "images" / "dashboard.png"
STEP_S = 2
# How a panel's figures are told, by its unit: the first that its largest figure does not fall below, else the last.
SCALES: dict[str, list[tuple[float, str]]] = {
    "s": [(1.0, " s"), (1e-3, " ms"), (1e-6, " µs")],
    "bytes": [(1 << 30, " GiB"), (1 << 20, " MiB"), (1 << 10, " KiB"), (1, " B")],
    "percentunit": [(0.01, " %")],
    "ops": [(1.0, " /s")],
    "short": [(1.0, "")],
}


async def tell(request: web.Request) -> web.StreamResponse:
    """An upstream: mostly it tells 60 words, sometimes it refuses, breaks off or is slow to begin."""
    chance = random.random()
    if chance < 0.04:
        return web.json_response({"code": "overloaded"}, status=503)
    await asyncio.sleep(random.expovariate(4))
    answer = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    with suppress(ConnectionError):
        await answer.prepare(request)
        await answer.write(start())
        for number in range(60):
            await asyncio.sleep(random.expovariate(20))
            await answer.write(text(f"word {number} "))
            if chance > 0.97 and number == 30:
                assert request.transport is not None
                request.transport.abort()
        await answer.write(end())
    return answer


class Load:
    """What callers do."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self._url = url
        self._http = http
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, seconds: float) -> None:
        """Half a dozen starts a second, and each with a few readers."""
        until = asyncio.get_running_loop().time() + seconds
        while (left := until - asyncio.get_running_loop().time()) > 0:
            # It swells and ebbs, so that there is something to see.
            await asyncio.sleep(random.expovariate(3 + 5 * abs((left % 80) / 40 - 1)))
            self._begin(self._one())
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _one(self) -> None:
        chance = random.random()
        if chance < 0.05:
            await self._get("/v1/streams/st_unknown")
            return
        body = {"prompt": f"p{random.randrange(40)}", "video_id": "v", "fanlight": {"join": "running", "ttl_s": 60}}
        with suppress(aiohttp.ClientError):
            async with self._http.post(self._url + "/v1/streams", json=body) as answer:
                if answer.status > 201:
                    return
                stream = (await answer.json())["id"]
            for _ in range(random.randrange(1, 12)):
                self._begin(self._read(stream))
            if chance > 0.95:
                await asyncio.sleep(1)
                async with self._http.delete(f"{self._url}/v1/streams/{stream}?force=1"):
                    pass

    async def _read(self, stream: str) -> None:
        await asyncio.sleep(random.expovariate(2))
        way = random.choice(
            ("ws", "ws", "events", "ndjson", "text", "ws?view=raw", "events?cursor=1.3", "ndjson?cursor=9.9")
        )
        path = f"{self._url}/v1/streams/{stream}/{way}"
        with suppress(aiohttp.ClientError):
            if way.startswith("ws"):
                async with self._http.ws_connect(path) as socket_:
                    async for _ in socket_:
                        pass
            else:
                await self._get(path.removeprefix(self._url))

    async def _get(self, path: str) -> None:
        with suppress(aiohttp.ClientError):
            async with self._http.get(self._url + path) as answer:
                await answer.read()


async def fall_behind(port: int, http: aiohttp.ClientSession, url: str, seconds: float) -> None:
    """A reader with a small window that takes a little now and then."""
    until = asyncio.get_running_loop().time() + seconds
    number = 0
    while asyncio.get_running_loop().time() < until:
        number += 1
        body = {"prompt": f"long {number}", "video_id": "v"}
        async with http.post(url + "/v1/streams", json=body) as answer:
            if answer.status > 201:
                await asyncio.sleep(1)
                continue
            stream = (await answer.json())["id"]
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            slow.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(slow, ("127.0.0.1", port))
            await loop.sock_sendall(
                slow, f"GET /v1/streams/{stream}/ndjson?view=raw HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
            )
            await asyncio.sleep(6)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def ask(http: aiohttp.ClientSession, url: str, expr: str, begin: float, finish: float) -> list[dict[str, Any]]:
    put_in = expr.replace("$__rate_interval", "20s").replace("$job", ".*")
    query = {"query": put_in, "start": str(begin), "end": str(finish), "step": str(STEP_S)}
    async with http.get(url + "/api/v1/query_range", params=query) as answer:
        told = await answer.json()
        assert told["status"] == "success", told
        return list(told["data"]["result"])


def legend(form: str, labels: dict[str, str]) -> str:
    for name, value in labels.items():
        form = form.replace("{{" + name + "}}", value)
    return re.sub(r"{{\w+}}", "", form).strip()


def drawn(panel: dict[str, Any], series: dict[str, list[tuple[float, float]]], begin: float, finish: float) -> str:
    """A panel as SVG."""
    values = [value for points in series.values() for _, value in points]
    top = max(values, default=0) or 1
    scales = SCALES[panel["fieldConfig"]["defaults"]["unit"]]
    part, unit = next((scale for scale in scales if top >= scale[0]), scales[-1])
    parts = [f'<h3>{escape(panel["title"])}</h3><svg viewBox="0 0 400 150">']
    for share in (0, 0.5, 1):
        y = 130 - 115 * share
        parts.append(
            f'<path class="grid" d="M52 {y}H396"/><text x="48" y="{y + 3}" text-anchor="end">{top * share / part:.3g}{unit}</text>'
        )
    for number, points in enumerate(series.values()):
        places = [
            f"{52 + 344 * (at - begin) / (finish - begin):.1f},{130 - 115 * value / top:.1f}" for at, value in points
        ]
        parts.append(f'<polyline points="{" ".join(places)}" stroke="{COLOURS[number % len(COLOURS)]}"/>')
    parts.append("</svg><p>")
    for number, name in enumerate(list(series)[:8]):
        parts.append(f'<i style="color:{COLOURS[number % len(COLOURS)]}">&#9632;</i> {escape(name)}&ensp;')
    return "".join(parts) + ("" if series else "nothing was told") + "</p>"


STYLE = """body{font:12px system-ui,sans-serif;margin:12px;background:#fff;color:#222;width:1260px}
h2{font-size:15px;margin:14px 0 6px}h3{font-size:12px;margin:0 0 2px;font-weight:600}
.row{display:grid;grid-template-columns:repeat(3,1fr);gap:8px;margin-bottom:8px}.panel{border:1px solid #ddd;padding:6px}
svg{width:100%;display:block}polyline{fill:none;stroke-width:1.4}.grid{stroke:#e5e5e5}text{font-size:9px;fill:#666}
p{margin:2px 0 0;font-size:10px;color:#444;min-height:13px}i{font-style:normal}"""


async def page(http: aiohttp.ClientSession, url: str, begin: float, finish: float) -> tuple[str, list[str]]:
    """The board as HTML, and the panels that had nothing to show."""
    parts, empty = [f"<meta charset=utf-8><style>{STYLE}</style>"], list[str]()
    for panel in BOARD["panels"]:
        if panel["type"] == "row":
            parts.append(f"</div><h2>{escape(panel['title'])}</h2><div class=row>")
            continue
        series: dict[str, list[tuple[float, float]]] = {}
        for target in panel["targets"]:
            for found in await ask(http, url, target["expr"], begin, finish):
                points = [(float(at), float(value)) for at, value in found["values"] if value != "NaN"]
                if points:
                    series[legend(target["legendFormat"], found["metric"])] = points
        if not series:
            empty.append(panel["title"])
        parts.append(f"<div class=panel>{drawn(panel, series, begin, finish)}</div>")
    return "".join(parts) + "</div>", empty


async def main(seconds: float, picture: Path) -> None:
    app = web.Application()
    app.router.add_post("/v1.3/analyze", tell)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    upstream = f"http://127.0.0.1:{runner.addresses[0][1]}/v1.3"
    port, at = free_port(), free_port()
    folder = Path(tempfile.mkdtemp(prefix="fanlight-watching-"))
    config = folder / "prometheus.yml"
    rules = ROOT / "deploy" / "prometheus" / "alerts.yaml"
    config.write_text(
        f"global: {{scrape_interval: {STEP_S}s, evaluation_interval: {STEP_S}s}}\nrule_files: ['{rules}']\n"
        f"scrape_configs: [{{job_name: fanlight, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]\n"
    )
    settings = {
        "FANLIGHT_PORT": str(port),
        "FANLIGHT_UPSTREAM_URL": upstream,
        "FANLIGHT_STORE": f"sqlite:{folder}/streams.db",
        "FANLIGHT_AUDIT_LOG": str(folder / "audit.jsonl"),
        "FANLIGHT_MAX_KEPT_BYTES": "400000",
        "FANLIGHT_STARTS_PER_MINUTE": "150",
        "FANLIGHT_HIGH_WATER_BYTES": "2048",
        "FANLIGHT_LOG_LEVEL": "error",
    }
    service = subprocess.Popen([sys.executable, "-m", "service"], cwd=ROOT, env={**os.environ, **settings})
    server = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={folder}/tsdb",
            f"--web.listen-address=127.0.0.1:{at}",
            "--enable-feature=exemplar-storage",
            "--log.level=error",
        ]
    )
    try:
        assert wait_port(port, service)
        assert wait_port(at, server)
        address, url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{at}"
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as http:
            async with asyncio.TaskGroup() as group:
                group.create_task(Load(address, http).run(seconds))
                for _ in range(2):
                    group.create_task(fall_behind(port, http, address, seconds))
            async with http.get(url + "/api/v1/query", params={"query": "time()"}) as answer:
                finish = float((await answer.json())["data"]["result"][0])
            html, empty = await page(http, url, finish - seconds + 10, finish)
            async with http.get(url + "/api/v1/rules") as answer:
                told = [rule for group_ in (await answer.json())["data"]["groups"] for rule in group_["rules"]]
        async with async_playwright() as play:
            browser = await play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            sheet = await browser.new_page(viewport={"width": 1290, "height": 800})
            await sheet.set_content(html)
            picture.write_bytes(smaller(await sheet.screenshot(full_page=True)))
            await browser.close()
        panels = sum(panel["type"] != "row" for panel in BOARD["panels"])
        print(f"{panels} panels, {seconds:.0f} s; without anything to show: {', '.join(empty) or 'none'}")
        print(
            f"{len(told)} alerts read, unhealthy: {[r['name'] for r in told if r['health'] != 'ok'] or 'none'};",
            end=" ",
        )
        print(f"firing or pending: {[r['name'] for r in told if r['state'] != 'inactive'] or 'none'}")
        print(f"audit log: {sum(1 for _ in (folder / 'audit.jsonl').open())} lines")
    finally:
        stop(service)
        stop(server)
        await runner.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--picture", type=Path, default=PICTURE)
    found = parser.parse_args()
    asyncio.run(main(found.seconds, found.picture))
