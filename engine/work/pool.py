"""Worker processes: warm before they are needed, one job each, killed when nobody waits for it.

A worker decodes bytes of unknown origin, so none lives on into another's job: it is a
process group of its own (its recognisers are in it), and ending a job, however it ends,
kills the group. Starting one costs a third of a second, which is why spares stand ready.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import structlog

from engine.errors import ApiError
from engine.facts.job import Job, to_line
from engine.senses import Senses
from engine.work.turns import Turns

log = structlog.get_logger()

# The longest message a worker may send; it cuts its text far shorter.
_MAX_MESSAGE = 1 << 20
# Jobs of one tenant that may wait for a worker before its callers are told to come back.
_QUEUE = 32
_ROOT = Path(__file__).resolve().parents[2]


class Worker:
    """One worker process, from its start to the end of its only job."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, senses: Senses | None) -> "Worker":
        """Start a process; with ``senses`` it warms up its recognisers as well."""
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH")))),
            # One thread each: threads of number libraries cost more than these small arrays gain.
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "engine.worker"),
            *(["--senses", *senses.arguments()] if senses else []),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_MAX_MESSAGE,
            env=environment,
            start_new_session=True,
        )
        return cls(process)

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    @property
    def pid(self) -> int:
        return self._process.pid

    async def give(self, job: Job) -> None:
        """Hand over the job. The pipe stays open: its end tells the worker that we are gone."""
        assert self._process.stdin is not None
        self._process.stdin.write(to_line(job))
        with suppress(ConnectionError):  # a worker that died is noticed when it is read
            await self._process.stdin.drain()

    async def receive(self) -> dict[str, Any]:
        """Return the next message.

        Raises:
            ApiError: what the worker refused or failed with, or that it died.
        """
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise _death(await self._process.wait())
        message: dict[str, Any] = json.loads(line)
        if trace := message.get("trace"):
            log.error("worker_broke", trace=trace)
        if error := message.get("error"):
            raise ApiError.from_wire(error)
        return message

    async def kill(self) -> None:
        """End the process and all that it started; returns when it is gone."""
        self.kill_now()
        await self._process.wait()

    def kill_now(self) -> None:
        """Send the signal without waiting."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


def _death(status: int) -> ApiError:
    """Say what became of a worker that ended without a word."""
    if status == -signal.SIGXCPU:
        return ApiError("internal_error", "The media took more computing than it may.", 500)
    if status == -signal.SIGKILL:  # by hand, or by a system that is short of memory
        return ApiError("internal_error", "The engine's worker was killed.", 500)
    if status < 0:
        return ApiError("video_file_broken", "The media file broke the decoder.")
    log.error("worker_died", status=status)
    return ApiError("internal_error", "The engine's worker failed.", 500)


class Pool:
    """Own every worker process.

    Args:
        size: how many analyses run at once; as many probes run beside them.
        senses: what an analysis hears with.
    """

    def __init__(self, size: int, senses: Senses | None = None) -> None:
        self._senses = senses or Senses()
        self._turns = Turns(size)
        self._probes = asyncio.Semaphore(size)
        self._spares: list[Worker] = []
        self._busy: set[Worker] = set()
        self._chores: set[asyncio.Task[None]] = set()
        self._closing = False

    async def open(self) -> None:
        """Warm the first spare up."""
        self._refill()

    async def close(self) -> None:
        """Kill all workers and wait until they are gone."""
        self._closing = True
        await asyncio.gather(*self._chores, return_exceptions=True)
        workers = [*self._spares, *self._busy]
        self._spares.clear()
        await asyncio.gather(*(worker.kill() for worker in workers))

    @asynccontextmanager
    async def probe(self) -> AsyncIterator[Worker]:
        """Lend a worker that neither hears nor reads."""
        async with self._probes, self._lend(await Worker.start(None)) as worker:
            yield worker

    @asynccontextmanager
    async def analysis(self, patient: bool = False) -> AsyncIterator[Worker]:
        """Lend a warm worker that hears; waits its turn.

        Args:
            patient: wait however many wait already, and behind all who are not; for work that
                nobody holds a connection for.

        Raises:
            ApiError: too many are waiting.
        """
        if not patient and self._turns.taken and self._turns.waiting() >= _QUEUE:
            raise ApiError("too_many_requests", "The engine is busy; try again in a few seconds.", 429)
        async with self._turns.turn(patient):
            spare = self._take_spare()
            if not self._turns.taken:
                self._refill()  # the next caller may come before this one is served
            async with self._lend(spare or await Worker.start(self._senses)) as worker:
                yield worker

    def _take_spare(self) -> Worker | None:
        while self._spares:
            worker = self._spares.pop()
            if worker.alive:
                return worker
        return None

    @asynccontextmanager
    async def _lend(self, worker: Worker) -> AsyncIterator[Worker]:
        self._busy.add(worker)
        try:
            yield worker
        finally:
            # The signal first: what follows may be cancelled, the worker must not live on.
            worker.kill_now()
            self._chore(self._bury(worker))
            self._refill()

    async def _bury(self, worker: Worker) -> None:
        await worker.kill()
        self._busy.discard(worker)

    def _refill(self) -> None:
        if not self._closing and not self._spares:
            self._chore(self._warm_up())

    async def _warm_up(self) -> None:
        if self._spares or self._closing:
            return
        worker = await Worker.start(self._senses)
        self._spares.append(worker)
        log.debug("worker_warming", pid=worker.pid)

    def _chore(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)
