"""What the service needs of the store and of the wallets. The adapters know nothing of the service.

Every method of a :class:`Transaction` belongs to one database transaction: all of it is stored, or nothing. No RPC is
made inside one.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from escrowd.domain.escrow.assess import Ledger
from escrowd.domain.escrow.effects import PendingEffect as PendingEffect
from escrowd.domain.escrow.facts import Escrow, Moment
from escrowd.domain.escrow.history import LogEntry as LogEntry
from escrowd.domain.escrow.machine import Step
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.outputs import ReceivedOutput
from escrowd.domain.parties import WalletRole
from escrowd.domain.payouts.records import Attempt, Payout
from escrowd.domain.provision import Provision as Provision
from escrowd.domain.secret import Secret
from escrowd.domain.service_clock import LONGEST_GAP
from escrowd.domain.wallet_set import WalletSet as WalletSet
from escrowd.monero.wallet import MoneroClient

# --- the store -------------------------------------------------------------------------------------------------------


class EscrowRows(Protocol):
    """The escrows and their history."""

    async def add(self, first: Step, *further: Step) -> None:
        """Store the first steps of an escrow: its row, its log entries and its effects; make its work row due.

        Raises:
            AlreadyStored: there is an escrow of this id.

        """
        ...

    async def load(self, escrow: EscrowId, *, for_update: bool = False) -> Escrow:
        """Return an escrow; ``for_update`` keeps all others from changing it until the transaction ends.

        Raises:
            NoSuchEscrow: there is none of this id.

        """
        ...

    async def save(self, step: Step) -> None:
        """Store a further step: the new row, log entries and effects; make the work row due.

        Raises:
            VersionConflict: the stored version is not that of ``step.before``.

        """
        ...

    async def pending_effects(self, escrow: EscrowId) -> tuple[PendingEffect, ...]:
        """Return the effects that are not done yet, oldest first."""
        ...

    async def effect_done(self, escrow: EscrowId, effect: PendingEffect) -> None:
        """Note that an effect was carried out. Noting it again changes nothing."""
        ...

    async def log(self, escrow: EscrowId, after: int = 0, limit: int = 1000) -> tuple[LogEntry, ...]:
        """Return the entries of an escrow with a sequence above ``after``, in order."""
        ...

    async def feed(self, after: int = 0, limit: int = 1000) -> tuple[LogEntry, ...]:
        """Return the entries of all escrows with a cursor above ``after``, in order, never passing a gap."""
        ...

    async def with_status(self, *statuses: str, limit: int = 1000) -> tuple[EscrowId, ...]:
        """Return escrows in these statuses, oldest first."""
        ...


class LedgerRows(Protocol):
    """What the watcher and the wallets found on chain, per escrow."""

    async def ledger(self, escrow: EscrowId) -> Ledger:
        """Return everything known of an escrow's money, with the tip that the watcher has reached.

        ``our_txids`` are those of all signed attempts; ``planned`` and ``paid_out`` go by
        :mod:`escrowd.domain.payouts.books`.
        """
        ...

    async def note_wallet_outputs(self, escrow: EscrowId, outputs: Sequence[ReceivedOutput]) -> None:
        """Add outputs that only a wallet found, such as those to far subaddresses. Known keys stay as they are."""
        ...

    async def note_key_images(self, escrow: EscrowId, key_images: Sequence[tuple[str, str]]) -> None:
        """Note pairs of one-time key and key image, both hex, and let the watcher look for spends of them."""
        ...

    async def key_images(self, escrow: EscrowId) -> tuple[tuple[str, str], ...]:
        """Return the noted pairs of one-time key and key image."""
        ...


class PayoutRows(Protocol):
    """Payouts and attempts."""

    async def add(self, payout: Payout, order_version: int) -> None:
        """Store a new payout.

        Raises:
            PayoutAlreadyOpen: one is open for this escrow, or there is one for this order.

        """
        ...

    async def of_order(self, escrow: EscrowId, order_version: int) -> Payout | None:
        """Return the payout that carries out the order of this version, if it was planned already."""
        ...

    async def all_of(self, escrow: EscrowId) -> tuple[Payout, ...]:
        """Return all payouts of an escrow, oldest first."""
        ...

    async def save(self, payout: Payout) -> None:
        """Store a payout anew."""
        ...

    async def attempts(self, payout: str) -> tuple[Attempt, ...]:
        """Return all attempts at a payout, oldest first."""
        ...

    async def save_attempt(self, attempt: Attempt) -> None:
        """Store a new attempt, or the next step of a known one."""
        ...

    async def keep_raw(self, txid: str, raw: str) -> None:
        """Keep the bytes of a signed transaction, hex, so that it can be sent again without a wallet."""
        ...

    async def raw(self, txid: str) -> str | None:
        """Return the kept bytes of a transaction, hex."""
        ...


class Clock(Protocol):
    """The one clock: the database's."""

    async def now(self) -> Moment:
        """Return the moment, in UTC and on the running clock."""
        ...

    async def work_now(self) -> int:
        """Return the time on the work clock, which never goes back: stored times at which work is due are on it."""
        ...

    async def beat(self, *, counts: bool, longest_gap: int = LONGEST_GAP) -> Moment:
        """Advance the running clock by the time since the last beat, and set the work clock right.

        Nothing is added where ``counts`` is false (the daemon is out of sync), where it was false at the last beat, or
        where the last beat is more than ``longest_gap`` milliseconds ago (the service was down).
        """
        ...

    async def advance(self, milliseconds: int) -> Moment:
        """Let the running clock jump ahead. For private chains only: nobody's deadline may be shortened for real."""
        ...


