"""How much a tenant and a key may do: each bound, its code, its headers, and that it holds over all nodes."""

import asyncio
import hashlib
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from protocol.errors import Refusal
from service.access.caller import Caller
from service.access.limiter import Bounds, Limiter
from service.store.contract import StoreFailed
from service.store.memory import MemoryStore
from service.web import keys
from service.web.memory import MemoryWatch
from tests.fakes.redis_server import needs_redis, redis_server
from tests.fakes.service import ASK, Service, Serving, open_service
from tests.fakes.upstream import Gate, Hang, Play, end, start, text
from tests.fakes.waiting import until
from tests.service.test_access import opened

GROWS = Play([start(), text("one "), Hang()])
WHOLE = Play([start(), text("hello"), end(tokens=7)])
NEVER = {"fanlight": {"join": "never"}}
ANNA = {hashlib.sha256(b"a").hexdigest(): "anna", hashlib.sha256(b"b").hexdigest(): "ben"}
A, B = {"x-api-key": "a"}, {"x-api-key": "b"}


async def started(service: Service, headers: dict[str, str] | None = None, **members: Any) -> Any:
    asked = {**ASK, **NEVER, **members}
    async with service.http.post(service.url + "/v1/streams", json=asked, headers=headers) as answer:
        return answer.status, await answer.json(), answer.headers


async def refused(service: Service, headers: dict[str, str] | None = None, **members: Any) -> tuple[str, str]:
    status, told, sent = await started(service, headers, **members)
    assert (status, told["code"], told["retryable"]) == (429, "limit_reached", True)
    return told["message"], sent["Retry-After"]


def hits(service: Service) -> dict[str, int]:
    return dict(service.app[keys.LIMITER].hits)


# -- starts


async def test_starts_are_bounded_by_the_minute_and_each_answer_says_how_many_are_left(serving: Serving):
    async with serving(WHOLE, starts_per_minute=2) as service:
        for left in ("1", "0"):
            status, _, sent = await started(service)
            assert (status, sent["RateLimit-Policy"]) == (201, '"starts";q=2;w=60')
            assert sent["RateLimit"].startswith(f'"starts";r={left};t=')
        status, told, sent = await started(service)
        assert (status, told["message"], sent["RateLimit"][:12]) == (429, "too many starts a minute", '"starts";r=0')
        assert 28 <= int(sent["Retry-After"]) <= 30
        assert (hits(service), len(service.upstream.seen)) == ({"starts_per_minute": 1}, 2)


async def test_one_that_joins_costs_no_start_and_no_budget(serving: Serving):
    async with serving(GROWS, starts_per_minute=1) as service:
        first = await service.start()
        async with service.http.post(service.url + "/v1/streams", json=ASK) as answer:
            assert (answer.status, (await answer.json())["id"]) == (200, first)
            assert "RateLimit" not in answer.headers
        assert (await refused(service))[0] == "too many starts a minute"


async def test_a_start_over_a_socket_and_one_of_the_dialect_come_from_the_same_rate(serving: Serving):
    async with serving(WHOLE, starts_per_minute=1) as service, service.http.ws_connect(service.url + "/v1/ws") as many:
        await service.start(**NEVER)
        await many.send_json({"type": "start", "ref": 1, "request": {**ASK, **NEVER}})
        told = await many.receive_json()
        assert (told["type"], told["ref"], told["code"]) == ("error", 1, "limit_reached")
        async with service.analyze() as answer:
            assert (answer.status, (await answer.json())["code"]) == (429, "limit_reached")


async def test_tenants_do_not_take_from_one_another(serving: Serving):
    async with serving(WHOLE, starts_per_minute=1, api_keys=ANNA) as service:
        assert (await started(service, A))[0] == 201
        await refused(service, A)
        assert (await started(service, B))[0] == 201


async def test_none_a_minute_is_a_bound_too(serving: Serving):
    async with serving(WHOLE, starts_per_minute=0) as service:
        assert (await refused(service))[0] == "no starts are allowed"


async def test_a_key_has_bounds_of_its_own_beside_its_tenants(serving: Serving, tmp_path: Path):
    async with opened(serving, tmp_path, WHOLE, starts_per_minute=3) as door:
        slow, quick = await door.key("slow", limits={"starts_per_minute": 1}), await door.key("quick")
        assert (await started(door.service, slow))[0] == 201
        await refused(door.service, slow)
        for _ in range(2):
            assert (await started(door.service, quick))[0] == 201
        await refused(door.service, quick)


