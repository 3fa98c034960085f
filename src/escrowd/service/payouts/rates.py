"""What the network asks for at the moment."""

from escrowd.domain.payouts.fees import FeeRate
from escrowd.monero.daemon import MoneroDaemon
from escrowd.monero.results_signing import Priority


async def normal_fee_rate(daemon: MoneroDaemon) -> FeeRate:
    """Return the rate of normal priority, at which every payout is made. Raises MoneroError."""
    estimate = await daemon.get_fee_estimate()
    per_byte = estimate.fees[Priority.NORMAL - 1] if len(estimate.fees) >= Priority.NORMAL else estimate.fee
    return FeeRate(per_byte, estimate.quantization_mask)
