import pytest

from escrowd.chain.errors import DaemonBehind, WrongChain
from escrowd.chain.ports import BlockId, Cursor, Lane, Progress
from escrowd.monero.errors import MoneroError
from escrowd.monero.wallet import MoneroClient
from escrowd.testing.lab import RegtestLab
from tests.regtest.chain.conftest import RealWallet, Watching, address_of, send

XMR = 10**12
#: Somebody else's address, so that blocks mined to it are other blocks.
ELSEWHERE = "46WsYtwbSBJcAVTRKKJea6atch3zLjausRxKLe787DjucFsoyvYtHdN2EiVCeJfSFGSGbSeUA1rmJiKsQAJ3maGp8Zn6R4U"


async def test_reorganisation_leaves_what_is_not_there(
    watching: Watching, wallets: list[RealWallet], payer: MoneroClient
) -> None:
    """In the pool, in a block, with the block popped and in another block: at each stage all is as real wallets say."""
    lab = watching.lab
    await watching.add_all()
    await watching.assert_as_wallets()
    for wallet in wallets:
        await send(payer, [(wallet.wallet_set.address, XMR)])
    await watching.assert_as_wallets()
    await lab.mine(1)
    await lab.mine(3, wallets[0].wallet_set.address)
    await watching.assert_as_wallets()
    await lab.pop_blocks(4)
    # A wallet forgets blocks that are gone when others come in their place; the watcher forgets them at once.
    await watching.look()
    assert watching.watcher.cursor is not None
    assert watching.watcher.cursor.height == (await lab.daemon.get_info()).height
    assert [len((await watching.brought(each))[1]) for each in wallets] == [1, 1, 1]
    await lab.daemon.flush_txpool([(await lab.daemon.get_transaction_pool_hashes())[0]])
    await lab.mine(6, ELSEWHERE)
    await watching.assert_as_wallets()
    assert any(each.rollback is not None for each in watching.log.progress)


async def test_same_progress_counts_twice(watching: Watching, wallets: list[RealWallet], payer: MoneroClient) -> None:
    """Recording the same progress again changes nothing, with a reorganisation in it too."""
    await watching.add_all()
    await send(payer, [(wallets[1].wallet_set.address, XMR)])
    await watching.look()
    await watching.lab.mine(2, wallets[1].wallet_set.address)
    await watching.look()
    await watching.lab.pop_blocks(1)
    await watching.look()
    await watching.lab.mine(1, ELSEWHERE)
    await watching.look()
    before = [await watching.log.outputs(each.wallet_set.escrow) for each in wallets], watching.log.cursor
    for progress in [watching.log.progress[-1], watching.log.progress[-1]]:
        await watching.log.record(progress)
    assert ([await watching.log.outputs(each.wallet_set.escrow) for each in wallets], watching.log.cursor) == before
    await watching.assert_as_wallets()


async def test_restart_forgets_or_repeats(watching: Watching, wallets: list[RealWallet], payer: MoneroClient) -> None:
    """After a restart it goes on where it was recorded last, through blocks that came and went meanwhile."""
    await watching.add_all()
    await watching.look()
    await send(payer, [(wallets[2].wallet_set.address, XMR)])
    await watching.lab.mine(2, wallets[2].wallet_set.address)
    await watching.look()
    await watching.lab.pop_blocks(2)
    await watching.lab.mine(3, ELSEWHERE)
    watching.restarted()
    done = len(watching.log.progress)
    await watching.assert_as_wallets()
    assert [each.rollback is not None for each in watching.log.progress[done:]].count(True) == 1
    assert watching.watcher.count(Lane.ACTIVE) == 3


async def test_late_address_misses_what_came_before(watching: Watching, wallets: list[RealWallet]) -> None:
    """An address that is added late is looked for from its first block on, and the others are not looked for again."""
    first, late, _ = wallets
    await watching.lab.mine(1, late.wallet_set.address)
    await watching.watcher.add(address_of(first.wallet_set))
    await watching.look()
    recorded = len(watching.log.progress)
    await watching.watcher.add(address_of(late.wallet_set, from_height=1))
    await watching.look()
    assert await watching.mined(late) == await late.mined()
    found = [output.escrow for each in watching.log.progress[recorded:] for output in each.outputs]
    assert set(found) == {late.wallet_set.escrow}
    assert watching.log.addresses[late.wallet_set.escrow].scanned is None


