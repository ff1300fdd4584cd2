"""The wire of both dialects, whole, one file for each ending; ids, digests and times by their shape.

``TESTS_GOLDEN=write`` writes the files anew.
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from protocol.upstream.textlog import TextLog
from service.hub.streams import Stream
from service.web.dialects.openai import handlers
from tests.fakes.service import Service, Serving
from tests.fakes.upstream import Cut, Gate, Play, end, start, text
from tests.fakes.waiting import until

GOLDEN = Path(__file__).parent / "golden"
LINK = "https://a.example/b.mp4"
SAID = "At 00:12 a dog runs."
SCHEMA = {"type": "array", "items": {"type": "object", "required": ["start", "text"]}}
WHOLE = '[{"start": 0, "text": "a"}, {"start": 2.5}]'
UI: dict[str, Any] = {"id": "c", "messages": [{"id": "m", "role": "user", "parts": [{"type": "text", "text": "q"}]}], "video": LINK}  # fmt: skip
OPENAI: dict[str, Any] = {"model": "fanlight", "messages": [{"role": "user", "content": "q"}], "video": LINK}
CHAT, COMPLETIONS = "/ai-sdk/chat", "/openai/v1/chat/completions"
SHAPES = (
    (re.compile(r"msg_[\w-]+"), "msg_ID"),
    (re.compile(r"st_[\w-]+"), "st_ID"),
    (re.compile(r"chatcmpl-[\w-]+"), "chatcmpl-ID"),
    (re.compile(r'"created":\d+'), '"created":0'),
    (re.compile(r'"sha256":"[0-9a-f]{64}"'), '"sha256":"HEX"'),
)


def nothing(service: Service, stream: Stream) -> None:
    """It ends by itself."""


def begun_again(service: Service, stream: Stream) -> None:
    log = TextLog(100)
    log.extend(["A cat."])
    stream.run.regenerate(log, "restarted")


def cancelled(service: Service, stream: Stream) -> None:
    service.hub.stop(stream, "cancelled")


def abandoned(service: Service, stream: Stream) -> None:
    service.hub.stop(stream, "abandoned")


@dataclass(frozen=True)
class Case:
    """One file.

    Attributes:
        steps: of the upstream behind the text; before them it waits until the text was told, and `then` is done.
    """

    name: str
    path: str
    steps: tuple[Any, ...]
    said: str = SAID
    then: Callable[[Service, Stream], None] = nothing
    body: dict[str, Any] = field(default_factory=dict)


STREAM = {"stream": True}
FORM = {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}}
CASES = (
    Case("ai-sdk-completed", CHAT, (end(),)),
    Case("ai-sdk-structured", CHAT, (end(),), WHOLE, body={"schema": SCHEMA}),
    Case("ai-sdk-transient", CHAT, (end(),), WHOLE, body={"schema": SCHEMA, "fanlight": {"parts": "transient"}}),
    Case("ai-sdk-length", CHAT, (end("length"),)),
    Case("ai-sdk-truncated", CHAT, ()),
    Case("ai-sdk-failed", CHAT, (Cut(),)),
    Case("ai-sdk-empty", CHAT, (), ""),
    Case("ai-sdk-cancelled", CHAT, (end(),), then=cancelled),
    Case("ai-sdk-abandoned", CHAT, (end(),), then=abandoned),
    Case("ai-sdk-reset", CHAT, (end(),), then=begun_again),
    Case("ai-sdk-completion", "/ai-sdk/completion", (end(),), body={"prompt": "q"}),
    Case("ai-sdk-text", CHAT + "?protocol=text", (end(),)),
    Case("openai-completed", COMPLETIONS, (end(),), body=STREAM),
    Case("openai-usage", COMPLETIONS, (end(),), body={**STREAM, "stream_options": {"include_usage": True}}),
    Case("openai-structured", COMPLETIONS, (end(),), WHOLE, body={**STREAM, **FORM}),
    Case("openai-length", COMPLETIONS, (end("length"),), body=STREAM),
    Case("openai-truncated", COMPLETIONS, (), body=STREAM),
    Case("openai-failed", COMPLETIONS, (Cut(),), body=STREAM),
    Case("openai-empty", COMPLETIONS, (), "", body=STREAM),
    Case("openai-cancelled", COMPLETIONS, (end(),), then=cancelled, body=STREAM),
    Case("openai-reset", COMPLETIONS, (end(),), then=begun_again, body=STREAM),
    Case("openai-whole", COMPLETIONS, (end(),)),
    Case("openai-whole-truncated", COMPLETIONS, ()),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_the_wire_is_what_it_was(serving: Serving, case: Case, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(handlers, "HOLD_S", 60.0 if case.said else 0.0)
    gate = Gate()
    said = text(case.said) if case.said else b""
    async with serving(Play([start() + said, gate, *case.steps])) as service:
        asking = asyncio.create_task(told(service, case))
        await until(lambda: is_told(service, case))
        case.then(service, service.hub.list("local")[0])
        gate.open()
        whole = shaped(await asking)
    path = GOLDEN / f"{case.name}.txt"
    if os.environ.get("TESTS_GOLDEN") == "write":
        path.write_text(whole, encoding="utf-8")
    assert whole == path.read_text(encoding="utf-8")


def is_told(service: Service, case: Case) -> bool:
    """Whether the text has come, and its reader is there."""
    streams = service.hub.list("local")
    readers = 2 if case.path == COMPLETIONS and case.body.get("stream") else 0 if case.path == COMPLETIONS else 1
    return bool(streams) and streams[0].subscribers >= readers and streams[0].run.log.size == len(case.said)


async def told(service: Service, case: Case) -> str:
    body = {**(OPENAI if case.path == COMPLETIONS else UI), **case.body}
    async with service.http.post(service.url + case.path, json=body) as answer:
        pieces = [piece async for piece in pieces_of(answer)]
    kind = answer.headers["Content-Type"]
    return f"{answer.status} {kind}\n\n" + b"".join(pieces).decode()


async def pieces_of(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """A body, and a word where it was cut."""
    try:
        async for piece in answer.content.iter_any():
            yield piece
    except aiohttp.ClientPayloadError:
        yield b"(cut)\n"


def shaped(whole: str) -> str:
    for pattern, shape in SHAPES:
        whole = pattern.sub(shape, whole)
    return whole
