"""Errors of payouts. Each says whether the payout may be tried again."""

from escrowd.domain.errors import Fault, Retry
from escrowd.service.errors import ServiceError


class PayoutError(ServiceError):
    """A payout could not be carried on."""


class WalletNotReady(PayoutError):
    """A signer's wallet does not see the money that is to be paid out as it should; nothing was built."""

    fault = Fault.MONERO
    retry = Retry.SAFE


class PlanOutdated(WalletNotReady):
    """A signer's wallet sees money that nobody had told of. It is noted by now: plan again."""


class NothingLeft(PayoutError):
    """Somebody else's transaction in the chain spends what is to be paid out."""


class NotReplaceable(PayoutError):
    """An earlier payout is signed and may still be mined, so no other one may take its place."""

    fault = Fault.CALLER


class ProposalRefused(PayoutError):
    """A proposed transaction is not what was planned. Nothing was signed."""


class NothingShared(PayoutError):
    """A new attempt would spend none of the money that an earlier one spends: both could be mined."""


class NotSubmitted(PayoutError):
    """The daemon did not take a signed transaction. The same bytes are sent again."""

    fault = Fault.MONERO
    retry = Retry.SAFE


class TooManyInputs(PayoutError):
    """A payout to several receivers has more inputs, or smaller ones, than one transaction can be made of."""

    fault = Fault.OPERATOR
