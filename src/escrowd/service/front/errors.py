"""Errors of the front: what is wrong with a request, or with who makes it."""

from escrowd.domain.errors import EscrowdError, Fault, Retry


class NotAuthenticated(EscrowdError):
    """The request has no key, or one that opens nothing."""

    fault = Fault.CALLER


class NotPermitted(EscrowdError):
    """The key does not allow this, whatever the status of the escrow."""

    fault = Fault.CALLER


class IdempotencyKeyReused(EscrowdError):
    """The same Idempotency-Key came with another request before."""

    fault = Fault.CALLER


class IdempotencyKeyInvalid(EscrowdError):
    """An Idempotency-Key is 1 to 255 printable characters of ASCII."""

    fault = Fault.CALLER


class NothingToPayOut(EscrowdError):
    """There is no final deposit that a payout could divide."""

    fault = Fault.CALLER


class NoSuchKey(EscrowdError):
    """There is no API key of this id."""

    fault = Fault.CALLER


class Overloaded(EscrowdError):
    """Too many are waiting already."""

    fault = Fault.LOAD
    retry = Retry.SAFE
