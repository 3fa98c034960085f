import asyncio
from dataclasses import replace

import pytest

from escrowd.domain.conflicts import NoSuchEscrow
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.keying import HostedKey, KeyingRecord, KeyingRound, MessageConflict, StaleAttempt
from escrowd.domain.parties import WalletRole
from escrowd.domain.wallet_set import HostedWallet, WalletSet
from escrowd.store.database import Database
from escrowd.store.errors import StoreError
from escrowd.store.store import SqlKeyingJournal, SqlShelf, SqlStore, SqlTransaction
from tests.contract.store.samples import escrow_id, key_set

ROUND = next(iter(KeyingRound))


@pytest.fixture
def store(database: Database) -> SqlStore:
    return SqlStore(database, "node")


@pytest.fixture
def shelf(database: Database) -> SqlShelf:
    return SqlShelf(database, "node")


@pytest.fixture
def journal(database: Database) -> SqlKeyingJournal:
    return SqlKeyingJournal(database, "node")


async def test_two_escrows_get_the_same_wallets(store: SqlStore, shelf: SqlShelf) -> None:
    """Each finished set is taken once, the oldest first, however many take at once; then the stock is empty."""
    for number in range(12):
        await shelf.begin(escrow_id(number))
        await shelf.ready(key_set(number))
    assert await shelf.count_ready() == 12

    async def take() -> EscrowId | None:
        async with store.transaction() as tx:
            taken = await _taken(tx)
            await asyncio.sleep(0.001)
            return taken

    first = await take()
    taken = await asyncio.gather(*(take() for _ in range(16)))
    assert first == escrow_id(0)
    assert sorted(each for each in taken if each) == [escrow_id(number) for number in range(1, 12)]
    assert await shelf.count_ready() == 0


