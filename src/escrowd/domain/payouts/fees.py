"""What a transaction weighs and costs, by our own reckoning: the measure for what a wallet asks for.

The formulas are those of ``estimate_rct_tx_size`` and ``estimate_tx_weight`` in ``wallet2.cpp``, for CLSAG signatures,
Bulletproofs+ and view tags, which all transactions have since version 15 of the chain's rules.
"""

from dataclasses import dataclass
from typing import Final

#: Members of each ring (``HF_VERSION_MIN_MIXIN_15``, and the real one).
RING_SIZE: Final = 16
#: No fee above so many times our own estimate is paid.
LARGEST_MULTIPLE: Final = 2


@dataclass(frozen=True, slots=True)
class FeeRate:
    """What the daemon asks for: piconero per byte of weight at normal priority, rounded up to multiples of ``mask``."""

    per_byte: int
    mask: int = 1

    def of(self, weight: int) -> int:
        """Return the fee for a weight (``calculate_fee_from_weight``)."""
        fee = weight * self.per_byte
        return -(-fee // self.mask) * self.mask

    def estimate(self, inputs: int, outputs: int) -> int:
        """Return the fee that we expect for a transaction."""
        return self.of(estimated_weight(inputs, outputs))

    def asked(self, inputs: int, receivers: int) -> int:
        """Return the fee that wallet2 charges for paying several receivers out of so many inputs.

        ``create_transactions_2`` begins with its estimate for one output more, the change, and no extra field, and
        lowers that never: a transaction that turns out to need no change pays it all the same.
        """
        return self.of(estimated_weight(inputs, receivers + 1, extra=0))

    def dust(self) -> int:
        """Return the amount up to which an output costs more than it brings, and is left out by wallets.

        ``fractional_threshold`` in ``create_transactions_all`` and ``create_transactions_2``.
        """
        return self.per_byte * (estimated_weight(2, 2) - estimated_weight(1, 2))


#: Bytes of the extra field: the transaction's public key and an encrypted payment id, which is there in any case.
EXTRA: Final = 1 + 32 + 2 + 9


def estimated_weight(inputs: int, outputs: int, extra: int = EXTRA) -> int:
    """Return the weight of a transaction in bytes."""
    prefix = 1 + 6 + inputs * (1 + 6 + RING_SIZE * 2 + 32) + outputs * (6 + 32 + 1) + extra
    log_padded = _log_padded(outputs)
    proofs = (2 * (6 + log_padded) + 6) * 32 + 3 + inputs * (32 * RING_SIZE + 64) + inputs * 32
    rest = 1 + 8 * outputs + 32 * outputs + 4
    return prefix + proofs + rest + _clawback(log_padded)


# ---------------------------------------------------------------------------------------------------------------------

#: A transaction of so many outputs pays for all of its proof; larger ones are charged for what they save.
_FREE_OUTPUTS: Final = 2


def _log_padded(outputs: int) -> int:
    log_padded = 0
    while 1 << log_padded < outputs:
        log_padded += 1
    return log_padded


def _clawback(log_padded: int) -> int:
    """Return what ``get_transaction_weight_clawback`` adds for proofs of many outputs."""
    padded = 1 << log_padded
    if padded <= _FREE_OUTPUTS:
        return 0
    base = (32 * (6 + 7 * 2)) // 2
    size = 32 * (6 + 2 * (6 + log_padded))
    return (base * padded - size) * 4 // 5
