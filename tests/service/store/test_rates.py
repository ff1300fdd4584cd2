"""Rates: how many may come at once, how many after a while, and that the engine's arithmetic is ours."""

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.store.rates import WINDOW_S, Rate, draw
from service.store.redis import RedisStore
from tests.fakes.redis_server import needs_redis, redis_server

moments = st.lists(st.floats(0, 30), min_size=1, max_size=80)


@given(st.integers(1, 120), moments)
def test_never_more_come_than_a_full_window_and_what_time_gives_back(per_minute: int, gaps: list[float]):
    rate, full_at, now, came = Rate("r", per_minute), dict[str, float](), 1000.0, 0
    for gap in gaps:
        now += gap
        drawn, fresh = draw(full_at, [rate], now)
        came += not drawn.wait_s
        full_at |= fresh
        assert came <= per_minute + (now - 1000.0) / rate.step_s + 1e-3
        assert drawn.full_s <= WINDOW_S + 1e-6


@given(st.integers(1, 120), moments)
def test_who_waits_as_long_as_told_is_let_in_and_not_a_moment_earlier(per_minute: int, gaps: list[float]):
    rate, full_at, now = Rate("r", per_minute), dict[str, float](), 1000.0
    for gap in gaps:
        now += gap / 10
        drawn, fresh = draw(full_at, [rate], now)
        if drawn.wait_s:
            assert draw(full_at, [rate], now + drawn.wait_s - 1e-3)[0].wait_s > 0
            assert not draw(full_at, [rate], now + drawn.wait_s + 1e-6)[0].wait_s
        full_at |= fresh


@given(st.integers(1, 60))
def test_what_is_told_as_left_can_be_had_at_once(per_minute: int):
    rate, full_at = Rate("r", per_minute), dict[str, float]()
    drawn, full_at = draw(full_at, [rate], 5.0)
    for _ in range(drawn.left):
        drawn, fresh = draw(full_at, [rate], 5.0)
        assert not drawn.wait_s
        full_at |= fresh
    assert draw(full_at, [rate], 5.0)[0].wait_s


def test_where_one_of_several_has_none_left_none_is_taken_from_the_others():
    wide, narrow = Rate("wide", 60), Rate("narrow", 1)
    _, full_at = draw({}, [wide, narrow], 0.0)
    drawn, fresh = draw(full_at, [wide, narrow], 1.0)
    assert (drawn.rate, drawn.wait_s, fresh) == (narrow, 59.0, {})


def test_the_headers_say_the_policy_what_is_left_and_when_all_is_there_again():
    drawn, _ = draw({}, [Rate("starts_per_minute", 10)], 0.0)
    assert drawn.headers("starts") == {"RateLimit-Policy": '"starts";q=10;w=60', "RateLimit": '"starts";r=9;t=6'}


@pytest.fixture
async def pair() -> AsyncIterator[tuple[RedisStore, RedisStore]]:
    async with redis_server() as server:
        stores = RedisStore(server.url, "a"), RedisStore(server.url, "b")
        for store in stores:
            await store.open()
        yield stores
        for store in stores:
            await store.close()


@needs_redis
async def test_two_nodes_draw_from_one_rate_and_count_as_one_process_does(pair):
    a, b = pair
    rates, full_at = [Rate("wide", 60), Rate("narrow", 4)], dict[str, float]()
    for store in (a, b, a, b, a):
        theirs, (ours, fresh) = await store.draw("t", rates), draw(full_at, rates, 0.0)
        full_at |= fresh
        assert (theirs.left, theirs.rate, theirs.wait_s > 0) == (ours.left, ours.rate, ours.wait_s > 0)
        assert abs(theirs.full_s - ours.full_s) < 2  # time goes on at the engine
    assert (await b.draw("other", rates)).left == 3
