from dataclasses import replace

import pytest

from escrowd.domain.escrow.assess import Ledger, assess, deposit_facts, is_spendable, judge
from escrowd.domain.escrow.events import (
    DepositConfirmed,
    DepositReorged,
    DepositSeen,
    FundingRefuted,
    PayoutReorged,
    Refunded,
    Resumed,
    SpentOutside,
)
from escrowd.domain.escrow.facts import DepositFacts
from escrowd.domain.escrow.machine import allowed_actions, step
from escrowd.domain.escrow.status import ENDED, HOLDING, Status, Who
from escrowd.domain.outputs import ReceivedOutput, Spend, WhyNot
from escrowd.domain.payouts.records import PayoutKind
from tests.unit.domain.escrow.world import (
    AMOUNT,
    HALF,
    HEIGHT,
    PAID,
    START,
    TERMS,
    TIME,
    follow,
    ledger,
    output,
    plain,
    play,
    reached,
    with_deposit,
)

A, B = output("a"), output("b", HALF)


# --- what a deposit counts for ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        pytest.param([], DepositFacts(), id="nothing"),
        pytest.param([output("a", confirmations=0)], DepositFacts(seen=AMOUNT), id="in the pool"),
        pytest.param([output("a", confirmations=9)], DepositFacts(seen=AMOUNT), id="one block too few"),
        pytest.param([A], PAID, id="deep enough"),
        pytest.param(
            [output("a", 1), output("b", AMOUNT - 2, confirmations=3), output("c", 1, confirmations=0)],
            DepositFacts(seen=AMOUNT, confirmed=1),
            id="in parts",
        ),
        pytest.param([output("a", AMOUNT - 1)], DepositFacts(AMOUNT - 1, AMOUNT - 1), id="one piconero too little"),
        pytest.param([A, output("b", 1)], DepositFacts(AMOUNT + 1, AMOUNT + 1), id="one piconero too much"),
        pytest.param([replace(A, payment_id="00" * 8)], PAID, id="to an integrated address"),
        pytest.param([replace(A, address_index=3)], DepositFacts(uncounted=AMOUNT), id="to a subaddress"),
        pytest.param([replace(A, account=2)], DepositFacts(uncounted=AMOUNT), id="to another account"),
        pytest.param([replace(A, unlock_time=1)], DepositFacts(uncounted=AMOUNT), id="with a lock that has passed"),
        pytest.param(
            [replace(A, unlock_time=HEIGHT + 50, is_coinbase=True)], DepositFacts(uncounted=AMOUNT), id="mined to it"
        ),
        pytest.param([A, replace(A, txid="tx of b", amount=HALF)], PAID, id="twice to one key, then less"),
        pytest.param(
            [A, replace(A, txid="tx of b", amount=2 * AMOUNT, height=HEIGHT - 1)],
            DepositFacts(seen=2 * AMOUNT),
            id="twice to one key, then more",
        ),
        pytest.param(
            [replace(A, height=None, double_spend_seen=True)], DepositFacts(), id="disputed by another transaction"
        ),
    ],
)
def test_deposit_counts_for_something_else(outputs: list[ReceivedOutput], expected: DepositFacts) -> None:
    """Of what arrives before an escrow is paid out, exactly this counts."""
    assert deposit_facts(reached(Status.AWAITING_FUNDING), ledger(*outputs)) == expected


def test_terms_ask_for_more_confirmations() -> None:
    """A deposit is confirmed at the depth of the terms, and not at the ten blocks of Monero."""
    escrow = reached(Status.CONFIRMING, terms=replace(TERMS, confirmations=20))
    assert deposit_facts(escrow, ledger(output("a", confirmations=19))) == DepositFacts(seen=AMOUNT)
    assert deposit_facts(escrow, ledger(output("a", confirmations=20))) == PAID


@pytest.mark.parametrize("status", Status)
def test_change_of_a_payout_is_taken_for_a_deposit(status: Status) -> None:
    """What our own transactions return to the escrow is no deposit, neither counting nor late."""
    change = replace(output("change"), txid="ours")
    with_change = replace(ledger(A, change), our_txids=frozenset({"ours"}))
    escrow = reached(status)
    assert deposit_facts(escrow, with_change) == deposit_facts(escrow, ledger(A))
    assert judge(escrow, with_change) == judge(escrow, ledger(A))


