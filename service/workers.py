"""Several processes on one port: the parent that starts, watches, replaces and drains them.

The parent serves nobody. It keeps what all workers need: the embedded engine, and the sockets
on which they listen. Each worker has listening sockets of its own, all of them bound to one
port (SO_REUSEPORT). The parent opens them and the worker inherits them, so that a successor
goes on with its predecessor's queue of connections: a socket that closes resets what waits in
its queue. Those of a worker that died are closed, so that the others get what would wait there.

Workers live in sessions of their own, so that Ctrl-C reaches the parent alone; each ends when
the pipe from the parent closes, so that none can be left behind.
"""

import asyncio
import signal
import socket
import sys
import tempfile
from contextlib import AsyncExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import structlog

from config.settings import EMBEDDED, Settings
from service.app import BACKLOG, DRAIN, FIRST_REQUESTS_S, GOODBYE_S, address_of, embedded_engine, tell_serving
from service.place import WorkerPlace
from service.upstream.embedded import FIRST_PAUSE_S, next_pause

log = structlog.get_logger()

# How a process says that its settings or its store will not do, however often it is started.
REFUSED = 2
LOOK_S = 0.05
# A successor that is not ready by then is given up, and its predecessor stays.
READY_S = 60.0
OK, ANY = frozenset({200}), frozenset({200, 503})


class WorkerRefused(Exception):
    """A worker will not start with these settings, and has said why."""


class Port:
    """The address of all workers: theirs from now on, and bound again for each of them.

    Raises:
        OSError: another process listens there, or it cannot be bound.
    """

    def __init__(self, host: str, port: int) -> None:
        self._reserved: list[socket.socket] = []
        self.number = port
        try:
            for family, address in _addresses(host):
                self._reserve(family, address)
        except OSError:
            self.close()
            raise

    @property
    def address(self) -> str:
        """The first of its addresses, as a URL."""
        return address_of(*self._reserved[0].getsockname()[:2])

    def listen(self) -> list[socket.socket]:
        """Listening sockets for one worker."""
        return [
            socket.create_server(bound.getsockname(), family=bound.family, backlog=BACKLOG, reuse_port=True)
            for bound in self._reserved
        ]

    def close(self) -> None:
        """Leave the port to others."""
        _close(self._reserved)

    def _reserve(self, family: socket.AddressFamily, address: tuple[str, ...]) -> None:
        # SO_REUSEPORT would let us join another service of this user; without it that is an error.
        with _bound(family, (address[0], self.number, *address[2:])) as alone:
            name = alone.getsockname()
        # Bound, so that the port stays ours when no worker lives; not listening, so that nobody waits there.
        self._reserved.append(_bound(family, name, shared=True))
        self.number = name[1]


def _addresses(host: str) -> list[tuple[socket.AddressFamily, tuple[str, ...]]]:
    """What a host to listen on stands for; nothing stands for all interfaces."""
    found = socket.getaddrinfo(host or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))  # type: ignore[misc]


def _bound(family: socket.AddressFamily, address: tuple[object, ...], *, shared: bool = False) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


def _close(sockets: list[socket.socket]) -> None:
    for one in sockets:
        one.close()
    sockets.clear()


