"""What is remembered of a chat: its newest run, its turns, and the video that it is about."""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from aiohttp import web

from protocol.dialects.prompt import MAX_ANSWER_CHARS, Said
from protocol.errors import Refusal
from service.hub.hub import Hub
from service.hub.streams import Stream
from service.store.contract import StoreFailed

TRIES = 8
# A chat's time begins when its newest run has ended; a run that goes on keeps it for so long.
MAX_RUN_S = 86_400.0


def new_message_id() -> str:
    """An id for an answer, for good."""
    return f"msg_{secrets.token_urlsafe(18)}"


@dataclass(frozen=True, slots=True)
class Memory:
    """One chat.

    Attributes:
        run: the stream of its newest answer; empty without one.
        message: that answer's id.
        asked: id and text of the user message that it answers.
        stopped: the chat has no interest in it any more.
        turns: what was said before that message.
        media: whether the video stands in a note of its own, because it is large.
        parts: how the answer's data parts are told.
        ttl_s: how long it is kept after that run.
    """

    run: str = ""
    message: str = ""
    asked: tuple[str, str] = ("", "")
    stopped: bool = False
    turns: Sequence[tuple[str, str]] = ()
    video: Mapping[str, Any] | None = None
    media: bool = False
    parts: str = "all"
    ttl_s: float = 3600.0

    def told(self) -> bytes:
        """As it is kept."""
        return orjson.dumps(
            {
                "run": self.run,
                "message": self.message,
                "asked": self.asked,
                "stopped": self.stopped,
                "turns": self.turns,
                "video": self.video,
                "media": self.media,
                "parts": self.parts,
                "ttl_s": self.ttl_s,
            }
        )


