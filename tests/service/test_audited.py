"""What stands in the audit log of a running service, and what does not."""

import hashlib
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from service.web.trail import named
from tests.fakes.service import Service, Serving
from tests.fakes.upstream import Hang, Play, end, start, text
from tests.fakes.waiting import until

DONE = [start(), text("TEXT"), end()]
KEYS = {hashlib.sha256(key.encode()).hexdigest(): tenant for key, tenant in (("one-key", "one"), ("two-key", "two"))}
ONE, TWO = {"x-api-key": "one-key"}, {"x-api-key": "two-key"}
ASK = {"prompt": "PROMPT", "video_id": "v"}


class Audited:
    """A service with a log, and what stands there."""

    def __init__(self, serving: Serving, path: Path, *plays: Play, **settings: Any) -> None:
        self.path = path / "audit.jsonl"
        self._context = serving(*plays, audit_log=self.path, api_keys=KEYS, **settings)

    async def __aenter__(self) -> "Audited":
        self.service: Service = await self._context.__aenter__()
        return self

    async def __aexit__(self, *exc: Any) -> None:
        await self._context.__aexit__(*exc)

    def lines(self, *names: str) -> list[tuple[Any, ...]]:
        return [tuple(line[name] for name in names) for line in self.whole()]

    def whole(self) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in self.path.read_bytes().splitlines()]

    async def ask(self, method: str, path: str, headers: dict[str, str], **more: Any) -> tuple[int, Any]:
        async with self.service.http.request(method, self.service.url + path, headers=headers, **more) as answer:
            body = await answer.read()
            return answer.status, orjson.loads(body) if answer.content_type == "application/json" else body


async def test_a_start_a_join_a_reading_and_a_cancelling_are_a_line_each(serving: Serving, tmp_path: Path):
    async with Audited(serving, tmp_path, Play([start(), text("a"), Hang()])) as audited:
        options = {"fanlight": {"join": "running"}}
        _, shown = await audited.ask("POST", "/v1/streams", ONE, json=ASK | options)
        await audited.ask("POST", "/v1/streams", ONE, json=ASK | options)
        stream = shown["id"]
        await audited.ask("GET", f"/v1/streams/{stream}", ONE)
        url = f"{audited.service.url}/v1/streams/{stream}/ws"
        async with audited.service.http.ws_connect(url, headers=ONE) as socket:
            await socket.receive_json()
            await audited.ask("DELETE", f"/v1/streams/{stream}?force=1", ONE)
            async for _ in socket:
                pass
    told = audited.lines("call", "result", "tenant", "key", "stream", "address")
    who = ("one", "settings:one:0ce08592", stream, "127.0.0.1")
    assert told == [
        ("start", "leader", *who),
        ("join", "joined", *who),
        ("read", "ok", *who),
        ("read", "attached", *who),
        ("cancel", "ok", *who),
    ]
    assert all(line["request_id"] and line["route"] for line in audited.whole())


@pytest.mark.parametrize("path", ["events", "ndjson", "text", "captions.vtt", "captions.json"])
async def test_every_way_to_read_is_a_line(serving: Serving, tmp_path: Path, path: str):
    async with Audited(serving, tmp_path, Play(DONE)) as audited:
        _, shown = await audited.ask("POST", "/v1/streams", ONE, json=ASK)
        await audited.ask("GET", f"/v1/streams/{shown['id']}?wait=5", ONE)
        await audited.ask("GET", f"/v1/streams/{shown['id']}/{path}", ONE)
    assert [call for (call,) in audited.lines("call")] == ["start", "read", "read"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1.3/analyze", ASK),
        ("/ai-sdk/completion", {"prompt": "PROMPT", "video": "https://a.example/v.mp4"}),
        (
            "/ai-sdk/chat",
            {"id": "c", "messages": [{"role": "user", "content": "PROMPT"}], "video": "https://a.example/v"},
        ),
    ],
)
async def test_a_start_in_another_dialect_is_a_start_and_a_reading(
    serving: Serving, tmp_path: Path, path: str, body: dict[str, Any]
):
    async with Audited(serving, tmp_path, Play(DONE)) as audited:
        status, _ = await audited.ask("POST", path, ONE, json=body)
    assert status == 200
    assert audited.lines("call", "route") == [("start", f"POST {path}"), ("read", f"POST {path}")]


