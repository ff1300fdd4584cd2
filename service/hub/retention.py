"""Which ended streams are kept, and for how long: by time, by count, by bytes in all and of each tenant."""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass

from service.hub.streams import Stream


@dataclass(frozen=True, slots=True)
class RetentionLimits:
    """Bounds of what is kept; the oldest go first."""

    max_bytes: int = 1 << 29
    max_bytes_per_tenant: int = 1 << 28
    max_streams: int = 20_000


class Retention:
    """Keep ended streams, and tell which are given up.

    Args:
        forget: called once for each stream that is not kept any more.

    Attributes:
        evicted: streams that went before their time, by the bound that they went for.
    """

    def __init__(
        self, limits: RetentionLimits, loop: asyncio.AbstractEventLoop, forget: Callable[[Stream], None]
    ) -> None:
        self._limits = limits
        self._loop = loop
        self._forget = forget
        self._context = Context()  # the starter's, with what it holds, need not be kept for as long
        self._kept: OrderedDict[Stream, tuple[int, asyncio.TimerHandle]] = OrderedDict()  # oldest first
        self._bytes: Counter[str] = Counter()  # by tenant
        self.bytes = 0
        self.evicted: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, stream: Stream, *, ttl_s: float | None = None) -> None:
        """Keep a stream for its time, in the place of older ones where there is no room."""
        weight, limits = stream.run.weight, self._limits
        ttl_s = stream.terms.ttl_s if ttl_s is None else ttl_s
        timer = self._loop.call_later(ttl_s, self.give_up, stream, context=self._context)
        self._kept[stream] = weight, timer
        self.bytes += weight
        self._bytes[stream.tenant] += weight
        while self._kept and (self.bytes > limits.max_bytes or len(self._kept) > limits.max_streams):
            self._evict(next(iter(self._kept)), "bytes" if self.bytes > limits.max_bytes else "streams")
        while self._bytes[stream.tenant] > limits.max_bytes_per_tenant:
            self._evict(next(kept for kept in self._kept if kept.tenant == stream.tenant), "bytes_of_tenant")

    def _evict(self, stream: Stream, bound: str) -> None:
        self.evicted[bound] += 1
        self.give_up(stream)

    def give_up(self, stream: Stream) -> None:
        """Keep a stream no longer; idempotent."""
        weight, timer = self._kept.pop(stream, (0, None))
        if timer is None:
            return
        timer.cancel()
        self.bytes -= weight
        self._bytes[stream.tenant] -= weight
        if not self._bytes[stream.tenant]:
            del self._bytes[stream.tenant]
        self._forget(stream)
