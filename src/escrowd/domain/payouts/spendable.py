"""Which outputs of an escrow a payout may spend. Pure."""

from collections.abc import Iterable, Sequence

from escrowd.domain.escrow.assess import Ledger, is_spendable
from escrowd.domain.outputs import ReceivedOutput, credited_once
from escrowd.domain.payouts.books import keys_of
from escrowd.domain.payouts.records import Payout


def unspent(ledger: Ledger, others: Iterable[Payout]) -> tuple[ReceivedOutput, ...]:
    """Return the outputs, in chain or pool, that are there for a payout.

    ``others`` are the other payouts of the escrow. Left out is what those spend, and what any transaction in a block
    spends. Change of our own is there as well: a wallet does not tell it from other money.
    """
    taken = {key for each in others for key in keys_of(each, ledger.spends, ledger.key_images)}
    spent = ledger.spent
    return tuple(each for each in credited_once(ledger.outputs) if each.key not in taken and each.key not in spent)


def spendable(outputs: Sequence[ReceivedOutput], ledger: Ledger, account: int) -> tuple[ReceivedOutput, ...]:
    """Return those outputs of an account that the next block lets us spend."""
    return tuple(each for each in outputs if each.account == account and is_spendable(each, ledger))


def payable(outputs: Sequence[ReceivedOutput], ledger: Ledger, account: int) -> tuple[ReceivedOutput, ...]:
    """Return those outputs of an account that can be spent, now or when there are more blocks on them."""
    return tuple(
        each for each in outputs if each.account == account and (is_spendable(each, ledger) or _only_needs_blocks(each))
    )


def may_come(outputs: Sequence[ReceivedOutput], account: int) -> int:
    """Return the sum of what can be spent of an account, now or when there are more blocks on it, in piconero."""
    return sum(each.amount for each in outputs if each.account == account and _only_needs_blocks(each))


# ---------------------------------------------------------------------------------------------------------------------


def _only_needs_blocks(output: ReceivedOutput) -> bool:
    return output.unlock_time == 0 and not (output.double_spend_seen and not output.is_mined)
