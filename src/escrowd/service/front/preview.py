"""What a payout would pay, without making it: the same plan and the same fees as when it is made."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from escrowd.domain.conflicts import NoSuchEscrow
from escrowd.domain.errors import InvalidInput
from escrowd.domain.escrow.facts import Escrow
from escrowd.domain.escrow.machine import InvalidShare, kind_of_share
from escrowd.domain.escrow.status import Status
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.payouts.fees import FeeRate
from escrowd.domain.payouts.judging import plan_decision
from escrowd.domain.payouts.plan import PayoutPlan
from escrowd.domain.payouts.records import PaidOutput, PayoutKind
from escrowd.service.front.errors import NothingToPayOut
from escrowd.service.front.ports import FrontTransaction


class Decision(StrEnum):
    """What can be reckoned before it is decided."""

    RELEASE = "release"
    REFUND = "refund"
    RULE = "rule"
    SPLIT = "split"
    PROPOSE_SPLIT = "propose-split"
    ACCEPT_SPLIT = "accept-split"


@dataclass(frozen=True, slots=True)
class Previewed:
    """What a payout would pay. All amounts are piconero; outputs and fee together are the total."""

    kind: PayoutKind
    total: int
    #: An estimate: the wallet charges for the weight of the transaction that it makes, which differs by some bytes.
    network_fee: int
    left_out: int
    outputs: tuple[PaidOutput, ...]


async def preview(
    tx: FrontTransaction, escrow: EscrowId, decision: Decision, vendor_share: int | None, rate: FeeRate
) -> Previewed:
    """Reckon what a decision would pay if it fell now.

    Raises:
        NoSuchEscrow: there is none of this id.
        NothingToPayOut: there is no final deposit, or it is being paid out.
        InvalidInput: the share is missing, superfluous or out of bounds.
        Uneconomic, NotAllThere: there is less than the decision needs; nothing would be paid.

    """
    found = (await tx.overview.of([escrow])).escrows.get(escrow)
    if found is None:
        raise NoSuchEscrow(f"there is no escrow {escrow}")
    present, account = found
    if present.status not in _DIVISIBLE or present.divisible == 0:
        raise NothingToPayOut(f"there is no final deposit that could be paid out while the escrow is {present.status}")
    kind, share = _decided(present, decision, vendor_share)
    return _reckoned(plan_decision(present, account, kind, share, rate), rate)


# ---------------------------------------------------------------------------------------------------------------------

_DIVISIBLE: Final = frozenset({Status.FUNDED, Status.DELIVERED, Status.DISPUTED, Status.HELD})


def _decided(escrow: Escrow, decision: Decision, vendor_share: int | None) -> tuple[PayoutKind, int]:
    needs_share = decision not in (Decision.RELEASE, Decision.REFUND)
    if needs_share is (vendor_share is None):
        said = "needs a vendor_share, in piconero" if needs_share else "takes no vendor_share"
        raise InvalidInput(f"a preview of '{decision}' {said}")
    if vendor_share is None:
        return (PayoutKind.RELEASE, escrow.divisible) if decision is Decision.RELEASE else (PayoutKind.REFUND, 0)
    if vendor_share > escrow.divisible:
        raise InvalidShare(
            f"the vendor's share must be 0 to {escrow.divisible} piconero, all that there is to divide, "
            f"not {vendor_share}"
        )
    return kind_of_share(vendor_share, escrow.divisible), vendor_share


def _reckoned(plan: PayoutPlan, rate: FeeRate) -> Previewed:
    fee = plan.expected_fee(rate)
    return Previewed(plan.kind, plan.total, fee, plan.residue, plan.outputs(fee, fee))
