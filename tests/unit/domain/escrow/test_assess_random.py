"""The assessment of ledgers under random load: outputs of every kind, chains that grow and chains that are replaced."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from escrowd.domain.escrow.assess import Ledger, assess, deposit_facts, judge
from escrowd.domain.escrow.events import DepositReorged, FundingVerified, Released
from escrowd.domain.escrow.facts import Escrow
from escrowd.domain.escrow.machine import is_allowed
from escrowd.domain.escrow.status import ENDED, Status, Who
from escrowd.domain.outputs import ReceivedOutput, Spend, WhyNot, credited_once
from escrowd.domain.payouts.records import PayoutKind
from tests.unit.domain.escrow.walk import passing
from tests.unit.domain.escrow.world import AMOUNT, HALF, HEIGHT, TIME, confirmed, follow, ledger, output, play, reached

KEYS = tuple("abcdef")

amounts = st.sampled_from([1, HALF, AMOUNT - 1, AMOUNT, AMOUNT + 1]) | st.integers(1, 2**63)
locks = st.sampled_from([0, 0, 0, 1, HEIGHT, HEIGHT + 3, TIME, TIME + 60])
places = st.sampled_from([(0, 0), (0, 0), (0, 0), (0, 1), (1, 0)])


@st.composite
def received(draw: st.DrawFn, key: str | None = None) -> ReceivedOutput:
    height = draw(st.none() | st.integers(HEIGHT - 14, HEIGHT + 2))
    account, address_index = draw(places)
    return ReceivedOutput(
        txid=draw(st.sampled_from(["t1", "t2", "t3", "ours"])),
        index=draw(st.integers(0, 3)),
        key=key or draw(st.sampled_from(KEYS)),
        amount=draw(amounts),
        account=account,
        address_index=address_index,
        unlock_time=draw(locks),
        height=height,
        global_index=height,
        double_spend_seen=draw(st.booleans()),
    )


@st.composite
def ledgers(draw: st.DrawFn) -> Ledger:
    return Ledger(
        chain_height=HEIGHT + draw(st.integers(-3, 5)),
        chain_time=TIME + draw(st.integers(-60, 60)),
        outputs=tuple(draw(st.lists(received(), max_size=6, unique_by=lambda each: (each.txid, each.index)))),
        spends=tuple(
            Spend(f"image {txid}", txid, draw(st.none() | st.just(HEIGHT - 1)))
            for txid in draw(st.sets(st.sampled_from(["ours", "foreign", "other"])))
        ),
        our_txids=frozenset({"ours"}),
        paid_out=frozenset(draw(st.sets(st.sampled_from(KEYS)))),
    )


statuses = st.sampled_from(sorted(set(Status) - {Status.KEYING}))


def suited(found: Ledger, escrow: Escrow) -> Ledger:
    """Return the ledger as the store gives it: without an order there is no plan."""
    return found if escrow.order else replace(found, paid_out=frozenset())


@settings(max_examples=400)
@given(statuses, st.lists(ledgers(), min_size=1, max_size=4))
def test_facts_do_not_converge(status: Status, seen: list[Ledger]) -> None:
    """Whatever ledgers came before, all that is told of one has its row, and leads to the facts of that ledger."""
    escrow = reached(status)
    for each in seen:
        now = suited(each, escrow)
        for event in assess(escrow, now):
            assert len(passing(escrow, event, Who.CHAIN)) == 1, (escrow.status, event)
            escrow = play([(event, Who.CHAIN)], escrow)
            assert escrow.deposit.confirmed <= escrow.deposit.seen
        assert escrow.deposit == deposit_facts(escrow, now)
        assert assess(escrow, now) == ()


@given(statuses, ledgers().flatmap(lambda each: st.tuples(st.just(each), st.permutations(each.outputs))))
def test_order_of_the_ledger_matters(status: Status, both: tuple[Ledger, list[ReceivedOutput]]) -> None:
    """The same outputs and spends in another order mean the same."""
    escrow = reached(status)
    found = suited(both[0], escrow)
    shuffled = replace(found, outputs=tuple(both[1]), spends=found.spends[::-1])
    assert assess(escrow, shuffled) == assess(escrow, found)
    assert judge(escrow, shuffled) == judge(escrow, found)


@settings(max_examples=300)
@given(statuses, ledgers())
def test_piconero_is_lost_or_made_up(status: Status, found: Ledger) -> None:
    """Of every piconero that is credited it is known, exactly once, what it counts for."""
    escrow = reached(status)
    now = suited(found, escrow)
    facts = deposit_facts(escrow, now)
    ours = credited_once(each for each in now.outputs if each.txid != "ours")
    undisputed = sum(each.amount for each in ours if each.why_it_does_not_count() is not WhyNot.DOUBLE_SPENT)
    assert [each.output for each in judge(escrow, now)] == list(ours)
    if status in ENDED:
        disputed_or_paid = sum(
            each.amount
            for each in ours
            if each.key in now.paid_out and each.why_it_does_not_count() is not WhyNot.DOUBLE_SPENT
        )
        assert facts.late_seen == undisputed - disputed_or_paid
        assert 0 <= facts.late_spendable <= facts.late_seen
    else:
        assert facts.seen + facts.late_seen + facts.uncounted == undisputed
        assert 0 <= facts.confirmed <= facts.seen
        assert facts.late_spendable == 0


# --- a chain that only grows -----------------------------------------------------------------------------------------


@st.composite
def lives(draw: st.DrawFn) -> list[tuple[int, int, ReceivedOutput]]:
    """Draw a deposit and more, with different keys, each with the block before which it is in the pool, and its own."""
    found = [(draw(st.integers(0, 3)), 3, output("a", confirmations=0))]
    for key in draw(st.sets(st.sampled_from(KEYS[1:]))):
        seen = draw(st.integers(0, 12))
        other = draw(received(key))
        mined = seen + draw(st.integers(0, 5))
        found.append((seen, mined, replace(other, txid=f"tx of {key}", height=None, double_spend_seen=False)))
    return found


def after(blocks: int, life: list[tuple[int, int, ReceivedOutput]]) -> Ledger:
    """Return the ledger after so many blocks."""
    outputs = [
        replace(each, height=HEIGHT + mined, global_index=mined) if mined < blocks else replace(each, global_index=None)
        for seen, mined, each in life
        if seen <= blocks
    ]
    return ledger(*outputs, height=HEIGHT + blocks)


@settings(max_examples=200)
@given(lives(), st.integers(0, 30), st.integers(0, 8), st.sets(st.sampled_from(KEYS)))
def test_growing_chain_is_told_as_loss(
    life: list[tuple[int, int, ReceivedOutput]], planned_at: int, patience: int, paid_out: set[str]
) -> None:
    """While the chain only grows, no loss is told, through the whole life of an escrow; and late money only grows."""
    escrow = reached(Status.AWAITING_FUNDING)
    plan: frozenset[str] = frozenset()
    for blocks in range(45):
        before = escrow
        escrow, events = follow(escrow, replace(after(blocks, life), paid_out=plan))
        assert not [each for each in events if isinstance(each, DepositReorged)], blocks
        assert escrow.deposit.late_spendable >= before.deposit.late_spendable
        if is_allowed(escrow, FundingVerified(), Who.SERVICE):
            escrow = play([(FundingVerified(), Who.SERVICE)], escrow)
        elif is_allowed(escrow, Released(), Who.BUYER) and blocks >= planned_at:
            escrow = play([(Released(), Who.BUYER)], escrow)
        elif escrow.status is Status.PAYING and not plan:
            plan = frozenset(paid_out)
            patience += blocks
        elif escrow.status is Status.PAYING and blocks > patience:
            escrow = play([confirmed(PayoutKind.RELEASE)], escrow)
