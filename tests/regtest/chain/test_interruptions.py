from dataclasses import replace

import pytest
from typing_extensions import override

from escrowd.chain.ports import Progress
from escrowd.domain.errors import EscrowdError
from escrowd.monero.wallet import MoneroClient
from escrowd.testing.watch_log import MemoryWatchLog
from tests.regtest.chain.conftest import RealWallet, Watching, address_of, send

XMR = 10**12
ELSEWHERE = "46WsYtwbSBJcAVTRKKJea6atch3zLjausRxKLe787DjucFsoyvYtHdN2EiVCeJfSFGSGbSeUA1rmJiKsQAJ3maGp8Zn6R4U"


class FailingLog(MemoryWatchLog):
    """Fails at each second record: in turn before it has stored it, and after that."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.failures = 0

    @override
    async def record(self, progress: Progress) -> None:
        self.calls += 1
        fails, is_stored = self.calls % 2 == 1, self.calls % 4 == 1
        if is_stored or not fails:
            await super().record(progress)
        if fails:
            self.failures += 1
            raise EscrowdError("the database went away")


async def look(watching: Watching) -> None:
    """Look until all is known, again after each failure."""
    for _ in range(1000):
        try:
            await watching.look()
        except EscrowdError:
            continue
        return
    pytest.fail("it never ends")


async def test_failing_log_loses_or_doubles_money(
    watching: Watching, wallets: list[RealWallet], payer: MoneroClient
) -> None:
    """Where records fail, stored or not, nothing is lost and nothing is counted twice, over a reorganisation too."""
    log = FailingLog()
    watching.log = log
    watching.settings = replace(watching.settings, most_pairs=1, most_pairs_behind=1)
    watching.restarted()
    await watching.add_all()
    await send(payer, [(wallets[0].wallet_set.address, XMR), (wallets[1].wallet_set.address, XMR)])
    await look(watching)
    assert len((await watching.brought(wallets[0]))[1]) == 1
    await watching.lab.mine(2, wallets[2].wallet_set.address)
    await look(watching)
    await watching.lab.pop_blocks(2)
    await look(watching)
    await watching.lab.mine(3, ELSEWHERE)
    await look(watching)
    await look(watching)
    for wallet in wallets:
        assert await watching.mined(wallet) == await wallet.mined()
    assert log.failures > 10


async def test_restart_makes_the_pool_flicker(
    watching: Watching, wallets: list[RealWallet], payer: MoneroClient
) -> None:
    """What the pool is known to hold stays until the whole pool was looked through again after a restart."""
    first, second, _ = wallets
    await watching.add_all()
    for wallet in (first, second, first):
        await send(payer, [(wallet.wallet_set.address, XMR)])
    await watching.look()
    known = [(await watching.brought(wallet))[1] for wallet in (first, second)]
    assert [len(each) for each in known] == [2, 1]
    watching.settings = replace(watching.settings, most_pairs=1, most_pairs_behind=1)
    watcher = watching.restarted()
    await watcher.advance()
    while watcher.has_more:
        assert [(await watching.brought(wallet))[1] for wallet in (first, second)] == known
        await watcher.advance()
    await watching.assert_as_wallets()
    await watching.lab.mine(1)


async def test_address_added_meanwhile_misses_its_money(
    watching: Watching, wallets: list[RealWallet], payer: MoneroClient
) -> None:
    """A transaction that was looked through in the pool is looked through again for who came after that."""
    first, late, _ = wallets
    await watching.watcher.add(address_of(first.wallet_set))
    await send(payer, [(late.wallet_set.address, XMR)])
    await watching.look()
    await watching.watcher.add(address_of(late.wallet_set, (await watching.lab.daemon.get_info()).height))
    await watching.lab.mine(1)
    await watching.look()
    assert [each.amount for each in await watching.outputs(late)] == [XMR]
