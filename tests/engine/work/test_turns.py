"""Turns: never more at once than may be, tenant by tenant, and none is lost."""

import asyncio
import random

import pytest

from engine.work.turns import TENANT, Turns


class Work:
    """Jobs that wait for a turn, say when they have it, and end when the test says so."""

    def __init__(self, size: int) -> None:
        self.turns = Turns(size)
        self.had: list[str] = []
        self.running = 0
        self._ends: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str) -> None:
        """The name's first letter is the tenant; one that ends with a dot is patient."""
        self._ends[name] = asyncio.Event()
        self.tasks[name] = asyncio.ensure_future(self._do(name))

    async def _do(self, name: str) -> None:
        TENANT.set(name[0])
        async with self.turns.turn(patient=name.endswith(".")):
            self.had.append(name)
            self.running += 1
            try:
                await self._ends[name].wait()
            finally:
                self.running -= 1

    async def end(self, name: str) -> None:
        self._ends[name].set()
        await self.settle()

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


async def test_who_waits_is_served_tenant_by_tenant() -> None:
    work = Work(1)
    for name in ("a1", "a2", "a3", "a4", "b1", "b2", "c1"):
        work.start(name)
    await work.settle()
    for _ in range(7):
        await work.end(work.had[-1])
    assert work.had == ["a1", "a2", "b1", "c1", "a3", "b2", "a4"]
    assert not work.turns.taken


async def test_within_a_tenant_it_goes_by_arrival() -> None:
    work = Work(2)
    for number in range(6):
        work.start(f"a{number}")
    await work.settle()
    for number in range(6):
        await work.end(f"a{number}")
    assert work.had == [f"a{number}" for number in range(6)]


async def test_patient_work_lets_all_others_go_first() -> None:
    work = Work(1)
    for name in ("a1.", "a2.", "b1.", "a3.", "c1", "a4", "a5"):
        work.start(name)
    await work.settle()
    for _ in range(7):
        await work.end(work.had[-1])
    assert work.had == ["a1.", "c1", "a4", "a5", "a2.", "b1.", "a3."]
    assert not work.turns.taken


async def test_patient_work_does_not_count_among_those_who_wait() -> None:
    work = Work(1)
    for name in ("a1", "a2.", "a3.", "a4"):
        work.start(name)
    await work.settle()
    TENANT.set("a")
    assert work.turns.waiting() == 1
    for name in ("a1", "a4", "a2.", "a3."):
        await work.end(name)


async def test_the_row_is_told_whole_without_those_who_left_it() -> None:
    work = Work(2)
    for name in ("a1", "b1", "a2", "a3", "b2.", "c1"):
        work.start(name)
    await work.settle()
    assert (work.turns.running, work.turns.queued) == (2, 4)
    work.tasks["a3"].cancel()
    await work.settle()
    assert (work.turns.running, work.turns.queued) == (2, 3)
    for name in ("a1", "b1", "a2", "c1", "b2."):
        await work.end(name)
    assert (work.turns.running, work.turns.queued) == (0, 0)


async def test_one_who_leaves_the_queue_is_passed_over() -> None:
    work = Work(1)
    for name in ("a1", "b1", "c1"):
        work.start(name)
    await work.settle()
    work.tasks["b1"].cancel()
    await work.settle()
    await work.end("a1")
    assert work.had == ["a1", "c1"]
    await work.end("c1")
    assert not work.turns.taken


async def test_a_turn_that_comes_to_one_who_leaves_in_the_same_moment_goes_on() -> None:
    work = Work(1)
    for name in ("a1", "b1", "c1"):
        work.start(name)
    await work.settle()
    work._ends["a1"].set()
    # The turn is passed on while the first ends; the second is cancelled before it runs.
    while work.running:
        await asyncio.sleep(0)
    work.tasks["b1"].cancel()
    await work.settle()
    assert work.had == ["a1", "c1"]
    await work.end("c1")
    assert not work.turns.taken


@pytest.mark.parametrize("seed", range(20))
async def test_never_more_than_may_be_at_once_and_no_turn_is_lost(seed: int) -> None:
    choice = random.Random(seed)
    work = Work(3)
    names = [f"{choice.choice('abc')}{number}{choice.choice(['', '.'])}" for number in range(60)]
    for name in names:
        work.start(name)
        if choice.random() < 0.3:
            work.tasks[choice.choice(names[: names.index(name) + 1])].cancel()
        if choice.random() < 0.5:
            work._ends[choice.choice(names[: names.index(name) + 1])].set()
        for _ in range(choice.randrange(3)):
            await asyncio.sleep(0)
        assert work.running <= 3
    for event in work._ends.values():
        event.set()
    await asyncio.gather(*work.tasks.values(), return_exceptions=True)
    assert (work.running, work.turns._free, len(work.turns._pressed), len(work.turns._patient)) == (0, 3, 0, 0)
