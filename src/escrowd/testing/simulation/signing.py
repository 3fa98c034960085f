"""Multisig data and transaction sets as they go from wallet to wallet, and the record of every nonce.

On the wire they are names of what is kept here: what matters of their bytes is what they say, and that a wallet which
lost a nonce cannot sign with it. A nonce that signs two different transactions gives a key away, so each use of each
nonce in the whole world is written down.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from escrowd.domain.parties import WalletRole
from escrowd.domain.secret import Secret
from escrowd.testing.simulation.transactions import (
    SimulatedOutput,
    SimulatedTransaction,
    digest,
    signed_blob,
    txid_of_raw,
)

PaperT = TypeVar("PaperT")


@dataclass(frozen=True, slots=True)
class Export:
    """What a wallet exported: of each output that it knew, in order, the one-time key and a fresh nonce."""

    wallet: str
    role: WalletRole
    keys: tuple[str, ...]
    nonces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SetInput:
    """One output that a proposed transaction spends. ``nonces`` are those that each co-signer has to use."""

    key: str
    key_image: str
    amount: int
    global_index: int
    txid: str
    nonces: Mapping[WalletRole, str]


@dataclass(frozen=True, slots=True)
class Proposed:
    """One transaction of a set, before and after it is signed. ``unique`` tells apart any two that were built."""

    unique: str
    inputs: tuple[SetInput, ...]
    outputs: tuple[SimulatedOutput, ...]
    #: Those among the outputs that go back to the wallet itself.
    change: int
    change_address: str
    fee: int
    weight: int
    unlock_time: int = 0

    @property
    def amount_in(self) -> int:
        """What it spends, in piconero."""
        return sum(each.amount for each in self.inputs)

    def signed(self, role: WalletRole) -> SimulatedTransaction:
        """Return the transaction that the second signature of this role makes of it."""
        images = tuple(each.key_image for each in self.inputs)
        unique = digest("transaction", self.unique, role)
        blob = signed_blob(unique, images, max(2, len(self.outputs)), self.fee, self.unlock_time)
        return SimulatedTransaction(
            txid_of_raw(blob),
            images,
            self.outputs,
            self.fee,
            self.unlock_time,
            sources=tuple(each.txid for each in self.inputs),
            blob=blob,
        )


@dataclass(frozen=True, slots=True)
class TransactionSet:
    """The transactions of one payout, with one signature or with two."""

    wallet: str
    proposer: WalletRole
    transactions: tuple[Proposed, ...]
    #: The second signature; ``None`` before it.
    cosigner: WalletRole | None = None

    def with_signature(self, role: WalletRole) -> "TransactionSet":
        """Return the set signed by a second wallet."""
        return replace(self, cosigner=role)

    @property
    def signed(self) -> tuple[SimulatedTransaction, ...]:
        """The finished transactions; none before the second signature."""
        if self.cosigner is None:
            return ()
        return tuple(each.signed(self.cosigner) for each in self.transactions)


@dataclass(slots=True)
class SigningLog:
    """Everything that was exported, proposed and signed in a world."""

    exports: dict[str, Export] = field(default_factory=dict)
    sets: dict[str, TransactionSet] = field(default_factory=dict)
    #: The one transaction that each nonce signed.
    signed_with: dict[str, str] = field(default_factory=dict)
    #: Ids of all transactions that got two signatures, and the set that each is of.
    txids: dict[str, TransactionSet] = field(default_factory=dict)
    #: Nonces that signed two different transactions, in words. There must never be one.
    reuses: list[str] = field(default_factory=list)

    def keep_export(self, export: Export) -> Secret:
        """Return the text that stands for an export."""
        return Secret(_kept(self.exports, _EXPORT, export))

    def keep_set(self, transactions: TransactionSet) -> Secret:
        """Return the text that stands for a transaction set."""
        self.txids |= dict.fromkeys((each.txid for each in transactions.signed), transactions)
        return Secret(_kept(self.sets, _SET, transactions))

    def proposed(self, txid: str) -> Proposed:
        """Return what a signed transaction was built as."""
        made = self.txids[txid]
        return next(each for each, signed in zip(made.transactions, made.signed, strict=True) if signed.txid == txid)

    def use(self, nonce: str, transaction: Proposed) -> None:
        """Write down that a nonce signs a transaction."""
        before = self.signed_with.setdefault(nonce, transaction.unique)
        if before != transaction.unique:
            self.reuses.append(f"nonce {nonce[:8]} signed {before[:8]} and {transaction.unique[:8]}")


# ---------------------------------------------------------------------------------------------------------------------


#: How the real ones begin, and digits in which they go on for longer.
_EXPORT: Final = b"Monero multisig export\x01".hex()
_SET: Final = b"Monero multisig unsigned tx set\x01".hex()
_DIGITS: Final = 256


def _kept(shelf: dict[str, PaperT], kind: str, paper: PaperT) -> str:
    name = f"{kind}{len(shelf):08x}".ljust(_DIGITS, "0")
    shelf[name] = paper
    return name
