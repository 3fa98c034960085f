"""Three hosted keys on the real engine: what they can do, and what is left after wallets were killed."""

import asyncio
import signal
import stat

import pytest
from nacl.bindings import crypto_scalarmult_ed25519_noclamp

from escrowd.chain.curve import public_key
from escrowd.chain.watched_keys import Lookahead, WatchedKeys
from escrowd.domain.address import MoneroAddress
from escrowd.domain.errors import EscrowdError
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.keying import KeySet, keys_purpose, view_key_purpose
from escrowd.domain.networks import AddressKind, Network
from escrowd.domain.parties import WalletRole
from escrowd.domain.watching import WatchedAddress
from escrowd.monero.results_wallet import KeyKind
from escrowd.monero.versions import Capability
from escrowd.service.crash_points import CrashPoint, hit_by
from escrowd.testing.keying import KeyingHouse, Workshop, filenames
from escrowd.testing.lab import RegtestLab
from escrowd.wallets.caches import ASIDE
from escrowd.wallets.making import FreshSet, restore_keys
from escrowd.wallets.process import WalletProcess
from tests.regtest.keying.conftest import CLOSING, hosted_keys
from tests.wallet_fixtures import Calls

XMR = 10**12


async def balances(workshop: Workshop, keys: KeySet) -> dict[WalletRole, int]:
    """Return what each of the three wallets sees, each of them checked to be what it should be."""
    async with workshop.house.manager.lease(keys.escrow) as lease:
        for role in WalletRole:
            wallet = lease.wallet(role)
            status = await wallet.is_multisig()
            assert (status.multisig, status.ready, status.threshold, status.total) == (True, True, 2, 3)
            assert await wallet.get_address() == keys.address
            view_key = workshop.vault.unseal(keys.sealed_view_key, view_key_purpose(keys.escrow))
            assert await wallet.query_key(KeyKind.VIEW_KEY) == view_key
        return {role: (await lease.balance(role)).balance for role in WalletRole}


async def test_fresh_wallets_cannot_receive_or_are_opened_again(
    house: KeyingHouse, escrow: EscrowId, lab: RegtestLab, calls: Calls
) -> None:
    """Live keys are three wallets that see a deposit alike; they were made open and are never opened again."""
    async with house.open(CLOSING, observer=calls.observe) as workshop:
        keys = await hosted_keys(house, workshop, escrow)
        assert 0 <= keys.restore_height <= (await lab.daemon.get_info()).height
        await lab.pay(keys.address, 2 * XMR)
        await lab.mine(1)
        assert await balances(workshop, keys) == dict.fromkeys(WalletRole, 2 * XMR)
        holdings = [record.holding for record in workshop.house.pool.around.registry.records() if record.holding]
        assert {(each.role, each.filename) for each in holdings} == set(filenames(keys).items())
    assert (calls.methods["create_wallet"], calls.methods["open_wallet"]) == (3, 0)
    # One call for each wallet and step, and no more: each would be felt in the time of a live set-up.
    assert calls.methods["exchange_multisig_keys"] == 2 * calls.methods["make_multisig"] == 6
    assert house.journal.begun == [(escrow, 1, "")]


async def test_wallets_see_all_addresses_that_the_watcher_counts(
    house: KeyingHouse, escrow: EscrowId, lab: RegtestLab
) -> None:
    """New wallets look for a small table of subaddresses where the engine can, also with a new cache."""
    async with house.open(CLOSING) as workshop:
        keys = await hosted_keys(house, workshop, escrow)
        async with workshop.house.manager.lease(escrow) as lease:
            chooses = Capability.SUBADDRESS_LOOKAHEAD in await lease.wallet(WalletRole.BUYER).capabilities()
        await workshop.house.manager.close_session(escrow)
        for each in keys.hosted:
            cache = house.wallet_directory / each.filename
            assert (cache.stat().st_size < 10_000) is chooses
            cache.unlink()
        view_key = workshop.vault.unseal(keys.sealed_view_key, view_key_purpose(escrow))
        watched = WatchedKeys.of(WatchedAddress(escrow, keys.address, view_key, 0), Network.REGTEST, Lookahead())
        await lab.pay_many([(_address(watched, place), XMR) for place in watched.addresses.values()])
        await lab.mine(1)
        async with workshop.house.manager.lease(escrow) as lease:
            for role in WalletRole:
                await lease.wallet(role).refresh()
                seen = await lease.wallet(role).get_balance_of_all_accounts()
                assert {(each.account_index, each.address_index) for each in seen.per_subaddress} == set(
                    watched.addresses.values()
                )


