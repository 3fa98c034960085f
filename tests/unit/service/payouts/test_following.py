"""What the blocks make of each signed payout, by its record and the state of its escrow."""

from dataclasses import dataclass, replace

import pytest

from escrowd.domain.escrow.events import Event, PayoutConfirmed, PayoutFailed, PayoutReinstated, PayoutReorged
from escrowd.domain.escrow.facts import Escrow, Hold, HoldReason, PayoutOrder
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.outputs import ReceivedOutput, Spend
from escrowd.domain.payouts.records import Payout, PayoutKind, PayoutStatus, PayoutTransaction
from escrowd.monero.daemon import MoneroDaemon
from escrowd.service.payouts.following import Following
from escrowd.testing.simulation.chain import SimulatedChain
from escrowd.testing.simulation.daemon import SimulatedDaemon
from escrowd.testing.simulation.faults import Faults, Life
from escrowd.testing.simulation.memory import Memory, MemoryStore
from escrowd.testing.simulation.transport import SimulatedTransport
from tests.simulation.test_memory_store import ESCROW, FIRST, Time, run

ABANDONED, BROADCAST, CONFIRMED = PayoutStatus.ABANDONED, PayoutStatus.BROADCAST, PayoutStatus.CONFIRMED
RELEASE, RETURN = PayoutKind.RELEASE, PayoutKind.RETURN
FAILED = HoldReason.PAYOUT_FAILED
#: Blocks of the chain, and of those the height of one that is final and of one that is not.
HEIGHT, FINAL, YOUNG = 1000, 900, 995
BEATEN, HALF_BEATEN = -1, -2


@dataclass(frozen=True)
class Paying:
    """A signed payout, and what blocks hold of its transactions.

    ``mined`` has the heights of its transactions, each of two inputs: ``None`` for one that can be mined still,
    ``BEATEN`` where another transaction in a block spends both inputs, ``HALF_BEATEN`` where it spends one of them.
    """

    status: PayoutStatus
    mined: tuple[int | None, ...]
    kind: PayoutKind = RELEASE
    #: Version of the decision that it carries out.
    order: int = 1
    #: Heights that its record has.
    recorded: tuple[int | None, ...] = ()


@dataclass(frozen=True)
class Case:
    """An escrow with payouts, what follows for each, and the events."""

    law: str
    status: Status
    payouts: tuple[Paying, ...]
    after: tuple[PayoutStatus, ...]
    events: tuple[type[Event], ...] = ()
    reason: HoldReason | None = None
    #: Version of the decision that stands, 0 without one.
    order: int = 1


CASES = (
    Case("order_in_a_block_to_final", Status.PAYING, (Paying(BROADCAST, (FINAL,)),), (BROADCAST,), (PayoutConfirmed,)),
    Case("young_order_is_waited_for", Status.PAYING, (Paying(BROADCAST, (YOUNG,)),), (BROADCAST,)),
    Case(
        "part_is_final_and_the_rest_ruled_out",
        Status.PAYING, (Paying(BROADCAST, (FINAL, HALF_BEATEN)),), (BROADCAST,), (PayoutFailed,), FAILED,
    ),
    Case(
        "part_is_final_and_nothing_is_left",
        Status.PAYING, (Paying(BROADCAST, (FINAL, BEATEN)),), (BROADCAST,), (PayoutConfirmed,),
    ),
    Case("part_is_young_and_the_rest_ruled_out", Status.PAYING, (Paying(BROADCAST, (YOUNG, BEATEN)),), (BROADCAST,)),
    Case("part_is_final_and_the_rest_open", Status.PAYING, (Paying(BROADCAST, (FINAL, None)),), (BROADCAST,)),
    Case(
        "all_is_ruled_out",
        Status.PAYING, (Paying(BROADCAST, (BEATEN,)),), (BROADCAST,), (PayoutFailed,), HoldReason.SPENT_OUTSIDE,
    ),
    Case("ruled_out_while_held_is_given_up", Status.HELD, (Paying(BROADCAST, (BEATEN,)),), (ABANDONED,)),
    Case("part_while_held_keeps_its_part", Status.HELD, (Paying(BROADCAST, (FINAL, HALF_BEATEN)),), (CONFIRMED,)),
    Case(
        "given_up_and_mined_while_held_counts",
        Status.HELD, (Paying(ABANDONED, (YOUNG,)),), (ABANDONED,), (PayoutReinstated,),
    ),
    Case(
        "given_up_and_mined_beats_the_order_under_way",
        Status.PAYING,
        (Paying(ABANDONED, (YOUNG,)), Paying(BROADCAST, (None,), order=2)), (ABANDONED, BROADCAST),
        (PayoutReinstated,), order=2,
    ),
    Case(
        "given_up_and_mined_beside_another_is_booked",
        Status.COMPLETED,
        (Paying(ABANDONED, (YOUNG,)), Paying(CONFIRMED, (FINAL,), order=2, recorded=(FINAL,))), (CONFIRMED, CONFIRMED),
        order=2,
    ),
    Case("settled_while_under_way", Status.CANCELLED, (Paying(BROADCAST, (None,)),), (ABANDONED,), order=0),
    Case("settled_by_it", Status.COMPLETED, (Paying(BROADCAST, (FINAL,)),), (CONFIRMED,)),
    Case(
        "return_mined_in_part_is_final_with_that",
        Status.COMPLETED, (Paying(BROADCAST, (FINAL, BEATEN), RETURN),), (BROADCAST,), (PayoutConfirmed,),
    ),
    Case("mined_return_that_was_given_up", Status.COMPLETED, (Paying(ABANDONED, (YOUNG,), RETURN),), (BROADCAST,)),
    Case(
        "final_order_that_left_the_chain",
        Status.COMPLETED, (Paying(CONFIRMED, (None,), recorded=(FINAL,)),), (CONFIRMED,), (PayoutReorged,),
    ),
    Case("given_up_order_that_is_open", Status.HELD, (Paying(ABANDONED, (None,)),), (ABANDONED,)),
)  # fmt: skip


