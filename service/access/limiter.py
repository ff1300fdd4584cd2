"""How much a tenant, and a key, may do: rates, readers, running streams, and what a day may cost.

A bound of the settings holds for each tenant, one of the same name in a key for what is done
with that key. Where several processes share a store they share what is counted: rates in one
step, the day's sums and who reads within a second or two.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from types import TracebackType
from typing import Any, Protocol, Self, cast

import orjson
import structlog

from protocol.errors import Refusal
from service.access.caller import Caller
from service.store.contract import Store, StoreFailed
from service.store.rates import Drawn, Rate, draw
from service.store.shared import SharedStore

log = structlog.get_logger()
TICK_S = 1.0
# What is counted at a node counts for so long without hearing of it.
CENSUS_S = 5.0
MOST_RATES = 100_000
_NOBODY = ""
DAY_S = 86_400
DAILY = ("upstream_seconds_per_day", "output_tokens_per_day")


@dataclass(frozen=True, slots=True)
class Bounds:
    """What each tenant may; None is without bound."""

    starts_per_minute: int | None = None
    attaches_per_minute: int | None = None
    max_readers_per_tenant: int | None = None
    max_readers_per_stream: int | None = None
    upstream_seconds_per_day: int | None = None
    output_tokens_per_day: int | None = None
    messages_per_minute: int = 6000  # of one socket


NO_BOUNDS = Bounds()


@lru_cache(maxsize=2)
def _date_of(day: int) -> str:
    """A day since the epoch, as it is named; asked for twice by each stream that ends."""
    return datetime.fromtimestamp(day * DAY_S, UTC).date().isoformat()


class Here(Protocol):
    """What there is at this node, by ``tenant`` and by ``tenant/key``."""

    def readers(self) -> Mapping[str, int]:
        """Connections that read."""

    def streams(self) -> Mapping[str, int]:
        """Streams that run."""

    def seconds(self) -> Mapping[str, float]:
        """How long the upstream has worked for what runs."""


class Limiter:
    """See the module's text; an async context manager.

    Args:
        here: what there is at this node.
        nodes: names of the other ones that live.
    """

    def __init__(
        self,
        store: Store,
        bounds: Bounds,
        here: Here,
        *,
        node: str = "",
        nodes: Callable[[], Iterable[str]] = tuple,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self.bounds = bounds
        self._here = here
        self._node = node
        self._nodes = nodes
        self._clock = clock
        self._full_at: dict[str, float] = {}
        self._spent: dict[tuple[str, str], float] = {}  # by tenant and name of a sum
        self._unsaid: Counter[tuple[str, str]] = Counter()
        self._elsewhere: Mapping[str, Mapping[str, float]] = {"readers": {}, "streams": {}, "seconds": {}}
        self._told: bytes | None = None
        self._ticker: asyncio.Task[None] | None = None
        self.hits: Counter[str] = Counter()  # refusals, by the name of the bound

    async def __aenter__(self) -> Self:
        self._ticker = asyncio.get_running_loop().create_task(self._tick_on(), name="limiter")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ticker is not None:
            self._ticker.cancel()
            with suppress(asyncio.CancelledError):
                await self._ticker
        await self.settle()

    async def _tick_on(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            try:
                await self.settle()
            except Exception:  # whatever it is, what comes next must be counted
                log.exception("limits_not_told")

    async def settle(self) -> None:
        """Tell the store what was spent and counted here, and hear what was elsewhere."""
        try:
            await self._tell_spent()
            if self._store.shared:
                await self._count()
        except StoreFailed as exc:
            log.debug("limits_not_told", fault=str(exc))

    # -- what is asked

    def concerns(self, caller: Caller) -> bool:
        """Whether anything bounds a caller."""
        return self._bounds_all or bool(caller.limits)

    @property
    def bounds(self) -> Bounds:
        """What each tenant may."""
        return self._bounds

    @bounds.setter
    def bounds(self, bounds: Bounds) -> None:
        self._bounds, self._bounds_all = bounds, bounds != NO_BOUNDS

    async def start(self, caller: Caller) -> Drawn | None:
        """One more stream is led in a caller's name; what is left of its rate.

        Raises:
            Refusal: ``limit_reached``; ``overloaded``, where it cannot be counted.
        """
        if not self.concerns(caller):
            return None
        await self._check_budget(caller)
        drawn = await self._draw("starts_per_minute", caller, "starts")
        # Last: until the stream is led nothing is awaited any more.
        most = caller.limits.get("max_streams_per_tenant")
        if most is not None and self._count_of("streams", caller.owners[-1]) >= most:
            raise self._reached("max_streams_per_tenant", "this key runs as many streams as it may", 1)
        return drawn

    async def attach(self, caller: Caller) -> None:
        """One more reader comes.

        Raises:
            Refusal: ``limit_reached``; ``overloaded``, where it cannot be counted.
        """
        await self._draw("attaches_per_minute", caller, "attaches")

    def check_stream(self, caller: Caller, readers: int) -> None:
        """Do nothing where a stream that has so many readers may have one more.

        Raises:
            Refusal: ``limit_reached``.
        """
        for most in self._both("max_readers_per_stream", caller).values():
            if readers >= most:
                raise self._reached("max_readers_per_stream", "the stream has as many readers as it may", 1)

    def check_readers(self, caller: Caller) -> None:
        """Do nothing where one more connection of a caller's may read.

        Raises:
            Refusal: ``limit_reached``.
        """
        for whose, most in self._both("max_readers_per_tenant", caller).items():
            if self._count_of("readers", whose) >= most:
                raise self._reached("max_readers_per_tenant", "you have as many readers as you may", 1)

    def spend(self, tenant: str, key: str, name: str, amount: float) -> None:
        """So much of a day's budget was used."""
        for sum_name in self._sums(name, key):
            self._unsaid[tenant, sum_name] += amount  # type: ignore[assignment]

    # -- rates

    async def _draw(self, name: str, caller: Caller, what: str) -> Drawn | None:
        rates = [
            Rate(name if whose == caller.tenant else f"{name}:{caller.key}", most)
            for whose, most in self._both(name, caller).items()
        ]
        if not rates:
            return None
        if any(rate.per_minute == 0 for rate in rates):
            raise self._reached(name, f"no {what} are allowed", 3600)
        drawn = await self._drawn(caller.tenant, rates)
        if drawn.wait_s:
            refusal = self._reached(name, f"too many {what} a minute", max(1, -int(-drawn.wait_s // 1)))
            refusal.headers.update(drawn.headers(what))
            raise refusal
        return drawn

    async def _drawn(self, tenant: str, rates: Sequence[Rate]) -> Drawn:
        if self._store.shared:
            try:
                return await cast(SharedStore, self._store).draw(tenant, rates)
            except StoreFailed as exc:
                raise Refusal("overloaded", "what is allowed cannot be counted now", retry_after_s=1) from exc
        now = self._clock()
        known = {rate.name: self._full_at.get(f"{tenant}/{rate.name}", 0.0) for rate in rates}
        drawn, fresh = draw(known, rates, now)
        self._full_at.update({f"{tenant}/{name}": at for name, at in fresh.items()})
        if len(self._full_at) > MOST_RATES:
            self._full_at = {name: at for name, at in self._full_at.items() if at > now}
        return drawn

    # -- budgets

    async def _check_budget(self, caller: Caller) -> None:
        for name in DAILY:
            for whose, most in self._both(name, caller).items():
                plain, *own = self._sums(name, caller.key)
                mark = caller.tenant, plain if whose == caller.tenant else own[0]
                if mark not in self._spent:
                    await self._learn(mark)
                running = self._seconds_of(whose) if name == DAILY[0] else 0.0
                if self._spent.get(mark, 0.0) + self._unsaid[mark] + running >= most:
                    raise self._reached(name, "the day's budget is used up", self._until_midnight())

    async def _learn(self, mark: tuple[str, str]) -> None:
        try:
            self._spent.update(await self._store.add({mark: 0.0}, self._midnight(), self._clock()))
        except StoreFailed as exc:
            raise Refusal("overloaded", "the day's budget cannot be read now", retry_after_s=1) from exc

    async def _tell_spent(self) -> None:
        now, today = self._clock(), f":{self._today()}"
        self._spent = {mark: sum_ for mark, sum_ in self._spent.items() if today in mark[1]}
        asked = dict.fromkeys(self._spent, 0.0) | dict(self._unsaid)
        if not asked or not (self._unsaid or self._store.shared):
            return
        self._unsaid, unsaid = Counter(), self._unsaid
        try:
            self._spent.update(await self._store.add(asked, self._midnight() + 3600, now))
        except StoreFailed:
            self._unsaid.update(unsaid)
            raise

    def _sums(self, name: str, key: str) -> list[str]:
        """The names of a day's sums: the tenant's, and the key's where there is one."""
        whole = f"{name}:{self._today()}"
        return [whole, f"{whole}:{key}"] if key else [whole]

    def _today(self) -> str:
        return _date_of(int(self._clock() // DAY_S))

    def _midnight(self) -> float:
        day = datetime.fromtimestamp(self._clock(), UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return (day + timedelta(days=1)).timestamp()

    def _until_midnight(self) -> int:
        return max(1, int(self._midnight() - self._clock()))

    # -- counting

    def _seconds_of(self, whose: str) -> float:
        return self._here.seconds().get(whose, 0.0) + self._elsewhere["seconds"].get(whose, 0.0)

    def _count_of(self, what: str, whose: str) -> float:
        here = self._here.readers() if what == "readers" else self._here.streams()
        return here.get(whose, 0) + self._elsewhere[what].get(whose, 0)

    async def _count(self) -> None:
        """Say who reads and what runs here, and hear of the other nodes."""
        now = self._clock()
        here = {name: dict(getattr(self._here, name)()) for name in self._elsewhere}
        told = orjson.dumps({"at": now, **here})
        name = f"census:{self._node}"
        if not await self._store.write_note(_NOBODY, name, self._told, told, now + CENSUS_S, now):
            before = await self._store.note(_NOBODY, name, now)
            await self._store.write_note(_NOBODY, name, before, told, now + CENSUS_S, now)
        self._told = told
        elsewhere: dict[str, Counter[str]] = {name: Counter() for name in self._elsewhere}
        for node in self._nodes():
            there = await self._store.note(_NOBODY, f"census:{node}", now)
            if there is not None:
                known: dict[str, Any] = orjson.loads(there)
                for name, counted in elsewhere.items():
                    counted.update(known[name])
        self._elsewhere = elsewhere

    # -- bounds

    def _both(self, name: str, caller: Caller) -> dict[str, int]:
        """The bounds of that name: of the tenant, and of the key."""
        found: dict[str, int] = {}
        if (most := getattr(self.bounds, name)) is not None:
            found[caller.tenant] = most
        if name in caller.limits:
            found[caller.owners[-1]] = caller.limits[name]
        return found

    def _reached(self, name: str, message: str, retry_after_s: int) -> Refusal:
        self.hits[name] += 1
        return Refusal("limit_reached", message, retry_after_s=retry_after_s)
