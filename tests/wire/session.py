"""Play a session out of docs/wire.md against the service: every line of it is sent, or has to come.

A session is a block fenced with ``session``. Its lines, by their first character:

    ^  the request that the stream was started with, where that is not part of the session
    ~  a line of the upstream's answer; or `~ cut`, `~ end of body`, `~ 503`, `~ 503 {"a": "body"}`,
       `~ 200 "a body of\\nlines"`
    >  the client sends; <  the service sends
    *  something else happens: `* SIGTERM`
    #  a remark

A letter before ``>`` and ``<`` tells connections apart. What varies is compared by its shape: ids of
streams, times, the pause that a service going down asks for. Of an HTTP answer only the headers that
are shown are compared; of JSON everything.
"""

import asyncio
import re
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from service.app import drain
from tests.fakes.service import Service, Serving
from tests.fakes.upstream import Cut, Gate, Play, Step
from tests.fakes.waiting import until
from tests.fakes.wire import PATIENCE_S, Over, SocketReader, Wire

ID = re.compile(r"st_[A-Za-z0-9_-]{24}")
_LINE = re.compile(r"([a-z]?)([\^~<>*#])(?: (.*))?")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_REQUEST = re.compile(r"(WEBSOCKET|GET|HEAD|POST|PUT|DELETE|OPTIONS) (/\S*)(?: HTTP/(\d\.\d))?")
_STATUS = re.compile(r"(\d{3})(?: .*)?")
_CLOSE = re.compile(r"\(close (\d{4})(?: (.*))?\)")
NODE = "vm1-4242-9f3c1a"
ASKED = {"prompt": "What happens?", "video_id": "v1"}


@dataclass(frozen=True)
class Line:
    """One line of a session: whose it is, of what kind, and what it says."""

    who: str
    kind: str
    says: str


def lines_of(session: str) -> list[Line]:
    """Read a session; a line that is of no kind is a mistake in the page."""
    found = []
    for number, text in enumerate(session.splitlines(), 1):
        if not text.strip():
            continue
        match = _LINE.fullmatch(text)
        assert match is not None, f"line {number} is of no kind: {text!r}"
        found.append(Line(match[1], match[2], match[3] or ""))
    return found


@dataclass
class _Upstream:
    """The upstream's lines as plays, held back group by group."""

    plays: list[Play] = field(default_factory=list)
    gates: list[Gate] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)  # events in each group

    @classmethod
    def of(cls, lines: list[Line]) -> "_Upstream":
        upstream = cls()
        steps: list[Step] = []
        before = ""
        for line in lines:
            if line.kind == "~":
                if before != "~" or not steps:
                    gate = Gate()
                    upstream.gates.append(gate)
                    upstream.counts.append(0)
                    steps.append(gate)
                steps = upstream._add(steps, line.says, first=before != "~")
            before = line.kind
        # What is left open stays so.
        upstream.plays.append(Play([*steps, Gate()]))
        return upstream

    def _add(self, steps: list[Step], says: str, *, first: bool) -> list[Step]:
        if (status := re.fullmatch(r"(\d{3})(?: (.*))?", says)) is not None:
            said = status[2] or ""
            body = (orjson.loads(said) if said.startswith('"') else said).encode()
            headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
            # Its body is held back like any line: without it nobody is told.
            self.plays.append(Play([*steps, body], int(status[1]), headers))
            if not first:  # statuses in a row are one group, and come by themselves
                steps[-1].open()  # type: ignore[union-attr]
            return []
        if says in ("cut", "end of body"):
            self.plays.append(Play([*steps, *([Cut()] if says == "cut" else [])]))
            return []
        self.counts[-1] += 1
        # What stands together comes together.
        piece = says.encode() + b"\n"
        steps = [*steps[:-1], steps[-1] + piece] if isinstance(steps[-1], bytes) else [*steps, piece]
        if '"stream_end"' in says:
            self.plays.append(Play(steps))
            return []
        return steps


class _Connection:
    """One connection of a session and what is left of its last answer."""

    def __init__(self, url: str) -> None:
        self.wire = Wire(url)
        self.socket: SocketReader | None = None
        self.rest = b""
        self.streaming = False
        self.lines = True


