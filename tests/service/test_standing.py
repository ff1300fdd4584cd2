"""Whoever is nobody any more: revoked, expired, replaced or taken out of the settings, in whatever it does."""

import asyncio
import hashlib
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from config.settings import Settings
from service.app import served
from service.web import keys
from tests.fakes.service import ASK, Service, Serving
from tests.fakes.upstream import Gate, Hang, Play, ScriptedServer, end, start, text
from tests.fakes.waiting import until
from tests.service.test_access import opened

GROWS = Play([start(), text("told before "), Hang()])


@pytest.fixture
def access(serving: Serving, tmp_path: Path):
    return lambda *plays, **settings: opened(serving, tmp_path, *plays, **settings)


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


@asynccontextmanager
async def with_settings(tmp_path: Path, play: Play, read: dict[str, Any], **settings: Any):
    """A service that reads other settings at its next reload."""
    async with ScriptedServer(play) as upstream:
        given = {"port": 0, "upstream_url": upstream.url, "store": "memory", "data_dir": tmp_path}
        async with (
            served(Settings(**{**given, **settings}), read=lambda: Settings(**{**given, **read})) as (app, url),
            aiohttp.ClientSession() as http,
        ):
            yield Service(url, http, app, upstream)


async def status(service: Service, path: str, key: str = "") -> int:
    async with service.http.get(service.url + path, headers={"x-api-key": key} if key else {}) as answer:
        return answer.status


async def test_a_key_that_is_made_under_the_name_of_a_revoked_one_revives_nothing_of_it(access):
    async with access(GROWS) as door:
        headers = await door.key("web", created=1.0)
        stream = await door.started(headers)
        path = f"/v1/streams/{stream}?ticket={(await door.ticket(headers, stream=stream, ttl_s=86_400))['ticket']}"
        async with door.service.http.ws_connect(f"{door.service.url}/v1/ws", headers=headers) as socket:
            await door.revoke("web", look=False)
            await door.key("web", created=2.0)
            assert (await socket.receive(timeout=5)).data == 4401
        assert (await door.call("GET", path))[0] == 401


async def test_a_rotated_key_keeps_its_tickets(access):
    async with access(GROWS) as door:
        headers = await door.key("web")
        stream = await door.started(headers)
        path = f"/v1/streams/{stream}?ticket={(await door.ticket(headers, stream=stream))['ticket']}"
        await door.rotate("web")
        assert (await door.call("GET", path))[0] == 200


async def test_settings_that_lose_their_keys_open_the_service_to_nobody(tmp_path: Path):
    async with with_settings(tmp_path, GROWS, {}, api_keys={digest("a"): "acme"}) as service:
        assert service.app[keys.SWITCH].reload()["changed"] == ["api_keys"]
        assert [await status(service, path) for path in ("/v1/streams", "/v1/admin/readers")] == [401, 401]


async def test_settings_that_gain_a_key_and_lose_it_again_open_the_service_to_nobody(tmp_path: Path):
    read: dict[str, Any] = {"api_keys": {digest("a"): "acme"}}
    async with with_settings(tmp_path, GROWS, read) as service:
        found = [await status(service, "/v1/streams")]
        for _ in range(2):
            service.app[keys.SWITCH].reload()
            found.append(await status(service, "/v1/streams"))
            read.clear()
        assert found == [200, 401, 401]


async def test_a_key_that_leaves_the_settings_takes_what_it_opened_along_and_leaves_its_neighbours(tmp_path: Path):
    both = {digest("leaked"): "acme", digest("good"): "acme"}
    async with with_settings(tmp_path, GROWS, {"api_keys": {digest("good"): "acme"}}, api_keys=both) as service:
        asked = {"scopes": ["start"], "ttl_s": 86_400}
        tickets = {}
        for key in ("leaked", "good"):
            headers = {"x-api-key": key}
            async with service.http.post(service.url + "/v1/tickets", json=asked, headers=headers) as answer:
                tickets[key] = (await answer.json())["ticket"]
        async with service.http.ws_connect(service.url + "/v1/ws", headers={"x-api-key": "leaked"}) as socket:
            service.app[keys.SWITCH].reload()
            assert (await socket.receive(timeout=5)).data == 4401
        found = [await status(service, f"/v1/streams?ticket={ticket}") for ticket in tickets.values()]
        assert found == [401, 200]


