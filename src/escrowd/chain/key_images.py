"""Spends: which transactions use the key images of the escrows' outputs.

A wallet may learn a key image after it was spent. So all spends of the last blocks are kept for a while. The
daemon knows whether an older block spends an image.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from escrowd.chain.ports import FoundSpend, NotedKeyImages
from escrowd.chain.transaction import Transaction
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.outputs import Spend

#: Blocks whose spends are kept. A service that was down for longer loads all key images before it looks.
KEPT_BLOCKS: Final = 100


class KeyImages:
    """The key images that belong to escrows, and what was spent lately."""

    def __init__(self) -> None:
        #: With what to ask for key images the next time.
        self.last = 0
        #: Images that an older block may spend, hex, with their escrows.
        self.unchecked: dict[str, EscrowId] = {}
        self._owners: dict[bytes, EscrowId] = {}
        self._recent: dict[bytes, tuple[str, int]] = {}

    def learn(self, noted: NotedKeyImages) -> tuple[FoundSpend, ...]:
        """Watch more key images, and return which of them are in the last blocks already."""
        found: list[FoundSpend] = []
        for escrow, text in noted.key_images:
            image = bytes.fromhex(text)
            self._owners[image] = escrow
            if image in self._recent:
                found.append(FoundSpend(escrow, Spend(text, *self._recent[image])))
            elif text not in noted.spent:
                self.unchecked[text] = escrow
        self.last = max(self.last, noted.last)
        return tuple(found)

    def spends_of(self, transaction: Transaction, height: int | None) -> Iterator[FoundSpend]:
        """Yield what a transaction spends of the escrows' outputs. In the pool it has no height."""
        for image in transaction.key_images:
            if (owner := self._owners.get(image)) is not None:
                if height is not None:
                    self.unchecked.pop(image.hex(), None)
                yield FoundSpend(owner, Spend(image.hex(), transaction.txid, height))

    def note(self, mined: Iterable[tuple[Transaction, int]], height: int) -> None:
        """Keep in mind what the transactions of blocks spend, now that the chain has this height."""
        for transaction, its_height in mined:
            self._recent |= dict.fromkeys(transaction.key_images, (transaction.txid, its_height))
        oldest = height - KEPT_BLOCKS
        self._recent = {image: each for image, each in self._recent.items() if each[1] >= oldest}

    def roll_back(self, height: int) -> None:
        """Forget what was spent at this height and above."""
        self._recent = {image: each for image, each in self._recent.items() if each[1] < height}
