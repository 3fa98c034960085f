import os
from pathlib import Path

import pytest

from escrowd.domain.secret import Secret
from escrowd.monero.results_wallet import IncomingKind
from escrowd.testing.funder import FUNDER_FILE, FUNDER_PASSWORD
from escrowd.testing.lab import RegtestLab
from escrowd.testing.left_behind import left_behind, running_in
from escrowd.wallets.errors import AlreadyInUse
from escrowd.wallets.running import ProcessIdentity

XMR = 10**12
PASSWORD = Secret("worthless")


async def new_address(lab: RegtestLab, wallet_dir: Path) -> str:
    """Make a wallet that no service owns, and return its address."""
    process = await lab.start_wallet_process(wallet_dir)
    await process.client.create_wallet("stranger", PASSWORD)
    return await process.client.get_address()


async def test_payment_arrives(lab: RegtestLab, wallet_dir: Path) -> None:
    """What the funder pays waits in the pool, is mined with the next block, and is seen by the wallet it went to."""
    process = await lab.start_wallet_process(wallet_dir)
    await process.client.create_wallet("stranger", PASSWORD)
    address = await process.client.get_address()
    txid = await lab.pay(address, 3 * XMR)
    assert txid in await lab.daemon.get_transaction_pool_hashes()
    await lab.mine(1)
    assert txid not in await lab.daemon.get_transaction_pool_hashes()
    await process.client.refresh()
    assert (await process.client.get_balance()).balance == 3 * XMR


async def test_payments_go_together(lab: RegtestLab, wallet_dir: Path) -> None:
    """Many payments at once take one transaction for each fifteen, and each learns its own."""
    address = await new_address(lab, wallet_dir)
    txids = await lab.pay_many([(address, XMR // 100 + index) for index in range(17)])
    assert [txids.index(txid) for txid in txids] == [0] * 15 + [15] * 2


async def test_funder_has_many_outputs(lab: RegtestLab) -> None:
    """The funder of a fresh chain can spend at least forty outputs before anything is mined."""
    async with RegtestLab.start() as fresh:
        client = (await fresh.start_wallet_process(fresh.directory / "funder")).client
        await client.open_wallet(FUNDER_FILE, FUNDER_PASSWORD)
        outputs = await client.incoming_transfers(IncomingKind.AVAILABLE)
        assert sum(output.unlocked for output in outputs) >= 40


async def test_popped_blocks_give_their_transactions_back(lab: RegtestLab, wallet_dir: Path) -> None:
    """A block that is taken off the chain puts its transactions back into the pool."""
    txid = await lab.pay(await new_address(lab, wallet_dir), XMR)
    height = await lab.mine(2)
    assert await lab.pop_blocks(2) == height - 2
    assert txid in await lab.daemon.get_transaction_pool_hashes()
    assert await lab.mine(1) == height - 1


async def test_daemon_comes_back_at_its_place() -> None:
    """A daemon that was killed comes back on the same port and with the same chain."""
    async with RegtestLab.start() as lab:
        endpoint, height = lab.daemon_endpoint, await lab.mine(1)
        await lab.daemon_process.kill()
        assert not lab.daemon_process.is_alive
        await lab.daemon_process.start()
        assert (lab.daemon_endpoint, (await lab.daemon.get_info()).height) == (endpoint, height)


async def test_daemon_publishes_when_asked() -> None:
    """A lab that was asked for notifications has an address to subscribe to, and another has none."""
    async with RegtestLab.start(notifies=True) as lab:
        assert (lab.daemon_process.notification_address or "").startswith("tcp://127.0.0.1:")
    async with RegtestLab.start() as lab:
        assert lab.daemon_process.notification_address is None


async def test_nothing_stays() -> None:
    """A lab that closes leaves no process and no file."""
    async with RegtestLab.start() as lab:
        await lab.start_wallet_process()
        directory = lab.directory
        assert len(running_in(directory)) == 2
    assert running_in(directory) == ()
    assert not directory.exists()


async def test_failing_closer_stops_no_other(tmp_path: Path) -> None:
    """A lab whose test failed, and whose daemon is dead already, still ends everything else."""

    async def fail() -> None:
        async with RegtestLab.start() as lab:
            directories.append(lab.directory)
            process = await lab.start_wallet_process()
            await process.end(patience=0)
            await lab.start_wallet_process()
            await lab.daemon_process.kill()
            raise ZeroDivisionError

    directories = list[Path]()
    with pytest.raises(ZeroDivisionError):
        await fail()
    assert [(directory.exists(), running_in(directory)) for directory in directories] == [(False, ())]


async def test_kept_lab_goes_on(tmp_path: Path) -> None:
    """A lab that is kept goes on with its chain, and two at once in one place are refused."""
    async with RegtestLab.start(keep_in=tmp_path / "kept") as lab:
        height = await lab.mine(3)
        with pytest.raises(AlreadyInUse):
            async with RegtestLab.start(keep_in=tmp_path / "kept"):
                pass
    async with RegtestLab.start(keep_in=tmp_path / "kept") as lab:
        assert (await lab.daemon.get_info()).height == height


def test_own_process_is_no_monero_process() -> None:
    """What is left behind are Monero processes only, so the test runner itself is none."""
    assert ProcessIdentity.of(os.getpid()) not in left_behind()
