"""Scripted upstreams: public fakes that play bytes, pauses and cuts.

`ScriptedUpstream` implements the contract of `service.upstream.contract` in memory;
`ScriptedServer` is a real HTTP server on loopback whose every byte is the script's.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson

from service.upstream.contract import Answer, Broken, ignored


def start(generation_id: str = "g1") -> bytes:
    """A ``stream_start`` line."""
    return orjson.dumps({"event_type": "stream_start", "metadata": {"generation_id": generation_id}}) + b"\n"


def text(value: str) -> bytes:
    """A ``text_generation`` line."""
    return orjson.dumps({"event_type": "text_generation", "text": value}) + b"\n"


def end(reason: str = "stop", tokens: int = 3, generation_id: str = "g1") -> bytes:
    """A ``stream_end`` line."""
    metadata = {"generation_id": generation_id, "usage": {"output_tokens": tokens}}
    return orjson.dumps({"event_type": "stream_end", "finish_reason": reason, "metadata": metadata}) + b"\n"


class Cut:
    """The transfer breaks here."""


class Hang:
    """Nothing more comes, and the connection stays."""


@dataclass
class Gate:
    """A pause of the script that lasts until the test opens it."""

    opened: asyncio.Event = field(default_factory=asyncio.Event)
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    def open(self) -> None:
        self.opened.set()


Step = bytes | Cut | Hang | Gate | BaseException


@dataclass
class Play:
    """One answer: status, headers and what its body does, step by step."""

    steps: Sequence[Step]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


async def _wait(step: Gate | Hang) -> None:
    if isinstance(step, Gate):
        step.reached.set()
        await step.opened.wait()
    else:
        await asyncio.Event().wait()


class _Answer:
    def __init__(self, play: Play) -> None:
        self.status = play.status
        self.headers = play.headers
        self._steps = list(play.steps)
        self._take: Callable[[bytes], bool] | None = None
        self._failed: Exception | None = None

    @property
    def is_over(self) -> bool:
        return not self._steps

    def take(self, take: Callable[[bytes], bool]) -> None:
        self._take = take
        self._play()

    def _play(self) -> None:
        """What comes without waiting."""
        while self._take is not None and self._steps and isinstance(self._steps[0], bytes):
            try:
                has_enough = self._take(self._steps.pop(0))
            except Exception as exc:
                self._failed, has_enough = exc, True
            if has_enough:
                self._take = None

    async def taken(self) -> None:
        while self._take is not None and self._steps:
            step = self._steps[0]
            if isinstance(step, Cut):
                raise Broken("cut")
            if isinstance(step, BaseException):
                raise step
            await _wait(step)
            del self._steps[0]
            self._play()
        if self._failed is not None:
            raise self._failed

    async def deliver(self, take: Callable[[bytes], bool]) -> None:
        self.take(take)
        await self.taken()


class ScriptedUpstream:
    """Plays one `Play` per call, the last one again and again.

    Attributes:
        calls: bodies received.
        open: calls that are open now.
    """

    def __init__(self, *plays: Play | BaseException) -> None:
        self._plays = list(plays)
        self.calls: list[bytes] = []
        self.open = 0
        self.closed = asyncio.Event()

    @asynccontextmanager
    async def analyze(
        self,
        body: bytes,
        headers: Mapping[str, str],
        connected: Callable[[], None],
        begun: Callable[[Answer], None] = ignored,
    ) -> AsyncIterator[_Answer]:
        self.calls.append(body)
        play = self._plays.pop(0) if len(self._plays) > 1 else self._plays[0]
        if isinstance(play, BaseException):
            raise play
        connected()
        self.open += 1
        try:
            answer = _Answer(play)
            begun(answer)
            yield answer
        finally:
            self.open -= 1
            self.closed.set()


@dataclass
class Seen:
    """One request as the server saw it."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes


Handler = Callable[["ScriptedServer", Seen, asyncio.StreamWriter], Awaitable[None]]


class ScriptedServer:
    """An HTTP/1.1 server on loopback that answers from a script, raw.

    The steps of `Play` are body bytes, sent as chunks unless the headers say
    otherwise; with ``raw`` they are everything, head included.

    Attributes:
        seen: the requests so far.
        scripts: answers by the prompt that asks for them, in place of the plays.
        paths: answers by the path that is asked, in place of both.
        open: answers being played now; ``idle`` is set when there is none.
    """

    def __init__(self, *plays: Play, raw: bool = False) -> None:
        self._plays = list(plays)
        self._raw = raw
        self.scripts: dict[str, Play] = {}
        self.paths: dict[str, Play] = {}
        self.seen: list[Seen] = []
        self.open = 0
        self.idle = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1.3"

    async def __aenter__(self) -> "ScriptedServer":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=1 << 26)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        line, *rest = head.decode("latin-1").split("\r\n")[:-2]
        headers = [(name, value.strip()) for name, _, value in (item.partition(":") for item in rest)]
        named = {name.lower(): value for name, value in headers}
        if named.get("expect") == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if named.get("transfer-encoding") == "chunked":
            body = await _read_chunks(reader)
        else:
            body = await reader.readexactly(int(named.get("content-length", 0)))
        self.seen.append(Seen(line, headers, body))
        play = self._next_play()
        self.open += 1
        self.idle.clear()
        watch = asyncio.ensure_future(self._gone(reader))
        played = asyncio.ensure_future(self._play(play, writer))
        try:
            await asyncio.wait({watch, played}, return_when=asyncio.FIRST_COMPLETED)
            if not played.done():
                return False
            return played.result()
        finally:
            self.open -= 1
            if not self.open:
                self.idle.set()
            for task in (watch, played):
                task.cancel()
            await asyncio.gather(watch, played, return_exceptions=True)

    def _next_play(self) -> Play:
        if self.paths:
            return self.paths[self.seen[-1].line.split()[1]]
        if self.scripts:
            return self.scripts[orjson.loads(self.seen.pop().body)["prompt"]]
        return self._plays.pop(0) if len(self._plays) > 1 else self._plays[0]

    async def _gone(self, reader: asyncio.StreamReader) -> None:
        """Return when the client has closed; its next request would come only after our answer."""
        while not reader.at_eof():
            # Peeked at, not taken: the buffer is the next request's.
            await reader._wait_for_data("gone")  # type: ignore[attr-defined]

    async def _play(self, play: Play, writer: asyncio.StreamWriter) -> bool:
        chunked = not self._raw and not any(name.lower() == "content-length" for name in play.headers)
        if not self._raw:
            head = [f"HTTP/1.1 {play.status} Scripted", *(f"{k}: {v}" for k, v in play.headers.items())]
            if chunked:
                head.append("Transfer-Encoding: chunked")
            writer.write(("\r\n".join(head) + "\r\n\r\n").encode())
        for step in play.steps:
            if isinstance(step, bytes):
                writer.write(b"%x\r\n%b\r\n" % (len(step), step) if chunked and step else step)
                await writer.drain()
            elif isinstance(step, Cut):
                writer.close()
                return False
            elif isinstance(step, Gate | Hang):
                await _wait(step)
        if chunked:
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        return not self._raw


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return body
