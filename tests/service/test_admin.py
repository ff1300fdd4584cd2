"""What an operator sees and does: streams and readers of every tenant, sending away, reading settings anew."""

import socket
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from config.settings import Settings
from service.app import served
from service.reload import LIVE
from service.web import keys
from tests.fakes.redis_server import needs_redis, redis_server
from tests.fakes.service import ASK, Service, Serving, open_service
from tests.fakes.upstream import Hang, Play, ScriptedServer, end, start, text
from tests.fakes.waiting import until
from tests.service.test_access import opened

GROWS = Play([start(), text("one "), Hang()])


async def told(service: Service, path: str, headers: dict[str, str] | None = None, method: str = "GET") -> Any:
    async with service.http.request(method, f"{service.url}/v1/admin/{path}", headers=headers) as answer:
        return answer.status, await answer.json()


@asynccontextmanager
async def guarded(serving: Serving, tmp_path: Path, *plays: Play):
    async with opened(serving, tmp_path, *plays) as door:
        yield door, await door.key("root", "operators", scopes=["admin"])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "nodes"),
        ("GET", "streams"),
        ("GET", "streams/st_none"),
        ("DELETE", "streams/st_none"),
        ("GET", "readers"),
        ("DELETE", "readers/none:1"),
        ("DELETE", "readers?tenant=acme"),
        ("POST", "drain"),
        ("POST", "reload"),
    ],
)
async def test_each_call_needs_the_scope(serving: Serving, tmp_path: Path, method: str, path: str):
    async with opened(serving, tmp_path, GROWS) as door:
        usual = await door.key("web")
        ticket = await door.ticket(usual, scopes=["start"])
        bearer = {"Authorization": f"Bearer {ticket['ticket']}"}
        assert (await told(door.service, path, usual, method))[0] == 403
        assert (await told(door.service, path, bearer, method))[0] == 403
        assert (await told(door.service, path, None, method))[0] == 401


async def test_streams_of_every_tenant_are_listed_with_their_readers_and_without_a_word_of_them(serving, tmp_path):
    async with guarded(serving, tmp_path, GROWS) as (door, root):
        web, other = await door.key("web"), await door.key("other", "globex")
        first = await door.started(web, channel="hall")
        second = await door.started(other)
        path = f"{door.service.url}/v1/streams/{first}/ws"
        async with door.service.http.ws_connect(path, headers=web) as watching:
            await watching.receive_json()
            status, answer = await told(door.service, "streams", root)
            assert (status, answer["in_all"]) == (200, 2)
            watched, unwatched = answer["streams"]
            assert (watched["id"], watched["tenant"], watched["key"]) == (first, "acme", "web")
            assert (watched["readers"], watched["views"], watched["channels"]) == (1, {"text": 1}, ["hall"])
            assert (unwatched["id"], unwatched["tenant"], unwatched["readers"]) == (second, "globex", 0)
            assert watched.keys().isdisjoint({"request", "text", "value"})
            _, one = await told(door.service, f"streams/{first}", root)
            (reader,) = one["who_reads"]
            assert (reader["transport"], reader["key"], reader["address"]) == ("ws", "web", "127.0.0.1")
            assert reader["reads"][0]["cursor"] == "1.4"
        assert len((await told(door.service, "streams?limit=1", root))[1]["streams"]) == 1
        for wrong in ("0", "10001", "000000001999999", "1" + "9" * 5000, "x"):
            assert (await told(door.service, f"streams?limit={wrong}", root))[0] == 400


