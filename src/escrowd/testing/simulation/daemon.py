"""The simulated monerod: the methods that the service calls, answered from the simulated chain."""

from collections.abc import Mapping, Sequence
from typing import Final, cast

from escrowd.chain.reading import Unreadable
from escrowd.monero.errors import BlockRefused
from escrowd.monero.methods import DAEMON_METHODS
from escrowd.monero.results_daemon import (
    BlockHeader,
    DaemonInfo,
    DaemonReply,
    DaemonRpcVersion,
    FeeEstimate,
    FoundBlockHeader,
    KeyImageStatus,
    KeyImageStatuses,
    PoolKeyImage,
    PoolTransaction,
    SubmittedTransaction,
    Transaction,
    TransactionPool,
    TransactionPoolHashes,
    Transactions,
)
from escrowd.testing.simulation.chain import Refusal, SimulatedChain
from escrowd.testing.simulation.faults import Faults, Place
from escrowd.testing.simulation.spending import FEE_PER_BYTE, MULTIPLES
from escrowd.testing.simulation.transactions import digest, txid_of_raw
from escrowd.testing.simulation.transport import Answer

Params = Mapping[str, object]


class SimulatedDaemon:
    """One daemon, synchronised, of a private chain. It is down when the faults say so."""

    def __init__(self, chain: SimulatedChain, faults: Faults, *, is_new: bool = False) -> None:
        self._is_new = is_new
        self._chain = chain
        self._faults = faults

    @property
    def place(self) -> Place:
        """It is a daemon."""
        return Place.DAEMON

    @property
    def is_up(self) -> bool:
        """Whether it runs."""
        return not self._faults.daemon_is_down

    def die(self) -> None:
        """Go down. What it has is on disk."""
        self._faults.daemon_is_down = True

    def answer(self, method: str) -> Answer:
        """Return who answers the method."""
        if method not in DAEMON_METHODS:
            raise AssertionError(f"monerod has no method {method}")
        return cast("Answer", getattr(self, method))

    def get_info(self, _params: Params) -> DaemonInfo:
        """Tell how it is."""
        return DaemonInfo(
            status="OK",
            height=self._chain.height,
            top_block_hash=self._chain.tip.hash,
            target_height=0,
            nettype="fakechain",
            version="0.18.5.3-unknown" if self._is_new else "0.18.0.0-unknown",
            offline=True,
            synchronized=True,
            restricted=False,
            busy_syncing=False,
            tx_pool_size=len(self._chain.pool),
            difficulty=1,
            outgoing_connections_count=0,
            free_space=2**40,
        )

    def get_version(self, _params: Params) -> DaemonRpcVersion:
        """Tell the version."""
        return DaemonRpcVersion(status="OK", version=3 << 16 | (16 if self._is_new else 10))

    def get_last_block_header(self, _params: Params) -> FoundBlockHeader:
        """Tell the last block."""
        return FoundBlockHeader(status="OK", block_header=self._header(self._chain.height - 1))

    def get_block_header_by_height(self, params: Params) -> FoundBlockHeader:
        """Tell a block."""
        height = cast("int", params["height"])
        if height >= self._chain.height:
            raise BlockRefused("get_block_header_by_height", -2, _TOO_HIGH.format(height, self._chain.height - 1))
        return FoundBlockHeader(status="OK", block_header=self._header(height))

    def get_fee_estimate(self, _params: Params) -> FeeEstimate:
        """Tell the fee."""
        fees = tuple(FEE_PER_BYTE * multiple for multiple in MULTIPLES[1:])
        return FeeEstimate(status="OK", fee=FEE_PER_BYTE, quantization_mask=1, fees=fees)

    def is_key_image_spent(self, params: Params) -> KeyImageStatuses:
        """Tell what is spent."""
        images = cast("Sequence[str]", params["key_images"])
        return KeyImageStatuses(status="OK", spent_status=tuple(map(self._spent, images)))

    def get_transaction_pool_hashes(self, _params: Params) -> TransactionPoolHashes:
        """List the pool."""
        return TransactionPoolHashes(status="OK", tx_hashes=tuple(self._chain.pool))

    def get_transaction_pool(self, _params: Params) -> TransactionPool:
        """Show the pool."""
        transactions = [self._chain.known[txid] for txid in self._chain.pool]
        return TransactionPool(
            status="OK",
            transactions=tuple(
                PoolTransaction(
                    id_hash=each.txid,
                    tx_blob=each.raw,
                    tx_json="{}",
                    fee=each.fee,
                    weight=len(each.raw) // 2,
                    receive_time=self._chain.tip.time,
                    relayed=True,
                    do_not_relay=False,
                    double_spend_seen=each.txid in self._chain.disputed,
                    kept_by_block=False,
                )
                for each in transactions
            ),
            spent_key_images=tuple(
                PoolKeyImage(id_hash=image, txs_hashes=(each.txid,))
                for each in transactions
                for image in each.key_images
            ),
        )

    def get_transactions(self, params: Params) -> Transactions:
        """Find transactions."""
        wanted = cast("Sequence[str]", params["txs_hashes"])
        found = [each for each in wanted if each in self._chain.height_of or each in self._chain.pool]
        return Transactions(
            status="OK",
            txs=tuple(map(self._transaction, found)),
            missed_tx=tuple(each for each in wanted if each not in found),
        )

    def send_raw_transaction(self, params: Params) -> SubmittedTransaction:
        """Take a transaction into the pool."""
        try:
            txid = txid_of_raw(str(params["tx_as_hex"]))
        except Unreadable:
            return _submitted(reason="Sanity check failed", sanity_check_failed=True)
        transaction = self._chain.known.get(txid) or self._chain.submitted.get(txid)
        if transaction is None:
            return _submitted(invalid_input=True)
        had_it = txid in self._chain.pool or txid in self._chain.height_of
        is_double = self._chain.rival_of(transaction) is not None
        in_chain = any(image in self._chain.spent_by for image in transaction.key_images)
        refusal = self._chain.send(transaction)
        if refusal is None:
            return _submitted(reason="Not relayed", not_relayed=True) if had_it else _submitted(status="OK")
        # A rival of the chain makes it an invalid input, too (``handle_incoming_tx``).
        is_invalid = refusal is Refusal.INVALID_INPUT or in_chain
        return _submitted(double_spend=is_double, invalid_input=is_invalid)

    def flush_txpool(self, params: Params) -> DaemonReply:
        """Drop transactions from the pool."""
        for txid in cast("Sequence[str]", params["txids"]):
            self._chain.forget(txid)
        return DaemonReply(status="OK")

    # --- private ------------------------------------------------------------------------------------------------------

    def _header(self, height: int) -> BlockHeader:
        block = self._chain.blocks[height]
        return BlockHeader(
            height=height,
            hash=block.hash,
            prev_hash=self._chain.blocks[height - 1].hash if height else "00" * 32,
            timestamp=block.time,
            depth=self._chain.height - 1 - height,
            orphan_status=False,
            major_version=16,
            reward=_REWARD,
            num_txes=len(block.txids),
            miner_tx_hash=digest("miner", block.hash),
        )

    def _spent(self, key_image: str) -> KeyImageStatus:
        if key_image in self._chain.spent_by:
            return KeyImageStatus.SPENT_IN_CHAIN
        in_pool = self._chain.spender_of(key_image) is not None
        return KeyImageStatus.SPENT_IN_POOL if in_pool else KeyImageStatus.UNSPENT

    def _transaction(self, txid: str) -> Transaction:
        height = self._chain.height_of.get(txid)
        transaction = self._chain.known[txid]
        return Transaction(
            tx_hash=txid,
            in_pool=height is None,
            double_spend_seen=txid in self._chain.disputed,
            as_hex=transaction.raw,
            block_height=height,
            block_timestamp=None if height is None else self._chain.blocks[height].time,
            confirmations=None if height is None else self._chain.height - height,
            output_indices=() if height is None else self._chain.indices_of(transaction),
            received_timestamp=self._chain.tip.time if height is None else None,
        )


# ---------------------------------------------------------------------------------------------------------------------


def _submitted(
    *,
    status: str = "",
    reason: str = "",
    not_relayed: bool = False,
    double_spend: bool = False,
    invalid_input: bool = False,
    sanity_check_failed: bool = False,
) -> SubmittedTransaction:
    return SubmittedTransaction(
        status=status or ("OK" if not_relayed else "Failed"),
        reason=reason,
        not_relayed=not_relayed,
        double_spend=double_spend,
        fee_too_low=False,
        invalid_input=invalid_input,
        invalid_output=False,
        low_mixin=False,
        overspend=False,
        too_big=False,
        sanity_check_failed=sanity_check_failed,
    )


_TOO_HIGH: Final = "Requested block height: {} greater than current top block height: {}"
#: The tail emission, in piconero.
_REWARD: Final = 600_000_000_000
