"""What became of payouts, by what is in a block."""

from dataclasses import replace

import pytest

from escrowd.domain.escrow.assess import Ledger
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.outputs import ReceivedOutput, Spend
from escrowd.domain.parties import WalletRole
from escrowd.domain.payouts.books import (
    Fate,
    fate_of,
    paid_out_keys,
    planned_keys,
    status_by_fates,
    to_be_excluded,
)
from escrowd.domain.payouts.records import (
    Attempt,
    AttemptStep,
    Payout,
    PayoutKind,
    PayoutStatus,
    PayoutTransaction,
)
from escrowd.domain.payouts.spendable import unspent

#: Outputs and their key images: the one of "a" is "A".
OUTPUTS = {key: ReceivedOutput(f"to {key}", 0, key, 100, height=10) for key in "abcd"}


def spending(txid: str, *images: str) -> PayoutTransaction:
    return PayoutTransaction(txid, 1, (), images)


def attempt(*transactions: PayoutTransaction) -> Attempt:
    return Attempt("pay_1", 1, AttemptStep.DISCARDED, WalletRole.BUYER, WalletRole.VENDOR, transactions=transactions)


def payout(kind: PayoutKind, status: PayoutStatus, keys: str, *transactions: PayoutTransaction) -> Payout:
    return Payout("pay_1", EscrowId("esc_1"), kind, status, 0, 0, (), tuple(keys), transactions)


def ledger(*spends: Spend, there: str = "abcd") -> Ledger:
    images = {key: key.upper() for key in OUTPUTS}
    return Ledger(100, 0, tuple(OUTPUTS[key] for key in there), spends, key_images=images)


@pytest.mark.parametrize(
    ("spend", "fate"),
    [
        (Spend("A", "outside", height=90), Fate.DEAD),
        (Spend("A", "outside"), Fate.OPEN),
        (Spend("A", "tx 1", height=90), Fate.MINED),
        (Spend("A", "tx 1"), Fate.OPEN),
        (Spend("Z", "outside", height=90), Fate.OPEN),
    ],
)
def test_only_a_block_decides_what_became_of_a_transaction(spend: Spend, fate: Fate) -> None:
    """What the pool holds may vanish: a transaction there is not done, and one that it contradicts not dead."""
    assert fate_of(spending("tx 1", "A", "B"), [spend]) is fate


def test_transaction_whose_input_was_double_spent_at_its_source_is_dead() -> None:
    """Where the deposit can never be in a block again, no payout of it can (W5)."""
    assert fate_of(spending("tx 1", "A", "B"), [], refuted={"B"}) is Fate.DEAD


@pytest.mark.parametrize(
    ("fates", "status"),
    [
        ((Fate.MINED, Fate.OPEN), None),
        ((Fate.DEAD, Fate.OPEN), None),
        ((Fate.MINED, Fate.MINED), PayoutStatus.CONFIRMED),
        ((Fate.MINED, Fate.DEAD), PayoutStatus.CONFIRMED),
        ((Fate.DEAD, Fate.DEAD), PayoutStatus.ABANDONED),
    ],
)
def test_payout_is_done_when_nothing_of_it_can_be_mined_any_more(
    fates: tuple[Fate, ...], status: PayoutStatus | None
) -> None:
    """What is in a block of a payout of several transactions is done, although the others never can be (W3)."""
    assert status_by_fates(fates) is status


def test_new_transactions_exclude_only_what_could_still_be_mined() -> None:
    """What is in a block, what a block rules out, and what has no input in the ledger need not be shared (W2, W5)."""
    attempts = [attempt(spending("tx 1", "A", "B"), spending("tx 2", "C"))]
    assert to_be_excluded(attempts, ledger()) == (frozenset("AB"), frozenset("C"))
    assert to_be_excluded(attempts, ledger(Spend("C", "outside", 90))) == (frozenset("AB"),)
    assert to_be_excluded(attempts, ledger(Spend("C", "tx 2", 90))) == (frozenset("AB"),)
    assert to_be_excluded(attempts, ledger(there="ac")) == (frozenset("A"), frozenset("C"))
    assert to_be_excluded(attempts, ledger(there="d")) == ()
    unknown = [attempt(spending("tx 3", "Z"))]
    assert to_be_excluded(unknown, ledger(there="d")) == (frozenset("Z"),)