async def test_messages_on_a_socket_are_lines_as_calls_are(serving: Serving, tmp_path: Path):
    async with Audited(serving, tmp_path, Play([start(), text("a"), Hang()])) as audited:
        async with audited.service.http.ws_connect(audited.service.url + "/v1/ws", headers=ONE) as socket:
            await socket.send_json({"type": "start", "request": ASK})
            stream = (await socket.receive_json())["stream"]
            await socket.send_json({"type": "subscribe", "stream": "st_another"})
            await socket.send_json({"type": "cancel", "stream": stream})
            while (await socket.receive_json())["type"] != "end":
                pass
    assert sorted(audited.lines("call", "result", "stream")) == [
        ("cancel", "ok", stream),
        ("message", "not_found", None),
        ("read", "attached", stream),
        ("start", "leader", stream),
    ]


async def test_a_ticket_that_is_made_used_and_revoked_is_named_and_never_shown(serving: Serving, tmp_path: Path):
    async with Audited(serving, tmp_path, Play(DONE)) as audited:
        _, shown = await audited.ask("POST", "/v1/streams", ONE, json=ASK)
        _, made = await audited.ask("POST", "/v1/tickets", ONE, json={"stream": shown["id"]})
        await audited.ask("GET", f"/v1/streams/{shown['id']}?ticket={made['ticket']}", {})
        await audited.ask("DELETE", f"/v1/tickets/{made['jti']}", ONE)
        await audited.ask("GET", f"/v1/streams/{shown['id']}?ticket={made['ticket']}", {})
    lines = audited.whole()[1:]
    assert [(line["call"], line["result"], line["ticket"]) for line in lines] == [
        ("ticket", "made", None),
        ("read", "ok", made["jti"]),
        ("ticket", "revoked", None),
        ("read", "ticket_expired", None),
    ]
    assert (lines[0]["made"], lines[2]["revoked"]) == (made["jti"], made["jti"])
    assert made["ticket"] not in audited.path.read_text()


@pytest.mark.parametrize(
    ("method", "path", "headers", "line"),
    [
        ("POST", "/v1/streams", {"x-api-key": "wrong"}, ("start", "unauthenticated", None)),
        ("GET", "/v1/streams/st_unknown", TWO, ("read", "not_found", "two")),
        ("GET", "/v1/streams/st_unknown/ndjson", TWO, ("read", "not_found", "two")),
        ("DELETE", "/v1/streams/st_unknown", TWO, ("cancel", "not_found", "two")),
        ("POST", "/v1/streams", ONE, ("start", "limit_reached", "one")),
        ("POST", "/v1/streams", ONE | {"Origin": "https://elsewhere.example"}, ("start", "forbidden", None)),
    ],
)
async def test_a_refusal_by_key_scope_or_limit_is_a_line(
    serving: Serving, tmp_path: Path, method: str, path: str, headers: dict[str, str], line: tuple[Any, ...]
):
    async with Audited(serving, tmp_path, Play(DONE), starts_per_minute=0) as audited:
        await audited.ask(method, path, headers, json=ASK)
    assert audited.lines("call", "result", "tenant") == [line]


async def test_a_refused_handshake_is_a_line(serving: Serving, tmp_path: Path):
    async with Audited(serving, tmp_path, Play(DONE)) as audited:
        url = audited.service.url + "/v1/streams/st_unknown/ws"
        async with audited.service.http.ws_connect(url, headers={"x-api-key": "wrong"}) as socket:
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
    assert audited.lines("call", "result", "stream") == [("read", "unauthenticated", "st_unknown")]


