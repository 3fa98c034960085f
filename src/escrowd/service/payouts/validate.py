"""Judges a proposed transaction set before anybody signs it: every field of every transaction against the plan. Pure.

Signing is blind: ``sign_multisig`` of wallet2 takes any recipient, any fee, any lock. So whoever proposes could take
the money, lock it for years, or burn it as a fee. What is described here is what is signed: wallet2 builds the
transactions anew from the described destinations, and refuses where they differ (``sign_multisig_tx``).
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from escrowd.domain.payouts.fees import LARGEST_MULTIPLE, RING_SIZE, FeeRate
from escrowd.domain.payouts.plan import PayoutPlan
from escrowd.monero.results_signing import DescribedTransaction
from escrowd.service.payouts.errors import ProposalRefused

#: No payout is cut into more transactions than this.
MOST_TRANSACTIONS = 32
#: Bytes of a one-time key, and of an encrypted payment id in a nonce with its kind.
_KEY = 32
_NONCE = 9


def validate(
    described: Sequence[DescribedTransaction],
    plan: PayoutPlan,
    primary_address: str,
    rate: FeeRate,
    key_images: Sequence[Sequence[str]],
) -> None:
    """Make sure that a set does exactly what was planned.

    ``key_images`` are those that each transaction spends, as far as the proposer says.

    Raises:
        ProposalRefused: it does not; the message says in what.

    """
    for complaint in _complaints(described, plan, primary_address, rate, key_images):
        raise ProposalRefused(complaint)


def fee_limit(rate: FeeRate, inputs: int, outputs: int) -> int:
    """Return the largest fee that we pay for a transaction, in piconero."""
    return LARGEST_MULTIPLE * rate.estimate(inputs, outputs)


# ---------------------------------------------------------------------------------------------------------------------


def _complaints(
    described: Sequence[DescribedTransaction],
    plan: PayoutPlan,
    primary_address: str,
    rate: FeeRate,
    key_images: Sequence[Sequence[str]],
) -> Iterator[str]:
    if not 1 <= len(described) <= MOST_TRANSACTIONS:
        yield f"the set has {len(described)} transactions"
    if len(plan.receivers) > 1 and len(described) > 1:
        yield f"a payout to {len(plan.receivers)} receivers is one transaction, not {len(described)}"
    yield from _about_inputs(described, plan, key_images)
    for number, one in enumerate(described, 1):
        spent = len(key_images[number - 1]) if number <= len(key_images) else 0
        for complaint in _about_one(one, primary_address, rate, spent):
            yield f"transaction {number}: {complaint}"
    yield from _about_receivers(described, plan)


def _about_inputs(
    described: Sequence[DescribedTransaction], plan: PayoutPlan, key_images: Sequence[Sequence[str]]
) -> Iterator[str]:
    total = sum(one.amount_in for one in described)
    if total != plan.total:
        yield f"the set spends {total} piconero, and {plan.total} are planned"
    images = [image for each in key_images for image in each]
    if len(key_images) != len(described):
        yield f"the set has {len(described)} transactions and tells the inputs of {len(key_images)}"
    if len(set(images)) != len(images) or len(images) != len(plan.inputs):
        yield f"the set spends {len(set(images))} outputs, and {len(plan.inputs)} are planned"
    sources = Counter(source.pubkey for one in described for source in one.sources)
    if sources and sources != Counter(plan.keys):
        yield "the set spends other outputs than planned"


def _about_one(one: DescribedTransaction, primary_address: str, rate: FeeRate, inputs: int) -> Iterator[str]:
    paid = sum(each.amount for each in one.recipients)
    limit = fee_limit(rate, inputs, len(one.recipients) + 1)
    sums_agree = one.amount_in == one.amount_out + one.fee and one.amount_out == paid + one.change_amount
    pays_somebody = one.fee > 0 and bool(one.recipients) and all(each.amount > 0 for each in one.recipients)
    laws = (
        (one.unlock_time == 0, f"it locks the money until {one.unlock_time}"),
        (not one.payment_id.strip("0"), "it carries a payment id"),
        (one.ring_size == RING_SIZE, f"its rings have {one.ring_size} members"),
        (sums_agree, "its sums do not agree"),
        (not one.change_amount or one.change_address == primary_address, "its change goes to a foreign address"),
        (one.fee <= limit, f"its fee is {one.fee} piconero, and {limit} are the most that we pay"),
        (pays_somebody, "it pays nothing to somebody, or to the network"),
        (one.dummy_outputs <= 1, f"it has {one.dummy_outputs} outputs to nobody"),
        (_is_plain_extra(one.extra, len(one.recipients) + 2), "its extra field holds more than keys"),
    )
    yield from (complaint for holds, complaint in laws if not holds)


def _about_receivers(described: Sequence[DescribedTransaction], plan: PayoutPlan) -> Iterator[str]:
    fee = sum(one.fee for one in described)
    change = sum(one.change_amount for one in described)
    if change:
        yield f"{change} piconero of change would stay behind"
    paid: Counter[str] = Counter()
    for one in described:
        for each in one.recipients:
            paid[each.address] += each.amount
    wanted = {each.to: each.amount for each in plan.outputs(fee)}
    if dict(paid) != wanted:
        yield f"it pays {_amounts(paid)}, and {_amounts(wanted)} are planned"


def _amounts(amounts: Counter[str] | dict[str, int]) -> str:
    return ", ".join(f"{amount} to {address[:12]}…" for address, amount in sorted(amounts.items())) or "nothing"


def _is_plain_extra(extra: str, most_outputs: int) -> bool:
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
        size = _size_of_field(tag, data, most_outputs)
        if size is None or len(data) < size or tag in seen:
            return False
        seen.append(tag)
        data = data[size:]
    return 1 in seen


def _size_of_field(tag: int, data: bytes, most_outputs: int) -> int | None:
    if tag == 1:
        return 1 + _KEY
    if tag == 2 and data[1:3] == bytes([_NONCE, 1]):
        return 2 + _NONCE
    if tag == 4 and len(data) > 1 and 1 <= data[1] <= most_outputs:
        return 2 + data[1] * _KEY
    return None
