"""What each tenant, and each key, uses of this process; and whose account a start goes to."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping

from service.access.caller import Caller, owners_of
from service.access.limiter import Limiter
from service.hub.streams import Stream
from service.store.rates import Drawn
from service.web.connection import Connections


class Usage:
    """See `service.access.limiter.Here`.

    Attributes:
        running: the streams that this process runs.
        others: names of the other nodes that live.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self.running: Callable[[], Iterable[Stream]] = tuple
        self.others: Callable[[], Iterable[str]] = tuple

    def nodes(self) -> Iterable[str]:
        """The other nodes that live now."""
        return self.others()

    def readers(self) -> Mapping[str, int]:
        """Connections that read, by whose they are."""
        return self._connections.by_owner

    def streams(self) -> Mapping[str, int]:
        """Streams that run, by whose they are."""
        return Counter(whose for stream in self.running() for whose in owners_of(stream.tenant, stream.payer))

    def seconds(self) -> Mapping[str, float]:
        """How long the upstream has worked for the streams that run, by whose they are."""
        found: defaultdict[str, float] = defaultdict(float)
        for stream in self.running():
            for whose in owners_of(stream.tenant, stream.payer):
                found[whose] += upstream_seconds(stream)
        return found


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
