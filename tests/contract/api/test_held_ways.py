"""The table of ``docs/operating.md``: each of its rows is made on a real database, and each command is given to it."""

from contextlib import suppress
from dataclasses import replace
from typing import Final

import pytest

from escrowd.cli.showing.held_table import AFTER_DECISION, BEFORE_DECISION, Left, held_rows
from escrowd.domain.errors import EscrowdError
from escrowd.domain.escrow.assess import assess
from escrowd.domain.escrow.events import (
    DepositReorged,
    Event,
    FundingRefuted,
    PayoutFailed,
    Released,
    Settled,
    SpentOutside,
)
from escrowd.domain.escrow.facts import DepositFacts, Escrow, HoldReason
from escrowd.domain.escrow.machine import ACTIONS, IllegalMove
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.outputs import ReceivedOutput
from escrowd.domain.parties import WalletRole
from escrowd.domain.payouts.records import Payout, PayoutKind, PayoutStatus, PayoutTransaction
from escrowd.domain.payouts.ways_out import commands
from escrowd.service.orchestrator import EscrowOrchestrator
from escrowd.store import schema
from escrowd.testing.api_house import RATE, ApiHouse
from tests.contract.api.visits import HEIGHT, give_money, made
from tests.unit.domain.escrow.world import AMOUNT, HALF, PATHS, Move

#: Of each thing that may be left: what is left, how many blocks are on it, and what was there besides and is spent.
MONEY: Final[dict[Left, tuple[int, int, int]]] = {
    Left.ALL: (AMOUNT, 20, 0),
    Left.PART: (HALF, 20, HALF),
    Left.UNCONFIRMED: (AMOUNT, 3, 0),
    Left.RESIDUE: (1000, 20, AMOUNT),
    Left.NOTHING: (0, 0, AMOUNT),
}
FOREIGN: Final = "f" * 64
CASES: Final = [
    *((reason, False, left) for reason in BEFORE_DECISION for left in Left),
    *((reason, True, left) for reason in AFTER_DECISION for left in Left),
]


class Undone(Exception):
    """A database transaction is rolled back on purpose."""


def judging(house: ApiHouse) -> EscrowOrchestrator:
    """Return the orchestrator that knows what the network asks for."""
    return EscrowOrchestrator(house.store, fee_rate=lambda: RATE)


def moves_to(reason: HoldReason, *, is_decided: bool) -> tuple[Move, ...]:
    """Return what happens to an escrow until it is held for this reason."""
    if is_decided:
        return (*PATHS[Status.FUNDED], (Released(), Who.BUYER), (PayoutFailed(reason, "as found"), Who.SERVICE))
    match reason:
        case HoldReason.SPENT_OUTSIDE:
            return (*PATHS[Status.FUNDED], (SpentOutside(FOREIGN), Who.CHAIN))
        case HoldReason.DEPOSIT_GONE:
            return (*PATHS[Status.DELIVERED], (DepositReorged(DepositFacts()), Who.CHAIN))
        case _:
            return (*PATHS[Status.CONFIRMING], (FundingRefuted("as found", reason), Who.SERVICE))


async def spend(house: ApiHouse, escrow: EscrowId, amount: int, txid: str) -> None:
    """Let the ledger show an output that a transaction in a block spends."""
    spent = ReceivedOutput("e" * 64, 0, f"spent of {escrow}", amount, height=HEIGHT - 50)
    async with house.store.transaction() as tx:
        await tx.ledgers.put_output(escrow, spent)
        await tx.ledgers.note_key_images(escrow, [(spent.key, "image")])
    async with house.database.transaction() as session:
        values = {"escrow": escrow, "key_image": "image", "txid": txid, "height": HEIGHT - 30}
        await session.connection.execute(session.insert(schema.spends).values(**values))


async def follow(house: ApiHouse, escrow: EscrowId) -> Escrow:
    """Tell the escrow what the ledger shows, as the watcher's work does."""
    view = await house.orchestrator.view(escrow)
    for event in assess(view.escrow, view.ledger):
        await house.orchestrator.command(escrow, event, Who.CHAIN)
    return (await house.orchestrator.view(escrow)).escrow


