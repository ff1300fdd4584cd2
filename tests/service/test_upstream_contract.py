"""The contract of an upstream, on every implementation: the client over HTTP, and the fake that tests use."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from service.upstream.address import parse_address
from service.upstream.contract import Answer, Broken, Upstream
from service.upstream.http import HttpUpstream
from tests.fakes.upstream import Cut, Gate, Hang, Play, ScriptedServer, ScriptedUpstream
from tests.fakes.waiting import until

Opened = Callable[..., AbstractAsyncContextManager[Upstream]]


@asynccontextmanager
async def over_http(*plays: Play) -> AsyncIterator[Upstream]:
    async with ScriptedServer(*plays) as server:
        async with HttpUpstream(parse_address(server.url), api_key=None, connect_timeout_s=5) as upstream:
            yield upstream


@asynccontextmanager
async def in_memory(*plays: Play) -> AsyncIterator[Upstream]:
    yield ScriptedUpstream(*plays)


@pytest.fixture(params=[over_http, in_memory])
def opened(request) -> Opened:
    return request.param


@asynccontextmanager
async def answered(opened: Opened, play: Play) -> AsyncIterator[Answer]:
    async with asyncio.timeout(10), opened(play) as upstream:
        async with upstream.analyze(b"{}", {}, lambda: None) as answer:
            yield answer


class Taker:
    """Takes bytes; has enough when the test says so."""

    def __init__(self, enough: bytes | None = None) -> None:
        self.got = b""
        self.enough = enough

    def __call__(self, data: bytes) -> bool:
        assert data, "nothing was delivered"
        self.got += data
        return self.enough is not None and self.got.endswith(self.enough)


async def test_all_of_a_body_is_delivered_in_order(opened: Opened):
    pieces = [b"piece %d\n" % n for n in range(200)]
    async with answered(opened, Play(pieces)) as answer:
        assert answer.status == 200
        taker = Taker()
        await answer.deliver(taker)
        assert taker.got == b"".join(pieces)


async def test_a_body_with_a_length_is_delivered_like_one_in_chunks(opened: Opened):
    async with answered(opened, Play([b"abc", b"def"], headers={"Content-Length": "6"})) as answer:
        taker = Taker()
        await answer.deliver(taker)
        assert taker.got == b"abcdef"


async def test_an_empty_body_ends_at_once(opened: Opened):
    async with answered(opened, Play([], headers={"Content-Length": "0"})) as answer:
        taker = Taker()
        await answer.deliver(taker)
        assert taker.got == b""


async def test_who_takes_at_the_head_is_given_the_body_from_there_on_and_asked_once(opened: Opened):
    gate, taker, begun = Gate(), Taker(enough=b"late"), []

    def begin(answer: Answer) -> None:
        begun.append(answer.status)
        answer.take(taker)

    async with asyncio.timeout(10), opened(Play([b"early", gate, b"late"])) as upstream:
        async with upstream.analyze(b"{}", {}, lambda: None, begin) as answer:
            await until(lambda: taker.got == b"early")
            gate.open()
            await answer.taken()
            assert (taker.got, begun) == (b"earlylate", [200])


async def test_what_a_taker_at_the_head_raises_is_raised_to_who_waits(opened: Opened):
    def take(_data: bytes) -> bool:
        raise ValueError("mine")

    async with asyncio.timeout(10), opened(Play([b"early", Hang()])) as upstream:
        async with upstream.analyze(b"{}", {}, lambda: None, lambda answer: answer.take(take)) as answer:
            with pytest.raises(ValueError, match="mine"):
                await answer.taken()


async def test_nothing_is_given_once_the_call_is_left(opened: Opened):
    gate, taker = Gate(), Taker()
    async with asyncio.timeout(10), opened(Play([b"early", gate, b"late"])) as upstream:
        async with upstream.analyze(b"{}", {}, lambda: None, lambda answer: answer.take(taker)):
            await until(lambda: taker.got == b"early")
        gate.open()
        await asyncio.sleep(0)
        assert taker.got == b"early"


async def test_an_answer_is_over_when_all_of_it_has_come(opened: Opened):
    gate, taker = Gate(), Taker(enough=b"most")
    async with answered(opened, Play([b"most", gate])) as answer:
        await answer.deliver(taker)
        assert not answer.is_over
        gate.open()
        await answer.deliver(Taker())
        assert answer.is_over


async def test_bytes_are_delivered_while_more_are_still_to_come(opened: Opened):
    gate = Gate()
    async with answered(opened, Play([b"early", gate, b"late"])) as answer:
        taker = Taker()
        reading = asyncio.ensure_future(answer.deliver(taker))
        await until(lambda: taker.got)
        assert (taker.got, reading.done()) == (b"early", False)
        gate.open()
        await reading
        assert taker.got == b"earlylate"


async def test_who_has_enough_may_go_on_later(opened: Opened):
    gate = Gate()
    async with answered(opened, Play([b"one;", gate, b"two"])) as answer:
        taker = Taker(enough=b";")
        await answer.deliver(taker)
        assert taker.got == b"one;"
        gate.open()
        await answer.deliver(taker)
        assert taker.got == b"one;two"


async def test_what_came_before_a_break_is_delivered_and_the_break_is_told(opened: Opened):
    async with answered(opened, Play([b"first", b"second", Cut()])) as answer:
        taker = Taker()
        with pytest.raises(Broken):
            await answer.deliver(taker)
        assert taker.got == b"firstsecond"
        with pytest.raises(Broken):  # and told again, never a clean end
            await answer.deliver(taker)


async def test_what_came_before_a_break_is_not_lost_to_a_reader_that_was_busy(opened: Opened):
    gate = Gate()
    async with answered(opened, Play([b"x;", gate, b"rest", Cut()])) as answer:
        taker = Taker(enough=b";")
        await answer.deliver(taker)
        gate.open()
        for _ in range(50):
            await asyncio.sleep(0)
        taker.enough = None
        with pytest.raises(Broken):
            await answer.deliver(taker)
        assert taker.got == b"x;rest"


async def test_what_a_taker_raises_is_raised_and_not_swallowed_by_the_transport(opened: Opened):
    def take(_data: bytes) -> bool:
        raise LookupError("mine")

    async with answered(opened, Play([b"x", Hang()])) as answer:
        with pytest.raises(LookupError, match="mine"):
            await answer.deliver(take)


async def test_a_cancelled_delivery_takes_nothing_more(opened: Opened):
    gate = Gate()
    async with answered(opened, Play([b"early", gate, b"late"])) as answer:
        taker = Taker()
        reading = asyncio.ensure_future(answer.deliver(taker))
        await until(lambda: taker.got)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        gate.open()
        for _ in range(20):
            await asyncio.sleep(0)
        assert taker.got == b"early"


async def test_a_connection_whose_body_was_read_to_its_end_serves_the_next_call():
    async with ScriptedServer(Play([b"x"])) as server, asyncio.timeout(10):
        async with HttpUpstream(parse_address(server.url), api_key=None, connect_timeout_s=5) as upstream:
            for _ in range(3):
                async with upstream.analyze(b"{}", {}, lambda: None) as answer:
                    await answer.deliver(Taker())
            assert len(server._tasks) == 1  # one connection, three calls
        assert len(server.seen) == 3


async def test_a_call_that_is_left_in_the_middle_closes_its_connection():
    async with ScriptedServer(Play([b"x", Hang()])) as server, asyncio.timeout(10):
        async with HttpUpstream(parse_address(server.url), api_key=None, connect_timeout_s=5) as upstream:
            async with upstream.analyze(b"{}", {}, lambda: None) as answer:
                await answer.deliver(Taker(enough=b"x"))
                assert server.open == 1
            await server.idle.wait()
