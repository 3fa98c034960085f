"""Who takes part in an escrow."""

from enum import StrEnum


class WalletRole(StrEnum):
    """The three holders of a key of the 2-of-3 wallet."""

    BUYER = "buyer"
    VENDOR = "vendor"
    ARBITER = "arbiter"
