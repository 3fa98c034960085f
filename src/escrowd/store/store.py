"""The store of the service: transactions with a repository for each kind of thing."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

from escrowd.domain.conflicts import NoSuchEscrow
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.keying import KeyingRecord, KeySet, MessageKey
from escrowd.domain.provision import Provision
from escrowd.domain.wallet_set import HostedWallet, WalletSet
from escrowd.domain.work import ClaimedRow
from escrowd.store.access import AccessTable, AnswerTable, AuditTable
from escrowd.store.chain_decisions import ChainTable
from escrowd.store.clock import ClockTable
from escrowd.store.database import Database
from escrowd.store.escrows import EscrowTable
from escrowd.store.inspection import InspectionTable
from escrowd.store.keys import KeyingTable, KeySetTable
from escrowd.store.ledgers import LedgerTable
from escrowd.store.overview import OverviewTable
from escrowd.store.payouts import PayoutTable
from escrowd.store.provision import provide
from escrowd.store.pruning import PruningTable
from escrowd.store.session import Session
from escrowd.store.webhooks import WebhookTable
from escrowd.store.work import WorkTable, escrow_key


class HasFence(Protocol):
    """A claim, as far as the store needs to know it."""

    @property
    def key(self) -> str:
        """The name of the work row."""
        ...

    @property
    def fence(self) -> int:
        """The number of the claim."""
        ...


class SqlTransaction:
    """One database transaction, as the service uses it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.escrows = EscrowTable(session)
        self.ledgers = LedgerTable(session)
        self.payouts = PayoutTable(session)
        self.clock = ClockTable(session)
        self.overview = OverviewTable(session)
        self.access = AccessTable(session)
        self.answers = AnswerTable(session)
        self.audit = AuditTable(session)
        self.inspection = InspectionTable(session)
        self.webhooks = WebhookTable(session)
        self.pruning = PruningTable(session)
        self.chain = ChainTable(session)

    async def provide(self) -> Provision:
        """Return what a new escrow begins with, and take a finished set of wallets for it out of the stock."""
        provision, node = await provide(self._session)
        if provision.wallets and node:
            # They may still be open where they were made.
            await WorkTable(self._session).prefer(escrow_key(provision.wallets.escrow), node)
        return provision

    async def wake(self, escrow: EscrowId, in_seconds: float = 0) -> None:
        """Make the escrow's work row due, now or in a while; never later than it is due already."""
        await WorkTable(self._session).wake(escrow_key(escrow), in_seconds)

    async def hold_claim(self, claim: HasFence) -> None:
        """Tie this transaction to a claim. Raises LeaseLost where somebody else has it by now."""
        await WorkTable(self._session).hold(claim.key, claim.fence)


class SqlStore:
    """Where everything is kept that must survive a crash. ``node`` names this process among others."""

    def __init__(self, database: Database, node: str) -> None:
        self._database = database
        self._node = node
        #: Asked outside of a transaction, as of the moment of the question.
        self.overview = OverviewTable(database)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[SqlTransaction]:
        """Begin a transaction; it commits at the end of the block, and rolls back where the block raises."""
        async with self._database.transaction() as session:
            yield SqlTransaction(session)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[SqlTransaction]:
        """Look at everything as it is at one moment, without waiting for writers. Writing in the block is refused."""
        async with self._database.reading() as session:
            yield SqlTransaction(session)

    # --- finished wallets --------------------------------------------------------------------------------------------

    async def wallet_set(self, escrow: EscrowId) -> WalletSet:
        """Return the finished wallets of an escrow. Raises NoSuchEscrow where there are none."""
        async with self._database.reading() as session:
            found = await KeySetTable(session).wallet_set(escrow)
        if found is None:
            raise NoSuchEscrow(f"there are no finished wallets of {escrow}")
        return found

    async def hosted_wallets(self, escrow: EscrowId) -> tuple[HostedWallet, ...]:
        """Return the wallets of an escrow that this service keeps."""
        async with self._database.reading() as session:
            return await KeySetTable(session).hosted_wallets(escrow)


