"""Which payments an event of the deposit is about: from what was noted of them and what the ledger shows now. Pure.

An escrow notes its largest payments with what each counted for, so that an event lists those that changed, and the hash
chain of the log holds the transaction of a deposit that a reorganisation removes later. The smallest are counted only:
a flood of them would make each step of the escrow larger than the one before.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from escrowd.domain.escrow.events import DepositConfirmed, DepositReorged, DepositSeen, Event
from escrowd.domain.escrow.facts import PaymentFact
from escrowd.domain.money import format_xmr
from escrowd.domain.outputs import ReceivedOutput, WhyNot

#: So many payments of an escrow are noted, and listed in an event: the largest.
MAX_LISTED: Final = 50


@dataclass(frozen=True, slots=True)
class Payments:
    """The payments of an escrow, as a ledger shows them."""

    now: Sequence[PaymentFact]
    #: Outputs of the ledger, whether or not they are credited.
    outputs: Iterable[ReceivedOutput]
    lost: Sequence[ReceivedOutput]


def with_payments(events: tuple[Event, ...], noted: tuple[PaymentFact, ...], payments: Payments) -> tuple[Event, ...]:
    """Return the events with the payments that changed: each in the event of its change, else in the first one."""
    kinds = [type(each) for each in events if isinstance(each, _DepositEvent)]
    if not kinds:
        return events
    listed = _largest(payments.now)
    changes = _changes(noted, listed, payments, kinds)
    for kind in (DepositReorged, DepositSeen):
        # Money can vanish and other money come, so that no sum changes.
        if kind not in kinds:
            changes[kinds[0]] = [*changes[kind], *changes[kinds[0]]]
    unlisted = len(payments.now) - len(listed)
    return tuple(
        replace(each, payments=_largest(changes[type(each)]), unlisted=unlisted)
        if isinstance(each, _DepositEvent)
        else each
        for each in events
    )


def noted_after(noted: tuple[PaymentFact, ...], event: Event) -> tuple[PaymentFact, ...]:
    """Return the noted payments of an escrow after an event."""
    if not isinstance(event, _DepositEvent):
        return noted
    known = {_place(each): each for each in (*noted, *event.payments)}
    return _largest(each for each in known.values() if each.reason is not WhyNot.REORGED)


def loss_in_words(payments: Iterable[PaymentFact]) -> str:
    """Describe the payments that no longer count, for the operator; an empty text where none is known."""
    lost = [each for each in payments if each.reason in _NOT_THERE]
    more = f", and {len(lost) - _IN_WORDS} more" if len(lost) > _IN_WORDS else ""
    return "; ".join(map(_in_words, lost[:_IN_WORDS])) + more


# ---------------------------------------------------------------------------------------------------------------------

_DepositEvent: TypeAlias = DepositReorged | DepositSeen | DepositConfirmed
_NOT_THERE: Final = frozenset((WhyNot.REORGED, WhyNot.DOUBLE_SPENT))
#: So many lost payments are described in a text.
_IN_WORDS: Final = 3


def _changes(
    noted: tuple[PaymentFact, ...],
    listed: tuple[PaymentFact, ...],
    payments: Payments,
    kinds: Sequence[type[_DepositEvent]],
) -> dict[type[_DepositEvent], list[PaymentFact]]:
    """Sort what changed by the event that it belongs to."""
    worse, new, deeper = _gone(noted, payments, is_loss=DepositReorged in kinds), [], []
    known = {_place(each): each for each in noted}
    for each in listed:
        before = known.get(_place(each))
        # What counts for something else than before is as new.
        same = before if before is not None and before.reason is each.reason else None
        if before is not None and _is_worse(each, before):
            worse.append(each)
            continue
        if same is None:
            new.append(replace(each, confirmed=each.confirmed and DepositConfirmed not in kinds))
        if each.confirmed and not (same is not None and same.confirmed):
            deeper.append(each)
    return {DepositReorged: worse, DepositSeen: new, DepositConfirmed: deeper}


def _gone(noted: tuple[PaymentFact, ...], payments: Payments, *, is_loss: bool) -> list[PaymentFact]:
    """Return the noted payments that are in neither blocks nor pool, as they were last."""
    lost = {(each.txid, each.key): each for each in payments.lost}
    if not noted and is_loss:
        # A version that noted none saw the money.
        return list(_largest(map(_lost, payments.lost)))
    there = {(each.txid, each.key) for each in payments.outputs}
    gone = [each for each in noted if _place(each) not in there]
    return [
        _lost(lost[_place(each)]) if _place(each) in lost else replace(each, confirmed=False, reason=WhyNot.REORGED)
        for each in gone
    ]


def _lost(output: ReceivedOutput) -> PaymentFact:
    return PaymentFact(
        output.txid, output.index, output.key, output.amount, output.height, confirmed=False, reason=WhyNot.REORGED
    )


def _is_worse(now: PaymentFact, before: PaymentFact) -> bool:
    """Whether a payment that is there counts for less: in the pool with a double spend, or less deep."""
    is_disputed = now.reason is WhyNot.DOUBLE_SPENT and before.reason is not WhyNot.DOUBLE_SPENT
    return is_disputed or (before.confirmed and not now.confirmed and now.reason is before.reason)


def _place(payment: PaymentFact) -> tuple[str, str]:
    # Not the place in the transaction, which a wallet does not know.
    return payment.txid, payment.key


def _largest(payments: Iterable[PaymentFact]) -> tuple[PaymentFact, ...]:
    by_place = {_place(each): each for each in payments}
    ranked = sorted(by_place.values(), key=lambda each: (-each.amount, each.txid, each.output, each.key))
    return tuple(ranked[:MAX_LISTED])


def _in_words(lost: PaymentFact) -> str:
    what = f"{format_xmr(lost.amount)} XMR by output {lost.output} of transaction {lost.txid}"
    if lost.reason is WhyNot.DOUBLE_SPENT:
        return f"{what} is in the pool, and so is a double spend of it"
    return f"{what} was in block {lost.height}" if lost.height is not None else f"{what} was in the pool"
