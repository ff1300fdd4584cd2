"""What happens between a run and what keeps it, when something on the way fails or is cancelled."""

import asyncio
import copy
import hashlib
from contextlib import asynccontextmanager

import orjson
import pytest

from protocol.errors import Refusal
from protocol.wire.options import parse_options
from service.hub.clocks import ClockLimits
from service.hub.hub import NATIVE, Hub, HubLimits
from service.hub.keeping import block_of, restored
from service.hub.pump import PumpLimits
from service.hub.requests import ask
from service.hub.run import Run
from service.hub.streams import Limits, Stream
from service.store.contract import Begun, Change, Ended, Grown, Noted, StoreFailed
from service.store.journal import Journal
from service.store.memory import MemoryStore
from tests.fakes.faulty_store import FaultyStore
from tests.fakes.upstream import Cut, Gate, Hang, Play, ScriptedUpstream, end, start, text
from tests.fakes.waiting import until

MAX_TEXT_BYTES = 1 << 10


@asynccontextmanager
async def hub_on(store: FaultyStore, *plays: Play):
    limits = HubLimits(Limits(MAX_TEXT_BYTES), PumpLimits(ClockLimits(5, 5, 30), 1 << 20, backoff_s=0))
    async with Hub(ScriptedUpstream(*plays), limits, store=store) as hub:
        yield hub


def begin(hub: Hub, prompt: str = "p", **options: object) -> Stream:
    return hub.start("t", ask({"prompt": prompt}, parse_options(options)), NATIVE).stream


def half(value: str) -> bytes:
    """A fragment that ends with the first half of a pair."""
    return text(value + "HALF").replace(b"HALF", b"\\ud83d")


async def turns(count: int = 50) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


class Counting(FaultyStore):
    """Counts what it is asked to write, also where it fails."""

    def __init__(self) -> None:
        super().__init__(MemoryStore())
        self.asked: list[list[Change]] = []

    async def commit(self, changes) -> None:
        self.asked.append(list(changes))
        return await super().commit(changes)


class Broken(FaultyStore):
    """Fails as no store says that it does."""

    async def commit(self, changes) -> None:
        if self.fails:
            raise ValueError("not of the contract")
        return await super().commit(changes)


async def read_again(store: MemoryStore, stream: Stream) -> Stream:
    """The stream as the next process has it."""
    async with hub_on(FaultyStore(store)) as hub:
        return await hub.fetch("t", stream.id)


# -- the journal


async def test_one_callback_that_fails_does_not_stop_the_journal():
    async with Journal(FaultyStore(MemoryStore()), anew=lambda _stream: [], lost=lambda _stream: None) as journal:
        journal.add(None, lambda: 1 / 0)
        async with asyncio.timeout(5):
            await journal.flushed()


async def test_a_store_that_fails_in_its_own_way_stops_new_starts_and_not_the_show():
    store = Broken(MemoryStore())
    async with hub_on(store, Play([start(), text("a"), gate := Gate(), end()])) as hub:
        hub.journal._retry_s = 0.01
        stream = begin(hub)
        await until(lambda: stream.run.log.size == 1)
        store.fails = True
        gate.open()
        async with asyncio.timeout(5):
            assert (await stream.run.ended()).status == "completed"
        with pytest.raises(Refusal, match="cannot be kept"):
            begin(hub, "another")
        store.fails = False
        await until(lambda: hub.journal.is_kept(stream.id))


async def test_a_view_that_fails_ends_its_own_stream_as_internal_and_no_other():
    class Fails:
        def feed(self, text, violation) -> None:
            raise RuntimeError("scripted")

        restart = close = feed

    store = FaultyStore(kept := MemoryStore())
    plays = Play([start(), text("a"), gate := Gate(), text("b"), Hang()]), Play([start(), text("c"), end()])
    async with hub_on(store, *plays) as hub:
        stream = begin(hub)
        await until(lambda: stream.run.log.size == 1)
        stream.run.followers += (Fails(),)
        gate.open()
        async with asyncio.timeout(5):
            ending = await stream.run.ended()
            other = await begin(hub, "another").run.ended()
        assert (ending.code, other.status) == ("internal", "completed")
    assert (await read_again(kept, stream)).run.ending == ending


