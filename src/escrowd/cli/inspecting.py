"""Looks at everything that is known of one escrow, as of one moment."""

from dataclasses import dataclass, replace
from typing import Final

from escrowd.cli.deciding import present_rate
from escrowd.cli.opening import Opened
from escrowd.domain.access import AuditEntry
from escrowd.domain.escrow.history import LogEntry
from escrowd.domain.escrow.status import Status
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.payouts.fees import FeeRate
from escrowd.domain.payouts.records import Attempt
from escrowd.domain.payouts.ways_out import WayOut, ways_out
from escrowd.service.front.callers import OPERATOR
from escrowd.service.front.escrows import CallersView
from escrowd.store.inspection import KeySetState, WaitingEffect, WorkState

#: Entries of the history and of the audit that are shown; 'escrows log' and 'audit list' show all.
LATEST: Final = 20


@dataclass(frozen=True, slots=True)
class Inspection:
    """An escrow as its operator sees it, with what is behind it."""

    view: CallersView
    attempts: tuple[Attempt, ...]
    effects: tuple[WaitingEffect, ...]
    #: ``None``: nobody ever had to look at it.
    work: WorkState | None
    keys: KeySetState | None
    log: tuple[LogEntry, ...]
    audit: tuple[AuditEntry, ...]
    #: Nodes that work at the moment; empty while no service runs.
    nodes: tuple[str, ...]
    #: What each command would do, where it is held.
    ways: tuple[WayOut, ...] = ()
    #: What the ways were judged by; ``None`` where the daemon did not name it, and ``daemon_trouble`` says why.
    rate: FeeRate | None = None
    daemon_trouble: str = ""

    @property
    def allowed_actions(self) -> tuple[str, ...]:
        """What the operator may do now; of a held escrow what the commands are judged by, fees included."""
        if self.view.escrow.status is not Status.HELD:
            return self.view.allowed_actions
        return tuple(each.action for each in self.ways if each.step is not None)


async def inspect(work: Opened, escrow: EscrowId) -> Inspection:
    """Look at an escrow. Raises NoSuchEscrow."""
    async with work.store.reading() as tx:
        view = await work.desk.see(tx, OPERATOR, escrow)
        attempts = [await tx.payouts.attempts(each.id) for each in view.account.payouts]
        seen = Inspection(
            view=view,
            attempts=tuple(one for each in attempts for one in each),
            effects=await tx.inspection.waiting_effects(escrow),
            work=await tx.inspection.work(escrow),
            keys=await tx.inspection.key_set(escrow),
            log=await tx.inspection.latest_log(escrow, LATEST),
            audit=await tx.audit.latest(LATEST, escrow),
            nodes=await tx.inspection.living_nodes(),
        )
    if view.escrow.status is not Status.HELD:
        return seen
    rate, trouble = await present_rate(work.settings)
    ways = ways_out(view.escrow, view.account, view.moment, rate)
    return replace(seen, ways=ways, rate=rate, daemon_trouble=trouble)
