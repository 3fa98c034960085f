import itertools
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from escrowd.domain.escrow import machine
from escrowd.domain.escrow.effects import Effect
from escrowd.domain.escrow.events import (
    Cancelled,
    Created,
    Delivered,
    Disputed,
    Divided,
    Event,
    FundingVerified,
    PayoutFailed,
    Refunded,
    Released,
    Resumed,
    Ruled,
    Settled,
    SplitAccepted,
    SplitProposed,
)
from escrowd.domain.escrow.facts import Deadline, DepositFacts, Escrow, HoldReason, Moment, PayoutOrder, SplitProposal
from escrowd.domain.escrow.guards import always
from escrowd.domain.escrow.machine import (
    AmbiguousTable,
    IllegalMove,
    InvalidShare,
    allowed_actions,
    create,
    is_allowed,
    step,
)
from escrowd.domain.escrow.status import HOLDING, DeadlineName, PublicEvent, Status, Who
from escrowd.domain.escrow.table import STAYS, Row
from escrowd.domain.escrow.terms import Overpayment
from escrowd.domain.payouts.records import PayoutKind
from tests.unit.domain.escrow.walk import whole_walk
from tests.unit.domain.escrow.world import (
    AMOUNT,
    HALF,
    ID,
    PAID,
    START,
    TERMS,
    follow,
    ledger,
    output,
    play,
    reached,
    tries,
)

LATER = Moment(START.utc + 5_000, running=77_000)


def test_creation_does_not_begin() -> None:
    """An escrow begins with its keys to be made, its first deadline running, and the outside told."""
    begun = create(ID, TERMS, Who.INTEGRATOR, LATER)
    assert begun.before is None
    assert (begun.event, begun.who, begun.moment) == (Created(TERMS), Who.INTEGRATOR, LATER)
    assert (begun.tells, begun.effects) == ((PublicEvent.ESCROW_CREATED,), (Effect.MAKE_KEYS,))
    deadline = Deadline(DeadlineName.KEYING, 77_000 + 3_600_000, armed_at=1)
    assert begun.after == Escrow(ID, Status.KEYING, 1, TERMS, LATER.utc, deadline=deadline)


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", Status)
def test_refused_move_changes_something(status: Status) -> None:
    """A move that is refused leaves the escrow as it was, and the refusal names all that is allowed instead."""
    escrow = reached(status)
    for event, who in itertools.product(tries(escrow), Who):
        if is_allowed(escrow, event, who):
            continue
        with pytest.raises(IllegalMove) as refused:
            step(escrow, event, who, LATER)
        assert refused.value.allowed == allowed_actions(escrow, who)
        assert str(refused.value).endswith(f"allowed for the {who}: {', '.join(refused.value.allowed) or 'nothing'}")
        assert escrow == reached(status)


def test_allowed_actions_promise_what_is_refused() -> None:
    """What is said to be allowed can be done, with a share that is there, and nothing else can."""
    for escrow, who in itertools.product(_different_to_people(), (Who.BUYER, Who.VENDOR, Who.ARBITER, Who.OPERATOR)):
        share = escrow.proposal.vendor_share if escrow.proposal else 0
        taken = tuple(name for name, make in SAYS.items() if _is_taken(escrow, make(share), who))
        assert taken == allowed_actions(escrow, who), (escrow, who)


#: What each action says, about a share of the deposit where it speaks of one.
SAYS: dict[str, Callable[[int], Event]] = {
    "deliver": lambda _: Delivered(),
    "release": lambda _: Released(),
    "refund": lambda _: Refunded(),
    "dispute": lambda _: Disputed("it is broken"),
    "rule": Ruled,
    "propose-split": SplitProposed,
    "accept-split": SplitAccepted,
    "cancel": lambda _: Cancelled(),
    "resume": lambda _: Resumed(),
    "split": Divided,
    "settle": lambda _: Settled("nothing is left"),
}


def _different_to_people() -> Iterable[Escrow]:
    """Return of all escrows that can be come to one of each kind between which people can tell a difference."""
    return {
        (each.status, each.proposal, each.reminders, each.deposit.seen > 0, each.deposit.confirmed > 0): each
        for each in whole_walk().escrows
        if not each.has_ended
    }.values()


