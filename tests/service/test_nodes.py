"""Several nodes on one Redis: whichever is asked serves any stream, and the store decides where two could race."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import orjson
import pytest

from service.hub import peers
from service.store import redis as redis_store
from service.store.contract import StoreFailed, StoreRefused
from service.store.redis import RedisStore
from service.store.shared import Wanted
from tests.fakes.redis_server import Line, RedisServer, needs_redis, redis_server
from tests.fakes.service import Service, open_service
from tests.fakes.upstream import Gate, Hang, Play, end, start, text
from tests.fakes.waiting import until

pytestmark = needs_redis

DIGEST = hashlib.sha256(b"hello").hexdigest()
VIEWS = ("text", "raw", "json", "patch", "captions", "end")
SCHEMA = {"type": "array", "items": {"type": "object", "required": ["start", "text"]}}
WHOLE = '[{"start": 0, "text": "Größe"}, {"start": 2.5, "text": "a😀b"}]'
ASK = {"response_format": {"type": "json_schema", "json_schema": SCHEMA}}


@pytest.fixture
async def server() -> AsyncIterator[RedisServer]:
    async with redis_server() as server:
        yield server


@asynccontextmanager
async def nodes(server: RedisServer, *plays: Play, **settings: Any) -> AsyncIterator[list[Service]]:
    """One node for each script."""
    async with AsyncExitStack() as stack:
        settings = {"store": server.url, **settings}
        yield [
            await stack.enter_async_context(open_service(play, node="abcdef"[n], **settings))
            for n, play in enumerate(plays)
        ]


@pytest.fixture
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes die in half a second."""
    monkeypatch.setattr(peers, "BEAT_S", 0.05)
    for module in (peers, redis_store):
        monkeypatch.setattr(module, "LEASE_S", 0.5)


def pieces(whole: str, size: int = 5) -> list[bytes]:
    return [text(whole[n : n + size]) for n in range(0, len(whole), size)]


async def status(service: Service, path: str, method: str = "GET", **more: Any) -> int:
    async with service.http.request(method, service.url + path, **more) as answer:
        return answer.status


async def seems_dead(service: Service) -> None:
    """A node that beats no more, and does not know."""
    for task in list(service.hub.peers._tasks):
        task.cancel()
    await asyncio.sleep(0)


@pytest.mark.parametrize("view", VIEWS)
async def test_readers_at_another_node_are_told_the_same(server: RedisServer, view: str):
    gate = Gate()
    parts = pieces(WHOLE)
    async with nodes(server, Play([start(), *parts[:4], gate, *parts[4:], end()]), Play([])) as (a, b):
        stream = await a.start(**ASK)
        here, there = (asyncio.create_task(node.watch(stream, f"?view={view}")) for node in (a, b))
        await until(lambda: a.hub.runs_here(stream).is_watched and b.hub.peers.mirrors == 1)
        await until(lambda: b.hub.list("local")[0].subscribers == 1)
        gate.open()
        (first, code), (second, other_code) = await asyncio.gather(here, there)
        assert first[-1] == second[-1]
        assert (first[-1]["type"], code, other_code) == ("end", 1000, 1000)
        assert await a.read(stream, f"?view={view}") == await b.read(stream, f"?view={view}")
        assert b.upstream.seen == []
        for path in (f"/v1/streams/{stream}", f"/v1/streams/{stream}/captions.vtt"):
            async with a.http.get(a.url + path) as one, b.http.get(b.url + path) as other:
                assert await one.text() == await other.text()


async def test_a_reader_takes_up_at_another_node_where_it_stood(server: RedisServer):
    gate = Gate()
    async with nodes(server, Play([start(), text("hello "), gate, text("wörld"), end()]), Play([])) as (a, b):
        stream = await a.start()
        await until(lambda: a.hub.runs_here(stream).run.log.size == 6)
        watching = asyncio.create_task(b.watch(stream, "?cursor=1.3"))
        await until(lambda: b.hub.peers.mirrors)
        gate.open()
        messages, _ = await watching
        assert (messages[0]["mode"], messages[0]["from"]) == ("suffix", 3)
        assert "".join(m["text"] for m in messages if "text" in m) == "lo wörld"