@pytest.mark.parametrize("status", [Status.PAYING, Status.HELD])
def test_payout_takes_late_money_for_its_own(status: Status) -> None:
    """Once a payout is planned, what it does not spend is late; what it spends goes on counting, or not, as before."""
    swept = replace(output("swept", 7), address_index=1)
    keys = frozenset({"a", "swept"})
    planned = replace(ledger(A, B, swept), planned=keys, paid_out=keys)
    escrow = reached(status)
    reasons = {each.output.key: each.reason for each in judge(escrow, planned)}
    assert reasons == {"a": None, "b": WhyNot.LATE, "swept": WhyNot.SUBADDRESS}
    assert deposit_facts(escrow, planned) == DepositFacts(AMOUNT, AMOUNT, late_seen=HALF, uncounted=7)


def test_money_is_late_before_the_payout_is_planned() -> None:
    """Until the payout is planned, money may still become part of it."""
    assert deposit_facts(reached(Status.PAYING), ledger(A, B)).late_seen == 0


@pytest.mark.parametrize("status", sorted(ENDED))
def test_money_after_the_end_goes_nowhere(status: Status) -> None:
    """After the end all money is late that the payout did not spend, whatever it would have counted for."""
    escrow = reached(status)
    locked = replace(output("locked", 5), unlock_time=HEIGHT + 1)
    elsewhere = replace(output("elsewhere", 3), account=1)
    pool, disputed = output("pool", 2, confirmations=0), replace(output("c", 9, 0), double_spend_seen=True)
    paid_out = frozenset({"a"}) if escrow.order else frozenset()
    now = replace(ledger(A, B, locked, elsewhere, pool, disputed), paid_out=paid_out)
    late = HALF + (0 if escrow.order else AMOUNT)
    facts = deposit_facts(escrow, now)
    assert (facts.late_seen, facts.late_spendable) == (late + 5 + 3 + 2, late + 3)
    assert replace(facts, late_seen=0, late_spendable=0) == escrow.deposit


# --- when money can be spent -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "height", "spendable"),
    [
        (output("a", confirmations=0), HEIGHT, False),
        (output("a", confirmations=9), HEIGHT, False),
        (output("a", confirmations=10), HEIGHT, True),
        # The block that would hold the spend has the height of the chain, counted from 0.
        (replace(A, unlock_time=HEIGHT + 7), HEIGHT + 6, False),
        (replace(A, unlock_time=HEIGHT + 7), HEIGHT + 7, True),
        (replace(A, unlock_time=499_999_999), HEIGHT, False),
        (replace(A, unlock_time=500_000_000), HEIGHT, True),
        (replace(A, unlock_time=TIME), HEIGHT, True),
        (replace(A, unlock_time=TIME + 1), HEIGHT, False),
        # A miner's reward waits for 60 blocks.
        (replace(A, height=HEIGHT - 59, unlock_time=HEIGHT + 1, is_coinbase=True), HEIGHT, False),
        (replace(A, height=HEIGHT - 60, unlock_time=HEIGHT, is_coinbase=True), HEIGHT, True),
        # The lock has passed, and still the output is too young.
        (replace(A, height=HEIGHT - 9, unlock_time=5), HEIGHT, False),
    ],
)
def test_output_is_spendable_at_another_block(found: ReceivedOutput, height: int, spendable: bool) -> None:  # noqa: FBT001
    """An output can be spent after ten blocks, and from the block on, or the time, to which its sender locked it."""
    assert is_spendable(found, ledger(found, height=height)) is spendable


