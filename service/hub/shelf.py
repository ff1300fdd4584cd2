"""What was kept of streams: how it is written down, and how a stream is made of it again."""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import replace

import orjson
import structlog

from protocol.errors import Refusal
from protocol.wire.endings import Ending, Status
from protocol.wire.options import Options
from service.hub.keeping import ending_from, restored
from service.hub.requests import Asked, schema_of
from service.hub.streams import Limits, Stream, Terms
from service.hub.tally import Tally
from service.store.contract import Kept, Store, StoreFailed

log = structlog.get_logger()
LARGE_BYTES = 1 << 17  # above this a text is read back in a thread
# By these a store is not asked: of what runs it knows only that there is no ending.
UNENDED = frozenset({Status.WAITING, Status.STARTING, Status.RUNNING})
ID = re.compile(r"st_[A-Za-z0-9_-]{1,64}")


def call_of(headers: Mapping[str, str], body: bytes) -> bytes | None:
    """A call as it is kept, to be made again; None where it carries a caller's key, which is not kept."""
    if any(name.lower() in ("x-api-key", "authorization") for name in headers):
        return None
    return orjson.dumps(dict(headers)) + b"\n" + body


def call_from(kept: bytes) -> tuple[dict[str, str], bytes]:
    """Headers and body of a call that was kept."""
    headers, _, body = kept.partition(b"\n")
    return orjson.loads(headers), body


def meta_of(stream: Stream, identity: bytes) -> bytes:
    """What is kept of a stream beside its text."""
    terms = stream.terms
    return orjson.dumps(
        {
            "request": stream.request,
            "options": stream.run.options.model_dump(by_alias=True, exclude_none=True),
            "terms": {
                "on_abandon": terms.on_abandon,
                "grace_s": terms.grace_s,
                "ttl_s": terms.ttl_s,
                "starters": terms.starters,
            },
            "channels": sorted(stream.channels),
            "identity": identity.hex(),
            "node": stream.node,
            "payer": stream.payer,
            "restarts": stream.restarts,
        }
    )


def replayed_by(kept: Kept) -> bytes | None:
    """The identity by which an ended stream is replayed; None where it is not."""
    meta = orjson.loads(kept.meta)
    is_replayed = kept.status == Status.COMPLETED and meta["options"].get("join") != "never"
    return bytes.fromhex(meta["identity"]) if is_replayed else None


class Shelf:
    """Makes streams of what a store has.

    Args:
        on_idle, tally: of the streams that are made.
    """

    def __init__(
        self,
        store: Store,
        limits: Limits,
        loop: asyncio.AbstractEventLoop,
        on_idle: Callable[[Stream], None],
        tally: Tally,
    ) -> None:
        self._store = store
        self._limits = limits
        self._loop = loop
        self._on_idle = on_idle
        self._tally = tally
        self._damaged: set[str] = set()

    async def ended(self, tenant: str, stream_id: str, now: float) -> tuple[Stream, bytes, Ending, Kept] | None:
        """A tenant's ended stream without its ending yet, its identity, the ending, and what was kept.

        Raises:
            Refusal: ``overloaded``: the store cannot be read.
        """
        try:
            kept = await self._store.find(stream_id)
            if kept is None or kept.tenant != tenant or kept.ending is None or kept.expires <= now:
                return None
            blocks = await self._store.blocks(stream_id)
        except StoreFailed as exc:
            raise Refusal("overloaded", "what was kept cannot be read now", retry_after_s=1) from exc
        try:
            stream, identity = await self.stream(kept, blocks)
            ending = replace(ending_from(kept.ending), gen=kept.gen)
            if stream.run.log.size < ending.to:
                stream.run.end_text()  # it ended with half a pair, and no event says so
            if stream.run.log.sha256() == ending.sha256:
                return stream, identity, ending, kept
        except (ValueError, TypeError, KeyError, Refusal):
            pass  # damaged, too
        if stream_id not in self._damaged and await self._is_there(stream_id):
            self._damaged.add(stream_id)
            log.error("stream_damaged", stream=stream_id)
        return None

    async def _is_there(self, stream_id: str) -> bool:
        """Whether a stream is there still: one that was forgotten between two looks is not damaged."""
        try:
            return await self._store.find(stream_id) is not None
        except StoreFailed:
            return False

    async def leads(self, tenant: str, asked: Asked, key: str | None, *, replay: bool) -> tuple[str | None, str | None]:
        """The ids of the kept streams to which an idempotency key, and to which a replay, leads.

        Raises:
            Refusal: ``overloaded``: the store cannot be read.
        """
        try:
            known = await self._store.by_key(tenant, key) if key is not None else None
            same = await self._store.by_identity(tenant, asked.identity) if replay else None
        except StoreFailed as exc:
            raise Refusal("overloaded", "what was kept cannot be read now", retry_after_s=1) from exc
        return known[0] if known is not None else None, same

    async def stream(self, kept: Kept, blocks: list[bytes]) -> tuple[Stream, bytes]:
        """A stream as it was kept, without its ending."""
        meta = orjson.loads(kept.meta)
        options = Options.model_validate(meta["options"])
        stream = Stream(
            kept.stream,
            kept.tenant,
            request=meta["request"],
            options=options,
            terms=Terms(**meta["terms"]),
            schema=schema_of(meta["request"].get("response_format")),
            limits=self._limits,
            now=kept.created,
            loop=self._loop,
            on_idle=self._on_idle,
            tally=self._tally,
        )
        stream.channels = frozenset(meta["channels"])
        stream.node = meta["node"]
        stream.payer = meta.get("payer", "")
        stream.restarts = meta.get("restarts", options.restart)

        def fill() -> None:
            log_, pace = restored(blocks, self._limits.max_text_bytes)
            stream.run.restore(log_, pace, kept.gen, kept.reason)

        if sum(map(len, blocks)) < LARGE_BYTES:
            fill()
        else:
            await asyncio.to_thread(fill)
        return stream, bytes.fromhex(meta["identity"])
