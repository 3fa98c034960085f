"""Blocks with their transactions, many in one call: ``/get_blocks.bin``, the call that wallets themselves read with.

It tells where the chain of the daemon parts from the one that the caller knows, leaves out the signatures, and gives
the global index of each output. Transaction ids cannot be derived without the signatures; they stand in the block.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from escrowd.monero.epee import InvalidStorage, Section, decode, encode
from escrowd.monero.errors import DAEMON_REFUSALS, BlockRefused, DaemonNotReady, RubbishReply
from escrowd.monero.methods import DAEMON_METHODS
from escrowd.monero.transport import BinaryTransport, Connections, Endpoint, HttpTransport

ValueT = TypeVar("ValueT")


@dataclass(frozen=True, slots=True)
class FetchedBlock:
    """A block, and its transactions without their signatures, in the order of the block."""

    blob: bytes
    transactions: tuple[bytes, ...]
    #: For the miner's transaction and then each of the others, the global index of each of its outputs.
    output_indices: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class FetchedBlocks:
    """Some blocks in a row."""

    #: Height of the first of them.
    start_height: int
    #: Number of blocks of the daemon's chain.
    chain_height: int
    #: Empty where the caller knows the last block already.
    blocks: tuple[FetchedBlock, ...]


class BlockFeed:
    """Reads blocks from one monerod."""

    def __init__(self, transport: BinaryTransport) -> None:
        self._transport = transport

    async def after(self, block_ids: Sequence[str]) -> FetchedBlocks:
        """Return the blocks that follow the first of these that is in the daemon's chain, and that one before them.

        ``block_ids`` are hex, the newest first, and the last one is the genesis block. About a thousand blocks come at
        once (``COMMAND_RPC_GET_BLOCKS_FAST_MAX_BLOCK_COUNT``).

        Raises:
            BlockRefused: the daemon's chain has another genesis block.
            MoneroError: the call failed.

        """
        return await self._get({"block_ids": b"".join(map(bytes.fromhex, block_ids)), "start_height": 0})

    async def from_height(self, height: int) -> FetchedBlocks:
        """Return the blocks from this height on, which is 1 at least.

        Raises:
            BlockRefused: the chain is not that long.
            MoneroError: the call failed.

        """
        return await self._get({"block_ids": b"", "start_height": max(1, height)})

    async def _get(self, request: dict[str, bytes | int]) -> FetchedBlocks:
        body = await self._transport.call_binary(DAEMON_METHODS[_NAME], encode({**request, "prune": True}))
        # A thousand full blocks are some tenths of a second of work.
        return await asyncio.to_thread(read_blocks, body)


def block_feed(connections: Connections, endpoint: Endpoint) -> BlockFeed:
    """Make the reader of blocks of one monerod, over a connection of its own."""
    return BlockFeed(HttpTransport(connections, endpoint, DAEMON_REFUSALS, one_at_a_time=True))


def read_blocks(body: bytes) -> FetchedBlocks:
    """Read the reply of ``get_blocks.bin``.

    Raises:
        RubbishReply: it is none.
        DaemonNotReady: the daemon is busy.
        BlockRefused: the daemon refused the call.

    """
    try:
        section = decode(body)
        status = _field(section, "status", bytes)
        if status == b"BUSY":
            raise DaemonNotReady(_NAME, _CORE_BUSY, "the daemon is busy")
        if status != b"OK":
            raise BlockRefused(_NAME, _TOO_BIG_HEIGHT, "the chain is not that long, or has another genesis block")
        indices = _sections(section, "output_indices")
        blocks = [_block(block, index) for block, index in zip(_sections(section, "blocks"), indices, strict=True)]
        return FetchedBlocks(
            _field(section, "start_height", int), _field(section, "current_height", int), tuple(blocks)
        )
    except (InvalidStorage, ValueError) as error:
        raise RubbishReply(f"{_NAME} was answered with something that is no reply: {error}") from error


# ---------------------------------------------------------------------------------------------------------------------

_NAME: Final = "get_blocks"
#: ``core_rpc_server_error_codes.h``; the binary calls have a status only.
_CORE_BUSY: Final = -9
_TOO_BIG_HEIGHT: Final = -2


def _block(block: Section, indices: Section) -> FetchedBlock:
    transactions = tuple(_field(each, "blob", bytes) for each in _sections(block, "txs"))
    output_indices = tuple(_numbers(each, "indices") for each in _sections(indices, "indices"))
    if len(output_indices) != 1 + len(transactions):
        raise InvalidStorage("the output indices do not fit the transactions of the block")
    return FetchedBlock(_field(block, "block", bytes), transactions, output_indices)


def _field(section: Section, name: str, kind: type[ValueT]) -> ValueT:
    value = section.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise InvalidStorage(f"{name} is missing, or no {kind.__name__}")
    return value


def _sections(section: Section, name: str) -> list[Section]:
    # epee leaves empty lists out.
    values = section.get(name, [])
    if not isinstance(values, list) or not all(isinstance(each, dict) for each in values):
        raise InvalidStorage(f"{name} is no list of sections")
    return [each for each in values if isinstance(each, dict)]


def _numbers(section: Section, name: str) -> tuple[int, ...]:
    values = section.get(name, [])
    if not isinstance(values, list) or not all(isinstance(each, int) for each in values):
        raise InvalidStorage(f"{name} is no list of numbers")
    return tuple(each for each in values if isinstance(each, int))
