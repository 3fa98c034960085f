"""Looks through blocks: what they pay to addresses, and what they spend of the escrows' outputs."""

from collections.abc import Iterator, Sequence

from escrowd.chain.key_images import KeyImages
from escrowd.chain.pool import Pool
from escrowd.chain.ports import FoundOutput, FoundSpend
from escrowd.chain.scan import Filter, Payment, Prepared, scan
from escrowd.chain.source import SourceBlock
from escrowd.chain.transaction import Transaction
from escrowd.chain.watched_keys import WatchedKeys


def chunk_of(blocks: Sequence[SourceBlock], addresses: int, most_pairs: int) -> tuple[SourceBlock, ...]:
    """Return as many of the first blocks as can be looked through at once, and one at least if there is one."""
    pairs = 0
    for count, block in enumerate(blocks):
        pairs += addresses * sum(_keys(transaction) for transaction, _ in block.transactions)
        if count and pairs > most_pairs:
            return tuple(blocks[:count])
    return tuple(blocks)


def outputs_in(
    blocks: Sequence[SourceBlock], addresses: Sequence[WatchedKeys], kernel: Filter, pool: Pool | None = None
) -> tuple[FoundOutput, ...]:
    """Return what the blocks pay to the addresses. What was looked through in the pool is not looked through again."""
    places = {transaction.txid: place for block in blocks for transaction, place in block.transactions}
    transactions = [transaction for block in blocks for transaction, _ in block.transactions]
    return tuple(
        FoundOutput(payment.keys.escrow, places[payment.transaction.txid].of(output))
        for payment in _payments(transactions, addresses, kernel, pool)
        for output in payment.outputs
    )


def spends_in(blocks: Sequence[SourceBlock], key_images: KeyImages) -> tuple[FoundSpend, ...]:
    """Return what the transactions of the blocks spend of the escrows' outputs."""
    return tuple(
        spend
        for block in blocks
        for transaction, place in block.transactions
        for spend in key_images.spends_of(transaction, place.height)
    )


# ---------------------------------------------------------------------------------------------------------------------


def _keys(transaction: Transaction) -> int:
    extra = transaction.extra
    return max(1, len(extra.public_keys) + min(len(extra.additional_keys), len(transaction.outputs)))


def _payments(
    transactions: Sequence[Transaction], addresses: Sequence[WatchedKeys], kernel: Filter, pool: Pool | None
) -> Iterator[Payment]:
    if pool is None:
        yield from _scan(transactions, addresses, kernel)
        return
    pooled = [each for each in transactions if pool.was_looked_through(each.txid)]
    fresh = [each for each in transactions if not pool.was_looked_through(each.txid)]
    wanted = {each.escrow for each in addresses}
    for transaction in pooled:
        yield from (each for each in pool.payments_of(transaction.txid) if each.keys.escrow in wanted)
    # Who was added since the pool was looked through last.
    yield from _scan(pooled, [each for each in addresses if not pool.is_looked_for(each.escrow)], kernel)
    yield from _scan(fresh, addresses, kernel)


def _scan(transactions: Sequence[Transaction], addresses: Sequence[WatchedKeys], kernel: Filter) -> Iterator[Payment]:
    if addresses:
        yield from scan([Prepared.of(each) for each in transactions], addresses, kernel)
