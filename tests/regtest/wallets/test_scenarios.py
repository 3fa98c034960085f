"""What wallet sessions are for, on real 2-of-3 wallets."""

import asyncio
from collections.abc import Sequence

import psutil
import pytest
import structlog

from escrowd.domain.identifiers import EscrowId
from escrowd.domain.parties import WalletRole
from escrowd.testing.fakes import ManualClock
from escrowd.testing.house import LabHouse
from escrowd.testing.lab import RegtestLab
from escrowd.wallets.errors import SessionUnavailable, UnknownEscrow, WalletFileMissing
from escrowd.wallets.process import WalletProcess
from escrowd.wallets.server import WalletServer
from escrowd.wallets.session import Refresh
from tests.wallet_fixtures import Building, Calls, Opening

XMR = 10**12


async def test_new_session_holds_three_wallets_of_the_right_address(build: Building, opened: Opening) -> None:
    """A session opens the three wallets of an escrow in three processes, and each has the escrow's address."""
    house = build(1)
    (escrow,) = house.escrows
    async with opened(house) as running:
        async with running.manager.lease(escrow) as lease:
            addresses = {role: await lease.wallet(role).get_address() for role in WalletRole}
            statuses = [await lease.wallet(role).is_multisig() for role in WalletRole]
        assert addresses == dict.fromkeys(WalletRole, house.sets[escrow].address)
        assert {(status.ready, status.threshold, status.total) for status in statuses} == {(True, 2, 3)}
        assert running.pool.stats().in_use == 3
        assert running.manager.get_stats().active == 1
        holdings = [record.holding for record in running.pool.around.registry.records() if record.holding]
        assert {(holding.escrow, holding.role) for holding in holdings} == {(escrow, role) for role in WalletRole}


async def test_balance_of_a_warm_session_opens_and_closes_nothing(
    build: Building, opened: Opening, calls: Calls, lab: RegtestLab
) -> None:
    """A balance check on an open session makes no open or close call, and refreshes only when the tip has moved."""
    house = build(1)
    (escrow,) = house.escrows
    await lab.pay(house.sets[escrow].address, 2 * XMR)
    await lab.mine(10)
    async with opened(house) as running:
        async with running.manager.lease(escrow) as lease:
            before = (await lease.balance(WalletRole.ARBITER)).balance
        counted = calls.methods.copy()
        async with running.manager.lease(escrow) as lease:
            assert (await lease.balance(WalletRole.ARBITER)).balance == before
        assert calls.since(counted).keys() == {"get_attribute", "get_address", "get_info", "get_balance"}

        await lab.pay(house.sets[escrow].address, XMR)
        await lab.mine(10)
        counted = calls.methods.copy()
        async with running.manager.lease(escrow) as lease:
            balance = await lease.balance(WalletRole.ARBITER)
        assert balance.balance == balance.unlocked_balance == before + XMR
        assert before >= 2 * XMR
        made = calls.since(counted)
        assert made["refresh"] == 1
        assert not {"open_wallet", "close_wallet"} & made.keys()


async def test_balance_shows_pool_money_when_asked_to_look(build: Building, opened: Opening, lab: RegtestLab) -> None:
    """Money in the pool shows in a balance that was told to refresh in any case."""
    house = build(1)
    (escrow,) = house.escrows
    async with opened(house) as running, running.manager.lease(escrow, (WalletRole.BUYER,)) as lease:
        before = await lease.balance(WalletRole.BUYER)
        await lab.pay(house.sets[escrow].address, XMR)
        after = await lease.balance(WalletRole.BUYER, Refresh.ALWAYS)
        assert (after.balance, after.unlocked_balance) == (before.balance + XMR, before.unlocked_balance)
    await lab.mine(1)


async def test_three_escrows_at_once_do_not_collide(build: Building, opened: Opening) -> None:
    """Three escrows used at the same time each answer with their own address, in nine processes."""
    house = build(3)

    async def addresses_of(escrow: str) -> set[str]:
        async with running.manager.lease(escrow) as lease:  # type: ignore[arg-type] # ids of the house
            return {await lease.wallet(role).get_address() for role in lease.roles for _ in range(5)}

    async with opened(house) as running:
        found = await asyncio.gather(*(addresses_of(escrow) for escrow in house.escrows * 2))
        expected = [{house.sets[escrow].address} for escrow in house.escrows * 2]
        assert found == expected
        assert len({address for each in found for address in each}) == 3
        assert running.pool.stats().in_use == 9


async def test_warm_lease_does_not_wait_for_another_escrows_open(build: Building, opened: Opening) -> None:
    """While the wallets of one escrow are being opened, the session of another one is lent at once."""
    house = build(2)
    warm, cold = house.escrows
    async with opened(house) as running:
        await running.manager.get_or_create_session(warm)
        opening = asyncio.create_task(running.manager.get_or_create_session(cold))
        await asyncio.sleep(0)
        assert running.manager.get_stats().opening == 1
        for _ in range(10):
            async with running.manager.lease(warm, timeout=5) as lease:
                assert await lease.wallet(WalletRole.VENDOR).get_address() == house.sets[warm].address
        assert not opening.done()
        await opening


async def test_completed_escrow_gives_its_processes_back(build: Building, opened: Opening) -> None:
    """When an escrow completes its session closes at once: wallets saved, processes free or gone, statistics down."""
    house = build(1)
    (escrow,) = house.escrows
    async with opened(house) as running:
        async with running.manager.lease(escrow) as lease:
            await lease.wallet(WalletRole.BUYER).set_attribute("note", "kept")
        await running.manager.close_session(escrow)
        assert running.manager.get_stats().active == 0
        assert running.pool.stats().in_use == 0
        assert not any(record.holding for record in running.pool.around.registry.records())
        files = {path.name for path in (house.directory / "wallets").iterdir()}
        assert {wallet.filename for wallet in house.sets[escrow].wallets.values()} <= files
        async with running.manager.get_wallet(escrow, WalletRole.BUYER) as wallet:
            assert await wallet.get_attribute("note") == "kept"


