"""The clocks of one attempt, on a loop whose time the test moves."""

import asyncio

import pytest

from service.hub.clocks import ClockLimits, ClockRanOut, Clocks
from tests.fakes.hours import Hours

LIMITS = ClockLimits(first_event_s=10, idle_s=4, total_s=100)


async def ran_out(play) -> str | None:
    """The code of the clock that ran out while ``play`` went on."""
    try:
        loop = asyncio.get_running_loop()
        async with Clocks(LIMITS, loop.time() + LIMITS.total_s, loop) as clocks:
            await play(clocks)
    except ClockRanOut as exc:
        return exc.code
    return None


async def test_the_first_event_is_due_from_the_connection_on(hours: Hours):
    async def play(clocks: Clocks) -> None:
        await hours.pass_(20)  # connecting is another clock's
        clocks.connected()
        await hours.pass_(9.9)
        clocks.blank()  # no event
        await hours.pass_(0.2)

    assert await ran_out(play) == "upstream_timeout_first_event"


async def test_events_put_idle_off_and_silence_runs_it_out(hours: Hours):
    async def play(clocks: Clocks) -> None:
        clocks.connected()
        for _ in range(5):
            await hours.pass_(3.9)
            clocks.event()
        await hours.pass_(4.1)

    assert await ran_out(play) == "upstream_timeout_idle"


async def test_blank_lines_keep_a_call_alive_for_three_idle_periods_at_most(hours: Hours):
    heard = []

    async def play(clocks: Clocks) -> None:
        clocks.connected()
        clocks.event()
        for n in range(10):
            await hours.pass_(3)
            clocks.blank()
            heard.append(n)

    assert await ran_out(play) == "upstream_timeout_idle"
    assert heard == [0, 1, 2]


async def test_no_event_puts_the_total_off(hours: Hours):
    async def play(clocks: Clocks) -> None:
        clocks.connected()
        for _ in range(40):
            clocks.event()
            await hours.pass_(3)

    assert await ran_out(play) == "upstream_timeout_total"


async def test_who_is_cancelled_by_others_as_well_stays_cancelled(hours: Hours):
    async def play(clocks: Clocks) -> None:
        clocks.connected()
        try:
            await hours.pass_(11)
        finally:
            asyncio.current_task().cancel()

    running = asyncio.create_task(ran_out(play))
    with pytest.raises(asyncio.CancelledError):
        await running
    assert running.cancelled()


async def test_a_code_of_the_callers_ends_the_attempt(hours: Hours):
    async def play(clocks: Clocks) -> None:
        clocks.interrupt("schema_violation")
        await hours.pass_(0)

    assert await ran_out(play) == "schema_violation"


async def test_what_is_raised_when_a_clock_has_run_out_is_not_covered_by_it(hours: Hours):
    async def play(clocks: Clocks) -> None:
        clocks.connected()
        try:
            await hours.pass_(11)
        except asyncio.CancelledError:
            raise ValueError from None

    with pytest.raises(ValueError):
        await ran_out(play)
    assert not asyncio.current_task().cancelling()


async def test_a_call_that_ends_in_time_leaves_no_timer(hours: Hours):
    async def play(clocks: Clocks) -> None:
        clocks.connected()
        clocks.event()

    assert await ran_out(play) is None
    await hours.pass_(1000)
