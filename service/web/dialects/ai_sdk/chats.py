"""What is remembered of a chat: its newest run, its turns, and the video that it is about."""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from aiohttp import web

from protocol.dialects.prompt import MAX_ANSWER_CHARS, Said
from protocol.errors import Refusal
from service.hub.hub import Hub
from service.hub.streams import Stream
from service.store.contract import StoreFailed

# Turns beyond this do not fit a prompt in any case.
MAX_TURNS = 40
MAX_TURN_CHARS = 6000
TRIES = 8


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
    """

    run: str = ""
    message: str = ""
    asked: tuple[str, str] = ("", "")
    stopped: bool = False
    turns: Sequence[tuple[str, str]] = ()
    video: Mapping[str, Any] | None = None
    media: bool = False

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
            }
        )


@dataclass(slots=True)
class Chats:
    """The chats of all tenants.

    Attributes:
        locks: one message of a chat at a time, at this node.
    """

    hub: Hub
    locks: dict[tuple[str, str], asyncio.Lock] = field(default_factory=dict)

    def lock(self, tenant: str, chat: str) -> asyncio.Lock:
        """What two messages of one chat wait for."""
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

    async def remember(self, tenant: str, chat: str, memory: Memory, before: bytes | None, ttl_s: float) -> bool:
        """Keep a chat for its time, where nobody has written it meanwhile; whether that was so.

        Raises:
            Refusal: ``overloaded``.
        """
        store, now = self.hub.journal.store, self.hub.wall()
        try:
            if memory.video is not None and "base64_string" in memory.video:
                await self._keep_media(tenant, chat, memory.video, now + ttl_s)
                memory = replace(memory, video=None, media=True)
            return await store.write_note(tenant, f"chat:{chat}", before, memory.told(), now + ttl_s, now)
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
            if before is None or memory.stopped or await self.remember(tenant, chat, stopped, before, 3600.0):
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
        turns += [("user", memory.asked[1][:MAX_TURN_CHARS]), ("assistant", answer[:MAX_ANSWER_CHARS])]
    return turns[-MAX_TURNS:]


def said(turns: Sequence[tuple[str, str]]) -> list[Said]:
    """Turns as a prompt takes them."""
    return [Said("user" if role == "user" else "assistant", text) for role, text in turns]


def _overloaded() -> Refusal:
    return Refusal("overloaded", "what is remembered of chats cannot be reached now", retry_after_s=1)


CHATS = web.AppKey("chats", Chats)
