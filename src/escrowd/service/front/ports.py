"""What the front of the service needs of the store, beyond what the work behind it does."""

from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from typing_extensions import override

from escrowd.domain.access import ApiKeyRecord, AuditEntry, StoredAnswer
from escrowd.domain.escrow.assess import Overview
from escrowd.domain.escrow.facts import EscrowFilter
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.parties import WalletRole
from escrowd.domain.secret import Secret
from escrowd.service.ports import EscrowRows, LogEntry, Transaction
from escrowd.service.webhooks.ports import WebhookRows


class FrontEscrowRows(EscrowRows, Protocol):
    """The escrows, many at a time."""

    async def page(self, wanted: EscrowFilter, before: tuple[int, str] | None, limit: int) -> tuple[EscrowId, ...]:
        """Return escrows, the newest first, that were made before a time and id, which are those of the last one."""
        ...

    async def oldest_payout(self) -> int:
        """Return for how many milliseconds the escrow has been paying out that began first; 0 where none does."""
        ...

    async def count_by_status(self) -> dict[str, int]:
        """Return how many escrows there are in each status that any of them has."""
        ...

    @override
    async def feed(
        self, after: int = 0, limit: int = 1000, types: Collection[str] | None = None
    ) -> tuple[LogEntry, ...]:
        """Return entries of all escrows, of some types only, with a cursor above ``after``, in order."""
        ...


class OverviewRows(Protocol):
    """Escrows as they are shown."""

    async def of(self, escrows: Sequence[EscrowId]) -> Overview:
        """Return these escrows with their money, and the moment. Those that do not exist are left out."""
        ...


class AccessRows(Protocol):
    """API keys, and the links of parties."""

    async def add_key(self, key: ApiKeyRecord) -> None:
        """Store a new key."""
        ...

    async def key(self, key: str) -> ApiKeyRecord | None:
        """Return a key, revoked or not."""
        ...

    async def keys(self) -> tuple[ApiKeyRecord, ...]:
        """Return all keys, the oldest first."""
        ...

    async def revoke_key(self, key: str, at: int) -> bool:
        """Let a key open nothing any more; return whether there is such a key."""
        ...

    async def link_generation(self, escrow: EscrowId, role: WalletRole) -> int:
        """Return how often the link of a party was replaced."""
        ...

    async def replace_link(self, escrow: EscrowId, role: WalletRole) -> int:
        """Count one more replacement of a party's link, and return how many there are."""
        ...


class AnswerRows(Protocol):
    """What requests with an Idempotency-Key were answered."""

    async def reserve(self, caller: str, key: str, request: str) -> StoredAnswer | None:
        """Make a key ours until the end of the transaction, or return what was answered under it."""
        ...

    async def keep(self, caller: str, key: str, answer: StoredAnswer) -> None:
        """Store the answer under a key that was reserved in this transaction."""
        ...


class AuditRows(Protocol):
    """Who did what."""

    async def note(self, caller: str, action: str, subject: str) -> None:
        """Note that somebody did something, now."""
        ...

    async def entries(self, after: int = 0, limit: int = 100, subject: str | None = None) -> tuple[AuditEntry, ...]:
        """Return entries with a number above ``after``, in order; of one subject only, where one is named."""
        ...


class FrontTransaction(Transaction, Protocol):
    """One database transaction, as the front of the service uses it."""

    @property
    @override
    def escrows(self) -> FrontEscrowRows: ...
    @property
    def overview(self) -> OverviewRows: ...  # noqa: D102 - the type says it
    @property
    def access(self) -> AccessRows: ...  # noqa: D102
    @property
    def answers(self) -> AnswerRows: ...  # noqa: D102
    @property
    def audit(self) -> AuditRows: ...  # noqa: D102
    @property
    def webhooks(self) -> WebhookRows: ...  # noqa: D102


class HasOverview(Protocol):
    """Who can be asked how escrows stand: a transaction, or the store itself, as of the moment of the question."""

    @property
    def overview(self) -> OverviewRows: ...  # noqa: D102 - the type says it


class FrontStore(HasOverview, Protocol):
    """Where everything is kept that must survive a crash."""

    def transaction(self) -> AbstractAsyncContextManager[FrontTransaction]:
        """Begin a transaction; it commits at the end of the block, and rolls back where the block raises."""
        ...

    def reading(self) -> AbstractAsyncContextManager[FrontTransaction]:
        """Look at everything as it is at one moment, without waiting for writers. Writing in the block is refused."""
        ...


class KeySource(Protocol):
    """Who has the vault key: keys of our own are derived from it, and secrets sealed with it."""

    def derived_key(self, purpose: str) -> bytes:
        """Return 32 bytes that only who has the vault key can make, another key for each purpose."""
        ...

    def seal(self, secret: Secret, purpose: str) -> str:
        """Seal a secret for one purpose."""
        ...

    def unseal(self, sealed: str, purpose: str) -> Secret:
        """Return what was sealed for this purpose."""
        ...
