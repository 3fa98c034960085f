"""Decisions of the operator: what one would do and pay is looked at first; then it is taken, of just that escrow."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from escrowd.cli.opening import opened
from escrowd.domain.escrow.events import Divided, Event, Refunded, Released, Resumed, Ruled, Settled
from escrowd.domain.escrow.facts import Escrow
from escrowd.domain.escrow.machine import IllegalMove, Step
from escrowd.domain.escrow.status import Status
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.payouts.fees import FeeRate
from escrowd.domain.payouts.records import Payout, PayoutKind
from escrowd.monero.daemon import daemon_client
from escrowd.monero.errors import MoneroError
from escrowd.monero.transport import Connections, Endpoint
from escrowd.service.front.callers import OPERATOR
from escrowd.service.front.escrows import CallersView, EscrowDesk
from escrowd.service.front.preview import Decision, Previewed, preview
from escrowd.service.payouts.rates import normal_fee_rate
from escrowd.settings.loading import Settings
from escrowd.store.store import SqlTransaction


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What a decision would do."""

    step: Step
    #: What it was judged by; ``None`` where the daemon did not name it.
    rate: FeeRate | None
    #: What would be paid; ``None`` where nothing would be, or where ``trouble`` says why it is not known.
    previewed: Previewed | None
    #: The payout that goes on as it was signed, where there is one.
    going_on: Payout | None
    trouble: str
    #: Nodes that would carry it out now.
    nodes: tuple[str, ...]

    @property
    def escrow(self) -> Escrow:
        """The escrow as it is now."""
        return self.step.before or self.step.after


async def foresee(config: Path | None, escrow: EscrowId, event: Event) -> Foreseen:
    """Look at what a decision would do now, and pay.

    Raises:
        NoSuchEscrow, NotPermitted, IllegalMove, InvalidShare: it would be refused.
        NothingToPayOut, Uneconomic, NotAllThere: nothing would come of it.

    """
    async with opened(config) as work:
        rate, trouble = await present_rate(work.settings)
        previewed = None
        async with work.store.reading() as tx:
            step = await _step(work.desk_at(rate), tx, escrow, event, trouble)
            going_on = _going_on(event, await tx.payouts.all_of(escrow))
            nodes = await tx.inspection.living_nodes()
            is_new = step.after.status is Status.PAYING and going_on is None
            if is_new and rate is not None:
                previewed = await _preview(tx, step, event, rate)
    return Foreseen(step, rate, previewed, going_on, trouble if is_new else "", nodes)


async def decide(
    config: Path | None, escrow: EscrowId, event: Event, version: int, rate: FeeRate | None
) -> CallersView:
    """Take a decision on the escrow as it was at a version, by a fee rate, and return the escrow as it is then.

    Raises:
        VersionConflict: something happened to it meanwhile.
        NoSuchEscrow, NotPermitted, IllegalMove, InvalidShare, Uneconomic, NotAllThere: it is refused.

    """
    async with opened(config) as work, work.store.transaction() as tx:
        made = await work.desk_at(rate).act(tx, OPERATOR, escrow, event, version)
        return await work.desk.see(tx, OPERATOR, made.id)


async def present_rate(settings: Settings) -> tuple[FeeRate | None, str]:
    """Return the fee rate that the daemon names now, or why it is not known."""
    try:
        async with Connections() as connections:
            daemon = daemon_client(connections, Endpoint(settings.model.daemon.host, settings.daemon_port))
            return await normal_fee_rate(daemon), ""
    except MoneroError as error:
        return None, str(error)


# ---------------------------------------------------------------------------------------------------------------------

#: What is reckoned for an order that was given before, by its kind. Only a split needs its share.
_DECISION_OF: Final = {
    PayoutKind.RELEASE: Decision.RELEASE,
    PayoutKind.REFUND: Decision.REFUND,
    PayoutKind.SPLIT: Decision.RULE,
}


async def _step(desk: EscrowDesk, tx: SqlTransaction, escrow: EscrowId, event: Event, trouble: str) -> Step:
    try:
        return await desk.foresee(tx, OPERATOR, escrow, event)
    except IllegalMove as error:
        if not (trouble and isinstance(event, Settled)):
            raise
        # Money that is not worth its fee does not hinder a settlement, but the fee is not known.
        raise IllegalMove(
            f"{error}; whether what is left is worth its fee is not known: {trouble}", error.allowed
        ) from error


def _going_on(event: Event, payouts: tuple[Payout, ...]) -> Payout | None:
    """Return the payout that was signed already, and that resuming sends again."""
    if not isinstance(event, Resumed):
        return None
    return next((each for each in payouts if each.status.is_open and each.transactions), None)


async def _preview(tx: SqlTransaction, step: Step, event: Event, rate: FeeRate) -> Previewed | None:
    match event:
        case Released():
            return await preview(tx, step.after.id, Decision.RELEASE, None, rate)
        case Refunded():
            return await preview(tx, step.after.id, Decision.REFUND, None, rate)
        case Ruled(vendor_share):
            return await preview(tx, step.after.id, Decision.RULE, vendor_share, rate)
        case Divided(vendor_share):
            return await preview(tx, step.after.id, Decision.SPLIT, vendor_share, rate)
        case Resumed() if step.after.order is not None:
            order = step.after.order
            share = order.vendor_share if order.kind is PayoutKind.SPLIT else None
            return await preview(tx, step.after.id, _DECISION_OF[order.kind], share, rate)
        case _:
            return None
