"""Watch streams from Python: start, subscribe, and resume by itself until the ending.

    async with Client() as client:
        stream = await client.start({"prompt": "What happens?", "video": {...}})
        async for message in client.watch(stream):
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
import hashlib
import random
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson

from protocol.wire.cursors import parse_cursor

DEFAULT_URL = "http://127.0.0.1:8080"
# An element may be the whole text, 16 MiB, which JSON makes longer.
MAX_MESSAGE_BYTES = 1 << 26
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0
# After a close with one of these codes, asking again does not help.
FINAL_CLOSES = frozenset({1008, 4401, 4403, 4404})
# So it is where a handshake is refused over HTTP; any other refusal may be a proxy's, and pass.
FINAL_STATUSES = {400: "invalid_request", 401: "unauthenticated", 403: "forbidden", 404: "not_found"}


class ClientError(Exception):
    """The service refused, or broke its own contract."""


class Refused(ClientError):
    """The service refused a call; ``code`` is its word for why."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.status = status
        self.code = code


class Inexact(ClientError):
    """What came does not join up with what came before; never silently skipped."""


class Unreachable(ClientError):
    """The service could not be reached in too many attempts in a row."""


@dataclass(frozen=True, slots=True)
class Delta:
    """More text: append it."""

    text: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Reset:
    """Drop everything shown: the text restarts."""

    gen: int
    reason: str


@dataclass(frozen=True, slots=True)
class Derived:
    """A message of another view (``event``, ``element``, ``patch``, ``caption``, ``violation``) as it came.

    For what stood there on attaching, ``kind`` is ``state``. In view ``patch``, ``tree`` is the whole
    document after it, changed in place from one message to the next.
    """

    kind: str
    members: Mapping[str, Any]
    tree: Any = None


@dataclass(frozen=True, slots=True)
class Ending:
    """The ending: the stream is over, and nothing more is yielded."""

    status: str
    members: Mapping[str, Any]

    @property
    def error(self) -> Mapping[str, Any] | None:
        """``code``, ``message`` and ``retryable``, or None when all went well."""
        return self.members["error"]  # type: ignore[no-any-return]

    @property
    def validation(self) -> Mapping[str, Any] | None:
        """The verdict, None without a schema."""
        return self.members["validation"]  # type: ignore[no-any-return]


Watched = Delta | Reset | Derived | Ending


@dataclass(slots=True)
class _Place:
    """How far a reader has come.

    Attributes:
        shown: whether the user holds something that a snapshot would replace.
        whole: whether the text was yielded from its beginning, so that its digest can be checked.
    """

    view: str
    cursor: str | None = None
    gen: int = 0
    at: int = 0
    shown: bool = False
    whole: bool = True
    digest: Any = field(default_factory=hashlib.sha256)
    tree: Any = None

    @classmethod
    def of(cls, view: str, cursor: str | None) -> Self:
        """The place of a user with a cursor, who holds what lies before it."""
        place = cls(view, cursor, shown=cursor is not None, whole=cursor is None)
        if (parsed := parse_cursor(cursor)) is not None:
            place.gen, place.at = parsed.gen, parsed.position
        return place

    def restart(self, gen: int) -> None:
        self.gen, self.at, self.shown, self.whole = gen, 0, False, True
        self.digest, self.tree = hashlib.sha256(), None


