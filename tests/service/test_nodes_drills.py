"""Drills of several nodes on one Redis: real processes, real signals, and readers that come back with their cursors.

What is asserted of time is what `docs/operations.md` promises to operators: how soon a stream whose process died has its
ending, how soon a store that fails is noticed, and its return. The long drills print their figures: ``pytest -m slow -s``.
"""

import asyncio
import os
import random
import shutil
import signal
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from redis.asyncio import Redis

from tests.fakes.link import Link
from tests.fakes.redis_server import RedisServer, needs_redis, redis_server
from tests.fakes.resuming import ResumingReader
from tests.fakes.talking import Tale, TalkingServer
from tests.fakes.waiting import until
from tests.service.test_going_down import process

pytestmark = needs_redis
KEPT = ("--appendonly", "yes", "--appendfsync", "always")
KINDS = ("ndjson", "events", "ws")
ENDING_S = 15.0  # from the death of a node to the endings of its streams
NOTICED_S, BACK_S = 3.0, 5.0  # a store that fails, and one that is there again
SEEDS = range(33)
ANSWER_S = 10.0  # a call that is not answered by then hangs


@dataclass
class Node:
    """One process, and in the end what it logged."""

    name: str
    child: asyncio.subprocess.Process
    url: str
    logged: list[bytes]

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.child.pid, number)

    async def kill(self) -> float:
        """When it was killed, by the loop's clock."""
        self.child.kill()
        await self.child.wait()
        return asyncio.get_running_loop().time()

    def told(self, event: str) -> list[dict[str, Any]]:
        """What it logged of an event; only when it is gone."""
        lines = [orjson.loads(line) for line in b"".join(self.logged).splitlines() if line.startswith(b"{")]
        return [line for line in lines if line["event"] == event]


@dataclass
class Stage:
    """A Redis, an upstream, nodes and readers."""

    redis: RedisServer
    upstream: TalkingServer
    http: aiohttp.ClientSession
    open_: AsyncExitStack
    readers: list[ResumingReader] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def node(self, name: str, **settings: str) -> Node:
        """One more node."""
        logged: list[bytes] = []
        settings = {"store": self.redis.url, "node": name, "drain_s": "1", **settings}
        child, url = await self.open_.enter_async_context(process(self.upstream, logged=logged, **settings))
        return Node(name, child, url, logged)

    async def start(self, node: Node, tale: Tale, **options: Any) -> str:
        """Start a stream of its own; its id."""
        prompt = f"tale {len(self.upstream.tales)}"
        self.upstream.tales[prompt] = tale
        body = {"prompt": prompt, "fanlight": options}
        async with self.http.post(node.url + "/v1/streams", json=body) as answer:
            told = await answer.json()
            assert answer.status == 201, told
            return str(told["id"])

    async def show(self, node: Node, stream: str) -> dict[str, Any]:
        """The resource at a node; only its status where there is none."""
        async with self.http.get(f"{node.url}/v1/streams/{stream}") as answer:
            return {**await answer.json(), "http": answer.status}

    def read(self, stream: str, kind: str, *nodes: Node) -> ResumingReader:
        """A reader at the first of some nodes, who may come back at any of them."""
        reader = ResumingReader([node.url for node in nodes], stream, kind)
        self._begin(reader)
        return reader

    def _begin(self, reader: ResumingReader) -> None:
        self.readers.append(reader)
        self.tasks.append(asyncio.create_task(reader.run()))

    def again(self, reader: ResumingReader, node: Node) -> ResumingReader:
        """One who comes with another's cursor to a node."""
        other = ResumingReader([node.url], reader.stream, reader.kind)
        other.gen, other.shown = reader.gen, bytearray(reader.shown)
        self._begin(other)
        return other

    def of(self, *streams: str) -> list[ResumingReader]:
        return [reader for reader in self.readers if reader.stream in streams]

    async def finish(self, patience_s: float, *streams: str) -> None:
        """Wait until all readers (of some streams) have their endings."""
        asked = self.of(*streams) if streams else self.readers
        try:
            await until(lambda: all(reader.ending for reader in asked), patience_s)
        except TimeoutError:
            raise AssertionError(f"no ending: {[reader for reader in asked if not reader.ending]}") from None

    async def check(self, *nodes: Node, but: Collection[str] = (), but_lost: bool = False) -> dict[str, dict[str, Any]]:
        """All readers of a stream have one text and one ending, those of the record at all nodes; the records.

        Args:
            but: of these streams more was shown at a node than was kept when they ended, and that was told
                only after their endings: readers at other nodes ended in the generation before.
            but_lost: readers may have been shown what was never kept.
        """
        records = {}
        for stream in {reader.stream: None for reader in self.readers}:
            found = [await self.show(node, stream) for node in nodes]
            record = records[stream] = found[0]
            for other in found:
                assert ending_of(other) == ending_of(record), (stream, other, record)
            for reader in self.of(stream):
                assert reader.is_whole, reader
                assert but_lost or not reader.lost, reader
                assert ending_of(reader.ending, stream in but) == ending_of(record, stream in but), (reader, record)
                assert reader.shown.decode() == record["text"], reader
        for node in nodes:
            assert (await self.ready(node))[1]["running"] == 0
        return records

    async def ready(self, node: Node) -> tuple[int, dict[str, Any]]:
        async with self.http.get(node.url + "/readyz") as answer:
            return answer.status, await answer.json()


