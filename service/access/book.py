"""The book of keys: what is kept of each key, of revoked tickets, and of what tickets are signed with.

It is one document, in a file or in the store. Of a key its salted digest is kept, and never the key.
"""

import base64
import hashlib
import hmac
import re
import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.access.caller import USUAL, Scope

MAX_KEYS = 1000
MAX_REVOKED = 10_000
MAX_REVOKED_OF_TENANT = 2000
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
ORIGIN = r"https?://[A-Za-z0-9.\-\[\]:]{1,253}"
_KEY = re.compile(r"fl_([A-Za-z0-9]{12})_([A-Za-z0-9_-]{43})")
Text = Annotated[str, Field(max_length=128)]
Limit = Annotated[int, Field(ge=0, le=1 << 53)]


class BookBroken(Exception):
    """The book cannot be read, or a change to it cannot be made; the message is for the operator."""


class BookAway(BookBroken):
    """The book cannot be reached now, and waiting may help."""


class _Page(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Key(_Page):
    """One key.

    Attributes:
        id: stands in the key itself, so that one is looked at and not all.
        digest: hex of SHA-256 over salt and secret.
        expires, revoked: wall-clock seconds since the epoch.
        limits: bounds of its own, by the name of the setting that they stand in for.
    """

    id: Text
    name: Annotated[str, Field(pattern=f"^{NAME}$")]
    tenant: Annotated[str, Field(pattern=f"^{NAME}$")]
    salt: Text
    digest: Text
    scopes: frozenset[Scope] = USUAL
    origins: frozenset[Annotated[str, Field(pattern=f"^{ORIGIN}$")]] = frozenset()
    created: float
    expires: float | None = None
    revoked: float | None = None
    limits: Mapping[str, Limit] = Field(default_factory=dict)

    def stands(self, now: float) -> bool:
        """Whether it is one that may be used."""
        return self.revoked is None and (self.expires is None or now < self.expires)

    def opens_with(self, secret: str) -> bool:
        """Whether that is its secret."""
        return hmac.compare_digest(_digest(self.salt, secret), self.digest)


class Signing(_Page):
    """What tickets are signed with: 32 bytes, in base64url."""

    kid: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    secret: Annotated[str, Field(pattern=r"^([A-Za-z0-9_-]{4}){10,30}([A-Za-z0-9_-]{2,3})?=?$")]


class Book(_Page):
    """See the module's text.

    Attributes:
        keys: by name, revoked ones among them: where there ever was a key nobody comes in without.
        revoked: tickets, as ``tenant/jti``, and when they would have expired.
    """

    keys: Mapping[str, Key] = Field(default_factory=dict)
    revoked: Mapping[str, float] = Field(default_factory=dict)
    signing: Signing | None = None

    @classmethod
    def parse(cls, text: bytes | None) -> "Book":
        """Read a book; an empty one where there is none.

        Raises:
            BookBroken: it is none.
        """
        if not text:
            return cls()
        try:
            return cls.model_validate_json(text)
        except ValidationError as exc:
            # Without its values: they may be digests.
            raise BookBroken(f"the book of keys is broken: {exc.error_count()} faults") from exc

    def text(self) -> bytes:
        """As it is kept."""
        return self.model_dump_json(exclude_none=True).encode()


Edit = Callable[[Book], Book]


def created(book: Book, key: Key) -> Book:
    """The book with one more key.

    Raises:
        BookBroken: one of that name stands in it, or it is full.
    """
    old = book.keys.get(key.name)
    if old is not None and old.revoked is None:
        raise BookBroken(f"there is a key named {key.name} already")
    others = {name: one for name, one in book.keys.items() if name != key.name}
    gone = sorted((one for one in others.values() if one.revoked is not None), key=lambda one: one.revoked or 0.0)
    while len(others) >= MAX_KEYS and gone:
        del others[gone.pop(0).name]
    if len(others) >= MAX_KEYS:
        raise BookBroken(f"there are {MAX_KEYS} keys, as many as there may be")
    return book.model_copy(update={"keys": {**others, key.name: key}})


def revoked(book: Book, name: str, now: float) -> Book:
    """The book with a key that is none any more.

    Raises:
        BookBroken: there is none of that name.
    """
    key = named(book, name)
    gone = key.model_copy(update={"revoked": key.revoked or now})
    return book.model_copy(update={"keys": {**book.keys, name: gone}})


def rotated(book: Book, name: str, ident: str, secret: str) -> Book:
    """The book with another secret for a key; what was opened with the old one stays open.

    Raises:
        BookBroken: there is none of that name, or it was revoked.
    """
    key = named(book, name)
    if key.revoked is not None:
        raise BookBroken(f"the key {name} was revoked")
    salt = secrets.token_hex(16)
    fresh = key.model_copy(update={"id": ident, "salt": salt, "digest": _digest(salt, secret)})
    return book.model_copy(update={"keys": {**book.keys, name: fresh}})


def ticket_revoked(book: Book, tenant: str, jti: str, expires: float, now: float) -> Book:
    """The book with one more ticket that is none any more; those that have expired by themselves are left out.

    Where it is full, whoever has revoked the most loses the one that expires first: nobody keeps others from revoking.

    Raises:
        BookBroken: the tenant has revoked as many as it may.
    """
    standing = {name: until for name, until in book.revoked.items() if until > now}
    by_tenant = Counter(name.partition("/")[0] for name in standing)
    if by_tenant[tenant] >= MAX_REVOKED_OF_TENANT:
        raise BookBroken("as many tickets are revoked as may be at a time; revoke the key instead")
    if len(standing) >= MAX_REVOKED:
        ((most, _),) = by_tenant.most_common(1)
        del standing[min((n for n in standing if n.startswith(f"{most}/")), key=standing.__getitem__)]
    return book.model_copy(update={"revoked": {**standing, f"{tenant}/{jti}": expires}})


def named(book: Book, name: str) -> Key:
    """The key of that name.

    Raises:
        BookBroken: there is none.
    """
    if (key := book.keys.get(name)) is None:
        raise BookBroken(f"there is no key named {name}")
    return key


def new_secret() -> tuple[str, str]:
    """Id and secret of a new key: 256 random bits, so that a plain salted digest is enough."""
    ident = "".join(secrets.choice("abcdefghijkmnpqrstuvwxyz23456789") for _ in range(12))
    return ident, secrets.token_urlsafe(32)


def shown(ident: str, secret: str) -> str:
    """A key as its bearer has it."""
    return f"fl_{ident}_{secret}"


def taken_apart(key: str) -> tuple[str, str] | None:
    """Id and secret of a key; None for what is none of this book's."""
    match = _KEY.fullmatch(key)
    return (match[1], match[2]) if match else None


def new_key(name: str, tenant: str, ident: str, secret: str, created_at: float, **members: object) -> Key:
    """What is kept of a new key; ``members`` as in `Key`.

    Raises:
        ValidationError: some member is not what it should be.
    """
    salt = secrets.token_hex(16)
    return Key.model_validate(
        {"id": ident, "name": name, "tenant": tenant, "salt": salt, "digest": _digest(salt, secret)}
        | {"created": created_at, **members}
    )


def new_signing() -> Signing:
    """A fresh secret for tickets."""
    return Signing(kid=secrets.token_hex(4), secret=base64.urlsafe_b64encode(secrets.token_bytes(32)).decode())


def _digest(salt: str, secret: str) -> str:
    return hashlib.sha256(f"{salt}{secret}".encode(errors="surrogateescape")).hexdigest()