async def test_a_key_has_as_many_running_streams_as_it_may(serving: Serving, tmp_path: Path):
    async with opened(serving, tmp_path, GROWS) as door:
        narrow, wide = await door.key("narrow", limits={"max_streams_per_tenant": 1}), await door.key("wide")
        _, first, _ = await started(door.service, narrow)
        assert (await refused(door.service, narrow))[0] == "this key runs as many streams as it may"
        assert (await started(door.service, wide))[0] == 201
        await door.call("DELETE", f"/v1/streams/{first['id']}", narrow)
        await until(lambda: "acme/narrow" not in door.service.app[keys.LIMITER]._here.streams())
        assert (await started(door.service, narrow))[0] == 201


# -- what a day may cost


async def test_tokens_of_a_day_are_a_budget_and_the_next_start_is_refused(serving: Serving):
    async with serving(WHOLE, output_tokens_per_day=10) as service:
        for _ in range(2):
            _, told, _ = await started(service)
            await service.watch(told["id"])
        message, wait = await refused(service)
        assert (message, 1 <= int(wait) <= 86_400) == ("the day's budget is used up", True)
        assert hits(service) == {"output_tokens_per_day": 1}


async def test_seconds_of_what_still_runs_count_and_it_is_not_stopped(serving: Serving):
    gate = Gate()
    async with serving(Play([start(), gate, text("hello"), end()]), upstream_seconds_per_day=60) as service:
        _, told, _ = await started(service)
        stream = service.hub.find("local", told["id"])
        stream.run.times.began -= 61
        await refused(service)
        gate.open()
        messages, _ = await service.watch(told["id"])
        assert messages[-1]["status"] == "completed"
        await refused(service)


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Nothing:
    """Nobody reads, and nothing runs."""

    def readers(self) -> dict[str, int]:
        return {}

    def streams(self) -> dict[str, int]:
        return {}

    def seconds(self) -> dict[str, float]:
        return {}


NOON = 1_800_014_400.0 - 1_800_014_400.0 % 86_400 + 43_200


async def test_a_new_day_has_a_new_budget_and_a_restart_has_the_old_one():
    store, clock = MemoryStore(), Clock(NOON)
    caller = Caller("t", key="k", limits={"output_tokens_per_day": 10})
    limiter = Limiter(store, Bounds(), Nothing(), clock=clock)
    limiter.spend("t", "k", "output_tokens_per_day", 10)
    await limiter.settle()
    again = Limiter(store, Bounds(), Nothing(), clock=clock)
    for one in (limiter, again):
        with pytest.raises(Refusal) as caught:
            await one.start(caller)
        assert (caught.value.code, caught.value.retry_after_s) == ("limit_reached", 43_200)
    clock.now += 43_201
    for one in (limiter, again):
        await one.start(caller)


class Away(MemoryStore):
    """A store that is not there."""

    away = True

    async def add(self, amounts, expires, now):
        if self.away:
            raise StoreFailed("away")
        return await super().add(amounts, expires, now)


async def test_what_was_spent_while_the_store_was_away_is_told_when_it_is_back():
    store, clock = Away(), Clock(NOON)
    limiter = Limiter(store, Bounds(output_tokens_per_day=10), Nothing(), clock=clock)
    with pytest.raises(Refusal) as caught:
        await limiter.start(Caller("t"))
    assert caught.value.code == "overloaded"
    limiter.spend("t", "", "output_tokens_per_day", 10)
    await limiter.settle()
    store.away = False
    await limiter.settle()
    with pytest.raises(Refusal) as caught:
        await Limiter(store, limiter.bounds, Nothing(), clock=clock).start(Caller("t"))
    assert caught.value.code == "limit_reached"


# -- readers


async def test_a_stream_has_as_many_readers_as_it_may_over_every_transport(serving: Serving):
    async with serving(GROWS, max_readers_per_stream=1) as service:
        stream = await service.start()
        path = f"{service.url}/v1/streams/{stream}"
        async with service.http.ws_connect(path + "/ws") as socket:
            await socket.receive_json()
            for way in ("ndjson", "events", "text"):
                async with service.http.get(f"{path}/{way}") as answer:
                    assert answer.status == 429, way
            async with service.http.ws_connect(path + "/ws") as second:
                assert (await second.receive()).data == 4429
            async with service.http.ws_connect(service.url + "/v1/ws") as many:
                await many.send_json({"type": "subscribe", "stream": stream})
                assert (await many.receive_json())["code"] == "limit_reached"
        assert hits(service) == {"max_readers_per_stream": 5}