class SqlShelf:
    """The stock of one node in the database. Each call is one transaction."""

    def __init__(self, database: Database, node: str) -> None:
        self._database = database
        self._node = node

    async def count_ready(self) -> int:
        """Return how many sets wait for an escrow."""
        async with self._database.reading() as session:
            return await KeySetTable(session).count_ready()

    async def begin(self, escrow: EscrowId) -> None:
        """Note that a set is being made under this id."""
        async with self._database.transaction() as session:
            await KeySetTable(session).begin(escrow, self._node)

    async def ready(self, keys: KeySet) -> None:
        """Store a finished set and the records of its wallets; it may be taken. Raises StaleAttempt."""
        async with self._database.transaction() as session:
            await KeySetTable(session).finish(keys, for_stock=True, node=self._node)

    async def failed(self, escrow: EscrowId, why: str) -> None:
        """Note that a set is never going to be ready. Raises StaleAttempt."""
        async with self._database.transaction() as session:
            await KeySetTable(session).fail(escrow, why)

    async def left_making(self) -> tuple[EscrowId, ...]:
        """Return the sets of this node that are being made, or were when an earlier run of the service ended."""
        async with self._database.reading() as session:
            return await KeySetTable(session).left_making(self._node)


class SqlKeyingJournal:
    """Set-ups in the database. Each call is one transaction."""

    def __init__(self, database: Database, node: str) -> None:
        self._database = database
        self._node = node

    async def load(self, escrow: EscrowId) -> KeyingRecord | None:
        """Return the current attempt, or ``None`` before the first."""
        async with self._database.reading() as session:
            return await KeyingTable(session).load(escrow)

    async def begin(self, escrow: EscrowId, number: int, restore_height: int, why: str) -> None:
        """Begin the attempt with this number. Raises StaleAttempt."""
        async with self._database.transaction() as session:
            await KeyingTable(session).begin(escrow, number, restore_height, why)

    async def store(self, escrow: EscrowId, number: int, messages: Mapping[MessageKey, str]) -> None:
        """Add sealed messages to the current attempt. Raises StaleAttempt, MessageConflict."""
        async with self._database.transaction() as session:
            await KeyingTable(session).store(escrow, number, messages)

    async def finish(self, escrow: EscrowId, number: int, keys: KeySet) -> None:
        """Store the keys and the records of the hosted wallets. Raises StaleAttempt."""
        async with self._database.transaction() as session:
            await KeyingTable(session).finish(escrow, number, keys, for_stock=False, node=self._node)
            # Here its wallets are open.
            await WorkTable(session).prefer(escrow_key(escrow), self._node)


class SqlWorkQueue:
    """The work rows of the database, for a worker. Each call is one transaction."""

    def __init__(self, database: Database, node: str) -> None:
        self._database = database
        self._node = node

    async def claim(
        self, exclude: frozenset[str], limit: int, seconds: float, *, kinds: frozenset[str] | None = None
    ) -> tuple[ClaimedRow, ...]:
        """Claim rows that are due and that nobody has."""
        async with self._database.transaction() as session:
            return await WorkTable(session).claim(self._node, exclude, limit, seconds, kinds=kinds)

    async def renew(self, claimed: ClaimedRow, seconds: float) -> bool:
        """Make a claim last longer; return whether it is still ours."""
        async with self._database.transaction() as session:
            return await WorkTable(session).renew(claimed.key, claimed.fence, seconds)

    async def settle(self, claimed: ClaimedRow, in_seconds: float | None) -> None:
        """Give a claim back. Raises LeaseLost."""
        async with self._database.transaction() as session:
            await WorkTable(session).settle(claimed, in_seconds)

    async def fail(self, claimed: ClaimedRow, error: str, in_seconds: float) -> None:
        """Give a claim back after a failure."""
        async with self._database.transaction() as session:
            await WorkTable(session).fail(claimed, error, in_seconds)

    async def begin(self, seconds: float) -> int:
        """Free what an earlier run of this node had claimed, and say that the node lives."""
        async with self._database.transaction() as session:
            work = WorkTable(session)
            await work.heartbeat(self._node, seconds)
            return await work.free_all_of(self._node)

    async def heartbeat(self, seconds: float) -> None:
        """Say that this node lives."""
        async with self._database.transaction() as session:
            await WorkTable(session).heartbeat(self._node, seconds)

    async def end(self) -> None:
        """Say that this node lives no more."""
        async with self._database.transaction() as session:
            await WorkTable(session).sign_off(self._node)

    async def seconds_to_next(
        self, exclude: frozenset[str] = frozenset(), *, kinds: frozenset[str] | None = None
    ) -> float | None:
        """Return in how many seconds the next row that we may claim is due."""
        async with self._database.reading() as session:
            return await WorkTable(session).seconds_to_next(self._node, exclude, kinds=kinds)
