"""The laws of a store, held against each of them; and a machine that kills one between any two commits."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from redis.asyncio import Redis

from service.store.contract import (
    Begun,
    Ended,
    Forgotten,
    Grown,
    Keyed,
    Noted,
    Replaced,
    Store,
    StoreFailed,
    StoreRefused,
)
from service.store.memory import MemoryStore
from service.store.redis import RedisStore
from service.store.sqlite import SqliteStore
from tests.fakes.redis_server import needs_redis, redis_server

LATER = 4e9  # nothing expires by itself while a test runs


def begun(stream: str, tenant: str = "t", body: bytes | None = b"{}") -> Begun:
    return Begun(stream, tenant, 1.0, b"meta", body)


def ended(stream: str, at: float = 2.0, expires: float = 4e9, identity: bytes | None = b"i") -> Ended:
    return Ended(stream, b"ending", "completed", at, expires, identity)


@asynccontextmanager
async def opened(make: Callable[[], Store]):
    store = make()
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture(params=["memory", "sqlite", pytest.param("redis", marks=needs_redis)])
async def make(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Callable[[], Store]]:
    if request.param == "memory":
        yield MemoryStore
    elif request.param == "sqlite":
        yield lambda: SqliteStore(tmp_path / "s" / "streams.db")
    else:
        async with redis_server() as server:
            yield lambda: RedisStore(server.url, "node")


async def test_what_was_committed_is_read_back_in_its_order(make):
    async with opened(make) as store:
        await store.commit([begun("a"), Grown("a", b"1"), Grown("a", b"2")])
        await store.commit([Grown("a", b"3" * 5000), Grown("a", b"4")])
        kept = await store.find("a")
        assert (kept.stream, kept.tenant, kept.meta, kept.body, kept.gen, kept.ending) == (
            "a",
            "t",
            b"meta",
            b"{}",
            1,
            None,
        )
        assert b"".join(await store.blocks("a")) == b"12" + b"3" * 5000 + b"4"
        assert [k.stream for k in await store.running()] == ["a"]
        await store.commit([ended("a")])
        kept = await store.find("a")
        assert (kept.ending, kept.at, kept.expires, kept.body) == (b"ending", 2.0, 4e9, None)
        assert await store.running() == []
        assert (await store.usage())[0] == 1


async def test_a_new_generation_takes_the_text_before_it_away(make):
    async with opened(make) as store:
        await store.commit([begun("a"), Grown("a", b"old"), Replaced("a", 2, "restarted"), Grown("a", b"new")])
        kept = await store.find("a")
        assert (kept.gen, kept.reason, b"".join(await store.blocks("a"))) == (2, "restarted", b"new")


async def test_the_first_ending_stands_and_nothing_grows_behind_it(make):
    async with opened(make) as store:
        await store.commit([begun("a"), Grown("a", b"1"), ended("a")])
        await store.commit([Grown("a", b"2"), Replaced("a", 3, "x"), ended("a", at=9.0)])
        kept = await store.find("a")
        assert (kept.gen, kept.at, b"".join(await store.blocks("a"))) == (1, 2.0, b"1")
        assert (await store.usage())[0] == 1


async def test_beginning_again_changes_nothing(make):
    async with opened(make) as store:
        await store.commit([begun("a"), Grown("a", b"1")])
        await store.commit([Begun("a", "other", 9.0, b"x", None)])
        kept = await store.find("a")
        assert (kept.tenant, b"".join(await store.blocks("a"))) == ("t", b"1")


async def test_keys_and_identities_lead_to_their_streams_until_these_are_forgotten(make):
    async with opened(make) as store:
        await store.commit([begun("a"), Keyed("a", "t", "k", b"i"), begun("b"), begun("c", "u")])
        assert await store.by_key("t", "k") == ("a", b"i")
        assert await store.by_key("u", "k") is None
        assert await store.by_identity("t", b"i") is None
        await store.commit([ended("a"), ended("b"), ended("c", identity=None)])
        assert await store.by_identity("t", b"i") == "b"
        assert await store.by_identity("u", b"i") is None
        await store.commit([Forgotten("a"), Forgotten("b"), Forgotten("nothing")])
        assert await store.by_key("t", "k") is None
        assert await store.by_identity("t", b"i") is None
        assert await store.find("a") is None
        assert await store.blocks("a") == []


async def test_pages_are_of_one_tenant_newest_first(make):
    async with opened(make) as store:
        for n in range(5):
            await store.commit([begun(f"a{n}"), begun(f"b{n}", "u"), ended(f"a{n}"), Noted(f"a{n}", b"n%d" % n)])
        first = await store.page("t", None, None, 2)
        assert [kept.stream for kept in first] == ["a4", "a3"]
        assert [kept.stream for kept in await store.page("t", "completed", first[-1].place, 9)] == ["a2", "a1", "a0"]
        assert await store.page("t", "failed", None, 9) == []
        assert await store.page("u", "completed", None, 9) == []  # they still run
        assert len(await store.page("u", None, None, 9)) == 5
        assert first[0].meta == b"n4"


async def test_what_has_expired_goes_then_the_oldest_until_they_fit(make):
    async with opened(make) as store:
        for n in range(4):
            await store.commit(
                [begun(f"a{n}"), Grown(f"a{n}", b"x" * 1000), ended(f"a{n}", at=float(n), expires=4e9 + n)]
            )
        await store.commit([begun("runs"), Grown("runs", b"x" * 5000)])
        assert await store.prune(4e9 + 0.5, 1 << 30) == ["a0"]
        (_, size) = await store.usage()
        assert await store.prune(0.0, size - 1) == ["a1"]
        assert sorted(await store.prune(0.0, 0)) == ["a2", "a3"]
        assert await store.usage() == (0, 0)
        assert await store.find("runs") is not None


async def test_sums_grow_by_what_is_added_over_whichever_connection_and_are_forgotten(make):
    async with opened(make) as store:
        assert await store.add({("t", "a"): 1.5, ("t", "b"): 2.0, ("u", "a"): 0.0}, LATER, 1.0) == {
            ("t", "a"): 1.5,
            ("t", "b"): 2.0,
            ("u", "a"): 0.0,
        }
        assert await store.add({("t", "a"): 0.5}, LATER, 2.0) == {("t", "a"): 2.0}
        assert await store.add({("t", "short"): 1.0}, 3.0, 2.0) == {("t", "short"): 1.0}
        assert await store.add({("t", "short"): 1.0}, LATER, 4.0) == {("t", "short"): 1.0}
        assert await store.add({}, LATER, 5.0) == {}


async def test_a_note_is_written_where_it_still_says_what_it_did(make):
    async with opened(make) as store:
        assert await store.note("t", "n", 1.0) is None
        assert await store.write_note("t", "n", None, b"1", LATER, 1.0)
        assert not await store.write_note("t", "n", None, b"2", LATER, 1.0)
        assert not await store.write_note("t", "n", b"0", b"2", LATER, 1.0)
        assert await store.write_note("t", "n", b"1", b"", LATER, 1.0)
        assert not await store.write_note("t", "n", None, b"2", LATER, 1.0)
        assert await store.write_note("t", "n", b"", b"3", LATER, 1.0)
        assert (await store.note("t", "n", 1.0), await store.note("u", "n", 1.0)) == (b"3", None)
        assert await store.write_note("t", "n", b"3", b"4", 2.0, 1.0)  # its time is over
        assert await store.note("t", "n", 3.0) is None
        assert await store.write_note("t", "n", None, b"5", LATER, 3.0)
        assert await store.write_note("t", "m", None, b"5", 4.0, 3.0)
        await store.prune(5.0, 1 << 30)
        assert await store.note("t", "n", 5.0) == b"5"


async def test_a_file_is_read_by_the_next_process(tmp_path: Path):
    def make() -> SqliteStore:
        return SqliteStore(tmp_path / "streams.db")

    async with opened(make) as store:
        await store.commit([begun("a"), Grown("a", b"1")])
    async with opened(make) as store:
        await store.commit([Grown("a", b"2")])
        assert b"".join(await store.blocks("a")) == b"12"


async def test_a_second_service_on_one_file_is_refused_and_told_who_holds_it(tmp_path: Path):
    async with opened(lambda: SqliteStore(tmp_path / "streams.db")):
        other = SqliteStore(tmp_path / "streams.db")
        with pytest.raises(StoreRefused, match=r"held by process [0-9]+"):
            await other.open()
        await other.close()


async def test_a_file_of_a_newer_version_is_refused_in_words(tmp_path: Path):
    connection = sqlite3.connect(tmp_path / "streams.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    store = SqliteStore(tmp_path / "streams.db")
    with pytest.raises(StoreRefused, match="newer version"):
        await store.open()
    await store.close()


@pytest.mark.parametrize("name", ["file/streams.db", "directory"])
async def test_a_path_that_cannot_be_a_file_is_refused_in_words(tmp_path: Path, name: str):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "directory").mkdir()
    store = SqliteStore(tmp_path / name)
    with pytest.raises(StoreRefused, match="cannot be opened"):
        await store.open()
    await store.close()
    assert (tmp_path / "directory").is_dir()


async def test_a_file_that_somebody_holds_is_refused_and_stays_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("service.store.sqlite.BUSY_S", 0.01)
    path = tmp_path / "streams.db"
    async with opened(lambda: SqliteStore(path)) as store:
        await store.commit([begun("a")])
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    store = SqliteStore(path)
    with pytest.raises(StoreRefused, match="locked"):
        await store.open()
    await store.close()
    holder.execute("ROLLBACK")
    holder.close()
    assert not list(tmp_path.glob("*.damaged-*"))
    async with opened(lambda: SqliteStore(path)) as store:
        assert await store.find("a") is not None


async def test_a_file_that_is_none_is_set_aside_and_never_deleted(tmp_path: Path):
    (tmp_path / "streams.db").write_bytes(b"no database at all, but something that somebody may want" * 100)
    async with opened(lambda: SqliteStore(tmp_path / "streams.db")) as store:
        await store.commit([begun("a")])
        assert await store.find("a") is not None
    (aside,) = tmp_path.glob("streams.db.damaged-*")
    assert aside.read_bytes().startswith(b"no database")


NAMES = st.sampled_from(["a", "b", "c"])


class Killed(RuleBasedStateMachine):
    """Any operations on both stores, the file opened anew between any two: they hold the same."""

    @initialize()
    def begin(self) -> None:
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.loop = asyncio.new_event_loop()
        self.model = MemoryStore()
        self.store = self.opened()

    def opened(self) -> Store:
        store = SqliteStore(Path(self.folder.name) / "streams.db")
        self.run(store.open())
        return store

    def run(self, work: Awaitable[object]) -> object:
        return self.loop.run_until_complete(work)  # type: ignore[arg-type]

    def both(self, changes: list) -> None:
        for store in (self.model, self.store):
            self.run(store.commit(changes))

    @rule(name=NAMES, tenant=st.sampled_from(["t", "u"]))
    def begins(self, name: str, tenant: str) -> None:
        self.both([begun(name, tenant)])

    @rule(name=NAMES, sizes=st.lists(st.integers(1, 3000), max_size=4), byte=st.integers(97, 122))
    def grows(self, name: str, sizes: list[int], byte: int) -> None:
        self.both([Grown(name, bytes([byte]) * size) for size in sizes])

    @rule(name=NAMES, gen=st.integers(2, 9))
    def is_replaced(self, name: str, gen: int) -> None:
        self.both([Grown(name, b"lost"), Replaced(name, gen, "r"), Grown(name, b"kept")])

    @rule(name=NAMES, at=st.integers(1, 9), expires=st.integers(1, 9))
    def ends(self, name: str, at: int, expires: int) -> None:
        self.both([Grown(name, b"last"), ended(name, float(at), LATER + expires)])

    @rule(name=NAMES, key=st.sampled_from("kl"))
    def is_keyed(self, name: str, key: str) -> None:
        self.both([begun(name), Keyed(name, "t", key, b"i")])

    @rule(now=st.integers(0, 9))
    def expires(self, now: int) -> None:
        gone = [set(self.run(store.prune(LATER + now, 1 << 30))) for store in (self.model, self.store)]
        assert gone[0] == gone[1]

    @rule(fails_at=st.integers(0, 2))
    def a_commit_fails(self, fails_at: int) -> None:
        """All or nothing: what cannot be written takes what came with it along."""
        changes: list = [begun("a"), Grown("a", b"never"), Grown("b", b"never")]
        changes.insert(fails_at, Noted("a", object()))  # type: ignore[arg-type]
        with pytest.raises(StoreFailed):
            self.run(self.store.commit(changes))

    @rule()
    def the_process_dies(self) -> None:
        self.run(self.store.close())
        self.store = self.opened()

    def teardown(self) -> None:
        if hasattr(self, "store"):
            for name in "abc":
                kept = [self.run(store.find(name)) for store in (self.model, self.store)]
                assert (kept[0] is None) == (kept[1] is None)
                if kept[0] is not None:
                    same = [(k.tenant, k.meta, k.body, k.gen, k.reason, k.ending, k.at, k.expires) for k in kept]
                    assert same[0] == same[1]
                blocks = [b"".join(self.run(store.blocks(name))) for store in (self.model, self.store)]
                assert blocks[0] == blocks[1]
            for key in "kl":
                assert self.run(self.model.by_key("t", key)) == self.run(self.store.by_key("t", key))
            assert self.run(self.model.usage())[0] == self.run(self.store.usage())[0]
            self.run(self.store.close())
            self.loop.close()
            self.folder.cleanup()


TestKilled = Killed.TestCase
TestKilled.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


class KilledBeforeRedis(Killed):
    """The same before an engine: a process that follows another one takes what that one ran."""

    url = ""

    def begin_anew(self) -> None:
        async def flush() -> None:
            async with Redis.from_url(self.url) as redis:
                await redis.flushall()

        self.run(flush())

    def opened(self) -> Store:
        if not hasattr(self, "store"):
            self.begin_anew()
        store = RedisStore(self.url, "node")
        self.run(store.open())
        for kept in self.run(self.model.running()):
            assert self.run(store.take(kept.stream, "node")) is not None
        return store


@needs_redis
async def test_whenever_its_process_is_killed_redis_holds_what_was_written():
    async with redis_server() as server:
        KilledBeforeRedis.url = server.url
        machine = partial(run_state_machine_as_test, KilledBeforeRedis, settings=TestKilled.settings)
        await asyncio.to_thread(machine)


async def test_a_file_takes_about_what_is_counted(tmp_path: Path):
    path = tmp_path / "streams.db"
    async with opened(lambda: SqliteStore(path)) as store:
        for n in range(50):
            await store.commit([begun(f"s{n}")])
            for _ in range(20):
                await store.commit([Grown(f"s{n}", b'[123,["abcde "]]\n' * 20)])
            await store.commit([ended(f"s{n}")])
        _, counted = await store.usage()
    assert path.stat().st_size < 1.5 * counted + (1 << 17)
