"""What a new escrow begins with."""

from dataclasses import dataclass

from escrowd.domain.escrow.facts import Moment
from escrowd.domain.wallet_set import WalletSet


@dataclass(frozen=True, slots=True)
class Provision:
    """The moment at which an escrow is made, and what there is for it."""

    moment: Moment
    #: Number of blocks that the watcher has looked through.
    chain_height: int
    #: Finished wallets, taken out of the stock; the id under which they were made becomes that of the escrow.
    wallets: WalletSet | None
