"""The hub on a scripted upstream: retries, the breaker, abandonment, bounds, keeping."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from protocol.errors import Refusal
from protocol.wire.options import parse_options
from service.hub import pump
from service.hub.breaker import Breaker
from service.hub.clocks import ClockLimits
from service.hub.hub import NATIVE, UPSTREAM, Hub, HubLimits
from service.hub.pump import PumpLimits
from service.hub.requests import ask
from service.hub.retention import RetentionLimits
from service.hub.streams import Limits, Stream
from service.upstream.contract import Broken, Unreachable
from tests.fakes.hours import Hours
from tests.fakes.upstream import Cut, Gate, Hang, Play, ScriptedUpstream, end, start, text
from tests.fakes.waiting import until

WHOLE = [start(), text("abc"), end()]


@asynccontextmanager
async def hub_on(*plays, **limits):
    upstream = ScriptedUpstream(*plays)
    pumping = PumpLimits(ClockLimits(30, 30, 60), 1 << 20)
    async with Hub(upstream, HubLimits(stream=Limits(1 << 20), pump=pumping, **limits)) as hub:
        yield hub, upstream


def begin(hub: Hub, prompt: str = "p", tenant: str = "t", dialect=NATIVE, **options) -> Stream:
    return hub.start(tenant, ask({"prompt": prompt}, parse_options(options)), dialect).stream


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between attempts, which take no time."""
    taken: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        taken.append(seconds)
        await real(0)

    monkeypatch.setattr(pump.asyncio, "sleep", sleep)
    return taken


@pytest.mark.parametrize(
    ("first", "calls"),
    [
        (Unreachable("x"), 2),
        (Broken("x"), 2),
        (Play([Cut()]), 2),
        (Play([], 429), 2),
        (Play([], 503), 2),
        (Play([], 400), 1),
        (Play([], 500), 1),
        (Play([]), 1),
        (Play([b"junk\n"]), 1),
        (Play([b'{"code":"c","message":"m"}\n']), 1),
        (Play([start(), Cut()]), 1),
    ],
)
async def test_only_what_most_likely_cost_nothing_is_tried_again(pauses, first, calls):
    async with hub_on(first, Play(WHOLE)) as (hub, upstream):
        ending = await begin(hub).run.ended()
        assert len(upstream.calls) == calls
        assert (ending.status == "completed") == (calls == 2)


async def test_there_are_two_retries_with_growing_random_pauses(pauses):
    async with hub_on(Unreachable("x")) as (hub, upstream):
        ending = await begin(hub).run.ended()
        assert (ending.code, len(upstream.calls)) == ("upstream_unreachable", 3)
        assert len(pauses) == 2
        assert 0 <= pauses[0] <= 0.25
        assert 0 <= pauses[1] <= 0.5


@pytest.mark.parametrize(
    ("header", "waited"), [("0", [0]), ("7", [7]), ("10", [10]), ("11", []), ("soon", []), ("-1", [])]
)
async def test_retry_after_is_waited_for_up_to_ten_seconds(pauses, header, waited):
    async with hub_on(Play([], 429, {"Retry-After": header}), Play(WHOLE)) as (hub, _):
        ending = await begin(hub).run.ended()
        assert pauses == waited
        assert (ending.status == "completed") == bool(waited)


def test_the_breaker_opens_after_many_misses_and_lets_one_try():
    now = [0.0]
    breaker = Breaker(lambda: now[0], threshold=3, cool_s=2.0)
    for _ in range(3):
        assert breaker.allows()
        breaker.missed()
    assert (breaker.state, breaker.allows()) == ("open", False)
    now[0] = 2.5
    assert breaker.state == "half-open"
    assert [breaker.allows() for _ in range(3)] == [True, False, False]
    breaker.reached()
    assert (breaker.state, breaker.allows()) == ("closed", True)


async def test_an_open_breaker_ends_calls_at_once_and_is_seen(pauses):
    async with hub_on(Unreachable("x")) as (hub, upstream):
        for n in range(4):
            await begin(hub, str(n)).run.ended()
        assert hub.breaker.state == "open"
        calls = len(upstream.calls)
        assert (await begin(hub, "more").run.ended()).code == "upstream_unreachable"
        assert len(upstream.calls) == calls


class Stalled(ScriptedUpstream):
    """An upstream whose whole answer has come when the loop stands still for an hour."""

    def __init__(self, hours: Hours, *plays: Play) -> None:
        super().__init__(*plays)
        self._hours = hours

    @asynccontextmanager
    async def analyze(self, body, headers, connected, begun):
        async with super().analyze(body, headers, connected, begun) as answer:
            await self._hours.pass_(3600)
            yield answer


