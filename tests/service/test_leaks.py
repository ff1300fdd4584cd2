"""What callers and operators must keep for themselves stands nowhere that it need not: a service of its own is driven
through every route with marked secrets, prompts and texts, at the most talkative level, and then everything that
it leaves behind is searched for the marks."""

import asyncio
import base64
import hashlib
import os
import re
import sqlite3
import subprocess
import sys
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from config.settings import Settings
from service.app import application
from tests.fakes.upstream import Cut, Play, ScriptedServer, end, start, text
from tests.fakes.waiting import until

ROOT = Path(__file__).parent.parent.parent
# What only its owner may know.
SECRETS = {
    "caller's key": "mark0callerskey0a1",
    "wrong key": "mark0wrongkey0a2",
    "upstream's key": "mark0upstreamskey0a3",
    "key for tickets": base64.urlsafe_b64encode(b"mark0ticketkey0a4 of some length.").decode().rstrip("="),
    "password in an address": "mark0password0a5",
    "model's key": "mark0modelskey0a6",
    "cookie": "mark0cookie0a7",
    "forged ticket": "eyJhbGciOiJub25lIn0.mark0forged0a8.mark0forged0a8",
}
# What is said in a stream, by either side.
SAID = {
    "prompt": "mark0prompt0b1",
    "text": "mark0text0b2",
    "address of a video": "mark0video0b3",
    "media": base64.b64encode(b"mark0media0b4" * 5).decode(),
    "schema": "mark0schema0b5",
    "query": "mark0query0b6",
    "upstream's words": "mark0words0b7",
    "idempotency key": "mark0idempotency0b8",
    "malformed body": "mark0malformed0b9",
    "unknown member": "mark0unknown0b12",
    "agent": "mark0agent0b10",
    "referer": "mark0referer0b11",
}
MARKS = SECRETS | SAID
DONE = [start(), text(f'{{"a": "{SAID["text"]}'), text('"}'), end()]
VIDEO = f"https://u:{SECRETS['password in an address']}@a.example/{SAID['address of a video']}.mp4"
FORM = {"type": "json_schema", "json_schema": {"type": "object", "properties": {SAID["schema"]: {"type": "string"}}}}
NAMES = {"name": "room", "jti": "tk_AAAAAAAAAAAAAAAAAAAAAA", "number": "0", "kind": "vtt", "path": "assets"}
SOCKETS = re.compile(r".*/ws$")
ENDLESS = re.compile(r"/v1/channels/.*")
ALLOWED_HEADERS = {
    "Cookie": f"session={SECRETS['cookie']}",
    "User-Agent": SAID["agent"],
    "Referer": f"https://a.example/{SAID['referer']}",
}


def found_in(data: bytes | str, marks: dict[str, str] = MARKS) -> set[str]:
    """The names of the marks that stand there, as they are or in base64."""
    data = data if isinstance(data, bytes) else data.encode()
    return {name for name, mark in marks.items() if mark.encode() in data or _in_base64(mark, data)}


def _in_base64(mark: str, data: bytes) -> bool:
    whole = (base64.b64encode(b"x" * shift + mark.encode())[4:-4] for shift in range(3))
    return any(part in data for part in whole)


class NotServing(Exception):
    """The service has ended instead."""


@dataclass
class Left:
    """What a service has left behind.

    Attributes:
        bodies: of refusals.
        told: what its collector was told.
    """

    folder: Path
    log: bytes = b""
    told: bytes = b""
    metrics: bytes = b""
    cmdlines: bytes = b""
    bodies: list[bytes] = field(default_factory=list)
    tickets: dict[str, str] = field(default_factory=dict)
    driven: int = 0

    @property
    def audit(self) -> bytes:
        return (self.folder / "audit.jsonl").read_bytes()

    def places(self) -> dict[str, bytes]:
        return {
            "log": self.log,
            "audit": self.audit,
            "metrics": self.metrics,
            "traces and figures": self.told,
            "refusals": b"\n".join(self.bodies),
            "command lines": self.cmdlines,
        }


