"""EscrowOrchestrator: the one door for whoever makes an escrow or says something about one.

Who may say what is in the state table, and nowhere else. A command is one database transaction: the step is stored with
its effects, or nothing is. What has to be done for it is done by :mod:`escrowd.service.advance` afterwards.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from escrowd.domain.escrow.assess import Account, Judgement, Ledger, judge
from escrowd.domain.escrow.events import Event, KeysReady
from escrowd.domain.escrow.facts import Escrow, Moment
from escrowd.domain.escrow.machine import Step, allowed_actions, create, step
from escrowd.domain.escrow.status import Who
from escrowd.domain.escrow.terms import Custody, Terms, checked_terms
from escrowd.domain.identifiers import RANDOM_BYTES, EscrowId, Prefix, make_identifier
from escrowd.domain.payouts.fees import FeeRate
from escrowd.domain.payouts.judging import foresee, residue_of
from escrowd.domain.payouts.records import Payout
from escrowd.service.errors import CustodyNotOffered
from escrowd.service.ports import Store, Transaction, WalletSet


@dataclass(frozen=True, slots=True)
class EscrowView:
    """An escrow as it is shown, with what the chain shows for it and what was paid out, all of one moment."""

    escrow: Escrow
    ledger: Ledger
    judgements: tuple[Judgement, ...]
    payouts: tuple[Payout, ...]
    moment: Moment

    def allowed_actions(self, who: Who) -> tuple[str, ...]:
        """Return the names of what somebody may do now."""
        return allowed_actions(self.escrow, who)


class EscrowOrchestrator:
    """Makes escrows, takes commands, and shows how things stand."""

    def __init__(
        self,
        store: Store,
        randomness: Callable[[int], bytes] = secrets.token_bytes,
        on_taken: Callable[[], None] = lambda: None,
        admit: Callable[[Terms, Moment], None] = lambda _terms, _moment: None,
        fee_rate: Callable[[], FeeRate | None] = lambda: None,
    ) -> None:
        self._store = store
        self._randomness = randomness
        #: Told when a set of wallets was taken out of the stock.
        self._on_taken = on_taken
        #: Raises where no escrow with these terms may begin at this moment.
        self._admit = admit
        #: Returns what the network asked for lately; ``None`` where that is not known.
        self._fee_rate = fee_rate

    async def create(self, terms: Terms, who: Who = Who.INTEGRATOR) -> Escrow:
        """Begin an escrow. Where the stock has a finished set of wallets, its address is there at once.

        Raises:
            InvalidInput: the terms cannot be kept; the message says why.
            CustodyNotOffered: a party wants to keep its own key.
            Draining, EndsAfterFork, EngineNotSupported, AmountTooSmall: none is taken now, or none with these terms.

        """
        async with self._store.transaction() as tx:
            made = await self.create_within(tx, terms, who)
        self.look_at_stock()
        return made

    async def create_within(self, tx: Transaction, terms: Terms, who: Who = Who.INTEGRATOR) -> Escrow:
        """Begin an escrow in a transaction that does more than that. Call ``look_at_stock`` when it has committed."""
        checked_terms(terms)
        own = [role for role, custody in terms.custody.items() if custody is not Custody.HOSTED]
        if own:
            raise CustodyNotOffered(f"own custody is not offered yet, and was asked for the {', '.join(own)}")
        given = await tx.provide()
        self._admit(terms, given.moment)
        escrow = given.wallets.escrow if given.wallets else self._new_id(given.moment)
        first = create(escrow, terms, who, given.moment)
        steps = (first, _with_keys(first, given.wallets, given.chain_height)) if given.wallets else (first,)
        await tx.escrows.add(*steps)
        return steps[-1].after

    def look_at_stock(self) -> None:
        """See to it that the stock is filled again: a set of wallets may have been taken out of it."""
        self._on_taken()

    async def command(self, escrow: EscrowId, event: Event, who: Who) -> Escrow:
        """Take what somebody says about an escrow, and return the escrow as it is then.

        Raises:
            NoSuchEscrow: there is none of this id.
            IllegalMove: the status, or their role, does not allow it; the error lists what is allowed instead.
            InvalidShare: a share of the deposit is out of bounds, or less than it costs.
            Uneconomic, NotAllThere: what is decided could not be paid out.

        """
        async with self._store.transaction() as tx:
            return await self.command_within(tx, escrow, event, who)

    async def command_within(self, tx: Transaction, escrow: EscrowId, event: Event, who: Who) -> Escrow:
        """Take what somebody says in a transaction that does more than that. Raises as :meth:`command` does."""
        taken = await self.foresee(tx, await tx.escrows.load(escrow, for_update=True), event, who)
        await tx.escrows.save(taken)
        return taken.after

    async def foresee(self, tx: Transaction, present: Escrow, event: Event, who: Who) -> Step:
        """Return the step that a command would take now, without storing it. Raises as :meth:`command` does."""
        account = Account(await tx.ledgers.ledger(present.id), await tx.payouts.all_of(present.id))
        return foresee(present, account, event, who, await tx.clock.now(), self._fee_rate())

    def residue(self, escrow: Escrow, account: Account) -> int:
        """Return what is left of a held escrow that is not worth its fee, in piconero, as far as the fee is known."""
        return residue_of(escrow, account, self._fee_rate())

    async def view(self, escrow: EscrowId) -> EscrowView:
        """Show how an escrow stands, without waiting for who changes it. Raises NoSuchEscrow."""
        async with self._store.reading() as tx:
            found = await tx.escrows.load(escrow)
            ledger = await tx.ledgers.ledger(escrow)
            payouts = await tx.payouts.all_of(escrow)
            return EscrowView(found, ledger, judge(found, ledger), payouts, await tx.clock.now())

    def _new_id(self, moment: Moment) -> EscrowId:
        return EscrowId(make_identifier(Prefix.ESCROW, moment.utc, self._randomness(RANDOM_BYTES)))


# ---------------------------------------------------------------------------------------------------------------------

#: Blocks that a reorganisation may take back before anybody could have paid: from there on deposits are looked for.
REORG_MARGIN = 100


def _with_keys(first: Step, wallets: WalletSet, chain_height: int) -> Step:
    """Give a new escrow the wallets that were made ahead, whose address nobody has seen yet."""
    nobody_paid_before = chain_height - REORG_MARGIN
    ready = KeysReady(wallets.address, max(wallets.restore_height, nobody_paid_before))
    return step(first.after, ready, Who.SERVICE, first.moment)