async def held(house: ApiHouse, reason: HoldReason, left: Left, *, is_decided: bool) -> Escrow:
    """Make an escrow that is held for a reason with so much left, from its chain facts on."""
    escrow = await made(house, moves_to(reason, is_decided=is_decided))
    amount, depth, spent = MONEY[left]
    if spent and reason is not HoldReason.DEPOSIT_GONE:
        await spend(house, escrow.id, spent, FOREIGN)
    await give_money(house, escrow.id)  # the chain has a height
    if amount:
        async with house.store.transaction() as tx:
            paid = ReceivedOutput("d" * 64, 0, f"left of {escrow.id}", amount, height=HEIGHT - depth)
            await tx.ledgers.put_output(escrow.id, paid)
    now = await follow(house, escrow.id)
    assert now.status is Status.HELD
    assert now.hold is not None
    assert now.hold.reason is reason
    return now


async def status_after(house: ApiHouse, escrow: EscrowId, event: Event) -> Status | None:
    """Give a command of the operator, return where it leads, and take it back; ``None``: it was refused."""
    status = None
    with suppress(Undone):
        async with house.store.transaction() as tx:
            try:
                status = (await judging(house).command_within(tx, escrow, event, Who.OPERATOR)).status
            except EscrowdError:
                return None
            raise Undone
    return status


@pytest.mark.parametrize(("reason", "is_decided", "left"), CASES)
async def test_commands_of_held_escrow_are_those_of_the_table(
    sqlite_house: ApiHouse, *, reason: HoldReason, is_decided: bool, left: Left
) -> None:
    """W3 to W7: exactly the commands of the table are possible, and lead where it says; one is, if money can move."""
    (row,) = (
        each for each in held_rows() if reason in each.reasons and (each.is_decided, each.left) == (is_decided, left)
    )
    escrow = await held(sqlite_house, reason, left, is_decided=is_decided)
    outcomes = {
        action: await status_after(sqlite_house, escrow.id, event) for action, event in commands(escrow).items()
    }
    assert set(outcomes) <= set(ACTIONS)
    assert {action: status for action, status in outcomes.items() if status is not None} == row.ways
    pays = {action for action, status in row.ways.items() if status is Status.PAYING}
    assert ({"release", "refund", "split"} <= pays) is (escrow.deposit.spendable > 1000)
    assert ("settle" in row.ways) is (escrow.deposit.unspent <= 1000)


@pytest.mark.parametrize(
    ("kind", "share", "ends"),
    [
        (PayoutKind.RELEASE, AMOUNT, Status.COMPLETED),
        (PayoutKind.REFUND, 0, Status.REFUNDED),
        (PayoutKind.SPLIT, HALF, Status.SPLIT),
    ],
)
async def test_settled_escrow_ends_as_its_mined_payout_says(
    sqlite_house: ApiHouse, kind: PayoutKind, share: int, ends: Status
) -> None:
    """W7: an escrow with nothing left is closed as what is in a block says, and its reason stays in the history."""
    house = sqlite_house
    escrow = await made(house, moves_to(HoldReason.PAYOUT_FAILED, is_decided=True))
    ours = PayoutTransaction("c" * 64, 7, (), ("image",))
    payout = Payout(
        "pay_1", escrow.id, kind, PayoutStatus.CONFIRMED, share, 0, ((WalletRole.BUYER, WalletRole.VENDOR),), ()
    )
    async with house.store.transaction() as tx:
        await tx.payouts.add(payout, order_version=1)
        await tx.payouts.save(replace(payout, transactions=(ours,)))
    await spend(house, escrow.id, AMOUNT, ours.txid)
    await give_money(house, escrow.id)
    await follow(house, escrow.id)
    settled = await judging(house).command(escrow.id, Settled("the rest was spent by hand"), Who.OPERATOR)
    assert settled.status is ends


async def test_settle_with_money_is_refused_with_what_to_do(sqlite_house: ApiHouse) -> None:
    """An escrow with money that can be paid out is not closed: the refusal names the commands that pay it."""
    escrow = await held(sqlite_house, HoldReason.SPENT_OUTSIDE, Left.PART, is_decided=False)
    with pytest.raises(IllegalMove, match="release, refund or split it") as refused:
        await judging(sqlite_house).command(escrow.id, Settled("lost"), Who.OPERATOR)
    assert "settle" not in refused.value.allowed