def ending_of(told: dict[str, Any] | None, but_gen: bool = False) -> dict[str, Any]:
    """What an ending and the resource of an ended stream have in common."""
    assert told is not None
    return {name: told.get(name) for name in ("gen", "status", "finish_reason", "usage", "sha256", "error")[but_gen:]}


@asynccontextmanager
async def stage(*arguments: str) -> AsyncIterator[Stage]:
    """A Redis and an upstream; what is put up on it is gone in the end."""
    async with (
        redis_server(*arguments) as redis,
        TalkingServer() as upstream,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(ANSWER_S)) as http,
        AsyncExitStack() as open_,
    ):
        on = Stage(redis, upstream, http, open_)
        try:
            yield on
        finally:
            for task in on.tasks:
                task.cancel()
            await asyncio.gather(*on.tasks, return_exceptions=True)


async def seconds_until(condition: Callable[[], Awaitable[bool]], patience_s: float) -> float:
    """How long it took until a condition held."""
    began = asyncio.get_running_loop().time()
    while not await condition():
        took = asyncio.get_running_loop().time() - began
        assert took < patience_s, f"not within {patience_s} s"
        await asyncio.sleep(0.02)
    return asyncio.get_running_loop().time() - began


@dataclass
class Figures:
    """What the seeds of a drill came to."""

    runs: int = 0
    readers: int = 0
    lost: int = 0
    gaps: int = 0
    resets: int = 0
    cuts: int = 0
    seconds: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def add(self, on: Stage) -> None:
        self.runs += 1
        self.readers += len(on.readers)
        self.lost += sum(reader.lost for reader in on.readers)
        self.gaps += sum(reader.gaps for reader in on.readers)
        self.resets += sum(len(reader.resets) for reader in on.readers)
        self.cuts += sum(reader.cuts for reader in on.readers)


def say(words: str) -> None:
    """Figures, for who asks to see them."""
    sys.stdout.write(f"\n{words}\n")


async def all_seeds(name: str, drill: Callable[[int, int, Figures], Awaitable[None]]) -> None:
    """Run a drill with ten streams and thirty readers for each seed, and say what it came to."""
    figures = Figures()
    for seed in SEEDS:
        try:
            await drill(seed, 10, figures)
        except AssertionError as exc:
            figures.failed.append(f"seed {seed}: {exc}"[:2000])
    slowest = max(figures.seconds, default=0.0)
    say(
        f"{name}: {len(SEEDS)} seeds, {figures.readers} readers, {len(figures.failed)} seeds failed, lost {figures.lost} "
        f"bytes, {figures.gaps} gaps, {figures.resets} resets, {figures.cuts} reconnects, at the latest {slowest:.1f} s"
    )  # fmt: skip
    assert not figures.failed, "\n".join(figures.failed)


# -- one of them dies


