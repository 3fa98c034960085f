"""What monerod answers: the fields that escrowd uses, under Monero's names.

Amounts are piconero, times are Unix seconds. A *height* of a block counts from 0; a chain's ``height`` is the number of
its blocks, so its last block has the height one below. epee leaves empty lists out; those default to ``()``.
"""

from enum import IntEnum
from typing import Final

import msgspec

from escrowd.domain.networks import Network
from escrowd.monero.versions import Release, RpcVersion

#: ``std::numeric_limits<uint64_t>::max()``, as ``HardFork::get_earliest_ideal_height_for_version`` begins.
NO_HEIGHT: Final = 2**64 - 1


class DaemonReply(msgspec.Struct, frozen=True, kw_only=True):
    """What every reply of the daemon has."""

    #: ``OK``, ``BUSY``, or in words why not. With another one than ``OK`` the other fields mean nothing.
    status: str
    #: Whether it comes from a bootstrap daemon, that is, from a stranger.
    untrusted: bool = False


# --- the daemon ------------------------------------------------------------------------------------------------------


class DaemonInfo(DaemonReply, frozen=True, kw_only=True):
    """Answer of ``get_info``."""

    #: Number of blocks of the chain.
    height: int
    top_block_hash: str
    #: Number of blocks that the peers are said to have; 0 once synchronised.
    target_height: int
    #: ``mainnet``, ``stagenet``, ``testnet`` or ``fakechain``.
    nettype: str
    #: Such as ``0.18.0.0-unknown``; empty from a restricted daemon.
    version: str
    #: Started with ``--offline``: it has no peers.
    offline: bool
    #: Whether the daemon itself takes its chain for complete.
    synchronized: bool
    restricted: bool
    #: Peers may have newer blocks that it is fetching.
    busy_syncing: bool
    tx_pool_size: int
    #: Expected hashes for the next block (the lower 64 bits).
    difficulty: int
    outgoing_connections_count: int
    #: Bytes free where the chain is kept; 2^64 - 1 from a restricted daemon.
    free_space: int

    @property
    def network(self) -> Network:
        """The network it follows. Monero calls a regtest chain ``fakechain``."""
        return Network.REGTEST if self.nettype == "fakechain" else Network(self.nettype)

    @property
    def running_release(self) -> Release:
        """The release of the daemon. Raises ``UnknownVersion`` where it does not tell, as a restricted one."""
        return Release.parse(self.version)


class DaemonRpcVersion(DaemonReply, frozen=True, kw_only=True):
    """Answer of ``get_version``."""

    version: int
    #: Whether the daemon was built from a release tag.
    release: bool = False

    @property
    def rpc_version(self) -> RpcVersion:
        """The version, major and minor part told apart."""
        return RpcVersion.unpack(self.version)


class HardForkInfo(DaemonReply, frozen=True, kw_only=True):
    """Answer of ``hard_fork_info`` about one version of the rules."""

    #: The version at the end of the chain, whichever was asked about.
    version: int
    #: The first height of the asked version or a later one; 2^64 - 1 where the daemon knows of none.
    earliest_height: int

    @property
    def planned_height(self) -> int | None:
        """The first height of the asked version; ``None`` where the daemon knows of none."""
        return None if self.earliest_height == NO_HEIGHT else self.earliest_height


# --- blocks ----------------------------------------------------------------------------------------------------------


class BlockHeader(msgspec.Struct, frozen=True, kw_only=True):
    """One block."""

    height: int
    hash: str
    prev_hash: str
    timestamp: int
    #: Number of blocks on top of it.
    depth: int
    orphan_status: bool
    major_version: int
    #: What its miner got, fees included.
    reward: int
    #: Number of transactions besides the miner's.
    num_txes: int
    miner_tx_hash: str = ""


class FoundBlockHeader(DaemonReply, frozen=True, kw_only=True):
    """Answer of ``get_last_block_header`` and ``get_block_header_by_height``."""

    block_header: BlockHeader


class Block(DaemonReply, frozen=True, kw_only=True):
    """Answer of ``get_block``."""

    block_header: BlockHeader
    miner_tx_hash: str
    #: The block as JSON text, the miner's transaction within.
    json: str
    #: Hex.
    blob: str
    #: Without the miner's transaction.
    tx_hashes: tuple[str, ...] = ()


class GeneratedBlocks(DaemonReply, frozen=True, kw_only=True):
    """Answer of ``generateblocks``: the new blocks' ids, and the height of the last of them."""

    height: int
    blocks: tuple[str, ...] = ()


class PoppedBlocks(DaemonReply, frozen=True, kw_only=True):
    """Answer of ``pop_blocks``: the number of blocks that are left."""

    height: int


# --- transactions ----------------------------------------------------------------------------------------------------