@pytest.mark.parametrize(
    ("status", "spends", "keys"),
    [
        (PayoutStatus.PLANNED, [], "abc"),
        (PayoutStatus.BROADCAST, [Spend("A", "tx 1", 90), Spend("B", "tx 1", 90)], "abc"),
        (PayoutStatus.CONFIRMED, [Spend("A", "tx 1", 90), Spend("C", "outside", 90)], "ab"),
        (PayoutStatus.CONFIRMED, [Spend("A", "tx 1", 90)], "ab"),
        (PayoutStatus.ABANDONED, [], ""),
        (PayoutStatus.ABANDONED, [Spend("A", "outside", 90)], ""),
        (PayoutStatus.ABANDONED, [Spend("A", "tx 1", 90), Spend("B", "tx 1", 90)], "ab"),
    ],
)
def test_what_is_in_a_block_of_a_payout_is_paid_out(status: PayoutStatus, spends: list[Spend], keys: str) -> None:
    """Of an abandoned payout what was mined is paid out, of a confirmed one not what was ruled out or given up."""
    one = payout(PayoutKind.RELEASE, status, "abc", spending("tx 1", "A", "B"), spending("tx 2", "C"))
    images = ledger().key_images
    assert paid_out_keys([one], spends, images) == frozenset(keys)
    assert paid_out_keys([replace(one, kind=PayoutKind.RETURN)], spends, images) == frozenset()


def test_payout_that_lost_to_another_one_takes_nothing_from_it() -> None:
    """What a block rules out of one payout is paid out all the same where it is what another one has spent."""
    first = payout(PayoutKind.RELEASE, PayoutStatus.CONFIRMED, "ab", spending("tx 1", "A", "B"))
    second = payout(PayoutKind.REFUND, PayoutStatus.ABANDONED, "bc", spending("tx 2", "B", "C"))
    spends = [Spend("A", "tx 1", 90), Spend("B", "tx 1", 90)]
    assert paid_out_keys([first, second], spends, ledger().key_images) == frozenset("ab")


def test_payout_whose_inputs_vanished_plans_nothing() -> None:
    """Money that comes again after a reorganisation took deposit and payout is the deposit, not late money (W5)."""
    sent = payout(PayoutKind.RELEASE, PayoutStatus.BROADCAST, "ab", spending("tx 1", "A", "B"))
    assert planned_keys([sent], ledger().outputs, ()) == frozenset("ab")
    assert planned_keys([sent], ledger(there="bd").outputs, ()) == frozenset("b")
    assert planned_keys([sent], ledger(there="d").outputs, ()) == frozenset()
    assert planned_keys([replace(sent, kind=PayoutKind.RETURN)], ledger().outputs, ()) == frozenset()
    assert planned_keys([replace(sent, status=PayoutStatus.ABANDONED)], ledger().outputs, ()) == frozenset()


def test_payout_of_which_no_more_can_be_mined_plans_nothing() -> None:
    """Where one transaction is mined and the other ruled out, what is left of it can be decided on anew (W3)."""
    sent = payout(PayoutKind.RELEASE, PayoutStatus.BROADCAST, "abc", spending("tx 1", "A"), spending("tx 2", "B", "C"))
    outside, mined = Spend("B", "outside", 90), Spend("A", "tx 1", 90)
    there = ledger().outputs
    assert planned_keys([sent], there, [outside]) == frozenset("abc"), "the first may still be mined"
    assert planned_keys([sent], there, [mined]) == frozenset("abc"), "the second may still be mined"
    assert planned_keys([sent], there, [outside, mined]) == frozenset()


def test_what_a_block_spends_is_never_there_for_a_payout() -> None:
    """Money that is spent is not planned, by whatever transaction it was spent (W2, W4)."""
    now = ledger(Spend("A", "outside", 90), Spend("B", "tx 1", 90), Spend("C", "outside"))
    assert [each.key for each in unspent(now, ())] == ["c", "d"]
