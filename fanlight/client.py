"""Watch streams from Python: start, subscribe, and resume by itself until the ending.

    async with Client() as client:
        async with client.analysis({"prompt": "What happens?", "video": {...}}) as analysis:
            async for message in analysis:
                match message:
                    case Delta(text=text):
                        print(text, end="")
                    case Reset():
                        print("\\n-- from the beginning --")
                    case Ending(status=status):
                        print(status)

What is yielded is exact: each delta begins where the one before it ended, and the
ending's digest is checked against the text that was yielded. After a lost connection
the client connects again with its cursor, after a jittered pause that grows.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from inspect import isawaitable
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import aiohttp
import orjson
from yarl import URL

from fanlight.errors import ClientError, Inexact, NotReady, Refused, TooLarge, Unreachable
from fanlight.link import EXPIRED, Frames, Link
from fanlight.messages import Delta, Derived, Ending, Reset, Watched
from fanlight.place import Place, need
from fanlight.tree import apply_op
from fanlight.upload import Progress, Source, link_form, opened
from protocol.ndjson import loads

__all__ = [
    "DEFAULT_URL", "Analysis", "Client", "ClientError", "Delta", "Derived", "Ending", "Inexact", "NotReady",
    "Refused", "Reset", "TooLarge", "Unreachable", "Watched", "apply_op",
]  # fmt: skip

Ticket = str | Callable[[], str | Awaitable[str]]
DEFAULT_URL = "http://127.0.0.1:8080"
# An element may be the whole text, 16 MiB, which JSON makes longer.
MAX_MESSAGE_BYTES = 1 << 26
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0
# Whoever watches is told of a connection that is not made by then.
NOTICE_S = 1.5
POLL_S = 0.2
# How long a stream that nobody wants any more may hold up whoever leaves it.
CANCEL_S = 2.0
LONGEST_WAIT_S = 60.0


class Client:
    """A client of one service; an async context manager.

    Args:
        url: the service's address; a path in it is kept.
        api_key: sent as ``x-api-key``.
        ticket: in place of a key; or a function that gives one, which is asked for each connection and call,
            and when one is about to expire.
        attempts: connections tried in a row without progress before giving up.
        silence_s: a connection on which nothing came for that long is dead, and is made anew.
        answer_s: how long a call waits for its answer.
        max_message_bytes: the longest message that is taken.
        sleep: how to wait between connections; seconds.
        lost: told of each connection that broke, could not be made, or is not made after 1.5 s, and how
            many there were in a row.

    Raises:
        ValueError: the address or the key cannot be one.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        ticket: "Ticket | None" = None,
        attempts: int = 20,
        silence_s: float = 35.0,
        answer_s: float = 30.0,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        sleep: Callable[[float], Any] = asyncio.sleep,
        lost: Callable[[int], None] = lambda times: None,
    ) -> None:
        self.url = _address(url)
        self._headers = _key_header(api_key)
        self._ticket = ticket
        self._attempts = attempts
        self._silence_s = silence_s
        self._answer_s = answer_s
        self._max_message_bytes = max_message_bytes
        self._sleep = sleep
        self._lost = lost
        self._entered: Link | None = None

    async def __aenter__(self) -> Self:
        self._entered = await self._new_link().__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._link.__aexit__(kind, exc, trace)

    @property
    def session(self) -> aiohttp.ClientSession:
        """The HTTP client, for calls that have no method here."""
        return self._link.session

    @property
    def _link(self) -> Link:
        if self._entered is None:
            raise RuntimeError("the client is used outside its context")
        return self._entered

    def _new_link(self) -> Link:
        return Link(self.url, self._headers, self._silence_s, self._max_message_bytes, self._ticket_now)

    async def _ticket_now(self) -> str | None:
        given = self._ticket() if callable(self._ticket) else self._ticket
        return await given if isawaitable(given) else given

    # -- calls

    async def call(self, method: str, path: str, *, answer_s: float | None = None, **arguments: Any) -> Any:
        """One JSON call; returns the answer's JSON.

        Args:
            path: under the service's address, with its query.
            answer_s: how long the answer may take; the client's number where None, and on top what the
                path asks the service to wait (``?wait=``).
            arguments: what `aiohttp.ClientSession.request` takes.

        Raises:
            Refused: the service said no.
            Inexact: what it said is no JSON.
            Unreachable: it could not be reached, or did not answer in time.
        """
        seconds = self._answer_s + _asked_wait(path, arguments.get("params")) if answer_s is None else answer_s
        return _answer(*await self._link.ask(method, path, seconds, **arguments))

    async def start(
        self,
        request: Mapping[str, Any],
        options: Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> str:
        """Start a stream, or join one that runs already; returns its id.

        Raises:
            Refused, Inexact, Unreachable: as `call`.
        """
        body = {**request, "fanlight": dict(options)} if options else dict(request)
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        answer = await self.call("POST", "/v1/streams", json=body, headers=headers)
        return str(need(answer, {"id": str})["id"])

    async def cancel(self, stream: str, *, force: bool = False) -> None:
        """Cancel a stream; idempotent.

        Raises:
            Refused, Inexact, Unreachable: as `call`.
        """
        await self.call("DELETE", f"/v1/streams/{_segment(stream)}", params={"force": "true"} if force else {})

    # -- watching

    async def watch(
        self, stream: str, *, view: str = "text", cursor: str | None = None
    ) -> AsyncGenerator[Watched, None]:
        """Yield what a stream tells, in order and without gap, up to its `Ending`.

        Args:
            cursor: where to resume; what lies before it is not yielded, nor checked. Where the service
                does not know it, the first thing yielded is a `Reset`.

        Raises:
            Refused: there is no such stream, or it is not ours.
            Inexact: what came does not join up, is nothing of the contract, or the digest differs.
            TooLarge: a message is longer than ``max_message_bytes``.
            Unreachable: too many attempts in a row made no progress, or the client was left.
        """
        place, losses = Place(view, cursor), _Losses(self._lost)
        path = f"/v1/streams/{_segment(stream)}/ws"
        while True:
            before, why = place.cursor, "its connections close"
            query = {"view": view} if place.cursor is None else {"view": view, "cursor": place.cursor}
            try:
                async with AsyncExitStack() as stack:
                    with losses.noticed():
                        frames = await stack.enter_async_context(Frames(self._link, path, query))
                    place.connect()
                    while (frame := await frames.next()) is not None:
                        for message in place.take(frame):
                            yield message
                        if place.ended:
                            return
                        if place.expiring:
                            place.expiring = False
                            await frames.renew()
            except Unreachable as exc:
                if self._link.closed:
                    raise
                why = str(exc)  # a lost connection loses nothing: the cursor stays
            except Refused as exc:
                if exc.code != EXPIRED or not callable(self._ticket):
                    raise
                why = str(exc)  # the next connection has another ticket
            losses.count(progress=place.cursor != before)
            if losses.in_vain >= self._attempts:
                raise Unreachable(f"{self.url} was tried {losses.in_vain} times in a row: {why}")
            await self._pause(place, losses)

    async def _pause(self, place: Place, losses: "_Losses") -> None:
        pause_s, place.pause_s = place.pause_s, None  # asked for once
        if pause_s is None:
            losses.tell()
            pause_s = random.uniform(0, min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**losses.in_vain))  # noqa: S311
        async with self._link.waiting(None):
            await self._sleep(pause_s)

    @asynccontextmanager
    async def analysis(
        self,
        request: Mapping[str, Any],
        options: Mapping[str, Any] | None = None,
        *,
        view: str = "text",
        cancel: bool = True,
        idempotency_key: str | None = None,
    ) -> AsyncIterator["Analysis"]:
        """Start a stream (as `start` does) and watch it within the context.

        Args:
            cancel: whether leaving before the ending, in any way, cancels the stream. One that others
                started too goes on for them.

        Raises:
            Refused, Inexact, Unreachable: as `start`.
        """
        starting = asyncio.ensure_future(self.start(request, options, idempotency_key=idempotency_key))
        analysis: Analysis | None = None
        try:
            # Shielded: a start whose answer nobody waits for would run, and nobody know its name.
            stream = await asyncio.shield(starting)
            analysis = Analysis(stream, self.watch(stream, view=view))
            yield analysis
        finally:
            try:
                if analysis is not None:
                    await analysis.close()
            finally:
                if cancel and (analysis is None or analysis.ending is None):
                    await self._give_up(starting)
                starting.cancel()

    async def _give_up(self, starting: asyncio.Future[str]) -> None:
        """Cancel what was started, or is being started; in bounded time, whatever becomes of it."""
        try:
            async with asyncio.timeout(CANCEL_S):
                await self.cancel(await starting)
        except (ClientError, TimeoutError):
            pass  # it goes on for others, has ended, or cannot be reached

    # -- videos

    async def upload(
        self,
        source: Source,
        *,
        progress: Progress = lambda sent, size: None,
        stall_s: float = 120.0,
        ready_s: float = 600.0,
    ) -> str:
        """Upload a video; returns the asset's id once it can be analysed.

        Args:
            source: a path, or an open binary file, which is read from where it stands.
            progress: told bytes sent and bytes in all.
            stall_s: how long no byte may move; an upload as a whole may take any time.
            ready_s: how long the upstream may prepare it.

        Raises:
            OSError: the file cannot be read.
            Refused: the upstream said no, or cannot use the file.
            NotReady: it takes longer than ``ready_s``.
            Inexact, Unreachable: as `call`.
        """
        with opened(source) as video:
            # On a link of its own: what was written and is not taken goes with it.
            async with self._link.waiting(None), self._new_link() as link, link.waiting(stall_s) as clock:

                def moved(sent: int, size: int) -> None:
                    if not clock.expired():
                        clock.reschedule(asyncio.get_running_loop().time() + stall_s)
                    progress(sent, size)

                answer = await link.ask("POST", "/v1.3/assets", None, data=video.form(moved))
        return await self._ready(_answer(*answer), ready_s)

    async def fetch(self, url: str, *, ready_s: float = 600.0) -> str:
        """Let the upstream fetch an address; returns the asset's id once it can be analysed.

        Raises:
            Refused, NotReady, Inexact, Unreachable: as `upload`.
        """
        return await self._ready(await self.call("POST", "/v1.3/assets", data=link_form(url)), ready_s)

    async def _ready(self, asset: Any, ready_s: float) -> str:
        name = _asset(asset)["_id"]
        try:
            async with asyncio.timeout(ready_s):
                while asset["status"] == "processing":
                    await asyncio.sleep(POLL_S)
                    asset = _asset(await self.call("GET", f"/v1.3/assets/{_segment(name)}"))
        except TimeoutError:
            raise NotReady(name, ready_s) from None
        if asset["status"] != "ready":
            why = asset.get("error")
            told = why if isinstance(why, dict) else {}
            message = str(told.get("message") or "the upstream cannot use this file")
            raise Refused(400, str(told.get("code") or "asset_failed"), message)
        return str(name)


