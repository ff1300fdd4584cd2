"""The figures of a running service: what was done is in them, and nobody's name."""

import asyncio
from collections.abc import Iterable

import aiohttp
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from protocol.wire.cursors import Cursor
from service.hub.tally import FragmentTimes, Tally
from service.web.siblings import _by_worker
from tests.fakes.outlets import FakeLoop, FakeOutlet, make_stream
from tests.fakes.service import Service, Serving
from tests.fakes.upstream import Gate, Play, end, start, text

OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;q=0.3"}


async def scraped(service: Service, headers: dict[str, str] | None = None) -> list[Metric]:
    async with service.http.get(service.url + "/metrics", headers=headers or OPENMETRICS) as answer:
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
        return list(text_string_to_metric_families(await answer.text()))


def values(families: Iterable[Metric]) -> dict[tuple[str, ...], float]:
    return {(s.name, *(s.labels[name] for name in sorted(s.labels))): s.value for f in families for s in f.samples}


async def test_a_stream_is_measured_from_its_start_to_its_readers(serving: Serving):
    first, second = Gate(), Gate()
    async with serving(Play([start(), first, text("a"), second, text("b"), end()])) as service:
        stream = await service.start()
        reader = asyncio.create_task(service.watch(stream))
        await first.reached.wait()
        while not service.hub.tally.attaches:  # the reader is there before there is anything to read
            await asyncio.sleep(0)
        first.open()
        await second.reached.wait()
        while not service.hub.tally.delivery.count:
            await asyncio.sleep(0)
        told = values(await scraped(service))
        assert told["fanlight_readers", "ws", "text"] == 1
        second.open()
        await reader
        told = values(await scraped(service))
    assert told["fanlight_first_fragment_seconds_count",] == 1
    assert told["fanlight_fragment_gap_seconds_count",] == 1
    assert told["fanlight_delivery_seconds_count",] == 2
    assert 0 < told["fanlight_delivery_seconds_sum",] < told["fanlight_first_fragment_seconds_sum",] + 60
    assert told["fanlight_attaches_total", "snapshot"] == 1
    assert ("fanlight_readers", "ws", "text") not in told


async def test_readers_are_told_apart_by_where_they_began(serving: Serving):
    async with serving(Play([start(), text("abc"), end()])) as service:
        stream = await service.start()
        await service.show(stream, "?wait=5")
        for query in ("", "?cursor=1.1", "?cursor=1.3", "?cursor=7.1"):
            await service.read(stream, query)
        async with service.http.get(f"{service.url}/v1/streams/{stream}/text?cursor=9.9") as answer:
            await answer.read()
        told = values(await scraped(service))
    counts = {labels[0]: count for (name, *labels), count in told.items() if name == "fanlight_attaches_total"}
    assert counts == {"snapshot": 1, "suffix": 1, "live": 1, "reset": 2}


async def test_what_was_refused_is_counted_by_its_code(serving: Serving):
    async with serving(Play([]), starts_per_minute=0) as service:
        async with service.http.get(service.url + "/v1/streams/st_unknown") as answer:
            assert answer.status == 404
        async with service.http.post(service.url + "/v1/streams", json={"prompt": "p"}) as answer:
            assert answer.status == 429
        async with service.http.ws_connect(service.url + "/v1/ws") as socket:
            await socket.send_json({"type": "subscribe", "stream": "st_unknown"})
            assert (await socket.receive_json())["code"] == "not_found"
        async with service.http.ws_connect(service.url + "/v1/streams/st_unknown/ws") as socket:
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        told = values(await scraped(service))
    assert told["fanlight_refusals_total", "not_found"] == 3
    assert told["fanlight_refusals_total", "limit_reached"] == 1
    assert told["fanlight_limits_hit_total", "starts_per_minute"] == 1


