"""What one multisig wallet knows: read from the chain, learnt from its co-signers, and lost with its process.

The rules are those of wallet2 0.18.0.0 with all that makes them dangerous: an import that fails leaves an empty wallet
that looks well, an output without the co-signers' data is passed over in silence, and whatever was not stored is gone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from escrowd.domain.parties import WalletRole
from escrowd.testing.simulation.chain import SimulatedChain
from escrowd.testing.simulation.signing import Export
from escrowd.testing.simulation.transactions import MinedOutput, key_image_of


@dataclass(frozen=True, slots=True)
class Known:
    """One output as a wallet knows it."""

    mined: MinedOutput
    #: Our own nonce of the last export; empty where it was used or lost.
    nonce: str = ""
    #: The co-signers' nonces of the last import. Without any the key image is not known either.
    imported: tuple[tuple[WalletRole, str], ...] = ()
    is_spent: bool = False

    @property
    def key(self) -> str:
        """The one-time key."""
        return self.mined.output.key

    @property
    def key_image(self) -> str:
        """The key image, as far as it is known: any two wallets know it together."""
        return key_image_of(self.key) if self.imported else ""


@dataclass(slots=True)
class SimulatedWallet:
    """One open wallet, or its file: :meth:`copy` is what is written at a store and read at an opening."""

    name: str
    role: WalletRole
    address: str
    #: How many blocks it has read.
    height: int = 0
    known: list[Known] = field(default_factory=list)
    #: What was in the pool for it at the last look, in piconero, by account and index.
    pooled: tuple[tuple[int, int, int], ...] = ()
    #: One-time keys of outputs that it has submitted itself: spent, until it compares with the daemon. (A real wallet
    #: does that by itself after 500 seconds, ``process_unconfirmed_transfer``.)
    sent: frozenset[str] = frozenset()
    attributes: dict[str, str] = field(default_factory=dict)
    exports: int = 0
    #: What is known of outputs that are to be read once more. In memory only.
    detached: dict[str, Known] = field(default_factory=dict)
    #: Key images of what it leaves out of all that it builds.
    frozen: frozenset[str] = frozenset()

    def copy(self) -> "SimulatedWallet":
        """Return a wallet that knows the same now, and shares nothing."""
        return SimulatedWallet(
            self.name,
            self.role,
            self.address,
            self.height,
            list(self.known),
            self.pooled,
            self.sent,
            dict(self.attributes),
            self.exports,
            frozen=self.frozen,
        )

    # --- the chain ----------------------------------------------------------------------------------------------------

    def refresh(self, chain: SimulatedChain) -> int:
        """Read the chain and the pool; return how many blocks were new.

        What is in another block than before was read anew: our nonce and the co-signers' data of it are lost
        (``detach_blockchain``).
        """
        before = self.detached | {each.key: each for each in self.known}
        self.detached = {}
        self.known = [self._seen(before.get(each.output.key), each, chain) for each in self._credited(chain)]
        pooled = [transaction.outputs[index] for transaction, index in chain.pooled_of(self.name)]
        self.pooled = tuple((each.account, each.address_index, each.amount) for each in pooled)
        fetched = max(0, chain.height - self.height)
        self.height = chain.height
        return fetched

    def rescan_spent(self, chain: SimulatedChain) -> None:
        """Take from chain and pool which outputs are spent, as far as their key images are known."""
        for position, each in enumerate(self.known):
            if each.imported:
                is_spent = each.key_image in chain.spent_by or chain.spender_of(each.key_image) is not None
                self.known[position] = replace(each, is_spent=is_spent)
                self.sent = self.sent | {each.key} if is_spent else self.sent - {each.key}

    # --- the co-signers -----------------------------------------------------------------------------------------------

    def export(self, chain: SimulatedChain) -> Export:
        """Make fresh nonces for all outputs, in place of the old ones."""
        self.exports += 1
        self.known = [Known(each.mined, chain.unique("nonce"), each.imported, each.is_spent) for each in self.known]
        return Export(
            self.name, self.role, tuple(each.key for each in self.known), tuple(each.nonce for each in self.known)
        )

    def take_in(self, exports: Sequence[Export], chain: SimulatedChain) -> int:
        """Take in the co-signers' data and read the chain; return of how many outputs all of them spoke.

        Outputs beyond those lose our own nonces and older data of the co-signers (``import_multisig``).
        """
        count = min(len(self.known), *(len(each.keys) for each in exports))
        self.known = self._learnt(exports, count)
        self.refresh(chain)
        return count

    def take_in_and_lose(self, exports: Sequence[Export], *, keeps_data: bool) -> None:
        """Take in the co-signers' data and fail to read the chain.

        Outputs from the first one without a key image on were detached before, and are gone until the next refresh; a
        newer wallet then still has the data of them (pull request 11078).
        """
        first = next((place for place, each in enumerate(self.known) if not each.imported), len(self.known))
        learnt = self._learnt(exports, min(len(self.known), *(len(each.keys) for each in exports)))
        if first < len(learnt):
            self.height, self.pooled = learnt[first].mined.height, ()
        self.known = learnt[:first]
        self.detached = {each.key: each for each in learnt[first:]} if keeps_data else {}

    def _learnt(self, exports: Sequence[Export], count: int) -> list[Known]:
        learnt: list[Known] = []
        for position, each in enumerate(self.known):
            if position < count and all(export.keys[position] == each.key for export in exports):
                told = tuple((export.role, export.nonces[position]) for export in exports)
                learnt.append(Known(each.mined, each.nonce, told, each.is_spent))
            else:
                learnt.append(Known(each.mined, is_spent=each.is_spent))
        return learnt

    def use_nonce(self, key: str, nonce: str) -> bool:
        """Use our own nonce of an output up, in memory; return whether this is the one that we have."""
        for position, each in enumerate(self.known):
            if each.key == key and each.nonce and each.nonce == nonce:
                self.known[position] = replace(each, nonce="")
                return True
        return False

    def has_nonce(self, key: str, nonce: str) -> bool:
        """Return whether we still have this nonce for an output."""
        return any(each.key == key and each.nonce and each.nonce == nonce for each in self.known)

    def note_sent(self, keys: Sequence[str]) -> None:
        """Note that a transaction, which this wallet submitted, spends these."""
        self.sent |= frozenset(keys)
        self.known = [replace(each, is_spent=True) if each.key in keys else each for each in self.known]

    # --- what it holds ------------------------------------------------------------------------------------------------

    def unspent(self, account: int | None = None) -> Iterator[Known]:
        """Yield what it takes for unspent, of one account or of all."""
        return (each for each in self.known if not each.is_spent and account in (None, each.mined.output.account))

    def is_unlocked(self, known: Known, now: int) -> bool:
        """Return whether it takes this for unlocked, by the blocks that it has read."""
        return known.mined.is_unlocked(self.height, now)

    # --- private ------------------------------------------------------------------------------------------------------

    def _credited(self, chain: SimulatedChain) -> list[MinedOutput]:
        """Return what the chain has for it: of outputs with the same key the largest, of equals the first."""
        best: dict[str, MinedOutput] = {}
        for each in chain.mined_of(self.name):
            rival = best.get(each.output.key)
            if rival is None or each.output.amount > rival.output.amount:
                best[each.output.key] = each
        return list(best.values())

    def _seen(self, before: Known | None, now: MinedOutput, chain: SimulatedChain) -> Known:
        if before is None or before.mined.block != now.block:
            return Known(now)
        # Only with the key image can it know what the others did (faults of a signer who is not asked).
        spender = chain.spent_by.get(before.key_image) if before.imported else None
        is_spent = spender is not None or now.output.key in self.sent
        return before if before.is_spent is is_spent else replace(before, is_spent=is_spent)
