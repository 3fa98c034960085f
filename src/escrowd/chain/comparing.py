"""Compares what was watched with the chain of a daemon: for the watcher, and beside it for commands and the doctor."""

from collections.abc import Collection

from escrowd.chain.errors import DaemonBehind, UnreadableBlock, WrongChain
from escrowd.chain.reading import Unreadable
from escrowd.chain.source import Tip
from escrowd.chain.transaction import block_version, parse_block, parse_transaction
from escrowd.domain.watching import DENSE_BLOCK_IDS, BlockId, Cursor
from escrowd.monero.daemon import MoneroDaemon


def check_length(cursor: Cursor, chain_height: int) -> None:
    """Make sure that a chain is not so short that the daemon must have the rest of it still to read.

    Raises:
        DaemonBehind: it is.

    """
    if chain_height + DENSE_BLOCK_IDS < cursor.height:
        raise _behind(cursor, chain_height)


def check_common(cursor: Cursor, chain_height: int, common: BlockId | None) -> None:
    """Make sure that a chain may be followed from the newest block that is known of it, without an operator.

    Raises:
        WrongChain: it is another chain. Two private chains have the first block in common, and no more.
        DaemonBehind: it parts from what was seen far below, and is shorter: the daemon may have the rest still to read.

    """
    if common not in cursor.block_ids or (common.height == 0 and cursor.height > 1 + DENSE_BLOCK_IDS):
        raise WrongChain(f"of the {cursor.height} blocks that were watched the daemon has the first one at most")
    if cursor.height - 1 - common.height > DENSE_BLOCK_IDS and chain_height < cursor.height:
        raise _behind(cursor, chain_height)


def check_rest(cursor: Cursor, tip: Tip, common: BlockId) -> None:
    """Make sure that a daemon which is still reading the chain has not just the beginning of what was watched.

    Such a daemon was set back, or is another one that lags: what it lacks is no reorganisation.

    Raises:
        DaemonBehind: it has; the deposits in the blocks that it lacks stay as they are.

    """
    if not tip.is_synchronized and common.hash == tip.hash and tip.height < cursor.height:
        raise _behind(cursor, tip.height)


async def newest_common(daemon: MoneroDaemon, cursor: Cursor) -> BlockId | None:
    """Return the newest block of those that are known from watching that the daemon has, too; ``None`` for none."""
    height = (await daemon.get_info()).height
    ids = [each for each in cursor.block_ids if each.height < height]
    # What follows a common block is common up to the fork, and nothing is behind it.
    low, high = 0, len(ids)
    while low < high:
        middle = (low + high) // 2
        each = ids[middle]
        if (await daemon.get_block_header_by_height(each.height)).hash == each.hash:
            low = middle + 1
        else:
            high = middle
    return ids[low - 1] if low else None


async def unreadable_at(daemon: MoneroDaemon, height: int, passed_over: Collection[str] = ()) -> UnreadableBlock | None:
    """Read the block of a height as the watcher would, and return what keeps it from being read, if anything does."""
    blob = bytes.fromhex((await daemon.get_block(height)).blob)
    try:
        block = parse_block(blob)
    except Unreadable as error:
        return UnreadableBlock(height, block_version(blob), None, str(error))
    txids = [each for each in block.txids if each not in passed_over]
    found = await daemon.get_transactions(txids, prune=True) if txids else None
    for each in found.txs if found else ():
        try:
            parse_transaction(each.tx_hash, bytes.fromhex(each.pruned_as_hex or each.as_hex))
        except Unreadable as error:
            return UnreadableBlock(height, block.header.version, each.tx_hash, str(error))
    return None


# ---------------------------------------------------------------------------------------------------------------------


def _behind(cursor: Cursor, chain_height: int) -> DaemonBehind:
    return DaemonBehind(f"the daemon has {chain_height} blocks, and {cursor.height} were scanned before")
