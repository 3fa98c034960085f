"""What the watcher needs of others: where its findings are kept, and wallets to ask where it cannot look itself."""

from collections.abc import Sequence
from typing import Protocol

from escrowd.domain.identifiers import EscrowId
from escrowd.domain.outputs import ReceivedOutput
from escrowd.domain.watching import (
    DENSE_BLOCK_IDS,
    AcceptedChain,
    BlockId,
    ChainDecisions,
    Cursor,
    FoundOutput,
    FoundSpend,
    Lane,
    NotedKeyImages,
    PoolFindings,
    Progress,
    WatchedAddress,
    WatchState,
)

__all__ = [
    "DENSE_BLOCK_IDS",
    "AcceptedChain",
    "AwaitingMoney",
    "BlockId",
    "ChainDecisions",
    "Cursor",
    "FoundOutput",
    "FoundSpend",
    "Lane",
    "NotedKeyImages",
    "PoolFindings",
    "Progress",
    "WalletReader",
    "WatchLog",
    "WatchState",
    "WatchedAddress",
]


class WatchLog(Protocol):
    """Where the work of the watcher is kept. Each call is one transaction."""

    async def load(self) -> WatchState:
        """Return what is kept."""
        ...

    async def record(self, progress: Progress) -> None:
        """Store what was found, as :class:`Progress` says, and wake the escrows that it concerns.

        Findings for an address that is not watched any more are passed over.
        """
        ...

    async def keep(self, address: WatchedAddress) -> None:
        """Keep an address with its lane and its own cursor, in place of what was kept for this escrow."""
        ...

    async def forget(self, escrow: EscrowId) -> None:
        """Watch the address of an escrow no more. What was found stays."""
        ...

    async def key_images(self, after: int = 0) -> NotedKeyImages:
        """Return the key images that were noted later than ``after``: 0, or ``last`` of an earlier answer."""
        ...

    async def decisions(self) -> ChainDecisions:
        """Return what operators decided about the chain."""
        ...

    async def outputs(self, escrow: EscrowId) -> tuple[ReceivedOutput, ...]:
        """Return everything that was found for an escrow, in blocks and pool."""
        ...

    async def note_wallet_outputs(self, escrow: EscrowId, outputs: Sequence[ReceivedOutput]) -> None:
        """Add outputs that a wallet found, and wake the escrow if one is new. Known keys stay as they are."""
        ...


class WalletReader(Protocol):
    """Asks the wallets of an escrow what they see. That takes a lease, and seconds where they are not open."""

    async def read(self, escrow: EscrowId) -> tuple[ReceivedOutput, ...]:
        """Let a wallet read the chain, and return what it knows of then."""
        ...


class AwaitingMoney(Protocol):
    """Says which escrows wait for money, the only ones that cannot do without a look at the chain for long."""

    async def awaiting(self) -> Sequence[EscrowId]:
        """Return the escrows whose deposit is not there yet."""
        ...