async def test_a_call_that_waits_for_an_ending_is_not_told_it_once_its_ticket_is_revoked(access):
    gate = Gate()
    async with access(Play([gate, start(), text("secret"), end()])) as door:
        headers = await door.key("web")
        stream = await door.started(headers)
        ticket = await door.ticket(headers, stream=stream)
        waiting = asyncio.create_task(door.call("GET", f"/v1/streams/{stream}?wait=60&ticket={ticket['ticket']}"))
        run = door.service.hub.find("acme", stream).run
        await until(lambda: run._ended is not None and run._ended._waiters)
        await door.call("DELETE", f"/v1/tickets/{ticket['jti']}", headers)
        gate.open()
        found, body = await waiting
        assert (found, b"secret" in body) == (401, False)


@pytest.mark.parametrize("streams", [True, False])
async def test_a_caller_of_the_dialect_that_waits_for_its_first_event_is_told_nothing_once_its_key_is_revoked(
    access, streams: bool
):
    gate = Gate()
    async with access(Play([gate, start(), text("secret"), end()])) as door:
        headers = await door.key("web")
        waiting = asyncio.create_task(door.call("POST", "/v1.3/analyze", headers, json={**ASK, "stream": streams}))
        await until(lambda: door.service.upstream.seen)
        await door.revoke("web")
        gate.open()
        found, body = await waiting
        assert (found, b"secret" in body) == (401, False)


async def test_one_that_begins_to_read_between_two_looks_is_looked_at_too(access):
    async with access(GROWS) as door:
        headers = await door.key("web")
        stream = await door.started(headers)
        async with door.service.http.ws_connect(
            f"{door.service.url}/v1/streams/{stream}/ws", headers=headers
        ) as socket:
            await socket.receive_json()
            keyring = door.service.app[keys.KEYRING]
            keyring.changed = lambda: None  # as if it had come only after this
            await door.revoke("web")
            async with asyncio.timeout(5):
                async for _ in socket:
                    pass
            assert socket.close_code == 4401


async def test_a_book_with_a_broken_secret_is_said_and_revocations_go_on_arriving(access):
    async with access(GROWS) as door:
        headers = await door.key("web")
        book = orjson.loads(door.path.read_bytes())
        door.path.write_bytes(orjson.dumps({**book, "signing": {"kid": "k", "secret": "c2hvcnQ"}}))
        keyring = door.service.app[keys.KEYRING]
        await keyring.read()
        assert (await door.call("GET", "/v1/streams", headers))[0] == 200
        book["keys"]["web"]["revoked"] = 2.0
        door.path.write_bytes(orjson.dumps(book))
        await keyring.read()
        assert (await door.call("GET", "/v1/streams", headers))[0] == 401


async def test_whatever_fails_at_a_look_the_next_one_comes(access, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("service.access.keyring.READ_S", 0.01)
    async with access(GROWS) as door:
        headers = await door.key("web")
        keyring = door.service.app[keys.KEYRING]
        looks = iter([RuntimeError("odd")])

        def changed() -> None:
            for fault in looks:
                raise fault

        keyring.changed = changed
        with suppress(RuntimeError):
            await door.key("other")
        await door.revoke("web", look=False)
        for _ in range(500):
            if (await door.call("GET", "/v1/streams", headers))[0] == 401:
                break
            await asyncio.sleep(0.01)
        assert not keyring._reader.done()
        assert (await door.call("GET", "/v1/streams", headers))[0] == 401


# -- what was told before


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1.3/analyze", ASK),
        ("/openai/v1/chat/completions", {"messages": [{"role": "user", "content": "What?"}], "video": "asset:v1"}),
        ("/ai-sdk/completion", {"prompt": "What?", "video": "asset:v1"}),
        ("/ai-sdk/chat", {"messages": [{"role": "user", "content": "What?"}], "video": "asset:v1"}),
    ],
)
async def test_a_ticket_for_what_is_live_is_shown_nothing_by_the_dialects_which_begin_with_all(access, path, body):
    async with access(GROWS) as door:
        headers = await door.key("web")
        await door.started(headers, join="running")
        bearer = {"Authorization": f"Bearer {(await door.ticket(headers, scopes=['start'], replay='live'))['ticket']}"}
        found, told = await door.call("POST", path, bearer, json=body)
        assert (found, b"told before " in told) == (403, False)


