"""A mirror on a record that the test writes: what is told while the record is read."""

import asyncio
from collections.abc import Callable

from service.hub.mirror import Mirror
from service.store.contract import Kept
from service.store.shared import Also, Present, Reach, Record, Told
from tests.fakes.outlets import FakeLoop, make_stream

KEPT = Kept("st_test", "local", 1, 0.0, b'{"node":"a"}', None, 1, "", None, 0.0, 0.0)


class Engine:
    """Has one record, and tells something before the answer to whoever reads it arrives."""

    def __init__(self, present: dict[str, bytes], *meanwhile: Told) -> None:
        self._record = Record(KEPT, "a", Reach("v", 0), b"", True, Also(), "", 0, present)
        self._meanwhile = meanwhile
        self._told: Callable[[Told], None] = lambda told: None

    async def follow(self, stream: str, told: Callable[[Told], None]) -> None:
        self._told = told

    async def unfollow(self, stream: str, told: Callable[[Told], None]) -> None:
        self._told = lambda told: None

    async def record(self, stream: str, place: Reach) -> Record:
        await asyncio.sleep(0)
        for told in self._meanwhile:
            self._told(told)
        return self._record


async def elsewhere(engine: Engine) -> dict[str, dict[str, int]]:
    """Who reads at other nodes, as a mirror knows it once it follows."""
    stream = make_stream(FakeLoop())
    lives = {"a", "c"}.__contains__
    mirror = Mirror(stream, engine, over=lambda _: None, wall=lambda: 0.0, lives=lives, is_new=True)
    assert await mirror.first()
    await mirror.stop()
    return dict(stream.elsewhere)


async def test_who_came_while_the_record_was_read_stays():
    assert await elsewhere(Engine({}, Present("a", b'{"text":1}'))) == {"a": {"text": 1}}
    assert await elsewhere(Engine({"c": b'{"raw":2}'}, Present("a", b'{"text":1}'))) == {
        "a": {"text": 1},
        "c": {"raw": 2},
    }


async def test_who_left_while_the_record_was_read_is_gone():
    assert await elsewhere(Engine({"a": b'{"text":1}'}, Present("a", b""))) == {}


async def test_what_a_node_says_that_does_not_live_does_not_count():
    assert await elsewhere(Engine({"dead": b'{"text":1}'}, Present("dead", b'{"text":2}'))) == {}