class Analysis:
    """A stream that was started here: iterate it for its messages.

    Attributes:
        stream: its id.
        ending: once it was told.
    """

    def __init__(self, stream: str, messages: AsyncGenerator[Watched, None]) -> None:
        self.stream = stream
        self.ending: Ending | None = None
        self._messages = messages

    def __repr__(self) -> str:
        return f"<Analysis {self.stream} {self.ending.status if self.ending else 'runs'}>"

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Watched:
        message = await anext(self._messages)
        if isinstance(message, Ending):
            self.ending = message
        return message

    async def close(self) -> None:
        """Watch no longer."""
        await self._messages.aclose()


class _Losses:
    """How often a connection was lost, and what of that was told.

    Attributes:
        in_vain: connections in a row that moved no cursor.
    """

    def __init__(self, lost: Callable[[int], None]) -> None:
        self._lost = lost
        self._told = 0
        self.in_vain = 0

    def count(self, *, progress: bool) -> None:
        """A connection is over."""
        self.in_vain = 0 if progress else self.in_vain + 1

    def tell(self) -> None:
        """Tell of the last one, unless it was told already."""
        self._tell(max(1, self.in_vain))

    @contextmanager
    def noticed(self) -> Iterator[None]:
        """A connection is being made within; tell of one that takes long."""
        notice = asyncio.get_running_loop().call_later(NOTICE_S, self._tell, self.in_vain + 1)
        try:
            yield
        finally:
            notice.cancel()
        self._told = 0

    def _tell(self, times: int) -> None:
        if times > self._told:
            self._told = times
            self._lost(times)