async def test_session_beyond_the_capacity_evicts_the_least_recently_used(
    build: Building, opened: Opening, calls: Calls
) -> None:
    """One session more than there is room for closes the one used longest ago, saved, and never a leased one."""
    house = build(3)
    first, second, third = house.escrows
    async with opened(house, max_sessions=2) as running:
        manager = running.manager
        await manager.get_or_create_session(first)
        await manager.get_or_create_session(second)
        async with manager.lease(first):
            await manager.get_or_create_session(third)
            assert {info.escrow for info in manager.list_sessions()} == {first, third}
            assert calls.methods["close_wallet"] == 3
            async with manager.lease(third):
                with pytest.raises(SessionUnavailable, match="all 2 sessions that may be open are in use"):
                    await manager.get_or_create_session(second, timeout=0.2)
        assert {info.escrow for info in manager.list_sessions()} == {first, third}
        stats = manager.get_stats()
        assert (stats.counters.evictions, stats.counters.refusals, stats.active) == (1, 1, 2)


async def test_idle_session_expires_and_one_in_use_does_not(
    build: Building, opened: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a virtual clock: after its lifetime an idle session is saved and closed; one in use stays."""
    house = build(2)
    idle, used = house.escrows
    clock = ManualClock()
    async with opened(house, ttl=7200) as running:
        manager = running.manager
        monkeypatch.setattr(manager, "_clock", clock)
        await manager.get_or_create_session(idle)
        async with manager.lease(used) as lease:
            clock.advance(7200)
            assert await manager.cleanup_stale_sessions() == 1
            assert {info.escrow for info in manager.list_sessions()} == {used}
            assert await lease.wallet(WalletRole.BUYER).get_address() == house.sets[used].address
        assert running.pool.stats().in_use == 3


async def test_thirty_two_tasks_open_a_missing_session_once(build: Building, opened: Opening, calls: Calls) -> None:
    """However many ask for the same missing session, its three wallets are opened once."""
    house = build(1)
    (escrow,) = house.escrows
    async with opened(house) as running:
        await asyncio.gather(*(running.manager.get_or_create_session(escrow) for _ in range(32)))
    assert calls.methods["open_wallet"] == 3


async def test_passwords_show_in_no_log_no_record_and_no_command_line(build: Building, opened: Opening) -> None:
    """Neither our log, nor a file of the run directory, nor a process list holds a wallet's password or a login."""
    house = build(1)
    (escrow,) = house.escrows
    run_directory = house.house().run_directory
    with structlog.testing.capture_logs() as lines:
        async with opened(house) as running, running.manager.lease(escrow) as lease:
            servers = list(running.pool._in_use)
            await lease.wallet(WalletRole.BUYER).store()
            commands = [psutil.Process(server.running.identity.pid).cmdline() for server in processes(servers)]
            files = [path.read_text(errors="replace") for path in run_directory.iterdir()]
    secrets = [wallet.worthless_password for wallet in house.sets[escrow].wallets.values()]
    secrets += [server.endpoint.login.password.reveal() for server in servers if server.endpoint.login]
    assert len(secrets) == 6
    assert len(commands) == 3
    seen = repr(lines) + repr(commands) + "".join(files)
    assert "wallet.opened" in seen
    assert [secret for secret in secrets if secret in seen] == []


def processes(servers: Sequence[WalletServer]) -> list[WalletProcess]:
    return [server for server in servers if isinstance(server, WalletProcess)]


def lose_file(house: LabHouse, escrow: EscrowId, role: WalletRole) -> str:
    """Take the keys file of a wallet away, and return its name."""
    keys = house.directory / "wallets" / f"{house.sets[escrow].wallets[role].filename}.keys"
    keys.rename(keys.with_suffix(".gone"))
    return keys.name


async def test_unknown_escrow_and_missing_files_are_clear_errors(
    build: Building, opened: Opening, calls: Calls
) -> None:
    """Wallets that are not recorded, or none of which is on disk, are named, and nothing is opened."""
    house = build(1)
    (escrow,) = house.escrows
    names = [lose_file(house, escrow, role) for role in WalletRole]
    async with opened(house) as running:
        with pytest.raises(WalletFileMissing, match="|".join(names)):
            await running.manager.get_or_create_session(escrow)
        with pytest.raises(UnknownEscrow, match="esc_none"):
            await running.manager.get_or_create_session("esc_none")  # type: ignore[arg-type] # not an id on purpose
        assert running.manager.get_stats().active == 0
    assert "open_wallet" not in calls.methods


@pytest.mark.parametrize("missing", list(WalletRole))
async def test_two_wallets_need_the_third_to_open(
    build: Building, opened: Opening, calls: Calls, missing: WalletRole
) -> None:
    """From a cold start the two wallets that are left are lent, whichever is gone; who wants the third is told."""
    house = build(1)
    (escrow,) = house.escrows
    name = lose_file(house, escrow, missing)
    left = [role for role in WalletRole if role is not missing]
    async with opened(house) as running:
        async with running.manager.lease(escrow, left) as lease:
            addresses = {await lease.wallet(role).get_address() for role in left}
        assert addresses == {house.sets[escrow].address}
        with pytest.raises(WalletFileMissing, match=name):
            async with running.manager.lease(escrow, (missing,)):
                pytest.fail("a wallet that is gone was lent")
        async with running.manager.lease(escrow, left):
            assert calls.methods["open_wallet"] == 2
