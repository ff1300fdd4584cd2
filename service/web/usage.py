"""What each tenant, and each key, uses of this process; and whose account a start goes to."""

from collections import Counter
from collections.abc import Mapping

from service.access.caller import Caller, owners_of
from service.access.limiter import Limiter
from service.hub.hub import Hub
from service.hub.streams import Stream
from service.store.rates import Drawn
from service.web.connection import Connections


class Usage:
    """See `service.access.limiter.Here`."""

    def __init__(self, hub: Hub, connections: Connections) -> None:
        self._hub = hub
        self._connections = connections

    def readers(self) -> Mapping[str, int]:
        """Connections that read, by whose they are."""
        return self._connections.by_owner

    def streams(self) -> Mapping[str, int]:
        """Streams that run, by whose they are."""
        return Counter(whose for stream in self._hub.streams_here() for whose in owners_of(stream.tenant, stream.payer))

    def seconds(self, whose: str) -> float:
        """How long the upstream has worked for the streams that run."""
        running = (s for s in self._hub.streams_here() if whose in owners_of(s.tenant, s.payer))
        return sum(upstream_seconds(stream) for stream in running)


def upstream_seconds(stream: Stream) -> float:
    """How long the upstream has worked for a stream that ran here."""
    return max(0.0, stream.run.clock() - stream.run.times.began)


def bill(limiter: Limiter, stream: Stream) -> None:
    """A stream that ran here has ended: what it cost."""
    ending = stream.run.ending
    limiter.spend(stream.tenant, stream.payer, "upstream_seconds_per_day", upstream_seconds(stream))
    tokens = (ending.usage or {}).get("output_tokens") if ending is not None else None
    if isinstance(tokens, int):
        limiter.spend(stream.tenant, stream.payer, "output_tokens_per_day", tokens)


class Account:
    """See `service.hub.hub.Payer`.

    Attributes:
        drawn: what is left of the caller's starts; None where they are not bounded, or nothing was led.
    """

    def __init__(self, limiter: Limiter, caller: Caller) -> None:
        self.name = caller.key
        self.drawn: Drawn | None = None
        self._limiter = limiter
        self._caller = caller

    async def pay(self) -> None:
        """One more stream is led.

        Raises:
            Refusal: see `service.access.limiter.Limiter.start`.
        """
        self.drawn = await self._limiter.start(self._caller)
