"""The contract of a store: what a process that dies leaves behind.

A stream is written as changes, in order: `Begun` first, then `Grown`, `Replaced`, `Keyed` and
`Noted` as they happen, `Ended` once. The laws:

* `commit` is all or nothing for each stream, and what it has written is there after a kill of the
  process; it raises `StoreFailed` where it cannot say that. A stream that it may or may not have
  written is then written anew: what begins with `Begun` and `Replaced` is right in both cases;
* changes of one stream are read back in the order in which they were committed; a `Replaced`
  takes the text before it away;
* a stream without an `Ended` is running; after one it only can be forgotten;
* what is read is what was committed last, whatever connection it was committed over;
* `prune` forgets ended streams whose time is over, then the oldest, until they fit.

Bytes are opaque to a store. Every method may be called at any time and in any order; nothing
else is promised about how long it takes. What several processes may use at once has
more laws: `service.store.shared`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


class StoreFailed(Exception):
    """The store cannot be read or written now.

    Args:
        lost: streams that another process holds by now, as was found all the same.
    """

    def __init__(self, message: str = "", *, lost: Collection[str] = ()) -> None:
        super().__init__(message)
        self.lost = lost


class StoreRefused(Exception):
    """The store cannot be used at all, and waiting will not help; the message is for the operator."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A stream has been started.

    Attributes:
        meta: what its resource shows, and how it is to be run.
        body: the request as it is sent upstream, where it may be sent again; else None.
    """

    stream: str
    tenant: str
    created: float
    meta: bytes
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Noted:
    """What is known of a stream has changed: its terms, its channels."""

    stream: str
    meta: bytes


@dataclass(frozen=True, slots=True)
class Keyed:
    """An idempotency key leads to a stream."""

    stream: str
    tenant: str
    key: str
    identity: bytes


@dataclass(frozen=True, slots=True)
class Grown:
    """A batch of events; ``block`` holds them and when they came."""

    stream: str
    block: bytes


@dataclass(frozen=True, slots=True)
class Replaced:
    """A new generation: the blocks so far are void."""

    stream: str
    gen: int
    reason: str


@dataclass(frozen=True, slots=True)
class Renewed:
    """A new generation of the text that is there."""

    stream: str
    gen: int
    reason: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The ending; from now on nothing grows.

    Attributes:
        expires: wall-clock seconds since the epoch, when it is to be forgotten.
        identity: of the request, where the stream may be replayed to who asks the same.
    """

    stream: str
    ending: bytes
    status: str
    at: float
    expires: float
    identity: bytes | None


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The stream is as unknown as one that never was."""

    stream: str


Change = Begun | Noted | Keyed | Grown | Replaced | Renewed | Ended | Forgotten


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a stream besides its text.

    Attributes:
        place: rises with each stream that is begun.
        gen, reason: of the last `Replaced` or `Renewed`; 1 and empty without one.
        ending, status: None while it runs.
    """

    stream: str
    tenant: str
    place: int
    created: float
    meta: bytes
    body: bytes | None
    gen: int
    reason: str
    ending: bytes | None
    at: float
    expires: float
    status: str | None = None


class Store(Protocol):
    """See the module's text.

    Attributes:
        durable: whether what is committed outlives the process.
        shared: whether it is a `service.store.shared.SharedStore`.
        salt: random bytes of its own, the same for all who use it; empty until it was reached.
    """

    durable: bool
    shared: bool
    salt: bytes

    async def open(self) -> None:
        """Make it usable.

        Raises:
            StoreRefused: it never will be.
        """

    async def close(self) -> None:
        """Let go of it; what was committed stays."""

    async def ready(self) -> None:
        """Do nothing where it can be used, as far as that is known without using it.

        Raises:
            StoreFailed: it cannot.
        """

    async def commit(self, changes: Sequence[Change]) -> Collection[str]:
        """Write changes; return the streams that another process holds by now, of which nothing was written."""

    async def find(self, stream: str) -> Kept | None:
        """What is kept of a stream."""

    async def blocks(self, stream: str) -> list[bytes]:
        """The blocks of a stream's present generation, in order."""

    async def by_key(self, tenant: str, key: str) -> tuple[str, bytes] | None:
        """The stream that an idempotency key leads to, and the identity that it was used with."""

    async def by_identity(self, tenant: str, identity: bytes) -> str | None:
        """The latest completed stream of that identity."""

    async def page(self, tenant: str, status: str | None, before: int | None, limit: int) -> list[Kept]:
        """A tenant's streams (that ended with a status), newest first, begun before a place."""

    async def running(self) -> list[Kept]:
        """The streams without an ending, oldest first."""

    async def prune(self, now: float, max_bytes: int) -> list[str]:
        """Forget what has expired and what does not fit; return their ids."""

    async def note(self, tenant: str, name: str, now: float) -> bytes | None:
        """What a tenant's note of that name says; None where there is none, or its time is over."""

    async def write_note(
        self, tenant: str, name: str, before: bytes | None, told: bytes, expires: float, now: float
    ) -> bool:
        """Write a note where it still says what it did before; whether it did.

        Args:
            before: None where there was none.
            expires: wall-clock seconds since the epoch, when it is to be forgotten.
        """

    async def add(
        self, amounts: Mapping[tuple[str, str], float], expires: float, now: float
    ) -> Mapping[tuple[str, str], float]:
        """Add to sums, by tenant and name; return what they are then, with what was added over other connections.

        Args:
            expires: wall-clock seconds since the epoch, when they are to be forgotten.
        """

    async def usage(self) -> tuple[int, int]:
        """Ended streams that are kept, and what they take in bytes."""