@asynccontextmanager
async def collector(left: Left) -> AsyncIterator[str]:
    """Whoever is told traces and figures by OTLP."""

    async def take(request: web.Request) -> web.Response:
        left.told += await request.read()
        return web.Response(content_type="application/x-protobuf")

    app = web.Application()
    app.router.add_post("/{path:.*}", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@asynccontextmanager
async def running(left: Left, **settings: str) -> AsyncIterator[str]:
    """The service as a process of its own; gives its address."""
    own = ("FANLIGHT_", "TWELVELABS_", "OTEL_")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(own)},
        "FANLIGHT_PORT": "0",
        "FANLIGHT_LOG_LEVEL": "debug",
        "FANLIGHT_DRAIN_S": "1",
        "FANLIGHT_AUDIT_LOG": str(left.folder / "audit.jsonl"),
        "FANLIGHT_DATA_DIR": str(left.folder),
        **{name if name.startswith("OTEL_") else f"FANLIGHT_{name}": value for name, value in settings.items()},
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "service", cwd=ROOT, env=environment, stderr=asyncio.subprocess.PIPE
    )

    async def read() -> None:
        assert process.stderr is not None
        async for line in process.stderr:
            left.log += line

    reading = asyncio.create_task(read())
    try:
        await until(lambda: b'"serving"' in left.log or process.returncode is not None)
        lines = [orjson.loads(line) for line in left.log.splitlines() if line.startswith(b"{")]
        addresses = [line["address"] for line in lines if line["event"] == "serving"]
        if not addresses:
            raise NotServing
        yield addresses[0]
        left.cmdlines = b"\n".join(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in tree(process.pid))
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
        await reading


def tree(pid: int) -> Iterator[int]:
    """A process and all below it."""
    yield pid
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield from tree(int(child))


async def routes() -> list[tuple[str, str]]:
    """Every method and address of the service."""
    settings = Settings(port=0, store="memory", upstream_url="http://127.0.0.1:9/v1.3")
    async with application(settings) as app:
        found = [(route.method, route.resource.canonical) for route in app.router.routes() if route.resource]
    return sorted({("POST" if method == "*" else method, path) for method, path in found})


def asked(path: str) -> Any:
    """A body that a route takes, full of marks."""
    fanlight = {"join": "replay", "restart": 1, "ttl_s": 60}
    if path.startswith("/ai-sdk/"):
        said = {"id": "m", "role": "user", "parts": [{"type": "text", "text": SAID["prompt"]}]}
        return {
            "id": "chat",
            "messages": [said],
            "prompt": SAID["prompt"],
            "video": VIDEO,
            "schema": FORM["json_schema"],
        }
    if path.startswith("/openai/"):
        parts = [{"type": "text", "text": SAID["prompt"]}, {"type": "video_url", "video_url": {"url": VIDEO}}]
        return {"model": SAID["query"], "messages": [{"role": "user", "content": parts}], "stream": True}
    if path.startswith("/v1/tickets"):
        return {"scopes": ["start"], "session": SAID["query"]}
    base = {"prompt": SAID["prompt"], "video": {"type": "url", "url": VIDEO}, "response_format": FORM}
    return base if path.startswith("/v1.3/") else {**base, "fanlight": fanlight}


