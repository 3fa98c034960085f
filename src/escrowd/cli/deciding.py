"""Decisions of the operator: what one would do and pay is looked at first; then it is taken, of just that escrow."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from escrowd.cli.opening import Opened, opened
from escrowd.domain.escrow.events import Event, Refunded, Released, Resumed, Ruled
from escrowd.domain.escrow.facts import Escrow
from escrowd.domain.escrow.machine import Step
from escrowd.domain.escrow.status import Status
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.payouts.fees import FeeRate
from escrowd.domain.payouts.records import Payout, PayoutKind
from escrowd.monero.daemon import daemon_client
from escrowd.monero.errors import MoneroError
from escrowd.monero.transport import Connections, Endpoint
from escrowd.service.front.callers import OPERATOR
from escrowd.service.front.escrows import CallersView
from escrowd.service.front.preview import Decision, Previewed, preview
from escrowd.service.payouts.rates import normal_fee_rate
from escrowd.settings.loading import Settings
from escrowd.store.store import SqlTransaction


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What a decision would do."""

    step: Step
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
        async with work.store.reading() as tx:
            step = await work.desk.foresee(tx, OPERATOR, escrow, event)
            going_on = _going_on(event, await tx.payouts.all_of(escrow))
            nodes = await tx.inspection.living_nodes()
        previewed, trouble = None, ""
        if step.after.status is Status.PAYING and going_on is None:
            try:
                rate = await _rate(work.settings)
            except MoneroError as error:
                trouble = str(error)
            else:
                async with work.store.reading() as tx:
                    previewed = await _preview(tx, step, event, rate)
    return Foreseen(step, previewed, going_on, trouble, nodes)


async def decide(config: Path | None, escrow: EscrowId, event: Event, version: int) -> CallersView:
    """Take a decision on the escrow as it was at a version, and return the escrow as it is then.

    Raises:
        VersionConflict: something happened to it meanwhile.
        NoSuchEscrow, NotPermitted, IllegalMove, InvalidShare: it is refused.

    """
    async with opened(config) as work, work.store.transaction() as tx:
        made = await work.desk.act(tx, OPERATOR, escrow, event, version)
        return await _view(work, tx, made.id)


# ---------------------------------------------------------------------------------------------------------------------

#: What is reckoned for an order that was given before, by its kind. Only a split needs its share.
_DECISION_OF: Final = {
    PayoutKind.RELEASE: Decision.RELEASE,
    PayoutKind.REFUND: Decision.REFUND,
    PayoutKind.SPLIT: Decision.RULE,
}


async def _view(work: Opened, tx: SqlTransaction, escrow: EscrowId) -> CallersView:
    return await work.desk.see(tx, OPERATOR, escrow)


def _going_on(event: Event, payouts: tuple[Payout, ...]) -> Payout | None:
    """Return the payout that was signed already, and that resuming sends again."""
    if not isinstance(event, Resumed):
        return None
    return next((each for each in payouts if each.status.is_open and each.transactions), None)


async def _rate(settings: Settings) -> FeeRate:
    async with Connections() as connections:
        daemon = daemon_client(connections, Endpoint(settings.model.daemon.host, settings.daemon_port))
        return await normal_fee_rate(daemon)


async def _preview(tx: SqlTransaction, step: Step, event: Event, rate: FeeRate) -> Previewed | None:
    match event:
        case Released():
            return await preview(tx, step.after.id, Decision.RELEASE, None, rate)
        case Refunded():
            return await preview(tx, step.after.id, Decision.REFUND, None, rate)
        case Ruled(vendor_share):
            return await preview(tx, step.after.id, Decision.RULE, vendor_share, rate)
        case Resumed() if step.after.order is not None:
            order = step.after.order
            share = order.vendor_share if order.kind is PayoutKind.SPLIT else None
            return await preview(tx, step.after.id, _DECISION_OF[order.kind], share, rate)
        case _:
            return None