async def test_a_tenant_has_as_many_readers_as_it_may_and_one_that_leaves_makes_room(serving: Serving):
    async with serving(GROWS, max_readers_per_tenant=1, api_keys=ANNA) as service:
        path = f"{service.url}/v1/streams/{(await started(service, A))[1]['id']}"
        async with service.http.ws_connect(path + "/ws", headers=A) as socket:
            await socket.receive_json()
            for where in (path + "/ws", service.url + "/v1/ws", service.url + "/v1/channels/hall/ws"):
                async with service.http.ws_connect(where, headers=A) as second:
                    assert (await second.receive()).data == 4429, where
            async with service.http.ws_connect(service.url + "/v1/ws", headers=B) as other:
                await other.send_json({"type": "ping"})
                assert (await other.receive_json())["type"] == "pong"
        await until(lambda: not service.app[keys.CONNECTIONS].by_owner)
        async with service.http.ws_connect(path + "/ws", headers=A) as socket:
            assert (await socket.receive_json())["type"] == "attached"


async def test_readers_come_as_often_as_they_may_however_short_they_stay(serving: Serving):
    async with serving(WHOLE, attaches_per_minute=2) as service:
        stream = await service.start()
        path = f"{service.url}/v1/streams/{stream}/text"
        found = []
        for _ in range(3):
            async with service.http.get(path) as answer:
                found.append(answer.status)
        assert (found, hits(service)) == ([200, 200, 429], {"attaches_per_minute": 1})


async def test_callers_of_the_dialect_are_readers_too_and_bounded_as_such(serving: Serving):
    async with serving(GROWS, max_readers_per_stream=1) as service:
        stream = await service.start()
        first = await service.analyze().__aenter__()
        async with service.analyze() as second:
            assert (first.status, second.status) == (200, 429)
        assert service.hub.find("local", stream).presence() == {"dialect": 1}
        first.close()
    async with serving(GROWS, max_readers_per_tenant=1) as service:
        first = await service.analyze().__aenter__()
        async with service.analyze() as second:
            assert (first.status, second.status) == (200, 429)
        first.close()
    async with serving(WHOLE, attaches_per_minute=1) as service:
        for expected in (200, 429):
            async with service.analyze(**NEVER) as answer:
                assert answer.status == expected


async def answered(socket: aiohttp.ClientWebSocketResponse, command: dict[str, Any]) -> str:
    """The type of the direct answer to a command."""
    await socket.send_json(command)
    while (told := await socket.receive_json())["type"] not in ("attached", "error"):
        pass
    return told["type"]


@pytest.mark.parametrize(
    "command", [{"type": "start", "request": ASK}, {"type": "subscribe", "channel": "hall"}], ids=["start", "channel"]
)
@pytest.mark.parametrize("limit", ["max_readers_per_stream", "attaches_per_minute"])
async def test_readers_that_join_or_listen_over_a_socket_are_bounded(
    serving: Serving, command: dict[str, Any], limit: str
):
    async with serving(GROWS, **{limit: 1}) as service:
        await service.start(fanlight={"channel": "hall"})
        url = service.url + "/v1/ws"
        async with service.http.ws_connect(url) as first, service.http.ws_connect(url) as second:
            assert [await answered(socket, command) for socket in (first, second)] == ["attached", "error"]


async def test_the_last_socket_that_is_allowed_may_subscribe(serving: Serving):
    async with serving(GROWS, max_readers_per_tenant=1) as service:
        command = {"type": "subscribe", "stream": await service.start()}
        async with service.http.ws_connect(service.url + "/v1/ws") as socket:
            # Once more takes the place of the first.
            assert [await answered(socket, command) for _ in range(2)] == ["attached", "attached"]


async def test_of_readers_that_come_at_once_only_those_are_let_in_that_there_is_room_for(serving: Serving):
    async with serving(Play([start(), text("x" * 200_000), Hang()]), max_readers_per_stream=1) as service:
        stream = await service.start()
        run = service.hub.find("local", stream).run
        await until(lambda: run.log.size)
        path = f"{service.url}/v1/streams/{stream}/ndjson?view=patch"
        answers = await asyncio.gather(*(service.http.get(path) for _ in range(10)))
        assert sorted(answer.status for answer in answers) == [200] + [429] * 9
        for answer in answers:
            answer.close()


async def test_of_starts_that_come_at_once_only_those_run_that_a_key_may(serving: Serving, tmp_path: Path):
    store = f"sqlite:{tmp_path}/streams.db"
    async with opened(serving, tmp_path, GROWS, store=store, upstream_seconds_per_day=1000) as door:
        narrow = await door.key("narrow", limits={"max_streams_per_tenant": 1})
        found = await asyncio.gather(*(started(door.service, narrow) for _ in range(20)))
        assert sorted(status for status, _, _ in found) == [201] + [429] * 19


# -- a socket