class Client:
    """A client of one service; an async context manager.

    Args:
        url: the service's address.
        api_key: sent as ``x-api-key``.
        attempts: connections tried in a row without progress before giving up.
        sleep: how to wait between them; seconds.
        lost: told of each connection that could not be made or broke, and how many there were in a row.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        attempts: int = 20,
        sleep: Callable[[float], Any] = asyncio.sleep,
        lost: Callable[[int], None] | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._headers = {"x-api-key": api_key} if api_key else {}
        self._attempts = attempts
        self._sleep = sleep
        self._lost = lost
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        # A stream may last for any time; a connection must be made in time.
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.session.close()

    @property
    def session(self) -> aiohttp.ClientSession:
        """The HTTP client, for calls that have no method here."""
        assert self._session is not None, "the client is used outside its context"
        return self._session

    async def call(self, method: str, path: str, **arguments: Any) -> Any:
        """One JSON call; returns the answer's JSON.

        Raises:
            Refused: the service said no.
            Inexact: what it said is no JSON.
            aiohttp.ClientError: it could not be reached.
        """
        async with self.session.request(method, self.url + path, **arguments) as response:
            value = _json(await response.read(), ok=response.status < 400)
            if response.status >= 400:
                fault = value if isinstance(value, dict) else {}
                raise Refused(response.status, str(fault.get("code", response.status)), str(fault.get("message", "")))
            return value

    async def start(
        self,
        request: Mapping[str, Any],
        options: Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> str:
        """Start a stream, or join one that runs already; returns its id.

        Raises:
            Refused: the service said no.
        """
        body = {**request, "fanlight": dict(options)} if options else dict(request)
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        return str((await self.call("POST", "/v1/streams", json=body, headers=headers))["id"])

    async def cancel(self, stream: str, *, force: bool = False) -> None:
        """Cancel a stream; idempotent."""
        await self.call("DELETE", f"/v1/streams/{stream}", params={"force": "true"} if force else {})

    async def watch(self, stream: str, *, view: str = "text", cursor: str | None = None) -> AsyncIterator[Watched]:
        """Yield what a stream tells, in order and without gap, up to its `Ending`.

        Args:
            cursor: where to resume; what lies before it is not yielded, nor checked. Where the service
                does not know it, the first thing yielded is a `Reset`.

        Raises:
            Refused: there is no such stream, or it is not ours.
            Inexact: what came does not join up, or the digest differs.
            Unreachable: too many attempts in a row made no progress.
        """
        place = _Place.of(view, cursor)
        failures = 0
        while True:
            before = place.cursor
            pause = None
            try:
                async for message in self._attach(stream, place):
                    if isinstance(message, float):
                        pause = message
                        continue
                    yield message
                    if isinstance(message, Ending):
                        if place.whole and view == "text":
                            _check_digest(place, message)
                        return
            except aiohttp.WSServerHandshakeError as exc:
                if (code := FINAL_STATUSES.get(exc.status)) is not None:
                    raise Refused(exc.status, code, "") from exc
            except (aiohttp.ClientError, OSError, TimeoutError):
                pass  # a lost connection loses nothing: the cursor stays
            failures = 0 if place.cursor != before else failures + 1
            if failures >= self._attempts:
                raise Unreachable(f"{self.url} could not be reached {failures} times in a row")
            if self._lost is not None and pause is None:
                self._lost(max(1, failures))
            if pause is None:
                pause = random.uniform(0, min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**failures))  # noqa: S311
            await self._sleep(pause)

    async def _attach(self, stream: str, place: _Place) -> AsyncIterator[Watched | float]:
        """Yield what one connection brings; a number is a pause that the service asks for."""
        params = {"view": place.view}
        if place.cursor is not None:
            params["cursor"] = place.cursor
        url = f"{self.url}/v1/streams/{stream}/ws"
        async with self.session.ws_connect(url, params=params, max_msg_size=MAX_MESSAGE_BYTES, heartbeat=30) as socket:
            async for frame in socket:
                if frame.type is not aiohttp.WSMsgType.TEXT:
                    break
                for told in _understood(frame.data, place):
                    yield told
        if socket.close_code in FINAL_CLOSES:
            raise Refused(socket.close_code or 0, _close_reason(socket.close_code), "")


def _json(body: bytes, *, ok: bool) -> Any:
    """An answer's JSON; a page of a proxy is none, and where the call was refused nobody needs it."""
    try:
        return orjson.loads(body) if body else None
    except orjson.JSONDecodeError as exc:
        if ok:
            raise Inexact("the answer is no JSON: something else answers at this address") from exc
        return None


def _understood(data: str, place: _Place) -> list[Watched | float]:
    """What a frame means.

    Raises:
        Inexact: it is no message of the contract.
    """
    try:
        return _told(orjson.loads(data), place)
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as exc:
        raise Inexact("what came is no message of this service") from exc