class TransactionPoolHashes(DaemonReply, frozen=True, kw_only=True):
    """Answer of ``get_transaction_pool_hashes``."""

    tx_hashes: tuple[str, ...] = ()


class PoolTransaction(msgspec.Struct, frozen=True, kw_only=True):
    """One transaction of the pool."""

    id_hash: str
    #: Hex.
    tx_blob: str
    #: The transaction as JSON text.
    tx_json: str
    fee: int
    weight: int = 0
    receive_time: int
    relayed: bool
    do_not_relay: bool
    #: Whether another transaction was seen that spends one of its inputs.
    double_spend_seen: bool
    #: Whether it came back out of a block that was popped.
    kept_by_block: bool


class PoolKeyImage(msgspec.Struct, frozen=True, kw_only=True):
    """A key image, and the transactions of the pool that spend it."""

    id_hash: str
    txs_hashes: tuple[str, ...] = ()


class TransactionPool(DaemonReply, frozen=True, kw_only=True):
    """Answer of ``get_transaction_pool``."""

    transactions: tuple[PoolTransaction, ...] = ()
    spent_key_images: tuple[PoolKeyImage, ...] = ()


class Transaction(msgspec.Struct, frozen=True, kw_only=True):
    """One transaction, in the chain or in the pool."""

    tx_hash: str
    in_pool: bool
    double_spend_seen: bool
    #: The whole transaction, hex; empty where it was asked for pruned.
    as_hex: str = ""
    #: The transaction without its signatures, hex; only where it was asked for pruned.
    pruned_as_hex: str = ""
    #: Only where JSON was asked for.
    as_json: str = ""
    #: ``None`` in the pool.
    block_height: int | None = None
    block_timestamp: int | None = None
    #: 1 for a transaction of the last block; ``None`` in the pool.
    confirmations: int | None = None
    #: Index of each output among all RingCT outputs of the chain; empty in the pool.
    output_indices: tuple[int, ...] = ()
    #: When the pool got it; ``None`` in the chain.
    received_timestamp: int | None = None


class Transactions(DaemonReply, frozen=True, kw_only=True):
    """Answer of ``get_transactions``: those found, in no promised order, and the ids of those not known."""

    txs: tuple[Transaction, ...] = ()
    missed_tx: tuple[str, ...] = ()


class FeeEstimate(DaemonReply, frozen=True, kw_only=True):
    """Answer of ``get_fee_estimate``."""

    #: Piconero per byte of weight, for the lowest priority.
    fee: int
    #: Fees are rounded up to a multiple of this.
    quantization_mask: int = 1
    #: Piconero per byte of weight for each of the four priorities, lowest first.
    fees: tuple[int, ...] = ()


class KeyImageStatus(IntEnum):
    """Whether an output was spent."""

    UNSPENT = 0
    SPENT_IN_CHAIN = 1
    SPENT_IN_POOL = 2


class KeyImageStatuses(DaemonReply, frozen=True, kw_only=True):
    """Answer of ``is_key_image_spent``, in the order asked."""

    spent_status: tuple[KeyImageStatus, ...] = ()


class SubmittedTransaction(DaemonReply, frozen=True, kw_only=True):
    """Answer of ``send_raw_transaction``: ``OK``, or ``Failed`` with at least one of the flags or no reason at all."""

    reason: str
    #: It was not sent to the peers: as asked, or because pool or chain had it already.
    not_relayed: bool
    #: One of its inputs is spent by another transaction of the chain or the pool.
    double_spend: bool
    fee_too_low: bool
    invalid_input: bool
    invalid_output: bool
    low_mixin: bool
    overspend: bool
    too_big: bool
    too_few_outputs: bool = False
    sanity_check_failed: bool = False
    #: Newer daemons only: it locks its outputs. Blocks of others may hold it all the same.
    nonzero_unlock_time: bool = False
    #: Newer daemons only: its extra field is larger than nodes relay.
    tx_extra_too_big: bool = False

    @property
    def accepted(self) -> bool:
        """Whether the daemon has the transaction now, in its pool or, when sent once more, in its chain."""
        return self.status == "OK"

    @property
    def why_not(self) -> str:
        """Why it was refused, in the words of the daemon, which often are none but the names of the flags."""
        flags = (name for name in _REFUSALS if getattr(self, name))
        return ", ".join([*flags, *([self.reason] if self.reason else [])]) or "no reason is given"


# ---------------------------------------------------------------------------------------------------------------------

#: The flags of a transaction that was refused.
_REFUSALS: Final = (
    "double_spend",
    "fee_too_low",
    "invalid_input",
    "invalid_output",
    "low_mixin",
    "overspend",
    "too_big",
    "too_few_outputs",
    "sanity_check_failed",
    "nonzero_unlock_time",
    "tx_extra_too_big",
)