async def test_wallets_are_lost_with_the_transaction(store: SqlStore, shelf: SqlShelf) -> None:
    """A set that was taken in a transaction that came to nothing is in the stock again."""
    await shelf.begin(escrow_id(1))
    await shelf.ready(key_set())

    async def fail() -> None:
        async with store.transaction() as tx:
            assert await _taken(tx) == escrow_id(1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with store.transaction() as tx:
        assert await _taken(tx) == escrow_id(1)


async def test_unfinished_wallets_are_taken(store: SqlStore, shelf: SqlShelf) -> None:
    """A set that is being made, or that failed, is never taken, and what failed never becomes ready."""
    for number in (1, 2):
        await shelf.begin(escrow_id(number))
    assert await shelf.left_making() == (escrow_id(1), escrow_id(2))
    for _ in range(2):
        await shelf.failed(escrow_id(1), "the disk is full")
    with pytest.raises(StaleAttempt):
        await shelf.ready(key_set(1))
    async with store.transaction() as tx:
        assert await _taken(tx) is None
    assert await shelf.left_making() == (escrow_id(2),)


async def test_finished_wallets_are_given_up(store: SqlStore, shelf: SqlShelf) -> None:
    """What is ready or taken stays so: it cannot fail, and other keys do not take its place."""
    await shelf.begin(escrow_id(1))
    for _ in range(2):
        await shelf.ready(key_set())
    async with store.transaction() as tx:
        assert await _taken(tx) == escrow_id(1)
    await shelf.ready(key_set())
    for refused in (shelf.failed(escrow_id(1), "no"), shelf.ready(replace(key_set(), address="another"))):
        with pytest.raises(StaleAttempt):
            await refused
    assert await shelf.count_ready() == 0
    async with store.transaction() as tx:
        assert await _taken(tx) is None


async def test_other_node_cleans_up(shelf: SqlShelf, database: Database) -> None:
    """What a node left half made is its own to clear away: the files are on its disk."""
    await shelf.begin(escrow_id(1))
    assert await SqlShelf(database, "other").left_making() == ()


async def test_wallet_is_not_found(store: SqlStore, shelf: SqlShelf) -> None:
    """Of a finished set the service finds the address, what the watcher needs, and each hosted wallet."""
    keys = replace(key_set(), hosted=key_set().hosted[1:])
    await shelf.begin(escrow_id(1))
    with pytest.raises(NoSuchEscrow):
        await store.wallet_set(escrow_id(1))
    await shelf.ready(keys)
    assert await store.wallet_set(escrow_id(1)) == WalletSet(
        escrow_id(1), keys.address, keys.sealed_view_key, keys.restore_height
    )
    assert await store.hosted_wallets(escrow_id(1)) == tuple(
        HostedWallet(escrow_id(1), each.role, each.filename, keys.address, each.sealed_password) for each in keys.hosted
    )
    assert await store.hosted_wallets(escrow_id(2)) == ()


async def _taken(tx: SqlTransaction) -> EscrowId | None:
    wallets = (await tx.provide()).wallets
    return wallets.escrow if wallets else None


# --- the exchange of messages ----------------------------------------------------------------------------------------


async def test_message_is_overwritten(journal: SqlKeyingJournal) -> None:
    """A message of an attempt is stored once: two different ones could be told to two parties."""
    await journal.begin(escrow_id(1), 1, 50, "")
    await journal.store(escrow_id(1), 1, {(ROUND, WalletRole.BUYER): "sealed"})
    with pytest.raises(MessageConflict):
        await journal.store(escrow_id(1), 1, {(ROUND, WalletRole.VENDOR): "new", (ROUND, WalletRole.BUYER): "other"})
    await journal.store(escrow_id(1), 1, {})
    assert await journal.load(escrow_id(1)) == KeyingRecord(1, 50, "", {(ROUND, WalletRole.BUYER): "sealed"})


async def test_attempt_at_keys_is_out_of_turn(journal: SqlKeyingJournal) -> None:
    """Attempts follow one another by number; only the current one takes messages, and none follows a finished one."""
    assert await journal.load(escrow_id(1)) is None
    with pytest.raises(StaleAttempt):
        await journal.begin(escrow_id(1), 2, 50, "")
    await journal.begin(escrow_id(1), 1, 50, "")
    with pytest.raises(StaleAttempt):
        await journal.begin(escrow_id(1), 1, 50, "")
    await journal.begin(escrow_id(1), 2, 60, "a wallet was lost")
    for refused in (
        journal.store(escrow_id(1), 1, {(ROUND, WalletRole.BUYER): "late"}),
        journal.finish(escrow_id(1), 1, key_set()),
    ):
        with pytest.raises(StaleAttempt):
            await refused
    for _ in range(2):
        await journal.finish(escrow_id(1), 2, key_set())
    assert await journal.load(escrow_id(1)) == KeyingRecord(2, 60, "a wallet was lost", {}, key_set())
    for refused in (
        journal.begin(escrow_id(1), 3, 50, ""),
        journal.store(escrow_id(1), 2, {(ROUND, WalletRole.BUYER): "late"}),
        journal.finish(escrow_id(1), 2, replace(key_set(), transcript="other")),
    ):
        with pytest.raises(StaleAttempt):
            await refused


async def test_attempt_is_begun_twice_at_once(journal: SqlKeyingJournal) -> None:
    """Of several who begin the same attempt at the same moment, one begins it."""

    async def begin() -> bool:
        try:
            await journal.begin(escrow_id(1), 1, 50, "")
        except StaleAttempt:
            return False
        return True

    assert sorted(await asyncio.gather(*(begin() for _ in range(8)))) == [False] * 7 + [True]


async def test_keys_of_an_escrow_get_into_the_stock(journal: SqlKeyingJournal, store: SqlStore) -> None:
    """Keys that were made for an escrow that is known already are its own, and never in the stock."""
    await journal.begin(escrow_id(1), 1, 50, "")
    await journal.finish(escrow_id(1), 1, key_set())
    async with store.transaction() as tx:
        assert await _taken(tx) is None
    assert (await store.wallet_set(escrow_id(1))).address == key_set().address


async def test_two_wallets_share_a_file(shelf: SqlShelf) -> None:
    """No two wallets have the same file, whatever escrows they belong to."""
    await shelf.ready(key_set(1))
    theirs = HostedKey(WalletRole.BUYER, key_set(1).hosted[0].filename, "password", "keys")
    with pytest.raises(StoreError):
        await shelf.ready(replace(key_set(2), hosted=(theirs,)))
    assert await shelf.count_ready() == 1
