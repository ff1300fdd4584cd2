"""The contract of a store that several processes use at once; each of them is a node.

The laws, beside those of `service.store.contract`:

* a stream has one owner at a time, and only what its owner says is written; who was its owner
  before writes nothing any more, whatever it believed meanwhile;
* a node that did not beat for `LEASE_S` has died, as far as the others know, and what it owned may be taken;
* where two could do what only one may (lead, join, cancel, abandon, take) the store decides, in one step;
* who follows a stream is told of all that is written of it. A telling may be lost: the record is
  what counts, and says by its version and length whether something was missed;
* what a node is asked for waits for it until it has looked.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from service.store.contract import Kept, Store
from service.store.rates import Drawn, Rate

# A node that did not beat for this long has died.
LEASE_S = 6.0


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a record was read: it is written anew with a higher version, and else only grows, in bytes."""

    version: int = -1
    size: int = 0


@dataclass(frozen=True, slots=True)
class Also:
    """What the starters of a stream that joined it want, on whatever node they did."""

    starters: int = 1  # in all, the first one among them
    finish: bool = False
    grace_s: float = 0.0
    ttl_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Record:
    """What is kept of a stream, read in one step.

    Attributes:
        owner: the node that writes it; empty where that was given up.
        place: its end.
        data: what lies behind the place that was asked for; all of it where that is of another version.
        whole: whether `data` is all of it.
        wish: an ending that its owner is to give it; empty without one.
        renew: the generation of which more was shown than is kept; 0 without one.
        present: who reads it at which node, as they said it.
    """

    kept: Kept
    owner: str
    place: Reach
    data: bytes
    whole: bool
    also: Also
    wish: str
    renew: int
    present: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Grew:
    """Told of a stream: at this place these bytes were added."""

    at: Reach
    data: bytes


@dataclass(frozen=True, slots=True)
class Present:
    """Told of a stream: who reads it at a node, as the node said it."""

    node: str
    told: bytes


@dataclass(frozen=True, slots=True)
class Look:
    """Told of a stream: the record says more than was told."""


Told = Grew | Present | Look


@dataclass(frozen=True, slots=True)
class Pulse:
    """What a beat tells.

    Attributes:
        nodes: that live.
        dead: whose lease has run out.
        is_double: another process beats under the same name.
        lost: what the store may have lost since the last beat: nothing (empty), ``some``, or ``all``.
    """

    nodes: frozenset[str]
    dead: tuple[str, ...]
    lost: str
    is_double: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """What a start leads to.

    Attributes:
        stream: the one that is led to; with ``leader`` the claimed one.
        identity: with ``keyed`` what the key was used with.
        runs: whether it runs, as far as its tenant's streams say.
    """

    kind: Literal["leader", "joined", "replayed", "keyed", "limit"]
    stream: str
    identity: bytes = b""
    runs: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """A start that wants a stream.

    Attributes:
        stream: its id, where it leads.
        joins, replays: whether it may come to one that runs, to one that completed.
        most: streams of its tenant that may run.
        stale: ids that led nowhere: they are claimed over.
    """

    tenant: str
    stream: str
    identity: bytes
    key: str | None
    joins: bool
    replays: bool
    most: int
    stale: Sequence[str] = field(default_factory=tuple)


class SharedStore(Store, Protocol):
    """See the module's text. Its methods raise `StoreFailed`.

    Attributes:
        node: the name of this process.
    """

    node: str

    def listen(self, woken: Callable[[], None], heard: Callable[[str, str, str], None]) -> None:
        """From now on ``woken`` is called when this node is asked to look, and ``heard`` with tenant, channel
        and stream when one was started under a channel's name."""

    async def beat(self) -> Pulse:
        """Hold the lease, and hear how the others are."""

    async def asked(self) -> tuple[str, ...]:
        """The streams that this node is to look at, each once."""

    async def heard_asked(self, streams: Sequence[str]) -> None:
        """What was asked is this process' own to remember from now on."""

    async def bye(self) -> None:
        """Give the lease up: nothing of this node is left to take."""

    async def in_words(self) -> tuple[str, str]:
        """How it keeps what it has, and what there is to warn of; for the start line."""

    # -- starts

    async def claim(self, start: Wanted) -> Claim:
        """Lead, or come to what is there."""

    async def release(self, tenant: str, stream: str) -> None:
        """Nobody is led to a stream any more; one of the tenant's runs is over."""

    async def settle(self, kept: Kept, identity: bytes | None) -> None:
        """What follows from an ending, where its process died before it was done; ``identity`` as in `Ended`."""

    async def drop_claim(self, tenant: str, stream: str) -> None:
        """A claimed stream never began: nothing leads to it any more."""

    async def join(self, stream: str, also: Also) -> bool:
        """One more starter of a running stream, whose owner is asked to look; False where it ends, or is to end."""

    async def draw(self, tenant: str, rates: Sequence[Rate]) -> Drawn:
        """Draw one of each of a tenant's rates, or none, by the store's own clock; see `service.store.rates`."""

    # -- streams of any owner

    async def record(self, stream: str, behind: Reach | None) -> Record | None:
        """What is kept of a stream, its text behind a place; without text where that is None."""

    async def places(self, streams: Sequence[str]) -> list[Reach | None]:
        """Where the records of some streams end now."""

    async def wish(self, stream: str, code: str, *, force: bool = False, nodes: Sequence[str] = ()) -> str:
        """Have a stream end as ``code`` says; its owner is asked to look.

        Args:
            code: ``cancelled``, ``abandoned``, or ``withdrawn``: that one starter less wants it, and none cancels it.
            force: also where others started it too.
            nodes: with ``abandoned``: none of these may have readers of it.

        Returns:
            ``ok``, ``ended``, ``unknown``, ``shared``, ``present``, or ``left``: others want it still.
        """

    async def renew(self, stream: str, gen: int) -> None:
        """More was shown of a generation than is kept: its owner is asked for one above it.

        One that has ended is of the next generation from then on, with the text and the ending that it has.
        """

    async def present(self, told: Mapping[str, bytes]) -> None:
        """Say who reads some streams here; nobody where that is empty."""

    # -- ownership

    async def take(self, stream: str, owner: str) -> Record | None:
        """Become the owner, where ``owner`` still is; None where it is not, or the stream has ended."""

    async def give(self, stream: str, to: str) -> bool:
        """Own a running stream no more, and ask another node to take it; whether it was owned."""

    async def left_by(self, node: str) -> list[tuple[str, str]]:
        """Tenants and streams that a node leads, or has led and not ended."""

    async def leave(self, node: str, stream: str) -> None:
        """A stream is none of those that a node has left any more."""

    async def bury(self, node: str) -> None:
        """Nothing is left of a node that died."""

    def disown(self, stream: str) -> None:
        """Write nothing more of a stream."""

    # -- following

    async def follow(self, stream: str, told: Callable[[Told], None]) -> None:
        """Be told from now on what is written of a stream; after a gap `Look` is told."""

    async def unfollow(self, stream: str, told: Callable[[Told], None]) -> None:
        """Be told no more; idempotent."""

    # -- channels

    async def announce(self, tenant: str, channel: str, stream: str) -> None:
        """A stream runs under a channel's name."""

    async def announced(self, channels: Sequence[tuple[str, str]]) -> list[list[str]]:
        """The streams that were announced under some tenants' names, those that are over among them."""

    async def under(self, tenant: str, channel: str) -> list[str]:
        """The streams that were announced under a name and not released."""
