"""Errors of payouts. Each says whether the payout may be tried again."""

from escrowd.domain.errors import Fault, Retry
from escrowd.domain.parties import WalletRole
from escrowd.service.errors import ServiceError
from escrowd.service.reading import is_stuck


class PayoutError(ServiceError):
    """A payout could not be carried on."""


class WalletNotReady(PayoutError):
    """A signer's wallet does not see the money that is to be paid out as it should; nothing was built."""

    fault = Fault.MONERO
    retry = Retry.SAFE


class WalletBehind(WalletNotReady):
    """A signer's wallet has read the chain only up to ``height`` blocks."""

    def __init__(self, height: int, chain_height: int) -> None:
        super().__init__(f"a signer's wallet has read {height} blocks, and there are {chain_height}")
        self.height = height
        #: Whether it is more than a little late: it does not get beyond a block.
        self.is_stuck = is_stuck(height, chain_height)


class PlanOutdated(WalletNotReady):
    """A signer's wallet sees money that nobody had told of. It is noted by now: plan again."""


class WalletsLost(PayoutError):
    """Processes of signers' wallets hung or ended before a signature was stored. None has left them: sign anew."""

    fault = Fault.MONERO
    retry = Retry.SAFE

    def __init__(self, roles: frozenset[WalletRole], reason: str) -> None:
        super().__init__(f"the wallet process of {' and '.join(sorted(roles))} was lost: {reason}")
        self.roles = roles


class NothingLeft(PayoutError):
    """Somebody else's transaction in the chain spends what is to be paid out."""


class NotReplaceable(PayoutError):
    """An earlier payout is signed and may still be mined, so no other one may take its place."""

    fault = Fault.CALLER


class ProposalRefused(PayoutError):
    """A proposed transaction is not what was planned, or was not built. Nothing was sent."""


class BytesNotRecorded(PayoutError):
    """A wallet did not hand over the bytes of what it signed. Nothing was sent: a new attempt is made."""

    fault = Fault.MONERO
    retry = Retry.SAFE


class NothingShared(PayoutError):
    """A new attempt would spend none of the money that an earlier one spends: both could be mined."""


class BytesMissing(PayoutError):
    """The bytes of a signed transaction are not stored, and the daemon does not have it: a new attempt takes its place.

    Only an escrowd that stored the signed set in place of the bytes has left such an attempt.
    """


class NotSubmitted(PayoutError):
    """The daemon did not take a signed transaction. The same bytes are sent again."""

    fault = Fault.MONERO
    retry = Retry.SAFE


class TooManyInputs(PayoutError):
    """A payout to several receivers has more inputs, or smaller ones, than one transaction can be made of."""

    fault = Fault.OPERATOR


class FeeRateUnknown(PayoutError):
    """The daemon has not named its fee rate for too long."""

    fault = Fault.MONERO
    retry = Retry.SAFE