async def test_one_node_has_one_subscription_for_a_stream_and_gives_it_up_with_its_last_reader(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(peers, "LINGER_S", 0.01)
    async with nodes(server, Play([start(), text("a"), Hang()]), Play([])) as (a, b):
        stream = await a.start()
        channel = f"fanlight:{{{stream}}}:told"
        async with AsyncExitStack() as stack:
            for _ in range(3):
                socket = await stack.enter_async_context(b.http.ws_connect(f"{b.url}/v1/streams/{stream}/ws"))
                await socket.receive_json()
            assert await server.command("PUBSUB", "SHARDNUMSUB", channel) == [channel.encode(), 1]
        await until(lambda: not b.hub.peers.mirrors)
        assert b.hub.list("local") == []
        assert await server.command("PUBSUB", "SHARDNUMSUB", channel) == [channel.encode(), 0]


async def test_a_telling_that_was_lost_is_noticed(server: RedisServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(peers, "BEAT_S", 0.02)
    gate = Gate()
    async with nodes(server, Play([start(), text("a"), gate, text("b"), Hang()]), Play([])) as (a, b):
        stream = await a.start()
        await until(lambda: a.hub.find("local", stream).run.log.size)
        async with b.http.ws_connect(f"{b.url}/v1/streams/{stream}/ws") as socket:
            assert (await socket.receive_json())["text"] == "a"
            ((mirror, _),) = b.hub.peers._mirrors.values()
            monkeypatch.setattr(mirror, "told", lambda told: None)
            b.hub.journal.store._following._followers[f"fanlight:{{{stream}}}:told"] = [lambda told: None]
            gate.open()
            assert (await socket.receive_json(timeout=5))["text"] == "b"
            assert b.hub.peers.repairs >= 1


async def test_a_lost_connection_of_a_node_costs_its_readers_nothing(server: RedisServer):
    gate = Gate()
    async with nodes(server, Play([start(), text("a"), gate, text("b"), end()]), Play([])) as (a, b):
        stream = await a.start()
        async with b.http.ws_connect(f"{b.url}/v1/streams/{stream}/ws") as socket:
            told = await socket.receive_json()
            await server.command("CLIENT", "KILL", "TYPE", "pubsub")
            gate.open()
            *deltas, last = [orjson.loads(message.data) async for message in socket]
        # Whether the first was there already when the reader came is left open.
        assert (told["text"] + "".join(m["text"] for m in deltas), last["type"]) == ("ab", "end")


# -- starts


async def test_equal_starts_at_two_nodes_are_one_upstream_call(server: RedisServer):
    gate = Gate()
    async with nodes(server, Play([start(), text("a"), gate, end()]), Play([start(), text("b"), end()])) as (a, b):
        async with asyncio.TaskGroup() as group:
            starts = [group.create_task(node.start()) for node in (a, b) * 5]
        assert len({task.result() for task in starts}) == 1
        assert len(a.upstream.seen) + len(b.upstream.seen) == 1
        gate.open()
        stream = starts[0].result()
        assert (await b.show(stream, "?wait=5"))["status"] == "completed"
        again = await b.start(fanlight={"join": "replay"})
        assert again == stream


async def test_an_idempotency_key_leads_to_one_stream_whichever_node_is_asked(server: RedisServer):
    async with nodes(server, *[Play([start(), text("a"), end()])] * 2) as (a, b):
        headers, ids = {"Idempotency-Key": "k"}, set()
        for node, expected in ((a, 201), (b, 200), (a, 200)):
            async with node.http.post(node.url + "/v1/streams", json={"prompt": "p"}, headers=headers) as answer:
                assert answer.status == expected
                ids.add((await answer.json())["id"])
        assert len(ids) == 1
        assert await status(b, "/v1/streams", "POST", json={"prompt": "q"}, headers=headers) == 409


async def test_a_tenant_runs_no_more_over_all_nodes_than_it_may(server: RedisServer):
    async with nodes(server, *[Play([start(), Hang()])] * 2, max_streams_per_tenant=2) as (a, b):
        for node, prompt, expected in ((a, "1", 201), (b, "2", 201), (b, "3", 429), (a, "3", 429)):
            assert await status(node, "/v1/streams", "POST", json={"prompt": prompt}) == expected
        async with a.http.get(a.url + "/v1/streams") as answer:
            listed = [row["id"] for row in (await answer.json())["streams"]]
        for stream in listed:
            assert await status(b, f"/v1/streams/{stream}", "DELETE") == 202
        await until(lambda: not a.hub.running and not b.hub.running)
        assert await status(b, "/v1/streams", "POST", json={"prompt": "3"}) == 201


async def test_callers_with_keys_of_their_own_are_the_same_tenants_at_each_node(server: RedisServer):
    async with nodes(server, Play([start(), text("a"), end()]), Play([]), forward_keys=True) as (a, b):
        headers = {"x-api-key": "mine"}
        async with a.http.post(a.url + "/v1/streams", json={"prompt": "p"}, headers=headers) as answer:
            stream = (await answer.json())["id"]
        assert await status(b, f"/v1/streams/{stream}", headers=headers) == 200
        assert await status(b, f"/v1/streams/{stream}", headers={"x-api-key": "other"}) == 404


# -- endings by call


async def test_a_stream_is_cancelled_at_any_node_and_not_behind_the_back_of_who_joined_it(server: RedisServer):
    async with nodes(server, Play([start(), text("a"), Hang()]), Play([])) as (a, b):
        stream = await a.start()
        assert await b.start() == stream
        path = f"/v1/streams/{stream}"
        assert [await status(node, path, "DELETE") for node in (a, b)] == [409, 409]
        async with b.http.ws_connect(f"{b.url}/v1/streams/{stream}/ws") as socket:
            await socket.receive_json()
            await socket.send_json({"type": "cancel", "ref": 1})
            heard = await socket.receive_json(timeout=5)
            assert (heard["type"], heard["code"]) == ("error", "shared")
            await socket.send_json({"type": "cancel", "force": True})
            heard = await socket.receive_json(timeout=5)
            assert (heard["type"], heard["status"]) == ("end", "cancelled")
        assert (await a.show(stream, "?wait=5"))["status"] == "cancelled"
        assert await status(b, path, "DELETE") == 200


async def test_a_stream_is_abandoned_when_nobody_reads_it_at_any_node(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(peers, "BEAT_S", 0.02)
    monkeypatch.setattr(peers, "LINGER_S", 0.01)
    async with nodes(server, Play([start(), text("a"), Hang()]), Play([])) as (a, b):
        stream = await a.start(fanlight={"on_abandon": "cancel", "grace_s": 0})
        async with b.http.ws_connect(f"{b.url}/v1/streams/{stream}/ws") as there:
            await there.receive_json()
            await until(lambda: a.hub.runs_here(stream).elsewhere == {"b": {"text": 1}})
            async with a.http.ws_connect(f"{a.url}/v1/streams/{stream}/ws") as here:
                await here.receive_json()
            await until(lambda: not a.hub.runs_here(stream).subscribers)
            assert (await a.show(stream))["subscribers"] == {"text": 1}
        await until(lambda: not a.hub.running)
        assert (await a.show(stream))["status"] == "cancelled"


async def test_who_watches_presence_is_told_of_readers_at_all_nodes(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(peers, "BEAT_S", 0.02)
    async with nodes(server, Play([start(), text("a"), Hang()]), Play([])) as (a, b):
        stream = await a.start()
        sockets = [await node.http.ws_connect(f"{node.url}/v1/streams/{stream}/ws?presence=1") for node in (a, b, b)]
        for socket in sockets:
            async with asyncio.timeout(10):
                while (await socket.receive_json()).get("counts") != {"text": 3}:
                    pass
        for socket in sockets:
            await socket.close()


# -- channels and lists


@pytest.mark.parametrize("first", ["listener", "stream"])
async def test_a_stream_is_announced_to_those_who_listen_at_other_nodes(server: RedisServer, first: str):
    gate = Gate()
    async with nodes(server, Play([start(), text("a"), gate, end()]), Play([])) as (a, b):
        stream = await a.start(fanlight={"channel": "wall"}) if first == "stream" else None
        async with b.http.ws_connect(b.url + "/v1/channels/wall/ws") as socket:
            assert (await socket.receive_json())["status"] == "waiting"
            stream = stream or await a.start(fanlight={"channel": "wall"})
            gate.open()
            told = [await socket.receive_json(timeout=5)]
            while told[-1]["type"] != "end":
                told.append(await socket.receive_json(timeout=5))
            assert [m["type"] for m in told].count("attached") == 1
            assert {m["stream"] for m in told} == {stream}


async def test_a_stream_that_has_ended_by_then_is_shown_to_those_who_listen_at_other_nodes(server: RedisServer):
    async with nodes(server, Play([start(), text("a"), end()]), Play([])) as (a, b):
        async with b.http.ws_connect(b.url + "/v1/channels/wall/ws") as socket:
            assert (await socket.receive_json())["status"] == "waiting"
            stream = await a.start(fanlight={"channel": "wall"})
            await a.show(stream, "?wait=5")
            told = [await socket.receive_json(timeout=5)]
            while told[-1]["type"] != "end":
                told.append(await socket.receive_json(timeout=5))
            assert (told[0]["stream"], "".join(m.get("text", "") for m in told)) == (stream, "a")


async def test_lists_hold_the_streams_of_all_nodes(server: RedisServer):
    async with nodes(server, Play([start(), text("hello"), Hang()]), Play([start(), text("b"), end()])) as (a, b):
        first = await a.start()
        second = await b.start(prompt="other")
        await b.show(second, "?wait=5")
        await until(lambda: a.hub.runs_here(first).run.log.size == 5)
        for node in (a, b):
            async with node.http.get(node.url + "/v1/streams") as answer:
                rows = (await answer.json())["streams"]
            assert [(row["id"], row["status"], row["offset"], row["node"]) for row in rows] == [
                (second, "completed", 1, "b"),
                (first, "running", 5, "a"),
            ]
            for query, expected in (("running", [first]), ("completed", [second])):
                async with node.http.get(f"{node.url}/v1/streams?status={query}") as answer:
                    assert [row["id"] for row in (await answer.json())["streams"]] == expected


# -- ownership


async def test_what_a_node_that_died_ran_is_ended_by_another(server: RedisServer, short_leases: None):
    async with nodes(server, Play([start(), text("hello"), Hang()]), Play([])) as (a, b):
        stream = await a.start()
        watching = asyncio.create_task(b.watch(stream))
        await until(lambda: b.hub.peers.mirrors)
        await seems_dead(a)
        messages, _ = await watching
        assert (messages[-1]["status"], messages[-1]["error"]["code"]) == ("failed", "interrupted")
        shown = await b.show(stream)
        assert (shown["text"], shown["node"], shown["gen"]) == ("hello", "a", 1)
        assert b.hub.peers.leases_taken == 1


async def test_what_may_be_called_again_goes_on_at_another_node_without_a_reset(
    server: RedisServer, short_leases: None
):
    script = [start(), text("hello "), Hang()], [start(), text("hello "), text("world"), end()]
    async with nodes(server, *map(Play, script)) as (a, b):
        stream = await a.start(fanlight={"restart": 1})
        watching = asyncio.create_task(b.watch(stream))
        await until(lambda: b.hub.peers.mirrors)
        await seems_dead(a)
        messages, _ = await watching
        assert {m["type"] for m in messages} == {"attached", "delta", "end"}
        assert "".join(m.get("text", "") for m in messages) == "hello world"
        assert messages[-1]["status"] == "completed"


async def test_an_owner_that_was_thought_dead_writes_nothing_any_more_and_shows_what_is_kept(
    server: RedisServer, short_leases: None
):
    gate = Gate()
    async with nodes(server, Play([start(), text("hello"), gate, text(" lost"), Hang()]), Play([])) as (a, b):
        stream = await a.start()
        async with a.http.ws_connect(f"{a.url}/v1/streams/{stream}/ws") as socket:
            await socket.receive_json()
            await until(lambda: a.hub.runs_here(stream).run.log.size == 5)
            await seems_dead(a)
            await until(lambda: b.hub.peers.leases_taken)
            await b.show(stream, "?wait=5")
            gate.open()
            heard = [orjson.loads(message.data) async for message in socket]
        assert "lost" not in "".join(m.get("text", "") for m in heard)
        assert (heard[-1]["type"], heard[-1]["error"]["code"]) == ("end", "interrupted")
        assert heard[-1]["sha256"] == (await b.show(stream))["sha256"]


async def test_readers_that_were_shown_more_than_is_kept_get_a_new_generation(server: RedisServer, short_leases: None):
    gate, second = Gate(), Gate()
    plays = (
        Play([start(), text("hello"), gate, text(" lost"), Hang()]),
        Play([start(), text("hello"), second, text(" kept"), end()]),
    )
    async with (
        Line(server) as line,
        open_service(plays[0], node="a", store=line.url) as a,
        open_service(plays[1], node="b", store=server.url) as b,
    ):
        stream = await a.start(fanlight={"restart": 1})
        await until(lambda: a.hub.runs_here(stream).run.log.size == 5)
        async with a.http.ws_connect(f"{a.url}/v1/streams/{stream}/ws") as socket:
            await socket.receive_json()
            line.cut()
            gate.open()
            assert (await socket.receive_json(timeout=10))["text"] == " lost"
            await until(lambda: b.hub.peers.leases_taken)
            line.mend()
            heard = await socket.receive_json(timeout=10)
            assert (heard["type"], heard["gen"], heard["reason"]) == ("reset", 2, "taken_over")
            second.open()
            heard = [orjson.loads(message.data) async for message in socket]
        assert heard[-1]["status"] == "completed"
        shown = [await node.show(stream, "?wait=5") for node in (a, b)]
        assert [(s["text"], s["gen"]) for s in shown] == [("hello kept", 2)] * 2


async def test_what_outlasts_a_drain_is_handed_over_where_it_may_be_called_again(server: RedisServer):
    script = [start(), text("hello "), Hang()], [start(), text("hello "), text("world"), end()]
    async with nodes(server, *map(Play, script)) as (a, b):
        stream = await a.start(fanlight={"restart": 1})
        await until(lambda: a.hub.runs_here(stream).run.log.size)
        watching = asyncio.create_task(b.watch(stream))
        await until(lambda: b.hub.peers.mirrors and len(a.hub.peers._nodes) == 2)
        a.hub.drain()
        await a.hub.hand_over()
        messages, _ = await watching
        assert ("".join(m.get("text", "") for m in messages), messages[-1]["status"]) == ("hello world", "completed")
        assert a.hub.running == 0


# -- the engine


async def test_an_engine_that_comes_back_empty_is_told_what_runs_and_has_forgotten_what_ended(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(peers, "BEAT_S", 0.05)
    monkeypatch.setattr("service.hub.hub.RECENT_S", 0.0)
    gate = Gate()
    plays = Play([start(), text("a"), gate, text("b"), end()])
    async with nodes(server, plays, Play([start(), text("x"), end()])) as (a, b):
        over = await b.start(prompt="over")
        await b.show(over, "?wait=5")
        stream = await a.start()
        watching = asyncio.create_task(b.watch(stream))
        await until(lambda: b.hub.peers.mirrors)
        await server.command("FLUSHALL")
        await until(lambda: b.hub.list("local") and over not in [s.id for s in b.hub.list("local")])
        assert [await status(node, f"/v1/streams/{over}") for node in (a, b)] == [404, 404]
        gate.open()
        messages, _ = await watching
        assert "".join(m.get("text", "") for m in messages) == "ab"
        assert await a.start() != stream  # it has ended, and none is joined that has


async def test_without_its_engine_a_node_serves_what_it_can_and_starts_when_it_is_there(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(peers, "BEAT_S", 0.05)
    await server.kill()
    async with nodes(server, Play([start(), text("a"), end()])) as (a,):
        assert [await status(a, path) for path in ("/livez", "/readyz")] == [200, 503]
        async with a.http.post(a.url + "/v1/streams", json={"prompt": "p"}) as answer:
            assert (answer.status, (await answer.json())["code"]) == (503, "overloaded")
            assert answer.headers["Retry-After"]
        await server.start()
        await until(lambda: a.hub.journal.up)
        assert await status(a, "/readyz") == 200
        assert (await a.show(await a.start(), "?wait=5"))["durable"] is True


async def test_an_engine_that_never_can_be_used_is_refused_in_words(server: RedisServer):
    await server.command("SET", "fanlight:{all}:schema", "99")
    store = RedisStore(server.url, "a")
    with pytest.raises(StoreRefused, match="newer version"):
        await store.open()
    await store.close()
    await server.command("CONFIG", "SET", "requirepass", "secret")
    store = RedisStore(server.url, "a")
    with pytest.raises(StoreRefused, match="refuses this service"):
        await store.open()
    await store.close()


async def test_a_full_engine_stops_new_starts_and_not_the_show(server: RedisServer):
    gate = Gate()
    async with nodes(server, Play([start(), text("a"), gate, text("b" * 100_000), end()])) as (a,):
        stream = await a.start()
        await server.command("CONFIG", "SET", "maxmemory", "1")
        gate.open()
        shown = await a.show(stream, "?wait=5")
        assert (shown["status"], shown["durable"]) == ("completed", False)
        assert [await status(a, "/readyz"), await status(a, "/v1/streams", "POST", json={"prompt": "p"})] == [503, 503]
        await server.command("CONFIG", "SET", "maxmemory", "0")
        await until(lambda: a.hub.journal.is_kept(stream))
        assert await status(a, "/readyz") == 200
        with pytest.raises(aiohttp.ClientResponseError):
            async with a.http.get(a.url + "/v1/streams/st_unknown") as answer:
                answer.raise_for_status()


async def test_a_reader_that_comes_from_the_owner_with_more_than_a_mirror_has_loses_nothing(server: RedisServer):
    gate = Gate()
    async with nodes(server, Play([start(), text("hello"), gate, text(" world"), Hang()]), Play([])) as (a, b):
        stream = await a.start()
        async with b.http.ws_connect(f"{b.url}/v1/streams/{stream}/ws") as socket:
            await socket.receive_json()
            b.hub.journal.store._following._followers[f"fanlight:{{{stream}}}:told"] = [lambda told: None]
            gate.open()
            await until(lambda: a.hub.runs_here(stream).run.log.size == 11)
            for path in ("ndjson", "events"):
                async with b.http.get(f"{b.url}/v1/streams/{stream}/{path}?cursor=1.11") as answer:
                    while b'"attached"' not in (line := await answer.content.readline()):
                        pass
                    assert b'"mode":"live"' in line
        async with b.http.ws_connect(b.url + "/v1/ws") as many:
            b.hub.journal.store._following._followers[f"fanlight:{{{stream}}}:told"] = [lambda told: None]
            await many.send_json({"type": "subscribe", "stream": stream, "cursor": "1.11"})
            assert (await many.receive_json(timeout=5))["mode"] == "live"
            await many.send_json({"type": "subscribe", "stream": stream, "cursor": "1.99"})
            assert (await many.receive_json(timeout=5))["mode"] == "snapshot"


async def test_a_reader_that_took_long_to_come_finds_its_mirror_again(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(peers, "LINGER_S", 0.01)
    gate = Gate()
    async with nodes(server, Play([start(), text("hello"), gate, text(" world"), end()]), Play([])) as (a, b):
        stream = await b.hub.fetch("local", await a.start())
        await until(lambda: not b.hub.peers.mirrors)
        with stream.hold():
            gate.open()
            ending = await asyncio.wait_for(stream.run.ended(), 5)
        assert (ending.status, stream.run.log.encoded()) == ("completed", b"hello world")


async def test_what_a_process_of_the_same_name_left_is_taken_when_none_beats_under_it(
    server: RedisServer, short_leases: None
):
    async with nodes(server, Play([start(), text("hello"), Hang()])) as (a,):
        stream = await a.start()
        async with open_service(Play([]), node="a", store=server.url) as double:
            await asyncio.sleep(0)
            await until(lambda: double.hub.peers._beats > 20)
            assert (await a.show(stream))["status"] == "running"
            await seems_dead(a)
            assert (await double.show(stream, "?wait=10"))["error"]["code"] == "interrupted"


async def test_a_take_over_whose_answer_was_lost_is_made_good(
    server: RedisServer, short_leases: None, monkeypatch: pytest.MonkeyPatch
):
    async with nodes(server, Play([start(), text("hello"), Hang()]), Play([])) as (a, b):
        stream = await a.start()
        await until(lambda: a.hub.runs_here(stream).run.log.size)
        store = b.hub.journal.store
        record, failed = store.record, []

        async def fails_once(*asked: Any) -> Any:
            if not failed:
                failed.append(asked)
                raise StoreFailed("scripted")
            return await record(*asked)

        monkeypatch.setattr(store, "record", fails_once)
        await seems_dead(a)
        await until(lambda: failed)
        await until(lambda: b.hub.peers.leases_taken)
        assert (await b.show(stream, "?wait=5"))["error"]["code"] == "interrupted"


async def test_a_node_that_fails_to_look_at_what_it_was_asked_looks_again(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(peers, "BEAT_S", 0.05)
    async with nodes(server, Play([start(), text("a"), Hang()]), Play([])) as (a, b):
        stream = await a.start()
        store = a.hub.journal.store
        record, failed = store.record, []

        async def fails_once(*asked: Any) -> Any:
            if not failed:
                failed.append(asked)
                raise StoreFailed("scripted")
            return await record(*asked)

        monkeypatch.setattr(store, "record", fails_once)
        assert await status(b, f"/v1/streams/{stream}", "DELETE") == 202
        await until(lambda: not a.hub.running)
        assert failed


async def test_many_calls_at_once_keep_neither_the_lease_nor_the_journal_waiting(server: RedisServer):
    async with nodes(server, Play([start(), text("a"), Hang()])) as (a,):
        stream = await a.start()
        asked = [status(a, f"/v1/streams/st_{n}") for n in range(300)]
        assert set(await asyncio.gather(*asked)) == {404}
        assert a.hub.journal.up
        assert a.hub.journal.is_kept(stream)


async def test_a_stream_that_cannot_be_looked_at_keeps_no_other_from_it(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
):
    async with nodes(server, Play([start(), text("a"), Hang()]), Play([])) as (a, b):
        first, second = [await a.start(prompt=prompt) for prompt in "12"]
        record = a.hub.journal.store.record

        async def breaks(stream: str, *asked: Any) -> Any:
            if stream == first:
                raise RuntimeError("scripted")
            return await record(stream, *asked)

        monkeypatch.setattr(a.hub.journal.store, "record", breaks)
        for stream in (first, second):
            assert await status(b, f"/v1/streams/{stream}", "DELETE") == 202
        await until(lambda: a.hub.runs_here(second) is None)
        assert a.hub.runs_here(first) is not None


async def test_a_claim_that_a_process_left_behind_when_it_ended_counts_no_more(server: RedisServer):
    async with nodes(server, Play([start(), text("a"), end()]), max_streams_per_tenant=1) as (b,):
        async with nodes(server, Play([])) as (a,):
            claim = await a.hub.journal.store.claim(Wanted("local", "st_never", b"i", "k", True, False, 1))
            assert claim.kind == "leader"
            assert await status(b, "/v1/streams", "POST", json={"prompt": "p"}) == 429
        assert await status(b, "/v1/streams", "POST", json={"prompt": "p"}) == 201


async def test_work_that_takes_longer_than_a_beat_leaves_nothing_undone(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
):
    async with nodes(server, Play([])) as (a,):
        peers_ = a.hub.peers
        done = []
        for beats in (1, 3, 5, 7, 9):  # each second one is missed
            monkeypatch.setattr(peers_, "_beats", beats)
            done.append(peers_._is_due("anything", 2))
        assert done == [False, True, True, True, True]


async def test_the_last_who_withdraws_ends_a_stream_also_while_the_engine_is_away(server: RedisServer):
    async with nodes(server, Play([start(), text("a"), Hang()])) as (a,):
        stream = a.hub.runs_here(await a.start())
        await server.kill()
        assert await a.hub.withdraw(stream)
        assert (await asyncio.wait_for(stream.run.ended(), 10)).code == "cancelled"


async def test_who_reads_a_mirror_is_not_left_alone_where_a_take_over_fails(
    server: RedisServer, short_leases: None, monkeypatch: pytest.MonkeyPatch
):
    async with nodes(server, Play([start(), text("hello"), Hang()]), Play([])) as (a, b):
        stream = await a.start()
        watching = asyncio.create_task(b.watch(stream))
        await until(lambda: b.hub.peers.mirrors)
        go_on, failed = b.hub.go_on, []

        async def fails_once(*asked: Any, **more: Any) -> None:
            if not failed:
                failed.append(asked)
                raise RuntimeError("scripted")
            await go_on(*asked, **more)

        monkeypatch.setattr(b.hub, "go_on", fails_once)
        await seems_dead(a)
        messages, _ = await asyncio.wait_for(watching, 20)
        assert failed
        assert (messages[-1]["type"], messages[-1]["error"]["code"]) == ("end", "interrupted")


async def test_a_mirror_that_is_not_what_ended_fails_and_never_passes_for_it(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
):
    gate = Gate()
    async with nodes(server, Play([start(), text("hello"), gate, end()]), Play([])) as (a, b):
        stream = await a.start()
        watching = asyncio.create_task(b.watch(stream))
        await until(lambda: b.hub.peers.mirrors)
        (mirrored,) = b.hub.peers.mirrored
        await until(lambda: mirrored.subscribers and mirrored.run.log.size == 5)
        monkeypatch.setattr(
            type(mirrored.run.log), "sha256", lambda log: "0" * 64 if log is mirrored.run.log else DIGEST
        )
        gate.open()
        messages, _ = await watching
        assert (messages[-1]["status"], messages[-1]["error"]["code"]) == ("failed", "internal")
        await until(lambda: not b.hub.list("local"))
        shown = await b.show(stream)
        assert (shown["status"], shown["text"], shown["sha256"]) == ("completed", "hello", DIGEST)
