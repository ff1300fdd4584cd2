"""Keys and tickets on a running service: who may do what, who sees what, and how it ends."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from service.access import book
from service.access.cabinets import FileCabinet, change
from service.web import keys
from tests.fakes.service import ASK, Service, Serving
from tests.fakes.upstream import Hang, Play, end, start, text
from tests.fakes.waiting import until

GROWS = [start(), text("one "), Hang()]
DAY = 86_400.0


@dataclass
class Access:
    """A service whose keys are in a book of the test's."""

    service: Service
    path: Path
    keys: dict[str, str] = field(default_factory=dict)

    async def key(self, name: str, tenant: str = "acme", **members: Any) -> dict[str, str]:
        ident, secret = book.new_secret()
        made = book.new_key(name, tenant, ident, secret, members.pop("created", 1.0), **members)
        await self._edit(lambda known: book.created(known, made))
        return {"x-api-key": book.shown(ident, secret)}

    async def revoke(self, name: str, *, look: bool = True) -> None:
        await self._edit(lambda known: book.revoked(known, name, 2.0), look=look)

    async def rotate(self, name: str) -> None:
        await self._edit(lambda known: book.rotated(known, name, *book.new_secret()))

    async def _edit(self, edit: book.Edit, *, look: bool = True) -> None:
        await change(FileCabinet(self.path), edit)
        if look:
            await self.service.app[keys.KEYRING].read()

    async def call(self, method: str, path: str, headers: Mapping[str, str] | None = None, **more: Any) -> Any:
        async with self.service.http.request(method, self.service.url + path, headers=headers, **more) as answer:
            return answer.status, await answer.read()

    async def started(self, headers: Mapping[str, str], **fanlight: Any) -> str:
        body = {**ASK, "fanlight": {"join": "never", **fanlight}}
        async with self.service.http.post(f"{self.service.url}/v1/streams", json=body, headers=headers) as answer:
            assert answer.status == 201, await answer.text()
            return (await answer.json())["id"]

    async def ticket(self, headers: Mapping[str, str], **asked: Any) -> dict[str, Any]:
        async with self.service.http.post(f"{self.service.url}/v1/tickets", json=asked, headers=headers) as answer:
            assert answer.status == 201, await answer.text()
            return await answer.json()

    def later(self, seconds: float) -> None:
        keyring = self.service.app[keys.KEYRING]
        before = keyring.clock
        keyring.clock = lambda: before() + seconds

    async def closed(self, path: str, headers: Mapping[str, str] | None = None, **more: Any) -> tuple[int | None, str]:
        """How a socket is closed that is refused."""
        async with self.service.http.ws_connect(self.service.url + path, headers=headers, **more) as socket:
            message = await socket.receive(timeout=5)
            return message.data if message.type is aiohttp.WSMsgType.CLOSE else None, str(message.extra)


@asynccontextmanager
async def opened(serving: Serving, tmp_path: Path, *plays: Play, **settings: Any) -> AsyncIterator[Access]:
    path = tmp_path / "keys.json"
    async with serving(*(plays or (Play(GROWS),)), keys=path, **settings) as service:
        yield Access(service, path)


@pytest.fixture
def access(serving: Serving, tmp_path: Path):
    return lambda *plays, **settings: opened(serving, tmp_path, *plays, **settings)


async def raw(url: str) -> bytes:
    """All bytes of an answer, whether or not its body ends well."""
    parts = URL(url)
    reader, writer = await asyncio.open_connection(parts.host, parts.port)
    writer.write(f"GET {parts.raw_path_qs} HTTP/1.1\r\nHost: {parts.authority}\r\n\r\n".encode())
    try:
        return await reader.read()
    finally:
        writer.close()


# -- keys


async def test_a_service_is_open_until_its_first_key_is_made_and_never_again(access):
    async with access() as door:
        assert (await door.call("GET", "/v1/streams"))[0] == 200
        headers = await door.key("web")
        assert (await door.call("GET", "/v1/streams"))[0] == 401
        assert (await door.call("GET", "/v1/streams", headers))[0] == 200
        await door.revoke("web")
        assert (await door.call("GET", "/v1/streams"))[0] == 401
        assert (await door.call("GET", "/v1/streams", headers))[0] == 401