@dataclass(slots=True)
class Chats:
    """The chats of all tenants; what has no id is no chat, and nothing is remembered of it.

    Attributes:
        locks: one message of a chat at a time, at this node.
    """

    hub: Hub
    locks: dict[tuple[str, str], asyncio.Lock] = field(default_factory=dict)
    _watching: set[asyncio.Task[None]] = field(default_factory=set)

    async def close(self) -> None:
        """Watch no run any more."""
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)

    def lock(self, tenant: str, chat: str) -> asyncio.Lock:
        """What two messages of one chat wait for."""
        if not chat:
            return asyncio.Lock()
        for key in [key for key, lock in self.locks.items() if not lock.locked() and key != (tenant, chat)]:
            if len(self.locks) < 1000:
                break
            del self.locks[key]
        return self.locks.setdefault((tenant, chat), asyncio.Lock())

    async def recall(self, tenant: str, chat: str) -> tuple[Memory, bytes | None]:
        """A chat, and how it is kept.

        Raises:
            Refusal: ``overloaded``.
        """
        if not chat:
            return Memory(), None
        try:
            told = await self.hub.journal.store.note(tenant, f"chat:{chat}", self.hub.wall())
        except StoreFailed as exc:
            raise _overloaded() from exc
        if told is None:
            return Memory(), None
        known = orjson.loads(told)
        return Memory(**{**known, "asked": tuple(known["asked"])}), told

    async def video(self, tenant: str, chat: str, memory: Memory) -> Mapping[str, Any] | None:
        """The video that a chat is about.

        Raises:
            Refusal: ``overloaded``.
        """
        if not memory.media:
            return memory.video
        try:
            told = await self.hub.journal.store.note(tenant, f"video:{chat}", self.hub.wall())
        except StoreFailed as exc:
            raise _overloaded() from exc
        return orjson.loads(told) if told is not None else None

    async def remember(
        self, tenant: str, chat: str, memory: Memory, before: bytes | None, *, runs: bool = True
    ) -> bool:
        """Keep a chat for its time, where nobody has written it meanwhile; whether that was so.

        Args:
            runs: its newest run has not ended, so its time has not begun.

        Raises:
            Refusal: ``overloaded``.
        """
        if not chat:
            return True
        store, now = self.hub.journal.store, self.hub.wall()
        expires = now + memory.ttl_s + (MAX_RUN_S if runs else 0.0)
        try:
            if memory.video is not None and "base64_string" in memory.video:
                await self._keep_media(tenant, chat, memory.video, expires)
                memory = replace(memory, video=None, media=True)
            return await store.write_note(tenant, f"chat:{chat}", before, memory.told(), expires, now)
        except StoreFailed as exc:
            raise _overloaded() from exc

    async def _keep_media(self, tenant: str, chat: str, video: Mapping[str, Any], expires: float) -> None:
        store, now, told = self.hub.journal.store, self.hub.wall(), orjson.dumps(video)
        for _ in range(TRIES):
            before = await store.note(tenant, f"video:{chat}", now)
            if await store.write_note(tenant, f"video:{chat}", before, told, expires, now):
                return

    async def stop(self, tenant: str, chat: str) -> None:
        """The chat has no interest in its newest run any more.

        Raises:
            Refusal: ``overloaded``.
        """
        for _ in range(TRIES):
            memory, before = await self.recall(tenant, chat)
            stopped = replace(memory, stopped=True)
            if before is None or memory.stopped or await self.remember(tenant, chat, stopped, before):
                return

    def watch(self, tenant: str, chat: str, stream: Stream) -> None:
        """Let a chat's time begin when its run has ended, where that is seen here to the end."""
        if stream.run.ending is None and not self.hub.runs(stream):
            return  # then it is kept for longer
        task = asyncio.get_running_loop().create_task(self._settle(tenant, chat, stream))
        self._watching.add(task)
        task.add_done_callback(self._watching.discard)

    async def _settle(self, tenant: str, chat: str, stream: Stream) -> None:
        with suppress(TimeoutError, Refusal):  # then it is kept for longer
            async with asyncio.timeout(MAX_RUN_S):
                await stream.run.ended()
            for _ in range(TRIES):
                memory, before = await self.recall(tenant, chat)
                if memory.run != stream.id:
                    return
                memory = replace(memory, video=await self.video(tenant, chat, memory))
                if await self.remember(tenant, chat, memory, before, runs=False):
                    return

    async def run_of(self, tenant: str, memory: Memory) -> Stream | None:
        """The newest run of a chat, where it is there still.

        Raises:
            Refusal: ``overloaded``.
        """
        if not memory.run:
            return None
        try:
            return await self.hub.fetch(tenant, memory.run)
        except Refusal as refusal:
            if refusal.code != "not_found":
                raise
            return None


def turns_behind(memory: Memory, stream: Stream | None, *, again: bool) -> list[tuple[str, str]]:
    """What was said up to the end of a chat's newest run.

    Args:
        again: that answer is to be made anew: it and its question are left out.
    """
    turns = [(role, text) for role, text in memory.turns]
    if memory.run and not again:
        answer = "" if stream is None else stream.run.log.slice(0, stream.run.log.size)
        turns += [("user", memory.asked[1]), ("assistant", answer)]
    return turns


def newest(turns: Sequence[tuple[str, str]], max_chars: int) -> list[tuple[str, str]]:
    """Those turns that can still come into a prompt, answers no longer than there."""
    kept: list[tuple[str, str]] = []
    size = 0
    for role, whole in reversed(turns):
        text = whole[: MAX_ANSWER_CHARS + 1] if role == "assistant" else whole
        size += len(text)
        if size > max_chars:
            break
        kept.append((role, text))
    return kept[::-1]


def said(turns: Sequence[tuple[str, str]]) -> list[Said]:
    """Turns as a prompt takes them."""
    return [Said("user" if role == "user" else "assistant", text) for role, text in turns]


def _overloaded() -> Refusal:
    return Refusal("overloaded", "what is remembered of chats cannot be reached now", retry_after_s=1)


CHATS = web.AppKey("chats", Chats)
