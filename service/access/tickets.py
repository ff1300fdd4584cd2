"""Tickets: short-lived JSON Web Tokens (RFC 7519) that a browser may hold.

Of the token's own header nothing is believed but `kid`: which algorithm goes with it the
service knows by itself, so that neither ``none`` nor one key's use for another's algorithm is
ever tried. Times are judged here, by one clock: `exp` exactly, `iat` and `nbf` with a skew.
"""

import base64
import binascii
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from protocol.errors import Refusal
from service.access.caller import Caller, Grant, Replay, Scope

AUDIENCE = "fanlight"
SKEW_S = 30.0
MAX_TICKET_CHARS = 4096
MAX_TTL_S = 86_400
MAX_ORIGINS = 8
JTI = re.compile(r"tk_[A-Za-z0-9_-]{22}")
# Three parts of base64url, the first a JSON object: what no key of ours looks like.
_FORM = re.compile(r"eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*")
_KID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class _Claims(BaseModel):
    """What a ticket of ours says; one that says anything else is none of ours."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    aud: Literal["fanlight"]
    iat: float
    exp: float
    nbf: float | None = None
    jti: Annotated[str, Field(pattern=f"^{JTI.pattern}$")]
    tenant: str
    key: str
    born: float = 0.0
    scopes: list[Scope]
    origins: list[str] = Field(default_factory=list, max_length=MAX_ORIGINS)
    stream: str | None = None
    channel: str | None = None
    session: str | None = None
    replay: Replay = "full"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key that tickets are signed or verified with.

    Attributes:
        algorithm: the only one that it is ever used for.
    """

    kid: str
    algorithm: Literal["HS256", "EdDSA"]
    private: Any
    public: Any


def looks_like_ticket(text: str) -> bool:
    """Whether a bearer's token has the form of a ticket."""
    return _FORM.fullmatch(text) is not None


def signing_key(kid: str, secret: str, *, algorithm: str = "HS256") -> SigningKey:
    """Return a key from base64url: 32 bytes or more for HS256, the 32 bytes of a private key for EdDSA.

    Raises:
        ValueError: it is no such thing.
    """
    if not _KID.fullmatch(kid):
        raise ValueError("the id of a ticket key has 1 to 64 letters, digits, dots, dashes and underscores")
    try:
        raw = base64.b64decode(secret + "=" * (-len(secret) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as exc:
        raise ValueError(f"the ticket key {kid} is not base64url") from exc
    if algorithm == "HS256":
        if len(raw) < 32:
            raise ValueError(f"the ticket key {kid} has less than 32 bytes")
        return SigningKey(kid, "HS256", raw, raw)
    if len(raw) != 32:
        raise ValueError(f"the ticket key {kid} has not the 32 bytes of an Ed25519 key")
    private = Ed25519PrivateKey.from_private_bytes(raw)
    return SigningKey(kid, "EdDSA", private, private.public_key())


def signing_keys(told: str) -> tuple[SigningKey, ...]:
    """Return the keys of ``kid:base64url,kid:ed25519:base64url``; the first signs.

    Raises:
        ValueError: something in it is none, or two have one id.
    """
    keys: list[SigningKey] = []
    for part in filter(None, (part.strip() for part in told.split(","))):
        fields = part.split(":")
        if len(fields) == 2:
            keys.append(signing_key(fields[0], fields[1]))
        elif len(fields) == 3 and fields[1] == "ed25519":
            keys.append(signing_key(fields[0], fields[2], algorithm="EdDSA"))
        else:
            raise ValueError("ticket keys are kid:base64url or kid:ed25519:base64url, comma-separated")
    if len({key.kid for key in keys}) < len(keys):
        raise ValueError("two ticket keys have one id")
    return tuple(keys)


def new_jti() -> str:
    """A name for a ticket, which nobody can guess."""
    return f"tk_{secrets.token_urlsafe(16)}"


def issue(key: SigningKey, caller: Caller, grant: Grant, scopes: Sequence[Scope], now: float) -> str:
    """Sign a ticket: some of what ``caller`` may do, with what ``grant`` names."""
    claims: dict[str, Any] = {
        "aud": AUDIENCE,
        "iat": now,
        "exp": grant.expires,
        "jti": grant.jti,
        "tenant": caller.tenant,
        "key": caller.key,
        "born": caller.born or None,
        "scopes": list(scopes),
        "origins": sorted(caller.origins),
        "stream": grant.stream,
        "channel": grant.channel,
        "session": grant.session or None,
        "replay": grant.replay,
    }
    told = {name: value for name, value in claims.items() if value not in (None, [])}
    return jwt.encode(told, key.private, algorithm=key.algorithm, headers={"kid": key.kid})


def bearer(ticket: str, keys: Mapping[str, SigningKey], now: float) -> Caller:
    """Return who a ticket speaks for; whether it was revoked is not known here.

    Raises:
        Refusal: ``unauthenticated``, ``ticket_expired``.
    """
    claims = _claims(ticket, keys)
    if claims.exp <= now:
        raise expired()
    if max(claims.iat, claims.nbf or 0.0) > now + SKEW_S or claims.exp - claims.iat > MAX_TTL_S:
        raise _none()
    grant = Grant(
        claims.jti, claims.exp, claims.stream, claims.channel, claims.session or claims.jti, claims.replay
    )  # fmt: skip
    return Caller(
        claims.tenant,
        frozenset(claims.scopes),
        key=claims.key,
        origins=frozenset(claims.origins),
        born=claims.born,
        expires=claims.exp,
        grant=grant,
    )


def origins_of(ticket: str, keys: Mapping[str, SigningKey]) -> frozenset[str]:
    """The pages that a ticket was for, also one that has expired; of what is none, none."""
    try:
        return frozenset(_claims(ticket, keys).origins)
    except Refusal:
        return frozenset()


def _claims(ticket: str, keys: Mapping[str, SigningKey]) -> _Claims:
    if len(ticket) > MAX_TICKET_CHARS or not looks_like_ticket(ticket):
        raise _none()
    try:
        key = keys.get(str(jwt.get_unverified_header(ticket).get("kid")))
        if key is None:
            raise _none()
        told = jwt.decode(
            ticket,
            key.public,
            algorithms=[key.algorithm],
            audience=AUDIENCE,
            options={
                "require": ["exp", "iat", "aud", "jti"],
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
                "strict_aud": True,
            },
        )
        return _Claims.model_validate(told)
    except (jwt.PyJWTError, ValidationError, ValueError, RecursionError) as exc:
        raise _none() from exc


def expired() -> Refusal:
    """A ticket that was one."""
    return Refusal("ticket_expired", "the ticket has expired or was revoked")


def _none() -> Refusal:
    return Refusal("unauthenticated", "that is no ticket of this service")