async def owner_killed(seed: int, streams: int, figures: Figures) -> None:
    """The node that runs all streams is killed; its readers come back at the other one."""
    choice = random.Random(seed)
    async with stage(*KEPT) as on:
        a, b = await on.node("a"), await on.node("b")
        tales = {await on.start(a, tale := Tale(30, 0.1), restart=n % 2): (tale, n % 2) for n in range(streams)}
        for n, stream in enumerate(tales):
            for m, kind in enumerate(KINDS):
                on.read(stream, kind, *((a, b) if (n + m) % 2 else (b,)))
        await asyncio.sleep(choice.uniform(0, 2.5))
        died = await a.kill()
        try:
            await on.finish(ENDING_S + 5)
            records = await on.check(b)
        finally:
            figures.add(on)
        for stream, (tale, restart) in tales.items():
            record = records[stream]
            last = max(reader.ended for reader in on.of(stream)) - died
            figures.seconds.append(last)
            assert last <= ENDING_S
            assert not any(reader.resets for reader in on.of(stream))
            if restart:
                assert (record["status"], record["text"], record["gen"]) == ("completed", tale.whole(), 1)
            else:
                assert (record["status"], record["error"]["code"]) == ("failed", "interrupted")
                assert tale.whole().startswith(record["text"])
                assert tale.calls == 1


async def other_killed(seed: int, streams: int, figures: Figures) -> None:
    """A node that runs nothing is killed; its readers come back at the owner, and nothing else changes."""
    choice = random.Random(seed)
    async with stage(*KEPT) as on:
        a, b = await on.node("a"), await on.node("b")
        tales = {await on.start(a, tale := Tale(20, 0.1)): tale for _ in range(streams)}
        for n, stream in enumerate(tales):
            for m, kind in enumerate(KINDS):
                on.read(stream, kind, *((a,) if (n + m) % 2 else (b, a)))
        await asyncio.sleep(choice.uniform(0, 1.5))
        died = await b.kill()
        try:
            await on.finish(ENDING_S)
            records = await on.check(a)
        finally:
            figures.add(on)
        figures.seconds.append(max(reader.ended for reader in on.readers) - died)
        for stream, tale in tales.items():
            assert (records[stream]["status"], records[stream]["text"]) == ("completed", tale.whole())
            assert (records[stream]["node"], tale.calls) == ("a", 1)
        assert not any(reader.resets for reader in on.readers)


async def redis_killed(seed: int, streams: int, figures: Figures) -> None:
    """Redis is killed and there again; the show goes on, and all is kept in the end."""
    choice = random.Random(seed)
    async with stage(*KEPT) as on:
        a, b = await on.node("a"), await on.node("b")
        tales = {}
        for n in range(streams):
            tale = Tale(50, 0.1)
            tales[await on.start((a, b)[n % 2], tale)] = tale
        owners = {stream: (a, b)[n % 2] for n, stream in enumerate(tales)}
        for n, stream in enumerate(tales):
            for m, kind in enumerate(KINDS):
                on.read(stream, kind, (a, b)[(n + m) % 2])
        await asyncio.sleep(choice.uniform(0, 1.5))
        await on.redis.kill()

        async def is_unready() -> bool:
            told = [await on.ready(node) for node in (a, b)]
            return all((status, said["status"]) == (503, "store") for status, said in told)

        async def is_kept() -> bool:
            told = [await on.show(node, stream) for stream, node in owners.items()]
            return all(record["durable"] for record in told)

        async def is_ready() -> bool:
            return all([(await on.ready(node))[0] == 200 for node in (a, b)])

        try:
            await seconds_until(is_unready, NOTICED_S)
            at_owners = [r for n, s in enumerate(tales) for m, r in enumerate(on.of(s)) if m % 2 == 0]
            before = [len(reader.shown) for reader in at_owners]
            for node in (a, b):
                async with on.http.post(node.url + "/v1/streams", json={"prompt": "another"}) as answer:
                    assert (answer.status, (await answer.json())["code"]) == (503, "overloaded")
                    assert int(answer.headers["Retry-After"]) >= 1
            await until(lambda: all(len(r.shown) > size for r, size in zip(at_owners, before, strict=True)), 3)
            for stream, node in owners.items():
                assert (await on.show(node, stream))["durable"] is False
            await on.redis.start()
            figures.seconds.append(await seconds_until(is_ready, BACK_S))
            await seconds_until(is_kept, BACK_S)
            await on.finish(20)
            records = await on.check(a, b)
        finally:
            figures.add(on)
        for stream, tale in tales.items():
            assert (records[stream]["status"], records[stream]["text"]) == ("completed", tale.whole())
            assert tale.calls == 1
        assert not any(reader.resets for reader in on.readers)


async def test_a_killed_owner_costs_no_reader_a_byte_and_its_streams_end_or_go_on():
    await owner_killed(0, 2, Figures())


