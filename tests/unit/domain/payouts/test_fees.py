"""Our own reckoning of what a transaction weighs and costs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from escrowd.domain.payouts.fees import FeeRate, estimated_weight

#: Weights that monero-wallet-rpc 0.18.0.0 reported: inputs, outputs with the change, weight.
MEASURED = [(2, 3, 2774), (2, 2, 2166)]


@pytest.mark.parametrize(("inputs", "outputs", "weight"), MEASURED)
def test_weight_is_near_what_wallets_report(inputs: int, outputs: int, weight: int) -> None:
    """Our estimate is within three percent of real transactions."""
    assert abs(estimated_weight(inputs, outputs) - weight) < 0.03 * weight


def test_fee_is_rounded_up_to_whole_masks() -> None:
    """A fee is a multiple of the daemon's mask, and never below what the weight costs."""
    rate = FeeRate(per_byte=7, mask=1000)
    assert [rate.of(weight) for weight in (0, 1, 142, 143)] == [0, 1000, 1000, 2000]


@given(inputs=st.integers(1, 150), outputs=st.integers(2, 15))
def test_more_inputs_and_outputs_never_weigh_less(inputs: int, outputs: int) -> None:
    """Each further input and output adds to the weight."""
    weight = estimated_weight(inputs, outputs)
    assert estimated_weight(inputs + 1, outputs) > weight
    assert estimated_weight(inputs, outputs + 1) > weight


@given(per_byte=st.integers(1, 10**7), inputs=st.integers(1, 100), outputs=st.integers(2, 4))
def test_dust_is_what_one_more_input_costs(per_byte: int, inputs: int, outputs: int) -> None:
    """An output at the limit of dust brings exactly what spending it costs."""
    rate = FeeRate(per_byte)
    assert rate.estimate(inputs + 1, outputs) - rate.estimate(inputs, outputs) == rate.dust()