def _is_taken(escrow: Escrow, event: Event, who: Who) -> bool:
    try:
        step(escrow, event, who, LATER)
    except IllegalMove:
        return False
    return True


@pytest.mark.parametrize(
    ("status", "event", "who", "message"),
    [
        (
            Status.AWAITING_FUNDING,
            Released(),
            Who.BUYER,
            "release is not for the buyer while the escrow is awaiting_funding; allowed for the buyer: cancel",
        ),
        (
            Status.FUNDED,
            SplitAccepted(7),
            Who.BUYER,
            "accept-split is not possible now: the other party has no such offer standing; look at the escrow again; "
            "allowed for the buyer: release, dispute, propose-split",
        ),
        (
            Status.DISPUTED,
            Ruled(7),
            Who.OPERATOR,
            "rule is not possible now: the arbiter has still time to rule; allowed for the operator: nothing",
        ),
        (
            Status.PAYING,
            FundingVerified(),
            Who.SERVICE,
            "FundingVerified is not for the service while the escrow is paying; allowed for the service: nothing",
        ),
    ],
)
def test_refusal_is_not_understood(status: Status, event: Event, who: Who, message: str) -> None:
    """A refusal says in plain words what was wrong, and what is allowed instead."""
    with pytest.raises(IllegalMove) as refused:
        step(reached(status), event, who, LATER)
    assert str(refused.value) == message


def test_refusal_needs_docstrings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal is one also where Python was told to leave out docstrings."""

    def never(_escrow: Escrow, _event: Event, _who: Who) -> bool:
        return False

    row = Row(Status.FUNDED, frozenset({Who.VENDOR}), Delivered, never, Status.DELIVERED)
    funded = reached(Status.FUNDED)
    monkeypatch.setattr(machine, "rows_for", lambda *_: iter([row]))
    with pytest.raises(IllegalMove, match="deliver is not possible now: its condition does not hold; allowed"):
        step(funded, Delivered(), Who.VENDOR, LATER)


def test_two_rows_are_taken_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where two rows fit, nothing happens and the table is said to be wrong."""
    row = Row(Status.FUNDED, frozenset({Who.VENDOR}), Delivered, always, STAYS)
    funded = reached(Status.FUNDED)
    monkeypatch.setattr(machine, "rows_for", lambda *_: iter([row, row]))
    with pytest.raises(AmbiguousTable, match="2 rows fit Delivered of vendor while funded"):
        step(funded, Delivered(), Who.VENDOR, LATER)


# --- shares and offers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [-1, AMOUNT + 1, 2**64])
def test_share_is_more_than_there_is(share: int) -> None:
    """No party may offer, and no arbiter may give, what is not there to be divided."""
    disputed = reached(Status.DISPUTED)
    for event, who in ((SplitProposed(share), Who.BUYER), (Ruled(share), Who.ARBITER)):
        with pytest.raises(InvalidShare, match=f"must be 0 to {AMOUNT} piconero.*not {share}"):
            step(disputed, event, who, LATER)


@pytest.mark.parametrize(
    ("overpayment", "tolerance", "deposit", "divisible"),
    [
        (Overpayment.RETURN, 0, AMOUNT, AMOUNT),
        (Overpayment.RETURN, 0, AMOUNT + 1, AMOUNT),
        (Overpayment.RETURN, 1, AMOUNT - 1, AMOUNT - 1),
        (Overpayment.KEEP, 0, AMOUNT + 1, AMOUNT + 1),
    ],
)
def test_excess_is_divided_against_the_terms(
    overpayment: Overpayment, tolerance: int, deposit: int, divisible: int
) -> None:
    """An excess is divided only where the terms keep it; else what was agreed on is, or less, if less was paid."""
    terms = replace(TERMS, overpayment=overpayment, tolerance=tolerance)
    held = play([], replace(reached(Status.DISPUTED, terms), deposit=DepositFacts(deposit, deposit)))
    order = step(held, Ruled(divisible), Who.ARBITER, LATER).after.order
    assert order == PayoutOrder(PayoutKind.RELEASE, divisible, Who.ARBITER, held.version + 1)
    with pytest.raises(InvalidShare):
        step(held, Ruled(divisible + 1), Who.ARBITER, LATER)


