"""Errors of the settings."""

from escrowd.domain.errors import EscrowdError, Fault


class InvalidSettings(EscrowdError):
    """A setting is unknown, or has a value that cannot be. Nothing was started."""

    fault = Fault.OPERATOR
