"""Outlets and a loop for tests of the fan-out: everything happens when the test says so."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, cast

from protocol.schema.admitted import AdmittedSchema
from protocol.wire.frames import NDJSON
from protocol.wire.options import Options
from service.hub.streams import Limits, Stream, Terms
from service.hub.subscribers import Subscriber


class FakeLoop:
    """A loop whose time and callbacks the test moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.soon: list[Callable[[], None]] = []

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.soon.append(callback)

    def turn(self) -> None:
        """One turn of the loop."""
        callbacks, self.soon = self.soon, []
        for callback in callbacks:
            callback()

    def run(self) -> None:
        """Turn until nothing is left to do."""
        while self.soon:
            self.turn()


class FakeOutlet:
    """A connection that is full when the test says so; remembers every message.

    Attributes:
        room: messages taken until it is full; None is without end.
    """

    framing = NDJSON[False]
    fd = -1

    def __init__(self, room: int | None = None) -> None:
        self.paused = False
        self.room = room
        self.messages: list[dict[str, Any]] = []
        self.clean: bool | None = None
        self.subscriber: Subscriber | None = None

    def write(self, data: bytes) -> None:
        self.messages += [json.loads(line) for line in data.splitlines() if line]
        if self.room is not None:
            self.room -= 1
            if self.room <= 0 and not self.paused:
                self.paused = True
                if self.subscriber is not None:
                    self.subscriber.stall()

    def attached(self, subscriber: Subscriber) -> None:
        self.subscriber = subscriber

    def ended(self, subscriber: Subscriber, clean: bool) -> None:
        assert self.clean is None, "ended twice"
        self.clean = clean

    def drain(self, room: int | None = None) -> None:
        """What was queued has left."""
        self.room = room
        if self.paused:
            self.paused = False
            if self.subscriber is not None:
                self.subscriber.resume()


def make_stream(
    loop: FakeLoop, *, max_text_bytes: int = 1 << 20, schema: AdmittedSchema | None = None, **options: Any
) -> Stream:
    """A stream that no pump fills."""
    return Stream(
        "st_test",
        "local",
        request={},
        options=Options(**options),
        terms=Terms("finish", 0, 60),
        schema=schema,
        limits=Limits(max_text_bytes),
        now=0.0,
        loop=cast(asyncio.AbstractEventLoop, loop),
        on_idle=lambda _: None,
    )