async def test_a_book_that_vanishes_lets_nobody_in(access):
    async with access() as door:
        headers = await door.key("web")
        door.path.unlink()
        await door.service.app[keys.KEYRING].read()
        assert (await door.call("GET", "/v1/streams"))[0] == 401
        assert (await door.call("GET", "/v1/streams", headers))[0] == 401


async def test_a_change_of_another_process_counts_without_a_restart(access):
    async with access() as door:
        await door.key("web")
        ident, secret = book.new_secret()
        made = book.new_key("more", "acme", ident, secret, 1.0)
        await change(FileCabinet(door.path), lambda known: book.created(known, made))
        headers = {"x-api-key": book.shown(ident, secret)}

        async def is_in() -> bool:
            return (await door.call("GET", "/v1/streams", headers))[0] == 200

        for _ in range(100):
            if await is_in():
                break
            await asyncio.sleep(0.05)
        assert await is_in()


async def test_after_a_rotation_the_old_key_is_refused_and_what_it_opened_stays_open(access):
    async with access() as door:
        headers = await door.key("web")
        stream = await door.started(headers)
        async with door.service.http.ws_connect(
            f"{door.service.url}/v1/streams/{stream}/ws", headers=headers
        ) as socket:
            await socket.receive_json(timeout=5)
            await door.rotate("web")
            assert (await door.call("GET", "/v1/streams", headers))[0] == 401
            await socket.send_json({"type": "ping"})
            while (await socket.receive_json(timeout=5))["type"] != "pong":
                pass


async def test_an_expired_key_is_none_and_its_connections_end(access):
    async with access() as door:
        headers = await door.key("web", expires=door.service.app[keys.KEYRING].clock() + 60)
        stream = await door.started(headers)
        async with door.service.http.ws_connect(
            f"{door.service.url}/v1/streams/{stream}/ws", headers=headers
        ) as socket:
            door.later(61)
            assert (await door.call("GET", "/v1/streams", headers))[0] == 401
            while (message := await socket.receive(timeout=5)).type is not aiohttp.WSMsgType.CLOSE:
                pass
            assert (message.data, message.extra) == (4401, "unauthenticated")


CALLS = [
    ("start", "POST", "/v1/streams"), ("start", "POST", "/v1.3/analyze"), ("start", "POST", "/v1/tickets"),
    ("start", "DELETE", "/v1/tickets/tk_aaaaaaaaaaaaaaaaaaaaaa"),
    ("start", "POST", "/ai-sdk/chat"), ("start", "POST", "/ai-sdk/completion"), ("start", "POST", "/ai-sdk/object"),
    ("start", "POST", "/openai/v1/chat/completions"), ("read", "POST", "/openai/v1/chat/completions"),
    ("read", "POST", "/ai-sdk/chat"), ("read", "GET", "/ai-sdk/chat/c/stream"), ("cancel", "POST", "/ai-sdk/chat/c/stop"),
    ("read", "GET", "/openai/v1/models"), ("read", "GET", "/openai/v1/models/fanlight"),
    ("read", "GET", "/v1/streams"), ("read", "GET", "/v1/streams/{id}"), ("cancel", "DELETE", "/v1/streams/{id}"),
    ("read", "GET", "/v1/streams/{id}/events"), ("read", "GET", "/v1/streams/{id}/ndjson"),
    ("read", "GET", "/v1/streams/{id}/text"), ("read", "GET", "/v1/streams/{id}/captions.vtt"),
    ("read", "GET", "/v1/streams/{id}/captions.srt"), ("read", "GET", "/v1/streams/{id}/captions.json"),
    ("read", "GET", "/v1/streams/{id}/master.m3u8"), ("read", "GET", "/v1/streams/{id}/captions.m3u8?duration=1"),
    ("read", "GET", "/v1/streams/{id}/captions/0.vtt?duration=1"),
    ("read", "GET", "/v1/channels/wall/events"), ("read", "GET", "/v1/channels/wall/ndjson"),
    ("proxy", "GET", "/v1.3/assets"), ("proxy", "POST", "/v1.3/assets"), ("proxy", "GET", "/v1.3/anything/else"),
]  # fmt: skip


