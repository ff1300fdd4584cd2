"""A worker's place among the processes that share a port: what its parent hands to it."""

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from config.settings import EMBEDDED, Settings
from service.web.siblings import Siblings, socket_in


class WorkerPlace(BaseModel):
    """What a worker is told on its command line; the rest it reads from the settings, as any process.

    Attributes:
        index: which of the workers it is, from 0; a successor has its predecessor's.
        turn: how many had that index before it.
        workers: how many there are.
        host: the parent's address to listen on, and
        port: the port, already picked.
        listeners: descriptors of the listening sockets, inherited.
        engine: the socket of the parent's engine; None where it keeps none.
        directory: where workers have the sockets on which they answer each other.
    """

    model_config = ConfigDict(frozen=True)

    index: int
    turn: int
    workers: int
    host: str
    port: int
    listeners: tuple[int, ...]
    engine: str | None
    directory: Path

    @property
    def name(self) -> str:
        """What it is called among its siblings. While one succeeds the other both are there, so each has its own."""
        return f"{self.index}.{self.turn}" if self.turn else str(self.index)

    @property
    def socket(self) -> Path:
        """Where this worker answers its parent and siblings."""
        return socket_in(self.directory, self.index, self.turn)

    @property
    def siblings(self) -> Siblings:
        """The workers beside this one."""
        return Siblings(self.directory, self.socket, self.workers)

    def settings(self) -> Settings:
        """Read the settings anew; what the parent has settled stays.

        Raises:
            ValueError: they are wrong, or ask for what the parent does not have.
        """
        settings = Settings(host=self.host, port=self.port, workers=self.workers)
        if settings.upstream == EMBEDDED and self.engine is None:
            raise ValueError("the upstream is now the embedded engine: that takes a new start, SIGHUP is not enough")
        return settings

    async def watch_parent(self, gone: Callable[[], None], patience_s: float) -> None:
        """Call ``gone`` when the parent ends, however it ends; after ``patience_s`` more this process ends, too."""

        def ended() -> None:
            gone()
            # Whatever holds it up: nobody is left who would end it.
            asyncio.get_running_loop().call_later(patience_s, os._exit, 1)

        await asyncio.get_running_loop().connect_read_pipe(lambda: _Pipe(ended), sys.stdin)

    def clear(self) -> None:
        """Do what the parent would, had it not died: remove the socket, and behind the last one the directory."""
        self.socket.unlink(missing_ok=True)
        with suppress(OSError):
            self.directory.rmdir()


class _Pipe(asyncio.Protocol):
    """The pipe from the parent, which says nothing but that it closed."""

    def __init__(self, closed: Callable[[], None]) -> None:
        self._closed = closed

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed()