class Followed:
    """The stored escrow of a case, over a daemon that knows none of its transactions."""

    def __init__(self, case: Case) -> None:
        self.memory = Memory(Time())
        tables = self.memory.tables
        order = PayoutOrder(RELEASE, 10**12, Who.BUYER, case.order) if case.order else None
        hold = Hold(FAILED, "", Status.PAYING) if case.status is Status.HELD else None
        self.escrow: Escrow = replace(FIRST.after, status=case.status, order=order, hold=hold, address="4address")
        tables.escrows[ESCROW] = self.escrow
        tables.chain = (HEIGHT, 0)
        tables.wake(ESCROW, 0)
        for number, each in enumerate(case.payouts):
            self._add(f"pay{number}", each)
        daemon = SimulatedDaemon(SimulatedChain(lambda: 1_000), Faults(), is_new=True)
        self.store = MemoryStore(self.memory)
        self.following = Following(self.store, MoneroDaemon(SimulatedTransport(daemon, Faults(), Life(1))))

    def _add(self, name: str, paying: Paying) -> None:
        order = None if paying.kind is RETURN else PayoutOrder(paying.kind, 10**12, Who.BUYER, paying.order)
        heights = paying.recorded or (None,) * len(paying.mined)
        keys = [f"{name}-{place}-{half}" for place in range(len(paying.mined)) for half in range(2)]
        transactions = tuple(
            PayoutTransaction(f"{name}-{place}", 1, (), _images(name, place), height)
            for place, height in enumerate(heights)
        )
        tables = self.memory.tables
        tables.payouts[name] = Payout(
            name, ESCROW, paying.kind, paying.status, 10**12, 0, (), tuple(keys), transactions, order=order
        )
        tables.orders[name] = paying.order
        outputs = (ReceivedOutput(f"deposit of {key}", 0, key, 10**11, height=100) for key in keys)
        tables.watched[ESCROW] = (*tables.watched.get(ESCROW, ()), *outputs)
        images = [image for one in transactions for image in one.key_images]
        tables.key_images[ESCROW] = (*tables.key_images.get(ESCROW, ()), *zip(keys, images, strict=True))
        spends = (each for place, height in enumerate(paying.mined) for each in _spends(name, place, height))
        tables.spends[ESCROW] = (*tables.spends.get(ESCROW, ()), *spends)

    def follow(self) -> tuple[Event, ...]:
        """Follow the payouts once, and return the events."""
        found: list[Event] = []

        async def look() -> None:
            claim = await self.store.claim(ESCROW, "test")
            assert claim is not None
            found.extend(await self.following.follow(self.escrow, claim))

        run(look())
        return tuple(found)


def _images(name: str, place: int) -> tuple[str, str]:
    return f"{name}-{place}-image-0", f"{name}-{place}-image-1"


def _spends(name: str, place: int, height: int | None) -> list[Spend]:
    if height is None:
        return []
    if height in (BEATEN, HALF_BEATEN):
        return [Spend(image, "rival", FINAL) for image in _images(name, place)[: 2 if height == BEATEN else 1]]
    return [Spend(image, f"{name}-{place}", height) for image in _images(name, place)]


@pytest.mark.parametrize("case", CASES, ids=[each.law for each in CASES])
def test_blocks_decide_what_becomes_of_a_payout(case: Case) -> None:
    """What a block holds is done, what a block rules out is given up, whatever the record of the payout says."""
    followed = Followed(case)
    events = followed.follow()
    assert tuple(map(type, events)) == case.events
    assert tuple(each.status for each in followed.memory.tables.payouts.values()) == case.after
    assert [each.reason for each in events if isinstance(each, PayoutFailed)] == ([case.reason] if case.reason else [])