async def test_resting_address_costs_time_at_every_block(
    watching: Watching, wallets: list[RealWallet], payer: MoneroClient
) -> None:
    """What rests is looked for every so many blocks, and then nothing is missing; awake it is in step at once."""
    lab, wallet = watching.lab, wallets[0]
    object.__setattr__(watching.settings, "resting_every", 5)
    await watching.watcher.add(address_of(wallet.wallet_set))
    await watching.look()
    await watching.watcher.rest(wallet.wallet_set.escrow)
    known = await watching.mined(wallet)
    await send(payer, [(wallet.wallet_set.address, XMR)])
    await watching.look()
    await lab.mine(4)
    await watching.look()
    assert await watching.mined(wallet) == known
    await lab.mine(1)
    await watching.look()
    assert await watching.mined(wallet) == await wallet.mined() != known
    await lab.mine(1, wallet.wallet_set.address)
    await watching.watcher.add(address_of(wallet.wallet_set))
    await watching.look()
    assert await watching.mined(wallet) == await wallet.mined()
    assert watching.log.addresses[wallet.wallet_set.escrow].lane is Lane.ACTIVE


async def test_daemon_restart_stops_the_watcher(wallets: list[RealWallet]) -> None:
    """While the daemon is gone looks fail, and when it came back it is read on as if nothing had been."""
    async with RegtestLab.start() as lab:
        watching = Watching(lab, wallets)
        await watching.add_all()
        await watching.look()
        await lab.daemon_process.kill()
        with pytest.raises(MoneroError):
            await watching.watcher.advance()
        await lab.daemon_process.start()
        await lab.mine(1, wallets[0].wallet_set.address)
        await watching.look()
        height = (await lab.daemon.get_info()).height
        assert [each.height for each in await watching.outputs(wallets[0])] == [height - 1]


async def test_other_chain_becomes_fact(watching: Watching, wallets: list[RealWallet]) -> None:
    """On another chain, by its first block or by all blocks that were kept, nothing is recorded at all."""
    await watching.add_all()
    await watching.look()
    cursor = watching.log.cursor
    assert cursor is not None
    recorded = len(watching.log.progress)
    tops = tuple(BlockId(each.height, "11" * 32) for each in cursor.block_ids if each.height)
    for other in (
        Cursor(cursor.height, cursor.time, "22" * 32, (BlockId(0, "22" * 32), *tops)),
        Cursor(cursor.height, cursor.time, cursor.genesis, (cursor.block_ids[0], *tops)),
        Cursor(cursor.height, cursor.time, cursor.genesis, tops),
    ):
        watching.log.cursor = other
        with pytest.raises(WrongChain):
            await watching.restarted().advance()
    watching.log.cursor = Cursor(10_000, 0, cursor.genesis, (BlockId(9_999, "33" * 32),))
    with pytest.raises(DaemonBehind):
        await watching.restarted().advance()
    assert watching.log.progress[recorded:] == []
    watching.log.cursor = cursor
    await watching.restarted().advance()
    assert Progress(rollback=0) not in watching.log.progress


async def test_fresh_chain_has_no_end(wallets: list[RealWallet]) -> None:
    """A chain of only its first block can be watched, and payments in its second block are seen."""
    async with RegtestLab.start() as lab:
        height = (await lab.daemon.get_info()).height
        await lab.pop_blocks(height - 1)
        assert (await lab.daemon.get_info()).height == 1
        watching = Watching(lab, wallets)
        await watching.add_all()
        await watching.look()
        assert watching.log.cursor is not None
        assert watching.log.cursor.height == 1
        await lab.mine(1, wallets[0].wallet_set.address)
        await watching.look()
        assert [each.height for each in await watching.outputs(wallets[0])] == [1]
