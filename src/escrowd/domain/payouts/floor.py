"""The least amount that an escrow may have: less could not pay the network fee of its own payout. Pure."""

from escrowd.domain.escrow.terms import BASIS_POINTS, InvalidTerms, Terms
from escrowd.domain.payouts.fees import FeeRate
from escrowd.domain.payouts.plan import LEAST_OUTPUTS


class AmountTooSmall(InvalidTerms):
    """The amount of an escrow is too small for the network fee of its payout."""


def check_amount(terms: Terms, rate: FeeRate, multiple: int) -> None:
    """Make sure that the amount is ``multiple`` times the network fee, and leaves something for each receiver.

    Raises:
        AmountTooSmall: it is less; the message says the least, and what that follows from.

    """
    fee, receivers = expected_fee(terms, rate), _receivers(terms)
    asked = f"a network fee of about {fee} piconero, which a payout to {receivers} receivers costs now"
    spending = f"the {rate.dust()} piconero that spending an output costs now"
    minima = [(multiple * fee, f"{multiple} times {asked}"), (_for_vendor(terms, rate), f"{asked}, and {spending}")]
    if terms.fee is not None:
        share = f"{terms.fee.basis_points} basis points for the operator are more than {spending}"
        minima.append((_for_operator(terms.fee.basis_points, terms, rate), f"so that {share}"))
    least, reason = max(minima)
    if terms.amount < least:
        raise AmountTooSmall(f"the amount must be at least {least} piconero, not {terms.amount}: {reason}")


def expected_fee(terms: Terms, rate: FeeRate) -> int:
    """Return the network fee of the largest payout of one deposit: a split, with the operator's fee if there is one."""
    return rate.estimate(1, max(LEAST_OUTPUTS, _receivers(terms)))


# ---------------------------------------------------------------------------------------------------------------------


def _receivers(terms: Terms) -> int:
    fee = () if terms.fee is None else (terms.fee.address,)
    return len({terms.refund_address, terms.payout_address, *fee})


def _for_vendor(terms: Terms, rate: FeeRate) -> int:
    """Return the amount from which on a release of the least deposit leaves the vendor more than dust."""
    kept = BASIS_POINTS - (terms.fee.basis_points if terms.fee is not None else 0)
    return terms.tolerance + _above((expected_fee(terms, rate) + rate.dust()) * BASIS_POINTS, kept)


def _for_operator(basis_points: int, terms: Terms, rate: FeeRate) -> int:
    """Return the amount from which on the operator's part of the least deposit is more than dust."""
    return terms.tolerance + _above(rate.dust() * BASIS_POINTS + BASIS_POINTS - 1, basis_points)


def _above(numerator: int, denominator: int) -> int:
    """Return the least whole number above a fraction."""
    return numerator // denominator + 1