@pytest.mark.parametrize(("scope", "method", "path"), CALLS)
async def test_each_call_needs_its_scope(access, scope: str, method: str, path: str):
    async with access() as door:
        every = await door.key("every")
        without = await door.key("without", scopes={"start", "read", "cancel", "proxy"} - {scope})
        stream = await door.started(every)
        status, body = await door.call(method, path.format(id=stream), without)
        assert (status, b"forbidden" in body) == (403, True)


@pytest.mark.parametrize("path", ["/v1/streams/{id}/ws", "/v1/channels/wall/ws"])
async def test_a_socket_without_its_scope_is_closed(access, path: str):
    async with access() as door:
        every = await door.key("every")
        stream = await door.started(every)
        without = await door.key("without", scopes={"start", "cancel"})
        assert await door.closed(path.format(id=stream), without) == (4403, "forbidden")


@pytest.mark.parametrize(
    ("scope", "message"),
    [
        ("read", {"type": "subscribe", "channel": "wall"}),
        ("start", {"type": "start", "request": ASK}),
        ("read", {"type": "start", "request": ASK}),
        ("cancel", {"type": "cancel", "stream": "st_x"}),
    ],
)
async def test_what_is_asked_over_a_socket_needs_its_scope(access, scope: str, message: dict):
    async with access() as door:
        without = await door.key("without", scopes={"start", "read", "cancel", "proxy"} - {scope})
        async with door.service.http.ws_connect(f"{door.service.url}/v1/ws", headers=without) as socket:
            await socket.send_json({**message, "ref": 1})
            told = await socket.receive_json(timeout=5)
            assert (told["type"], told["code"], told["ref"]) == ("error", "forbidden", 1)


# -- tickets


async def test_a_browser_reads_with_a_ticket_in_the_query_a_subprotocol_or_as_bearer(access):
    async with access() as door:
        headers = await door.key("web")
        stream = await door.started(headers)
        ticket = (await door.ticket(headers, stream=stream))["ticket"]
        path = f"/v1/streams/{stream}"
        assert (await door.call("GET", f"{path}?ticket={ticket}"))[0] == 200
        assert (await door.call("GET", path, {"Authorization": f"Bearer {ticket}"}))[0] == 200
        offered = ("fanlight.v1", f"ticket.{ticket}")
        async with door.service.http.ws_connect(door.service.url + path + "/ws", protocols=offered) as socket:
            assert socket.protocol == "fanlight.v1"
            assert (await socket.receive_json(timeout=5))["type"] == "attached"
        async with door.service.http.ws_connect(f"{door.service.url}{path}/ws?ticket={ticket}") as socket:
            assert (await socket.receive_json(timeout=5))["type"] == "attached"
        assert (await door.call("GET", f"{path}?ticket={ticket}&ticket={ticket}"))[0] == 400


STREAM_CALLS = [
    ("GET", ""), ("GET", "?wait=1"), ("GET", "?partial=1"), ("DELETE", ""), ("DELETE", "?force=true"), ("GET", "/events"), ("GET", "/ndjson"),
    ("GET", "/ndjson?cursor=1.2"), ("GET", "/ndjson?pace=original"), ("GET", "/text"), ("GET", "/captions.vtt"),
    ("GET", "/captions.srt"), ("GET", "/captions.json"), ("GET", "/master.m3u8"),
    ("GET", "/captions.m3u8?duration=1"), ("GET", "/captions/0.vtt?duration=1"),
]  # fmt: skip


