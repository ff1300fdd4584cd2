"""A service whose every message is the case's: for clients, which must be exact or loud whatever they are told."""

import asyncio
import hashlib
from contextlib import suppress
from typing import Any

import orjson
from aiohttp import WSMsgType, web

from protocol.errors import ANSWERS
from protocol.wire.cursors import parse_cursor
from service.web.pages import STATIC
from tests.conformance.cases import expanded

STREAM = "st_conformance0123456789ab"
CODES = {form.close: (form.status, code) for code, form in reversed(ANSWERS.items())}


class ScriptedService:
    """Plays the connections of a case, one after the other, over whichever transport the client asks for.

    Args:
        connections: as they stand in the case.
        pieces: bytes of a body that are sent at a time; 0 for whole messages.

    Attributes:
        faults: what the client did that the case does not say.
    """

    def __init__(self, connections: list[dict[str, Any]], pieces: int = 0) -> None:
        self._foreign: web.Response | None = None  # what something else has answered
        self._connections = list(connections)
        self._pieces = pieces
        self.faults: list[str] = []
        self._closed_at = 0.0
        self._refused = 0  # the close code that a reader was last refused with
        self.url = ""

    async def __aenter__(self) -> "ScriptedService":
        app = web.Application()
        app.router.add_get("/static/{name}", self._static)
        app.router.add_get(f"/v1/streams/{STREAM}", self._resource)
        app.router.add_get(f"/v1/streams/{STREAM}/{{kind:ws|events|ndjson}}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._runner.cleanup()

    @property
    def left(self) -> int:
        """Connections that nobody has asked for."""
        return len(self._connections)

    async def _static(self, request: web.Request) -> web.StreamResponse:
        return web.FileResponse(STATIC[request.match_info["name"]])

    async def _resource(self, request: web.Request) -> web.StreamResponse:
        if self._foreign is not None:
            foreign, self._foreign = self._foreign, None
            return web.Response(status=foreign.status, body=foreign.body, content_type=foreign.content_type)
        if not self._refused:
            return web.json_response({"id": STREAM})
        status, word = CODES[self._refused]
        return web.json_response({"code": word, "message": word, "retryable": False}, status=status)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        loop = asyncio.get_running_loop()
        if not self._connections:
            self.faults.append("asked once more")
            return await self._refuse(request, 4404)
        connection = self._connections.pop(0)
        cursor = request.headers.get("Last-Event-ID") or request.query.get("cursor")
        wanted = connection["cursor"]
        if cursor not in (wanted if isinstance(wanted, list) else [wanted]):
            self.faults.append(f"asked with the cursor {cursor}, not with {wanted}")
        waited_ms = (loop.time() - self._closed_at) * 1000
        if waited_ms < connection.get("not before ms", 0) * 0.95:  # clocks differ a little
            self.faults.append(f"back after {waited_ms:.0f} ms already")
        place = parse_cursor(cursor)
        messages = [_whole(message, place.position if place else 0) for message in connection.get("says", [])]
        last = connection.get("then") or ("close 1000" if _ends(messages) else "nothing")
        code = int(last.split()[1]) if last.startswith("close") else 0
        try:
            if last == "never answered":
                await _until_gone(request)
                return web.Response()
            if "answers" in connection:
                return await self._answer(connection["answers"])
            if not messages and code in CODES:
                return await self._refuse(request, code)
            if request.match_info["kind"] == "ws":
                return await self._socket(request, messages, last, code)
            return await self._body(request, messages, last, code)
        finally:
            self._closed_at = loop.time()

    async def _refuse(self, request: web.Request, code: int) -> web.StreamResponse:
        self._refused, word = code, CODES[code][1]
        if request.match_info["kind"] != "ws":
            return await self._resource(request)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.close(code=code, message=word.encode())
        return socket

    async def _answer(self, answer: dict[str, Any]) -> web.Response:
        """What something else answers at this address, whatever was asked for."""
        kind, body = answer.get("type", "text/html"), answer.get("body", "")
        self._foreign = web.Response(status=answer["status"], body=body.encode(), content_type=kind)
        return self._foreign

    async def _socket(self, request: web.Request, messages: list[Any], last: str, code: int) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for message in messages:
            match message:
                case None:
                    await socket.ping()
                case {"binary": data}:
                    await socket.send_bytes(bytes.fromhex(data))
                case {"quiet ms": milliseconds}:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(milliseconds / 1000):
                            await self._answer_pings(socket)
                case _:
                    await socket.send_str(_line(message).decode())
        if code:
            await socket.close(code=code, message=CODES[code][1].encode() if code in CODES else b"")
        elif last == "cut":
            await _cut(request)
        elif last == "dead":
            await _until_gone(request)
        else:
            await self._answer_pings(socket)
        return socket

    async def _answer_pings(self, socket: web.WebSocketResponse) -> None:
        """Until the client has left; those of the protocol are answered below."""
        async for message in socket:
            if message.type is WSMsgType.TEXT and orjson.loads(message.data) == {"type": "ping"}:
                await socket.send_str('{"type":"pong"}')

    async def _body(self, request: web.Request, messages: list[Any], last: str, code: int) -> web.StreamResponse:
        events = request.match_info["kind"] == "events"
        response = web.StreamResponse()
        response.content_type = "text/event-stream" if events else "application/x-ndjson"
        response.headers["Keep-Alive"] = "timeout=0"
        response.enable_chunked_encoding()
        await response.prepare(request)
        gen = 0
        for n, message in enumerate(messages):
            if message and "quiet ms" in message:
                for _ in range(message["quiet ms"] // 50):
                    await asyncio.sleep(0.05)
                    await response.write(b":\n\n" if events else b"\n")
                continue
            gen = message.get("gen", gen) if message else gen
            following = messages[n + 1] if n + 1 < len(messages) else None
            data = _event(message, gen, following) if events else _line(message)
            step = self._pieces or len(data)
            for start in range(0, len(data), step):
                await response.write(data[start : start + step])
                await asyncio.sleep(0)
        if code == 1000:
            await response.write_eof()
            response.force_close()
        elif last in ("nothing", "dead"):
            await _until_gone(request)
        else:
            await _cut(request)
        return response


async def _until_gone(request: web.Request) -> None:
    """Say nothing and answer nothing, until the client has broken off."""
    while request.transport is not None and not request.transport.is_closing():
        await asyncio.sleep(0.02)


async def _cut(request: web.Request) -> None:
    """Close without a word, once what was said has left."""
    await asyncio.sleep(0.02)
    if request.transport is not None:
        request.transport.close()


def _ends(messages: list[Any]) -> bool:
    return bool(messages) and (messages[-1] or {}).get("type") == "end"


def _whole(message: Any, offset: int) -> Any:
    """A message with what every one has; None for a keep-alive."""
    if message == "keep-alive":
        return None
    if "type" not in message:
        return message  # nothing of the contract
    message = {"type": message["type"], "stream": STREAM, **expanded(message)}
    if message.get("from") == "<offset>":
        message["from"] = offset
    if message["type"] == "end":
        digest = hashlib.sha256(message.pop("text").encode()).hexdigest()
        message = {
            "finish_reason": "stop",
            "usage": None,
            "validation": None,
            "sha256": digest,
            "error": None,
            **message,
        }
    return message


def _line(message: Any) -> bytes:
    if message and "frame" in message:
        return message["frame"].encode() + b"\n"
    return b"\n" if message is None else orjson.dumps(_told(message)) + b"\n"


def _told(message: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name != "more"}


def _event(message: Any, gen: int, following: Any) -> bytes:
    if message is None:
        return b":\n\n"
    if "frame" in message:
        return b"data: %b\n" % _line(message)
    at = {"attached": "to", "delta": "to", "end": "to"}.get(message["type"], "at")
    head = b""
    # Of several messages of one place only the last has an id.
    goes_on = "more" in message or (
        following is not None and "at" in following and following["at"] == message.get("at")
    )
    if at in message and not goes_on:
        suffix = ".end" if message["type"] == "end" else ""
        place = f"{gen}.{message[at]}{suffix}"
        assert parse_cursor(place) is not None
        head = b"id: %b\n" % place.encode()
    return head + b"data: %b\n" % _line(message)