async def test_a_killed_node_that_ran_nothing_changes_nothing():
    await other_killed(0, 2, Figures())


async def test_a_killed_redis_is_noticed_and_its_return_too_and_the_show_goes_on():
    await redis_killed(0, 2, Figures())


@pytest.mark.slow
async def test_killed_owners_with_many_seeds():
    await all_seeds("owner killed", owner_killed)


@pytest.mark.slow
async def test_killed_others_with_many_seeds():
    await all_seeds("other node killed", other_killed)


@pytest.mark.slow
async def test_killed_redis_with_many_seeds():
    await all_seeds("Redis killed", redis_killed)


# -- one of them is held up, or cut off


async def three_tales(on: Stage, a: Node, b: Node) -> tuple[dict[str, Tale], dict[str, str]]:
    """Streams at one node, with readers of all kinds at both: one is not called again, one is told the same, one another text."""
    tales = {"once": Tale(140, 0.1), "same": Tale(140, 0.1), "other": Tale(140, 0.1, fickle=True)}
    ids = {name: await on.start(a, tale, restart=int(name != "once")) for name, tale in tales.items()}
    for stream in ids.values():
        for kind in KINDS:
            on.read(stream, kind, a)
            on.read(stream, kind, b)
    return tales, ids


async def taken_over(on: Stage, tales: dict[str, Tale], ids: dict[str, str]) -> None:
    """Wait until another node has ended what is not called again, and called the rest."""
    ended = on.of(ids["once"])[1::2]
    began = asyncio.get_running_loop().time()
    await until(lambda: all(reader.ending for reader in ended), ENDING_S)
    assert max(reader.ended for reader in ended) - began <= ENDING_S
    await until(lambda: all(tale.calls == 2 for name, tale in tales.items() if name != "once"), ENDING_S)


@pytest.mark.slow
async def test_an_owner_that_was_stopped_past_its_lease_writes_nothing_any_more():
    async with stage(*KEPT) as on:
        a, b = await on.node("a"), await on.node("b")
        tales, ids = await three_tales(on, a, b)
        await until(lambda: all(len(reader.shown) > 40 for reader in on.readers))
        a.signal(signal.SIGSTOP)
        await taken_over(on, tales, ids)
        interrupted = await on.show(b, ids["once"])
        a.signal(signal.SIGCONT)
        await on.finish(20)
        records = await on.check(b, a)
        for reader in on.readers:  # nothing was shown that was not kept
            assert reader.resets == (["restarted"] if reader.stream == ids["other"] else []), reader
        assert ending_of(records[ids["once"]]) == ending_of(interrupted)
        assert (interrupted["status"], interrupted["error"]["code"]) == ("failed", "interrupted")
        for name, call in (("same", 1), ("other", 2)):
            record = records[ids[name]]
            assert (record["status"], record["text"], record["node"]) == ("completed", tales[name].whole(call), "b")
    assert len(b.told("lease_taken")) == 3
    assert not a.told("lease_taken")


@pytest.mark.slow
async def test_an_owner_cut_off_from_redis_goes_on_live_and_shows_the_text_of_record_when_it_is_back():
    async with stage(*KEPT) as on, Link(on.redis.socket) as link:
        a, b = await on.node("a", store=link.url), await on.node("b")
        tales, ids = await three_tales(on, a, b)
        tales["late"] = Tale(100, 0.1, afresh=True)  # the second call is behind what was shown of the first
        ids["late"] = await on.start(a, tales["late"], restart=1)
        for kind in KINDS:
            on.read(ids["late"], kind, a)
            on.read(ids["late"], kind, b)
        await until(lambda: all(len(reader.shown) > 40 for reader in on.readers))
        at_a = on.readers[::2]
        link.part()
        before = [len(reader.shown) for reader in at_a]
        await until(lambda: all(len(r.shown) > n + 40 for r, n in zip(at_a, before, strict=True)), 6)
        assert (await on.ready(a))[1]["status"] == "store"
        assert (await on.ready(b))[0] == 200
        await taken_over(on, tales, ids)
        # The show goes on at the one that is cut off, and what it shows is more than is kept.
        before = [len(reader.shown) for reader in at_a]
        await until(lambda: all(len(r.shown) > n for r, n in zip(at_a, before, strict=True)), 3)
        link.heal()
        await on.finish(25)
        records = await on.check(b, a, but=(ids["once"],))
        for name, reasons in (
            ("once", ["taken_over"]),
            ("same", []),
            ("other", ["restarted"]),
            ("late", ["taken_over"]),
        ):
            for reader in on.of(ids[name])[::2]:
                assert reader.resets == reasons, (name, reader)
        assert not any(reader.resets for reader in on.of(ids["once"])[1::2])
        once = records[ids["once"]]
        assert (once["status"], once["error"]["code"]) == ("failed", "interrupted")
        for name, call in (("same", 1), ("other", 2), ("late", 2)):
            record = records[ids[name]]
            assert (record["status"], record["text"], record["node"]) == ("completed", tales[name].whole(call), "b")


