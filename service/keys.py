"""``fanlight keys``: make, list, revoke and rotate keys, also while a service runs that uses them."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from pydantic import ValidationError

from config.settings import KEY_LIMITS, Settings
from protocol.errors import first_fault
from service.access import book
from service.access.book import Book, BookBroken, Edit, Key
from service.access.cabinets import Cabinet, FileCabinet, StoreCabinet, change
from service.store.contract import Store, StoreRefused
from service.store.sqlite import SqliteStore

Result = TypeVar("Result")

_SPAN = re.compile(r"([0-9]{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class KeyFault(Exception):
    """What was asked cannot be done; the message is for the operator."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """What a key is to be; texts as on the command line."""

    name: str
    tenant: str | None = None
    scopes: str | None = None
    origins: str | None = None
    expires: str | None = None
    limits: Sequence[str] = field(default_factory=tuple)

    def members(self, now: float) -> dict[str, Any]:
        """Members of `service.access.book.Key`.

        Raises:
            KeyFault: some text is none of what it should be.
        """
        found: dict[str, Any] = {"limits": dict(_limit(told) for told in self.limits)}
        if self.scopes is not None:
            found["scopes"] = _names(self.scopes)
        if self.origins is not None:
            found["origins"] = _names(self.origins)
        if self.expires is not None:
            found["expires"] = _moment(self.expires, now)
        return found


def create(settings: Settings, wanted: NewKey) -> str:
    """Make a key; return it, for it can never be had again.

    Raises:
        KeyFault: it cannot be made; why, in words.
    """
    now = time.time()
    ident, secret = book.new_secret()
    try:
        key = book.new_key(wanted.name, wanted.tenant or wanted.name, ident, secret, now, **wanted.members(now))
    except ValidationError as exc:
        raise KeyFault(first_fault(exc, "key")) from exc
    _changed(settings, lambda known: book.created(known, key))
    return book.shown(ident, secret)


def revoke(settings: Settings, name: str) -> None:
    """End a key, its tickets and the connections that they opened.

    Raises:
        KeyFault: there is none of that name.
    """
    _changed(settings, lambda known: book.revoked(known, name, time.time()))


def rotate(settings: Settings, name: str) -> str:
    """Give a key another secret; return it whole.

    Raises:
        KeyFault: there is none of that name, or it was revoked.
    """
    ident, secret = book.new_secret()
    _changed(settings, lambda known: book.rotated(known, name, ident, secret))
    return book.shown(ident, secret)


def listed(settings: Settings) -> list[str]:
    """Return a line for each key, under a heading; nothing of a secret is in it.

    Raises:
        KeyFault: the book cannot be read.
    """

    async def read() -> Book:
        async with _cabinet(settings) as cabinet:
            return Book.parse(await cabinet.read())

    keys = sorted(_run(read()).keys.values(), key=lambda key: key.created)
    rows = [("NAME", "TENANT", "SCOPES", "STATE", "CREATED", "LIMITS AND ORIGINS"), *map(_row, keys)]
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]) - 1)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    ]


def _row(key: Key) -> tuple[str, ...]:
    now = time.time()
    state = "revoked" if key.revoked is not None else "good"
    if state == "good" and key.expires is not None:
        state = f"until {_day(key.expires)}" if key.stands(now) else "expired"
    beside = [*(f"{name}={value}" for name, value in sorted(key.limits.items())), *sorted(key.origins)]
    return key.name, key.tenant, ",".join(sorted(key.scopes)), state, _day(key.created), " ".join(beside)


def _day(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="minutes").replace("+00:00", "Z")


def _changed(settings: Settings, edit: Edit) -> None:
    async def run() -> None:
        async with _cabinet(settings) as cabinet:
            await change(cabinet, edit)

    _run(run())


def _run(work: Coroutine[Any, Any, Result]) -> Result:
    try:
        return asyncio.run(work)
    except (BookBroken, StoreRefused) as exc:
        raise KeyFault(str(exc)) from exc


@asynccontextmanager
async def _cabinet(settings: Settings) -> AsyncIterator[Cabinet]:
    """Where the service of these settings has its book."""
    path = settings.keys_path
    if path is not None:
        yield FileCabinet(path)
        return
    store = _store(settings)
    await store.open()
    try:
        yield StoreCabinet(store)
    finally:
        await store.close()


def _store(settings: Settings) -> Store:
    if settings.store_is_shared:
        from service.store.redis import RedisStore

        return RedisStore(settings.store, "fanlight-keys")
    assert settings.store_path is not None, "a store in memory has its keys in a file"
    return SqliteStore(settings.store_path, guest=True)


def _names(told: str) -> list[str]:
    return [part.strip() for part in told.split(",") if part.strip()]


def _limit(told: str) -> tuple[str, int]:
    name, _, value = told.partition("=")
    if name not in KEY_LIMITS or not value.isdigit():
        raise KeyFault(f"--limit is NAME=NUMBER, with one of {', '.join(sorted(KEY_LIMITS))}")
    return name, int(value)


def _moment(told: str, now: float) -> float:
    """Seconds since the epoch of a span from now (90s, 15m, 12h, 30d), or of a date."""
    if match := _SPAN.fullmatch(told):
        return now + timedelta(**{_UNITS[match[2]]: int(match[1])}).total_seconds()
    try:
        moment = datetime.fromisoformat(told)
    except ValueError as exc:
        raise KeyFault("--expires is a span such as 12h or 30d, or a date such as 2030-01-31T12:00:00Z") from exc
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
