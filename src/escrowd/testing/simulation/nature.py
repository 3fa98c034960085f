"""What happens on the chain without the service: buyers pay in all ways there are, blocks come, and go again."""

import random
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Final

from escrowd.domain.escrow.terms import Terms
from escrowd.domain.identifiers import EscrowId
from escrowd.testing.simulation.addresses import address
from escrowd.testing.simulation.chain import SimulatedChain
from escrowd.testing.simulation.transactions import (
    OUTSIDE,
    MinedOutput,
    SimulatedOutput,
    SimulatedTransaction,
    key_image_of,
)


class Payment(StrEnum):
    """How a buyer pays."""

    EXACT = "exact"
    PART = "part"
    REST = "rest"
    MORE = "more"
    A_LITTLE_LESS = "a_little_less"
    LOCKED_TO_HEIGHT = "locked_to_height"
    LOCKED_FOR_EVER = "locked_for_ever"
    LOCKED_TO_TIME = "locked_to_time"
    SUBADDRESS = "subaddress"
    OTHER_ACCOUNT = "other_account"
    #: Beyond what the watcher looks for: only a wallet finds it.
    FAR_SUBADDRESS = "far_subaddress"
    INTEGRATED = "integrated"
    COINBASE = "coinbase"
    DUST = "dust"
    #: A second output with the one-time key of an earlier one: only one of the two can ever be spent.
    BURNT = "burnt"
    MANY = "many"


#: A height that no chain of ours reaches.
NEVER: Final = 499_999_999

#: How often each is drawn.
WEIGHTS: Final = {
    Payment.EXACT: 30,
    Payment.PART: 10,
    Payment.REST: 10,
    Payment.MORE: 8,
    Payment.A_LITTLE_LESS: 5,
    Payment.LOCKED_TO_HEIGHT: 2,
    Payment.LOCKED_FOR_EVER: 1,
    Payment.LOCKED_TO_TIME: 1,
    Payment.SUBADDRESS: 4,
    Payment.OTHER_ACCOUNT: 2,
    Payment.FAR_SUBADDRESS: 2,
    Payment.INTEGRATED: 2,
    Payment.COINBASE: 1,
    Payment.DUST: 2,
    Payment.BURNT: 1,
    Payment.MANY: 3,
}


