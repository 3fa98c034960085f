"""The smaller effects: whose address is watched how closely, whose wallets are closed, and who is told."""

from typing import Protocol

import structlog

from escrowd.domain.escrow.events import Event
from escrowd.domain.escrow.machine import allowed_actions
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.identifiers import EscrowId
from escrowd.service.advance import Task
from escrowd.service.ports import Sessions, WalletSet

log = structlog.get_logger()


class Watching(Protocol):
    """Who watches addresses. Both calls may be made again."""

    async def watch(self, wallets: WalletSet, from_height: int) -> None:
        """Look for payments to the address at every block, from this height on."""
        ...

    async def rest(self, escrow: EscrowId) -> None:
        """Go on looking for payments to the address, but at leisure."""
        ...


class WalletSets(Protocol):
    """Where finished wallets are found."""

    async def wallet_set(self, escrow: EscrowId) -> WalletSet:
        """Return the finished wallets of an escrow. Raises NoSuchEscrow where there are none."""
        ...


class Housekeeping:
    """Carries out the effects that move no money."""

    def __init__(self, wallet_sets: WalletSets, watching: Watching, sessions: Sessions) -> None:
        self._wallet_sets = wallet_sets
        self._watching = watching
        self._sessions = sessions

    async def watch(self, task: Task) -> tuple[Event, ...]:
        """Watch the address closely."""
        wallets = await self._wallet_sets.wallet_set(task.escrow.id)
        await self._watching.watch(wallets, task.escrow.restore_height or wallets.restore_height)
        return ()

    async def rest(self, task: Task) -> tuple[Event, ...]:
        """Close the wallets of an escrow that needs them no more, and watch its address at leisure."""
        if not task.escrow.has_ended:
            return ()  # a payout that was final is under way again
        await self._sessions.close_session(task.escrow.id)
        if task.escrow.address is not None:
            await self._watching.rest(task.escrow.id)
        return ()

    async def remind_arbiter(self, task: Task) -> tuple[Event, ...]:
        """Say that a ruling is overdue."""
        if task.escrow.status is Status.DISPUTED:
            log.warning("arbiter.reminded", escrow=task.escrow.id, reference=task.escrow.terms.reference)
        return ()

    async def tell_operator(self, task: Task) -> tuple[Event, ...]:
        """Say that something waits for the operator."""
        hold = task.escrow.hold
        log.error(
            "operator.needed",
            escrow=task.escrow.id,
            status=task.escrow.status,
            reason=hold.reason if hold else "a ruling is overdue, or late money cannot be sent back",
            details=hold.details if hold else "",
            commands=allowed_actions(task.escrow, Who.OPERATOR),
        )
        return ()