class Driver:
    """Asks everything of a service that can be asked."""

    def __init__(self, left: Left, url: str, http: aiohttp.ClientSession) -> None:
        self._left = left
        self._url = url
        self._http = http

    async def call(self, method: str, path: str, **more: Any) -> tuple[int, bytes]:
        self._left.driven += 1
        headers = ALLOWED_HEADERS | more.pop("headers", {})
        async with self._http.request(method, self._url + path, headers=headers, **more) as answer:
            body = b""
            if not (ENDLESS.match(path) and answer.status == 200):
                with suppress(aiohttp.ClientPayloadError):
                    body = await answer.read()
            if answer.status >= 400:
                self._left.bodies.append(
                    f"{method} {path.partition('?')[0]} ".encode() + body + repr(answer.headers).encode()
                )
            return answer.status, body

    async def every_way(self, method: str, path: str, key: dict[str, str], ticket: str) -> None:
        """One address: with a key, a ticket, a wrong key, a body that is none, and from a page elsewhere."""
        query = f"?q={SAID['query']}&view={SAID['query']}"
        wrong = {"x-api-key": SECRETS["wrong key"], "Authorization": f"Bearer {SECRETS['wrong key']}"}
        body: dict[str, Any] = {"json": asked(path)} if method in ("POST", "PUT", "PATCH") else {}
        idempotency = {"Idempotency-Key": SAID["idempotency key"]}
        await self.call(method, path, headers=key | idempotency, **body)
        await self.call(method, path + query, headers=key, **body)
        await self.call(method, path + query, headers=wrong, **body)
        await self.call(method, f"{path}?ticket={ticket}", **body)
        await self.call(method, f"{path}?ticket={SECRETS['forged ticket']}", **body)
        await self.call(method, path, headers=key, data=f'{{"prompt": "{SAID["malformed body"]}'.encode())
        await self.call(
            method, path, headers=key, json={"prompt": {SAID["unknown member"]: 1}, "fanlight": SAID["unknown member"]}
        )
        await self.call(method, path, headers=key | {"Origin": f"https://{SAID['referer']}.example"}, **body)

    async def socket(self, path: str, key: dict[str, str], ticket: str, stream: str) -> None:
        """A socket: what it is asked, well and badly formed, and what it is refused."""
        start_ = {
            "type": "start",
            "request": asked("/v1/ws"),
            "ref": SAID["query"],
            "idempotency_key": SAID["idempotency key"],
        }
        told: list[Any] = [
            start_,
            {"type": "subscribe", "stream": stream, "cursor": SAID["query"], "ref": 1},
            {"type": "subscribe", "channel": SAID["query"]},
            {"type": "cancel", "stream": stream, "force": True},
            {"type": "ticket", "ticket": SECRETS["forged ticket"]},
            {"type": SAID["query"], SAID["malformed body"]: SAID["prompt"]},
            {"type": "ping", "ref": "last"},
        ]
        self._left.driven += 1
        async with self._http.ws_connect(self._url + path, headers=ALLOWED_HEADERS | key) as socket:
            await socket.send_str(f'{{"type": "{SAID["malformed body"]}')
            for message in told:
                with suppress(ConnectionError):
                    await socket.send_json(message)
            async for answer in socket:
                body = orjson.loads(answer.data)
                if body["type"] == "error":
                    self._left.bodies.append(orjson.dumps({**body, "ref": None}))
                if body.get("ref") == "last" and body["type"] == "pong":
                    break
        for more in (f"?ticket={SECRETS['forged ticket']}", f"?cursor={SAID['query']}&ticket={ticket}"):
            async with self._http.ws_connect(self._url + path + more) as socket:
                await socket.close()
        protocols = ("fanlight.v1", f"ticket.{ticket}")
        async with self._http.ws_connect(self._url + path, protocols=protocols) as socket:
            await socket.close()

    async def everything(self, key: dict[str, str]) -> None:
        ended = await self._started(key)
        ticket = await self._ticket(key)
        for method, route in await routes():
            path = re.sub(r"\{(\w+)\}", lambda name: ended if name[1] == "id" else NAMES[name[1]], route)
            if method == "GET" and SOCKETS.fullmatch(path):
                await self.socket(path, key, ticket, ended)
            else:
                await self.every_way(method, path, key, ticket)
        media = {"prompt": "p", "video": {"type": "base64_string", "base64_string": SAID["media"]}}
        await self.call("POST", "/v1/streams", headers=key, json=media)
        _, self._left.metrics = await self.call("GET", "/metrics")
        _, more = await self.call("GET", "/metrics", headers={"Accept": "application/openmetrics-text"})
        self._left.metrics += more

    async def _started(self, key: dict[str, str]) -> str:
        """A stream that has ended well; two that did not come first."""
        shown: dict[str, Any] = {}
        for number in range(3):
            body = asked("/v1/streams") | {"fanlight": {"join": "never"}, "model_name": f"m{number}"}
            _, told = await self.call("POST", "/v1/streams", headers=key, json=body)
            _, told = await self.call("GET", f"/v1/streams/{orjson.loads(told)['id']}?wait=10", headers=key)
            shown = orjson.loads(told)
        assert shown["status"] == "completed", shown
        return str(shown["id"])

    async def _ticket(self, key: dict[str, str]) -> str:
        """A good one; callers with keys of their own can have none."""
        _, told = await self.call("POST", "/v1/tickets", headers=key, json={"scopes": ["start"], "ttl_s": 60})
        ticket = str(orjson.loads(told).get("ticket", ""))
        if not ticket:
            return SECRETS["forged ticket"]
        self._left.tickets = {"ticket": ticket, "ticket's proof": ticket.rpartition(".")[2]}
        return ticket


