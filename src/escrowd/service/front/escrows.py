"""What callers ask of escrows: to make one, to see them, to say something about one.

Who may do what is a matter of the state table. Here is only decided who may know of an escrow at all, and as whom a
caller speaks: whoever asks about an escrow of others learns nothing, not even that there is one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from escrowd.domain.access import Caller, Scope
from escrowd.domain.conflicts import NoSuchEscrow, VersionConflict
from escrowd.domain.escrow.assess import NOTHING_YET, Account, Judgement, judge
from escrowd.domain.escrow.events import Event
from escrowd.domain.escrow.facts import Escrow, EscrowFilter, Moment
from escrowd.domain.escrow.machine import ACTIONS, Step
from escrowd.domain.escrow.status import Who
from escrowd.domain.escrow.terms import Terms
from escrowd.domain.escrow.voices import actions_of, voice_for
from escrowd.domain.identifiers import EscrowId
from escrowd.service.front.errors import NotPermitted
from escrowd.service.front.ports import FrontTransaction, HasOverview
from escrowd.service.orchestrator import EscrowOrchestrator


@dataclass(frozen=True, slots=True)
class CallersView:
    """An escrow as it is shown to one caller, all of one moment."""

    escrow: Escrow
    account: Account
    judgements: tuple[Judgement, ...]
    moment: Moment
    allowed_actions: tuple[str, ...]


class EscrowDesk:
    """Takes what callers ask of escrows. Every method works within the transaction that it is given.

    To show escrows takes one question, which the store answers outside of a transaction, too.
    """

    def __init__(self, orchestrator: EscrowOrchestrator) -> None:
        self._orchestrator = orchestrator

    async def create(self, tx: FrontTransaction, caller: Caller, terms: Terms) -> CallersView:
        """Make an escrow, and show it.

        Raises:
            NotPermitted: the key lacks the scope.
            InvalidInput, CustodyNotOffered: the terms cannot be kept; the message says why.
            Draining, EndsAfterFork, EngineNotSupported, AmountTooSmall: none is taken now, or none with these terms.

        """
        require(caller, Scope.ESCROWS_WRITE)
        made = await self._orchestrator.create_within(tx, terms)
        await tx.audit.note(caller.name, "create", made.id)
        return CallersView(made, NOTHING_YET, (), await tx.clock.now(), actions_of(made, caller.voices()))

    async def act(
        self, tx: FrontTransaction, caller: Caller, escrow: EscrowId, event: Event, at_version: int | None = None
    ) -> Escrow:
        """Take what a caller says about an escrow, and return the escrow as it is then.

        With ``at_version`` it is said of the escrow as the caller saw it, and of no other.

        Raises:
            NoSuchEscrow: there is none of this id, or it is none of the caller's business.
            NotPermitted: the caller may not say this in any status.
            IllegalMove: the status does not allow it; the error lists what is allowed instead.
            InvalidShare: a share of the deposit is out of bounds.
            VersionConflict: it is no longer at that version.

        """
        present = await self._load(tx, caller, escrow, for_update=at_version is not None)
        if at_version not in (None, present.version):
            raise VersionConflict(f"{escrow} changed meanwhile, from version {at_version} to {present.version}")
        who = _voice(present, caller, event)
        made = await self._orchestrator.command_within(tx, escrow, event, who)
        await tx.audit.note(caller.name, _action(event), escrow)
        return made

    async def foresee(self, tx: FrontTransaction, caller: Caller, escrow: EscrowId, event: Event) -> Step:
        """Return what it would do if a caller said this now, without doing it. Raises as :meth:`act` does."""
        present = await self._load(tx, caller, escrow)
        return await self._orchestrator.foresee(tx, present, event, _voice(present, caller, event))

    async def see(self, tx: HasOverview, caller: Caller, escrow: EscrowId) -> CallersView:
        """Show one escrow. Raises NoSuchEscrow, also where it is none of the caller's business."""
        views = await self.show(tx, caller, [escrow]) if caller.may_see(escrow) else ()
        if not views:
            raise NoSuchEscrow(f"there is no escrow {escrow}")
        return views[0]

    async def show(self, tx: HasOverview, caller: Caller, escrows: Sequence[EscrowId]) -> tuple[CallersView, ...]:
        """Show escrows that the caller may see, in this order; those that do not exist are left out."""
        overview = await tx.overview.of(escrows) if escrows else None
        if overview is None:
            return ()
        voices = caller.voices()
        found = [overview.escrows[each] for each in escrows if each in overview.escrows]
        return tuple(
            CallersView(
                escrow,
                account,
                judge(escrow, account.ledger),
                overview.moment,
                actions_of(escrow, voices, self._orchestrator.residue(escrow, account)),
            )
            for escrow, account in found
        )

    async def page(
        self, tx: FrontTransaction, caller: Caller, wanted: EscrowFilter, before: tuple[int, str] | None, limit: int
    ) -> tuple[CallersView, ...]:
        """Show escrows, the newest first. A party sees its own one. Raises NotPermitted."""
        if caller.party is not None:
            own = await self.see(tx, caller, caller.party.escrow)
            return (own,) if before is None and wanted.takes(own.escrow) else ()
        require(caller, *Scope)
        return await self.show(tx, caller, await tx.escrows.page(wanted, before, limit))

    async def _load(
        self, tx: FrontTransaction, caller: Caller, escrow: EscrowId, *, for_update: bool = False
    ) -> Escrow:
        if not caller.may_see(escrow):
            raise NoSuchEscrow(f"there is no escrow {escrow}")
        return await tx.escrows.load(escrow, for_update=for_update)


def require(caller: Caller, *scopes: Scope) -> None:
    """Go on only with one of these scopes. Raises NotPermitted."""
    if not caller.may(*scopes):
        names = " or ".join(f"'{each}'" for each in scopes)
        raise NotPermitted(f"this needs a key with the scope {names}")


# ---------------------------------------------------------------------------------------------------------------------


def _voice(present: Escrow, caller: Caller, event: Event) -> Who:
    who = voice_for(present, event, caller.voices())
    if who is None:
        instead = ", ".join(actions_of(present, caller.voices())) or "nothing"
        raise NotPermitted(f"{_action(event)} is not for this caller, whatever the status; allowed now: {instead}")
    return who


def _action(event: Event) -> str:
    return next(name for name, kind in ACTIONS.items() if isinstance(event, kind))
