"""Stores the steps of an attempt, each in one transaction under the claim on its escrow."""

from collections.abc import Sequence
from typing import Protocol

from escrowd.domain.identifiers import EscrowId
from escrowd.domain.payouts.records import Attempt
from escrowd.domain.secret import Secret
from escrowd.monero.results_wallet import IncomingTransfer
from escrowd.service.ports import Claim, Store


class Sealer(Protocol):
    """Seals what is stored (:class:`escrowd.wallets.vault.Vault`)."""

    def seal(self, secret: Secret, purpose: str) -> str:
        """Seal a secret for one purpose."""
        ...

    def unseal(self, sealed: str, purpose: str) -> Secret:
        """Return the secret that was sealed for this purpose."""
        ...


class ClaimJournal:
    """The journal of one claim."""

    def __init__(self, store: Store, claim: Claim, escrow: EscrowId, sealer: Sealer) -> None:
        self._store = store
        self._claim = claim
        self._escrow = escrow
        self._sealer = sealer

    async def save(self, attempt: Attempt) -> None:
        """Store a step of an attempt. Raises LeaseLost."""
        async with self._store.transaction() as tx:
            await tx.hold_claim(self._claim)
            await tx.payouts.save_attempt(attempt)

    async def note_key_images(self, found: Sequence[IncomingTransfer]) -> None:
        """Let the watcher look for spends of these outputs. Raises LeaseLost."""
        async with self._store.transaction() as tx:
            await tx.hold_claim(self._claim)
            noted = [(each.pubkey, each.key_image) for each in found if each.key_image]
            await tx.ledgers.note_key_images(self._escrow, noted)

    def check(self) -> None:
        """Make sure that the claim has not run out, before anything leaves the process. Raises LeaseLost."""
        self._claim.check()

    def seal(self, txset: Secret, attempt: Attempt) -> str:
        """Seal a transaction set for its attempt."""
        return self._sealer.seal(txset, set_purpose(attempt))


def set_purpose(attempt: Attempt) -> str:
    """Name what a transaction set is sealed for."""
    return f"transactions of attempt {attempt.number} at payout {attempt.payout}"
