"""The messages of a set-up: sealed at rest, and taken from parties who keep their own keys.

They are sealed because whoever has all messages of the first round can compute the view key (monero issue 3389).
"""

from collections.abc import Mapping

from escrowd.domain.escrow.terms import Custody
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.keying import (
    KeyingAttempt,
    KeyingRecord,
    MessageConflict,
    MessageKey,
    MessageNotDue,
    is_new,
    message_purpose,
)
from escrowd.domain.parties import WalletRole
from escrowd.domain.secret import Secret
from escrowd.service.keying.ports import KeyingJournal, Sealer


class MessageDesk:
    """Takes in the messages of parties outside, and shows an attempt to whoever may see it."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    async def look(self, journal: KeyingJournal, escrow: EscrowId) -> KeyingAttempt:
        """Return the current attempt with its messages.

        Raises:
            MessageNotDue: there is no attempt yet.
            NotUnsealable: the vault key is another one.

        """
        record = await journal.load(escrow)
        if record is None:
            raise MessageNotDue("the set-up of the keys has not begun")
        return unsealed(self._sealer, escrow, record)

    async def take(
        self,
        journal: KeyingJournal,
        escrow: EscrowId,
        custody: Mapping[WalletRole, Custody],
        number: int,
        key: MessageKey,
        message: Secret,
    ) -> bool:
        """Store a message of a party and return whether it is new; the same one twice is welcome.

        The caller has made sure that the party is who it says. Afterwards the set-up wants to be advanced.

        Raises:
            StaleAttempt, MessageNotDue, MessageConflict, InvalidMessage: see :func:`escrowd.domain.keying.is_new`.

        """
        if custody[key[1]] is not Custody.OWN:
            raise MessageNotDue(f"the {key[1]}'s key is kept by this service, which answers itself")
        if not is_new(await self.look(journal, escrow), number, key, message):
            return False
        try:
            await journal.store(escrow, number, sealed(self._sealer, escrow, number, {key: message}))
        except MessageConflict:
            # The same message may have come twice at the same time.
            if is_new(await self.look(journal, escrow), number, key, message):
                raise
            return False
        return True


def sealed(
    sealer: Sealer, escrow: EscrowId, number: int, messages: Mapping[MessageKey, Secret]
) -> dict[MessageKey, str]:
    """Seal messages of an attempt."""
    return {key: sealer.seal(message, message_purpose(escrow, number, key)) for key, message in messages.items()}


def unsealed(sealer: Sealer, escrow: EscrowId, record: KeyingRecord) -> KeyingAttempt:
    """Return a stored attempt with its messages readable.

    Raises:
        NotUnsealable: the vault key is another one, or a message was moved or changed.

    """
    number = record.number
    messages = {key: sealer.unseal(text, message_purpose(escrow, number, key)) for key, text in record.messages.items()}
    return KeyingAttempt(escrow, number, messages)
