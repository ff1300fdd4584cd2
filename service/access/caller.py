"""Who a request comes from, and what it may do.

A caller is a tenant with scopes. What it may see of that tenant is all there is, or what its
ticket names: one stream, one channel, or what was started in one session.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from protocol.errors import Refusal

Scope = Literal["start", "read", "cancel", "proxy", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
# What a key may do that was made without saying it; what looks after other tenants is asked for by name.
USUAL = frozenset[Scope]({"start", "read", "cancel", "proxy"})
Replay = Literal["full", "live"]


def owners_of(tenant: str, key: str) -> tuple[str, ...]:
    """The names that something is counted under: the tenant's, and the key's where there is one."""
    return (tenant, f"{tenant}/{key}") if key else (tenant,)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a ticket lets its bearer have to do with.

    Attributes:
        jti: the ticket's name, by which it is revoked.
        stream, channel: the only one; with neither of them what was started in the session.
        session: whose starts are one another's; tickets of one session share them.
        replay: with ``live`` nothing is shown that was told before.
    """

    jti: str
    expires: float
    stream: str | None = None
    channel: str | None = None
    session: str = ""
    replay: Replay = "full"

    @property
    def subject(self) -> tuple[str | None, ...]:
        """What it is for."""
        return self.stream, self.channel, self.stream or self.channel or self.session, self.replay


@dataclass(frozen=True, slots=True)
class Caller:
    """See the module's text.

    Attributes:
        key: the name of the key that it brought, or that its ticket was made with; empty where none is needed.
        origins: of pages that may speak for it; empty where the door's own list decides.
        born: when its key was made; another key of that name is another key.
        expires: wall-clock seconds since the epoch, when it is nobody any more.
        limits: bounds of its key, by the name of the setting that they stand in for.
        grant: of its ticket; None for a key.
    """

    tenant: str
    scopes: frozenset[Scope] = frozenset(SCOPES)
    key: str = ""
    origins: frozenset[str] = frozenset()
    born: float = 0.0
    expires: float | None = None
    limits: Mapping[str, int] = field(default_factory=dict)
    grant: Grant | None = None

    def need(self, *scopes: Scope) -> None:
        """Do nothing where the caller may do that.

        Raises:
            Refusal: ``forbidden``.
        """
        if not self.scopes.issuperset(scopes):
            missing = [scope for scope in scopes if scope not in self.scopes]
            what = "ticket" if self.grant is not None else "key"
            raise Refusal("forbidden", f"this {what} has no scope {missing[0]}")

    @property
    def owners(self) -> tuple[str, ...]:
        """What its use is counted under; the last is its key's, where it has one."""
        return owners_of(self.tenant, self.key)

    @property
    def is_live_only(self) -> bool:
        """Whether nothing may be shown that was told before."""
        return self.grant is not None and self.grant.replay == "live"

    def renews(self, other: "Caller") -> bool:
        """Whether this caller's ticket is for what another one's was."""
        own, its = self.grant, other.grant
        if own is None or its is None:
            return False
        return (self.tenant, self.origins, own.subject) == (other.tenant, other.origins, its.subject)

    @property
    def space(self) -> str:
        """What names of the caller's own choice are told apart by: those of one session are not another's."""
        return f"{self.grant.session}/" if self.grant is not None else ""
