import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from escrowd.domain.outputs import ReceivedOutput, WhyNot, credited_once

PLAIN = ReceivedOutput("t1", 0, "key", 100, height=10, global_index=5)

outputs = st.builds(
    ReceivedOutput,
    txid=st.sampled_from(["t1", "t2", "t3"]),
    index=st.integers(0, 2),
    key=st.sampled_from(["k1", "k2"]),
    amount=st.integers(1, 3),
    height=st.none() | st.integers(0, 3),
)


@pytest.mark.parametrize(
    ("height", "chain_height", "confirmations"),
    [(None, 100, 0), (99, 100, 1), (90, 100, 10), (0, 100, 100), (100, 100, 0), (105, 100, 0)],
)
def test_confirmations_are_miscounted(height: int | None, chain_height: int, confirmations: int) -> None:
    """The block of an output is its first confirmation; the pool, or a block that was taken back, is none."""
    assert replace(PLAIN, height=height).confirmations(chain_height) == confirmations


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (PLAIN, None),
        (replace(PLAIN, height=None, global_index=None), None),
        (replace(PLAIN, payment_id="0123456789abcdef"), None),
        (replace(PLAIN, address_index=1), WhyNot.SUBADDRESS),
        (replace(PLAIN, account=1), WhyNot.SUBADDRESS),
        (replace(PLAIN, unlock_time=1), WhyNot.LOCKED),
        (replace(PLAIN, unlock_time=70, is_coinbase=True), WhyNot.LOCKED),
        (replace(PLAIN, unlock_time=1_700_000_000), WhyNot.LOCKED),
        (replace(PLAIN, height=None, double_spend_seen=True), WhyNot.DOUBLE_SPENT),
        (replace(PLAIN, height=None, double_spend_seen=True, account=1), WhyNot.DOUBLE_SPENT),
        (replace(PLAIN, double_spend_seen=True), None),
    ],
)
def test_output_counts_for_something_else(output: ReceivedOutput, reason: WhyNot | None) -> None:
    """Money counts that went to the address that was given out, payment id or not, unlocked and undisputed."""
    assert output.why_it_does_not_count() is reason


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        pytest.param(PLAIN, replace(PLAIN, txid="t2", amount=101, height=20), 1, id="the larger one replaces"),
        pytest.param(PLAIN, replace(PLAIN, txid="t2", amount=99, height=9), 0, id="a smaller one does not"),
        pytest.param(PLAIN, replace(PLAIN, txid="t2", height=11), 0, id="the earlier of two equals"),
        pytest.param(PLAIN, replace(PLAIN, txid="t0", global_index=6), 0, id="the earlier in one block"),
        pytest.param(PLAIN, replace(PLAIN, amount=900, height=None), 0, id="the pool replaces nothing in a block"),
        pytest.param(replace(PLAIN, height=None), replace(PLAIN, height=None, amount=101), 1, id="both in the pool"),
    ],
)
def test_burnt_output_is_credited_otherwise_than_by_wallet2(
    first: ReceivedOutput, second: ReceivedOutput, kept: int
) -> None:
    """Two outputs with one key are one piece of money, of which wallet2 takes the larger, then the earlier."""
    for order in itertools.permutations((first, second)):
        assert credited_once(order) == ((first, second)[kept],)


@given(st.lists(outputs, max_size=6).flatmap(lambda ledger: st.tuples(st.just(ledger), st.permutations(ledger))))
def test_credit_depends_on_the_order_of_the_ledger(orders: tuple[list[ReceivedOutput], list[ReceivedOutput]]) -> None:
    """The same outputs in another order are credited alike, each key once, and none is made up."""
    ledger, shuffled = orders
    credited = credited_once(ledger)
    assert credited_once(shuffled) == credited
    assert {each.key for each in credited} == {each.key for each in ledger}
    assert len({each.key for each in credited}) == len(credited)
    assert set(credited) <= set(ledger)
