"""Who gets what out of a payout, to the piconero. Pure.

All of an account is paid out at once, as far as one transaction holds it, so the sums leave nothing open: what the
receivers get and what the network takes is what there was. First each side's part is found without the network fee.
Then that is taken from who bears it:

* release: the vendor;
* refund and return: the buyer;
* split: both, in proportion to their parts. The vendor bears its part of the fee that is expected for the plan, and the
  buyer the rest of the fee that the transaction turns out to have: about a hundredth of a fee more or less.

The fee of the operator is a part of what the vendor's side gets and bears no network fee itself.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from escrowd.domain.errors import EscrowdError, Fault
from escrowd.domain.escrow.terms import LEAST_RETURN, Overpayment, Terms
from escrowd.domain.outputs import ReceivedOutput
from escrowd.domain.payouts.fees import FeeRate
from escrowd.domain.payouts.records import PaidOutput, PayoutKind

#: Inputs of a transaction with several receivers: wallet2 begins another one at 146 (``TX_WEIGHT_TARGET``), which up to
#: 0.18.0 fails where the amounts are exact (``create_transactions_2`` then counts an input for the fee alone).
MOST_INPUTS: Final = 120
#: Outputs of every transaction, at least.
LEAST_OUTPUTS: Final = 2


class Uneconomic(EscrowdError):
    """There is less to pay out than it costs. The money stays where it is."""

    fault = Fault.CALLER


class NotAllThere(EscrowdError):
    """There is less money that can be spent than was decided upon."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """One side's part before the network fee, in piconero, and whether it bears a part of that."""

    address: str
    gross: int
    bears_network_fee: bool


@dataclass(frozen=True, slots=True)
class PayoutPlan:
    """What goes in, and who gets it. At most one receiver for each address."""

    terms: Terms
    kind: PayoutKind
    vendor_share: int
    account: int
    inputs: tuple[ReceivedOutput, ...]
    receivers: tuple[Receiver, ...]
    #: What stays behind because it is worth less than its own fee.
    left_out: tuple[ReceivedOutput, ...] = ()
    #: The largest amount that is worth less than its own fee, in piconero.
    dust: int = 0
    #: What was set aside for the network and not needed, in piconero: a part of what is left out.
    spared: int = 0

    @property
    def residue(self) -> int:
        """What stays behind, in piconero."""
        return sum(each.amount for each in self.left_out)

    @property
    def total(self) -> int:
        """Everything that goes in, in piconero."""
        return sum(each.amount for each in self.inputs)

    @property
    def keys(self) -> tuple[str, ...]:
        """One-time keys of what goes in."""
        return tuple(each.key for each in self.inputs)

    @property
    def address_indices(self) -> tuple[int, ...]:
        """Which addresses of the account are emptied."""
        return tuple(sorted({each.address_index for each in self.inputs}))

    @property
    def bearer(self) -> Receiver:
        """Who bears the network fee, or, in a split, what the fee differs from the expected one: the buyer there."""
        return next(each for each in reversed(self.receivers) if each.bears_network_fee and each.gross > 0)

    def expected_fee(self, rate: FeeRate) -> int:
        """Return the network fee that is expected for a transaction of this plan, in piconero.

        A transaction has two outputs at least: one to a single receiver gets a second one of nothing.
        """
        return rate.estimate(len(self.inputs), max(LEAST_OUTPUTS, len(self.receivers)))

    def outputs(self, network_fee: int, expected_fee: int) -> tuple[PaidOutput, ...]:
        """Return what each receiver gets if the network takes ``network_fee``, in piconero. The sums are exact.

        What was spared is borne as the network fee is.

        Raises:
            Uneconomic: a receiver would get nothing.

        """
        outputs = self.outputs_before_fee(expected_fee)
        outputs = tuple(
            replace(each, amount=each.amount - network_fee - self.spared) if each.to == self.bearer.address else each
            for each in outputs
        )
        if any(output.amount <= 0 for output in outputs):
            raise Uneconomic(
                f"a network fee of {network_fee} piconero leaves nothing of a part of {self.total} piconero"
            )
        return outputs

    def outputs_before_fee(self, expected_fee: int) -> tuple[PaidOutput, ...]:
        """Return the outputs out of which the bearer's still has to pay the whole network fee."""
        shares = _shares(expected_fee, [each.gross if each.bears_network_fee else 0 for each in self.receivers])
        others = sum(
            share for each, share in zip(self.receivers, shares, strict=True) if each.address != self.bearer.address
        )
        return tuple(
            PaidOutput(each.address, each.gross + (others if each.address == self.bearer.address else -share))
            for each, share in zip(self.receivers, shares, strict=True)
        )

    def spending(self, keys: Collection[str]) -> "PayoutPlan":
        """Return the plan that spends exactly these of its outputs, those left out among them.

        Raises:
            NotAllThere: they are worth less than the vendor's side is to get.

        """
        everything = (*self.inputs, *self.left_out)
        inputs = [each for each in everything if each.key in keys]
        left_out = [each for each in everything if each.key not in keys]
        return _planned(self.terms, self.kind, self.vendor_share, inputs, left_out, self.dust)

    def sparing(self, keys: Collection[str]) -> "PayoutPlan":
        """Return the plan that spends only these of its outputs, and leaves the parts of the receivers as they are.

        Who bears the network fee bears what is spared, too.
        """
        inputs = tuple(each for each in self.inputs if each.key in keys)
        spared = tuple(each for each in self.inputs if each.key not in keys)
        amount = sum(each.amount for each in spared)
        return replace(self, inputs=inputs, left_out=(*self.left_out, *spared), spared=amount)