class Claim(Protocol):
    """The right to work on one escrow, for a while. Held by one worker at a time (see ``service/worker.py``)."""

    @property
    def key(self) -> str:
        """The name of the work row."""
        ...

    @property
    def fence(self) -> int:
        """The number of the claim: there is a higher one as soon as somebody else has the work."""
        ...

    def check(self) -> None:
        """Make sure that the lease has not run out, before anything leaves this process.

        Raises:
            LeaseLost: it has.

        """
        ...


class Transaction(Protocol):
    """One database transaction."""

    @property
    def escrows(self) -> EscrowRows: ...  # noqa: D102 - the type says it
    @property
    def ledgers(self) -> LedgerRows: ...  # noqa: D102
    @property
    def payouts(self) -> PayoutRows: ...  # noqa: D102
    @property
    def clock(self) -> Clock: ...  # noqa: D102

    async def provide(self) -> Provision:
        """Return what a new escrow begins with, and take a finished set of wallets for it out of the stock."""
        ...

    async def wake(self, escrow: EscrowId, in_seconds: float = 0) -> None:
        """Make the escrow's work row due, now or in a while; never later than it is due already."""
        ...

    async def hold_claim(self, claim: Claim) -> None:
        """Tie this transaction to a claim: it is rolled back unless the claim is still ours when it commits.

        Raises:
            LeaseLost: somebody else has it by now.

        """
        ...


class Store(Protocol):
    """Where everything is kept that must survive a crash."""

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Begin a transaction; it commits at the end of the block, and rolls back where the block raises."""
        ...

    def reading(self) -> AbstractAsyncContextManager[Transaction]:
        """Look at everything as it is at one moment, without waiting for writers. Writing in the block is refused."""
        ...


# --- the wallets -----------------------------------------------------------------------------------------------------


class Lease(Protocol):
    """The wallets of one escrow, lent to us alone until the end of the block."""

    def wallet(self, role: WalletRole) -> MoneroClient:
        """Return the client of a role's wallet."""
        ...

    @property
    def lost(self) -> frozenset[WalletRole]:
        """Whose wallets cannot be used any more, because their processes hung, ended, or gave no answer."""
        ...

    async def submitted(self, role: WalletRole, signed: Secret, txids: Collection[str]) -> Mapping[str, str]:
        """Return the bytes, hex, of the transactions with these ids that a role's wallet would send."""
        ...

    async def store(self) -> None:
        """Save the wallets of the lease to disk."""
        ...


class Sessions(Protocol):
    """Who lends wallets."""

    def lease(
        self, escrow: EscrowId, roles: Sequence[WalletRole] | None = None, timeout: float | None = None
    ) -> AbstractAsyncContextManager[Lease]:
        """Lend the wallets of an escrow, verified."""
        ...

    async def close_session(self, escrow: EscrowId, timeout: float | None = None) -> None:
        """Save and close the wallets of an escrow as soon as nobody uses them."""
        ...
