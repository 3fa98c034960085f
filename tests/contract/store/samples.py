"""Values that the tests of the store keep."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from escrowd.domain.escrow.events import Event, KeysReady
from escrowd.domain.escrow.facts import Escrow, Moment
from escrowd.domain.escrow.machine import Step, create, step
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.escrow.terms import Terms
from escrowd.domain.identifiers import EscrowId, Prefix, make_identifier
from escrowd.domain.keying import HostedKey, KeySet
from escrowd.domain.networks import Network
from escrowd.domain.outputs import ReceivedOutput
from escrowd.domain.parties import WalletRole
from escrowd.domain.payouts.records import Attempt, AttemptStep, Payout, PayoutKind, PayoutStatus
from escrowd.store.store import SqlStore
from tests.unit.domain.escrow import world

MOMENT: Final = Moment(1_700_000_000_000, 0)
#: The largest amount that there is, and more than SQLite's integers hold.
MOST: Final = 2**64 - 1
TERMS: Final = Terms(Network.REGTEST, MOST, "to the buyer", "to the vendor", metadata={"order": "7"})


def escrow_id(number: int) -> EscrowId:
    """Return the id of the escrow with this number; a higher number is younger."""
    return EscrowId(make_identifier(Prefix.ESCROW, 1_700_000_000_000 + number, bytes(10)))


def first_step(number: int = 1) -> Step:
    """Return the step that makes an escrow."""
    return create(escrow_id(number), TERMS, Who.INTEGRATOR, Moment(MOMENT.utc + number, 0))


def keys_ready(before: Escrow) -> Step:
    """Return the step that gives an escrow its address."""
    return next_step(before, KeysReady(f"address of {before.id}", 100), Who.SERVICE)


def next_step(before: Escrow, event: Event, who: Who) -> Step:
    """Return a further step."""
    return step(before, event, who, MOMENT)


def life(status: Status) -> list[Step]:
    """Return the steps that bring the first escrow to a status in the most usual way."""
    steps = [create(escrow_id(1), world.TERMS, Who.INTEGRATOR, MOMENT)]
    for event, who in world.PATHS[status]:
        now = steps[-1].after
        steps.append(next_step(now, event(now) if callable(event) else event, who))
    return steps


async def store_steps(store: SqlStore, steps: Iterable[Step]) -> None:
    """Store steps of an escrow from its first, each in a transaction of its own."""
    for each in steps:
        async with store.transaction() as tx:
            await (tx.escrows.save(each) if each.before else tx.escrows.add(each))


def payout(number: int, status: PayoutStatus = PayoutStatus.PLANNED, **changes: Any) -> Payout:
    """Return a payout of the first escrow."""
    made = Payout(
        id=f"pay_{number}",
        escrow=escrow_id(1),
        kind=PayoutKind.RELEASE,
        status=status,
        vendor_share=MOST,
        account=0,
        signers=((WalletRole.BUYER, WalletRole.VENDOR),),
        output_keys=("key",),
    )
    return replace(made, **changes)


def attempt(number: int, step: AttemptStep = AttemptStep.INTENT, payout: str = "pay_1", **changes: Any) -> Attempt:
    """Return an attempt at a payout."""
    return replace(Attempt(payout, number, step, WalletRole.BUYER, WalletRole.VENDOR), **changes)


def output(name: str, height: int | None = None, index: int = 0, amount: int = MOST) -> ReceivedOutput:
    """Return an output with a key of its own."""
    return ReceivedOutput(f"tx {name}", index, f"key {name} {index}", amount, height=height)


def key_set(number: int = 1) -> KeySet:
    """Return the finished keys of the escrow with this number."""
    escrow = escrow_id(number)
    hosted = tuple(HostedKey(role, f"{escrow}-{role}", f"password {role}", f"keys {role}") for role in WalletRole)
    return KeySet(escrow, f"address of {escrow}", f"view key of {escrow}", 50, "transcript", hosted)
