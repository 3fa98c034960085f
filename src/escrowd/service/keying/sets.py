"""Sets of three hosted keys, made for nobody in particular, for the stock."""

from escrowd.domain.escrow.terms import all_hosted
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.keying import Ask, KeysDisagree, KeySet
from escrowd.service.keying.keyer import Job, Keyer
from escrowd.service.keying.transient import TransientJournal


class HostedSets:
    """Makes whole sets. As a :class:`escrowd.wallets.stock.SetMaker`.

    The keyer is one of its own: its workshop keeps finished wallets open only while there is room.
    """

    def __init__(self, keyer: Keyer) -> None:
        self._keyer = keyer

    async def make(self, escrow: EscrowId) -> KeySet:
        """Make the three keys under the id that the escrow will have.

        Raises:
            EscrowdError: the set did not come to be. Withdraw it when that is stored.

        """
        keys = await self._keyer.advance(Job(escrow, all_hosted(), TransientJournal()))
        if isinstance(keys, Ask):
            raise KeysDisagree(f"three hosted wallets wait for messages of the {', '.join(keys.roles)}")
        return keys

    async def withdraw(self, escrow: EscrowId) -> None:
        """Close what is open of a set that is stored as failed, and put its wallet files aside."""
        await self._keyer.give_up(escrow)
