"""What the ledger of received and spent outputs means for an escrow: from chain facts to events. Pure.

The watcher writes down what it sees; here is decided what it counts for. The result depends on nothing but the present
ledger and the escrow, so it may be asked again at any time, and says nothing new when nothing is new.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from escrowd.domain.escrow.events import (
    DepositConfirmed,
    DepositReorged,
    DepositSeen,
    DepositSpent,
    Event,
    SpentOutside,
)
from escrowd.domain.escrow.facts import DepositFacts, Escrow, Moment, PaymentFact
from escrowd.domain.escrow.payments import Payments, with_payments
from escrowd.domain.escrow.status import ENDED, Status
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.outputs import SPENDABLE_AGE, ReceivedOutput, Spend, WhyNot, credited_once
from escrowd.domain.payouts.records import Payout

#: From this number on an unlock time is a Unix time and no height (``CRYPTONOTE_MAX_BLOCK_NUMBER``).
FIRST_UNIX_TIME: Final = 500_000_000


@dataclass(frozen=True, slots=True)
class Ledger:
    """What blocks and pool show for one escrow at one moment."""

    #: Number of blocks of the chain.
    chain_height: int
    #: Time of the last block, in seconds since 1970: locks by time are measured with it.
    chain_time: int
    outputs: tuple[ReceivedOutput, ...] = ()
    #: What spends the outputs whose key images are known.
    spends: tuple[Spend, ...] = ()
    #: Ids of all transactions that the service itself sent for this escrow.
    our_txids: frozenset[str] = frozenset()
    #: Key image of each one-time key, hex, as far as wallets have computed them.
    key_images: Mapping[str, str] = field(default_factory=dict)
    #: One-time keys of the outputs that the ordered payout under way is to spend; empty where none is under way.
    planned: frozenset[str] = frozenset()
    #: One-time keys of the outputs that ordered payouts have spent or are to spend: no late money.
    paid_out: frozenset[str] = frozenset()
    #: Outputs that were in a block or in the pool and are in neither now, as they were last; the latest loss last.
    lost: tuple[ReceivedOutput, ...] = ()

    @property
    def spent(self) -> frozenset[str]:
        """One-time keys of the outputs that a transaction in a block spends."""
        images = {each.key_image for each in self.spends if each.height is not None}
        return frozenset(key for key, image in self.key_images.items() if image in images)

    @property
    def spent_outside(self) -> frozenset[str]:
        """One-time keys of the outputs that a transaction in a block spends which is not the service's own."""
        images = {each.key_image for each in self.spends if each.height is not None and each.txid not in self.our_txids}
        return frozenset(key for key, image in self.key_images.items() if image in images)


@dataclass(frozen=True, slots=True)
class Account:
    """The money of one escrow at one moment: what came, and what goes out."""

    ledger: Ledger
    #: Oldest first.
    payouts: tuple[Payout, ...] = ()


#: The money of an escrow of which nobody could know yet.
NOTHING_YET: Final = Account(Ledger(chain_height=0, chain_time=0))