@pytest.mark.parametrize("kind", ["stream", "channel", "session", "another tenant's key"])
async def test_what_lies_outside_is_told_of_in_the_words_for_what_does_not_exist(access, kind: str):
    async with access(Play(GROWS), Play(GROWS), Play([start(), text("x"), end()])) as door:
        acme, other = await door.key("acme"), await door.key("other", "other")
        own, hidden, over = [await door.started(acme) for _ in range(3)]
        await until(lambda: door.service.hub.running == 2)
        asked = {
            "stream": {"stream": own, "scopes": ["read", "cancel"]},
            "channel": {"channel": "wall", "scopes": ["read", "cancel"]},
            "session": {"scopes": ["start"]},
        }
        headers = other
        if kind in asked:
            headers = {"Authorization": "Bearer " + (await door.ticket(acme, **asked[kind]))["ticket"]}
        nothing = "st_" + "x" * 24
        for method, path in STREAM_CALLS:
            unknown = await door.call(method, f"/v1/streams/{nothing}{path}", headers)
            assert unknown[0] == 404
            for stream in (hidden, over):
                assert await door.call(method, f"/v1/streams/{stream}{path}", headers) == unknown, (method, path)
        for stream in (hidden, over, nothing):
            assert await door.closed(f"/v1/streams/{stream}/ws", headers) == (4404, "not_found")
            assert await door.call("GET", f"/v1/streams?after={stream}", headers) == await door.call(
                "GET", f"/v1/streams?after={nothing}", headers
            )
        status, body = await door.call("GET", "/v1/streams", headers)
        assert (status, hidden.encode() in body, over.encode() in body) == (200, False, False)
        assert (own.encode() in body) is (kind == "stream")
        async with door.service.http.ws_connect(f"{door.service.url}/v1/ws", headers=headers) as socket:
            told = []
            for stream in (hidden, over, nothing):
                for message in ("subscribe", "cancel"):
                    await socket.send_json({"type": message, "stream": stream})
                    told.append(await socket.receive_json(timeout=5))
            assert {(one["type"], one["code"], one["message"]) for one in told} == {
                ("error", "not_found", "there is no such stream")
            }


async def test_a_ticket_for_a_channel_sees_what_is_started_under_it(access):
    async with access() as door:
        headers = await door.key("web")
        ticket = {"Authorization": "Bearer " + (await door.ticket(headers, channel="wall"))["ticket"]}
        async with door.service.http.ws_connect(f"{door.service.url}/v1/channels/wall/ws", headers=ticket) as socket:
            assert (await socket.receive_json(timeout=5))["status"] == "waiting"
            stream = await door.started(headers, channel="wall")
            assert (await socket.receive_json(timeout=5))["stream"] == stream
        assert (await door.call("GET", f"/v1/streams/{stream}", ticket))[0] == 200
        assert (await door.call("DELETE", f"/v1/streams/{stream}", ticket))[0] == 403
        assert await door.closed("/v1/channels/other/ws", ticket) == (4403, "forbidden")
        status, body = await door.call("GET", "/v1/streams", ticket)
        assert (status, stream.encode() in body) == (200, True)


async def test_a_ticket_that_starts_sees_and_cancels_what_its_session_started_and_nothing_else(access):
    async with access() as door:
        headers = await door.key("web")
        mine, same, another = [
            {"Authorization": "Bearer " + (await door.ticket(headers, scopes=["start"], session=name))["ticket"]}
            for name in ("ann", "ann", "bob")
        ]
        stream = await door.started(mine)
        for bearer, status in ((mine, 200), (same, 200), (another, 404)):
            assert (await door.call("GET", f"/v1/streams/{stream}", bearer))[0] == status
        assert (await door.call("DELETE", f"/v1/streams/{stream}", another))[0] == 404
        assert (await door.call("DELETE", f"/v1/streams/{stream}", same))[0] == 202
        assert (await door.call("GET", "/v1.3/assets", mine))[0] == 403
        body = {**ASK, "fanlight": {"channel": "wall"}}
        assert (await door.call("POST", "/v1/streams", mine, json=body))[0] == 403
        assert (await door.call("POST", "/v1/tickets", mine, json={"scopes": ["start"]}))[0] == 403