@pytest.mark.parametrize("status", sorted(HOLDING))
def test_party_accepts_its_own_offer(status: Status) -> None:
    """An offer is taken by the other party only, and only for the share that it names."""
    offered = play([(SplitProposed(HALF), Who.BUYER)], reached(status))
    assert offered.proposal == SplitProposal(Who.BUYER, HALF)
    for event, who in (
        (SplitAccepted(HALF), Who.BUYER),
        (SplitAccepted(HALF - 1), Who.VENDOR),
        (SplitAccepted(HALF), Who.ARBITER),
        (SplitAccepted(HALF), Who.OPERATOR),
    ):
        with pytest.raises(IllegalMove):
            step(offered, event, who, LATER)
    assert step(offered, SplitAccepted(HALF), Who.VENDOR, LATER).after.order == PayoutOrder(
        PayoutKind.SPLIT, HALF, Who.VENDOR, offered.version + 1
    )


def test_counter_offer_leaves_the_old_one_standing() -> None:
    """A new offer takes the place of the one before, whosever that was, and lasts through delivery and dispute."""
    offered = play(
        [(SplitProposed(HALF), Who.BUYER), (SplitProposed(HALF + 1), Who.VENDOR), (Delivered(), Who.VENDOR)],
        reached(Status.FUNDED),
    )
    assert offered.proposal == SplitProposal(Who.VENDOR, HALF + 1)
    assert allowed_actions(offered, Who.VENDOR) == ("refund", "dispute", "propose-split")
    assert "accept-split" in allowed_actions(offered, Who.BUYER)
    assert play([(Disputed(), Who.BUYER)], offered).proposal == offered.proposal


def test_offer_is_void_but_said_to_stand() -> None:
    """An offer of more than a reorganisation left is gone, while the escrow stays what it is."""
    terms = replace(TERMS, overpayment=Overpayment.KEEP)
    rich = replace(reached(Status.FUNDED, terms), deposit=DepositFacts(2 * AMOUNT, 2 * AMOUNT))
    offered = play([(SplitProposed(AMOUNT + 1), Who.BUYER)], rich)
    less, _ = follow(offered, ledger(output("a")))
    assert (less.status, less.proposal) == (Status.FUNDED, None)
    assert "accept-split" not in allowed_actions(less, Who.VENDOR)
    assert follow(play([(SplitProposed(AMOUNT), Who.BUYER)], rich), ledger(output("a")))[0].proposal is not None


# --- what is said of an escrow ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "deposit", "counts"),
    [
        (Status.AWAITING_FUNDING, DepositFacts(), False),
        (Status.AWAITING_FUNDING, DepositFacts(seen=1), True),
        (Status.CONFIRMING, PAID, True),
        (Status.FUNDED, PAID, False),
        (Status.FUNDED, replace(PAID, seen=AMOUNT + 1), True),
        (Status.PAYING, PAID, True),
        (Status.HELD, PAID, False),
        (Status.COMPLETED, PAID, False),
        (Status.COMPLETED, replace(PAID, late_seen=5), True),
        (Status.COMPLETED, replace(PAID, late_seen=5, late_spendable=5), False),
    ],
)
def test_block_is_not_waited_for(status: Status, deposit: DepositFacts, counts: bool) -> None:  # noqa: FBT001
    """Blocks are counted where one more may make money final or spendable, or a payout final, and not elsewhere."""
    assert replace(reached(status), deposit=deposit).counts_blocks is counts


def test_held_payout_is_not_followed() -> None:
    """The transactions of a payout are followed also while it is held: they may have been sent."""
    assert play(
        [(PayoutFailed(HoldReason.PAYOUT_FAILED, "the fee"), Who.SERVICE)], reached(Status.PAYING)
    ).counts_blocks
