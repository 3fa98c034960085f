"""Whether a decision can be carried out with the money that is there, at what the network asks for. Pure.

Previews and commands are judged here alike: what one of them refuses, the other one refuses in the same words.
"""

from collections.abc import Collection
from dataclasses import replace

from escrowd.domain.escrow.assess import Account
from escrowd.domain.escrow.events import Event, Resumed, Settled, SplitProposed
from escrowd.domain.escrow.facts import Escrow, Moment
from escrowd.domain.escrow.machine import InvalidShare, Step, kind_of_share, step
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.payouts.books import Fate, fates_of
from escrowd.domain.payouts.fees import FeeRate
from escrowd.domain.payouts.plan import NotAllThere, PayoutPlan, Uneconomic, plan_payout
from escrowd.domain.payouts.records import PayoutKind
from escrowd.domain.payouts.spendable import payable, spendable, unspent


def plan_decision(escrow: Escrow, account: Account, kind: PayoutKind, vendor_share: int, rate: FeeRate) -> PayoutPlan:
    """Plan what a decision would pay if it fell now. All that is there of the first account is paid out.

    Raises:
        InvalidShare: one side would get less than its part of the network fee; the message says the least.
        Uneconomic: there is less to pay out than it costs.
        NotAllThere: there is less than the vendor's side is to get.

    """
    # A payout that is under way goes on for the same decision, and gives way to another one.
    others = [each for each in account.payouts if not each.status.is_open]
    there = payable(unspent(account.ledger, others), account.ledger, account=0)
    _check_parts(escrow, kind, vendor_share, rate)
    plan = plan_payout(escrow.terms, kind, vendor_share, there, rate.dust())
    fee = plan.expected_fee(rate)
    plan.outputs(fee, fee)
    return plan


def plan_return(escrow: Escrow, account: Account, rate: FeeRate, without: Collection[int] = ()) -> PayoutPlan:
    """Plan the return of the late money of the first account of the wallet, ``without`` some, that is worth its fee.

    Raises:
        Uneconomic: there is none.

    """
    late = unspent(account.ledger, account.payouts)
    why = Uneconomic("there is no late money that can be sent back")
    for number in sorted({each.account for each in late}.difference(without)):
        now = spendable(late, account.ledger, number)
        try:
            plan = plan_payout(escrow.terms, PayoutKind.RETURN, 0, now, rate.dust())
            fee = plan.expected_fee(rate)
            plan.outputs(fee, fee)
        except Uneconomic as error:
            why = error
        else:
            return plan
    raise why


def check_payable(taken: Step, account: Account, rate: FeeRate | None) -> None:
    """Make sure that what a step decides on the money, or offers, can be carried out. Raises as :func:`plan_decision`.

    Without a rate, because the daemon has named none yet, only the payout itself can find out.
    """
    before, after, event = taken.before, taken.after, taken.event
    if before is None or rate is None:
        return
    if isinstance(event, SplitProposed):
        kind = kind_of_share(event.vendor_share, before.divisible)
        plan_decision(before, account, kind, event.vendor_share, rate)
    elif isinstance(event, Resumed) and after.has_ended:
        plan_return(before, account, rate)
    elif after.status is Status.PAYING and before.status is not Status.PAYING and after.order is not None:
        plan_decision(before, account, after.order.kind, after.order.vendor_share, rate)


def foresee(escrow: Escrow, account: Account, event: Event, who: Who, moment: Moment, rate: FeeRate | None) -> Step:
    """Return the step that a command would take. Raises as :func:`step` and :func:`plan_decision` do."""
    taken = step(escrow, with_facts(event, escrow, account, rate), who, moment)
    check_payable(taken, account, rate)
    return taken


def with_facts(event: Event, escrow: Escrow, account: Account, rate: FeeRate | None) -> Event:
    """Add to what a person says the facts that it is judged by: of a settlement, what is left and what was paid."""
    if not isinstance(event, Settled):
        return event
    ordered = (each for each in reversed(account.payouts) if each.kind is not PayoutKind.RETURN)
    mined = next((each for each in ordered if Fate.MINED in fates_of(each.transactions, account.ledger)), None)
    paid = mined.decision(escrow.version) if mined is not None else None
    return replace(event, residue=residue_of(escrow, account, rate), paid=paid)


def residue_of(escrow: Escrow, account: Account, rate: FeeRate | None) -> int:
    """Return what is left of the deposit of a held escrow, in piconero, where it is not worth its fee; else 0."""
    if rate is None or escrow.status is not Status.HELD or not escrow.deposit.unspent:
        return 0
    try:
        plan_decision(escrow, account, PayoutKind.REFUND, 0, rate)
    except (Uneconomic, NotAllThere):
        return escrow.deposit.unspent
    return 0


# ---------------------------------------------------------------------------------------------------------------------


def _check_parts(escrow: Escrow, kind: PayoutKind, vendor_share: int, rate: FeeRate) -> None:
    if kind is not PayoutKind.SPLIT:
        return
    least = rate.dust() + 1
    for side, part in (("vendor's side", vendor_share), ("buyer", escrow.divisible - vendor_share)):
        if 0 < part < least:
            raise InvalidShare(
                f"vendor_share {vendor_share} leaves {part} piconero for the {side}, less than they cost: the "
                f"network asks for about {least - 1}; give the {side} 0, or at least {least}"
            )
