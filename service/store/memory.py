"""A store in memory: the laws without the durability, for processes that need not outlive themselves."""

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from service.store.contract import Begun, Change, Ended, Forgotten, Grown, Kept, Keyed, Noted, Renewed, Replaced


@dataclass(slots=True)
class _Stream:
    kept: Kept
    identity: bytes | None = None
    blocks: list[bytes] = field(default_factory=list)

    @property
    def weight(self) -> int:
        return 400 + len(self.kept.meta) + len(self.kept.ending or b"") + sum(map(len, self.blocks))


class MemoryStore:
    """See `service.store.contract.Store`."""

    durable = False
    shared = False

    def __init__(self) -> None:
        self._streams: dict[str, _Stream] = {}  # oldest first
        self._keys: dict[tuple[str, str], tuple[str, bytes]] = {}
        self._places = 0
        self._notes: dict[tuple[str, str], tuple[bytes, float]] = {}
        self._sums: dict[tuple[str, str], tuple[float, float]] = {}
        self.salt = secrets.token_bytes(32)

    async def open(self) -> None:
        """Nothing is needed."""

    async def close(self) -> None:
        """Nothing is held."""

    async def ready(self) -> None:
        """It always is."""

    async def commit(self, changes: Sequence[Change]) -> Collection[str]:
        """See `service.store.contract.Store.commit`."""
        for change in changes:
            self._apply(change)
        return ()

    def _apply(self, change: Change) -> None:
        if isinstance(change, Begun):
            if change.stream not in self._streams:
                self._places += 1
                kept = Kept(
                    change.stream, change.tenant, self._places, change.created, change.meta, change.body,
                    1, "", None, 0.0, 0.0,
                )  # fmt: skip
                self._streams[change.stream] = _Stream(kept)
            return
        if isinstance(change, Keyed):
            self._keys[change.tenant, change.key] = change.stream, change.identity
            return
        stream = self._streams.get(change.stream)
        if stream is None:
            return
        if isinstance(change, Noted):
            stream.kept = replace(stream.kept, meta=change.meta)
        elif isinstance(change, Forgotten):
            del self._streams[change.stream]
            self._keys = {key: value for key, value in self._keys.items() if value[0] != change.stream}
        elif stream.kept.status is None:
            self._write(stream, change)

    @staticmethod
    def _write(stream: _Stream, change: Grown | Replaced | Renewed | Ended) -> None:
        """What only a running stream takes."""
        if isinstance(change, Grown):
            stream.blocks.append(change.block)
        elif isinstance(change, Replaced | Renewed):
            if isinstance(change, Replaced):
                stream.blocks.clear()
            stream.kept = replace(stream.kept, gen=change.gen, reason=change.reason)
        else:
            stream.identity = change.identity
            stream.kept = replace(
                stream.kept, ending=change.ending, at=change.at, expires=change.expires, body=None, status=change.status
            )  # fmt: skip

    async def find(self, stream: str) -> Kept | None:
        """See `service.store.contract.Store.find`."""
        found = self._streams.get(stream)
        return found.kept if found is not None else None

    async def blocks(self, stream: str) -> list[bytes]:
        """See `service.store.contract.Store.blocks`."""
        found = self._streams.get(stream)
        return list(found.blocks) if found is not None else []

    async def by_key(self, tenant: str, key: str) -> tuple[str, bytes] | None:
        """See `service.store.contract.Store.by_key`."""
        return self._keys.get((tenant, key))

    async def by_identity(self, tenant: str, identity: bytes) -> str | None:
        """See `service.store.contract.Store.by_identity`."""
        same = (s for s in reversed(self._streams.values()) if s.kept.tenant == tenant and s.identity == identity)
        return next((stream.kept.stream for stream in same), None)

    async def page(self, tenant: str, status: str | None, before: int | None, limit: int) -> list[Kept]:
        """See `service.store.contract.Store.page`."""
        found = [
            stream.kept
            for stream in reversed(self._streams.values())
            if stream.kept.tenant == tenant
            and status in (None, stream.kept.status)
            and (before is None or stream.kept.place < before)
        ]
        return found[:limit]

    async def running(self) -> list[Kept]:
        """See `service.store.contract.Store.running`."""
        return [stream.kept for stream in self._streams.values() if stream.kept.status is None]

    async def prune(self, now: float, max_bytes: int) -> list[str]:
        """See `service.store.contract.Store.prune`."""
        self._notes = {key: note for key, note in self._notes.items() if note[1] > now}
        ended = [stream for stream in self._streams.values() if stream.kept.status is not None]
        ended.sort(key=lambda stream: (stream.kept.at, stream.kept.place))
        size = sum(stream.weight for stream in ended)
        gone: list[str] = []
        for stream in ended:
            if stream.kept.expires <= now or size > max_bytes:
                size -= stream.weight
                gone.append(stream.kept.stream)
        await self.commit([Forgotten(ident) for ident in gone])
        return gone

    async def note(self, tenant: str, name: str, now: float) -> bytes | None:
        """See `service.store.contract.Store.note`."""
        told, expires = self._notes.get((tenant, name), (None, 0.0))
        return told if expires > now else None

    async def write_note(
        self, tenant: str, name: str, before: bytes | None, told: bytes, expires: float, now: float
    ) -> bool:
        """See `service.store.contract.Store.write_note`."""
        if await self.note(tenant, name, now) != before:
            return False
        self._notes[tenant, name] = told, expires
        return True

    async def add(
        self, amounts: Mapping[tuple[str, str], float], expires: float, now: float
    ) -> Mapping[tuple[str, str], float]:
        """See `service.store.contract.Store.add`."""
        self._sums = {mark: kept for mark, kept in self._sums.items() if kept[1] > now}
        for mark, amount in amounts.items():
            self._sums[mark] = self._sums.get(mark, (0.0, 0.0))[0] + amount, expires
        return {mark: self._sums[mark][0] for mark in amounts}

    async def usage(self) -> tuple[int, int]:
        """See `service.store.contract.Store.usage`."""
        ended = [stream for stream in self._streams.values() if stream.kept.status is not None]
        return len(ended), sum(stream.weight for stream in ended)