async def test_a_session_starts_and_reads_over_one_socket(access):
    async with access() as door:
        headers = await door.key("web")
        ticket = (await door.ticket(headers, scopes=["start"]))["ticket"]
        async with door.service.http.ws_connect(f"{door.service.url}/v1/ws?ticket={ticket}") as socket:
            await socket.send_json({"type": "start", "request": ASK})
            told = await socket.receive_json(timeout=5)
            assert told["type"] == "attached"
            await socket.send_json({"type": "unsubscribe", "stream": told["stream"]})
            await socket.send_json({"type": "subscribe", "stream": told["stream"], "ref": "again"})
            while told.get("ref") != "again":
                told = await socket.receive_json(timeout=5)
            assert told["type"] == "attached"


async def test_a_start_that_joins_gives_its_ticket_the_stream(access):
    async with access() as door:
        headers = await door.key("web")
        stream = await door.started(headers, join="running")
        ticket = {"Authorization": "Bearer " + (await door.ticket(headers, scopes=["start"]))["ticket"]}
        assert (await door.call("GET", f"/v1/streams/{stream}", ticket))[0] == 404
        status, body = await door.call("POST", "/v1/streams", ticket, json={**ASK, "fanlight": {"join": "running"}})
        assert (status, stream.encode() in body) == (200, True)
        assert (await door.call("GET", f"/v1/streams/{stream}", ticket))[0] == 200
        # What others started too it cannot end for them.
        assert (await door.call("DELETE", f"/v1/streams/{stream}?force=true", ticket))[0] == 409


async def test_chats_of_one_session_are_not_anothers(access):
    chat = {"id": "c1", "messages": [{"id": "m", "role": "user", "parts": [{"type": "text", "text": "Hello"}]}], "video": {"type": "asset_id", "asset_id": "a1"}}  # fmt: skip
    async with access(Play([start(), text("secret"), end()])) as door:
        headers = await door.key("web")
        ann, bob = [
            {"Authorization": "Bearer " + (await door.ticket(headers, scopes=["start"]))["ticket"]} for _ in range(2)
        ]
        status, body = await door.call("POST", "/ai-sdk/chat", ann, json=chat)
        assert (status, b"secret" in body) == (200, True)
        assert (await door.call("GET", "/ai-sdk/chat/c1/stream", ann))[0] == 200
        assert (await door.call("GET", "/ai-sdk/chat/c1/stream", bob))[0] == 204
        assert b'"stopped":false' in (await door.call("POST", "/ai-sdk/chat/c1/stop", bob))[1]


@pytest.mark.parametrize("how", ["expires", "is revoked", "its key is revoked"])
async def test_a_ticket_that_ends_ends_the_connections_it_opened(access, how: str):
    async with access() as door:
        headers = await door.key("web")
        stream = await door.started(headers)
        made = await door.ticket(headers, stream=stream, ttl_s=60)
        url, query = f"{door.service.url}/v1/streams/{stream}", {"ticket": made["ticket"]}
        async with (
            door.service.http.ws_connect(f"{url}/ws?ticket={made['ticket']}") as socket,
            door.service.http.get(f"{url}/text", params=query) as bare,
        ):
            bodies = [
                asyncio.create_task(raw(f"{url}/{name}?ticket={made['ticket']}")) for name in ("events", "ndjson")
            ]
            await until(lambda: len(door.service.app[keys.CONNECTIONS]) == 4)
            if how == "expires":
                door.later(61)
            elif how == "is revoked":
                assert (await door.call("DELETE", f"/v1/tickets/{made['jti']}", headers))[0] == 204
            else:
                await door.revoke("web")
            while (message := await socket.receive(timeout=5)).type is not aiohttp.WSMsgType.CLOSE:
                pass
            assert (message.data, message.extra) == (4401, "ticket_expired")
            for body in bodies:
                told = await asyncio.wait_for(body, 5)
                assert b'"type":"error","code":"ticket_expired"' in told
                assert not told.endswith(b"0\r\n\r\n")
            with pytest.raises(aiohttp.ClientError):
                while await bare.content.readany():
                    pass
        status, answer = await door.call("GET", f"/v1/streams/{stream}", params=query)
        assert (status, b"ticket_expired" in answer) == (401, True)


