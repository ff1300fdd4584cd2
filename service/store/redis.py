"""A store in Redis or Valkey: what is committed is in the engine's memory, and any node can go on with it.

A stream is a hash and a string of blocks under one hash tag; what leads to streams stands
under their tenant's, what counts them under one of its own. What a process says of many streams goes
out in one pipeline.
"""

import asyncio
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, NoScriptError, RedisError

from service.store import scripts
from service.store.contract import (
    Begun,
    Change,
    Ended,
    Forgotten,
    Grown,
    Kept,
    Keyed,
    Noted,
    Renewed,
    Replaced,
    StoreFailed,
    StoreRefused,
)
from service.store.following import Following
from service.store.rates import Drawn, Rate
from service.store.scripts import Script
from service.store.shared import LEASE_S, Also, Claim, Pulse, Reach, Record, Told, Wanted

log = structlog.get_logger()

VERSION = 1
OLDEST = (7, 0)
# How long one round trip may take, and one handshake: a failing store is noticed within three seconds.
ANSWER_S = 2.0
# What a stream takes besides its columns and text, about: measured with MEMORY USAGE.
RECORD_BYTES = 1950
PAGE = 200
# Round trips at once, besides those of the lease and the journal.
CALLS = 64
ASKED_S = 86_400

Command = tuple[Any, ...]


class _Held:
    """What this process knows of a stream that it owns: its fence, and where the record ends."""

    __slots__ = ("fence", "size", "tenant", "version")

    def __init__(self, tenant: str, fence: str = "1", version: int = 1, size: int = 0) -> None:
        self.tenant, self.fence, self.version, self.size = tenant, fence, version, size


