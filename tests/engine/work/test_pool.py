"""Turns, spares and the end of workers."""

import asyncio
import os
import select
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from engine.errors import ApiError
from engine.facts.job import Measure, Probe, Thumbnail
from engine.senses import Senses
from engine.work.pool import Pool, Worker
from tests.engine.conftest import speech_model


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    pool = Pool(size=1)
    yield pool
    await pool.close()


async def test_a_probe_says_what_is_in_a_file(pool: Pool, sample_clip: Path) -> None:
    async with pool.probe() as worker:
        await worker.give(Probe(sample_clip))
        clip = (await worker.receive())["clip"]
    assert (clip["width"], clip["height"]) == (640, 360)


async def test_a_job_that_breaks_the_rules_is_the_engines_fault(pool: Pool, sample_clip: Path) -> None:
    async with pool.probe() as worker:
        await worker.give(Thumbnail(sample_clip, at="late"))  # type: ignore[arg-type]
        with pytest.raises(ApiError) as caught:
            await worker.receive()
    assert (caught.value.code, caught.value.status) == ("internal_error", 500)


async def test_a_worker_is_gone_when_its_job_is_given_up(pool: Pool) -> None:
    async with pool.probe() as worker:
        assert worker.alive
    await pool.close()
    assert not worker.alive


async def test_callers_are_told_to_come_back_when_too_many_wait(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.work.pool._QUEUE", 0)
    async with pool.analysis():
        with pytest.raises(ApiError) as caught:
            async with pool.analysis():
                pass
    assert (caught.value.status, caught.value.code) == (429, "too_many_requests")


async def test_a_spare_is_taken_and_replaced(pool: Pool) -> None:
    await pool.open()
    async with pool.analysis() as first:
        pass
    async with pool.analysis() as second:
        assert second.pid != first.pid


def group_of(pid: int) -> list[int]:
    """The processes of a process group."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if int((entry / "stat").read_text().rpartition(")")[2].split()[2]) == pid:
                found.append(int(entry.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are found by /proc here")
async def test_a_job_that_is_given_up_takes_its_recognisers_along(sample_clip: Path) -> None:
    pool = Pool(1, Senses(3, speech_model()))
    async with pool.analysis() as worker:
        await worker.give(Measure(sample_clip))
        while "fact" not in await worker.receive():
            pass
        ends = [os.pidfd_open(pid) for pid in group_of(worker.pid)]
    assert len(ends) >= 2
    for end in ends:
        assert select.select([end], [], [], 5)[0], "a process lives on"
        os.close(end)
    await pool.close()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are found by /proc here")
async def test_without_its_engine_a_worker_ends_and_takes_along_even_who_is_busy(sample_clip: Path) -> None:
    worker = await Worker.start(Senses(2, speech_model()))
    await worker.give(Measure(sample_clip))
    while "fact" not in await worker.receive():
        pass
    group = group_of(worker.pid)
    ends = [os.pidfd_open(pid) for pid in group]
    for pid in set(group) - {worker.pid}:
        os.kill(pid, signal.SIGSTOP)  # too busy to see its pipe end
    assert worker._process.stdin is not None
    worker._process.stdin.close()
    for end in ends:
        assert (await asyncio.to_thread(select.select, [end], [], [], 30))[0], "a process lives on"
        os.close(end)
    await worker.kill()


async def test_a_killed_worker_is_told_as_that(pool: Pool, sample_clip: Path) -> None:
    async with pool.analysis() as worker:
        await worker.give(Measure(sample_clip))
        worker.kill_now()
        with pytest.raises(ApiError, match="worker was killed"):
            while True:
                await worker.receive()
