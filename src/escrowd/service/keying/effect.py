"""The effect "make the keys": lets the participants make them, and tells the escrow when they are ready."""

from escrowd.domain.errors import Fault, Retry
from escrowd.domain.escrow.events import Event, KeysReady
from escrowd.domain.escrow.status import Status
from escrowd.domain.keying import Ask
from escrowd.service.advance import Task
from escrowd.service.errors import ServiceError
from escrowd.service.keying.keyer import Job, Keyer
from escrowd.service.keying.ports import KeyingJournal


class WaitsForParties(ServiceError):
    """The set-up waits for messages of parties who keep their own keys. It goes on when they come."""

    fault = Fault.CALLER
    retry = Retry.SAFE


class KeysEffect:
    """Carries out the effect, again and again until it is done."""

    def __init__(self, keyer: Keyer, journal: KeyingJournal) -> None:
        self._keyer = keyer
        self._journal = journal

    async def make_keys(self, task: Task) -> tuple[Event, ...]:
        """Carry the set-up on.

        Raises:
            WaitsForParties: it is the turn of parties outside.
            EscrowdError: something failed; the next call goes on or begins anew.

        """
        escrow = task.escrow
        if escrow.status is not Status.KEYING:
            # An escrow that ended without an address will never have one. Any other has its keys already, perhaps from
            # the stock, whose set-ups stand in no journal.
            if escrow.address is None:
                await self._keyer.give_up(escrow.id)
            return ()
        outcome = await self._keyer.advance(Job(escrow.id, escrow.terms.custody, self._journal, task.claim.check))
        if isinstance(outcome, Ask):
            raise WaitsForParties(f"the round {outcome.round} waits for the {' and the '.join(outcome.roles)}")
        return (KeysReady(outcome.address, outcome.restore_height),)
