"""The one connection over which a node is told what others write, and what it is asked."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import quote, unquote

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from service.store.contract import StoreFailed
from service.store.shared import Grew, Look, Present, Reach, Told

log = structlog.get_logger()
PAUSE_S = 0.5  # before a lost connection is made anew
SUBSCRIBE_S = 3.0

HEARD = "fanlight:heard"


class Following:
    """Subscriptions of one node, on a connection that is made anew when it is lost.

    Attributes:
        woken, heard: see `service.store.shared.SharedStore.listen`.
    """

    def __init__(self, redis: "Redis", node: str) -> None:
        self._redis = redis
        self._inbox = f"fanlight:node:{quote(node, safe='')}"
        self.woken: Callable[[], None] = _nothing
        self.heard: Callable[[str, str, str], None] = _nothing
        self._followers: dict[str, list[Callable[[Told], None]]] = {}
        self._pending: dict[str, asyncio.Event] = {}
        self._connection: Any = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to listen; idempotent."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._listen(), name="following")

    async def stop(self) -> None:
        """Listen no more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def doubt(self) -> None:
        """The engine does not answer elsewhere: what is said here may be lost, so begin anew."""
        if self._connection is not None and self._task is not None:
            self._task.cancel()
            self._task = None
            self.start()

    async def follow(self, channel: str, told: Callable[[Told], None]) -> None:
        """Be told of a channel from now on.

        Raises:
            StoreFailed: the engine did not confirm it in time.
        """
        self._followers.setdefault(channel, []).append(told)
        confirmed = self._pending.setdefault(channel, asyncio.Event())
        try:
            await self._say("SSUBSCRIBE", channel)
            async with asyncio.timeout(SUBSCRIBE_S):
                await confirmed.wait()
        except BaseException as exc:
            self._remove(channel, told)
            if isinstance(exc, TimeoutError):
                self.doubt()  # it may be dead without saying so
                raise StoreFailed("no answer to a subscription") from exc
            raise
        finally:
            if self._pending.get(channel) is confirmed:
                del self._pending[channel]

    async def unfollow(self, channel: str, told: Callable[[Told], None]) -> None:
        """Be told no more of a channel; idempotent."""
        if self._remove(channel, told):
            await self._say("SUNSUBSCRIBE", channel)

    def _remove(self, channel: str, told: Callable[[Told], None]) -> bool:
        """Tell one less; whether that was the last one."""
        followers = self._followers.get(channel, [])
        if told not in followers:
            return False
        followers.remove(told)
        if not followers:
            del self._followers[channel]
        return not followers

    async def _say(self, *command: str) -> None:
        """Say something where there is a connection; a new one says all that is wanted by itself."""
        if self._connection is not None:
            with suppress(RedisError, OSError):
                await self._connection.send_command(*command, check_health=False)

    async def _listen(self) -> None:
        while True:
            try:
                await self._listen_once()
            except (RedisError, OSError) as exc:
                log.debug("following_lost", fault=type(exc).__name__)
            except Exception:  # what one telling does is no reason to hear nothing more
                log.exception("following_failed")
            await asyncio.sleep(PAUSE_S)

    async def _listen_once(self) -> None:
        pool = self._redis.connection_pool
        made: Any = pool.connection_class(**pool.connection_kwargs)
        try:
            await made.connect()
            await made.send_command("SUBSCRIBE", self._inbox, HEARD, check_health=False)
            self._connection = made
            for channel in list(self._followers):
                await made.send_command("SSUBSCRIBE", channel, check_health=False)
            self.woken()  # what was asked meanwhile was told to nobody
            while True:
                self._take(await made.read_response())
        finally:
            if self._connection is made:
                self._connection = None
            await made.disconnect(nowait=True)

    def _take(self, message: list[Any]) -> None:
        kind, channel = message[0], message[1].decode()
        if kind == b"smessage":
            said = _told(message[2])
            for told in list(self._followers.get(channel, ())):
                told(said)
        elif kind == b"ssubscribe":
            if (confirmed := self._pending.get(channel)) is not None:
                confirmed.set()
            for told in list(self._followers.get(channel, ())):
                told(Look())  # what was written before is in the record
        elif kind == b"message":
            if channel == self._inbox:
                self.woken()
            else:
                tenant, name, stream = message[2].decode().split(" ")
                self.heard(unquote(tenant), unquote(name), stream)


def _nothing(*_: str) -> None:
    """Nobody asked to be told."""


def _told(data: bytes) -> Told:
    """What a telling says."""
    head, _, rest = data.partition(b"\n")
    words = head.decode().split(" ")
    match words[0]:
        case "G":
            return Grew(Reach(int(words[1]), int(words[2])), rest)
        case "P":
            return Present(words[1], rest)
        case _:
            return Look()
