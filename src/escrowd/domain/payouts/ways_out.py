"""What each command of the operator would do to a held escrow, and why another is not possible. Pure.

Each is judged by the very function by which the command itself is.
"""

from dataclasses import dataclass
from typing import Final

from escrowd.domain.errors import EscrowdError
from escrowd.domain.escrow.assess import Account
from escrowd.domain.escrow.events import Divided, Event, Refunded, Released, Resumed, Settled
from escrowd.domain.escrow.facts import Escrow, Moment
from escrowd.domain.escrow.machine import Step
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.payouts.fees import FeeRate
from escrowd.domain.payouts.judging import foresee, plan_decision
from escrowd.domain.payouts.plan import PayoutPlan


@dataclass(frozen=True, slots=True)
class WayOut:
    """A command for a held escrow. Of a split with half for each side: any other share is judged when it is named."""

    action: str
    #: What it would do; ``None`` where it is refused.
    step: Step | None
    #: What it would pay; ``None`` where nothing, or where the fee rate is not known.
    plan: PayoutPlan | None
    #: Why it is refused, in the words of its own refusal; empty where it is not.
    refusal: str


def commands(escrow: Escrow) -> dict[str, Event]:
    """Return the operator's commands for a held escrow, by the names of their actions."""
    return {
        "release": Released(),
        "refund": Refunded(),
        "resume": Resumed(),
        "split": Divided(escrow.divisible // 2),
        "settle": Settled(_ANY_REASON),
    }


def ways_out(escrow: Escrow, account: Account, moment: Moment, rate: FeeRate | None) -> tuple[WayOut, ...]:
    """Return what each command would do to a held escrow; nothing of any other escrow."""
    if escrow.status is not Status.HELD:
        return ()
    return tuple(_way(action, event, escrow, account, moment, rate) for action, event in commands(escrow).items())


# ---------------------------------------------------------------------------------------------------------------------

_ANY_REASON: Final = "any"


def _way(action: str, event: Event, escrow: Escrow, account: Account, moment: Moment, rate: FeeRate | None) -> WayOut:
    try:
        step = foresee(escrow, account, event, Who.OPERATOR, moment, rate)
    except EscrowdError as error:
        return WayOut(action, None, None, str(error))
    order = step.after.order
    if step.after.status is not Status.PAYING or rate is None or order is None:
        return WayOut(action, step, None, "")
    return WayOut(action, step, plan_decision(escrow, account, order.kind, order.vendor_share, rate), "")
