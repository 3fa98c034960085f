"""What the store refuses: each keeps a law of money or of order that no race may break. Nothing was stored."""

from escrowd.domain.errors import EscrowdError, Fault, Retry


class Conflict(EscrowdError):
    """The store refused a change. Nothing was stored."""


class NoSuchEscrow(Conflict):
    """There is no escrow of this id."""

    fault = Fault.CALLER


class AlreadyStored(Conflict):
    """There is one of this id already."""


class VersionConflict(Conflict):
    """Somebody else changed the escrow in between; look at it again."""

    fault = Fault.CALLER
    retry = Retry.SAFE


class PayoutAlreadyOpen(Conflict):
    """A payout of this escrow is under way, or this order was carried out."""


class LeaseLost(Conflict):
    """The right to work on this has run out, or another worker has it."""

    retry = Retry.SAFE


class NoSuchWebhook(Conflict):
    """There is no webhook of this id."""

    fault = Fault.CALLER


class NoSuchDelivery(Conflict):
    """There is no delivery of this id to that webhook, or no longer: those that were taken long ago are removed."""

    fault = Fault.CALLER


class TooManyWebhooks(Conflict):
    """There are as many webhooks as there may be."""

    fault = Fault.CALLER
