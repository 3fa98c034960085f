"""Who calls, and what they may do at all. What they may do to one escrow is said by the state table."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from escrowd.domain.escrow.status import Who
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.parties import WalletRole


class Scope(StrEnum):
    """What an API key opens."""

    #: See every escrow, and all events.
    ESCROWS_READ = "escrows:read"
    #: Make escrows, call them off, hand out the links of buyer and vendor, and set up webhooks.
    ESCROWS_WRITE = "escrows:write"
    #: Rule disputes. A key that hands out links may hand out the arbiter's with it, too.
    ARBITER = "arbiter"
    #: Everything that the operator does. It sees what ``escrows:read`` sees.
    ADMIN = "admin"


#: As whom a scope speaks about an escrow.
WHO_OF_SCOPE: Final = {
    Scope.ESCROWS_WRITE: Who.INTEGRATOR,
    Scope.ARBITER: Who.ARBITER,
    Scope.ADMIN: Who.OPERATOR,
}
#: As whom a party speaks about its escrow.
WHO_OF_ROLE: Final = {
    WalletRole.BUYER: Who.BUYER,
    WalletRole.VENDOR: Who.VENDOR,
    WalletRole.ARBITER: Who.ARBITER,
}
#: With which scopes a key that may hand out links may hand out the one of a role. The arbiter's link rules: who makes
#: escrows without being the arbiter must not be able to rule over them.
SCOPES_FOR_LINK: Final[Mapping[WalletRole, tuple[Scope, ...]]] = {
    WalletRole.BUYER: (Scope.ESCROWS_WRITE, Scope.ADMIN),
    WalletRole.VENDOR: (Scope.ESCROWS_WRITE, Scope.ADMIN),
    WalletRole.ARBITER: (Scope.ARBITER, Scope.ADMIN),
}
#: Any of these lets a key see escrows: nobody can decide on what they cannot see.
SEES_ESCROWS: Final = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class Party:
    """A role in one escrow."""

    escrow: EscrowId
    role: WalletRole


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request: the holder of an API key, or a party of one escrow.

    ``name`` tells callers apart, in the audit and for idempotency. It is no secret.
    """

    name: str
    scopes: frozenset[Scope] = frozenset()
    party: Party | None = None
    #: How often the link of the party had been replaced when the one was made that it came with.
    link_generation: int = 0

    def may_see(self, escrow: EscrowId) -> bool:
        """Whether the caller may know that there is this escrow."""
        return self.party.escrow == escrow if self.party else bool(self.scopes & SEES_ESCROWS)

    def voices(self) -> tuple[Who, ...]:
        """Return as whom the caller may speak about an escrow that it sees."""
        if self.party is not None:
            return (WHO_OF_ROLE[self.party.role],)
        return tuple(who for scope, who in WHO_OF_SCOPE.items() if scope in self.scopes)

    def may(self, *scopes: Scope) -> bool:
        """Whether the caller has one of these scopes."""
        return bool(self.scopes.intersection(scopes))

    def hands_out_links_of(self) -> tuple[WalletRole, ...]:
        """Return whose links the caller may be shown, where it may be shown links at all."""
        return tuple(role for role, scopes in SCOPES_FOR_LINK.items() if self.may(*scopes))


@dataclass(frozen=True, slots=True)
class ApiKeyRecord:
    """A key as it is stored. Times are milliseconds since 1970."""

    id: str
    name: str
    #: HMAC of its secret part, hex.
    digest: str
    scopes: frozenset[Scope]
    created_at: int
    revoked_at: int | None = None


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """What a request was answered. ``request`` is a digest of what was asked."""

    request: str
    status: int
    sealed_body: str


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Somebody did something. ``at`` is milliseconds since 1970."""

    number: int
    at: int
    caller: str
    action: str
    subject: str
    cause: str
