"""Looks at everything that is known of one escrow, as of one moment."""

from dataclasses import dataclass
from typing import Final

from escrowd.cli.opening import Opened
from escrowd.domain.access import AuditEntry
from escrowd.domain.escrow.history import LogEntry
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.payouts.records import Attempt
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


async def inspect(work: Opened, escrow: EscrowId) -> Inspection:
    """Look at an escrow. Raises NoSuchEscrow."""
    async with work.store.reading() as tx:
        view = await work.desk.see(tx, OPERATOR, escrow)
        attempts = [await tx.payouts.attempts(each.id) for each in view.account.payouts]
        return Inspection(
            view=view,
            attempts=tuple(one for each in attempts for one in each),
            effects=await tx.inspection.waiting_effects(escrow),
            work=await tx.inspection.work(escrow),
            keys=await tx.inspection.key_set(escrow),
            log=await tx.inspection.latest_log(escrow, LATEST),
            audit=await tx.audit.latest(LATEST, escrow),
            nodes=await tx.inspection.living_nodes(),
        )
