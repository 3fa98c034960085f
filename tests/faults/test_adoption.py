"""The service is killed with kill -9 while wallets are open; the next start serves them again."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from escrowd.bootstrap import open_wallet_house
from escrowd.domain.parties import WalletRole
from escrowd.monero.errors import MoneroError
from escrowd.monero.transport import Endpoint
from escrowd.testing.house import LabHouse
from escrowd.testing.lab import RegtestLab
from escrowd.wallets.errors import AlreadyInUse, ManagerClosed
from escrowd.wallets.process import Surroundings, WalletProcess
from escrowd.wallets.registry import ProcessRecord, Registry
from escrowd.wallets.running import ProcessIdentity, RunningProcess
from escrowd.wallets.settings import AtExit
from escrowd.wallets.vault import KEY_BYTES, Vault
from tests.doctor_place import write_program
from tests.wallet_fixtures import Building, Calls, Opening, freeze

OPEN_OR_CLOSE = {"open_wallet", "close_wallet"}


@asynccontextmanager
async def killed_service(house: LabHouse, escrows: int) -> AsyncIterator[tuple[ProcessRecord, ...]]:
    """Run the service in a process of its own with sessions open, kill it, and give what it left in the registry."""
    async with house.service(escrows) as service:
        await service.kill()
        yield Registry(house.house().run_directory).records()


def of_role(records: tuple[ProcessRecord, ...], role: WalletRole) -> ProcessRecord:
    return next(record for record in records if record.holding and record.holding.role is role)


def grip(record: ProcessRecord) -> RunningProcess:
    assert record.identity is not None
    running = RunningProcess.grip(record.identity)
    assert running is not None
    return running


async def assert_all_serve(house: LabHouse, opened: Opening, calls: Calls, *, opens: int) -> None:
    """Open the house again and check that each escrow is served, with so many wallets opened for it."""
    async with opened(house) as running:
        for escrow in house.escrows:
            async with running.manager.lease(escrow) as lease:
                addresses = {await lease.wallet(role).get_address() for role in WalletRole}
                assert addresses == {house.sets[escrow].address}
        assert calls.methods["open_wallet"] == opens


async def test_killed_service_finds_its_wallets_open_again(build: Building, opened: Opening, calls: Calls) -> None:
    """After kill -9 of the service, the next start serves the same sessions from the same processes, opening none."""
    house = build(2)
    async with killed_service(house, 2) as records:
        identities = {record.identity for record in records if record.holding}
        assert len(identities) == 6
        async with opened(house) as running:
            assert {session.escrow for session in running.adopted.sessions} == set(house.escrows)
            assert running.manager.get_stats().counters.adoptions == 2
            for escrow in house.escrows:
                async with running.manager.lease(escrow) as lease:
                    for role in WalletRole:
                        assert await lease.wallet(role).get_address() == house.sets[escrow].address
            assert not OPEN_OR_CLOSE & calls.methods.keys()
            in_use = {record.identity for record in running.pool.around.registry.records() if record.holding}
            assert in_use == identities
            assert running.manager.get_stats().counters.hits == 2


async def test_wallet_lost_while_nobody_watched_is_opened_again(build: Building, opened: Opening, calls: Calls) -> None:
    """A wallet process that died with the service is opened again; the two others of its session are adopted."""
    house = build(1)
    async with killed_service(house, 1) as records:
        lost = grip(of_role(records, WalletRole.VENDOR))
        await lost.kill()
        lost.close()
        await assert_all_serve(house, opened, calls, opens=1)


async def test_process_with_the_wrong_wallet_is_ended_and_not_adopted(
    build: Building, opened: Opening, calls: Calls
) -> None:
    """A process that holds another wallet than its record says is ended by its identity, and that wallet reopened."""
    house = build(1)
    async with killed_service(house, 1) as records:
        registry = Registry(house.house().run_directory)
        buyer, vendor = (of_role(records, role) for role in (WalletRole.BUYER, WalletRole.VENDOR))
        registry.write(with_holding(buyer, vendor))
        registry.write(with_holding(vendor, buyer))
        liars = [grip(buyer), grip(vendor)]
        await assert_all_serve(house, opened, calls, opens=2)
        assert [liar.is_alive for liar in liars] == [False, False]
        for liar in liars:
            liar.close()


async def test_hanging_process_is_ended_and_not_adopted(
    build: Building, opened: Opening, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that does not answer at adoption is killed, and its wallet opened again."""
    monkeypatch.setattr("escrowd.wallets.adopt.CHECK_TIMEOUT", 0.5)
    house = build(1)
    async with killed_service(house, 1) as records:
        hanging = grip(of_role(records, WalletRole.ARBITER))
        await freeze(hanging)
        await assert_all_serve(house, opened, calls, opens=1)
        assert not hanging.is_alive
        hanging.close()


async def test_process_without_a_record_is_ended(build: Building, opened: Opening, calls: Calls) -> None:
    """A wallet process of ours that stands in no record is ended, and strangers on this machine are left alone."""
    house = build(1)
    async with killed_service(house, 1) as records:
        forgotten = of_role(records, WalletRole.BUYER)
        running = grip(forgotten)
        Registry(house.house().run_directory).forget(forgotten.name)
        await assert_all_serve(house, opened, calls, opens=1)
        assert not running.is_alive
        running.close()