async def test_a_socket_that_sends_more_than_it_may_is_closed_and_others_are_not(serving: Serving):
    async with serving(GROWS, messages_per_minute=5) as service:
        async with service.http.ws_connect(service.url + "/v1/ws") as loud:
            for _ in range(6):
                await loud.send_json({"type": "ping"})
            kinds = [message.type async for message in loud]
            assert (kinds, loud.close_code) == ([aiohttp.WSMsgType.TEXT] * 5, 4429)
        async with service.http.ws_connect(service.url + "/v1/ws") as quiet:
            await quiet.send_json({"type": "ping"})
            assert (await quiet.receive_json())["type"] == "pong"
        assert hits(service) == {"messages_per_minute": 1}


# -- memory


class Full:
    """Memory that is taken to a share that the test says."""

    def __init__(self, service: Service) -> None:
        self.share = 0.0
        self.watch = service.app[keys.MEMORY]
        self.watch.most_bytes, self.watch._taken = 1000, lambda: round(self.share * 1000)

    def becomes(self, share: float) -> MemoryWatch:
        self.share = share
        self.watch.look()
        return self.watch


async def test_memory_runs_short_first_for_starts_then_for_readers_and_last_for_those_that_read(serving: Serving):
    async with serving(GROWS) as service:
        full = Full(service)
        stream = await service.start()
        path = f"{service.url}/v1/streams/{stream}"
        async with service.http.ws_connect(path + "/ws") as socket:
            await socket.receive_json()
            full.becomes(0.85)
            status, told, sent = await started(service)
            assert (status, told["code"], sent["Retry-After"]) == (503, "overloaded", "5")
            async with service.http.get(path + "/ndjson") as answer:
                assert answer.status == 200
            full.becomes(0.92)
            async with service.http.get(path + "/ndjson") as answer:
                assert answer.status == 503
            assert not socket.closed
            watch = full.becomes(0.96)
            while (message := await socket.receive()).type is aiohttp.WSMsgType.TEXT:
                pass
            assert (message.data, message.extra) == (1013, "overloaded")
            assert (watch.refused, watch.sent_away) == (1, 1)
        full.becomes(0.5)
        assert (await started(service))[0] == 201


async def test_of_many_readers_some_go_at_each_look_and_others_at_the_next(serving: Serving):
    async with serving(GROWS) as service:
        stream = await service.start()
        sockets = [await service.http.ws_connect(f"{service.url}/v1/streams/{stream}/ws") for _ in range(50)]
        full = Full(service)
        assert [full.becomes(0.96).sent_away for _ in range(4)] == [20, 40, 50, 50]
        for socket in sockets:
            await socket.close()


# -- over all nodes


@asynccontextmanager
async def two_nodes(**settings: Any):
    async with (
        redis_server() as server,
        open_service(GROWS, store=server.url, node="a", **settings) as one,
        open_service(GROWS, store=server.url, node="b", **settings) as other,
    ):
        yield one, other


async def counted(*services: Service) -> None:
    """Each node has told, and heard of the others."""
    for _ in range(2):
        for service in services:
            await service.app[keys.LIMITER].settle()


@needs_redis
async def test_starts_and_readers_are_counted_over_all_nodes():
    async with two_nodes(starts_per_minute=2, max_readers_per_tenant=1) as (one, other):
        _, told, _ = await started(one)
        assert (await started(other))[0] == 201
        for service in (one, other):
            await refused(service)
        await until(lambda: one.hub.peers.others() == ("b",) and other.hub.peers.others() == ("a",))
        async with one.http.ws_connect(f"{one.url}/v1/streams/{told['id']}/ws") as socket:
            await socket.receive_json()
            await counted(one, other)
            async with other.http.ws_connect(f"{other.url}/v1/streams/{told['id']}/ws") as second:
                assert (await second.receive()).data == 4429


async def test_what_ends_with_the_service_is_billed(serving: Serving, tmp_path: Path):
    store = f"sqlite:{tmp_path}/streams.db"
    async with serving(GROWS, store=store, upstream_seconds_per_day=100) as service:
        _, told, _ = await started(service)
        service.hub.find("local", told["id"]).run.times.began -= 500
    async with serving(GROWS, store=store, upstream_seconds_per_day=100) as service:
        await refused(service)


@needs_redis
async def test_seconds_of_what_runs_at_another_node_count():
    async with two_nodes(upstream_seconds_per_day=60) as (one, other):
        _, told, _ = await started(one)
        one.hub.find("local", told["id"]).run.times.began -= 500
        await until(lambda: other.hub.peers.others() == ("a",))
        await counted(one, other)
        await refused(other)


@needs_redis
async def test_a_budget_is_one_over_all_nodes():
    async with two_nodes(output_tokens_per_day=10) as (one, other):
        one.app[keys.LIMITER].spend("local", "", "output_tokens_per_day", 10)
        await counted(one, other)
        await refused(other)