def test_lock_that_ends_is_not_noticed() -> None:
    """Locked money that came to an ended escrow is told as late, and as spendable at the very block where it is."""
    escrow = reached(Status.COMPLETED)
    locked = replace(output("locked", 5), unlock_time=HEIGHT + 3)
    told = []
    for height in range(HEIGHT, HEIGHT + 6):
        escrow, events = follow(escrow, ledger(locked, height=height))
        told.append([type(each) for each in events])
    assert told == [[DepositSeen], [], [], [DepositConfirmed], [], []]
    assert (escrow.deposit.late_seen, escrow.deposit.late_spendable) == (5, 5)


# --- what is told, and what comes of it ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "then", "kinds", "becomes"),
    [
        # The blocks of the deposit were replaced by others, which hold it, too.
        *((status, [output("a", confirmations=3)], [DepositReorged], Status.CONFIRMING) for status in sorted(HOLDING)),
        (Status.PAYING, [output("a", confirmations=3)], [DepositReorged], Status.PAYING),
        (Status.HELD, [output("a", confirmations=3)], [DepositReorged], Status.HELD),
        # They were replaced by others, which do not.
        (Status.CONFIRMING, [], [DepositReorged], Status.AWAITING_FUNDING),
        (Status.FUNDED, [], [DepositReorged], Status.AWAITING_FUNDING),
        (Status.DELIVERED, [], [DepositReorged], Status.HELD),
        (Status.DISPUTED, [], [DepositReorged], Status.HELD),
        (Status.PAYING, [], [DepositReorged], Status.PAYING),
        (Status.HELD, [], [DepositReorged], Status.HELD),
        # A part is gone.
        (Status.AWAITING_FUNDING, [B], [DepositReorged, DepositConfirmed], Status.AWAITING_FUNDING),
        (Status.FUNDED, [B], [DepositReorged], Status.AWAITING_FUNDING),
        (Status.DELIVERED, [B], [DepositReorged], Status.HELD),
        # Another transaction replaced it, with the same money, or with more.
        (Status.FUNDED, [output("z")], [], Status.FUNDED),
        (Status.FUNDED, [output("z", confirmations=1)], [DepositReorged], Status.CONFIRMING),
        (
            Status.FUNDED,
            [output("z", 2 * AMOUNT, confirmations=1)],
            [DepositReorged, DepositSeen],
            Status.CONFIRMING,
        ),
    ],
)
def test_reorganisation_leads_elsewhere(
    status: Status, then: list[ReceivedOutput], kinds: list[type], becomes: Status
) -> None:
    """When a reorganisation takes away what was noted, exactly this is told, and the escrow goes exactly there."""
    noted = DepositFacts(seen=AMOUNT - 1) if status is Status.AWAITING_FUNDING else PAID
    escrow, events = follow(with_deposit(status, noted), ledger(*then))
    assert ([type(each) for each in events], escrow.status) == (kinds, becomes)


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.EXPIRED])
def test_late_money_that_vanished_is_still_counted(status: Status) -> None:
    """Late money that a reorganisation took away is no longer counted, and is counted again when it is back."""
    escrow, events = follow(reached(status), ledger(B))
    assert [type(each) for each in events] == [DepositSeen, DepositConfirmed]
    escrow, events = follow(escrow, ledger(replace(B, height=HEIGHT - 1)))
    assert plain(events) == (DepositReorged(replace(escrow.deposit, late_seen=HALF, late_spendable=0)),)
    escrow, events = follow(escrow, ledger(B))
    assert [type(each) for each in events] == [DepositConfirmed]


def test_uncounted_money_comes_and_goes_unnoticed() -> None:
    """Money that does not count is told when it comes and when it vanishes, and changes nothing else."""
    funded, _ = follow(with_deposit(Status.FUNDED, PAID), ledger(A))
    seen, events = follow(funded, ledger(A, replace(output("elsewhere", 7), account=1)))
    assert plain(events) == (DepositSeen(replace(PAID, uncounted=7)),)
    gone, events = follow(seen, ledger(A))
    assert plain(events) == (DepositReorged(PAID),)
    assert (gone.status, gone.deposit, gone.deadline) == (Status.FUNDED, PAID, funded.deadline)


