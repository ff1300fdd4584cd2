"""A reader as every client should be: cut off, closed or told to go, it comes back with its cursor, wherever it may.

It counts what must never happen: a gap, a byte that was shown and is not there any more.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Any

from tests.fakes.wire import READERS, MessageReader, Over

# Between two attempts, so that a node that is gone is not asked in a busy loop.
PAUSE_S = 0.1


class ResumingReader:
    """Read one stream to its ending.

    Args:
        urls: of the nodes; the next one is tried where one cannot be reached, or has closed.
        kind: ``ws``, ``events`` or ``ndjson``.

    Attributes:
        shown: the bytes of this generation so far.
        resets: reasons for which what was shown was dropped; ``snapshot`` where an attachment had another generation.
        gaps: messages that did not begin where the one before ended.
        lost: bytes that were shown, and not there any more in the same generation when it came back.
        cuts: how often it had to come back; ``drained``: how often because it was told so.
        refused: statuses and close codes in place of an attachment.
        modes: of its attachments.
        ending, ended: the message, and when it came by the loop's clock.
    """

    def __init__(self, urls: Sequence[str], stream: str, kind: str) -> None:
        self.stream, self.kind = stream, kind
        self.gen, self.shown = 1, bytearray()
        self.resets: list[str] = []
        self.gaps = self.lost = self.cuts = self.drained = 0
        self.refused: list[int] = []
        self.modes: list[str] = []
        self.attached = False
        self.ending: dict[str, Any] | None = None
        self.ended = 0.0
        self._urls, self._turn = list(urls), 0

    def __repr__(self) -> str:
        told = self.ending and self.ending["status"]
        return (
            f"<{self.kind} {self.stream} {self.cursor} {told} resets={self.resets} gaps={self.gaps} "
            f"lost={self.lost} cuts={self.cuts} refused={self.refused[-3:]}>"
        )

    @property
    def cursor(self) -> str:
        """Where it stands."""
        return f"{self.gen}.{len(self.shown)}"

    @property
    def is_whole(self) -> bool:
        """Whether it has the text of its ending, and there was no gap on the way."""
        digest = hashlib.sha256(self.shown).hexdigest()
        return self.ending is not None and not self.gaps and self.ending["sha256"] == digest

    def move(self, urls: Sequence[str]) -> None:
        """From the next time that it comes back these are the nodes."""
        self._urls, self._turn = list(urls), 0

    async def run(self) -> None:
        """Read until the ending."""
        while self.ending is None:
            try:
                await self._read_once()
            except (Over, OSError, EOFError, TimeoutError) as exc:
                if isinstance(exc, Over) and isinstance(exc.how, tuple) and exc.how[0] > 4000:
                    self.refused.append(exc.how[0])
            if self.ending is None:
                self.cuts += self.attached
                self.attached = False
                self._turn += 1
                await asyncio.sleep(PAUSE_S)

    async def _read_once(self) -> None:
        reader = READERS[self.kind](self._urls[self._turn % len(self._urls)])
        query, headers = "", {}
        if self.shown or self.gen > 1:
            if self.kind == "events":
                headers = {"Last-Event-ID": self.cursor}
            else:
                query = f"?cursor={self.cursor}"
        try:
            head = await reader.open(f"/v1/streams/{self.stream}/{self.kind}{query}", headers)
            if head.status not in (101, 200):
                self.refused.append(head.status)
                return
            await self._follow(reader)
        finally:
            await reader.close()

    async def _follow(self, reader: MessageReader) -> None:
        while self.ending is None:
            message = await reader.next()
            match message["type"]:
                case "attached":
                    self._attach(message)
                case "delta":
                    self._append(message)
                case "reset":
                    self.gen, self.shown = message["gen"], bytearray()
                    self.resets.append(message["reason"])
                case "draining":
                    self.drained += 1
                    self.gaps += message["cursor"] != self.cursor
                    await asyncio.sleep(message["retry_after_ms"] / 1000)
                    return
                case "end":
                    self.ending, self.ended = message, asyncio.get_running_loop().time()
                    self.gaps += message["to"] != len(self.shown) or message["gen"] != self.gen

    def _attach(self, message: dict[str, Any]) -> None:
        self.attached = True
        self.modes.append(message["mode"])
        if message["mode"] == "snapshot":
            there = message["text"].encode()
            if message["gen"] != self.gen:
                self.resets.append("snapshot")
            elif not there.startswith(self.shown):
                same = next((n for n, (a, b) in enumerate(zip(there, self.shown, strict=False)) if a != b), len(there))
                self.lost += len(self.shown) - same
            self.gen, self.shown = message["gen"], bytearray()
        self._append(message)

    def _append(self, message: dict[str, Any]) -> None:
        self.gaps += message["from"] != len(self.shown)
        self.shown += message["text"].encode()
