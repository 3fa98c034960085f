"""The law of one payout of the same money, asked at the moment at which a payout is signed."""

from escrowd.domain.identifiers import EscrowId
from escrowd.domain.payouts.records import Attempt, PayoutKind, PayoutTransaction
from escrowd.testing.simulation.chain import SimulatedChain
from escrowd.testing.simulation.tables import Tables
from escrowd.testing.simulation.transactions import key_image_of


def paid_besides(chain: SimulatedChain, tables: Tables, attempt: Attempt) -> str:
    """Return the id of a transaction that was signed for another decision and could be mined beside this attempt.

    What a block holds is done, what a block rules out never comes, and of what has no input in pool and chain nothing
    can be spent. Any other transaction has to share an input with the new ones. The service goes by the watcher's last
    look, and the chain may have gone on since: what either of them excuses is excused.
    """
    payout = tables.payouts[attempt.payout]
    images = {image for one in attempt.transactions for image in one.key_images}
    if payout.kind is PayoutKind.RETURN:
        return ""
    for other in tables.attempts.values():
        its_payout = tables.payouts[other.payout]
        is_ordered = its_payout.escrow == payout.escrow and its_payout.kind is not PayoutKind.RETURN
        if not is_ordered or (other.payout, other.number) == (attempt.payout, attempt.number):
            continue
        for one in other.transactions:
            is_signed = one.txid in chain.known or one.txid in chain.submitted
            escrow = EscrowId(payout.escrow)
            is_open = is_signed and _is_open_in(chain, one) and _is_open_by(tables, escrow, one)
            if is_open and images.isdisjoint(one.key_images):
                return one.txid
    return ""


# ---------------------------------------------------------------------------------------------------------------------


def _is_open_in(chain: SimulatedChain, one: PayoutTransaction) -> bool:
    """Return whether the chain neither holds a transaction nor rules it out, and an input of it is there."""
    if any(image in chain.spent_by for image in one.key_images):
        return False
    transaction = chain.known.get(one.txid) or chain.submitted[one.txid]
    return any(txid in chain.height_of or txid in chain.pool for txid in transaction.sources)


def _is_open_by(tables: Tables, escrow: EscrowId, one: PayoutTransaction) -> bool:
    """Return the same by what the watcher has written."""
    mined = {each.key_image for each in tables.spends.get(escrow, ()) if each.height is not None}
    there = {key_image_of(each.key) for each in tables.watched.get(escrow, ())}
    return mined.isdisjoint(one.key_images) and not there.isdisjoint(one.key_images)