# -- two faults at once


@pytest.mark.slow
async def test_an_owner_killed_while_redis_is_away_takes_what_was_not_kept_along_and_nothing_hangs():
    async with stage(*KEPT) as on:
        a, b = await on.node("a"), await on.node("b")
        tales, ids = await three_tales(on, a, b)
        for reader in on.readers[::2]:
            reader.move([a.url, b.url])
        await until(lambda: all(len(reader.shown) > 40 for reader in on.readers))
        await on.redis.kill()
        before = [len(reader.shown) for reader in on.readers[::2]]
        await until(lambda: all(len(r.shown) > n + 40 for r, n in zip(on.readers[::2], before, strict=True)), 6)
        died = await a.kill()
        await on.redis.start()
        await on.finish(25)
        records = await on.check(b, but_lost=True)
        assert max(reader.ended for reader in on.of(ids["once"])) - died <= ENDING_S
        assert records[ids["once"]]["error"]["code"] == "interrupted"
        for reader in on.of(ids["once"])[::2]:  # told that there is less than it was shown, not left in silence
            assert (reader.modes[-1], reader.lost > 0) == ("snapshot", True), reader
        for name, call in (("same", 1), ("other", 2)):
            assert (records[ids[name]]["status"], records[ids[name]]["text"]) == ("completed", tales[name].whole(call))


