"""``/v1/tickets``: what a server gives a browser in place of its key."""

import re
from datetime import UTC, datetime
from typing import Annotated, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from protocol.errors import Refusal, first_fault
from protocol.wire.options import CHANNEL_PATTERN
from service.access.book import ORIGIN
from service.access.caller import Caller, Grant, Replay, Scope
from service.access.tickets import JTI, MAX_ORIGINS, MAX_TTL_S, new_jti
from service.web.access import caller_of, visible
from service.web.bodies import read_object
from service.web.errors import json_response
from service.web.keys import FORWARD_KEYS, HUB, KEYRING
from service.web.trail import TRAIL

MAX_BODY_BYTES = 1 << 14
TicketScope = Literal["start", "read", "cancel"]


class TicketRequest(BaseModel):
    """What a ticket is asked for.

    Attributes:
        stream, channel: the one that it is for; without either it is for what it starts.
        session: tickets of one session share what they start; without it a ticket is alone.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    stream: Annotated[str, Field(max_length=128)] | None = None
    channel: Annotated[str, Field(pattern=f"^{CHANNEL_PATTERN}$")] | None = None
    session: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,128}$")] | None = None
    ttl_s: Annotated[int, Field(ge=1, le=MAX_TTL_S)] = 300
    scopes: Annotated[list[TicketScope], Field(min_length=1, max_length=3)] = ["read"]
    origins: Annotated[list[Annotated[str, Field(pattern=f"^{ORIGIN}$")]], Field(max_length=MAX_ORIGINS)] = []
    replay: Replay = "full"

    @model_validator(mode="after")
    def _is_for_something(self) -> "TicketRequest":
        named = [self.stream, self.channel, self.session]
        if sum(name is not None for name in named) > 1:
            raise ValueError("stream, channel or session: one of them")
        if (self.stream or self.channel) and "start" in self.scopes:
            raise ValueError("scopes: a ticket for a stream or a channel starts nothing")
        if not (self.stream or self.channel or "start" in self.scopes):
            raise ValueError("a ticket is for a stream, for a channel, or has the scope start")
        return self


async def create(request: web.Request) -> web.Response:
    """``POST /v1/tickets``."""
    caller = _maker(request)
    if request.app[FORWARD_KEYS]:
        raise Refusal("forbidden", "callers bring their own upstream keys, which no ticket holds")
    value, _ = await read_object(request, limit=MAX_BODY_BYTES)
    try:
        asked = TicketRequest.model_validate(value)
    except ValidationError as exc:
        raise Refusal("invalid_request", first_fault(exc, "ticket")) from exc
    scopes = _scopes(caller, asked)
    origins = frozenset(asked.origins) or caller.origins
    if caller.origins and not origins <= caller.origins:
        raise Refusal("forbidden", "origins: this key names others")
    if asked.stream is not None:
        await visible(request.app[HUB], caller, asked.stream)
    keyring, jti = request.app[KEYRING], new_jti()
    expires = keyring.clock() + asked.ttl_s
    if caller.expires is not None:
        expires = min(expires, caller.expires)
    grant = Grant(jti, expires, asked.stream, asked.channel, asked.session or "", asked.replay)
    bound = Caller(caller.tenant, key=caller.key, origins=origins, born=caller.born)
    ticket = await keyring.issue(bound, grant, scopes)
    request[TRAIL].note("ticket", "made", asked.stream, made=jti)
    expires_at = datetime.fromtimestamp(expires, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json_response({"ticket": ticket, "jti": jti, "expires_at": expires_at}, 201)


def _maker(request: web.Request) -> Caller:
    """Who makes or revokes a ticket: no ticket does.

    Raises:
        Refusal: ``forbidden``.
    """
    caller = caller_of(request, "start")
    if caller.grant is not None:
        raise Refusal("forbidden", "a ticket makes no tickets")
    return caller


def _scopes(caller: Caller, asked: TicketRequest) -> list[Scope]:
    """What the ticket may do; who may start also reads and cancels what it has started.

    Raises:
        Refusal: ``forbidden``: more than its maker may.
    """
    caller.need(*asked.scopes)
    if "start" not in asked.scopes:
        return sorted(set[Scope](asked.scopes))
    implied: set[Scope] = {"start", "read", "cancel"}
    return sorted(implied & caller.scopes)


async def revoke(request: web.Request) -> web.Response:
    """``DELETE /v1/tickets/{jti}``: 204, whether or not there was such a ticket."""
    caller, jti = _maker(request), request.match_info["jti"]
    if not re.fullmatch(JTI, jti):
        raise Refusal("invalid_request", "jti: that is no ticket's")
    await request.app[KEYRING].revoke(caller.tenant, jti)
    request[TRAIL].note("ticket", "revoked", revoked=jti)
    return web.Response(status=204, headers={"Cache-Control": "no-store"})