def _address(watched: WatchedKeys, place: tuple[int, int]) -> str:
    (spend_key,) = (each for each, there in watched.addresses.items() if there == place)
    if place == (0, 0):
        kind, view_key = AddressKind.STANDARD, public_key(watched.view_key)
    else:
        kind, view_key = AddressKind.SUBADDRESS, crypto_scalarmult_ed25519_noclamp(watched.view_key, spend_key)
    return MoneroAddress.of_keys(Network.REGTEST, kind, spend_key, view_key).text


async def test_backup_brings_another_wallet_back(house: KeyingHouse, escrow: EscrowId, lab: RegtestLab) -> None:
    """With keys and caches gone, the sealed backups bring back three wallets that see the deposit."""
    async with house.open(CLOSING) as workshop:
        keys = await hosted_keys(house, workshop, escrow)
        await lab.pay(keys.address, XMR)
        await lab.mine(1)
        await workshop.house.manager.close_session(escrow)
        for path in house.wallet_directory.glob(f"{escrow}-*"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            path.unlink()
        for each in keys.hosted:
            restore_keys(
                house.wallet_directory, each, house.vault.unseal_bytes(each.sealed_keys, keys_purpose(each.filename))
            )
        assert await balances(workshop, keys) == dict.fromkeys(WalletRole, XMR)


async def test_second_set_up_waits_for_processes(house: KeyingHouse, escrow: EscrowId) -> None:
    """When a set is finished, the reserve of processes is filled up again, long before its regular check."""
    async with house.open(CLOSING) as workshop:
        pool = workshop.house.pool
        await pool.check_reserve()
        await hosted_keys(house, workshop, escrow)
        async with asyncio.timeout(pool.bounds.check_interval / 2):
            while pool.stats().in_reserve < pool.bounds.minimum:
                await asyncio.sleep(0.01)
        assert pool.stats().in_use == 3


@pytest.mark.parametrize(
    "point", [CrashPoint.K1_CREATED, CrashPoint.K2_PREPARED, CrashPoint.K3_MADE, CrashPoint.K4_EXCHANGED]
)
async def test_killed_wallet_leaves_a_half_made_address(
    point: CrashPoint, house: KeyingHouse, escrow: EscrowId
) -> None:
    """A wallet process that is killed in any round ends the attempt; the next one makes all three wallets anew."""
    async with house.open(CLOSING) as workshop:

        def kill(passed: CrashPoint) -> None:
            wallets = workshop.keyer._live[escrow].wallets
            assert isinstance(wallets, FreshSet)
            if passed is point:
                killed.update({role: wallets.wallet(role).filename for role in WalletRole})
                server = wallets.wallet(WalletRole.VENDOR).server
                assert isinstance(server, WalletProcess)
                server.running.signal(signal.SIGKILL)

        killed: dict[WalletRole, str] = {}
        with hit_by(kill), pytest.raises(EscrowdError):
            await hosted_keys(house, workshop, escrow)
        assert len(killed) == 3
        assert house.journal.records[escrow].keys is None
        assert workshop.house.pool.stats().in_use == 0

        keys = await hosted_keys(house, workshop, escrow)
        assert set(filenames(keys).values()).isdisjoint(killed.values())
        assert workshop.house.pool.stats().in_use == 3
        aside = {name for name in house.files() if name.startswith(f"{ASIDE}/")}
        assert aside == {f"{ASIDE}/{name}.{end}" for name in killed.values() for end in ("keys", "password")}
        assert not any(name in path for name in killed.values() for path in house.files() - aside)
        async with workshop.house.manager.lease(escrow) as lease:
            assert {await lease.wallet(role).get_address() for role in WalletRole} == {keys.address}


async def test_cancelled_set_up_leaves_processes_behind(house: KeyingHouse, escrow: EscrowId) -> None:
    """A set-up that is cancelled while its wallets are made ends their processes."""
    async with house.open(CLOSING) as workshop:
        task = asyncio.create_task(hosted_keys(house, workshop, escrow))
        while workshop.house.pool.stats().in_use != 3:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert workshop.house.pool.stats().in_use == 0
        assert workshop.house.opener.cores.idle == workshop.house.opener.cores.count