class Worker:
    """One process, and what its parent may ask of it.

    Attributes:
        ended: done with the exit code when it has ended.
    """

    def __init__(self, place: WorkerPlace, process: asyncio.subprocess.Process) -> None:
        self.place = place
        self.pid = process.pid
        self.began = asyncio.get_running_loop().time()
        self._process = process
        self._leaving = False
        self.ended = asyncio.create_task(process.wait(), name=f"end of worker {process.pid}")

    async def answers(self, wanted: frozenset[int], patience_s: float | None = None) -> bool:
        """Wait until its ``/readyz`` has a wanted status; False where it ends first, or patience does."""
        connector = aiohttp.UnixConnector(str(self.place.socket))
        async with aiohttp.ClientSession(connector=connector, trust_env=False) as session:
            with suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    while not self.ended.done():
                        if await _status(session) in wanted:
                            return True
                        await asyncio.wait({self.ended}, timeout=LOOK_S)
        return False

    async def leave(self, patience_s: float) -> None:
        """Ask it to drain, once, and wait until it has ended; after ``patience_s`` it is killed."""
        if not self._leaving:
            self.hurry()
            self._leaving = True
        await asyncio.wait({self.ended}, timeout=patience_s)
        if not self.ended.done():
            log.error("worker_killed", index=self.place.index, pid=self.pid)
            with suppress(ProcessLookupError):
                self._process.kill()
        await self.ended

    def hurry(self) -> None:
        """Ask it to drain; where it does already: to end at once."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)


async def _status(session: aiohttp.ClientSession) -> int | None:
    with suppress(aiohttp.ClientError):
        async with session.get("http://localhost/readyz") as answer:
            return answer.status
    return None


@dataclass(slots=True)
class _Seat:
    """Where one worker sits after the other.

    Attributes:
        turns: how many were started in it.
        serving: set since the first of them served.
        order: done when a successor is wanted; its result wants to know whether there is one.
    """

    index: int
    turns: int = 0
    listeners: list[socket.socket] = field(default_factory=list)
    serving: asyncio.Event = field(default_factory=asyncio.Event)
    order: "asyncio.Future[asyncio.Future[bool]]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Workers:
    """Keep a process in each seat.

    Args:
        settings: the parent's.
        port: where they listen.
        engine: the socket of the embedded engine, if there is one.
        directory: for their private sockets.
    """

    def __init__(self, settings: Settings, port: Port, engine: str | None, directory: Path) -> None:
        self._settings = settings
        self._port = port
        self._engine = engine
        self._directory = directory
        self._patience_s = settings.drain_s + FIRST_REQUESTS_S + GOODBYE_S
        self._seats = [_Seat(index) for index in range(settings.workers)]
        self._living: set[Worker] = set()
        self._starting: set[asyncio.Task[Worker | None]] = set()
        self._again = asyncio.Event()

    def renew(self) -> None:
        """Replace every worker, one after the other."""
        self._again.set()

    async def keep(self, stop: asyncio.Event) -> None:
        """Start workers and replace those that end, until ``stop``; they then go on without being watched.

        Raises:
            WorkerRefused: one of them will not start.
        """
        tasks = [asyncio.create_task(_set(stop)), asyncio.create_task(self._conduct())]
        tasks += [asyncio.create_task(self._keep(seat)) for seat in self._seats]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def dismiss(self, now: asyncio.Event) -> None:
        """Let all of them drain, and wait until they have ended; ``now`` makes them end at once."""
        for seat in self._seats:  # who comes now is refused at once, and does not wait in vain
            _close(seat.listeners)
        await asyncio.gather(*self._starting)
        hurry = asyncio.create_task(self._hurry(now))
        await asyncio.gather(*(worker.leave(self._patience_s) for worker in self._living))
        hurry.cancel()

    async def _hurry(self, now: asyncio.Event) -> None:
        await now.wait()
        for worker in self._living:
            worker.hurry()

    async def _conduct(self) -> None:
        """Say when all serve; then replace all, whenever that is asked for."""
        for seat in self._seats:
            await seat.serving.wait()
        tell_serving(self._settings, self._port.address, "redis")
        while True:
            await self._again.wait()
            self._again.clear()
            log.info("replacing_workers")
            if await self._renew_all():
                log.info("workers_replaced")

    async def _renew_all(self) -> bool:
        """Replace one worker after the other; where one cannot be, the rest stays as it is."""
        for seat in self._seats:
            renewed: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            seat.order.set_result(renewed)
            if not await renewed:
                return False
        return True

    async def _keep(self, seat: _Seat) -> None:
        """Start a worker, and another when it has ended unasked."""
        if seat.index > 0:  # a refusal is said once, and a store is set up by one
            await self._seats[0].serving.wait()
        pause = FIRST_PAUSE_S
        while True:
            began = asyncio.get_running_loop().time()
            worker = await self._start(seat)
            if worker is not None:
                began = await self._attend(seat, worker)
            _close(seat.listeners)
            pause = next_pause(pause, asyncio.get_running_loop().time() - began)
            log.info("worker_again", index=seat.index, in_s=pause)
            await asyncio.sleep(pause)

    async def _attend(self, seat: _Seat, worker: Worker) -> float:
        """Watch a worker, and those that succeed it, until one has ended unasked; return when that one began.

        Raises:
            WorkerRefused: it will not start.
        """
        has_served = seat.serving.is_set()
        if await worker.answers(ANY):
            seat.serving.set()
        worker = await self._last_of(seat, worker)
        code = worker.ended.result()
        if code == REFUSED and not has_served:
            raise WorkerRefused  # later a fault in the settings must not end those that serve
        log.error("worker_ended", index=seat.index, pid=worker.pid, exit_code=code)
        return worker.began

    async def _last_of(self, seat: _Seat, worker: Worker) -> Worker:
        """Let one worker succeed the other, as ordered; return the one that ended unasked."""
        while True:
            either: tuple[asyncio.Future[Any], ...] = (worker.ended, seat.order)
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if worker.ended.done():
                return worker
            renewed = seat.order.result()
            seat.order = asyncio.get_running_loop().create_future()
            successor = await self._successor_of(seat, worker)
            renewed.set_result(successor is not None)
            worker = successor or worker

    async def _successor_of(self, seat: _Seat, worker: Worker) -> Worker | None:
        """Start a successor and let the worker go when it is ready; None: the worker stays."""
        successor = await self._start(seat)
        if successor is None:
            return None
        if not await successor.answers(OK, READY_S):
            code = successor.ended.result() if successor.ended.done() else None
            log.error("successor_not_ready", index=seat.index, pid=successor.pid, exit_code=code)
            await successor.leave(self._patience_s)
            return None
        await worker.leave(self._patience_s)
        return successor

    async def _start(self, seat: _Seat) -> Worker | None:
        start = asyncio.create_task(self._started(seat))
        self._starting.add(start)
        start.add_done_callback(self._starting.discard)
        # A start that were cancelled would leave a process that nobody knows.
        return await asyncio.shield(start)

    async def _started(self, seat: _Seat) -> Worker | None:
        """A worker that has just been started; None where the system has no room for it now."""
        try:
            seat.listeners = seat.listeners or self._port.listen()
            place = self._place(seat)
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "service", "--place", place.model_dump_json()),
                stdin=asyncio.subprocess.PIPE,
                pass_fds=place.listeners,
                start_new_session=True,
            )
        except OSError as exc:
            log.error("worker_not_started", index=seat.index, fault=exc.strerror)
            return None
        worker = Worker(place, process)
        self._living.add(worker)
        worker.ended.add_done_callback(lambda _: self._forget(worker))
        return worker

    def _place(self, seat: _Seat) -> WorkerPlace:
        seat.turns += 1
        return WorkerPlace(
            index=seat.index,
            turn=seat.turns - 1,
            workers=len(self._seats),
            host=self._settings.host,
            port=self._port.number,
            listeners=tuple(listener.fileno() for listener in seat.listeners),
            engine=self._engine,
            directory=self._directory,
        )

    def _forget(self, worker: Worker) -> None:
        self._living.discard(worker)
        worker.place.socket.unlink(missing_ok=True)  # of one that was killed


async def _set(event: asyncio.Event) -> None:
    await event.wait()


async def serve_with_workers(settings: Settings) -> None:
    """Serve through several processes until SIGTERM or SIGINT, then drain and return; a second signal ends at once.

    SIGHUP replaces them, one after the other.

    Raises:
        WorkerRefused: they will not start.
        OSError: the port cannot be had.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    now = asyncio.Event()

    signalled = asyncio.Event()

    def asked_to_stop() -> None:
        now.set() if signalled.is_set() else signalled.set()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked_to_stop)
    loop.add_signal_handler(DRAIN, stop.set)
    async with AsyncExitStack() as stack:
        port = stack.enter_context(closing(Port(settings.host, settings.port)))
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="fanlight-", ignore_cleanup_errors=True))
        engine: str | None = None
        if settings.upstream == EMBEDDED:
            engine = (await stack.enter_async_context(embedded_engine(settings))).socket
        workers = Workers(settings, port, engine, Path(directory))
        stack.push_async_callback(workers.dismiss, now)
        loop.add_signal_handler(signal.SIGHUP, workers.renew)
        await workers.keep(stop)
    log.info("stopped")
