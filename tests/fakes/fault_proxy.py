"""A TCP proxy that cuts, delays and truncates at random (seeded): what lies between a client and the service."""

import asyncio
import random


class FaultProxy:
    """Pass bytes on until a random number of them has passed, then break the connection off.

    Args:
        port: of the service.
        seed: the same seed, the same faults.
        patience: after so many cuts the connections are left whole.

    Attributes:
        cuts: how many connections were, or are to be, broken off.
    """

    def __init__(self, port: int, seed: int, patience: int = 8) -> None:
        self._target = port
        self._random = random.Random(seed)
        self._cuts_left = patience
        self.cuts = 0
        self._faulty = True
        self.port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> "FaultProxy":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def behave(self) -> None:
        """Leave connections whole until `misbehave`."""
        self._faulty = False

    def misbehave(self) -> None:
        """Break off every connection that was left whole, and many that come."""
        self._faulty = True
        for task in self._tasks:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        far: asyncio.StreamWriter | None = None
        try:
            back, far = await asyncio.open_connection("127.0.0.1", self._target)
            allowance = self._allowance()
            up = asyncio.ensure_future(self._pass(reader, far, None))
            down = asyncio.ensure_future(self._pass(back, writer, allowance))
            try:
                await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                up.cancel()
                down.cancel()
                await asyncio.gather(up, down, return_exceptions=True)
        except ConnectionError:
            pass
        finally:
            self._tasks.discard(task)
            for end in (writer, far):
                if end is not None:
                    end.transport.abort()

    def _allowance(self) -> int | None:
        """How many bytes the next connection may carry back; None is without end."""
        if not self._faulty or self._cuts_left <= 0 or self._random.random() < 0.2:
            return None
        self._cuts_left -= 1
        self.cuts += 1
        # Often inside the handshake, often inside a frame.
        return int(self._random.choice([0, 60, 200, 400, 900, 3000, 20_000]) * self._random.random())

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, allowance: int | None) -> None:
        while data := await reader.read(self._random.choice([1, 7, 100, 4096])):
            if self._random.random() < 0.05:
                await asyncio.sleep(0.001)  # a delay is one of the faults
            if allowance is not None and len(data) >= allowance:
                writer.write(data[:allowance])
                return
            if allowance is not None:
                allowance -= len(data)
            writer.write(data)
            await writer.drain()