class Nature:
    """Makes deposits and blocks out of one source of chance."""

    def __init__(self, chain: SimulatedChain, chance: random.Random) -> None:
        self._chain = chain
        self._chance = chance

    def draw_payment(self) -> Payment:
        """Draw how somebody pays."""
        return self._chance.choices(tuple(WEIGHTS), tuple(WEIGHTS.values()))[0]

    def pay(self, escrow: EscrowId, to: str, terms: Terms, how: Payment) -> str:
        """Let somebody pay to the address of an escrow, and return the id of the transaction."""
        account, index = _PLACES.get(how, (0, 0))
        key = (self._some_key(escrow) if how is Payment.BURNT else None) or self._chain.unique("key")
        amount = self._amount(escrow, terms, how)
        payment_id = "0123456789abcdef" if how is Payment.INTEGRATED else None
        plain = SimulatedOutput(key, escrow, to, amount, account, index, payment_id)
        outputs = self._parted(plain) if how is Payment.MANY else [plain]
        return self._send(outputs, self._lock(how), is_coinbase=how is Payment.COINBASE)

    def replace_by_rival(self, txid: str) -> None:
        """Mine a transaction of the same payer to somebody else, so that this one can never be mined."""
        rival = self._chain.known[txid]
        elsewhere = replace(rival, txid=self._chain.unique("transaction"), outputs=(self.elsewhere(1),))
        self._chain.mine_instead(elsewhere)

    def spend_outside(self, escrow: EscrowId, *, is_all: bool = False, is_mined: bool = False) -> bool:
        """Let two of the parties spend a deposit, or all of them, without the service.

        Where it is to be mined at once, it is also what payouts in the pool were to spend. Returns whether there was
        anything to spend.
        """
        spendable = [
            each
            for each in self._chain.mined_of(escrow)
            if self._is_free(key_image_of(each.output.key), in_pool=not is_mined)
            and each.is_unlocked(self._chain.height, self._chain.tip.time)
        ]
        if not spendable:
            return False
        chosen = spendable if is_all else [self._chance.choice(spendable)]
        foreign = self._foreign(chosen)
        if is_mined:
            self._chain.mine_instead(foreign)
        else:
            self._chain.send(foreign)
        return True

    def elsewhere(self, amount: int) -> SimulatedOutput:
        """Return a new output of a wallet that is not of this world."""
        return SimulatedOutput(self._chain.unique("key"), OUTSIDE, address(OUTSIDE), amount)

    # --- private ------------------------------------------------------------------------------------------------------

    def _is_free(self, key_image: str, *, in_pool: bool) -> bool:
        """Return whether no transaction of the chain, or also of the pool, spends this."""
        return key_image not in self._chain.spent_by and not (in_pool and self._chain.spender_of(key_image))

    def _foreign(self, spent: Sequence[MinedOutput]) -> SimulatedTransaction:
        return SimulatedTransaction(
            self._chain.unique("transaction"),
            tuple(dict.fromkeys(key_image_of(each.output.key) for each in spent)),
            (self.elsewhere(sum(each.output.amount for each in spent)),),
            fee=0,
            sources=tuple(dict.fromkeys(each.transaction.txid for each in spent)),
        )

    def _send(self, outputs: list[SimulatedOutput], lock: int, *, is_coinbase: bool) -> str:
        inputs = (self._chain.unique(OUTSIDE),)
        transaction = SimulatedTransaction(
            self._chain.unique("transaction"), inputs, tuple(outputs), 0, lock, is_coinbase
        )
        if is_coinbase:
            self._chain.mine_instead(transaction)
        else:
            self._chain.send(transaction)
        return transaction.txid

    def _amount(self, escrow: EscrowId, terms: Terms, how: Payment) -> int:
        chance = self._chance
        match how:
            case Payment.PART:
                amount = terms.amount // chance.choice((2, 3, 10))
            case Payment.REST:
                sent = [each for each in self._chain.ever_sent_to(escrow) if not (each.account or each.address_index)]
                amount = terms.amount - sum(each.amount for each in sent)
            case Payment.MORE:
                amount = terms.amount + chance.choice((1, 10**9, terms.amount // 7))
            case Payment.A_LITTLE_LESS:
                amount = terms.least_deposit - chance.choice((0, 1))
            case Payment.DUST:
                amount = chance.choice((1, 10**6, 3 * 10**7))
            case _:
                amount = terms.amount
        return max(1, amount)

    def _lock(self, how: Payment) -> int:
        match how:
            case Payment.LOCKED_TO_TIME:
                return self._chain.tip.time + self._chance.choice((60, 5_000))
            case Payment.LOCKED_TO_HEIGHT:
                return self._chain.height + self._chance.choice((1, 15, 40))
            case Payment.COINBASE:
                return self._chain.height + 60
            case _:
                return NEVER if how is Payment.LOCKED_FOR_EVER else 0

    def _some_key(self, escrow: EscrowId) -> str | None:
        keys = [each.key for each in self._chain.ever_sent_to(escrow)]
        return self._chance.choice(keys) if keys else None

    def _parted(self, plain: SimulatedOutput) -> list[SimulatedOutput]:
        """Pay the amount in three outputs of one transaction."""
        third = plain.amount // 3
        amounts = (third, third, plain.amount - 2 * third)
        return [replace(plain, key=self._chain.unique("key"), amount=max(1, amount)) for amount in amounts]


# ---------------------------------------------------------------------------------------------------------------------

_PLACES: Final = {
    Payment.SUBADDRESS: (0, 1),
    Payment.OTHER_ACCOUNT: (1, 0),
    Payment.FAR_SUBADDRESS: (0, 9),
}
