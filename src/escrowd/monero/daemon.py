"""monerod, one typed method for each call.

A reply of monerod has a status, and one that is not ``OK`` carries no facts: it becomes an error here, once. Only
``send_raw_transaction`` gives its refusal back as a result, because why a transaction was refused is what was asked.
"""

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from escrowd.monero.errors import DAEMON_REFUSALS, DaemonNotReady, NotSupported, Refused
from escrowd.monero.methods import DAEMON_METHODS
from escrowd.monero.results_daemon import (
    Block,
    BlockHeader,
    DaemonInfo,
    DaemonReply,
    DaemonRpcVersion,
    FeeEstimate,
    FoundBlockHeader,
    GeneratedBlocks,
    HardForkInfo,
    KeyImageStatus,
    KeyImageStatuses,
    PoppedBlocks,
    SubmittedTransaction,
    TransactionPool,
    TransactionPoolHashes,
    Transactions,
)
from escrowd.monero.transport import Connections, Endpoint, HttpTransport, Transport

ReplyT = TypeVar("ReplyT", bound=DaemonReply)


def daemon_client(connections: Connections, endpoint: Endpoint) -> "MoneroDaemon":
    """Make the client of one monerod."""
    return MoneroDaemon(HttpTransport(connections, endpoint, DAEMON_REFUSALS, one_at_a_time=False))


class MoneroDaemon:
    """One monerod.

    Every method raises what :meth:`escrowd.monero.transport.HttpTransport.call` raises, and ``DaemonNotReady`` while
    the daemon is busy or synchronising.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    # --- the daemon ---------------------------------------------------------------------------------------------------

    async def get_info(self) -> DaemonInfo:
        """Ask for the state of the daemon and the tip of its chain. Answered also while it is synchronising."""
        return await self._call("get_info", {}, DaemonInfo)

    async def get_version(self) -> DaemonRpcVersion:
        """Ask for the version of its RPC interface."""
        return await self._call("get_version", {}, DaemonRpcVersion)

    async def hard_fork_info(self, version: int) -> HardForkInfo:
        """Ask from which height on the rules of this version hold, or those of a later one."""
        return await self._call("hard_fork_info", {"version": version}, HardForkInfo)

    async def stop_daemon(self) -> None:
        """Make the daemon save and end. It answers before it has ended."""
        await self._call("stop_daemon", {}, DaemonReply)

    # --- blocks -------------------------------------------------------------------------------------------------------

    async def get_last_block_header(self) -> BlockHeader:
        """Ask for the last block."""
        return (await self._call("get_last_block_header", {}, FoundBlockHeader)).block_header

    async def get_block_header_by_height(self, height: int) -> BlockHeader:
        """Ask for the block of this height, where the first block has height 0.

        Raises:
            BlockRefused: the chain is not that long.

        """
        reply = await self._call("get_block_header_by_height", {"height": height}, FoundBlockHeader)
        return reply.block_header

    async def get_block(self, block: int | str) -> Block:
        """Ask for a block with its transactions' ids, by its height or by its hash.

        Raises:
            BlockRefused: the chain is not that long.
            Refused: no block has this hash.

        """
        wanted = {"hash": block} if isinstance(block, str) else {"height": block}
        return await self._call("get_block", wanted, Block)

    # --- transactions -------------------------------------------------------------------------------------------------

    async def get_transaction_pool_hashes(self) -> tuple[str, ...]:
        """Ask for the ids of all transactions of the pool."""
        return (await self._call("get_transaction_pool_hashes", {}, TransactionPoolHashes)).tx_hashes

    async def get_transaction_pool(self) -> TransactionPool:
        """Ask for all transactions of the pool and the key images that they spend."""
        return await self._call("get_transaction_pool", {}, TransactionPool)

    async def get_transactions(
        self, txids: Sequence[str], *, prune: bool = False, decode_as_json: bool = False
    ) -> Transactions:
        """Ask for transactions of chain and pool. One that is not known is named in ``missed_tx``, and is no error."""
        params = {"txs_hashes": txids, "prune": prune, "decode_as_json": decode_as_json}
        return await self._call("get_transactions", params, Transactions)

    async def get_fee_estimate(self, grace_blocks: int = 0) -> FeeEstimate:
        """Ask for the fee that will still do in ``grace_blocks`` blocks."""
        return await self._call("get_fee_estimate", {"grace_blocks": grace_blocks}, FeeEstimate)

    async def is_key_image_spent(self, key_images: Sequence[str]) -> tuple[KeyImageStatus, ...]:
        """Ask which outputs are spent, by their key images. The answers come in the order asked."""
        reply = await self._call("is_key_image_spent", {"key_images": key_images}, KeyImageStatuses)
        return reply.spent_status

    async def send_raw_transaction(self, tx_as_hex: str, *, do_not_relay: bool = False) -> SubmittedTransaction:
        """Put a signed transaction into the pool and, unless ``do_not_relay``, send it to the peers.

        The same bytes may be sent again at any time: they are accepted in the pool and in the chain alike. A
        transaction that the daemon does not take is no error but a result with ``accepted`` false.
        """
        params = {"tx_as_hex": tx_as_hex, "do_not_relay": do_not_relay}
        name = "send_raw_transaction"
        reply = await self._transport.call(DAEMON_METHODS[name], params, SubmittedTransaction)
        if reply.status != "Failed":
            _check_status(name, reply)
        return reply

    # --- regtest ------------------------------------------------------------------------------------------------------

    async def generateblocks(self, amount: int, address: str) -> GeneratedBlocks:
        """Mine blocks that pay to the address. On a regtest chain only.

        Raises:
            NotSupported: it is a real chain.

        """
        params = {"amount_of_blocks": amount, "wallet_address": address}
        return await self._call("generateblocks", params, GeneratedBlocks)

    async def pop_blocks(self, count: int) -> int:
        """Take the last blocks off the chain and return how many are left. Their transactions go to the pool."""
        return (await self._call("pop_blocks", {"nblocks": count}, PoppedBlocks)).height

    async def flush_txpool(self, txids: Sequence[str]) -> None:
        """Drop these transactions from the pool, or all of them where none is named."""
        await self._call("flush_txpool", {"txids": txids}, DaemonReply)

    async def _call(self, name: str, params: Mapping[str, object], result: type[ReplyT]) -> ReplyT:
        reply = await self._transport.call(DAEMON_METHODS[name], params, result)
        _check_status(name, reply)
        return reply


# ---------------------------------------------------------------------------------------------------------------------

#: The codes that monerod's JSON-RPC methods give for the same troubles (``core_rpc_server_error_codes.h``): a status
#: has none of its own.
_CORE_BUSY: Final = -9
_PAYMENT_REQUIRED: Final = -14
_INTERNAL_ERROR: Final = -5


def _check_status(method: str, reply: DaemonReply) -> None:
    """Raise unless the status is ``OK`` (``CORE_RPC_STATUS_OK`` of ``core_rpc_server_commands_defs.h``)."""
    match reply.status:
        case "OK":
            return
        case "BUSY":
            raise DaemonNotReady(method, _CORE_BUSY, "the daemon is busy")
        case "PAYMENT REQUIRED":
            raise NotSupported(method, _PAYMENT_REQUIRED, "the daemon wants to be paid")
        case reason:
            raise Refused(method, _INTERNAL_ERROR, reason or "the daemon gives no reason")