def test_plan_that_leaves_the_confirmed_behind_confirms_more_than_is_seen() -> None:
    """In no piece of news is more money confirmed than is seen."""
    now = replace(ledger(A, B), planned=frozenset({"b"}), paid_out=frozenset({"b"}))
    escrow, events = follow(with_deposit(Status.PAYING, DepositFacts(AMOUNT + HALF, AMOUNT + HALF)), now)
    assert [each.deposit for each in events if isinstance(each, DepositSeen | DepositConfirmed)] == [
        DepositFacts(HALF, HALF, late_seen=AMOUNT)
    ]
    assert escrow.deposit.late_seen == AMOUNT


def test_deposit_that_came_back_is_not_verified() -> None:
    """A deposit that is final again after a reorganisation leads back to the status it was thrown out of."""
    escrow, _ = follow(reached(Status.DISPUTED), ledger(output("a", confirmations=3)))
    escrow, events = follow(escrow, ledger(A))
    assert [type(each) for each in events] == [DepositConfirmed]
    assert escrow.returns_to is Status.DISPUTED


@pytest.mark.parametrize(
    ("status", "becomes"),
    [
        (Status.FUNDED, Status.AWAITING_FUNDING),
        (Status.DELIVERED, Status.HELD),
        (Status.DISPUTED, Status.HELD),
    ],
)
def test_deposit_vanishes_slowly_and_nobody_looks(status: Status, becomes: Status) -> None:
    """A deposit that first became less deep and then vanished leads where one leads that vanished at once."""
    confirming, _ = follow(with_deposit(status, PAID), ledger(output("a", confirmations=3)))
    assert (confirming.status, confirming.returns_to) == (Status.CONFIRMING, status)
    gone, events = follow(confirming, ledger())
    assert (gone.status, plain(events)) == (becomes, (DepositReorged(DepositFacts()),))


def test_loss_hides_a_gain() -> None:
    """When an excess vanishes in the same look in which the deposit becomes final, that is verified all the same."""
    escrow, _ = follow(
        reached(Status.AWAITING_FUNDING), ledger(output("a", confirmations=9), output("b", 1, confirmations=0))
    )
    escrow, events = follow(escrow, ledger(A))
    assert plain(events) == (DepositReorged(DepositFacts(seen=AMOUNT)), DepositConfirmed(PAID))


@pytest.mark.parametrize("paid_out", [{"a"}, {"b"}, {"elsewhere"}])
def test_money_that_a_plan_leaves_behind_is_told_as_lost(paid_out: set[str]) -> None:
    """Money that is not part of the payout becomes late when that is planned, and counts again if it is given up."""
    elsewhere = replace(output("elsewhere", 7), account=1)
    before = ledger(A, B, elsewhere)
    planned = replace(before, paid_out=frozenset(paid_out))
    escrow, _ = follow(reached(Status.PAYING), before)
    escrow, events = follow(escrow, planned)
    assert DepositReorged not in map(type, events)
    assert escrow.deposit.seen + escrow.deposit.late_seen == AMOUNT + HALF
    escrow, events = follow(replace(escrow, status=Status.HELD), before)
    assert DepositReorged not in map(type, events)
    assert (escrow.deposit.seen, escrow.deposit.late_seen, escrow.deposit.uncounted) == (AMOUNT + HALF, 0, 7)


def test_end_of_a_payout_is_told_as_loss() -> None:
    """When the payout is final, and when a reorganisation throws it back, no deposit was lost."""
    there = ledger(A, B, replace(output("elsewhere", 7), account=1))
    planned = replace(there, planned=frozenset({"a"}), paid_out=frozenset({"a"}))
    escrow, _ = follow(reached(Status.PAYING), planned)
    escrow, events = follow(replace(escrow, status=Status.COMPLETED), planned)
    assert [type(each) for each in events] == [DepositSeen, DepositConfirmed]
    assert (escrow.deposit.late_seen, escrow.deposit.late_spendable) == (HALF + 7, HALF + 7)
    escrow = play([(PayoutReorged("pay_1", PayoutKind.RELEASE), Who.SERVICE)], escrow)
    escrow, events = follow(escrow, planned)
    assert (escrow.status, [type(each) for each in events]) == (Status.PAYING, [DepositSeen])