class Player:
    """Plays one session."""

    def __init__(self, session: str, **settings: Any) -> None:
        self._lines = lines_of(session)
        self._upstream = _Upstream.of(self._lines)
        self._settings = settings
        self._ids: dict[str, str] = {}  # of the page to those of this run
        self._connections: dict[str, _Connection] = {}  # the latest under each letter
        self._opened: list[_Connection] = []
        self._at = 0
        self._groups = 0
        self._events = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def play(self, serving: Serving) -> None:
        """Play it to its end.

        Raises:
            AssertionError: what came is not what the page shows.
        """
        with tempfile.TemporaryDirectory() as folder:
            kept = {"node": NODE, "store": f"sqlite:{folder}/streams.db"}
            async with serving(*self._upstream.plays, **(kept | self._settings)) as service:
                await self._play(service)

    async def _play(self, service: Service) -> None:
        self._service = service
        try:
            await self._start_unseen()
            while self._at < len(self._lines):
                await self._step(self._lines[self._at])
        finally:
            for connection in self._opened:
                await connection.wire.close()
            for gate in self._upstream.gates:
                gate.open()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _start_unseen(self) -> None:
        """Start the stream that a session takes for granted."""
        asked = [line.says for line in self._lines if line.kind == "^"]
        names = [ID.search(line.says) for line in self._lines if line.kind in "<>"]
        first = next((name[0] for name in names if name), None)
        begins = next((line for line in self._lines if line.kind in ">~^"), None)
        needs = bool(asked) or begins is None or begins.kind == "~" or ID.search(begins.says)
        if needs and first is not None:
            self._ids[first] = await self._service.start(**orjson.loads(asked[0] if asked else b"{}"))

    async def _step(self, line: Line) -> None:
        kinds: dict[str, Callable[[Line], Awaitable[None]]] = {
            "^": self._skip,
            "#": self._skip,
            "~": self._upstream_says,
            ">": self._client_says,
            "<": self._service_says,
            "*": self._happens,
        }
        await kinds[line.kind](line)

    async def _skip(self, _line: Line) -> None:
        self._at += 1

    async def _happens(self, line: Line) -> None:
        assert line.says == "SIGTERM", line
        self._at += 1
        self._tasks.append(asyncio.create_task(drain(self._service.app, 1.0, asyncio.Event())))

    async def _upstream_says(self, _line: Line) -> None:
        while self._at < len(self._lines) and self._lines[self._at].kind == "~":
            self._at += 1
        await self._release()

    async def _release(self) -> None:
        upstream, hub = self._upstream, self._service.hub
        if self._groups >= len(upstream.gates):
            return
        upstream.gates[self._groups].open()
        self._events += upstream.counts[self._groups]
        self._groups += 1

        if self._at < len(self._lines) and self._lines[self._at].kind == "<":
            return  # what comes of it says that it was heard

        def was_heard() -> bool:
            runs = [stream.run for tenant in hub._tenants for stream in hub.list(tenant)]
            return bool(runs) and all(run.ending is not None or run.log.count >= self._events for run in runs)

        await until(was_heard)

    def _group(self, line: Line) -> list[str]:
        """The lines from here on that are of the same kind and connection."""
        says = []
        while self._at < len(self._lines):
            here = self._lines[self._at]
            if (here.who, here.kind) != (line.who, line.kind):
                break
            says.append(here.says)
            self._at += 1
        return says

    def _ours(self, text: str) -> str:
        """A text of the page with the ids of this run."""
        for theirs, ours in self._ids.items():
            text = text.replace(theirs, ours)
        return text

    # -- the client

    async def _client_says(self, line: Line) -> None:
        if line.says == "(drops the connection)":
            self._connections[line.who].wire.drop()
            self._at += 1
            return
        request = _REQUEST.fullmatch(self._ours(line.says))
        if request is None:
            socket = self._connections[line.who].socket
            assert socket is not None, f"nobody listens to {line.says!r}"
            socket.send_frame(0x1, self._ours(line.says).encode())
            self._at += 1
            return
        connection = self._connections[line.who] = _Connection(self._service.url)
        self._opened.append(connection)
        method, target, version = request.groups()
        if method == "WEBSOCKET":
            connection.socket = SocketReader(self._service.url)
            connection.wire = connection.socket.wire
            self._at += 1
            head = await connection.socket.open(target)
            assert head.status == 101, await connection.wire.body()
            return
        says = self._group(line)[1:]
        stop = says.index("") if "" in says else len(says)
        headers = dict(self._ours(header).split(": ", 1) for header in says[:stop])
        body = self._ours("\n".join(says[stop + 1 :])).encode()
        # A caller that waits for the answer hears the upstream meanwhile.
        opened = asyncio.create_task(connection.wire.open(method, target, headers, body, version or "1.1"))
        while not opened.done():
            await asyncio.wait({opened}, timeout=0.05)
            if not opened.done() and self._at < len(self._lines) and self._lines[self._at].kind == "~":
                await self._upstream_says(self._lines[self._at])
        await opened
        connection.streaming = "content-length" not in connection.wire.head.headers

    # -- the service

    async def _service_says(self, line: Line) -> None:
        connection = self._connections[line.who]
        if connection.socket is not None:
            await self._messages(connection.socket, self._group(line))
        elif _STATUS.fullmatch(line.says):
            await self._answer(connection, self._group(line))
        else:
            await self._body(connection, self._group(line))

    async def _messages(self, socket: SocketReader, says: list[str]) -> None:
        for text in says:
            try:
                came: Any = await socket.next()
            except Over as over:
                close = _CLOSE.fullmatch(text)
                assert close is not None, f"the socket is over ({over.how}), the page says {text}"
                assert over.how == (int(close[1]), close[2] or ""), text
                continue
            self._compare(text, orjson.dumps(came).decode())

    async def _answer(self, connection: _Connection, says: list[str]) -> None:
        head = connection.wire.head
        stop = says.index("") if "" in says else len(says)
        assert head.status == int(says[0][:3]), (says[0], head.status)
        for header in says[1:stop]:
            name, _, value = header.partition(": ")
            assert name.lower() in head.headers, f"{name} is not there: {head.headers}"
            self._compare(value, head.headers[name.lower()])
        if not connection.streaming:
            body = (await connection.wire.body()).decode()
            if says[stop + 1 :]:
                self._compare("\n".join(says[stop + 1 :]).strip(), body.strip())
        elif says[stop + 1 :]:
            await self._body(connection, says[stop + 1 :])

    async def _body(self, connection: _Connection, says: list[str]) -> None:
        kind = connection.wire.head.headers.get("content-type", "")
        for text in says:
            if text.startswith("(the body "):
                how = {"(the body ends)": "clean", "(the body is cut)": "cut"}[text]
                await self._over(connection, how)
            elif kind.startswith("text/plain"):
                wanted = text.encode()
                while len(connection.rest) < len(wanted):
                    connection.rest += await connection.wire.piece()
                assert connection.rest.startswith(wanted), (text, connection.rest)
                connection.rest = connection.rest[len(wanted) :]
            else:
                self._compare(text, await self._next_line(connection))

    async def _next_line(self, connection: _Connection) -> str:
        while b"\n" not in connection.rest:
            connection.rest += await connection.wire.piece()
        line, _, connection.rest = connection.rest.partition(b"\n")
        return line.decode()

    async def _over(self, connection: _Connection, how: str) -> None:
        try:
            while True:
                more = await connection.wire.piece()
                assert not more.strip(), f"the body goes on: {more!r}"
        except Over as over:
            assert over.how == how

    # -- comparing

    def _compare(self, page: str, came: str) -> None:
        """Both are the same, but for what varies."""
        for theirs in ID.findall(page):
            if theirs not in self._ids:
                fresh = [found for found in ID.findall(came) if found not in self._ids.values()]
                assert fresh, f"the page names {theirs}, but there is no new stream in {came}"
                self._ids[theirs] = fresh[0]
        assert _shape(self._ours(page)) == _shape(came), f"\npage: {self._ours(page)}\ncame: {came}"


def _shape(text: str) -> Any:
    """A text for comparing: JSON by its value and the order of its members, the rest as it is."""
    head, text = ("data: ", text[6:]) if text.startswith("data: ") else ("", text)
    text = _TIME.sub("TIME", text)
    text = re.sub(r'("retry_after_ms": ?)\d+', r"\g<1>0", text)
    try:
        return head, _ordered(orjson.loads(text))
    except orjson.JSONDecodeError:
        return head, text


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return [(key, _ordered(item)) for key, item in value.items()]
    if isinstance(value, list):
        return [_ordered(item) for item in value]
    return value


__all__ = ["PATIENCE_S", "Line", "Player", "Service", "lines_of"]
