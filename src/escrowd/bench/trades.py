"""Fills a store with trades as a service has them after a while: in all statuses, with what was paid in and out.

Nothing of it is on any chain. What chain and wallets would have told is told here, into the same tables.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from escrowd.domain.escrow.events import (
    Cancelled,
    Delivered,
    DepositConfirmed,
    DepositSeen,
    Disputed,
    Event,
    FundingVerified,
    PayoutBroadcast,
    PayoutConfirmed,
    Refunded,
    Released,
    SpentOutside,
)
from escrowd.domain.escrow.facts import DepositFacts, Escrow
from escrowd.domain.escrow.machine import step
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.escrow.terms import FeeRule, Terms
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.money import PICONERO_PER_XMR
from escrowd.domain.networks import Network
from escrowd.domain.outputs import ReceivedOutput, Spend
from escrowd.domain.parties import WalletRole
from escrowd.domain.payouts.records import PaidOutput, Payout, PayoutKind, PayoutStatus, PayoutTransaction
from escrowd.domain.watching import Cursor, FoundOutput, FoundSpend, Progress, WatchedAddress
from escrowd.store.store import SqlTransaction
from escrowd.store.watching import SqlWatchLog
from escrowd.testing.api_house import ApiHouse
from escrowd.testing.simulation.addresses import address, view_key

#: What becomes of twenty trades.
MIXTURE: Final = (
    *(Status.AWAITING_FUNDING,) * 3,
    *(Status.CONFIRMING,) * 2,
    *(Status.FUNDED,) * 3,
    *(Status.DELIVERED,) * 2,
    *(Status.DISPUTED,) * 1,
    *(Status.PAYING,) * 1,
    *(Status.COMPLETED,) * 5,
    *(Status.REFUNDED,) * 1,
    *(Status.CANCELLED,) * 1,
    *(Status.HELD,) * 1,
)
#: Blocks of the chain, and the height of all payments.
CHAIN_HEIGHT: Final = 2_000
PAID_AT: Final = 1_900
#: Trades that are stored with one transaction.
AT_ONCE: Final = 25


def terms_of_trade(number: int) -> Terms:
    """Return what the parties of this trade agreed on."""
    return Terms(
        Network.REGTEST,
        PICONERO_PER_XMR + number,
        refund_address=address("buyer"),
        payout_address=address("vendor"),
        fee=FeeRule(250, address("site")),
        reference=f"order-{number}",
        description="A used bicycle, as shown in the offer, with lights and a lock",
        metadata={"order": str(number), "shop": "north"},
    )


async def fill(house: ApiHouse, trades: int) -> tuple[EscrowId, ...]:
    """Put so many trades into the store, in the proportions of the mixture, and return their ids."""
    await house.fill_stock(trades)
    made: list[Escrow] = []
    for begin in range(0, trades, AT_ONCE):
        async with house.store.transaction() as tx:
            for number in range(begin, min(trades, begin + AT_ONCE)):
                first = await house.orchestrator.create_within(tx, terms_of_trade(number))
                made.append(await _carried_on(tx, first, MIXTURE[number % len(MIXTURE)]))
    watch = SqlWatchLog(house.database, house.vault)
    for each in made:
        await watch.keep(WatchedAddress(each.id, each.address or "", view_key(each.id), each.restore_height or 0))
    await watch.record(_progress(made))
    return tuple(each.id for each in made)


# ---------------------------------------------------------------------------------------------------------------------

_Said: TypeAlias = tuple[Event, Who]
#: What the network takes for a payout, in piconero.
_NETWORK_FEE: Final = 30_660_000


@dataclass(frozen=True, slots=True)
class _Money:
    """The deposit of a trade, which is paid in two parts, and the payout of it."""

    escrow: EscrowId
    amount: int

    def outputs(self) -> tuple[ReceivedOutput, ...]:
        parts = (self.amount // 3, self.amount - self.amount // 3)
        return tuple(
            ReceivedOutput(self._hex("in", n), n, self._hex("key", n), part, height=PAID_AT, global_index=n)
            for n, part in enumerate(parts)
        )

    def spends(self) -> tuple[Spend, ...]:
        return tuple(Spend(image, self.payout_txid, PAID_AT + 50) for image in self.key_images)

    @property
    def seen(self) -> DepositFacts:
        return DepositFacts(seen=self.amount)

    @property
    def confirmed(self) -> DepositFacts:
        return DepositFacts(seen=self.amount, confirmed=self.amount)

    @property
    def payout_txid(self) -> str:
        return self._hex("out", 0)

    @property
    def key_images(self) -> tuple[str, ...]:
        return tuple(self._hex("image", number) for number in range(2))

    def payout(self, kind: PayoutKind, status: PayoutStatus) -> Payout:
        to = address("buyer" if kind is PayoutKind.REFUND else "vendor")
        sent = PayoutTransaction(
            self.payout_txid, _NETWORK_FEE, (PaidOutput(to, self.amount - _NETWORK_FEE),), self.key_images
        )
        return Payout(
            id=self.escrow.replace("esc", "pay"),
            escrow=self.escrow,
            kind=kind,
            status=status,
            vendor_share=0 if kind is PayoutKind.REFUND else self.amount,
            account=0,
            signers=((WalletRole.BUYER, WalletRole.VENDOR),),
            output_keys=tuple(each.key for each in self.outputs()),
            transactions=(sent,),
        )

    def _hex(self, what: str, number: int) -> str:
        return hashlib.sha256(f"{what} {number} of {self.escrow}".encode()).hexdigest()


async def _carried_on(tx: SqlTransaction, escrow: Escrow, status: Status) -> Escrow:
    """Let a trade come to a status in the usual way, and store each step."""
    money, moment = _money(escrow), await tx.clock.now()
    for event, who in _way_to(status, money):
        taken = step(escrow, event, who, moment)
        await tx.escrows.save(taken)
        escrow = taken.after
    if escrow.order is not None:
        paid = PayoutStatus.BROADCAST if status is Status.PAYING else PayoutStatus.CONFIRMED
        await tx.payouts.add(money.payout(escrow.order.kind, paid), escrow.order.version)
    if escrow.status is not status:
        raise AssertionError(f"a trade that should be {status} is {escrow.status}")
    return escrow


def _way_to(status: Status, money: _Money) -> tuple[_Said, ...]:
    """Return what is said of a trade from its address on."""
    seen = ((DepositSeen(money.seen), Who.CHAIN),)
    funded = (*seen, (DepositConfirmed(money.confirmed), Who.CHAIN), (FundingVerified(), Who.SERVICE))
    delivered = (*funded, (Delivered(), Who.VENDOR))
    released = (*delivered, (Released(), Who.BUYER))
    refunded = (*funded, (Refunded(), Who.VENDOR))
    ways: dict[Status, tuple[_Said, ...]] = {
        Status.AWAITING_FUNDING: (),
        Status.CANCELLED: ((Cancelled(), Who.INTEGRATOR),),
        Status.CONFIRMING: seen,
        Status.FUNDED: funded,
        Status.DELIVERED: delivered,
        Status.DISPUTED: (*delivered, (Disputed("The frame is broken"), Who.BUYER)),
        Status.PAYING: (*released, *_sent(money, PayoutKind.RELEASE)),
        Status.COMPLETED: (*released, *_sent(money, PayoutKind.RELEASE), _confirmed(money, PayoutKind.RELEASE)),
        Status.REFUNDED: (*refunded, *_sent(money, PayoutKind.REFUND), _confirmed(money, PayoutKind.REFUND)),
        Status.HELD: (*funded, (SpentOutside(money.payout_txid), Who.CHAIN)),
    }
    return ways[status]


def _sent(money: _Money, kind: PayoutKind) -> tuple[_Said, ...]:
    return ((PayoutBroadcast(money.payout(kind, PayoutStatus.BROADCAST).id, kind, (money.payout_txid,)), Who.SERVICE),)


def _confirmed(money: _Money, kind: PayoutKind) -> _Said:
    payout = money.payout(kind, PayoutStatus.CONFIRMED)
    return PayoutConfirmed(payout.id, kind, (money.payout_txid,)), Who.SERVICE


def _progress(made: Sequence[Escrow]) -> Progress:
    """Return what the watcher would have found for these trades."""
    return Progress(
        outputs=tuple(_found_outputs(made)),
        spends=tuple(_found_spends(made)),
        cursor=Cursor(CHAIN_HEIGHT, 1_700_000_000, "0" * 64, ()),
    )


def _found_outputs(made: Sequence[Escrow]) -> Iterator[FoundOutput]:
    for escrow in made:
        if escrow.deposit.seen:
            yield from (FoundOutput(escrow.id, each) for each in _money(escrow).outputs())


def _found_spends(made: Sequence[Escrow]) -> Iterator[FoundSpend]:
    for escrow in made:
        if escrow.order is not None:
            yield from (FoundSpend(escrow.id, each) for each in _money(escrow).spends())


def _money(escrow: Escrow) -> _Money:
    return _Money(escrow.id, escrow.terms.amount)