@dataclass(frozen=True, slots=True)
class Overview:
    """Escrows with their money, all of one moment."""

    moment: Moment
    escrows: Mapping[EscrowId, tuple[Escrow, Account]]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one output counts for."""

    output: ReceivedOutput
    confirmations: int
    #: ``None``: it counts towards the deposit.
    reason: WhyNot | None


def judge(escrow: Escrow, ledger: Ledger) -> tuple[Judgement, ...]:
    """Say of every output what it counts for, each one-time key once."""
    return tuple(
        Judgement(output, output.confirmations(ledger.chain_height), _reason(escrow, ledger, output))
        for output in credited_once(_not_our_change(ledger))
    )


def deposit_facts(escrow: Escrow, ledger: Ledger) -> DepositFacts:
    """Sum up the ledger for this escrow, as of now."""
    judged = judge(escrow, ledger)
    if escrow.status in ENDED:
        late = [each for each in judged if _goes_back(each, ledger)]
        spendable = [each for each in late if is_spendable(each.output, ledger)]
        spent = ledger.spent
        return replace(
            escrow.deposit,
            late_seen=_sum(late),
            late_spendable=_sum(spendable),
            late_spent=_sum(each for each in spendable if each.output.key in spent),
        )
    counts = [each for each in judged if each.reason is None]
    spent = ledger.spent
    return DepositFacts(
        seen=_sum(counts),
        confirmed=_sum(each for each in counts if each.confirmations >= escrow.terms.confirmations),
        late_seen=_sum(each for each in judged if each.reason is WhyNot.LATE),
        uncounted=_sum(each for each in judged if each.reason in _NEVER_COUNTS),
        spent=_sum(each for each in counts if each.output.key in spent),
    )


def assess(escrow: Escrow, ledger: Ledger) -> tuple[Event, ...]:
    """Return the events of the chain that happened since the facts of the escrow were noted, in order."""
    if escrow.address is None:
        return ()
    events = (*_spent_outside(escrow, ledger), *_changes(escrow.deposit, deposit_facts(escrow, ledger)))
    payments = Payments(_payments(escrow, ledger), ledger.outputs, ledger.lost)
    return with_payments(events, escrow.payments, payments) if events else ()


def judge_lost(ledger: Ledger) -> tuple[Judgement, ...]:
    """Return what left blocks and pool, to be shown beside what is there."""
    return tuple(Judgement(each, 0, WhyNot.REORGED) for each in ledger.lost)


def is_spendable(output: ReceivedOutput, ledger: Ledger) -> bool:
    """Return whether the next block may hold a transaction that spends this output.

    As ``is_transfer_unlocked`` of wallet2: ten blocks for everything, and the lock that its sender put on it.
    """
    if output.confirmations(ledger.chain_height) < SPENDABLE_AGE:
        return False
    if output.unlock_time < FIRST_UNIX_TIME:
        # is_tx_spendtime_unlocked allows one block more: the one that would hold the spend.
        return output.unlock_time <= ledger.chain_height
    # wallet2 allows two minutes more (CRYPTONOTE_LOCKED_TX_ALLOWED_DELTA_SECONDS_V2). Whoever waits for the time itself
    # is never too early for it.
    return output.unlock_time <= ledger.chain_time


# ---------------------------------------------------------------------------------------------------------------------

_NEVER_COUNTS: Final = frozenset({WhyNot.SUBADDRESS, WhyNot.LOCKED})


def _not_our_change(ledger: Ledger) -> Iterable[ReceivedOutput]:
    """Leave out what our own payouts returned to the escrow: change looks like a deposit to the watcher."""
    return (output for output in ledger.outputs if output.txid not in ledger.our_txids)


def _reason(escrow: Escrow, ledger: Ledger, output: ReceivedOutput) -> WhyNot | None:
    reason = output.why_it_does_not_count()
    if reason is not None or output.key in ledger.paid_out:
        return reason
    # An escrow that is held keeps its planned payout, until that is abandoned.
    is_planned = escrow.status in (Status.PAYING, Status.HELD) and bool(ledger.planned)
    return WhyNot.LATE if is_planned or escrow.status in ENDED else None


def _goes_back(judgement: Judgement, ledger: Ledger) -> bool:
    """Whether it goes back to the buyer after the end, or went: everything that no payout and no other took along."""
    key = judgement.output.key
    is_gone = key in ledger.paid_out or key in ledger.spent_outside
    return not is_gone and judgement.reason is not WhyNot.DOUBLE_SPENT


def _payments(escrow: Escrow, ledger: Ledger) -> tuple[PaymentFact, ...]:
    return tuple(
        PaymentFact(
            each.output.txid,
            each.output.index,
            each.output.key,
            each.output.amount,
            each.output.height,
            confirmed=each.confirmations >= escrow.terms.confirmations
            if each.reason is None
            else is_spendable(each.output, ledger),
            reason=each.reason,
        )
        for each in judge(escrow, ledger)
    )


def _sum(judgements: Iterable[Judgement]) -> int:
    return sum(each.output.amount for each in judgements)


def _changes(old: DepositFacts, new: DepositFacts) -> tuple[Event, ...]:
    """Tell a loss first, for it may undo what a gain would build on; and each by itself, so that neither hides."""
    events: list[Event] = []
    if _is_less(new, old):
        old = _least_of(new, old)
        events.append(DepositReorged(old))
    if new.spent > old.spent:
        old = replace(old, spent=new.spent)
        events.append(DepositSpent(old))
    deep = replace(new, spent=old.spent, late_spent=old.late_spent)
    seen = replace(deep, confirmed=min(old.confirmed, new.seen), late_spendable=old.late_spendable)
    if seen != old:
        events.append(DepositSeen(seen))
    if deep != seen:
        events.append(DepositConfirmed(deep))
    if new != deep:
        events.append(DepositSpent(new))
    return tuple(events)


def _is_less(new: DepositFacts, old: DepositFacts) -> bool:
    # Money that the payout leaves behind becomes late when that is planned. It is not lost, although it is no longer
    # part of what was seen and perhaps confirmed.
    became_late = max(0, old.seen - new.seen)
    return (
        new.seen + new.late_seen < old.seen + old.late_seen
        or new.confirmed + became_late < old.confirmed
        or new.late_spendable < old.late_spendable
        or new.uncounted < old.uncounted
    )


def _least_of(new: DepositFacts, old: DepositFacts) -> DepositFacts:
    return DepositFacts(
        seen=min(new.seen, old.seen),
        confirmed=min(new.confirmed, old.confirmed),
        late_seen=min(new.late_seen, old.late_seen),
        late_spendable=min(new.late_spendable, old.late_spendable),
        uncounted=min(new.uncounted, old.uncounted),
        spent=old.spent,
        late_spent=old.late_spent,
    )


def _spent_outside(escrow: Escrow, ledger: Ledger) -> tuple[Event, ...]:
    if escrow.status in ENDED:
        return ()
    known = ledger.our_txids.union(escrow.outside_spends)
    # Money state changes only by what is in a block: what is in the pool may vanish.
    foreign = {spend.txid for spend in ledger.spends if spend.height is not None and spend.txid not in known}
    return tuple(SpentOutside(txid) for txid in sorted(foreign))
