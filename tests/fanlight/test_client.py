"""The client library: exact through every fault, or loud."""

import asyncio
import random

import orjson
import pytest

from fanlight import (
    Client,
    Delta,
    Derived,
    Ending,
    Refused,
    Reset,
    Unreachable,
)
from tests.fakes.fault_proxy import FaultProxy
from tests.fakes.service import Service, Serving
from tests.fakes.upstream import Cut, Gate, Play, end, start, text

STORY = [f"[00:{n:02}] Szene {n} – 🎬 und weiter. " for n in range(60)]


async def at_once(_seconds: float) -> None:
    """Pauses between attempts take no time in tests."""


async def watched(url: str, stream: str, **arguments) -> tuple[str, Ending]:
    shown = ""
    async with Client(url, sleep=at_once, attempts=50) as client:
        async for message in client.watch(stream, **arguments):
            match message:
                case Delta(text=more):
                    shown += more
                case Reset():
                    shown = ""
                case Ending():
                    return shown, message
    raise AssertionError("no ending")


async def through_faults(service: Service, seed: int) -> tuple[int, int]:
    """Returns how many watched, and how often they were cut off."""
    choice = random.Random(seed)
    async with FaultProxy(int(service.url.rsplit(":", 1)[1]), seed) as proxy:
        stream = await service.start(prompt=str(seed), fanlight={"join": "never"})
        readers = [asyncio.create_task(watched(proxy.url, stream)) for _ in range(choice.randint(1, 3))]
        for shown, ending in await asyncio.gather(*readers):
            assert ending.status == "completed"
            assert shown == "".join(STORY)
    return len(readers), proxy.cuts


def story() -> Play:
    return Play([start(), *[text(part) for part in STORY], end()])


async def test_a_watcher_is_exact_through_a_faulty_network(serving: Serving):
    async with serving(story()) as service:
        for seed in range(40):
            await through_faults(service, seed)


@pytest.mark.slow
async def test_a_thousand_watchers_are_exact_through_a_faulty_network(serving: Serving):
    async with serving(story()) as service:
        began = asyncio.get_running_loop().time()
        counts = [await through_faults(service, seed) for seed in range(1000)]
        took = asyncio.get_running_loop().time() - began
    watchers, cuts = (sum(figures) for figures in zip(*counts, strict=True))
    print(f"1,000 runs, {watchers} watchers, {cuts} connections cut, all exact, in {took:.0f} s")  # noqa: T201


async def test_a_broken_upstream_is_told_as_such(serving: Serving):
    async with serving(Play([start(), text("a"), Cut()])) as service:
        shown, ending = await watched(service.url, await service.start())
        assert (shown, ending.status) == ("a", "failed")
        assert ending.error["code"] == "upstream_broken"


async def test_watching_resumes_at_a_cursor(serving: Serving):
    async with serving(Play([start(), text("abc"), text("def"), end()])) as service:
        stream = await service.start()
        await service.show(stream, "?wait=5")
        assert (await watched(service.url, stream, cursor="1.2"))[0] == "cdef"


async def test_a_restarted_text_is_told_as_a_reset(serving: Serving):
    first = Play([start(), text("one "), text("two"), Cut()])
    async with serving(first, Play([start(), text("other"), end()])) as service:
        async with Client(service.url) as client:
            stream = await client.start({"prompt": "p"}, {"restart": 1})
            shown, ending = await watched(service.url, stream)
        assert (shown, ending.status, ending.members["gen"]) == ("other", "completed", 2)


async def test_a_restarted_text_with_the_same_beginning_goes_on_without_a_reset(serving: Serving):
    gate = Gate()
    first = Play([start(), text("one "), text("tw"), gate, Cut()])
    async with serving(first, Play([start(), text("one two"), text(" three"), end()])) as service:
        async with Client(service.url) as client:
            stream = await client.start({"prompt": "p"}, {"restart": 1})
            heard = []
            async for message in client.watch(stream):
                heard.append(message)
                gate.open()
        assert not [message for message in heard if isinstance(message, Reset)]
        assert "".join(m.text for m in heard if isinstance(m, Delta)) == "one two three"
        assert heard[-1].members["gen"] == 1


async def test_other_views_come_as_they_are(serving: Serving):
    async with serving(Play([start(), text("a"), end()])) as service, Client(service.url) as client:
        stream = await client.start({"prompt": "p"})
        heard = [message async for message in client.watch(stream, view="raw")]
        assert [m.members["n"] for m in heard if isinstance(m, Derived)] == [0, 1, 2]
        assert isinstance(heard[-1], Ending)


async def test_a_growing_document_is_kept_as_a_tree(serving: Serving):
    whole = '{"a": [1, {"b/c": "gro"}], "d": "x"}'
    steps = [start(), *[text(whole[n : n + 3]) for n in range(0, len(whole), 3)], end()]
    async with serving(Play(steps)) as service, Client(service.url) as client:
        stream = await client.start({"prompt": "p"})
        trees = [m.tree async for m in client.watch(stream, view="patch") if isinstance(m, Derived)]
        assert trees[-1] == orjson.loads(whole)


async def test_an_unknown_stream_is_refused_at_once(serving: Serving):
    async with serving(Play([])) as service, Client(service.url) as client:
        with pytest.raises(Refused, match="not_found"):
            await anext(client.watch("st_none"))
        with pytest.raises(Refused, match="not_found"):
            await client.cancel("st_none")


async def test_a_service_that_is_not_there_is_given_up_in_the_end():
    async with Client("http://127.0.0.1:1", attempts=3, sleep=at_once) as client:
        with pytest.raises(Unreachable):
            await anext(client.watch("st_x"))
