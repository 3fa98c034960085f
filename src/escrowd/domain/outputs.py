"""Outputs that an escrow's address received, and what each of them counts for.

An output is known by its one-time public key. Two outputs with the same key can be spent only once (the burning bug,
monero-project/research-lab issue 103), so a ledger holds one entry for a key: the larger one, as wallet2 does
(``process_new_transaction``). Of equally large ones it is the one that comes first in the chain. What is only in the
pool takes the place of nothing that is in a block.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

#: Blocks after which Monero lets an output be spent (``CRYPTONOTE_DEFAULT_TX_SPENDABLE_AGE``).
SPENDABLE_AGE: Final = 10
#: Key images that are kept of the transaction of an output: 1 kB of hex at most. Most payments have up to three inputs.
#: The limit keeps a sender of outputs with 150 inputs each from making every ledger of the escrow 20 times larger.
MAX_SOURCES: Final = 16


class WhyNot(StrEnum):
    """Why an output does not count towards the deposit. It is shown, and goes back to the buyer with a payout."""

    #: It came to another address of the escrow's wallet than the one that was given out.
    SUBADDRESS = "subaddress"
    #: Its sender locked it until some height or time. The lock of a miner's reward is one, too.
    LOCKED = "locked"
    #: It came after the escrow had ended, or after its payout was planned.
    LATE = "late"
    #: It is in the pool, and so was another transaction that spends the same money: one of them will be mined.
    DOUBLE_SPENT = "double_spent"
    #: It was in a block or in the pool, and is in neither now.
    REORGED = "reorged"


@dataclass(frozen=True, slots=True)
class ReceivedOutput:
    """One output that the chain or the pool shows for an escrow's address. Amounts are piconero."""

    txid: str
    #: Its place among the outputs of the transaction.
    index: int
    #: One-time public key, hex.
    key: str
    amount: int
    #: Account (major) and index in it (minor) of the address that was paid; (0, 0) is the primary address.
    account: int = 0
    address_index: int = 0
    #: 0, a height below 500 000 000, or a Unix time (``is_tx_spendtime_unlocked``).
    unlock_time: int = 0
    is_coinbase: bool = False
    #: Hex of the 8 bytes in an integrated address; for information only.
    payment_id: str | None = None
    #: Height of its block, where the first block has 0; ``None`` in the pool.
    height: int | None = None
    #: Its index among all RingCT outputs of the chain; ``None`` in the pool.
    global_index: int | None = None
    #: Another transaction that spends the same money was seen. Only in the pool.
    double_spend_seen: bool = False
    #: Key images, hex, that its transaction spends, up to ``MAX_SOURCES`` of them. While the transaction itself is in
    #: no block, one of them that a block spends proves that it can never be in one. Empty where a wallet found it.
    sources: tuple[str, ...] = ()

    @property
    def is_mined(self) -> bool:
        """Whether it is in a block."""
        return self.height is not None

    @property
    def is_to_primary_address(self) -> bool:
        """Whether it was paid to the address that was given out, payment id or not."""
        return (self.account, self.address_index) == (0, 0)

    def confirmations(self, chain_height: int) -> int:
        """Count the blocks from its own to the end of a chain of ``chain_height`` blocks; 0 in the pool."""
        return 0 if self.height is None else max(0, chain_height - self.height)

    def why_it_does_not_count(self) -> WhyNot | None:
        """Judge it by itself: only undisputed, unlocked money to the address that was given out counts."""
        # The flag is about the pool: of two transactions that spend the same money, a block holds at most one.
        if self.double_spend_seen and not self.is_mined:
            return WhyNot.DOUBLE_SPENT
        if not self.is_to_primary_address:
            return WhyNot.SUBADDRESS
        if self.unlock_time != 0:
            return WhyNot.LOCKED
        return None


@dataclass(frozen=True, slots=True)
class Spend:
    """A transaction that spends an output of an escrow. ``height`` is ``None`` in the pool."""

    #: Hex.
    key_image: str
    txid: str
    height: int | None = None


def credited_once(outputs: Iterable[ReceivedOutput]) -> tuple[ReceivedOutput, ...]:
    """Keep one output for each one-time key, whatever the order in which they are given.

    It is one in a block, if there is one, then the one with the larger amount, then the one that came first.
    """
    kept: dict[str, ReceivedOutput] = {}
    for output in sorted(outputs, key=_place_in_chain):
        known = kept.get(output.key)
        if known is None or (output.is_mined is known.is_mined and output.amount > known.amount):
            kept[output.key] = output
    return tuple(kept.values())


# ---------------------------------------------------------------------------------------------------------------------


def _place_in_chain(output: ReceivedOutput) -> tuple[bool, int, int, str, int, str]:
    # In the pool there is no global index, and of an output that only a wallet found the place in its transaction is
    # not known: the key makes the order a total one.
    return (not output.is_mined, output.height or 0, output.global_index or 0, output.txid, output.index, output.key)
