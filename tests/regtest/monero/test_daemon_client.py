import pytest

from escrowd.domain.networks import Network
from escrowd.monero.errors import BadArgument, BlockRefused, Refused
from escrowd.monero.results_daemon import KeyImageStatus
from escrowd.monero.results_signing import BuiltTransaction
from escrowd.monero.results_wallet import Recipient
from escrowd.monero.versions import NEWEST_FORK, Release
from escrowd.monero.wallet import MoneroClient
from escrowd.testing.daemon_process import RegtestDaemon
from escrowd.testing.funder import FUNDER_ADDRESS
from escrowd.testing.lab import RegtestLab

XMR = 10**12
NOBODY = "0" * 64


async def test_the_daemon_tells_who_it_is(lab: RegtestLab) -> None:
    """A daemon tells its network, its release and its tip, which is its last block."""
    info = await lab.daemon.get_info()
    assert info.network is Network.REGTEST
    assert info.running_release >= Release(0, 18, 0, 0)
    assert (info.offline, info.synchronized, info.untrusted) == (True, True, False)
    assert (await lab.daemon.get_version()).rpc_version.major == 3
    last = await lab.daemon.get_last_block_header()
    assert (last.height, last.hash) == (info.height - 1, info.top_block_hash)


async def test_the_daemon_tells_of_hard_forks(lab: RegtestLab) -> None:
    """A daemon tells the fork of its chain, the height of one that it knows, and that it knows of no later one."""
    later = await lab.daemon.hard_fork_info(NEWEST_FORK + 1)
    assert (later.version, later.planned_height) == (NEWEST_FORK, None)
    # A private chain begins at the newest fork with its second block, and that counts for all before.
    assert (await lab.daemon.hard_fork_info(2)).planned_height == 1
    assert (await lab.daemon.hard_fork_info(NEWEST_FORK)).planned_height == 1


async def test_a_block_is_the_same_by_height_and_by_hash(lab: RegtestLab) -> None:
    """Header, height and hash all lead to one block, and the blocks are chained."""
    mined = await lab.daemon.generateblocks(2, FUNDER_ADDRESS)
    header = await lab.daemon.get_block_header_by_height(mined.height)
    assert header.hash == mined.blocks[-1]
    assert header.prev_hash == mined.blocks[0]
    by_height, by_hash = await lab.daemon.get_block(mined.height), await lab.daemon.get_block(header.hash)
    assert by_height == by_hash
    assert by_height.block_header.hash == header.hash
    assert by_height.miner_tx_hash == header.miner_tx_hash


async def test_a_block_that_is_not_there_is_refused(lab: RegtestLab) -> None:
    """The height after the last block, a foreign hash and rubbish are each an error."""
    height = (await lab.daemon.get_info()).height
    with pytest.raises(BlockRefused):
        await lab.daemon.get_block_header_by_height(height)
    with pytest.raises(BlockRefused):
        await lab.daemon.get_block(height)
    with pytest.raises(BadArgument):
        await lab.daemon.get_block("rubbish")
    with pytest.raises(Refused):
        await lab.daemon.get_block(NOBODY)


async def test_blocks_are_mined_to_primary_addresses_only(lab: RegtestLab, fresh: MoneroClient) -> None:
    """Rubbish and a subaddress get no block."""
    height = (await lab.daemon.get_info()).height
    (subaddress,) = (await fresh.create_address(0)).addresses
    for address in ("4rubbish", subaddress):
        with pytest.raises(BadArgument):
            await lab.daemon.generateblocks(1, address)
    assert (await lab.daemon.get_info()).height == height


async def test_a_popped_block_gives_its_transactions_back(lab: RegtestLab, fresh: MoneroClient) -> None:
    """After a pop the chain is shorter, and what was mined is in the pool again until it is flushed."""
    txid = await lab.pay(await fresh.get_address(), XMR)
    height = await lab.mine(1)
    assert await lab.daemon.pop_blocks(1) == height - 1
    (transaction,) = [each for each in (await lab.daemon.get_transaction_pool()).transactions if each.id_hash == txid]
    assert transaction.kept_by_block
    await lab.mine(1)
    assert txid not in await lab.daemon.get_transaction_pool_hashes()


async def test_a_transaction_is_found_in_pool_and_chain(lab: RegtestLab, fresh: MoneroClient) -> None:
    """A transaction tells where it is; one that nobody knows is named as missing."""
    txid = await lab.pay(await fresh.get_address(), XMR)
    found = await lab.daemon.get_transactions([txid, NOBODY])
    assert found.missed_tx == (NOBODY,)
    (waiting,) = found.txs
    assert (waiting.in_pool, waiting.block_height, waiting.confirmations, waiting.output_indices) == (
        True,
        None,
        None,
        (),
    )
    assert len(bytes.fromhex(waiting.as_hex)) > 1000
    height = await lab.mine(2)
    (mined,) = (await lab.daemon.get_transactions([txid], prune=True, decode_as_json=True)).txs
    assert (mined.in_pool, mined.block_height, mined.confirmations) == (False, height - 2, 2)
    assert len(mined.output_indices) == 2
    assert (mined.as_hex, mined.as_json[0]) == ("", "{")
    assert txid in (await lab.daemon.get_block(height - 2)).tx_hashes