async def test_a_reader_that_is_behind_is_listed_first_with_what_it_lacks(serving: Serving):
    long = Play([start(), *(text("x" * 60_000) for _ in range(60)), Hang()])
    async with serving(long, high_water_bytes=1024) as service:
        stream = await service.start()
        async with service.http.ws_connect(f"{service.url}/v1/streams/{stream}/ws") as quick:
            size = 0
            while size < 60 * 60_000:
                message = await quick.receive_json()
                size += len(message.get("text", ""))
            with socket.create_connection((URL(service.url).host, URL(service.url).port)) as slow:
                slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                slow.sendall(f"GET /v1/streams/{stream}/ndjson HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                await until(lambda: len(service.app[keys.CONNECTIONS]) == 2)
                _, answer = await told(service, "readers")
            assert [one["transport"] for one in answer["readers"]] == ["ndjson", "ws"]
            assert answer["readers"][0]["behind_bytes"] > 0 == answer["readers"][1]["behind_bytes"]


async def test_a_stream_of_anybody_is_cancelled(serving: Serving, tmp_path: Path):
    async with guarded(serving, tmp_path, GROWS) as (door, root):
        web = await door.key("web")
        stream = await door.started(web)
        assert (await told(door.service, f"streams/{stream}", root, "DELETE"))[0] == 202
        await until(lambda: not door.service.hub.running)
        assert b'"cancelled"' in (await door.call("GET", f"/v1/streams/{stream}", web))[1]
        assert (await told(door.service, "streams/st_none", root, "DELETE"))[0] == 404


async def closed(watching: aiohttp.ClientWebSocketResponse) -> int | None:
    async for _ in watching:
        pass
    return watching.close_code


async def test_one_reader_is_sent_away_and_then_those_of_a_key_and_of_a_tenant(serving: Serving, tmp_path: Path):
    async with guarded(serving, tmp_path, GROWS) as (door, root):
        web, kiosk = await door.key("web"), await door.key("kiosk")
        path = f"{door.service.url}/v1/streams/{await door.started(web)}/ws"
        sockets = [await door.service.http.ws_connect(path, headers=headers) for headers in (web, web, kiosk, kiosk)]
        for watching in sockets:
            await watching.receive_json()
        _, answer = await told(door.service, "readers", root)
        ids = {one["id"]: one["key"] for one in answer["readers"]}
        (gone, *_) = [ident for ident, key in ids.items() if key == "web"]
        assert await told(door.service, f"readers/{gone}", root, "DELETE") == (200, {"sent_away": 1})
        assert (await told(door.service, f"readers/{gone}", root, "DELETE"))[0] == 404
        assert await told(door.service, "readers?tenant=acme&key=kiosk", root, "DELETE") == (200, {"sent_away": 2})
        assert [await closed(watching) for watching in sockets[2:]] == [4403, 4403]
        assert await told(door.service, "readers?tenant=acme", root, "DELETE") == (200, {"sent_away": 1})
        assert (await told(door.service, "readers?key=web", root, "DELETE"))[0] == 400
        assert [await closed(watching) for watching in sockets[:2]] == [4403, 4403]


async def test_a_node_tells_what_it_takes_and_what_it_runs(serving: Serving):
    async with serving(GROWS, node="one", memory_bytes=1 << 40) as service:
        await service.start()
        (node,) = (await told(service, "nodes"))[1]["nodes"]
        assert (node["node"], node["streams"], node["readers"], node["others"]) == ("one", 1, 0, [])
        assert 0 < node["memory_bytes"] < node["most_memory_bytes"] == 1 << 40
        assert (node["draining"], node["store"], node["breaker"]) == (False, "up", "closed")


@needs_redis
async def test_a_stream_at_another_node_is_cancelled_and_that_node_is_named():
    async with (
        redis_server() as server,
        open_service(GROWS, store=server.url, node="a") as one,
        open_service(GROWS, store=server.url, node="b") as other,
    ):
        stream = await one.start()
        await until(lambda: other.hub.peers.others() == ("a",))
        assert (await told(other, "nodes"))[1]["nodes"][0]["others"] == ["a"]
        assert (await told(other, f"streams/{stream}", method="DELETE"))[0] == 202
        await until(lambda: not one.hub.running)


# -- age


async def test_a_connection_that_is_old_enough_is_told_its_cursor_and_ended(serving: Serving):
    async with serving(GROWS, max_connection_age_s=10) as service:
        stream = await service.start()
        path = f"{service.url}/v1/streams/{stream}"
        async with (
            service.http.ws_connect(path + "/ws") as watching,
            service.http.get(path + "/ndjson") as body,
        ):
            await watching.receive_json()
            await until(lambda: service.hub.tally.first_fragment.count)
            connections = service.app[keys.CONNECTIONS]
            connections._send_the_old_away(connections._loop.time() + 7.9)
            assert len(connections) == 2
            connections._send_the_old_away(connections._loop.time() + 10)
            message = await watching.receive_json()
            while message["type"] != "draining":
                message = await watching.receive_json()
            assert message["cursor"] == "1.4"
            assert await closed(watching) == 1001
            with pytest.raises(aiohttp.ClientPayloadError):
                await body.read()


async def test_a_socket_that_leaves_for_its_age_is_told_nothing_behind_its_close(serving: Serving):
    async with serving(GROWS, max_connection_age_s=10) as service:
        async with service.http.ws_connect(service.url + "/v1/ws") as watching:
            connections = service.app[keys.CONNECTIONS]
            await until(lambda: len(connections))
            (connection,) = connections.open()
            written: list[bytes] = []
            connection.write = written.append
            for _ in range(3):
                connections._send_the_old_away(connections._loop.time() + 10)
            assert len(written) == 2  # draining, and the close
            watching._response.close()


# -- settings


async def test_forwarded_keys_wait_for_a_start_and_ours_goes_on(tmp_path: Path):
    fresh = {"forward_keys": True}
    async with reloading(tmp_path, lambda: fresh, upstream_key="tlk_own") as service:
        assert (await told(service, "reload", method="POST"))[1]["need_a_start"] == ["forward_keys"]
        assert service.app[keys.UPSTREAM].api_key == "tlk_own"


@asynccontextmanager
async def reloading(tmp_path: Path, read: Callable[[], Settings], **settings: Any):
    async with ScriptedServer(Play([start(), text("hello"), end()])) as upstream:
        given = {"port": 0, "upstream_url": upstream.url, "store": "memory", "data_dir": tmp_path, **settings}
        async with (
            served(Settings(**given), read=lambda: Settings(**{**given, **read()})) as (app, url),
            aiohttp.ClientSession() as http,
        ):
            yield Service(url, http, app, upstream)


async def test_limits_and_keys_that_were_changed_count_and_what_needs_a_start_is_named(tmp_path: Path):
    fresh = {"starts_per_minute": 0, "max_streams": 7, "drain_s": 3.0}
    async with reloading(tmp_path, lambda: fresh) as service:
        status, answer = await told(service, "reload", method="POST")
        assert (status, answer) == (200, {"changed": ["max_streams", "starts_per_minute"], "need_a_start": ["drain_s"]})
        async with service.http.post(service.url + "/v1/streams", json=ASK) as refused:
            assert refused.status == 429
        fresh |= {"starts_per_minute": None, "api_keys": {"0" * 64: "somebody"}}
        assert (await told(service, "reload", method="POST"))[1]["changed"] == ["api_keys", "starts_per_minute"]
        assert (await told(service, "reload", method="POST"))[0] == 401


@pytest.mark.parametrize("broken", [{"max_streams": 0}, {"ticket_keys": "nonsense"}, {"log_level": "LOUD"}])
async def test_settings_that_are_wrong_change_nothing_and_their_values_are_not_told(tmp_path: Path, broken: Any):
    async with reloading(tmp_path, lambda: {"starts_per_minute": 0, **broken}) as service:
        status, answer = await told(service, "reload", method="POST")
        assert (status, answer["code"]) == (400, "invalid_request")
        assert "nonsense" not in answer["message"]
        await service.start()


def test_what_counts_at_once_are_settings():
    assert Settings.model_fields.keys() >= LIVE


async def test_the_upstreams_key_comes_from_a_file_and_anew_out_of_it(tmp_path: Path):
    path = tmp_path / "key"
    path.write_text("first\n")
    async with reloading(tmp_path, dict, upstream_key_file=path) as service:
        await service.start()
        path.write_text("second\n")
        assert (await told(service, "reload", method="POST"))[1]["changed"] == ["upstream_key"]
        await service.start(fanlight={"join": "never"})
        await until(lambda: len(service.upstream.seen) == 2)
        assert [dict(seen.headers)["x-api-key"] for seen in service.upstream.seen] == ["first", "second"]
        path.unlink()
        assert (await told(service, "reload", method="POST"))[0] == 400