def _address(url: str) -> str:
    """The service's address without a slash at its end.

    Raises:
        ValueError: it is none.
    """
    fault = f"{url!r} is no address of a service: http:// or https://, a host, and perhaps a path"
    try:
        parts = URL(url)
        (parts.raw_host or "").encode("idna")  # as the resolver will
        good = parts.scheme in ("http", "https") and parts.host and url.isprintable() and " " not in url
    except ValueError:
        raise ValueError(fault) from None
    if not good or "?" in url or "#" in url:
        raise ValueError(fault)
    return url.rstrip("/")


def _key_header(api_key: str | None) -> dict[str, str]:
    if not api_key:
        return {}
    if not (api_key.isascii() and api_key.isprintable()):
        raise ValueError("an API key is printable ASCII")
    return {"x-api-key": api_key}


def _segment(name: str) -> str:
    """A name as one part of a path, whatever it holds."""
    return quote(name, safe="", errors="replace")


def _asked_wait(path: str, params: Any) -> float:
    """The seconds for which the service is asked to hold its answer back."""
    asked = URL(path).query.get("wait") or (params.get("wait") if isinstance(params, Mapping) else None)
    try:
        return min(max(float(asked or 0), 0.0), LONGEST_WAIT_S)
    except (ValueError, TypeError):
        return 0.0


def _answer(status: int, body: bytes) -> Any:
    """An answer's JSON; a page of a proxy is none, and where the call was refused nobody needs it."""
    try:
        value = loads(body) if body else None
    except orjson.JSONDecodeError as exc:
        if status < 400:
            raise Inexact("the answer is no JSON: something else answers at this address") from exc
        value = None
    if status >= 400:
        fault = value if isinstance(value, dict) else {}
        raise Refused(status, str(fault.get("code", status)), str(fault.get("message", "")))
    return value


def _asset(answer: Any) -> dict[str, Any]:
    return need(answer, {"_id": str, "status": str})  # type: ignore[no-any-return]