async def test_reused_process_id_is_not_mistaken_for_ours(build: Building, opened: Opening, calls: Calls) -> None:
    """A record whose process id belongs to another process by now is forgotten, and that process left alone."""
    house = build(1)
    registry = Registry(house.house().run_directory)
    with registry.owned():
        mine = ProcessIdentity.of(os.getpid())
        assert mine is not None
        somebody_elses = ProcessIdentity(mine.pid, mine.started - 1, mine.boot)
        registry.write(ProcessRecord("wallet-old", 1, "sealed", somebody_elses))
    async with opened(house) as running:
        assert running.adopted.ended == 1
        assert "wallet-old" not in {record.name for record in registry.records()}
    assert "open_wallet" not in calls.methods


async def test_processes_sealed_with_another_key_are_ended(build: Building, opened: Opening, calls: Calls) -> None:
    """Without the vault key that sealed their logins, running processes cannot be asked; they are ended, saved."""
    house = build(1)
    async with killed_service(house, 1) as records:
        left = [grip(record) for record in records]
        other = replace(house.house(), vault=Vault(bytes(KEY_BYTES)))
        async with open_wallet_house(other) as running:
            assert running.adopted.sessions == ()
        assert not any(process.is_alive for process in left)
        for process in left:
            process.close()
        await assert_all_serve(house, opened, calls, opens=3)


async def test_process_of_another_release_is_ended_and_its_wallet_opened_by_the_new_program(
    build: Building, opened: Opening, calls: Calls, tmp_path: Path
) -> None:
    """After an upgrade no wallet stays open in the old program, which the version table no longer judges."""
    house = build(1)
    async with killed_service(house, 1) as records:
        left = [grip(record) for record in records]
        of_today = house.house()
        upgraded = tmp_path / "monero-wallet-rpc"
        write_program(upgraded, "Monero 'Fluorine Fermi' (v0.18.5.0-release)")
        other = replace(of_today, program=replace(of_today.program, path=upgraded))
        async with open_wallet_house(other) as running:
            assert running.adopted.sessions == ()
        assert not any(process.is_alive for process in left)
        for process in left:
            process.close()
        await assert_all_serve(house, opened, calls, opens=3)


async def test_graceful_stop_leaves_wallets_saved_and_open(build: Building, opened: Opening, calls: Calls) -> None:
    """A service that stops leaves its wallets open for the next start, and what they know on disk."""
    house = build(1)
    (escrow,) = house.escrows
    async with opened(house, at_exit=AtExit.LEAVE) as running, running.manager.lease(escrow) as lease:
        await lease.wallet(WalletRole.BUYER).set_attribute("note", "kept")
    assert calls.methods["store"] == 3
    before = calls.methods.copy()
    async with opened(house) as running, running.manager.get_wallet(escrow, WalletRole.BUYER) as wallet:
        assert await wallet.get_attribute("note") == "kept"
    assert "open_wallet" not in calls.since(before)


async def test_service_that_stops_while_wallets_open_leaves_nothing_running(
    build: Building, opened: Opening, calls: Calls
) -> None:
    """A service whose patience ends while a session opens gives up that session, with what was open of it already."""
    house = build(1)
    async with opened(house, stop_patience=0.01) as running:
        opening = asyncio.create_task(running.manager.get_or_create_session(house.escrows[0]))
        while calls.methods["open_wallet"] < 1:
            await asyncio.sleep(0.01)
    with pytest.raises(ManagerClosed):
        await opening
    assert running.pool.stats().in_use == 0
    assert running.pool.around.registry.records() == ()
    assert running.pool.around.registry.unknown_processes() == ()


async def test_two_services_never_share_a_directory(build: Building, opened: Opening) -> None:
    """A second service over the same run directory is refused, and told who is there."""
    house = build(1)
    async with opened(house):
        with pytest.raises(AlreadyInUse, match=str(os.getpid())):
            async with opened(house):
                pass


async def test_service_killed_while_wallets_open_leaves_nothing_unknown(
    build: Building, opened: Opening, calls: Calls
) -> None:
    """A service killed in the middle of opening leaves processes in doubt; they are ended, and the wallets open."""
    house = build(1)
    service = asyncio.create_task(house.service(1).__aenter__())
    registry = Registry(house.house().run_directory)
    while len(registry.records()) < 3:
        await asyncio.sleep(0.01)
    owner = int((house.house().run_directory / "owner.lock").read_text())
    identity = ProcessIdentity.of(owner)
    assert identity is not None
    os.kill(identity.pid, signal.SIGKILL)
    with pytest.raises(RuntimeError, match="ended before it was ready"):
        await service
    left = [grip(record) for record in registry.records() if record.identity]
    await assert_all_serve(house, opened, calls, opens=3)
    assert not any(process.is_alive for process in left)
    for process in left:
        process.close()


def with_holding(record: ProcessRecord, other: ProcessRecord) -> ProcessRecord:
    return ProcessRecord(record.name, record.port, record.sealed_login, record.identity, other.holding)


async def test_wallet_that_was_left_with_the_address_of_a_recorder_sees_the_chain_again(
    lab: RegtestLab, build: Building, opened: Opening
) -> None:
    """A service that is killed while it records a submission leaves the wallet another daemon; adoption mends that."""
    house = build(1)
    async with killed_service(house, 1) as records:
        record = of_role(records, WalletRole.VENDOR)
        where = house.house()
        around = Surroundings(lab.connections, lab.daemon_endpoint, Registry(where.run_directory), where.vault)
        left = WalletProcess.grip(record, around)
        assert left is not None
        await left.client.set_daemon(Endpoint("127.0.0.1", 1))
        with pytest.raises(MoneroError):
            await left.client.refresh()
        left.leave()
        await lab.mine(1)
        async with opened(house) as running, running.manager.lease(house.escrows[0]) as lease:
            await lease.wallet(WalletRole.VENDOR).refresh()
            height = (await lab.daemon.get_info()).height
            assert await lease.wallet(WalletRole.VENDOR).get_height() == height