async def test_a_store_that_fails_is_not_asked_again_for_each_batch():
    store = Counting()
    play = Play([start(), text("a"), gate := Gate(), text("b"), second := Gate(), end()])
    async with hub_on(store, play) as hub:
        hub.journal._retry_s = 60.0
        stream = begin(hub)
        await until(lambda: stream.run.log.size == 1)
        store.fails = True
        gate.open()
        await until(lambda: not hub.journal.up)
        await until(lambda: stream.run.log.size == 2)
        asked = len(store.asked)
        second.open()
        async with asyncio.timeout(5):
            await stream.run.ended()
        assert len(store.asked) == asked


async def test_what_is_noted_while_the_store_fails_is_kept_when_it_is_back():
    store = FaultyStore(kept := MemoryStore())
    async with hub_on(store, Play([start(), text("a"), gate := Gate(), end()])) as hub:
        hub.journal._retry_s = 0.01
        stream = begin(hub)
        await until(lambda: stream.run.log.size == 1)
        store.fails = True
        begin(hub, channel="wall")
        await until(lambda: not hub.journal.up)
        store.fails = False
        await until(lambda: hub.journal.is_kept(stream.id))
        assert orjson.loads((await kept.find(stream.id)).meta)["channels"] == ["wall"]
        gate.open()


async def test_a_store_that_cannot_take_all_at_once_is_back_one_stream_after_the_other():
    class Small(FaultyStore):
        async def commit(self, changes) -> None:
            if len({change.stream for change in changes}) > 1:
                raise StoreFailed("scripted: too much for one commit")
            return await super().commit(changes)

    store, gates = Small(kept := MemoryStore()), [Gate(), Gate()]
    async with hub_on(store, *(Play([start(), text("a"), gate, text("b"), Hang()]) for gate in gates)) as hub:
        hub.journal._retry_s = 0.01
        streams = [begin(hub)]
        await until(lambda: streams[0].run.log.size == 1)
        streams.append(begin(hub, "another"))
        await until(lambda: streams[1].run.log.size == 1)
        store.fails = True
        for gate in gates:
            gate.open()
        await until(lambda: all(stream.run.log.size == 2 for stream in streams))
        store.fails = False
        await until(lambda: all(hub.journal.is_kept(stream.id) for stream in streams), 5.0)
        for stream in streams:
            assert b'"b"' in b"".join(await kept.blocks(stream.id))


async def test_a_stream_given_up_while_the_store_failed_is_not_taken_for_running_when_it_is_back():
    store = FaultyStore(kept := MemoryStore())
    async with hub_on(store, Play([start(), text("a"), gate := Gate(), end()])) as hub:
        hub.journal._retry_s = 0.01
        stream = begin(hub)
        await until(lambda: stream.run.log.size == 1)
        store.fails = True
        gate.open()
        await until(lambda: hub.running == 0)
        hub.kept.give_up(stream)
        assert await kept.find(stream.id) is not None
        store.fails = False
        await until(lambda: hub.journal.up)
        assert await kept.find(stream.id) is None
        assert await kept.running() == []


async def test_a_stream_given_up_while_the_store_failed_stays_where_the_store_has_it_whole():
    store = FaultyStore(kept := MemoryStore())
    async with hub_on(store, Play([start(), text("a"), end()])) as hub:
        hub.journal._retry_s = 0.01
        stream = begin(hub)
        await until(lambda: hub.running == 0)
        store.fails = True
        asked = ask({"prompt": "p"}, parse_options({"join": "replay"}))
        assert hub.start("t", asked, NATIVE, idempotency_key="k").join == "replayed"
        await until(lambda: not hub.journal.up)
        hub.kept.give_up(stream)
        store.fails = False
        await until(lambda: hub.journal.up)
        assert (await kept.find(stream.id)).ending is not None


# -- cancelled twice