@pytest.mark.parametrize("status", Status)
def test_escrow_without_an_address_is_assessed(status: Status) -> None:
    """Nobody can have paid to an address that does not exist; where there is one, all that is in a ledger is told."""
    events = assess(reached(status), ledger(output("new", 1)))
    assert bool(events) is (status is not Status.KEYING)
    assert assess(replace(reached(status), address=None), ledger(A)) == ()


# --- money that was spent by others ----------------------------------------------------------------------------------


def _spent(*txids: str, height: int | None = HEIGHT - 1, ours: str = "") -> Ledger:
    spends = tuple(Spend(f"image {txid}", txid, height) for txid in txids)
    return replace(ledger(A), spends=spends, our_txids=frozenset({ours}))


@pytest.mark.parametrize("status", sorted(set(Status) - ENDED - {Status.KEYING}))
def test_spend_by_others_goes_unnoticed(status: Status) -> None:
    """Where money is spent by a transaction in a block that is not ours, the escrow is held."""
    spent = _spent("foreign", "ours", ours="ours")
    escrow, events = follow(with_deposit(status, PAID), spent)
    assert events[0] == SpentOutside("foreign")
    assert (escrow.status, escrow.outside_spends) == (Status.HELD, ("foreign",))


def test_spend_in_the_pool_is_believed() -> None:
    """What is only in the pool may vanish: nothing is said of it, and nothing of our own transactions."""
    escrow = with_deposit(Status.PAYING, PAID)
    assert assess(escrow, _spent("foreign", height=None)) == ()
    assert assess(escrow, _spent("ours", ours="ours")) == ()


def test_second_spend_by_others_is_not_noted() -> None:
    """Each foreign transaction is told once, in the order of their ids, also while the escrow is held."""
    escrow, events = follow(with_deposit(Status.FUNDED, PAID), _spent("y", "x"))
    assert events == (SpentOutside("x"), SpentOutside("y"))
    escrow, events = follow(escrow, _spent("x", "y", "z"))
    assert (events, escrow.status) == ((SpentOutside("z"),), Status.HELD)
    assert escrow.hold is not None
    assert "x" in escrow.hold.details


def test_spend_that_the_operator_knows_of_does_not_hold_the_escrow_again() -> None:
    """A spend outside is noted once: after an order and after a resume the escrow goes on with what is left (W4)."""
    spent = _spent("foreign")
    held, _ = follow(with_deposit(Status.FUNDED, PAID), spent)
    ordered = step(held, Refunded(), Who.OPERATOR, START).after
    assert assess(ordered, spent) == ()
    resumed = step(held, Resumed(), Who.OPERATOR, START).after
    assert not any(isinstance(each, SpentOutside) for each in assess(resumed, spent))


@pytest.mark.parametrize(
    ("parts", "left", "offered"),
    [([A], 0, {"settle"}), ([output("a", AMOUNT - HALF), B], HALF, {"release", "refund", "split"})],
)
def test_spend_that_the_check_of_the_deposit_met_first_leaves_a_way_out(
    parts: list[ReceivedOutput], left: int, offered: set[str]
) -> None:
    """The check holds the escrow before the transaction is known: once it is, what is left decides what is offered."""
    confirming = with_deposit(Status.CONFIRMING, PAID)
    held = step(confirming, FundingRefuted("the output is spent already"), Who.SERVICE, START).after
    spend = Spend("image", "foreign", HEIGHT - 1)
    escrow, _ = follow(held, replace(ledger(*parts), spends=(spend,), key_images={"a": "image"}))
    assert (escrow.status, escrow.outside_spends, escrow.deposit.unspent) == (Status.HELD, ("foreign",), left)
    assert set(allowed_actions(escrow, Who.OPERATOR)) == offered | {"resume"}


@pytest.mark.parametrize("status", sorted(ENDED))
def test_spend_after_the_end_is_told(status: Status) -> None:
    """After the end nothing is held any more, and no spend is told."""
    assert not any(isinstance(each, SpentOutside) for each in assess(reached(status), _spent("foreign")))