@pytest.mark.slow
async def test_when_all_nodes_die_the_next_one_ends_or_calls_again_what_they_ran():
    async with stage(*KEPT) as on:
        a, b = await on.node("a"), await on.node("b")
        tales = {await on.start((a, b)[n // 2], tale := Tale(30, 0.1), restart=n % 2): tale for n in range(4)}
        for n, stream in enumerate(tales):
            for m, kind in enumerate(KINDS):
                on.read(stream, kind, (a, b)[(n + m) % 2])
        await until(lambda: all(reader.shown for reader in on.readers))
        await a.kill()
        await b.kill()
        c = await on.node("c")
        began = asyncio.get_running_loop().time()
        for reader in on.readers:
            reader.move([c.url])
        await on.finish(ENDING_S)
        assert max(reader.ended for reader in on.readers) - began <= ENDING_S
        records = await on.check(c)
        for n, (stream, tale) in enumerate(tales.items()):
            assert records[stream]["status"] == ("completed" if n % 2 else "failed")
            assert tale.whole().startswith(records[stream]["text"])
        assert not any(reader.resets for reader in on.readers)


@pytest.mark.slow
async def test_a_killed_node_that_comes_back_under_its_name_goes_on_with_what_it_ran():
    async with stage(*KEPT) as on:
        port = free_port()
        a, b = await on.node("a", port=str(port)), await on.node("b")
        tales = {await on.start(a, tale := Tale(40, 0.1), restart=n): tale for n in range(2)}
        for stream in tales:
            for kind in KINDS:
                on.read(stream, kind, a)
                on.read(stream, kind, b)
        await until(lambda: all(reader.shown for reader in on.readers))
        await a.kill()
        a = await on.node("a", port=str(port))
        await on.finish(ENDING_S)
        records = await on.check(a, b)
        assert [records[stream]["status"] for stream in tales] == ["failed", "completed"]
        assert all(tale.whole().startswith(records[stream]["text"]) for stream, tale in tales.items())
        assert not any(reader.resets for reader in on.readers)
    assert not b.told("lease_taken")


@pytest.mark.slow
async def test_a_hand_over_that_redis_does_not_answer_leaves_no_hole_in_a_text():
    async with stage(*KEPT) as on:
        a, b = await on.node("a", drain_s="3"), await on.node("b")
        tale = Tale(150, 0.05)
        stream = await on.start(a, tale, restart=1)
        for kind in KINDS:
            on.read(stream, kind, a, b)
            on.read(stream, kind, b)
        await until(lambda: all(reader.shown for reader in on.readers))
        a.signal(signal.SIGTERM)
        await asyncio.sleep(2.2)  # at 2.4 s it gives away what still runs
        on.redis.stop()
        await asyncio.sleep(5)
        on.redis.resume()
        await on.finish(ENDING_S + 5)
        records = await on.check(b, but_lost=True)
        assert tale.whole().startswith(records[stream]["text"])


@pytest.mark.slow
async def test_what_ended_at_a_node_that_was_cut_off_is_what_the_record_says_when_it_is_back():
    async with stage(*KEPT) as on, Link(on.redis.socket) as link:
        a, b = await on.node("a", store=link.url), await on.node("b")
        tales = [Tale(30, 0.1), Tale(30, 0.1)]
        ids = [await on.start(a, tale, restart=n) for n, tale in enumerate(tales)]
        for stream in ids:
            for kind in KINDS:
                on.read(stream, kind, a)
                on.read(stream, kind, b)
        await until(lambda: all(len(reader.shown) > 40 for reader in on.readers))
        link.part()
        await on.finish(20)
        assert all(reader.is_whole and not reader.gaps for reader in on.readers)
        link.heal()

        async def is_one() -> bool:
            told = [[await on.show(node, stream) for node in (a, b)] for stream in ids]
            return all(ending_of(first) == ending_of(second) for first, second in told)

        await seconds_until(is_one, BACK_S)
        records = [await on.show(b, stream) for stream in ids]
        assert [record["status"] for record in records] == ["failed", "completed"]
        for record, stream in zip(records, ids, strict=True):
            for reader in on.of(stream)[1::2]:
                assert ending_of(reader.ending) == ending_of(record)
            late = [on.read(stream, kind, node) for kind in KINDS for node in (a, b)]
            await until(lambda late=late: all(reader.ending for reader in late), 5)
            assert all(ending_of(reader.ending) == ending_of(record) for reader in late)


# -- Redis is away, full, or slow


async def redis_away(away_s: float, arguments: Sequence[str]) -> None:
    """Redis is killed, and there again after a while, with all that it had or empty."""
    is_kept = bool(arguments)
    async with stage(*arguments) as on:
        a, b = await on.node("a"), await on.node("b")
        c = await on.node("c")
        old, recent = await on.start(c, Tale(3, 0.0)), await on.start(a, Tale(3, 0.0))
        on.read(old, "ndjson", c)
        on.read(recent, "ndjson", a)
        await on.finish(5)
        before = await on.show(c, old)
        c.signal(signal.SIGTERM)  # what it ran is only in Redis
        await c.child.wait()
        long_ = {await on.start(node, tale := Tale(int(away_s * 10) + 60, 0.1)): tale for node in (a, b)}
        short = {await on.start(node, tale := Tale(int(away_s * 5) + 10, 0.1)): tale for node in (a, b)}
        running = {**long_, **short}
        for n, stream in enumerate(running):
            for m, kind in enumerate(KINDS):
                on.read(stream, kind, (a, b)[(n + m) % 2])
                on.read(stream, kind, (a, b)[(n + m + 1) % 2])
        await until(lambda: all(reader.shown for reader in on.readers))
        await on.redis.kill()
        await asyncio.sleep(away_s)
        await on.redis.start()

        async def is_well() -> bool:
            ready = [(await on.ready(node))[0] == 200 for node in (a, b)]
            kept = [(await on.show(node, stream)).get("durable") for stream in running for node in (a, b)]
            return all(ready) and all(kept)

        await seconds_until(is_well, BACK_S)
        # A mirror needs a moment to catch up; a cursor is not ahead of it where readers at both stand at one place.
        await until(lambda: all(len({reader.cursor for reader in on.of(stream)}) == 1 for stream in long_), BACK_S)
        coming = [on.again(reader, node) for reader in on.of(*long_) for node in (a, b)]
        await on.finish(30)
        assert not any("snapshot" in reader.modes for reader in coming), coming
        for stream in (old, recent):
            found = [await on.show(node, stream) for node in (a, b)]
            if is_kept:
                assert [record["sha256"] for record in found] == [before["sha256"]] * 2
            else:
                assert [record["http"] for record in found] == [404, 404]
                on.readers = [reader for reader in on.readers if reader.stream != stream]
        records = await on.check(a, b)
        for stream, tale in running.items():
            assert (records[stream]["status"], records[stream]["text"]) == ("completed", tale.whole())
            assert tale.calls == 1
            assert all([(await on.show(node, stream))["durable"] for node in (a, b)])
        assert not any(reader.resets for reader in on.readers)


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [KEPT, ()], ids=["kept", "empty"])
@pytest.mark.parametrize("away_s", [0.2, 3, 30])
async def test_redis_is_away_for_a_while_and_nobody_misses_anything(away_s: float, arguments: Sequence[str]):
    await redis_away(away_s, arguments)


async def test_a_full_redis_stops_new_starts_and_not_the_show():
    async with stage("--maxmemory", "3mb", "--maxmemory-policy", "noeviction") as on:
        a, b = await on.node("a"), await on.node("b")
        tales = {await on.start(node, tale := Tale(40, 0.1)): tale for node in (a, b)}
        owners = dict(zip(tales, (a, b), strict=True))
        for stream in tales:
            for kind, node in zip(KINDS, (a, b, a), strict=True):
                on.read(stream, kind, node)
        await until(lambda: all(reader.shown for reader in on.readers))
        await on.redis.command("CONFIG", "SET", "maxmemory", "1")
        is_full = lambda: states(on, (a, b), 503)  # noqa: E731
        await seconds_until(is_full, NOTICED_S)
        for node in (a, b):
            async with on.http.post(node.url + "/v1/streams", json={"prompt": "another"}) as answer:
                assert (answer.status, (await answer.json())["code"]) == (503, "overloaded")
                assert int(answer.headers["Retry-After"]) >= 1
        at_owners = [reader for reader in on.readers if reader._urls == [owners[reader.stream].url]]
        before = [len(reader.shown) for reader in at_owners]
        await until(lambda: all(len(r.shown) > n for r, n in zip(at_owners, before, strict=True)), 3)
        await on.redis.command("CONFIG", "SET", "maxmemory", "0")
        await seconds_until(lambda: states(on, (a, b), 200), BACK_S)
        await on.finish(20)
        records = await on.check(a, b)
        assert all(records[stream]["text"] == tale.whole() for stream, tale in tales.items())
        assert all(records[stream]["durable"] for stream in tales)


async def states(on: Stage, nodes: Sequence[Node], status: int) -> bool:
    """Whether all nodes say so of themselves."""
    return all([(await on.ready(node))[0] == status for node in nodes])


@pytest.mark.slow
async def test_a_full_redis_is_said_all_the_time_where_nothing_runs():
    async with stage() as on:
        a = await on.node("a")
        await on.redis.command("CONFIG", "SET", "maxmemory", "1")
        await seconds_until(lambda: states(on, (a,), 503), NOTICED_S)
        told = []
        for _ in range(100):
            told.append((await on.ready(a))[0])
            await asyncio.sleep(0.05)
        assert set(told) == {503}, told
        await on.redis.command("CONFIG", "SET", "maxmemory", "0")
        await seconds_until(lambda: states(on, (a,), 200), BACK_S)


@pytest.mark.slow
async def test_when_redis_stalls_nobody_takes_over_anybody():
    async with stage(*KEPT) as on:
        a, b = await on.node("a"), await on.node("b")
        tales = {await on.start(node, tale := Tale(120, 0.1), restart=n): tale for n in (0, 1) for node in (a, b)}
        for stream in tales:
            for kind, node in zip(KINDS, (a, b, a), strict=True):
                on.read(stream, kind, node)
        await until(lambda: all(reader.shown for reader in on.readers))
        on.redis.stop()
        await asyncio.sleep(5)
        on.redis.resume()
        await on.finish(30)
        records = await on.check(a, b)
        for stream, tale in tales.items():
            assert (records[stream]["status"], records[stream]["text"]) == ("completed", tale.whole())
            assert tale.calls == 1
        assert not any(reader.resets for reader in on.readers)
        assert all([(await on.ready(node))[0] == 200 for node in (a, b)])
    assert not a.told("lease_taken")
    assert not b.told("lease_taken")


# -- a rolling restart

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
needs_nginx = pytest.mark.skipif(not Path(NGINX).exists(), reason="no nginx here")
PROXY = """\
daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log warn; worker_processes 1;
events {{ worker_connections 2048; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  upstream nodes {{ {nodes} }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://nodes; proxy_http_version 1.1; proxy_buffering off; proxy_read_timeout 1h;
      proxy_set_header Host $host; proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_next_upstream error timeout http_503 non_idempotent;
    }}
  }}
}}
"""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@asynccontextmanager
async def proxy(folder: Path, ports: Sequence[int]) -> AsyncIterator[str]:
    """nginx before some ports; its address."""
    port = free_port()
    servers = " ".join(f"server 127.0.0.1:{node} max_fails=0;" for node in ports)
    (folder / "nginx.conf").write_text(PROXY.format(folder=folder, nodes=servers, port=port))
    child = await asyncio.create_subprocess_exec(
        NGINX, "-p", str(folder), "-c", "nginx.conf", "-e", str(folder / "error.log"), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await until(lambda: answers(port))
        yield f"http://127.0.0.1:{port}"
    finally:
        child.terminate()
        await child.wait()


def answers(port: int) -> bool:
    """Whether somebody listens."""
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.slow
@needs_nginx
async def test_a_rolling_restart_costs_two_hundred_readers_nothing(tmp_path: Path):
    ports = free_port(), free_port()
    async with stage(*KEPT) as on, proxy(tmp_path, ports) as url:
        loop = asyncio.get_running_loop()
        nodes = [await on.node(name, port=str(port), drain_s="3") for name, port in zip("ab", ports, strict=True)]
        tales = {}
        for n in range(10):
            tale = Tale(180, 0.2)
            tales[await on.start(nodes[n % 2], tale, restart=1 + n // 4)] = tale
        for n in range(200):
            reader = ResumingReader([url], list(tales)[n % 10], KINDS[n % 3])
            on._begin(reader)
        await until(lambda: all(reader.shown for reader in on.readers))
        for n, name in enumerate("ab"):
            nodes[n].signal(signal.SIGTERM)
            began = loop.time()
            assert await asyncio.wait_for(nodes[n].child.wait(), 10) == 0
            went = loop.time() - began
            nodes[n] = await on.node(name, port=str(ports[n]), drain_s="3")
            await seconds_until(lambda n=n: states(on, (nodes[n],), 200), 10)
            say(f"{name}: left in {went:.1f} s, there again after {loop.time() - began:.1f} s")
        await on.finish(60)
        figures = Figures()
        figures.add(on)
        records = {stream: await on.show(nodes[0], stream) for stream in tales}
        say(
            f"{len(on.readers)} readers: {figures.gaps} gaps, {figures.lost} bytes lost, {figures.resets} resets, "
            f"{figures.cuts} reconnects, {sum(reader.drained for reader in on.readers)} of them because told to; "
            f"refused {Counter(status for reader in on.readers for status in reader.refused)}; endings "
            f"{Counter((record['status'], record['error'] and record['error']['code']) for record in records.values())}; "
            f"calls {[tale.calls for tale in tales.values()]}"
        )
        await on.check(*nodes)
        for n, (stream, tale) in enumerate(tales.items()):
            record = records[stream]
            if n < 4 and record["status"] == "failed":  # as often as it may be called again it was
                assert record["error"]["code"] == "interrupted"
                assert tale.whole().startswith(record["text"])
            else:
                assert (record["status"], record["text"]) == ("completed", tale.whole()), stream
        assert not any(reader.resets for reader in on.readers)


@pytest.mark.slow
async def test_a_node_that_leaves_takes_nothing_back_that_it_has_given():
    async with stage(*KEPT) as on:
        a, b = await on.node("a", drain_s="1"), await on.node("b")
        ids = [await on.start(a, Tale(40, 0.1), restart=1) for _ in range(10)]
        for stream in ids:
            on.read(stream, "ndjson", b)
        await until(lambda: all(reader.shown for reader in on.readers))
        a.signal(signal.SIGTERM)
        async with Redis.from_url(on.redis.url) as redis:
            while a.child.returncode is None:  # it is asked to look at each of them all the time
                await redis.sadd("fanlight:{n:a}:asked", *ids)
                await redis.publish("fanlight:node:a", b"")
                await asyncio.sleep(0.001)
        await on.finish(20)
        assert [(await on.show(b, stream))["status"] for stream in ids] == ["completed"] * 10