@pytest.mark.parametrize("apart", [False, True])
async def test_a_stream_that_is_cancelled_twice_while_it_is_kept_ends_once_behind_its_text(apart: bool):
    store = FaultyStore(kept := MemoryStore())
    async with hub_on(store, Play([start(), text("a"), gate := Gate(), text("b"), Hang()])) as hub:
        stream = begin(hub)
        await until(lambda: stream.run.log.size == 1)
        endings = []
        conclude = stream.run.conclude
        stream.run.conclude = lambda ending, *args, **more: (endings.append(ending), conclude(ending, *args, **more))
        store.gate.clear()
        gate.open()
        await turns()
        hub.cancel(stream)
        await turns()
        if apart:
            store.gate.set()
            await until(lambda: not hub.journal._waiting)
            store.gate.clear()
        hub.cancel(stream)
        await turns()
        store.gate.set()
        async with asyncio.timeout(5):
            ending = await stream.run.ended()
        await until(lambda: not hub.running)
        assert (ending.code, len(endings)) == ("cancelled", 1)
        assert (ending.to, stream.run.log.size) == (2, 2)
    assert (await read_again(kept, stream)).run.ending == ending


# -- read back


@pytest.mark.parametrize("steps", [[half("a")], [half("a"), Hang()], [half("a"), end()]], ids=["cut", "cancel", "end"])
async def test_a_text_that_ends_with_half_a_pair_is_read_back(steps: list):
    store = FaultyStore(kept := MemoryStore())
    async with hub_on(store, Play([start(), *steps])) as hub:
        stream = begin(hub)
        await until(lambda: stream.run.log.size)
        if isinstance(steps[-1], Hang):
            hub.cancel(stream)
        ending = await stream.run.ended()
        assert ending.sha256 == hashlib.sha256("a\ufffd".encode()).hexdigest()
    again = await read_again(kept, stream)
    assert (again.run.ending, again.run.log.encoded()) == (ending, "a\ufffd".encode())


async def test_a_text_that_is_too_long_is_read_back_as_it_was_shown():
    store = FaultyStore(kept := MemoryStore())
    async with hub_on(store, Play([start(), text("a"), text("b") + text("x" * MAX_TEXT_BYTES), text("c")])) as hub:
        ending = await (stream := begin(hub)).run.ended()
        assert (ending.code, ending.to) == ("text_too_long", 2)
    again = await read_again(kept, stream)
    assert (again.run.ending, again.run.log.encoded()) == (ending, b"ab")


async def test_nothing_is_shown_behind_what_was_too_long():
    store = FaultyStore(MemoryStore())
    long, gate = "é" * (MAX_TEXT_BYTES - 1), Gate()  # few enough characters, too many bytes
    async with hub_on(store, Play([start(), gate, text(long), text("behind"), Hang()])) as hub:
        stream = begin(hub)
        await until(lambda: stream.run.log.count == 1)
        store.gate.clear()
        gate.open()
        await turns()
        store.gate.set()
        ending = await stream.run.ended()
        assert (ending.code, stream.run.log.size) == ("text_too_long", 0)


async def test_one_stream_that_cannot_be_read_back_does_not_keep_the_others_from_their_endings():
    kept = MemoryStore()
    async with hub_on(FaultyStore(kept), Play([start(), Hang()]), Play([start(), Hang()])) as hub:
        first, second = begin(hub), begin(hub, "another")
        await until(lambda: first.run.log.count and second.run.log.count)
        left = await kept.running()
        blocks = [await kept.blocks(one.stream) for one in left]
    crashed = MemoryStore()
    for one, lines in zip(left, blocks, strict=True):
        await crashed.commit([Begun(one.stream, one.tenant, one.created, one.meta, None)])
        await crashed.commit([Grown(one.stream, line) for line in lines])
    damaged = {**orjson.loads(left[0].meta)}
    del damaged["terms"]
    await crashed.commit([Noted(left[0].stream, orjson.dumps(damaged))])
    async with hub_on(FaultyStore(crashed)) as hub:
        assert (await hub.fetch("t", second.id)).run.ending.code == "interrupted"


async def test_a_stream_is_called_again_by_as_many_processes_as_it_asked_for():
    kept = MemoryStore()
    for process in range(3):
        upstream = ScriptedUpstream(Play([start(), text("a"), text("b" * process), Hang()]))
        limits = HubLimits(Limits(MAX_TEXT_BYTES), PumpLimits(ClockLimits(5, 5, 30), 1 << 20))
        async with Hub(upstream, limits, store=FaultyStore(kept)) as hub:
            if process == 0:
                stream_id = begin(hub, restart=1).id
            async with asyncio.timeout(5):
                stream = await hub.fetch("t", stream_id)
                if process < 2:
                    await until(lambda: stream.run.log.size == 1 + process)  # noqa: B023
                    left = copy.deepcopy(kept)  # as a kill leaves it
                else:
                    assert (await stream.run.ended()).code == "interrupted"
        kept = left