async def test_a_ticket_for_what_is_live_takes_up_no_chat(access):
    async with access(GROWS) as door:
        headers = await door.key("web")
        bearer = {"Authorization": f"Bearer {(await door.ticket(headers, scopes=['start'], replay='live'))['ticket']}"}
        assert (await door.call("GET", "/ai-sdk/chat/c1/stream", bearer))[0] == 403


# -- pages


async def test_a_page_that_only_its_ticket_names_may_ask_and_learns_that_the_ticket_has_expired(access):
    async with access(GROWS) as door:
        headers = await door.key("web")
        stream = await door.started(headers)
        ticket = (await door.ticket(headers, stream=stream, origins=["https://app.example"]))["ticket"]
        page = {"Origin": "https://app.example"}
        asks = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
        assert (await door.call("OPTIONS", f"/v1/streams/{stream}", {**page, **asks}))[0] == 204
        other = {"Origin": "https://evil.example", "Authorization": f"Bearer {ticket}"}
        assert (await door.call("GET", f"/v1/streams/{stream}", other))[0] == 403
        door.later(1000)
        url = f"{door.service.url}/v1/streams/{stream}"
        async with door.service.http.get(f"{url}?ticket={ticket}", headers=page) as answer:
            assert (answer.status, (await answer.json())["code"]) == (401, "ticket_expired")
            assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
        assert await door.closed(f"/v1/streams/{stream}/ws?ticket={ticket}", page) == (4401, "ticket_expired")


async def test_where_nobody_needs_a_key_other_pages_are_refused_at_once(serving: Serving):
    async with serving(GROWS) as service:
        asks = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        async with service.http.options(service.url + "/v1/streams", headers=asks) as answer:
            assert answer.status == 403


async def test_pages_of_a_revoked_key_are_let_in_no_more(access):
    async with access(GROWS) as door:
        other = await door.key("other")
        await door.key("web", origins=["https://app.example"])
        page = {**other, "Origin": "https://app.example"}
        await door.revoke("web")
        assert (await door.call("GET", "/v1/streams", page))[0] == 403
        async with door.service.http.get(door.service.url + "/v1/streams", headers=page) as answer:
            assert "Access-Control-Allow-Origin" not in answer.headers


async def test_what_is_signed_for_the_engine_is_open_only_where_no_key_of_ours_goes_along(access):
    async with access(Play([b"bytes"]), upstream_key="tlk_own") as door:
        await door.key("web")
        for method, path in (("GET", "hls/a/b"), ("GET", "thumbnails/a"), ("PUT", "multipart-chunks/a")):
            assert (await door.call(method, f"/v1.3/{path}"))[0] == 401
        assert not door.service.upstream.seen


# -- the list of a session


async def test_a_session_sees_what_it_started_the_newest_first_and_by_pages(access):
    async with access(GROWS) as door:
        headers = await door.key("web")
        await door.started(headers)
        bearer = {"Authorization": f"Bearer {(await door.ticket(headers, scopes=['start']))['ticket']}"}
        own = [await door.started(bearer) for _ in range(3)]
        _, first = await door.call("GET", "/v1/streams?limit=2", bearer)
        _, rest = await door.call("GET", f"/v1/streams?limit=2&after={orjson.loads(first)['next']}", bearer)
        found = [row["id"] for page in (first, rest) for row in orjson.loads(page)["streams"]]
        assert (found, orjson.loads(rest)["next"]) == (own[::-1], None)
        _, none = await door.call("GET", "/v1/streams?status=completed", bearer)
        assert orjson.loads(none)["streams"] == []