class RedisStore:
    """See `service.store.shared.SharedStore`.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``.
        node: the name of this process.
    """

    durable = True
    shared = True

    def __init__(self, url: str, node: str) -> None:
        self.node = node
        self._redis = _client(url)
        # What many callers want at once must not keep the lease and the journal waiting.
        self._first = _client(url)
        self._turns = asyncio.Semaphore(CALLS)
        self._held: dict[str, _Held] = {}
        self._is_prepared = False
        self._run_id = ""
        self.salt = b""
        self._mark = ""
        self._process = secrets.token_hex(8)
        self._following = Following(self._redis, node)

    # -- opening and closing

    async def open(self) -> None:
        """See `service.store.contract.Store.open`; one that is not there yet is waited for, by whoever beats."""
        with suppress(StoreFailed):
            await self._prepare()

    async def _prepare(self) -> None:
        """Look whether this engine can be used.

        Raises:
            StoreRefused: it never can.
            StoreFailed: it cannot be reached.
        """
        try:
            async with asyncio.timeout(ANSWER_S):
                info = await self._redis.info("server")
                version = tuple(int(part) for part in str(info["redis_version"]).split(".")[:2])
                if version < OLDEST:
                    raise StoreRefused(f"the store is Redis {info['redis_version']}; it takes Redis 7.0 or Valkey 7.2")
                await self._redis.set(_all("schema"), VERSION, nx=True)
                schema = int(await self._redis.get(_all("schema")) or VERSION)
                await self._redis.set(_all("salt"), secrets.token_bytes(32), nx=True)
                salt = await self._redis.get(_all("salt"))
                assert isinstance(salt, bytes), "what was set is there"
        except (AuthenticationError, NoPermissionError) as exc:
            raise StoreRefused(f"the store refuses this service: {str(exc).split()[0]}") from exc
        except (RedisError, OSError) as exc:
            raise _failed(exc) from exc
        if schema > VERSION:
            raise StoreRefused(f"the store was written by a newer version of the service (schema {schema})")
        self._run_id, self.salt = str(info["run_id"]), salt
        self._is_prepared = True
        self._following.start()

    async def ready(self) -> None:
        """See `service.store.contract.Store.ready`."""
        if not self._is_prepared:
            await self._prepare()
        await self._one("SET", _all("ready"), 1)  # one that is full or read-only answers, too

    async def close(self) -> None:
        """See `service.store.contract.Store.close`."""
        await self._following.stop()
        for client in (self._redis, self._first):
            with suppress(RedisError, OSError):
                await client.aclose()

    async def in_words(self) -> tuple[str, str]:
        """See `service.store.shared.SharedStore.in_words`."""
        try:
            async with asyncio.timeout(ANSWER_S):
                info = await self._redis.info("persistence")
                appends = bool(int(info.get("aof_enabled", 0)))
                saves = "" if appends else str((await self._redis.config_get("save")).get("save", ""))
        except (RedisError, OSError):
            return "persistence unknown", "the engine does not tell how it keeps what it has"
        if appends:
            return "appendonly yes", ""
        if saves:
            return f"appendonly no, save {saves}", "a restart of the engine loses what it had not saved yet"
        return "appendonly no, save off", "a restart of the engine loses all streams"

    # -- one round trip

    async def _call(self, commands: Sequence[Command], *, first: bool = False) -> list[Any]:
        """Send commands in one go; a script stands in place of a command's name.

        Args:
            first: what cannot wait for others.

        Raises:
            StoreFailed: one of them failed, or the engine cannot be reached; the others may have been done.
        """
        answers: list[Any] = await self._in_turn(commands, first=first)
        unknown = [n for n, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:
            loaded: list[Command] = [("SCRIPT LOAD", script.text) for script in scripts.ALL]
            again = await self._in_turn([*loaded, *(commands[n] for n in unknown)], first=first)
            for n, answer in zip(unknown, again[len(loaded) :], strict=True):
                answers[n] = answer
        for answer in answers:
            if isinstance(answer, Exception):
                raise _failed(answer)
        return answers

    async def _in_turn(self, commands: Sequence[Command], *, first: bool) -> list[Any]:
        if first:
            return await self._send(self._first, commands)
        async with self._turns:
            return await self._send(self._redis, commands)

    @staticmethod
    async def _send(client: "Redis", commands: Sequence[Command]) -> list[Any]:
        pipe = client.pipeline(transaction=False)
        for name, *arguments in commands:
            if isinstance(name, Script):
                keys, values = arguments
                pipe.execute_command("EVALSHA", name.sha, len(keys), *keys, *values)
            else:
                pipe.execute_command(name, *arguments)
        try:
            async with asyncio.timeout(ANSWER_S):
                answers: list[Any] = await pipe.execute(raise_on_error=False)
        except (RedisError, OSError) as exc:
            raise _failed(exc) from exc
        return answers

    async def _one(self, *command: Any) -> Any:
        (answer,) = await self._call([command])
        return answer

    # -- writing

    async def commit(self, changes: Sequence[Change]) -> Collection[str]:
        """See `service.store.contract.Store.commit`."""
        told: dict[str, list[Change]] = {}
        for change in changes:
            told.setdefault(change.stream, []).append(change)
        forgotten = [stream for stream, said in told.items() if any(isinstance(one, Forgotten) for one in said)]
        for stream in forgotten:
            del told[stream]
        held = frozenset(self._held)
        try:
            lost = await self._write(told) if told else []
        except StoreFailed:
            for stream in told.keys() - held:  # what may not have begun is written from its beginning
                self._held.pop(stream, None)
            raise
        if forgotten:
            await self._forget(forgotten)
        return lost

    async def _write(self, told: Mapping[str, list[Change]]) -> list[str]:
        before: list[Command] = []
        writes: list[Command] = []
        after: list[Command] = []
        written: list[tuple[str, _Held]] = []
        for stream, said in told.items():
            held = self._held.get(stream)
            for change in said:
                if isinstance(change, Begun):
                    held = self._held.setdefault(stream, _Held(change.tenant))
                    before.append(("HSET", _node(self.node, "runs"), stream, change.tenant))
                    after.append((scripts.ENLIST, _tenant(change.tenant, "list", "places"), (stream,)))
                elif isinstance(change, Keyed):
                    value = quote(change.key, safe=""), stream, change.identity.hex()
                    after.append((scripts.KEY, _tenant(change.tenant, "keys", "keyed"), value))
            if held is not None:
                writes.append((scripts.WRITE, _stream(stream, "record", "text", "told"), self._said(held, said)))
                written.append((stream, held))
        answers = await self._call([*before, *writes, *after], first=True)
        lost: list[str] = []
        gap = False
        weights: dict[str, int] = {}
        for (stream, held), answer in zip(written, answers[len(before) : len(before) + len(writes)], strict=True):
            match answer[0]:
                case b"ok":
                    held.version, held.size = int(answer[1]), int(answer[2])
                    weights[stream] = RECORD_BYTES + int(answer[3]) + held.size
                case b"lost":
                    lost.append(stream)
                    self.disown(stream)
                case _:  # an engine that lost some of it, or all
                    gap = True
        if gap:
            raise StoreFailed("the record is not what was written", lost=lost)
        await self._close([change for said in told.values() for change in said], weights)
        return lost

    def _said(self, held: _Held, said: Sequence[Change]) -> list[Any]:
        """The arguments that write what is said of a stream."""
        place: list[Any] = ["", 0]
        makes_place = False
        told: list[Any] = []
        for change in said:
            match change:
                case Begun(_, tenant, created, meta, body):
                    told += ["B", tenant, repr(created), meta, body or b"", self.node]
                    makes_place = makes_place or held.size == 0
                case Noted(_, meta):
                    told += ["M", meta]
                case Grown(_, block):
                    if not makes_place:
                        place = [held.version, held.size]
                        makes_place = True
                    told += ["G", block]
                case Replaced(_, gen, reason):
                    held.version += 1  # whatever becomes of it: no place of before fits again
                    makes_place = True
                    told += ["R", held.version, gen, reason]
                case Renewed(_, gen, reason):
                    told += ["N", gen, reason]
                case Ended(_, ending, status, at, expires, _):
                    if not makes_place:
                        place = [held.version, held.size]
                    told += ["E", ending, status, repr(at), repr(expires)]
        return [held.fence, *place, *told]

    async def _close(self, changes: Sequence[Change], weights: Mapping[str, int]) -> None:
        """What follows from endings, where they were written."""
        ends = [change for change in changes if isinstance(change, Ended) and change.stream in weights]
        if not ends:
            return
        commands: list[Command] = []
        for change in ends:
            tenant = self._held[change.stream].tenant
            commands += self._settling(
                tenant, change.stream, change.identity, change.at, change.expires, weights[change.stream]
            )
        await self._call(commands, first=True)
        for change in ends:
            self._held.pop(change.stream, None)

    async def settle(self, kept: Kept, identity: bytes | None) -> None:
        """See `service.store.shared.SharedStore.settle`."""
        size = await self._one("STRLEN", _key(kept.stream, "text"))
        weight = RECORD_BYTES + len(kept.meta) + len(kept.ending or b"") + int(size)
        await self._call(self._settling(kept.tenant, kept.stream, identity, kept.at, kept.expires, weight))

    def _settling(
        self, tenant: str, stream: str, identity: bytes | None, at: float, expires: float, weight: int
    ) -> list[Command]:
        count = (stream, tenant, repr(at), repr(expires), weight)
        replayed = (stream, identity.hex() if identity is not None else "")
        return [
            (scripts.RELEASE, _tenant(tenant, "running", "joinable", "completed", "identities"), replayed),
            (scripts.COUNT, _alls("ended", "expiring", "weights", "total"), count),
            ("HDEL", _node(self.node, "runs"), stream),
        ]

    async def _forget(self, streams: Sequence[str]) -> None:
        counts = await self._call(
            [
                command
                for stream in streams
                for command in (
                    ("HMGET", _key(stream, "record"), "tenant", "owner", "status"),
                    ("HGET", _all("weights"), stream),
                )
            ]
        )
        commands: list[Command] = []
        for stream, (tenant, owner, status), counted in zip(streams, counts[::2], counts[1::2], strict=True):
            if tenant is not None and status is None and owner.decode() != self.node:
                continue  # it runs elsewhere
            self._held.pop(stream, None)
            commands.append(("DEL", _key(stream, "record"), _key(stream, "text")))
            if (known := tenant or _after_blank(counted)) is not None:
                names = ("list", "keys", "keyed", "completed", "identities", "running", "joinable")
                commands.append((scripts.FORGET, _tenant(known.decode(), *names), (stream,)))
            if owner:
                commands.append(("HDEL", _node(owner.decode(), "runs"), stream))
            commands.append(("SPUBLISH", _key(stream, "told"), b"L"))
            # Last: what is not done whole is found again by it.
            commands.append((scripts.UNCOUNT, _alls("ended", "expiring", "weights", "total"), (stream,)))
        if commands:
            await self._call(commands)

    # -- reading

    async def find(self, stream: str) -> Kept | None:
        """See `service.store.contract.Store.find`."""
        (found,) = await self._kept([stream])
        return found

    async def _kept(self, streams: Sequence[str], places: Sequence[float] | None = None) -> list[Kept | None]:
        """What is kept of some streams; ``places`` are asked for where they are not given."""
        rows = await self._call([("HGETALL", _key(stream, "record")) for stream in streams])
        fields = [_fields(row) for row in rows]
        if places is None:
            places = await self._call(
                [
                    ("ZSCORE", *_tenant(row["tenant"].decode() if row else "", "list"), stream)
                    for stream, row in zip(streams, fields, strict=True)
                ]
            )
        return [
            _kept(stream, row, place) if row else None
            for stream, row, place in zip(streams, fields, places, strict=True)
        ]

    async def blocks(self, stream: str) -> list[bytes]:
        """See `service.store.contract.Store.blocks`."""
        text = await self._one("GET", _key(stream, "text"))
        return [text] if text else []

    async def by_key(self, tenant: str, key: str) -> tuple[str, bytes] | None:
        """See `service.store.contract.Store.by_key`."""
        known = await self._one("HGET", *_tenant(tenant, "keys"), quote(key, safe=""))
        if known is None:
            return None
        stream, identity = known.decode().split(" ")
        return stream, bytes.fromhex(identity)

    async def by_identity(self, tenant: str, identity: bytes) -> str | None:
        """See `service.store.contract.Store.by_identity`."""
        known = (await self._one("HGET", *_tenant(tenant, "completed"), identity.hex()) or b"").decode().split()
        return known[-1] if known else None

    async def page(self, tenant: str, status: str | None, before: int | None, limit: int) -> list[Kept]:
        """See `service.store.contract.Store.page`."""
        found: list[Kept] = []
        bound: Any = "+inf" if before is None else f"({before}"
        while len(found) < limit:
            rows = await self._one(
                "ZREVRANGEBYSCORE", *_tenant(tenant, "list"), bound, "-inf", "WITHSCORES", "LIMIT", 0, PAGE
            )
            if not rows:
                break
            pairs = [(row[0].decode(), float(row[1])) for row in _pairs(rows)]
            for kept in await self._kept([stream for stream, _ in pairs], [place for _, place in pairs]):
                if kept is not None and (status is None or kept.status == status):
                    found.append(kept)
            bound = f"({int(pairs[-1][1])}"
        return found[:limit]

    async def running(self) -> list[Kept]:
        """See `service.store.contract.Store.running`."""
        nodes = [raw.decode() for raw in await self._one("ZRANGE", _all("nodes"), 0, -1)]
        left = [stream for node in {*nodes, self.node} for _, stream in await self.left_by(node)]
        found = await self._kept(left) if left else []
        return sorted((kept for kept in found if kept is not None and kept.ending is None), key=lambda kept: kept.place)

    async def note(self, tenant: str, name: str, now: float) -> bytes | None:
        """See `service.store.contract.Store.note`; the engine forgets it by its own clock."""
        told: bytes | None = await self._one("GET", *_tenant(tenant, f"note:{name}"))
        return told

    async def write_note(
        self, tenant: str, name: str, before: bytes | None, told: bytes, expires: float, now: float
    ) -> bool:
        """See `service.store.contract.Store.write_note`."""
        values = (int(before is not None), before or b"", told, max(1, round(expires * 1000)))
        return bool(await self._one(scripts.NOTE, _tenant(tenant, f"note:{name}"), values))

    async def add(
        self, amounts: Mapping[tuple[str, str], float], expires: float, now: float
    ) -> Mapping[tuple[str, str], float]:
        """See `service.store.contract.Store.add`; the engine forgets them by its own clock."""
        marks = list(amounts)
        commands: list[Command] = []
        for tenant, name in marks:
            (key,) = _tenant(tenant, f"sum:{name}")
            commands += [("INCRBYFLOAT", key, amounts[tenant, name]), ("EXPIREAT", key, round(expires))]
        answers = await self._call(commands) if commands else []
        return {mark: float(sum_) for mark, sum_ in zip(marks, answers[::2], strict=True)}

    async def draw(self, tenant: str, rates: Sequence[Rate]) -> Drawn:
        """See `service.store.shared.SharedStore.draw`."""
        keys = _tenant(tenant, *(f"rate:{rate.name}" for rate in rates))
        wait, behind = await self._one(scripts.DRAW, keys, tuple(rate.per_minute for rate in rates))
        # Microseconds: numbers of a script are whole.
        left = [Drawn(0.0, rate, int(full) / 1e6) for rate, full in zip(rates, behind, strict=True)]
        tightest = min(left, key=lambda drawn: drawn.left)
        return Drawn(int(wait) / 1e6, tightest.rate, tightest.full_s)

    async def usage(self) -> tuple[int, int]:
        """See `service.store.contract.Store.usage`."""
        count, total = await self._call([("ZCARD", _all("ended")), ("GET", _all("total"))])
        return int(count), int(total or 0)

    async def prune(self, now: float, max_bytes: int) -> list[str]:
        """See `service.store.contract.Store.prune`; what expired the engine itself forgot, but not what led there."""
        expired, oldest, total = await self._call(
            [
                ("ZRANGEBYSCORE", _all("expiring"), "-inf", repr(now), "LIMIT", 0, 1000),
                ("ZRANGE", _all("ended"), 0, 999),
                ("GET", _all("total")),
            ]
        )
        gone = [raw.decode() for raw in expired]
        size = int(total or 0)
        if size > max_bytes and oldest:
            weights = await self._one("HMGET", _all("weights"), *oldest)
            for raw, weight in zip(oldest, weights, strict=True):
                if size <= max_bytes:
                    break
                size -= int((weight or b"0").split()[0])
                if raw.decode() not in gone:
                    gone.append(raw.decode())
        if gone:
            await self._forget(gone)
        return gone

    # -- the node

    async def beat(self) -> Pulse:
        """See `service.store.shared.SharedStore.beat`."""
        if not self._is_prepared:
            try:
                await self._prepare()
            except StoreRefused as exc:
                raise StoreFailed(str(exc)) from exc
        try:
            (alive, dead, mark, process), info = await self._call(
                [
                    (scripts.BEAT, _alls("nodes", "mark", "processes"),
                     (self.node, int(LEASE_S * 1000), secrets.token_hex(8), self._process)),
                    ("INFO", "server"),
                ],
                first=True,
            )  # fmt: skip
        except StoreFailed:
            self._following.doubt()
            raise
        run_id = str(info["run_id"])
        emptied = bool(self._mark) and mark.decode() != self._mark
        restarted = run_id != self._run_id
        is_double = bool(self._mark) and not emptied and process.decode() not in ("", self._process)
        self._mark, self._run_id = mark.decode(), run_id
        return Pulse(
            frozenset(raw.decode() for raw in alive),
            tuple(raw.decode() for raw in dead),
            "all" if emptied else "some" if restarted else "",
            is_double,
        )

    async def asked(self) -> tuple[str, ...]:
        """See `service.store.shared.SharedStore.asked`."""
        return tuple(raw.decode() for raw in await self._one("SMEMBERS", _node(self.node, "asked")))

    async def heard_asked(self, streams: Sequence[str]) -> None:
        """See `service.store.shared.SharedStore.heard_asked`."""
        await self._one("SREM", _node(self.node, "asked"), *streams)

    async def bye(self) -> None:
        """See `service.store.shared.SharedStore.bye`."""
        await self._call([("ZREM", _all("nodes"), self.node), ("HDEL", _all("processes"), self.node)])

    async def _ask(self, node: bytes | None, stream: str) -> None:
        """Have a node look at a stream."""
        if node:
            await self._call(_asking(node.decode(), stream))

    # -- starts

    async def claim(self, start: Wanted) -> Claim:
        """See `service.store.shared.SharedStore.claim`."""
        values = [
            start.stream, start.identity.hex(), quote(start.key, safe="") if start.key is not None else "",
            int(start.joins), int(start.replays), start.most, *start.stale,
        ]  # fmt: skip
        names = ("running", "joinable", "completed", "keys", "keyed")
        _, (kind, value, runs) = await self._call(
            [
                ("HSET", _node(self.node, "runs"), start.stream, start.tenant),
                (scripts.CLAIM, _tenant(start.tenant, *names), values),
            ]
        )
        if kind != b"leader":
            await self._one("HDEL", _node(self.node, "runs"), start.stream)
        stream, _, identity = value.decode().partition(" ")
        return Claim(kind.decode(), stream, bytes.fromhex(identity), bool(runs))

    async def release(self, tenant: str, stream: str) -> None:
        """See `service.store.shared.SharedStore.release`."""
        names = ("running", "joinable", "completed", "identities")
        await self._one(scripts.RELEASE, _tenant(tenant, *names), (stream, ""))

    async def drop_claim(self, tenant: str, stream: str) -> None:
        """See `service.store.shared.SharedStore.drop_claim`."""
        await self._call(
            [
                (scripts.FORGET, _tenant(
                    tenant, "list", "keys", "keyed", "completed", "identities", "running", "joinable"), (stream,)),
                ("HDEL", _node(self.node, "runs"), stream),
            ]
        )  # fmt: skip

    async def join(self, stream: str, also: Also) -> bool:
        """See `service.store.shared.SharedStore.join`."""
        values = (int(also.finish), repr(also.grace_s), repr(also.ttl_s))
        owner = await self._one(scripts.JOIN, _stream(stream, "record"), values)
        if owner is not None:
            await self._ask(owner, stream)
        return owner is not None

    # -- streams of any owner

    async def record(self, stream: str, behind: Reach | None) -> Record | None:
        """See `service.store.shared.SharedStore.record`."""
        place = ("", 0) if behind is None else (behind.version, behind.size)
        found = await self._one(scripts.READ, _stream(stream, "record", "text"), place)
        return _record(stream, found) if found else None

    async def places(self, streams: Sequence[str]) -> list[Reach | None]:
        """See `service.store.shared.SharedStore.places`."""
        answers = await self._call(
            [
                command
                for stream in streams
                for command in (
                    ("HMGET", _key(stream, "record"), "version", "status"),
                    ("STRLEN", _key(stream, "text")),
                )
            ]
        )
        return [
            None if version is None or status is not None else Reach(int(version), int(size))
            for (version, status), size in zip(answers[::2], answers[1::2], strict=True)
        ]

    async def wish(self, stream: str, code: str, *, force: bool = False, nodes: Sequence[str] = ()) -> str:
        """See `service.store.shared.SharedStore.wish`."""
        word, owner = await self._one(scripts.WISH, _stream(stream, "record"), (code, int(force), *nodes))
        if word in (b"ok", b"left"):
            await self._ask(owner, stream)
        return str(word.decode())

    async def renew(self, stream: str, gen: int) -> None:
        """See `service.store.shared.SharedStore.renew`."""
        await self._ask(await self._one(scripts.RENEW, _stream(stream, "record"), (gen,)), stream)

    async def present(self, told: Mapping[str, bytes]) -> None:
        """See `service.store.shared.SharedStore.present`."""
        owners = await self._call(
            [
                (scripts.PRESENT, _stream(stream, "record", "told"), (self.node, counts))
                for stream, counts in told.items()
            ]
        )
        asks = [
            command
            for stream, owner in zip(told, owners, strict=True)
            if owner and owner.decode() != self.node
            for command in _asking(owner.decode(), stream)
        ]
        if asks:
            await self._call(asks)

    # -- ownership

    async def take(self, stream: str, owner: str) -> Record | None:
        """See `service.store.shared.SharedStore.take`."""
        tenant = await self._one("HGET", _key(stream, "record"), "tenant")
        if tenant is None:
            return None
        _, fence = await self._call(
            [
                ("HSET", _node(self.node, "runs"), stream, tenant),
                (scripts.TAKE, _stream(stream, "record"), (owner, self.node)),
            ]
        )
        record = await self.record(stream, Reach()) if fence is not None else None
        if record is None:
            # It may be this node's already, where the answer to an earlier try was lost.
            holder = await self._one("HGET", _key(stream, "record"), "owner")
            if holder is None or holder.decode() != self.node:
                await self._one("HDEL", _node(self.node, "runs"), stream)
            return None
        self._held[stream] = _Held(tenant.decode(), str(int(fence)), record.place.version, record.place.size)
        body = await self._one("HGET", _key(stream, "record"), "body")
        return replace(record, kept=replace(record.kept, body=body))

    async def give(self, stream: str, to: str) -> bool:
        """See `service.store.shared.SharedStore.give`."""
        held = self._held.get(stream)
        if held is None or not await self._one(scripts.GIVE, _stream(stream, "record"), (held.fence,)):
            return False
        await self._ask(to.encode(), stream)
        return True

    async def left_by(self, node: str) -> list[tuple[str, str]]:
        """See `service.store.shared.SharedStore.left_by`."""
        rows = _fields(await self._one("HGETALL", _node(node, "runs")))
        return [(tenant.decode(), stream) for stream, tenant in rows.items()]

    async def leave(self, node: str, stream: str) -> None:
        """See `service.store.shared.SharedStore.leave`."""
        await self._one("HDEL", _node(node, "runs"), stream)

    async def bury(self, node: str) -> None:
        """See `service.store.shared.SharedStore.bury`."""
        await self._one(scripts.BURY, _alls("nodes", "processes"), (node, int(LEASE_S * 1000)))

    def disown(self, stream: str) -> None:
        """See `service.store.shared.SharedStore.disown`."""
        self._held.pop(stream, None)

    # -- following

    def listen(self, woken: Callable[[], None], heard: Callable[[str, str, str], None]) -> None:
        """See `service.store.shared.SharedStore.listen`."""
        self._following.woken, self._following.heard = woken, heard

    async def follow(self, stream: str, told: Callable[[Told], None]) -> None:
        """See `service.store.shared.SharedStore.follow`."""
        await self._following.follow(_key(stream, "told"), told)

    async def unfollow(self, stream: str, told: Callable[[Told], None]) -> None:
        """See `service.store.shared.SharedStore.unfollow`."""
        await self._following.unfollow(_key(stream, "told"), told)

    # -- channels

    async def announce(self, tenant: str, channel: str, stream: str) -> None:
        """See `service.store.shared.SharedStore.announce`."""
        told = " ".join((quote(tenant, safe=""), quote(channel, safe=""), stream))
        await self._call(
            [
                ("SADD", *_tenant(tenant, f"channel:{channel}"), stream),
                ("EXPIRE", *_tenant(tenant, f"channel:{channel}"), 7 * 86_400),
                ("PUBLISH", "fanlight:heard", told),
            ]
        )

    async def announced(self, channels: Sequence[tuple[str, str]]) -> list[list[str]]:
        """See `service.store.shared.SharedStore.announced`."""
        answers = await self._call(
            [("SMEMBERS", *_tenant(tenant, f"channel:{channel}")) for tenant, channel in channels]
        )
        return [[raw.decode() for raw in answer] for answer in answers]

    async def under(self, tenant: str, channel: str) -> list[str]:
        """See `service.store.shared.SharedStore.under`."""
        (key,) = _tenant(tenant, f"channel:{channel}")
        streams = [raw.decode() for raw in await self._one("SMEMBERS", key)]
        if not streams:
            return []
        runs = await self._call([("HEXISTS", *_tenant(tenant, "running"), stream) for stream in streams])
        over = [stream for stream, run in zip(streams, runs, strict=True) if not run]
        if over:
            await self._one("SREM", key, *over)
        return [stream for stream, run in zip(streams, runs, strict=True) if run]


def _client(url: str) -> "Redis":
    return Redis.from_url(
        url,
        protocol=2,
        # Our own clock instead: theirs takes a cancellation for an answer now and then (Python 3.11).
        socket_timeout=None,
        socket_connect_timeout=ANSWER_S,
        retry=Retry(NoBackoff(), 0),  # who asks knows better whether another try is worth it
    )


def _asking(node: str, stream: str) -> list[Command]:
    """Have a node look at a stream: the set keeps it, for a node that died not for ever; the telling makes it soon."""
    asked = _node(node, "asked")
    return [("SADD", asked, stream), ("EXPIRE", asked, ASKED_S), ("PUBLISH", _channel(node), b"")]


def _after_blank(known: bytes | None) -> bytes | None:
    return known.partition(b" ")[2] if known is not None else None


def _failed(exc: BaseException) -> StoreFailed:
    """What failed, without what it was asked for."""
    kind = type(exc).__name__
    word = str(exc).split(" ", 1)[0] if kind in ("ResponseError", "OutOfMemoryError", "ReadOnlyError") else ""
    return StoreFailed(f"{kind} {word}".strip())


# -- names of keys


def _key(stream: str, name: str) -> str:
    return f"fanlight:{{{stream}}}:{name}"


def _stream(stream: str, *names: str) -> tuple[str, ...]:
    return tuple(_key(stream, name) for name in names)


def _tenant(tenant: str, *names: str) -> tuple[str, ...]:
    return tuple(f"fanlight:{{t:{quote(tenant, safe='')}}}:{name}" for name in names)


def _all(name: str) -> str:
    return f"fanlight:{{all}}:{name}"


def _alls(*names: str) -> tuple[str, ...]:
    return tuple(map(_all, names))


def _node(node: str, name: str) -> str:
    return f"fanlight:{{n:{quote(node, safe='')}}}:{name}"


def _channel(node: str) -> str:
    return f"fanlight:node:{quote(node, safe='')}"


# -- reading answers


def _pairs(flat: Sequence[Any]) -> list[tuple[Any, Any]]:
    if flat and isinstance(flat[0], tuple | list):
        return [tuple(pair) for pair in flat]
    return list(zip(flat[::2], flat[1::2], strict=True))


def _fields(answer: Any) -> dict[str, bytes]:
    pairs = answer.items() if isinstance(answer, dict) else _pairs(answer)
    return {name.decode(): value for name, value in pairs}


def _kept(stream: str, row: Mapping[str, bytes], place: float | None) -> Kept:
    return Kept(
        stream,
        row["tenant"].decode(),
        int(place or 0),
        float(row["created"]),
        row["meta"],
        row.get("body"),
        int(row["gen"]),
        row["reason"].decode(),
        row.get("ending"),
        float(row.get("at", 0)),
        float(row.get("expires", 0)),
        row["status"].decode() if "status" in row else None,
    )


def _record(stream: str, found: Sequence[Any]) -> Record:
    flat, data, size, whole = found
    row = _fields(flat)
    also = Also(
        int(row.get("starters", 1)),
        row.get("finish") == b"1",
        float(row.get("grace", 0)),
        float(row.get("ttl", 0)),
    )
    return Record(
        _kept(stream, row, 0),
        row["owner"].decode(),
        Reach(int(row["version"]), int(size)),
        data,
        bool(whole),
        also,
        row.get("wish", b"").decode(),
        int(row.get("renew", 0)),
        {name[2:]: value for name, value in row.items() if name.startswith("p:")},
    )
