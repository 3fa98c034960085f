"""Judges a proposed transaction set before anybody signs it: every field of every transaction against the plan. Pure.

Signing is blind: ``sign_multisig`` of wallet2 takes any recipient, any fee, any lock. So whoever proposes could take
the money, lock it for years, or burn it as a fee. What is described here is what is signed: wallet2 builds the
transactions anew from the described destinations, and refuses where they differ (``sign_multisig_tx``).

The description does not say which outputs are spent, before ``Capability.DESCRIBE_SOURCES``. Then the key images that
the proposer names are held against those that the co-signer knows, and the described sums against the ledger. A set
that spends others all the same gets a signature that no daemon takes: the co-signer signs with the keys of its own.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from escrowd.chain.transaction import parse_signed_transaction
from escrowd.domain.payouts.fees import LARGEST_MULTIPLE, RING_SIZE, FeeRate
from escrowd.domain.payouts.plan import PayoutPlan
from escrowd.monero.results_signing import DescribedTransaction
from escrowd.service.payouts.errors import BytesNotRecorded, ProposalRefused

#: No payout is cut into more transactions than this.
MOST_TRANSACTIONS: Final = 32
#: What was set aside for the network and not asked for, be it change or outputs that are not spent, is at most the fee
#: divided by this.
LARGEST_REST_DIVISOR: Final = 2


@dataclass(frozen=True, slots=True)
class Expected:
    """What a proposal is held against."""

    plan: PayoutPlan
    #: The escrow's own address: only there may change go.
    primary_address: str
    rate: FeeRate
    #: Key images of exactly the outputs that the plan spends, as the co-signer knows them.
    key_images: frozenset[str]
    #: Whether the co-signer's wallet has ``Capability.DESCRIBE_SOURCES``.
    describes_sources: bool
    #: Whether exact amounts were asked for, without ``Capability.SUBTRACT_FEE``: only these can leave change.
    may_leave_change: bool


def validate(
    described: Sequence[DescribedTransaction], key_images: Sequence[Sequence[str]], expected: Expected
) -> None:
    """Make sure that a set does exactly what was planned.

    ``key_images`` are those that each transaction spends, as far as the proposer says.

    Raises:
        ProposalRefused: it does not; the message says in what.

    """
    for complaint in _complaints(described, key_images, expected):
        raise ProposalRefused(complaint)


def check_signed(recorded: Mapping[str, str], txids: Sequence[str], key_images: Sequence[Sequence[str]]) -> None:
    """Make sure that the bytes of each signed transaction are there, and spend what was validated.

    ``recorded`` has the bytes, hex, by the id that was computed from them.

    Raises:
        BytesNotRecorded: the wallet did not hand over a transaction; a new attempt is to be made.
        ProposalRefused: one spends other outputs, or locks the money.

    """
    for txid, images in zip(txids, key_images, strict=True):
        if txid not in recorded:
            raise BytesNotRecorded(f"the co-signer's wallet did not hand over transaction {txid}")
        transaction = parse_signed_transaction(bytes.fromhex(recorded[txid]))
        if {image.hex() for image in transaction.key_images} != set(images):
            raise ProposalRefused(f"transaction {txid} was signed with other inputs than validated")
        if transaction.unlock_time:
            raise ProposalRefused(f"transaction {txid} was signed with the lock {transaction.unlock_time}")


def fee_limit(rate: FeeRate, inputs: int, outputs: int) -> int:
    """Return the largest fee that we pay for a transaction, in piconero."""
    return LARGEST_MULTIPLE * rate.estimate(inputs, outputs)


# ---------------------------------------------------------------------------------------------------------------------

#: Bytes of a one-time key, and of an encrypted payment id in a nonce with its kind.
_KEY: Final = 32
_NONCE: Final = 9


def _complaints(
    described: Sequence[DescribedTransaction], key_images: Sequence[Sequence[str]], expected: Expected
) -> Iterator[str]:
    receivers = len(expected.plan.receivers)
    if not 1 <= len(described) <= MOST_TRANSACTIONS:
        yield f"the set has {len(described)} transactions"
    if len(key_images) != len(described):
        yield f"the set has {len(described)} transactions and tells the inputs of {len(key_images)}"
    if receivers > 1 and len(described) > 1:
        yield f"a payout to {receivers} receivers is one transaction, not {len(described)}"
    yield from _about_inputs(described, key_images, expected)
    for number, (one, spent) in enumerate(zip(described, key_images, strict=False), 1):
        for complaint in _about_one(one, len(spent), expected):
            yield f"transaction {number}: {complaint}"
    yield from _about_receivers(described, expected)


def _about_inputs(
    described: Sequence[DescribedTransaction], key_images: Sequence[Sequence[str]], expected: Expected
) -> Iterator[str]:
    total = sum(one.amount_in for one in described)
    if total != expected.plan.total:
        yield f"the set spends {total} piconero, and {expected.plan.total} are planned"
    images = [image for each in key_images for image in each]
    if len(set(images)) != len(images):
        yield "the set spends an output twice"
    if set(images) != expected.key_images:
        yield "the set spends other outputs than planned"
    if expected.describes_sources:
        # One-time key and commitment, as ``pod_to_hex`` writes a ``ctkey``.
        sources = Counter(source.pubkey[: 2 * _KEY] for one in described for source in one.sources)
        if sources != Counter(expected.plan.keys):
            yield "the set is described with other outputs than planned"


def _about_one(one: DescribedTransaction, inputs: int, expected: Expected) -> Iterator[str]:
    paid = sum(each.amount for each in one.recipients)
    outputs = len(one.recipients) + bool(one.change_amount)
    limit = fee_limit(expected.rate, inputs, max(2, outputs))
    sums_agree = one.amount_in == one.amount_out + one.fee and one.amount_out == paid + one.change_amount
    pays_somebody = one.fee > 0 and bool(one.recipients) and all(each.amount > 0 for each in one.recipients)
    change_is_ours = one.change_amount == 0 or (
        one.change_amount > 0 and one.change_address == expected.primary_address
    )
    laws = (
        (one.unlock_time == 0, f"it locks the money until {one.unlock_time}"),
        (not one.payment_id.strip("0"), "it carries a payment id"),
        (one.ring_size == RING_SIZE, f"its rings have {one.ring_size} members"),
        (sums_agree, "its sums do not agree"),
        (change_is_ours, "its change goes to a foreign address"),
        (pays_somebody, "it pays nothing to somebody, or to the network"),
        (one.fee <= limit, f"its fee is {one.fee} piconero, and {limit} are the most that we pay"),
        # A transaction has two outputs at least; wallet2 makes up for a missing one with nothing to nobody.
        (one.dummy_outputs == int(outputs == 1), f"it has {one.dummy_outputs} outputs to nobody"),
        (_is_plain_extra(one.extra, outputs + 1), "its extra field holds more than keys"),
    )
    yield from (complaint for holds, complaint in laws if not holds)


def _about_receivers(described: Sequence[DescribedTransaction], expected: Expected) -> Iterator[str]:
    plan = expected.plan
    fee = sum(one.fee for one in described)
    change = sum(one.change_amount for one in described)
    rest = change + plan.spared
    if rest > (fee // LARGEST_REST_DIVISOR if expected.may_leave_change else 0):
        yield f"{rest} piconero of what is set aside for the network would stay behind"
    paid: Counter[str] = Counter()
    for one in described:
        for each in one.recipients:
            paid[each.address] += each.amount
    wanted = {each.to: each.amount for each in plan.outputs(fee + change, plan.expected_fee(expected.rate))}
    if dict(paid) != wanted:
        yield f"it pays {_amounts(paid)}, and {_amounts(wanted)} are planned"


def _amounts(amounts: Counter[str] | dict[str, int]) -> str:
    return ", ".join(f"{amount} to {address[:12]}…" for address, amount in sorted(amounts.items())) or "nothing"


def _is_plain_extra(extra: str, most_keys: int) -> bool:
    """Whether an extra field holds the keys of the transaction, at most one encrypted payment id, and nothing else.

    Tags as in ``tx_extra.h``: 1 a public key, 2 a nonce, 4 additional public keys.
    """
    try:
        data = bytes.fromhex(extra)
    except ValueError:
        return False
    seen: list[int] = []
    while data:
        tag = data[0]
        size = _size_of_field(tag, data, most_keys)
        if size is None or len(data) < size or tag in seen:
            return False
        seen.append(tag)
        data = data[size:]
    return 1 in seen


def _size_of_field(tag: int, data: bytes, most_keys: int) -> int | None:
    if tag == 1:
        return 1 + _KEY
    if tag == 2 and data[1:3] == bytes([_NONCE, 1]):
        return 2 + _NONCE
    if tag == 4 and len(data) > 1 and 1 <= data[1] <= most_keys:
        return 2 + data[1] * _KEY
    return None