def plan_payout(
    terms: Terms, kind: PayoutKind, vendor_share: int, spendable: Sequence[ReceivedOutput], dust: int = 0
) -> PayoutPlan:
    """Plan a payout of these outputs, all of one account.

    ``vendor_share`` is what was decided for the vendor's side, before any fee; the rest is the buyer's. Outputs of up
    to ``dust`` piconero are left out: they are worth less than they cost. So are the smallest ones where there are more
    than one transaction to several receivers holds; they are the buyer's, and go back by themselves.

    Raises:
        NotAllThere: the outputs are worth less than the vendor's side is to get.
        Uneconomic: there are no outputs but dust.

    """
    inputs = [each for each in spendable if each.amount > dust]
    if not inputs:
        raise Uneconomic("there is nothing that is worth the fee of spending it")
    return _planned(terms, kind, vendor_share, inputs, [each for each in spendable if each.amount <= dust], dust)


def is_payable_to_several(amounts: Iterable[int], amount: int) -> bool:
    """Whether one transaction holds enough of these outputs to pay so much, or all if they are less, to anybody."""
    largest = sorted(amounts, reverse=True)
    return sum(largest[:MOST_INPUTS]) >= min(amount, sum(largest))


# ---------------------------------------------------------------------------------------------------------------------

#: A wallet's idea of where dust begins is at most so many times ours.
_DUST_TOLERANCE: Final = 2
#: Dust of a deposit that the vendor's side may lose is at most its share divided by this.
_LARGEST_LOSS_DIVISOR: Final = 100


def _planned(
    terms: Terms,
    kind: PayoutKind,
    vendor_share: int,
    inputs: Sequence[ReceivedOutput],
    left_out: Sequence[ReceivedOutput],
    dust: int,
) -> PayoutPlan:
    total = sum(each.amount for each in inputs)
    # A deposit may have come in pieces, and some of them be dust: who gets all the rest has to do without that little.
    lost = sum(each.amount for each in left_out if each.amount <= _DUST_TOLERANCE * dust)
    is_little = lost <= vendor_share // _LARGEST_LOSS_DIVISOR
    share = total if is_little and total < vendor_share <= total + lost else vendor_share
    receivers = _merged(_parts(terms, kind, share, total))
    if len(receivers) > 1 and len(inputs) > MOST_INPUTS:
        largest = sorted(inputs, key=lambda each: each.amount, reverse=True)
        left_out = [*left_out, *largest[MOST_INPUTS:]]
        if kind is PayoutKind.RELEASE and terms.overpayment is Overpayment.KEEP:
            # The vendor keeps an excess as far as it can be paid along: crumbs must not stop what was agreed upon.
            there = sum(each.amount for each in largest[:MOST_INPUTS])
            vendor_share = min(vendor_share, max(there, terms.least_deposit))
        return _planned(terms, kind, vendor_share, largest[:MOST_INPUTS], left_out, dust)
    return PayoutPlan(terms, kind, vendor_share, inputs[0].account, tuple(inputs), receivers, tuple(left_out), dust)


def _parts(terms: Terms, kind: PayoutKind, vendor_share: int, total: int) -> list[Receiver]:
    if kind in (PayoutKind.REFUND, PayoutKind.RETURN) or vendor_share == 0:
        return [Receiver(terms.refund_address, total, bears_network_fee=True)]
    if total < vendor_share:
        raise NotAllThere(f"{vendor_share} piconero are to be paid to the vendor's side, and only {total} can be spent")
    buyer = total - vendor_share
    is_release = kind is PayoutKind.RELEASE
    if is_release and buyer < LEAST_RETURN:
        # An output of its own for so little would cost more than it brings.
        vendor_share, buyer = total, 0
    fee = terms.fee.of(vendor_share) if terms.fee is not None else 0
    parts = [Receiver(terms.payout_address, vendor_share - fee, bears_network_fee=True)]
    if buyer > 0:
        parts.append(Receiver(terms.refund_address, buyer, bears_network_fee=not is_release))
    if terms.fee is not None and fee > 0:
        parts.append(Receiver(terms.fee.address, fee, bears_network_fee=False))
    return parts


def _merged(parts: Sequence[Receiver]) -> tuple[Receiver, ...]:
    """Put together what goes to one address; it bears the network fee if one of its parts does."""
    merged: dict[str, Receiver] = {}
    for part in parts:
        known = merged.get(part.address)
        merged[part.address] = (
            part
            if known is None
            else Receiver(part.address, known.gross + part.gross, known.bears_network_fee or part.bears_network_fee)
        )
    return tuple(merged.values())


def _shares(fee: int, weights: Sequence[int]) -> list[int]:
    """Divide a fee in proportion to the weights, rounded down."""
    total = sum(weights)
    return [fee * weight // total for weight in weights]