async def test_an_answer_that_has_come_whole_is_not_late_however_late_it_is_seen(hours: Hours):
    upstream = Stalled(hours, Play(WHOLE), Play([start(), text("other"), end()]))
    pumping = PumpLimits(ClockLimits(30, 30, 86_400), 1 << 20, backoff_s=0)
    async with Hub(upstream, HubLimits(stream=Limits(1 << 20), pump=pumping)) as hub:
        stream = begin(hub, restart=1)
        assert (await stream.run.ended()).status == "completed"
        await until(lambda: not hub.running)
        assert (stream.run.gen, stream.run.retries, len(upstream.calls)) == (1, 0, 1)
        assert stream.run.log.slice(0, stream.run.log.size) == "abc"


async def test_a_quiet_time_is_saved_up_for_a_burst_up_to_a_bound():
    now, gate = [0.0], Gate()
    flood = PumpLimits(ClockLimits(30, 30, 60), 1 << 20, max_events_per_s=100)
    upstream = ScriptedUpstream(Play([start(), text("a"), gate, text("") * 801, Hang()]))
    async with Hub(upstream, HubLimits(stream=Limits(1 << 20), pump=flood)) as hub:
        hub.tally.clock = lambda: now[0]
        stream = begin(hub)
        await gate.reached.wait()
        now[0] = 60.0
        gate.open()
        assert (await stream.run.ended()).code == "too_many_events"


async def test_who_leaves_last_ends_a_dialect_stream_at_once_and_a_native_one_not():
    async with hub_on(Play([start(), Hang()])) as (hub, upstream):
        dialect, native = begin(hub, "a", dialect=UPSTREAM), begin(hub, "b")
        for stream in (dialect, native):
            with stream.hold():
                await until(lambda stream=stream: stream.run.log.count)
        assert (await dialect.run.ended()).code == "abandoned"
        assert native.run.ending is None
        assert upstream.open == 1


async def test_an_abandoned_stream_waits_for_its_grace_and_a_reader_may_come_back():
    async with hub_on(Play([start(), Hang()])) as (hub, _):
        stream = begin(hub, on_abandon="cancel", grace_s=0.05)
        with stream.hold():
            await until(lambda: stream.run.log.count)
        with stream.hold():
            await asyncio.sleep(0.1)
            assert stream.run.ending is None
        assert (await stream.run.ended()).code == "abandoned"


async def test_among_several_starters_finish_and_the_longest_times_win():
    async with hub_on(Play([start(), Hang()])) as (hub, _):
        stream = begin(hub, on_abandon="cancel", grace_s=1, ttl_s=5)
        assert begin(hub, on_abandon="finish", grace_s=3, ttl_s=2) is stream
        terms = stream.terms
        assert (terms.on_abandon, terms.grace_s, terms.ttl_s, terms.starters) == ("finish", 3, 5, 2)


async def test_who_wants_no_company_gets_none():
    async with hub_on(Play([start(), Hang()])) as (hub, _):
        alone = begin(hub, join="never")
        assert begin(hub) is not alone
        assert begin(hub, join="never") is not alone


async def test_streams_are_bounded_in_all_and_for_each_tenant():
    async with hub_on(Play([start(), Hang()]), max_streams=3, max_streams_per_tenant=2) as (hub, _):
        begin(hub, "1", "a")
        begin(hub, "2", "a")
        with pytest.raises(Refusal) as refused:
            begin(hub, "3", "a")
        assert refused.value.code == "limit_reached"
        begin(hub, "1", "b")
        with pytest.raises(Refusal) as refused:
            begin(hub, "1", "c")
        assert refused.value.code == "overloaded"


async def test_the_oldest_ended_streams_make_room_for_new_ones():
    async with hub_on(Play(WHOLE), kept=RetentionLimits(max_streams=2)) as (hub, _):
        streams = [begin(hub, str(n)) for n in range(4)]
        for stream in streams:
            await stream.run.ended()
        await until(lambda: not hub.running)
        assert hub.list("t") == streams[:1:-1]
        with pytest.raises(Refusal):
            hub.find("t", streams[0].id)


async def test_after_its_time_a_stream_is_as_unknown_as_one_that_never_was():
    async with hub_on(Play(WHOLE)) as (hub, _):
        asked = ask({"prompt": "p"}, parse_options({"ttl_s": 0}))
        stream = hub.start("t", asked, NATIVE, idempotency_key="k").stream
        await stream.run.ended()
        await until(lambda: not hub.list("t"))
        again = hub.start("t", asked, NATIVE, idempotency_key="k")
        assert again.stream is not stream
        assert again.join == "leader"


async def test_a_stream_cancelled_before_its_first_step_has_an_ending_too():
    async with hub_on(Play(WHOLE)) as (hub, upstream):
        stream = begin(hub)
        hub.cancel(stream)
        assert (await stream.run.ended()).code == "cancelled"
        assert upstream.calls == []


async def test_closing_the_hub_ends_what_runs_as_interrupted():
    async with hub_on(Play([start(), text("a"), Hang()])) as (hub, upstream):
        stream = begin(hub)
        await until(lambda: stream.run.log.count)
    assert (stream.run.ending.code, stream.run.ending.to) == ("interrupted", 1)
    assert upstream.open == 0