async def test_streams_that_memory_gave_up_are_counted_by_the_bound(serving: Serving):
    plays = [Play([start(), text("x" * 5000), end()]) for _ in range(3)]
    async with serving(*plays, max_kept_bytes=8000) as service:
        for number in range(3):
            await service.show(await service.start(prompt=f"p{number}"), "?wait=5")
        told = values(await scraped(service))
    assert told["fanlight_evictions_total", "bytes"] >= 1


async def test_a_name_that_a_caller_chose_is_no_label(serving: Serving):
    gate = Gate()
    async with serving(Play([start(), text("a"), gate, text("b"), end()])) as service:
        video = {"type": "video_url", "video_url": {"url": "https://a.example/MARKED.mp4"}}
        said = [{"role": "user", "content": [video, {"type": "text", "text": "MARKED"}]}]
        body = {"model": "MARKED", "stream": True, "messages": said}
        async with service.http.post(service.url + "/openai/v1/chat/completions", json=body) as answer:
            assert answer.status == 200
            await gate.reached.wait()
            async with service.http.get(service.url + "/metrics") as told:
                figures = await told.text()
            gate.open()
            await answer.read()
    assert 'fanlight_readers{transport="sse",view="openai"} 1.0' in figures
    assert "MARKED" not in figures


def test_a_reader_that_is_passed_over_lags_by_the_text_it_was_not_given():
    loop = FakeLoop()
    stream = make_stream(loop)
    slow, raw, quick = FakeOutlet(room=1), FakeOutlet(room=1), FakeOutlet()
    stream.attach(slow, "text", None)
    stream.attach(raw, "raw", Cursor(1, 0, raw=True))
    stream.attach(quick, "text", None)
    stream.run.take(["four", "more"])
    lags = {audience.view.name: audience.lags() for audience in stream.audiences()}
    assert lags == {"text": [8], "raw": [8]}
    slow.drain()
    assert [audience.lags() for audience in stream.audiences() if audience.view.name == "text"] == [[]]


def test_delivery_counts_from_the_oldest_that_was_not_shown_once_for_a_row():
    now = 10.0
    loop, stream = FakeLoop(), None
    stream = make_stream(loop)
    tally = stream._tally
    tally.clock = lambda: now
    for _ in range(1000):  # more than one slice
        stream.attach(FakeOutlet(), "text", None)
    stream.run.received = 9.0
    stream.run.take(["a"])
    stream.run.received = 9.5  # comes while the first pass is under way
    stream.run.take(["b"])
    stream.run.take(["c"])
    now = 12.0
    loop.run()
    assert (tally.delivery.count, tally.delivery.sum) == (2, 3.0 + 2.5)
    assert stream.run.received == 0.0


def test_the_first_fragment_counts_from_the_start_and_each_other_from_the_one_before():
    now = 5.0
    tally = Tally(clock=lambda: now)
    times = FragmentTimes(tally)
    for at in (5.5, 6.5, 6.75):
        times.came(at, "")
    assert (tally.first_fragment.count, tally.first_fragment.sum) == (1, 0.5)
    assert (tally.fragment_gap.count, tally.fragment_gap.sum) == (2, 1.25)


async def test_histograms_of_several_workers_add_up_place_by_place_and_keep_their_traces(serving: Serving):
    async with serving(Play([start(), text("a"), end()])) as service:
        await service.show(await service.start(), "?wait=5")
        service.hub.tally.first_fragment.observe(300.0, "0af7651916cd43dd8448eb211c80319c")
        one = await scraped(service)
    both = {family.name: family for family in _by_worker({0: one, 1: one})}["fanlight_first_fragment_seconds"]
    places: dict[str, float] = {}
    for sample in both.samples:
        if sample.name.endswith("_bucket"):
            places[sample.labels["le"]] = places.get(sample.labels["le"], 0) + sample.value
    assert list(places.values())[-1] == 4
    assert list(places.values()) == sorted(places.values())
    traces = [s.exemplar.labels["trace_id"] for s in both.samples if s.exemplar]
    assert traces == ["0af7651916cd43dd8448eb211c80319c"] * 2