async def drive(folder: Path, **settings: str) -> Left:
    left = Left(folder)
    plays = [Play([SAID["upstream's words"].encode()], 400), Play([start(), text(SAID["text"]), Cut()]), Play(DONE)]
    async with ScriptedServer(*plays) as upstream, collector(left) as told:
        settings = {"UPSTREAM_URL": upstream.url, "OTEL_EXPORTER_OTLP_ENDPOINT": told, **settings}
        timeout = aiohttp.ClientTimeout(total=60)
        async with running(left, **settings) as url, aiohttp.ClientSession(timeout=timeout) as http:
            await Driver(left, url, http).everything({"x-api-key": SECRETS["caller's key"]})
    return left


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


MODES = {
    "keys of the service": {
        "API_KEYS": "acme:" + digest(SECRETS["caller's key"]),
        "TICKET_KEYS": f"k1:{SECRETS['key for tickets']}",
        "UPSTREAM_KEY": SECRETS["upstream's key"],
    },
    "keys of the callers": {"FORWARD_KEYS": "1"},
}
# What the store has to keep of streams that have ended, and where it stands.
KEPT = {
    "prompt": {"streams.meta", "notes.told"},
    "address of a video": {"streams.meta", "notes.told"},
    "password in an address": {"streams.meta", "notes.told"},
    "schema": {"streams.meta"},
    "text": {"blocks.data", "streams.ending", "notes.told"},
    "unknown member": {"streams.meta"},
    "idempotency key": {"keys.key"},
}


@pytest.mark.parametrize("mode", MODES)
async def test_marks_stand_nowhere_that_they_need_not(tmp_path: Path, mode: str):
    left = await drive(tmp_path, **MODES[mode])
    assert left.driven > 200
    assert b'"route":"/v1/streams/{id}/ndjson"' in left.log
    assert b"generate_content" in left.told
    assert b"fanlight_delivery_seconds" in left.told
    for place, data in left.places().items():
        assert len(data) > 30, place
        lines = [line for line in data.splitlines() if found_in(line, MARKS | left.tickets)]
        assert not lines, (place, lines[:3])
    assert not found_in((tmp_path / "streams.db").read_bytes(), SECRETS | left.tickets) - {"password in an address"}
    found = columns(tmp_path / "streams.db", MARKS | left.tickets)
    for name, where in found.items():
        assert where <= KEPT.get(name, set()), (name, where)
    assert {"prompt", "text"} <= set(found)  # what is looked for can be found


