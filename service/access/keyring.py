"""The keys and tickets that are good now: the book as it was read last, read anew every second or two.

What is asked at every request is answered from memory. A change by this process counts at once, one by
another process after `READ_S` at the latest; whoever holds connections open is told.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Self

import structlog

from protocol.errors import Refusal
from service.access import tickets
from service.access.book import Book, BookAway, BookBroken, Edit, new_signing, taken_apart, ticket_revoked
from service.access.cabinets import Cabinet, change
from service.access.caller import USUAL, Caller, Grant, Scope
from service.access.tickets import SigningKey

log = structlog.get_logger()
LOCAL_TENANT = "local"
READ_S = 1.5
FIRST_S = 0.1  # as long as it was never read
# How the name of a key begins that stands in the settings.
SETTINGS = "settings:"


def why_not(caller: Caller) -> Refusal:
    """Why somebody is nobody any more."""
    return tickets.expired() if caller.grant is not None else Refusal("unauthenticated", "the key is good no more")


def _named(known: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Keys of the settings, by digest: a name for each, and its tenant."""
    return {digest: (f"{SETTINGS}{tenant}:{digest[:8]}", tenant) for digest, tenant in known.items()}


class Keyring:
    """See the module's text; an async context manager.

    Args:
        known: SHA-256 (hex) of each key of the settings to its tenant.
        signing: keys of the settings for tickets; without them the book's.
        required: nobody comes in without a key, also where there is none.

    Attributes:
        was_read: whether it is known who may come in.
        clock: seconds since the epoch.
        changed: called when some key or ticket may not be good any more.
    """

    def __init__(
        self,
        cabinet: Cabinet,
        known: Mapping[str, str],
        signing: Sequence[SigningKey] = (),
        *,
        required: bool = False,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._cabinet = cabinet
        self._known = _named(known)
        self._told = tuple(signing)
        self._required = required
        self.was_read = False
        self.clock = wall
        self._text: bytes | None = None
        self._book = Book()
        self._by_id = {key.id: key for key in self._book.keys.values()}
        self._signing: dict[str, SigningKey] = {key.kid: key for key in signing}
        self._had_keys = bool(known)
        self._origins = frozenset[str]()
        self._reader: asyncio.Task[None] | None = None
        self.changed: Callable[[], None] = lambda: None

    async def __aenter__(self) -> Self:
        try:
            self._take(await self._cabinet.read())
        except BookAway as exc:  # until it can be read nobody is let in
            log.warning("keys_not_read", fault=str(exc))
        if self._required and self.was_read and not self._known and not self._had_keys:
            raise BookBroken(
                "listening beyond this machine without a key would let anybody in: `fanlight keys create NAME` makes"
                " one; FANLIGHT_ALLOW_OPEN=1 says that this is meant"
            )
        self._reader = asyncio.get_running_loop().create_task(self._read_on(), name="keyring")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reader is not None:
            self._reader.cancel()
            with suppress(asyncio.CancelledError):
                await self._reader

    @property
    def is_open(self) -> bool:
        """Whether no key is needed. Where there ever was one there is no way back but a restart without any."""
        return self.was_read and not self._required and not self._known and not self._had_keys

    @property
    def count(self) -> int:
        """Keys of the book that are good."""
        return sum(key.stands(self.clock()) for key in self._book.keys.values())

    @property
    def origins(self) -> frozenset[str]:
        """The origins of pages that some key names."""
        return self._origins

    # -- reading

    async def _read_on(self) -> None:
        while True:
            await asyncio.sleep(READ_S if self.was_read else FIRST_S)
            try:
                await self.read()
            except Exception:  # whatever it is, revocations must go on arriving
                log.exception("keys_not_read")

    async def read(self) -> None:
        """Look into the book; what cannot be read changes nothing, and is said."""
        try:
            self._take(await self._cabinet.read())
        except BookBroken as exc:
            log.error("keys_not_read", fault=str(exc))

    def configure(self, known: Mapping[str, str], signing: Sequence[SigningKey]) -> None:
        """Other settings count from now on."""
        self._known, self._told = _named(known), tuple(signing)
        self._settle()

    def _take(self, text: bytes | None) -> None:
        if text == self._text and self.was_read:
            return
        book = Book.parse(text)
        if self._book.keys and not book.keys:
            log.error("keys_gone", note="the book of keys is empty; whoever needs one is kept out")
        self._text, self._book, self.was_read = text, book, True
        self._settle()

    def _settle(self) -> None:
        book = self._book
        self._by_id = {key.id: key for key in book.keys.values()}
        self._had_keys = self._had_keys or bool(book.keys) or bool(self._known)
        standing = [key for key in book.keys.values() if key.stands(self.clock())]
        self._origins = frozenset(origin for key in standing for origin in key.origins)
        keys = self._told or ((tickets.signing_key(book.signing.kid, book.signing.secret),) if book.signing else ())
        self._signing = {key.kid: key for key in keys}
        self.changed()

    # -- who it is

    def by_key(self, key: str) -> Caller:
        """Return who brought a key.

        Raises:
            Refusal: ``unauthenticated``; ``overloaded``: the keys could not be read yet.
        """
        digest = hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()
        if (known := self._known.get(digest)) is not None:
            name, tenant = known
            return Caller(tenant, USUAL, key=name)
        parts = taken_apart(key)
        if not self.was_read:
            raise Refusal("overloaded", "the keys cannot be read yet", retry_after_s=1)
        found = self._by_id.get(parts[0]) if parts else None
        if found is None or parts is None or not found.opens_with(parts[1]) or not found.stands(self.clock()):
            raise Refusal("unauthenticated", "an API key is needed, as x-api-key or Authorization: Bearer")
        return Caller(
            found.tenant, found.scopes, found.name, found.origins, found.created, found.expires, found.limits
        )  # fmt: skip

    def by_ticket(self, ticket: str) -> Caller:
        """Return who brought a ticket.

        Raises:
            Refusal: ``unauthenticated``, ``ticket_expired``.
        """
        caller = tickets.bearer(ticket, self._signing, self.clock())
        if not self.stands(caller):
            raise tickets.expired()
        key = self._book.keys.get(caller.key)
        return replace(caller, limits=key.limits) if key is not None else caller

    def stands(self, caller: Caller) -> bool:
        """Whether a caller is one still: neither its ticket nor its key was revoked, nor has expired."""
        now = self.clock()
        grant = caller.grant
        if grant is not None and f"{caller.tenant}/{grant.jti}" in self._book.revoked:
            return False
        if caller.expires is not None and caller.expires <= now:
            return False
        if not caller.key:
            return self.is_open
        if caller.key.startswith(SETTINGS):
            return (caller.key, caller.tenant) in self._known.values()
        key = self._book.keys.get(caller.key)
        if key is None or (key.tenant, key.created) != (caller.tenant, caller.born):
            return False
        return key.stands(now)

    def check(self, caller: Caller) -> None:
        """Do nothing where a caller is one still.

        Raises:
            Refusal: ``unauthenticated``, ``ticket_expired``.
        """
        if not self.stands(caller):
            raise why_not(caller)

    def origins_of(self, ticket: str) -> frozenset[str]:
        """The pages that a ticket was for, whether or not it is good any more."""
        return tickets.origins_of(ticket, self._signing)

    # -- tickets

    async def issue(self, caller: Caller, grant: Grant, scopes: Sequence[Scope]) -> str:
        """Sign a ticket.

        Raises:
            Refusal: ``overloaded``: what it is to be signed with cannot be kept now.
        """
        if not self._signing:
            await self._change(lambda book: book.model_copy(update={"signing": book.signing or new_signing()}))
        key = next(iter(self._signing.values()))
        return tickets.issue(key, caller, grant, scopes, self.clock())

    async def revoke(self, tenant: str, jti: str) -> None:
        """No ticket of that name of a tenant's is good any more.

        Raises:
            Refusal: ``limit_reached``; ``overloaded``.
        """
        now = self.clock()
        await self._change(lambda book: ticket_revoked(book, tenant, jti, now + tickets.MAX_TTL_S, now))

    async def _change(self, edit: Edit) -> None:
        refusal: Refusal | None = None

        def tried(book: Book) -> Book:
            nonlocal refusal
            try:
                return edit(book)
            except BookBroken as exc:
                refusal = Refusal("limit_reached", str(exc), retry_after_s=60)
                return book

        try:
            book = await change(self._cabinet, tried)
        except BookBroken as exc:
            raise Refusal("overloaded", "the keys cannot be changed now", retry_after_s=1) from exc
        if refusal is not None:
            raise refusal
        self._take(book.text())
