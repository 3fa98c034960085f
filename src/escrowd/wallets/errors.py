"""Errors of wallet processes and sessions."""

from escrowd.domain.errors import EscrowdError, Fault, Retry


class WalletError(EscrowdError):
    """A wallet session could not be had or kept."""


# --- what the operator has to mend ---------------------------------------------------------------------------------


class NotUnsealable(WalletError):
    """A sealed secret does not open: the vault key is another one, or the sealed text was changed or moved."""

    fault = Fault.OPERATOR


class VaultKeyRefused(WalletError):
    """The vault key is missing, badly formed, or lies where others can read it."""

    fault = Fault.OPERATOR


class AlreadyInUse(WalletError):
    """Another running service uses this directory."""

    fault = Fault.OPERATOR


class ProcessNotStarted(WalletError):
    """A wallet process could not be started."""

    fault = Fault.OPERATOR
    retry = Retry.SAFE


class WalletFileMissing(WalletError):
    """A wallet file that an escrow needs is not in the wallet directory."""

    fault = Fault.OPERATOR


class KeysNotSaved(WalletError):
    """Files of a wallet that is being made could not be written to the medium. Its address must not be used."""

    fault = Fault.OPERATOR
    retry = Retry.SAFE


# --- what went wrong with a wallet or its process ------------------------------------------------------------------


class WrongWallet(WalletError):
    """The open wallet is not the one that it should be. Nothing was asked of it."""

    fault = Fault.OPERATOR
    retry = Retry.SAFE


class ProcessLost(WalletError):
    """The wallet process has ended or can no longer be trusted."""

    fault = Fault.MONERO
    retry = Retry.SAFE


class OtherRelease(WalletError):
    """A wallet process is of another release of Monero than the installed program."""

    fault = Fault.OPERATOR


class StaleLease(WalletError):
    """The lease has ended, so its wallets may be somebody else's by now. The call was not made."""

    fault = Fault.ESCROWD


# --- what the caller may try again, or must not ask ----------------------------------------------------------------


class UnknownEscrow(WalletError):
    """No wallets are recorded for this escrow."""

    fault = Fault.CALLER


class RoleNotHosted(WalletError):
    """No wallet of this role is kept here for this escrow."""

    fault = Fault.CALLER


class SessionUnavailable(WalletError):
    """No session could be had in time."""

    fault = Fault.LOAD
    retry = Retry.SAFE


class TooManyWaiting(SessionUnavailable):
    """The queue for sessions is full."""


class PoolExhausted(SessionUnavailable):
    """All wallet processes that may run are in use."""


class ManagerClosed(SessionUnavailable):
    """The service is stopping and gives out no more sessions."""
