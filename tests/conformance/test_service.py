"""The cases of conformance/, played against the service: over WebSocket, Server-Sent Events and NDJSON."""

import asyncio
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest

from fanlight.client import apply_op
from service.app import drain
from tests.conformance.cases import ASKED, Case, Script, all_cases, fits, text_of
from tests.fakes.service import Service, Serving
from tests.fakes.wire import PATIENCE_S, READERS, MessageReader, Over, SocketReader, Wire

CASES = [case for case in all_cases() if "steps" in case.members]
PLAYS = [(case, kind) for case in CASES for kind in READERS if kind in case.members.get("only", READERS)]


@pytest.mark.parametrize(("case", "kind"), PLAYS, ids=[f"{case.file}-{case.name}-{kind}" for case, kind in PLAYS])
async def test_the_service_keeps_the_contract(serving: Serving, case: Case, kind: str):
    script = case.script()
    async with serving(*script.plays, **case.settings) as service:
        await _Runner(service, script, kind).play(case.members["steps"])


class _Reader:
    """One reader of a case, and the tree that its patches have built."""

    def __init__(self, reader: MessageReader) -> None:
        self.reader = reader
        self.status = 0
        self.tree: Any = None
        self.left: dict[str, Any] | None = None  # read already

    async def next(self) -> dict[str, Any]:
        message = self.left or await self.reader.next()
        self.left = None
        if message.get("view") == "patch" and "state" in message:
            self.tree = message["state"]
        for op in message.get("ops", ()):
            self.tree = apply_op(self.tree, op)
        return message


class _Runner:
    """Plays the steps of one case."""

    def __init__(self, service: Service, script: Script, kind: str) -> None:
        self._service = service
        self._script = script
        self._kind = kind
        self._stream = "st_none"
        self._readers: dict[str, _Reader] = {}
        self._opened: list[MessageReader] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def play(self, steps: list[dict[str, Any]]) -> None:
        try:
            for step in steps:
                ((words, value),) = step.items()
                await self._step(words, value)
        finally:
            for gate in self._script.gates.values():
                gate.open()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for reader in self._opened:
                await reader.close()

    async def _step(self, words: str, value: Any) -> None:
        match words.split(" ", 1):
            case ["start"]:
                self._stream = await self._service.start(**{**ASKED, **value})
            case ["call"]:
                await self._call(**value)
            case ["upstream", "goes on"]:
                self._script.gates[value].open()
            case ["text", "grows to"]:
                await self._until(lambda shown: shown["offset"] >= value)
            case ["stream", "ends"]:
                await self._until(lambda shown: shown["ended_at"] is not None)
                assert (await self._service.show(self._stream))["status"] == value
            case ["service", "goes down"]:
                going = drain(self._service.app, value.get("s", 0.5), asyncio.Event())
                self._tasks.append(asyncio.create_task(going))
            case [name, "attaches"]:
                await self._attach(name, f"/v1/streams/{value.get('stream', self._stream)}/", value)
            case [name, "listens"]:
                await self._attach(name, f"/v1/channels/{value['channel']}/", value)
            case [name, "opens"]:
                await self._attach(name, "/v1/", value)
            case [name, "drops"]:
                self._readers[name].reader.drop()
            case [name, "sends"]:
                reader = self._readers[name].reader
                assert isinstance(reader, SocketReader)
                for _ in range(value.get("times", 1)):
                    reader.send(self._named(value))
            case [name, "gets"]:
                for pattern in value:
                    await self._gets(self._readers[name], self._named(pattern))
            case [name, "takes each"]:
                await self._takes_each(self._readers[name], value["pause"], value["deltas"])
            case [name, "is closed"]:
                await self._closed(self._readers[name], value)
            case _:
                raise AssertionError(f"no step: {words}")

    def _named(self, value: Any) -> Any:
        """A value with the stream's id."""
        return orjson.loads(orjson.dumps(value).replace(b"<stream>", self._stream.encode()))

    async def _until(self, holds: Any) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not holds(await self._service.show(self._stream, "?wait=0.05")):
                pass

    async def _call(
        self,
        method: str,
        path: str,
        status: int,
        headers: dict[str, str] | None = None,
        body: Any = None,
        gets: Any = "*",
        answers: dict[str, str] | None = None,
    ) -> None:
        wire = Wire(self._service.url)
        payload = b"" if body is None else orjson.dumps(body)
        head = await wire.open(
            method, self._named(path), {"Content-Type": "application/json", **(headers or {})}, payload
        )
        came = orjson.loads(await wire.body())
        await wire.close()
        assert head.status == status, came
        assert fits(gets, came), (gets, came)
        for name, value in (answers or {}).items():
            assert head.headers[name.lower()] == value

    async def _attach(self, name: str, place: str, asked: dict[str, Any]) -> None:
        reader = READERS[self._kind](self._service.url)
        self._opened.append(reader)
        query = {key: asked[key] for key in ("view", "cursor", "presence") if key in asked}
        headers = {}
        if self._kind == "events" and "cursor" in query:
            headers["Last-Event-ID"] = query.pop("cursor")
        entry = self._readers[name] = _Reader(reader)
        head = await reader.open(f"{place}{self._kind}?{urlencode(query)}", headers)
        entry.status = head.status
        if self._kind == "ws":
            assert head.status == 101

    async def _gets(self, reader: _Reader, pattern: dict[str, Any]) -> None:
        if "deltas" in pattern:
            await self._deltas(reader, pattern)
        elif "patched" in pattern:
            while reader.tree != pattern["patched"]:
                message = await reader.next()
                assert message["type"] == "patch", message
        else:
            message = await reader.next()
            assert fits(pattern, message), f"\nwanted: {pattern}\ncame:   {message}"

    async def _deltas(self, reader: _Reader, pattern: dict[str, Any]) -> None:
        """As many messages with text as it takes, each beginning where the one before it ended."""
        wanted = text_of(pattern["deltas"])
        parts: list[str] = []
        size = count = 0
        at = pattern.get("from")
        while size < len(wanted):
            message = await reader.next()
            assert message["type"] in ("attached", "delta"), message
            if not message["text"]:
                continue
            assert at is None or message["from"] == at, (at, message["from"])
            assert message["to"] - message["from"] == len(message["text"].encode())
            at = message["to"]
            parts.append(message["text"])
            size += len(message["text"])
            count += 1
        assert "".join(parts) == wanted
        assert pattern.get("at least", 0) <= count <= pattern.get("at most", count), count

    async def _takes_each(self, reader: _Reader, pause: str, piece: Any) -> None:
        gates = [gate for name, gate in self._script.gates.items() if name.startswith(f"{pause} ")]
        for gate in gates:
            gate.open()
            await self._deltas(reader, {"deltas": piece})

    async def _closed(self, reader: _Reader, code: int) -> None:
        how: Any
        if self._kind != "ws" and reader.status != 200:
            refused = {1008: 400}.get(code, code - 4000)
            assert reader.status == refused
            return
        try:
            message = await reader.next()
        except Over as over:
            how = over.how
        else:
            raise AssertionError(f"not closed, but {message}")
        if self._kind == "ws":
            assert how[0] == code, how
        else:
            assert how == ("clean" if code == 1000 else "cut")