def columns(path: Path, marks: dict[str, str]) -> dict[str, set[str]]:
    """In which columns of a store which marks stand."""
    found: dict[str, set[str]] = {}
    with closing(sqlite3.connect(path)) as store:
        tables = [name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            rows = store.execute(f"SELECT * FROM {table}")
            names = [column[0] for column in rows.description]
            for row in rows:
                for column, value in zip(names, row, strict=True):
                    for mark in found_in(value if isinstance(value, bytes) else str(value), marks):
                        found.setdefault(mark, set()).add(f"{table}.{column}")
    return found


async def test_command_lines_of_the_embedded_engine_hold_no_key(tmp_path: Path):
    left = Left(tmp_path)
    model = {"VLM_URL": "http://127.0.0.1:9/v1", "VLM_MODEL": "m", "VLM_KEY": SECRETS["model's key"]}
    async with running(left, **model) as url, aiohttp.ClientSession() as http:
        await until(lambda: len(list(tree(_pid(left)))) > 1)
        async with http.get(url + "/livez") as answer:
            assert answer.status == 200
    assert b"engine" in left.cmdlines
    for place in (left.cmdlines, left.log):
        assert found_in(place) == set()


def _pid(left: Left) -> int:
    """The process that has the audit log open."""
    for path in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if path.readlink() == left.folder / "audit.jsonl":
                return int(path.parts[2])
    return os.getpid()


@pytest.mark.parametrize(
    "settings",
    [
        {"TICKET_KEYS": SECRETS["key for tickets"] + "!"},
        {"API_KEYS": SECRETS["caller's key"]},
        {"STORE": f"rediss://:{SECRETS['password in an address']}@127.0.0.1:1/0"},
        {"PORT": SECRETS["upstream's key"]},
        {"UPSTREAM_URL": f"https://u:{SECRETS['password in an address']}@nowhere.example/other"},
    ],
)
async def test_a_service_that_will_not_start_does_not_say_what_it_was_told(tmp_path: Path, settings: dict[str, str]):
    left = Left(tmp_path)
    with suppress(NotServing):  # a store that cannot be reached is waited for
        async with running(left, **settings):
            pass
    assert left.log
    assert found_in(left.log) == set()


FAILS = """
import asyncio, structlog, uvloop
from service import logs
logs.configure("debug")
async def fails(words):
    raise KeyError(words)
def breaks(words):
    raise ValueError(words)
async def main():
    loop = asyncio.get_running_loop()
    try:
        await fails(MARK)
    except KeyError:
        structlog.get_logger().exception("request_failed")
    task = loop.create_task(fails(MARK))
    loop.call_soon(breaks, MARK)
    await asyncio.wait([task])
    del task
loop = uvloop if LOOP == "uvloop" else asyncio
with asyncio.Runner(loop_factory=loop.new_event_loop) as runner:
    runner.run(main())
"""


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_what_fails_is_logged_without_its_own_words(loop: str):
    code = f"MARK, LOOP = {SAID['text']!r}, {loop!r}\n{FAILS}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    lines = [orjson.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in lines] == ["request_failed", "library", "library"]
    assert sorted(line["faults"][0] for line in lines) == ["KeyError", "KeyError", "ValueError"]
    assert found_in(done.stderr) == set()


def test_settings_show_no_secret_however_they_are_shown():
    settings = Settings(
        api_keys="acme:" + digest(SECRETS["caller's key"]),
        ticket_keys=f"k:{SECRETS['key for tickets']}",
        upstream_key=SECRETS["upstream's key"],
        vlm_key=SECRETS["model's key"],
        store=f"rediss://:{SECRETS['password in an address']}@127.0.0.1:1/0",
        upstream_url=f"https://u:{SECRETS['password in an address']}@a.example/v1.3",
    )
    try:
        raise RuntimeError(settings)
    except RuntimeError as exc:
        shown = "".join(traceback.format_exception(exc, chain=True))
    for words in (repr(settings), str(settings), shown, str(settings.shown())):
        assert found_in(words) == set()
