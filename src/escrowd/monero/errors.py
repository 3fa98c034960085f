"""Errors of monerod and monero-wallet-rpc, each saying whose fault it is and whether a retry is safe.

Everything foreign is mapped once, in :mod:`escrowd.monero.transport`: connection trouble by phase, refusals by the
code that the server answered with. The codes are those of ``wallet_rpc_server_error_codes.h`` and
``core_rpc_server_error_codes.h`` of Monero 0.18.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from escrowd.domain.errors import EscrowdError, Fault, Retry


class MoneroError(EscrowdError):
    """A Monero server did not do what it was asked."""

    fault = Fault.MONERO


class UnknownVersion(MoneroError):
    """The version of a Monero server is not one that escrowd knows."""

    fault = Fault.OPERATOR


# --- the call and its reply ---------------------------------------------------------------------------------------


class Unreachable(MoneroError):
    """No connection could be made, so the call was never sent."""

    retry = Retry.SAFE


class LoginRefused(MoneroError):
    """The server refused the login. It is not the server that was meant, or its login is another one."""

    fault = Fault.OPERATOR


class ReplyLost(MoneroError):
    """The reply to a call that only reads did not come whole and in time."""

    retry = Retry.SAFE


class OutcomeUnknown(MoneroError):
    """The reply to a call that changes state did not come whole and in time: it may have taken effect."""

    retry = Retry.UNKNOWN


class RubbishReply(MoneroError):
    """The server answered with something that is no reply to the call."""

    retry = Retry.SAFE


class RubbishOutcome(OutcomeUnknown, RubbishReply):
    """The server answered a call that changes state with something that is no reply: it may have taken effect."""

    retry = Retry.UNKNOWN


# --- refusals: the server understood the call and said no ----------------------------------------------------------


class Refused(MoneroError):
    """The server understood the call and refused it."""

    def __init__(self, method: str, code: int, reason: str) -> None:
        super().__init__(f"{method} was refused: {reason} (code {code})")
        self.method = method
        self.code = code
        self.reason = reason


class BadArgument(Refused):
    """An argument of the call is wrong: an address, an amount, an index, a transaction id."""

    fault = Fault.CALLER


class DaemonNotReady(Refused):
    """The daemon is busy, out of sync or out of reach."""

    retry = Retry.SAFE


class NotEnoughMoney(Refused):
    """The wallet has less money, or less unlocked money, than the call wants to spend."""


class TransferRefused(Refused):
    """The wallet could not build or send this transaction."""


class NoWalletOpen(Refused):
    """The wallet process has no wallet open."""


class WalletNotOpened(Refused):
    """The wallet process could not open or make this wallet file."""

    fault = Fault.OPERATOR


class WalletNotSaved(Refused):
    """The wallet process could not write the wallet to disk. The wallet is still open, the old file is unhurt."""

    fault = Fault.OPERATOR
    retry = Retry.SAFE


class AttributeNotFound(Refused):
    """The wallet has no attribute of this name."""


class MultisigRefused(Refused):
    """A multisig message, transaction set or signature was refused."""


class NotSupported(Refused):
    """The server does not know the call, or has it switched off."""

    fault = Fault.OPERATOR


class BlockRefused(Refused):
    """The daemon refused a block or a height."""


WALLET_REFUSALS: Final[Mapping[int, type[Refused]]] = MappingProxyType(
    {
        -2: BadArgument,  # WRONG_ADDRESS
        -3: DaemonNotReady,  # DAEMON_IS_BUSY
        -4: TransferRefused,  # GENERIC_TRANSFER_ERROR
        -5: BadArgument,  # WRONG_PAYMENT_ID
        -6: BadArgument,  # TRANSFER_TYPE
        -7: NotSupported,  # DENIED
        -8: BadArgument,  # WRONG_TXID
        -9: BadArgument,  # WRONG_SIGNATURE
        -10: BadArgument,  # WRONG_KEY_IMAGE
        -11: BadArgument,  # WRONG_URI
        -12: BadArgument,  # WRONG_INDEX
        -13: NoWalletOpen,  # NOT_OPEN
        -14: BadArgument,  # ACCOUNT_INDEX_OUT_OF_BOUNDS
        -15: BadArgument,  # ADDRESS_INDEX_OUT_OF_BOUNDS
        -16: TransferRefused,  # TX_NOT_POSSIBLE
        -17: NotEnoughMoney,  # NOT_ENOUGH_MONEY
        -18: TransferRefused,  # TX_TOO_LARGE
        -19: TransferRefused,  # NOT_ENOUGH_OUTS_TO_MIX
        -20: BadArgument,  # ZERO_DESTINATION
        -21: WalletNotOpened,  # WALLET_ALREADY_EXISTS
        -22: WalletNotOpened,  # INVALID_PASSWORD
        -23: WalletNotOpened,  # NO_WALLET_DIR
        -24: BadArgument,  # NO_TXKEY
        -25: BadArgument,  # WRONG_KEY
        -26: BadArgument,  # BAD_HEX
        -27: BadArgument,  # BAD_TX_METADATA
        -28: MultisigRefused,  # ALREADY_MULTISIG
        -30: MultisigRefused,  # BAD_MULTISIG_INFO
        -31: MultisigRefused,  # NOT_MULTISIG
        -32: BadArgument,  # WRONG_LR
        -33: MultisigRefused,  # THRESHOLD_NOT_REACHED
        -34: MultisigRefused,  # BAD_MULTISIG_TX_DATA
        -35: MultisigRefused,  # MULTISIG_SIGNATURE
        -36: MultisigRefused,  # MULTISIG_SUBMISSION
        -37: NotEnoughMoney,  # NOT_ENOUGH_UNLOCKED_MONEY
        -38: DaemonNotReady,  # NO_DAEMON_CONNECTION
        -45: AttributeNotFound,  # ATTRIBUTE_NOT_FOUND
        -46: BadArgument,  # ZERO_AMOUNT
        -47: BadArgument,  # INVALID_SIGNATURE_TYPE
        -48: NotSupported,  # DISABLED
        -50: BadArgument,  # NONZERO_UNLOCK_TIME
        -32601: NotSupported,  # JSON-RPC: method not found
    }
)

DAEMON_REFUSALS: Final[Mapping[int, type[Refused]]] = MappingProxyType(
    {
        -1: BadArgument,  # WRONG_PARAM
        -2: BlockRefused,  # TOO_BIG_HEIGHT
        -3: BadArgument,  # TOO_BIG_RESERVE_SIZE
        -4: BadArgument,  # WRONG_WALLET_ADDRESS
        -6: BlockRefused,  # WRONG_BLOCKBLOB
        -7: BlockRefused,  # BLOCK_NOT_ACCEPTED
        -9: DaemonNotReady,  # CORE_BUSY
        -10: BlockRefused,  # WRONG_BLOCKBLOB_SIZE
        -11: NotSupported,  # UNSUPPORTED_RPC
        -12: BadArgument,  # MINING_TO_SUBADDRESS
        -13: NotSupported,  # REGTEST_REQUIRED
        -19: NotSupported,  # RESTRICTED
        -32601: NotSupported,  # JSON-RPC: method not found
    }
)
