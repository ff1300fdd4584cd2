"""The laws of a store that several processes use: who owns, who leads, who is told."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from service.store.contract import Begun, Change, Ended, Forgotten, Grown, Keyed, Renewed, Replaced, StoreFailed
from service.store.redis import RedisStore
from service.store.shared import Also, Grew, Look, Present, Reach, Told, Wanted
from tests.fakes.redis_server import RedisServer, needs_redis, redis_server
from tests.fakes.waiting import until

pytestmark = needs_redis


@pytest.fixture
async def server() -> AsyncIterator[RedisServer]:
    async with redis_server() as server:
        yield server


@pytest.fixture
async def pair(server: RedisServer) -> AsyncIterator[tuple[RedisStore, RedisStore]]:
    """Two nodes."""
    stores = RedisStore(server.url, "a"), RedisStore(server.url, "b")
    for store in stores:
        await store.open()
    yield stores
    for store in stores:
        await store.close()


def begun(stream: str, body: bytes | None = b"{}") -> Begun:
    return Begun(stream, "t", 1.0, b"meta", body)


def ended(stream: str, identity: bytes | None = None) -> Ended:
    return Ended(stream, b"ending", "completed", 2.0, 4e9, identity)


def wanted(
    stream: str, key: str | None = None, *, joins: bool = True, most: int = 9, stale: Sequence[str] = ()
) -> Wanted:
    return Wanted("t", stream, b"i", key, joins, True, most, stale)


async def text_of(store: RedisStore, stream: str) -> bytes:
    return b"".join(await store.blocks(stream))


async def test_who_takes_a_stream_writes_it_and_who_had_it_writes_nothing_any_more(pair):
    a, b = pair
    await a.commit([begun("s"), Grown("s", b"1")])
    record = await b.take("s", "a")
    assert (record.data, record.owner, record.kept.body) == (b"1", "b", b"{}")
    for change in (Grown("s", b"late"), Replaced("s", 2, "late"), Renewed("s", 2, "late"), ended("s")):
        a._held.setdefault("s", type(b._held["s"])("t", "1", 1, 1))  # it does not know yet
        assert await a.commit([change]) == ["s"]
    assert await b.commit([Grown("s", b"2"), ended("s")]) == []
    kept = await a.find("s")
    assert (await text_of(a, "s"), kept.ending, kept.gen) == (b"12", b"ending", 1)


async def test_of_two_that_would_take_one_does_and_nobody_takes_what_has_ended(pair):
    a, b = pair
    await a.commit([begun("s"), begun("over"), ended("over")])
    taken = await asyncio.gather(*(store.take("s", "a") for store in (b, a, b)))
    assert sum(record is not None for record in taken) >= 1
    owners = {record.owner for record in taken if record is not None}
    assert (await a.record("s", None)).owner in owners
    assert await b.take("over", "a") is None
    assert await b.take("nothing", "a") is None


async def test_a_write_that_comes_late_does_not_fit_what_was_written_anew(pair):
    a, _ = pair
    await a.commit([begun("s"), Grown("s", b"1")])
    before = a._held["s"].version, a._held["s"].size
    await a.commit([Replaced("s", 1, ""), Grown("s", b"1"), Grown("s", b"2")])
    a._held["s"].version, a._held["s"].size = before  # as the commands of a lost connection have it
    with pytest.raises(StoreFailed):
        await a.commit([Grown("s", b"2")])
    assert await text_of(a, "s") == b"12"


async def test_a_stream_that_the_engine_lost_is_no_success(pair, server):
    a, _ = pair
    await a.commit([begun("s"), Grown("s", b"1")])
    await server.command("FLUSHALL")
    with pytest.raises(StoreFailed):
        await a.commit([Grown("s", b"2")])
    await a.commit([begun("s"), Replaced("s", 1, ""), Grown("s", b"1"), Grown("s", b"2")])
    assert await text_of(a, "s") == b"12"


async def test_of_equal_starts_one_leads_until_its_stream_is_over(pair):
    a, b = pair
    claims = await asyncio.gather(*(store.claim(wanted(f"s{n}")) for n, store in enumerate([a, b] * 3)))
    (leader,) = [claim.stream for claim in claims if claim.kind == "leader"]
    assert {claim.stream for claim in claims} == {leader}
    await a.commit([begun(leader)])
    await a.release("t", leader)
    assert (await b.claim(wanted("next"))).kind == "leader"


async def test_what_leads_nowhere_is_claimed_over_and_a_claim_can_be_dropped(pair):
    a, b = pair
    assert (await a.claim(wanted("s", "k"))).kind == "leader"
    assert (await b.claim(wanted("n", "k"))).kind == "keyed"
    assert (await b.claim(wanted("n", "k", stale=["s"]))).kind == "leader"
    await b.drop_claim("t", "n")
    assert (await a.claim(wanted("m", "k", stale=["s"]))).kind == "leader"


async def test_a_tenants_runs_are_counted_over_all_nodes(pair):
    a, b = pair
    kinds = [(await store.claim(wanted(f"s{n}", joins=False, most=2))).kind for n, store in enumerate([a, b, a])]
    assert kinds == ["leader", "leader", "limit"]
    await a.release("t", "s0")
    assert (await b.claim(wanted("s3", joins=False, most=2))).kind == "leader"


async def test_a_key_leads_to_its_stream_with_what_it_was_used_with(pair):
    a, b = pair
    await a.claim(wanted("s", "a key\nof two lines"))
    await a.commit([begun("s"), Keyed("s", "t", "a key\nof two lines", b"i")])
    claim = await b.claim(wanted("n", "a key\nof two lines"))
    assert (claim.kind, claim.stream, claim.identity, claim.runs) == ("keyed", "s", b"i", True)
    await a.commit([ended("s", b"i")])
    assert not (await b.claim(wanted("n", "a key\nof two lines"))).runs
    assert (await b.claim(wanted("n"))).kind == "replayed"
    await b.commit([Forgotten("s")])
    assert (await b.claim(wanted("n", "a key\nof two lines"))).kind == "leader"


async def test_the_first_wish_stands_and_what_is_shared_or_watched_is_not_ended(pair):
    a, b = pair
    assert await b.wish("s", "cancelled") == "unknown"
    await a.commit([begun("s")])
    await b.join("s", Also(1, True, 5.0, 60.0))
    assert await b.wish("s", "cancelled") == "shared"
    await b.present({"s": b'{"text":1}'})
    assert await a.wish("s", "abandoned", nodes=["b"]) == "present"
    assert await a.wish("s", "abandoned", nodes=[]) == "ok"
    assert await b.wish("s", "cancelled", force=True) == "ok"
    assert not await b.join("s", Also())
    record = await a.record("s", None)
    assert record.wish == "abandoned"
    assert record.also == Also(2, True, 5.0, 60.0)
    assert record.present == {"b": b'{"text":1}'}
    assert set(await a.asked()) == {"s"}
    await a.commit([ended("s")])
    assert await b.wish("s", "cancelled") == "ended"


async def test_what_is_given_up_is_nobodys_until_it_is_taken(pair):
    a, b = pair
    await a.commit([begun("s"), Grown("s", b"1")])
    assert await a.give("s", "b")
    assert await b.asked() == ("s",)
    assert await a.take("s", "a") is None
    record = await b.take("s", "")
    assert (record.owner, record.data) == ("b", b"1")
    assert not await a.give("s", "b")


async def test_who_follows_is_told_of_all_that_is_written_and_where_it_stands(pair):
    a, b = pair
    told: list[Told] = []
    await a.commit([begun("s")])
    hears = told.append
    await b.follow("s", hears)
    await until(lambda: told == [Look()])
    await a.commit([Grown("s", b"1"), Grown("s", b"2")])
    await a.commit([Grown("s", b"3")])
    await a.present({"s": b"{}"})
    await a.commit([Grown("s", b"4"), ended("s")])
    await until(lambda: len(told) == 5)
    assert told[1:] == [Grew(Reach(1, 0), b"12"), Grew(Reach(1, 2), b"3"), Present("a", b"{}"), Look()]
    record = await b.record("s", Reach(1, 2))
    assert (record.data, record.whole, record.place) == (b"34", False, Reach(1, 4))
    assert (await b.record("s", Reach(7, 2))).whole
    await b.unfollow("s", hears)
    await a.commit([Forgotten("s")])
    assert await b.record("s", None) is None


async def test_a_node_that_beats_lives_and_one_that_does_not_has_died(pair, monkeypatch):
    monkeypatch.setattr("service.store.redis.LEASE_S", 0.05)
    a, b = pair
    assert (await a.beat()).nodes == {"a"}
    await until_dead(b, "a")
    await a.beat()
    assert "a" in (await b.beat()).nodes
    await b.bury("a")  # it lives
    assert "a" in (await b.beat()).nodes
    await until_dead(b, "a")
    await b.bury("a")
    assert (await b.beat()).dead == ()


async def until_dead(store: RedisStore, node: str) -> None:
    async with asyncio.timeout(5):
        while node not in (await store.beat()).dead:
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(("lost", "expected"), [("some", "some"), ("all", "all")])
async def test_an_engine_that_has_lost_something_is_noticed(server: RedisServer, lost: str, expected: str):
    if lost == "some":
        await server.kill()
        server._arguments = ("--appendonly", "yes", "--appendfsync", "always")
        await server.start()
    store = RedisStore(server.url, "a")
    await store.open()
    assert (await store.beat()).lost == ""
    await server.kill()
    with pytest.raises(StoreFailed):
        await store.beat()
    await server.start()
    assert (await store.beat()).lost == expected
    assert (await store.beat()).lost == ""
    await store.close()


async def test_what_one_said_of_a_channel_is_heard_by_all_until_its_stream_is_over(pair):
    a, b = pair
    heard: list[tuple[str, ...]] = []
    b.listen(lambda: None, lambda *told: heard.append(told))
    await b.follow("any", lambda told: None)  # then its connection is there
    await a.claim(wanted("s"))
    changes: list[Change] = [begun("s")]
    await a.commit(changes)
    await a.announce("a tenant", "wall", "x")
    await a.announce("t", "wall", "s")
    await until(lambda: len(heard) == 2)
    assert heard == [("a tenant", "wall", "x"), ("t", "wall", "s")]
    assert await b.under("t", "wall") == ["s"]
    await a.release("t", "s")
    assert await b.under("t", "wall") == []


async def test_a_generation_above_one_is_asked_of_the_owner_or_is_there_at_once_where_it_has_ended(pair):
    a, b = pair
    await a.commit([begun("s"), Grown("s", b"1")])
    await b.renew("s", 1)
    record = await a.record("s", None)
    assert (record.renew, record.kept.gen, await a.asked()) == (1, 1, ("s",))
    await a.commit([Renewed("s", 2, "taken_over"), ended("s")])
    await b.renew("s", 1)
    assert (await a.find("s")).gen == 2
    await b.renew("s", 2)
    kept = await a.find("s")
    assert (kept.gen, kept.reason, kept.ending, await text_of(a, "s")) == (3, "taken_over", b"ending", b"1")


async def test_a_stream_that_is_forgotten_as_soon_as_it_ends_is_no_failure(pair):
    a, _ = pair
    await a.commit([begun("s"), Grown("s", b"1"), Ended("s", b"ending", "completed", 2.0, 2.0, None)])
    assert await a.find("s") is None
    assert await a.prune(3.0, 1 << 30) == ["s"]
    assert await a.usage() == (0, 0)


async def test_who_withdraws_leaves_a_stream_to_the_others_and_the_last_one_cancels_it(pair):
    a, b = pair
    await a.commit([begun("s")])
    await b.join("s", Also())
    assert await b.wish("s", "withdrawn") == "left"
    assert (await a.record("s", None)).also.starters == 1
    assert await a.wish("s", "withdrawn") == "ok"
    assert (await a.record("s", None)).wish == "cancelled"