def _close_reason(code: int | None) -> str:
    return {4401: "unauthenticated", 4403: "forbidden", 4404: "not_found"}.get(code or 0, "invalid_request")


def _told(message: Mapping[str, Any], place: _Place) -> list[Watched | float]:
    """What one message means to the reader; moves its place."""
    match message["type"]:
        case "attached":
            return _attached(message, place)
        case "delta":
            return [_delta(message, place)]
        case "reset":
            place.restart(message["gen"])
            place.cursor = f"{place.gen}.0{'r' if place.view == 'raw' else ''}"
            return [Reset(message["gen"], message["reason"])]
        case "end":
            return [Ending(message["status"], message)]
        case "draining":
            return [message["retry_after_ms"] / 1000]
        case "event":
            place.cursor, place.shown = f"{place.gen}.{message['n'] + 1}r", True
            return [Derived("event", message)]
        case "element" | "caption" as kind:
            if message["at"] > place.at:
                # Messages of one place belong together, and only a later place shows that all have come.
                place.cursor = f"{place.gen}.{place.at}"
            place.at, place.shown = message["at"], True
            return [Derived(kind, message)]
        case "patch":
            place.at, place.cursor, place.shown = message["at"], f"{place.gen}.{message['at']}", True
            for op in message["ops"]:
                place.tree = apply_op(place.tree, op)
            return [Derived("patch", message, place.tree)]
        case "violation" | "presence":
            return [Derived(message["type"], message)]
        case _:
            return []  # clients ignore what they do not know


def _attached(message: Mapping[str, Any], place: _Place) -> list[Watched | float]:
    told: list[Watched | float] = []
    if message["mode"] == "snapshot":
        if place.shown:
            told.append(Reset(message["gen"], "snapshot"))
        place.restart(message["gen"])
    elif place.gen and place.view == "text" and (message["gen"], message["from"]) != (place.gen, place.at):
        raise Inexact(f"resumed at {message['gen']}.{message['from']}, not at {place.gen}.{place.at}")
    place.gen, place.at = message["gen"], message["from"]
    if place.view == "text":
        if message["text"]:
            told.append(_delta(message, place))
        place.cursor = f"{place.gen}.{place.at}"
    elif place.view == "raw":
        place.cursor = f"{place.gen}.{message['to']}r"
    else:
        place.at, place.cursor = message["to"], f"{place.gen}.{message['to']}"
    if "state" in message:
        place.tree = message["state"] if place.view == "patch" else None
        told.append(Derived("state", message, place.tree))
        place.shown = True
    return told


def apply_op(tree: Any, op: Mapping[str, Any]) -> Any:
    """Apply one operation of view ``patch`` to a tree, in place; returns the tree."""
    if op["path"] == "":
        return tree + op["value"] if op["op"] == "append" else op["value"]
    *way, last = [part.replace("~1", "/").replace("~0", "~") for part in op["path"][1:].split("/")]
    holder = tree
    for part in way:
        holder = holder[int(part) if isinstance(holder, list) else part]
    key: Any = int(last) if isinstance(holder, list) else last
    if isinstance(holder, list) and key == len(holder):
        holder.append(None)
    if op["op"] == "append":
        # With no other name for it CPython lets a string grow in place; a copy for each piece of a
        # long one would be quadratic.
        text, holder[key] = holder[key], None
        text += op["value"]
        holder[key] = text
    else:
        holder[key] = op["value"]
    return tree


def _delta(message: Mapping[str, Any], place: _Place) -> Delta:
    if message["from"] != place.at:
        raise Inexact(f"a delta begins at {message['from']}, the text ends at {place.at}")
    text = message["text"].encode()
    if place.at + len(text) != message["to"]:
        raise Inexact(f"a delta of {len(text)} bytes from {message['from']} cannot end at {message['to']}")
    place.digest.update(text)
    place.at, place.shown = message["to"], True
    place.cursor = f"{place.gen}.{place.at}"
    return Delta(message["text"], message["from"], message["to"])


def _check_digest(place: _Place, ending: Ending) -> None:
    if (place.at, place.digest.hexdigest()) != (ending.members["to"], ending.members["sha256"]):
        raise Inexact("the text that came is not the text of the ending")
