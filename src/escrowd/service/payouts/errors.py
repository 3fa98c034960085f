"""Errors of payouts. Each says whether the payout may be tried again."""

from escrowd.domain.errors import Fault, Retry
from escrowd.service.errors import ServiceError


class PayoutError(ServiceError):
    """A payout could not be carried on."""


class WalletNotReady(PayoutError):
    """A signer's wallet does not see the money that is to be paid out as it should; nothing was built."""

    fault = Fault.MONERO
    retry = Retry.SAFE


class ProposalRefused(PayoutError):
    """A proposed transaction is not what was planned. Nothing was signed."""


class NothingShared(PayoutError):
    """A new attempt would spend none of the money that an earlier one spends: both could be mined."""


class NotSubmitted(PayoutError):
    """The daemon did not take a signed transaction. The same bytes are sent again."""

    fault = Fault.MONERO
    retry = Retry.SAFE


class TooManyInputs(PayoutError):
    """A payout to several receivers has more inputs than one transaction holds."""

    fault = Fault.OPERATOR
