"""Which recorded bytes count as a signed payout."""

import pytest

from escrowd.chain.transaction import parse_signed_transaction
from escrowd.service.payouts.errors import ProposalRefused
from escrowd.service.payouts.validate import signed_bytes
from escrowd.testing.simulation.transactions import digest, signed_blob

IMAGES = (digest("one"), digest("two"))


def transaction(unique: str = "ours", unlock_time: int = 0, images: tuple[str, ...] = IMAGES) -> tuple[str, str]:
    """Return the id and the bytes of a transaction."""
    raw = signed_blob(digest(unique), images, 2, 10**9, unlock_time)
    return parse_signed_transaction(bytes.fromhex(raw)).txid, raw


def test_bytes_with_the_signed_id_are_kept() -> None:
    """The id that the co-signer gave decides which recorded bytes are the transaction; a stranger's are left out."""
    txid, raw = transaction()
    _, foreign = transaction("a stranger's")
    assert signed_bytes([foreign, "no hex", "00ff", raw], [txid], [IMAGES]) == {txid: raw}


def test_missing_bytes_refuse_the_attempt() -> None:
    """A transaction whose bytes were not recorded is named, and nothing of the set is kept."""
    (txid, raw), (other, _) = transaction(), transaction("the second of the set")
    with pytest.raises(ProposalRefused, match=f"bytes of transaction {other}"):
        signed_bytes([raw], [txid, other], [IMAGES, IMAGES])


def test_bytes_that_spend_other_outputs_are_refused() -> None:
    """What is kept spends exactly what was validated."""
    txid, raw = transaction(images=(digest("one"), digest("three")))
    with pytest.raises(ProposalRefused, match="other inputs"):
        signed_bytes([raw], [txid], [IMAGES])


def test_bytes_that_lock_the_money_are_refused() -> None:
    """A transaction with an unlock time was not validated, whatever its id."""
    txid, raw = transaction(unlock_time=1_000)
    with pytest.raises(ProposalRefused, match="bytes of transaction"):
        signed_bytes([raw], [txid], [IMAGES])
