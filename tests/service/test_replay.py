"""Ended streams at their original pace."""

import asyncio

import pytest

from service.hub.replay import replay, shadow_of
from tests.fakes.outlets import FakeLoop, FakeOutlet, make_stream
from tests.fakes.service import Serving
from tests.fakes.upstream import Hang, Play, end, start, text


async def test_a_replay_comes_batch_by_batch_at_the_recorded_times(monkeypatch: pytest.MonkeyPatch):
    loop, pauses = FakeLoop(), []

    async def sleep(seconds: float) -> None:
        pauses.append(round(seconds, 3))
        loop.now += seconds

    monkeypatch.setattr(asyncio, "sleep", sleep)
    stream = make_stream(loop)
    for moment, word in ((0.0, "a"), (0.5, "b"), (2.0, "c")):
        loop.now = moment
        stream.run.take([word])
    stream.run.finish("upstream_broken", now=0.0)
    shadow, outlet = shadow_of(stream), FakeOutlet()
    shadow.attach(outlet, "text", None)
    await replay(stream, shadow, 2.0)
    assert pauses == [0.25, 0.75]
    assert [m.get("text") for m in outlet.messages] == ["", "a", "b", "c", None]
    assert outlet.messages[-1]["error"]["code"] == "upstream_broken"
    assert outlet.messages[-1]["sha256"] == stream.run.ending.sha256


async def test_a_replay_that_nobody_reads_any_more_stops(monkeypatch: pytest.MonkeyPatch):
    loop = FakeLoop()
    stream = make_stream(loop)
    stream.run.take(["a"])
    stream.run.finish("cancelled", now=0.0)
    shadow = shadow_of(stream)
    await replay(stream, shadow, 1.0)
    assert (shadow.run.log.size, shadow.run.ending) == (0, None)


@pytest.mark.parametrize("kind", ["ndjson", "events", "text", "ws"])
async def test_every_transport_replays(serving: Serving, kind: str):
    async with serving(Play([start(), text("one "), text("two"), end()])) as service:
        stream = await service.start()
        await service.show(stream, "?wait=5")
        if kind == "ws":
            messages, _ = await service.watch(stream, "?pace=100")
            assert "".join(m.get("text", "") for m in messages) == "one two"
            return
        async with service.http.get(f"{service.url}/v1/streams/{stream}/{kind}?pace=original") as answer:
            body = await answer.read()
        assert b"one " in body
        assert b"two" in body


@pytest.mark.parametrize("pace", ["0", "-1", "fast", "nan", "1e9"])
async def test_a_pace_that_is_none_is_refused(serving: Serving, pace: str):
    async with serving(Play([start(), end()])) as service:
        stream = await service.start()
        async with service.http.get(f"{service.url}/v1/streams/{stream}/ndjson?pace={pace}") as answer:
            assert answer.status == 400


async def test_a_stream_that_runs_has_no_pace_yet(serving: Serving):
    async with serving(Play([start(), Hang()])) as service:
        stream = await service.start()
        async with service.http.get(f"{service.url}/v1/streams/{stream}/ndjson?pace=original") as answer:
            assert (answer.status, (await answer.json())["code"]) == (400, "invalid_request")


async def test_a_replay_whose_projection_fails_ends_for_its_readers_too(monkeypatch: pytest.MonkeyPatch):
    loop = FakeLoop()
    stream = make_stream(loop)
    stream.run.take(["a"])
    stream.run.finish("upstream_broken", now=0.0)
    shadow, outlet = shadow_of(stream), FakeOutlet()
    shadow.attach(outlet, "json", None)

    def feed(text: str, violation: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(shadow.view("json"), "feed", feed)
    await replay(stream, shadow, 1000.0)
    assert outlet.messages[-1]["error"]["code"] == "internal"