async def test_one_that_nobody_may_join_does_not_stand_before_one_to_replay():
    kept = MemoryStore()
    play = Play([start(), text("a"), end()])
    async with hub_on(FaultyStore(kept), play, play) as hub:
        first = begin(hub)
        await first.run.ended()
        await begin(hub, join="never").run.ended()
    async with hub_on(FaultyStore(kept)) as hub:
        asked = ask({"prompt": "p"}, parse_options({"join": "replay"}))
        await hub.recall("t", asked, None)
        assert hub.start("t", asked, NATIVE).stream.id == first.id


async def test_a_stream_that_is_forgotten_while_it_is_read_back_is_not_called_damaged():
    class Forgets(FaultyStore):
        async def blocks(self, stream: str) -> list[bytes]:
            await kept.prune(0.0, 0)
            return await kept.blocks(stream)

    kept = MemoryStore()
    async with hub_on(FaultyStore(kept), Play([start(), text("a"), end()])) as hub:
        await (stream := begin(hub)).run.ended()
    async with hub_on(Forgets(kept)) as hub:
        with pytest.raises(Refusal, match="no such stream"):
            await hub.fetch("t", stream.id)
        assert not hub._shelf._damaged


async def test_a_cut_before_anything_is_shown_is_read_back_too():
    store = FaultyStore(kept := MemoryStore())
    async with hub_on(store, Play([Cut()]), Play([Cut()]), Play([Cut()])) as hub:
        ending = await (stream := begin(hub)).run.ended()
    assert (await read_again(kept, stream)).run.ending == ending


def test_the_pace_of_a_run_goes_on_where_the_process_before_left_it():
    now = 1000.0
    run = Run(
        "st_1", options=parse_options({}), schema=None, max_text_bytes=MAX_TEXT_BYTES, now=0.0,
        clock=lambda: now, changed=lambda _at_once: None,
    )  # fmt: skip
    run.restore(*restored([block_of(0, ["a"]), block_of(7000, ["b"])], MAX_TEXT_BYTES), 1, "")
    now += 2
    run.take(["c"])
    run.finish("interrupted", now=0.0)
    assert list(run.pace.millis) == [0, 7000, 9000, 9000]


# -- pages


async def test_a_page_that_is_asked_for_while_streams_are_read_back_shows_them():
    store = FaultyStore(kept := MemoryStore())
    async with hub_on(store, Play([start(), text("a"), Hang()])) as hub:
        stream = begin(hub)
        await until(lambda: stream.run.log.size == 1)
        died = copy.deepcopy(kept)
    async with hub_on(FaultyStore(died)) as hub:
        assert [one.id for one in await hub.page("t", None, None, 9)] == [stream.id]


async def test_a_page_is_filled_from_behind_what_has_expired():
    kept = MemoryStore()
    for n in range(9):
        expires = 1.0 if n in (2, 4, 5, 6, 7) else float("inf")
        await kept.commit([Begun(f"st_{n}", "t", float(n), b"{}", None)])
        await kept.commit([Ended(f"st_{n}", b"{}", "completed", 0.0, expires, None)])
    async with hub_on(FaultyStore(kept)) as hub:
        first = await hub.page("t", "completed", None, 2)
        assert [one.stream for one in first] == ["st_8", "st_3"]
        assert [one.stream for one in await hub.page("t", None, "st_3", 9)] == ["st_1", "st_0"]


async def test_running_streams_are_found_behind_any_number_of_ended_ones():
    store = FaultyStore(MemoryStore())
    plays = [Play([start(), text("a"), Hang()])] * 2 + [Play([start(), text("a"), end()])] * 4
    async with hub_on(store, *plays) as hub:
        streams = [begin(hub, str(n)) for n in range(2)]
        await until(lambda: all(stream.run.log.size for stream in streams))
        for n in range(2, 6):
            await begin(hub, str(n)).run.ended()
        assert await hub.page("t", "running", None, 1) == (streams[1],)
        assert await hub.page("t", "running", streams[1].id, 1) == (streams[0],)
        assert await hub.page("t", "running", streams[0].id, 1) == ()
