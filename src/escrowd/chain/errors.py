"""What keeps the watcher from looking at the chain. Nothing is recorded while one of these lasts."""

from escrowd.chain.transaction import KNOWN_BLOCK_VERSION
from escrowd.domain.errors import EscrowdError, Fault, Retry


class WrongChain(EscrowdError):
    """The daemon follows another chain than the one that was watched so far: the two share the first block at most.

    Watching goes on by itself when the daemon has the known chain again, or when the operator accepts the other one.
    """

    fault = Fault.OPERATOR


class DaemonBehind(EscrowdError):
    """The daemon has not read so far as the watcher has with it, or with another one, before."""

    fault = Fault.MONERO
    retry = Retry.SAFE


class UnreadableBlock(EscrowdError):
    """A block holds something that this version of escrowd cannot read. It could pay an escrow, so watching ends there.

    Within the rules of a known block version that is a bug of escrowd: consensus allows no such transaction. A higher
    block version is a hard fork that this escrowd does not know.
    """

    fault = Fault.ESCROWD
    retry = Retry.SAFE

    def __init__(self, height: int, block_version: int, txid: str | None, why: str) -> None:
        self.height = height
        self.block_version = block_version
        #: Hex; ``None`` where the block itself cannot be read.
        self.txid = txid
        part = "the block itself" if txid is None else f"transaction {txid}"
        super().__init__(f"block {height} of block version {block_version} cannot be read: {part}: {why}")

    @property
    def is_of_a_newer_fork(self) -> bool:
        """Whether the block follows rules that came after this version of escrowd."""
        return self.block_version > KNOWN_BLOCK_VERSION


class ChainInconsistent(EscrowdError):
    """What the daemon answered does not fit together. It may have changed its chain between two answers."""

    fault = Fault.MONERO
    retry = Retry.SAFE
