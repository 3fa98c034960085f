"""Caches of wallets are disposable: money moves whatever became of them (findings E5)."""

from collections.abc import Callable
from pathlib import Path

import pytest

from escrowd.domain.escrow.events import Released
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.parties import WalletRole
from escrowd.monero.errors import WalletNotOpened
from escrowd.monero.versions import Capability
from escrowd.testing.lab import RegtestLab
from escrowd.wallets.caches import ASIDE
from tests.engine import has
from tests.regtest.payouts.office import AMOUNT, VENDOR, Office, Trade

TWO, ALL = (WalletRole.BUYER, WalletRole.VENDOR), tuple(WalletRole)


def cut_in_half(cache: Path) -> None:
    content = cache.read_bytes()
    cache.write_bytes(content[: len(content) // 2])


def emptied(cache: Path) -> None:
    cache.write_bytes(b"")


def cache_of(trade: Trade, role: WalletRole) -> Path:
    return trade.office.running.pool.program.wallet_directory / trade.wallets.wallets[role].filename


def moved_aside(trade: Trade, role: WalletRole) -> list[Path]:
    cache = cache_of(trade, role)
    return list((cache.parent / ASIDE).glob(f"{cache.name}.cache-*"))


async def release(trade: Trade) -> None:
    """Pay the deposit to the vendor, and make sure that it got there once."""
    await trade.say(Released(), Who.BUYER)
    assert (await trade.advance()).status is Status.PAYING
    assert (await trade.finish()).status is Status.COMPLETED
    (payout,) = await trade.payouts()
    (one,) = payout.transactions
    assert await trade.office.paid_to(VENDOR, [one.txid]) == [AMOUNT - one.network_fee]
    assert await trade.money_left() == []


@pytest.mark.parametrize(("damage", "roles"), [(cut_in_half, TWO), (emptied, ALL)])
async def test_damaged_caches_are_made_anew(
    rough: Office, damage: Callable[[Path], None], roles: tuple[WalletRole, ...]
) -> None:
    """A payout goes on with new caches; the old ones lie aside, and the log of the escrow says so."""
    async with rough.trade(5) as trade:
        assert (await trade.fund()).status is Status.FUNDED
        await rough.running.manager.get_or_create_session(trade.id)
        await rough.running.manager.close_session(trade.id)
        before = {role: moved_aside(trade, role) for role in ALL}
        for role in roles:
            damage(cache_of(trade, role))
        damaged = {role: cache_of(trade, role).read_bytes() for role in roles}
        await release(trade)
        for role in ALL:
            new = [path for path in moved_aside(trade, role) if path not in before[role]]
            assert [path.read_bytes() for path in new] == ([damaged[role]] if role in roles else [])
        entries = [entry for entry in await trade.log() if entry.type == "inner.CacheRemade"]
        assert len(entries) == len(roles)
        assert {role for role in ALL if any(f'"{role}"' in entry.data for entry in entries)} == set(roles)


async def test_wallets_that_read_a_dead_branch_get_new_caches_and_pay(tmp_path: Path) -> None:
    """A wallet refuses to follow a fork of more than 100 blocks: its cache goes aside, and the payout goes on (E6).

    On a chain of its own: the blocks that are taken back hold nothing of other tests.
    """
    async with RegtestLab.start() as lab, Office.open(lab, tmp_path) as office, office.trade(7) as trade:
        assert (await trade.fund()).status is Status.FUNDED
        await lab.mine(105)
        async with trade.lease() as lease:
            for role in ALL:
                await lease.wallet(role).refresh()
            await lease.store()
        await lab.pop_blocks(105)
        await lab.mine(130, VENDOR.address)
        await trade.say(Released(), Who.BUYER)
        assert (await trade.advance()).status is Status.PAYING
        assert (await trade.finish()).status is Status.COMPLETED
        ((one,),) = [each.transactions for each in await trade.payouts()]
        assert await trade.office.paid_to(VENDOR, [one.txid]) == [AMOUNT - one.network_fee]
        remade = [entry.data for entry in await trade.log() if entry.type == "inner.CacheRemade"]
        if has(Capability.STALE_DATA_FIXED):
            assert len(remade) in (2, 3)
            assert all("reorg exceeds maximum allowed depth" in each for each in remade)
        else:
            # 0.18.0.0 answers OK and stays where it is: it counts as stuck, and pays what came before its block.
            assert remade == []


async def test_wallet_that_does_not_open_without_its_cache_either_is_tried_once(rough: Office) -> None:
    """With a damaged key file one cache at most goes aside; the error names the log, which is kept."""
    async with rough.trade(6) as trade:
        await rough.running.manager.get_or_create_session(trade.id)
        await rough.running.manager.close_session(trade.id)
        role = WalletRole.ARBITER
        keys = cache_of(trade, role).with_name(f"{cache_of(trade, role).name}.keys")
        whole = keys.read_bytes()
        keys.write_bytes(whole[:100])
        try:
            for _ in range(2):
                with pytest.raises(WalletNotOpened, match="the log of its process is kept as ") as caught:
                    async with rough.running.manager.get_wallet(trade.id, role):
                        raise AssertionError("a wallet without keys was opened")
                assert Path(str(caught.value).rpartition(" (code")[0].rpartition(" kept as ")[2]).is_file()
        finally:
            keys.write_bytes(whole)
        assert len(moved_aside(trade, role)) <= 1
        async with rough.running.manager.get_wallet(trade.id, role) as wallet:
            assert await wallet.get_address() == trade.wallets.address