async def single_output(lab: RegtestLab, client: MoneroClient) -> MoneroClient:
    """Pay the wallet one output that it can spend."""
    await lab.pay(await client.get_address(), XMR)
    await lab.mine(10)
    await client.refresh()
    return client


async def unsent(client: MoneroClient, amount: int) -> BuiltTransaction:
    """Build a transaction that nobody has seen."""
    return await client.transfer([Recipient(FUNDER_ADDRESS, amount)], do_not_relay=True)


async def test_of_two_transactions_for_one_output_one_is_refused(lab: RegtestLab, fresh: MoneroClient) -> None:
    """The second spend of an output is refused as a double spend, in pool and chain, and the first stays welcome."""
    client = await single_output(lab, fresh)
    first, second = await unsent(client, XMR // 2), await unsent(client, XMR // 4)
    (image,) = first.spent_key_images.key_images
    assert second.spent_key_images == first.spent_key_images
    assert await lab.daemon.is_key_image_spent([image, NOBODY]) == (KeyImageStatus.UNSPENT, KeyImageStatus.UNSPENT)

    assert (await lab.daemon.send_raw_transaction(first.tx_blob)).accepted
    pool = await lab.daemon.get_transaction_pool()
    assert [each.txs_hashes for each in pool.spent_key_images if each.id_hash == image] == [(first.tx_hash,)]
    for status in (KeyImageStatus.SPENT_IN_POOL, KeyImageStatus.SPENT_IN_CHAIN):
        assert await lab.daemon.is_key_image_spent([image]) == (status,)
        refused = await lab.daemon.send_raw_transaction(second.tx_blob)
        assert (refused.accepted, refused.double_spend) == (False, True)
        again = await lab.daemon.send_raw_transaction(first.tx_blob)
        assert (again.accepted, again.not_relayed) == (True, True)
        await lab.mine(1)


async def test_a_flushed_transaction_may_come_back(lab: RegtestLab, fresh: MoneroClient) -> None:
    """A transaction that dropped out of the pool is gone, leaves its output unspent, and is accepted again."""
    built = await unsent(await single_output(lab, fresh), XMR // 2)
    assert (await lab.daemon.send_raw_transaction(built.tx_blob, do_not_relay=True)).not_relayed
    await lab.daemon.flush_txpool([built.tx_hash])
    assert (await lab.daemon.get_transactions([built.tx_hash])).missed_tx == (built.tx_hash,)
    assert await lab.daemon.is_key_image_spent(built.spent_key_images.key_images) == (KeyImageStatus.UNSPENT,)
    assert (await lab.daemon.send_raw_transaction(built.tx_blob)).accepted
    await lab.mine(1)


async def test_what_is_no_transaction_is_not_accepted(lab: RegtestLab) -> None:
    """Bytes that are no transaction are refused as a result, and ids that are none as an error."""
    for rubbish in ("00", "rubbish"):
        assert not (await lab.daemon.send_raw_transaction(rubbish)).accepted
    with pytest.raises(Refused):
        await lab.daemon.get_transactions(["rubbish"])
    with pytest.raises(Refused):
        await lab.daemon.is_key_image_spent(["rubbish"])
    with pytest.raises(Refused):
        await lab.daemon.flush_txpool(["rubbish"])


async def test_asking_for_nothing_answers_nothing(lab: RegtestLab) -> None:
    """No ids and no key images give empty answers."""
    assert (await lab.daemon.get_transactions([])).txs == ()
    assert await lab.daemon.is_key_image_spent([]) == ()


async def test_fees_rise_with_the_priority(lab: RegtestLab) -> None:
    """There is a fee for each of the four priorities, the lowest first."""
    estimate = await lab.daemon.get_fee_estimate()
    assert len(estimate.fees) == 4
    assert sorted(estimate.fees) == list(estimate.fees)
    assert estimate.fee == estimate.fees[0] > 0
    assert estimate.quantization_mask > 0


async def test_stopping_the_daemon_ends_its_process(lab: RegtestLab) -> None:
    """stop_daemon answers, and then the process ends by itself."""
    async with RegtestDaemon(lab.directory / "stopped-daemon", lab.connections) as daemon:
        await daemon.rpc.stop_daemon()
        process = daemon._process
        assert process is not None
        assert await process.wait(30)