async def test_half_a_minute_before_its_end_a_ticket_is_announced_and_can_be_renewed_in_band(access):
    async with access() as door:
        headers = await door.key("web")
        stream = await door.started(headers)
        ticket = (await door.ticket(headers, stream=stream, ttl_s=60))["ticket"]
        elsewhere = (await door.ticket(headers, channel="wall"))["ticket"]
        async with door.service.http.ws_connect(f"{door.service.url}/v1/streams/{stream}/ws?ticket={ticket}") as socket:
            door.later(31)
            while (told := await socket.receive_json(timeout=5))["type"] != "expiring":
                pass
            assert 20 < told["in_s"] <= 30
            await socket.send_json({"type": "ticket", "ticket": elsewhere, "ref": 1})
            told = await socket.receive_json(timeout=5)
            assert (told["code"], told["ref"]) == ("forbidden", 1)
            await socket.send_json({"type": "ticket", "ticket": "nonsense"})
            assert (await socket.receive_json(timeout=5))["code"] == "unauthenticated"
            fresh = (await door.ticket(headers, stream=stream, ttl_s=600))["ticket"]
            await socket.send_json({"type": "ticket", "ticket": fresh})
            for look in (lambda: None, door.service.app[keys.KEYRING].changed):
                look()  # at the clock, too: once the new one has been taken
                await socket.send_json({"type": "ping"})
                assert (await socket.receive_json(timeout=5))["type"] == "pong"
                door.later(60)


async def test_a_ticket_for_what_is_live_shows_nothing_that_was_told_before(access):
    plays = Play([start(), text("moonlight"), end()])
    async with access(plays) as door:
        headers = await door.key("web")
        stream = await door.started(headers)
        await until(lambda: not door.service.hub.running)
        ticket = {"Authorization": "Bearer " + (await door.ticket(headers, stream=stream, replay="live"))["ticket"]}
        for path in ("", "?partial=1", "/events", "/ndjson?cursor=1.0", "/ndjson?view=raw", "/ndjson?view=json", "/ndjson?view=captions", "/ndjson?view=patch", "/ndjson?pace=original", "/text", "/captions.vtt", "/captions.json", "/captions.m3u8?duration=9"):  # fmt: skip
            _, body = await door.call("GET", f"/v1/streams/{stream}{path}", ticket)
            assert b"moonlight" not in body, path
        async with door.service.http.get(f"{door.service.url}/v1/streams/{stream}/ndjson", headers=ticket) as answer:
            first = (await answer.content.readline()).decode()
            assert '"mode":"live","from":9,"to":9' in first
        async with door.service.http.ws_connect(f"{door.service.url}/v1/ws", headers=ticket) as socket:
            await socket.send_json({"type": "subscribe", "stream": stream, "cursor": "1.0"})
            told = await socket.receive_json(timeout=5)
            assert (told["mode"], told["text"]) == ("live", "")


@pytest.mark.parametrize(
    "asked",
    [
        {}, {"scopes": ["read"]}, {"stream": "st_x", "channel": "wall"}, {"channel": "wall", "scopes": ["start"]},
        {"channel": "a b"}, {"scopes": ["admin"]}, {"scopes": ["proxy"]}, {"scopes": []}, {"channel": "w", "ttl_s": 0},
        {"channel": "w", "ttl_s": 86_401}, {"channel": "w", "ttl_s": 1.5}, {"channel": "w", "ttl_s": "60"},
        {"channel": "w", "origins": ["app.example"]}, {"channel": "w", "origins": ["https://a.example/path"]},
        {"channel": "w", "replay": "some"}, {"channel": "w", "more": 1}, {"channel": "w", "origins": ["null"]},
    ],
)  # fmt: skip
async def test_a_ticket_for_what_cannot_be_is_refused(access, asked: dict):
    async with access() as door:
        headers = await door.key("web")
        status, body = await door.call("POST", "/v1/tickets", headers, json=asked)
        assert (status, b"invalid_request" in body) == (400, True)


