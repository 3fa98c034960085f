"""What became of signed transactions, by what is in a block. Pure.

What a block holds is done, whatever the record of its payout says. What a block rules out can never be mined: another
transaction spends one of its inputs (key images), or one of its inputs was made by a transaction that was double spent.
Everything else may still be mined, whether a pool has it at the moment or not.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import Enum

from escrowd.domain.escrow.assess import Ledger
from escrowd.domain.outputs import ReceivedOutput, Spend
from escrowd.domain.payouts.records import Attempt, Payout, PayoutKind, PayoutStatus, PayoutTransaction


class Fate(Enum):
    """What became of a signed transaction."""

    #: A block holds it.
    MINED = "mined"
    #: No block can hold it any more.
    DEAD = "dead"
    #: Neither is known.
    OPEN = "open"


def fate_of(one: PayoutTransaction, spends: Iterable[Spend], refuted: Collection[str] = ()) -> Fate:
    """Return what became of a transaction. ``refuted`` are key images of outputs that can never be in a block again."""
    mined = [each for each in spends if each.height is not None]
    if any(each.txid == one.txid for each in mined):
        return Fate.MINED
    is_dead = any(each.key_image in one.key_images for each in mined) or not set(one.key_images).isdisjoint(refuted)
    return Fate.DEAD if is_dead else Fate.OPEN


def fates_of(
    transactions: Sequence[PayoutTransaction], ledger: Ledger, refuted: Collection[str] = ()
) -> tuple[Fate, ...]:
    """Return what became of each of these transactions."""
    return tuple(fate_of(each, ledger.spends, refuted) for each in transactions)


def status_by_fates(fates: Collection[Fate]) -> PayoutStatus | None:
    """Return what a signed payout is when nothing of it can be mined any more; ``None`` while something can."""
    if Fate.OPEN in fates:
        return None
    return PayoutStatus.CONFIRMED if Fate.MINED in fates else PayoutStatus.ABANDONED


def to_be_excluded(attempts: Iterable[Attempt], ledger: Ledger) -> tuple[frozenset[str], ...]:
    """Return key images of each transaction of these attempts that could still be mined.

    New transactions have to spend one of each, so that no two of them are mined. Left out are outputs that neither pool
    nor chain has: where none of the inputs is there, no new transaction can spend one. An image of no known output
    counts as one that is there.
    """
    there = {each.key for each in ledger.outputs}
    gone = {image for key, image in ledger.key_images.items() if key not in there}
    open_ones = [one for each in attempts for one in each.transactions if fate_of(one, ledger.spends) is Fate.OPEN]
    left = (frozenset(one.key_images) - gone for one in open_ones)
    return tuple(each for each in left if each)


def planned_keys(
    payouts: Iterable[Payout], outputs: Iterable[ReceivedOutput], spends: Sequence[Spend]
) -> frozenset[str]:
    """Return the one-time keys of what the ordered payout under way is to spend, as far as pool or chain have it.

    Where a reorganisation took all of it, nothing is planned: what comes then is no late money. Nor is it where blocks
    rule out a part of the payout and hold the others: what is left of it can be decided on anew.
    """
    there = {each.key for each in outputs}
    return frozenset(
        there.intersection(key for each in payouts if _is_under_way(each, spends) for key in each.output_keys)
    )


def paid_out_keys(payouts: Iterable[Payout], spends: Sequence[Spend], key_images: Mapping[str, str]) -> frozenset[str]:
    """Return the one-time keys of what ordered payouts have spent or are to spend."""
    ordered = (each for each in payouts if each.kind is not PayoutKind.RETURN)
    return frozenset().union(*(keys_of(each, spends, key_images) for each in ordered))


def keys_of(payout: Payout, spends: Sequence[Spend], key_images: Mapping[str, str]) -> frozenset[str]:
    """Return the one-time keys of what a payout has spent or is to spend.

    Of one that was abandoned that is what a block holds of it, and of one that is confirmed in part all but what is
    ruled out or was given up: a transaction of a confirmed payout that was in no block has no height.
    """
    key_of = {image: key for key, image in key_images.items()}
    keys = set() if payout.status is PayoutStatus.ABANDONED else set(payout.output_keys)
    for one in payout.transactions:
        its_keys = {key_of[image] for image in one.key_images if image in key_of}
        fate = fate_of(one, spends)
        if fate is Fate.MINED:
            keys |= its_keys
        elif fate is Fate.DEAD or (payout.status is PayoutStatus.CONFIRMED and one.height is None):
            keys -= its_keys
    return frozenset(keys)


# ---------------------------------------------------------------------------------------------------------------------


def _is_under_way(payout: Payout, spends: Sequence[Spend]) -> bool:
    fates = {fate_of(one, spends) for one in payout.transactions}
    is_decided = Fate.DEAD in fates and Fate.OPEN not in fates
    return payout.kind is not PayoutKind.RETURN and payout.status.is_open and not is_decided
