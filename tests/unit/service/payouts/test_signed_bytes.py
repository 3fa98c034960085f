"""What the recorded bytes of a signed payout have to be."""

import pytest

from escrowd.chain.transaction import parse_signed_transaction
from escrowd.service.payouts.errors import BytesNotRecorded, ProposalRefused
from escrowd.service.payouts.validate import check_signed
from escrowd.testing.simulation.transactions import digest, signed_blob

IMAGES = (digest("one"), digest("two"))


def transaction(unlock_time: int = 0, images: tuple[str, ...] = IMAGES) -> tuple[str, str]:
    """Return the id and the bytes of a transaction."""
    raw = signed_blob(digest("ours"), images, 2, 10**9, unlock_time)
    return parse_signed_transaction(bytes.fromhex(raw)).txid, raw


def test_bytes_that_spend_what_was_validated_are_taken() -> None:
    """Every transaction of the set is there, and spends the validated outputs."""
    txid, raw = transaction()
    check_signed({txid: raw}, [txid], [IMAGES])


def test_missing_bytes_make_a_new_attempt() -> None:
    """A transaction whose bytes were not recorded is named; it does not count as a refused proposal."""
    txid, raw = transaction()
    with pytest.raises(BytesNotRecorded, match="did not hand over transaction ab"):
        check_signed({txid: raw}, [txid, "ab" * 32], [IMAGES, IMAGES])


def test_bytes_that_spend_other_outputs_are_refused() -> None:
    """What is kept spends exactly what was validated."""
    txid, raw = transaction(images=(digest("one"), digest("three")))
    with pytest.raises(ProposalRefused, match="other inputs"):
        check_signed({txid: raw}, [txid], [IMAGES])


def test_bytes_that_lock_the_money_are_refused() -> None:
    """A transaction with an unlock time was not validated, whatever its id."""
    txid, raw = transaction(unlock_time=1_000)
    with pytest.raises(ProposalRefused, match="lock 1000"):
        check_signed({txid: raw}, [txid], [IMAGES])