async def test_a_ticket_may_do_no_more_than_the_key_that_made_it(access):
    async with access() as door:
        headers = await door.key("web", scopes={"start", "read"}, origins={"https://app.example"})
        assert (await door.call("POST", "/v1/tickets", headers, json={"channel": "w", "scopes": ["cancel"]}))[0] == 403
        asked = {"channel": "w", "origins": ["https://other.example"]}
        assert (await door.call("POST", "/v1/tickets", headers, json=asked))[0] == 403
        assert (await door.call("POST", "/v1/tickets", headers, json={"stream": "st_none"}))[0] == 404


async def test_another_tenant_cannot_revoke_a_ticket(access):
    async with access() as door:
        acme, other = await door.key("acme"), await door.key("other", "other")
        stream = await door.started(acme)
        made = await door.ticket(acme, stream=stream)
        assert (await door.call("DELETE", f"/v1/tickets/{made['jti']}", other))[0] == 204
        assert (await door.call("GET", f"/v1/streams/{stream}?ticket={made['ticket']}"))[0] == 200
        assert (await door.call("DELETE", f"/v1/tickets/{made['jti']}", acme))[0] == 204
        assert (await door.call("GET", f"/v1/streams/{stream}?ticket={made['ticket']}"))[0] == 401
        assert (await door.call("DELETE", "/v1/tickets/nonsense", acme))[0] == 400


ELSEWHERE = [
    "https://evil.example", "http://app.example", "https://app.example:8443", "https://app.example.evil.example",
    "https://evil.example/https://app.example", "https://APP.example", "https://sub.app.example", "null", "",
    "https://app.example/", "https://app.example, https://app.example", "file://", "https://app.examplе",
    "//app.example", "app.example", "https://app.example@evil.example",
]  # fmt: skip


@pytest.mark.parametrize("origin", ELSEWHERE)
async def test_a_ticket_serves_no_page_of_another_origin(access, origin: str):
    async with access(origins=("https://other.example",)) as door:
        headers = await door.key("web")
        stream = await door.started(headers)
        ticket = (await door.ticket(headers, stream=stream, origins=["https://app.example"]))["ticket"]
        path = f"/v1/streams/{stream}?ticket={ticket}"
        status, body = await door.call("GET", path, {"Origin": origin.encode().decode("latin-1")})
        assert (status, b"forbidden" in body) == (403, True)


async def test_a_ticket_serves_its_own_page_and_one_of_another_listed_origin_is_closed(access):
    async with access(origins=("https://other.example",)) as door:
        headers = await door.key("web")
        stream = await door.started(headers)
        ticket = (await door.ticket(headers, stream=stream, origins=["https://app.example"]))["ticket"]
        path = f"/v1/streams/{stream}/ws?ticket={ticket}"
        async with door.service.http.ws_connect(door.service.url + path, origin="https://app.example") as socket:
            assert (await socket.receive_json(timeout=5))["type"] == "attached"
        assert await door.closed(path, origin="https://other.example") == (4403, "forbidden")


async def test_tickets_outlive_a_restart_and_are_none_where_the_secret_changes(access):
    async with access() as door:
        headers = await door.key("web")
        ticket = (await door.ticket(headers, channel="wall"))["ticket"]
    async with access() as door:
        assert (await door.call("GET", f"/v1/streams?ticket={ticket}"))[0] == 200
    async with access(ticket_keys="k1:" + "A" * 43) as door:
        assert (await door.call("GET", f"/v1/streams?ticket={ticket}"))[0] == 401


async def test_the_first_of_two_ticket_keys_signs_and_both_verify(access):
    old, new = "k1:" + "A" * 43, "k2:ed25519:" + "B" * 43
    async with access(ticket_keys=old) as door:
        headers = await door.key("web")
        before = (await door.ticket(headers, channel="wall"))["ticket"]
    async with access(ticket_keys=f"{new},{old}") as door:
        after = (await door.ticket(headers, channel="wall"))["ticket"]
        for ticket in (before, after):
            assert (await door.call("GET", f"/v1/streams?ticket={ticket}"))[0] == 200
    async with access(ticket_keys=new) as door:
        for ticket, status in ((before, 401), (after, 200)):
            assert (await door.call("GET", f"/v1/streams?ticket={ticket}"))[0] == status
