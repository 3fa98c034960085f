"""What keeps the watcher from looking at the chain. Nothing is recorded while one of these lasts."""

from escrowd.domain.errors import EscrowdError, Fault, Retry


class WrongChain(EscrowdError):
    """The daemon follows another chain than the one that was watched so far.

    Either it is another daemon, or its chain was reorganised deeper than is followed without a person. Watching goes on
    by itself when the daemon has the known chain again.
    """

    fault = Fault.OPERATOR


class DaemonBehind(EscrowdError):
    """The daemon has not read so far as the watcher has with it, or with another one, before."""

    fault = Fault.MONERO
    retry = Retry.SAFE


class ChainInconsistent(EscrowdError):
    """What the daemon answered does not fit together. It may have changed its chain between two answers."""

    fault = Fault.MONERO
    retry = Retry.SAFE
