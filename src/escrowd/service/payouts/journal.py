"""Stores the steps of an attempt, each in one transaction under the claim on its escrow."""

from dataclasses import replace
from typing import Protocol

from escrowd.domain.payouts.plan import PayoutPlan
from escrowd.domain.payouts.records import Attempt, Payout, PayoutStatus
from escrowd.domain.secret import Secret
from escrowd.service.chain_gate import ChainSight, check_trusted
from escrowd.service.payouts.attempt import SignedAttempt
from escrowd.service.payouts.wallets import Seen
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
    """The journal of one payout under one claim."""

    def __init__(self, store: Store, claim: Claim, payout: Payout, sealer: Sealer, chain: ChainSight) -> None:
        self._store = store
        self._claim = claim
        self._payout = payout
        self._sealer = sealer
        self._chain = chain

    async def save(self, attempt: Attempt) -> None:
        """Store a step of an attempt. Raises LeaseLost."""
        async with self._store.transaction() as tx:
            await tx.hold_claim(self._claim)
            await tx.payouts.save_attempt(attempt)

    async def save_signed(self, signed: SignedAttempt, plan: PayoutPlan, residue: int) -> None:
        """Store a signed attempt and its bytes, and what its payout pays, spends and leaves. Raises LeaseLost."""
        payout = replace(
            self._payout,
            status=PayoutStatus.SIGNING,
            output_keys=plan.keys,
            transactions=signed.attempt.transactions,
            residue=residue,
        )
        async with self._store.transaction() as tx:
            await tx.hold_claim(self._claim)
            for txid, raw in signed.raw_transactions.items():
                await tx.payouts.keep_raw(txid, raw)
            await tx.payouts.save_attempt(signed.attempt)
            await tx.payouts.save(payout)

    async def note(self, seen: Seen) -> None:
        """Note outputs that only a wallet finds, and let the watcher look for spends of all. Raises LeaseLost."""
        escrow = self._payout.escrow
        images = [(each.pubkey, each.key_image) for each in seen.by_proposer if each.key_image]
        async with self._store.transaction() as tx:
            await tx.hold_claim(self._claim)
            await tx.ledgers.note_wallet_outputs(escrow, seen.elsewhere)
            await tx.ledgers.note_key_images(escrow, images)

    def check(self) -> None:
        """Make sure that claim and chain still hold, before a signature is worked on.

        Raises:
            LeaseLost: the claim has run out.
            ChainNotTrusted: the chain is not in sync.

        """
        self._claim.check()
        check_trusted(self._chain)

    def seal(self, txset: Secret, attempt: Attempt) -> str:
        """Seal a transaction set for its attempt."""
        return self._sealer.seal(txset, set_purpose(attempt))


def set_purpose(attempt: Attempt) -> str:
    """Name what a transaction set is sealed for."""
    return f"transactions of attempt {attempt.number} at payout {attempt.payout}"
