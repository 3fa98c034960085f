"""Which outputs of an escrow a payout may spend. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from escrowd.domain.escrow.assess import Ledger, is_spendable
from escrowd.domain.outputs import ReceivedOutput, credited_once
from escrowd.domain.payouts.records import Payout, PayoutStatus


def unspent(ledger: Ledger, key_images: Mapping[str, str], others: Iterable[Payout]) -> tuple[ReceivedOutput, ...]:
    """Return the outputs, in chain or pool, that are there for a payout.

    ``key_images`` names the key image of each one-time key, as far as they are known; ``others`` are the other payouts
    of the escrow. Left out is what those spend, and what anybody's transaction in a block spends. Change of our own is
    there as well: a wallet does not tell it from other money.
    """
    taken = {key for each in others if each.status is not PayoutStatus.ABANDONED for key in each.output_keys}
    spent = {each.key_image for each in ledger.spends if each.height is not None}
    return tuple(
        each
        for each in credited_once(ledger.outputs)
        if each.key not in taken and key_images.get(each.key) not in spent
    )


def spendable(outputs: Sequence[ReceivedOutput], ledger: Ledger, account: int) -> tuple[ReceivedOutput, ...]:
    """Return those outputs of an account that the next block lets us spend."""
    return tuple(each for each in outputs if each.account == account and is_spendable(each, ledger))


def may_come(outputs: Sequence[ReceivedOutput], account: int) -> int:
    """Return the sum of what can be spent of an account, now or when there are more blocks on it, in piconero."""
    return sum(
        each.amount
        for each in outputs
        if each.account == account and each.unlock_time == 0 and not (each.double_spend_seen and not each.is_mined)
    )