async def test_what_changes_nothing_and_shows_no_stream_is_no_line(serving: Serving, tmp_path: Path):
    async with Audited(serving, tmp_path, Play([b"{}"], 200)) as audited:
        for path in (
            "/",
            "/livez",
            "/readyz",
            "/metrics",
            "/v1/streams",
            "/v1.3/assets",
            "/nowhere",
            "/openai/v1/models",
        ):
            await audited.ask("GET", path, ONE)
        await audited.ask("POST", "/v1/streams", ONE, json={"prompt": 1})
        assert audited.path.read_bytes() == b""
        await audited.ask("POST", "/v1.3/assets", ONE, json={})
    assert audited.lines("call", "result", "route") == [("upstream", "ok", "POST /v1.3/{path}")]


async def test_nothing_that_a_caller_wrote_stands_there_unless_it_has_a_known_form(serving: Serving, tmp_path: Path):
    async with Audited(serving, tmp_path, Play(DONE)) as audited:
        headers = TWO | {
            "X-Request-Id": "MARK\n",
            "X-Forwarded-For": "MARK",
            "traceparent": "MARK",
            "User-Agent": "MARK",
        }
        headers["X-Request-Id"] = "MARK mark"
        await audited.ask("GET", "/v1/streams/MARK?cursor=MARK&MARK=MARK", headers)
        await audited.ask("GET", "/v1/streams/st_x", TWO | {"X-Forwarded-For": "192.0.2.1, 2001:db8::1"})
    first, second = audited.whole()
    assert b"MARK" not in audited.path.read_bytes()
    assert (first["stream"], first["forwarded_for"]) == (None, None)
    assert (second["stream"], second["forwarded_for"]) == ("st_x", "192.0.2.1, 2001:db8::1")


async def test_a_connection_that_outlives_its_ticket_is_sent_away_with_a_line(serving: Serving, tmp_path: Path):
    async with Audited(serving, tmp_path, Play([start(), text("a"), Hang()])) as audited:
        _, shown = await audited.ask("POST", "/v1/streams", ONE, json=ASK)
        _, made = await audited.ask("POST", "/v1/tickets", ONE, json={"stream": shown["id"]})
        url = f"{audited.service.url}/v1/streams/{shown['id']}/ws?ticket={made['ticket']}"
        async with audited.service.http.ws_connect(url) as socket:
            await audited.ask("DELETE", f"/v1/tickets/{made['jti']}", ONE)
            async for _ in socket:
                pass
        await until(lambda: ("expelled",) in audited.lines("call"))
    assert ("expelled", "ticket_expired", made["jti"]) in audited.lines("call", "result", "ticket")


async def test_what_an_operator_does_is_a_line_and_so_is_who_may_not(serving: Serving, tmp_path: Path):
    path = tmp_path / "audit.jsonl"
    async with serving(Play(DONE), audit_log=path) as service:
        async with service.http.get(service.url + "/v1/admin/readers") as answer:
            assert answer.status == 200
    async with Audited(serving, tmp_path, Play(DONE)) as audited:
        await audited.ask("DELETE", "/v1/admin/streams/st_one", ONE)
    told = audited.lines("call", "result", "tenant", "key", "stream", "route")
    assert told == [
        ("admin", "ok", "local", None, None, "GET /v1/admin/readers"),
        ("admin", "forbidden", "one", "settings:one:0ce08592", "st_one", "DELETE /v1/admin/streams/{id}"),
    ]


@pytest.mark.parametrize(
    ("method", "route", "call"),
    [
        ("POST", "/v1/admin/drain", "admin"),
        ("GET", "/v1/admin/streams", "admin"),
        ("POST", "/ai-sdk/chat/{id}/stop", "cancel"),
        ("GET", "/ai-sdk/chat/{id}/stream", "read"),
        ("GET", "/v1/streams/{id}/captions/{number}.vtt", "read"),
        ("GET", "/v1/streams", "look"),
        ("GET", "/static/{name}", "look"),
    ],
)
def test_a_call_is_named_by_its_route(method: str, route: str, call: str):
    assert named(method, route) == call
