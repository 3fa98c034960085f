"""What happens to a wallet process, happens to nobody's money: each fault is noticed, and the next lease works."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from escrowd.bootstrap import RunningHouse
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.parties import WalletRole
from escrowd.monero.errors import WALLET_REFUSALS, OutcomeUnknown, Unreachable, WalletNotSaved
from escrowd.monero.methods import WALLET_METHODS
from escrowd.monero.transport import HttpTransport
from escrowd.monero.wallet import MoneroClient
from escrowd.testing.fault_proxy import Fault, FaultProxy
from escrowd.testing.house import LabHouse
from escrowd.wallets.errors import ProcessLost, StaleLease
from escrowd.wallets.process import WalletProcess
from tests.wallet_fixtures import Building, Calls, Opening, freeze


def process_of(running: RunningHouse, escrow: EscrowId, role: WalletRole) -> WalletProcess:
    session = running.manager._slots[escrow].open_session
    server = session.wallets[role].server
    assert isinstance(server, WalletProcess)
    return server


async def assert_all_answer(running: RunningHouse, house: LabHouse, escrow: EscrowId) -> None:
    async with running.manager.lease(escrow) as lease:
        for role in WalletRole:
            assert await lease.wallet(role).get_address() == house.sets[escrow].address
            filename = house.sets[escrow].wallets[role].filename
            assert await lease.wallet(role).get_attribute("escrowd.wallet") == filename


@asynccontextmanager
async def one_session(build: Building, opened: Opening, **settings: float) -> AsyncIterator[
    tuple[LabHouse, EscrowId, RunningHouse]
]:  # fmt: skip
    house = build(1)
    (escrow,) = house.escrows
    async with opened(house, **settings) as running:
        await running.manager.get_or_create_session(escrow)
        yield house, escrow, running


async def test_killed_process_is_replaced_and_the_others_are_kept(
    build: Building, opened: Opening, calls: Calls
) -> None:
    """After kill -9 of one wallet process the next lease opens that wallet again, and only that one."""
    async with one_session(build, opened) as (house, escrow, running):
        killed = process_of(running, escrow, WalletRole.BUYER)
        kept = process_of(running, escrow, WalletRole.VENDOR)
        killed.running.signal(signal.SIGKILL)
        await killed.running.wait(5)
        await assert_all_answer(running, house, escrow)
        assert calls.methods["open_wallet"] == 4
        assert process_of(running, escrow, WalletRole.VENDOR) is kept
        assert process_of(running, escrow, WalletRole.BUYER) is not killed
        assert running.manager.get_stats().counters.repairs == 1


async def test_hanging_process_is_killed_and_replaced(build: Building, opened: Opening) -> None:
    """A wallet process that hangs is not waited for: it is killed, and the next lease has another one."""
    async with one_session(build, opened, check_timeout=0.5) as (house, escrow, running):
        hanging = process_of(running, escrow, WalletRole.ARBITER)
        await freeze(hanging.running)
        await assert_all_answer(running, house, escrow)
        assert not hanging.is_alive
        assert process_of(running, escrow, WalletRole.ARBITER) is not hanging


async def test_call_that_hangs_leaves_its_outcome_unknown_and_its_process_dead(
    build: Building, opened: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A time-out of a call that changes state means unknown; the process is killed, lest it finishes the call late."""
    async with one_session(build, opened) as (house, escrow, running):
        monkeypatch.setitem(WALLET_METHODS, "store", replace(WALLET_METHODS["store"], timeout=0.3))
        async with running.manager.lease(escrow) as lease:
            hanging = process_of(running, escrow, WalletRole.BUYER)
            await freeze(hanging.running)
            wallet = lease.wallet(WalletRole.BUYER)
            with pytest.raises(OutcomeUnknown, match="store"):
                await wallet.store()
            assert await hanging.running.wait(5)
            with pytest.raises((ProcessLost, StaleLease)):
                await wallet.get_address()
            assert await lease.wallet(WalletRole.VENDOR).get_address() == house.sets[escrow].address
        monkeypatch.undo()
        await assert_all_answer(running, house, escrow)


async def test_cancelled_change_kills_its_process(build: Building, opened: Opening) -> None:
    """A call that changes state and is cancelled half-way leaves nobody knowing: its process is not used again."""
    async with one_session(build, opened) as (house, escrow, running):
        async with running.manager.lease(escrow, (WalletRole.BUYER,)) as lease:
            process = process_of(running, escrow, WalletRole.BUYER)
            await freeze(process.running)
            storing = asyncio.create_task(lease.wallet(WalletRole.BUYER).store())
            await asyncio.sleep(0.1)
            storing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await storing
            assert await process.running.wait(5)
        await assert_all_answer(running, house, escrow)


@pytest.mark.parametrize("fault", [Fault.RUBBISH, Fault.WEB_PAGE, Fault.TRUNCATE, Fault.DROP_REPLY, Fault.REFUSE])
async def test_process_that_answers_rubbish_is_replaced(build: Building, opened: Opening, fault: Fault) -> None:
    """A wallet process whose answers are no answers is replaced, and the next lease works."""
    async with one_session(build, opened) as (house, escrow, running):
        process = process_of(running, escrow, WalletRole.VENDOR)
        async with FaultProxy(process.endpoint) as proxy:
            connections = running.pool.around.connections
            process.transport = HttpTransport(connections, proxy.endpoint, WALLET_REFUSALS, one_at_a_time=True)
            process.client = MoneroClient(process.transport)
            await assert_all_answer(running, house, escrow)
            proxy.fault = fault
            await assert_all_answer(running, house, escrow)
            assert proxy.struck > 0 or fault is Fault.REFUSE
        assert not process.is_alive
        assert running.manager.get_stats().counters.repairs == 1


async def test_wallet_swapped_behind_our_back_is_noticed_before_any_call(
    build: Building, opened: Opening, calls: Calls
) -> None:
    """Another escrow's wallet in our process is noticed, asked nothing, saved, and replaced by the right one."""
    house = build(2)
    escrow, other = house.escrows
    stranger = house.sets[other].wallets[WalletRole.BUYER]
    async with opened(house) as running:
        await running.manager.get_or_create_session(escrow)
        process = process_of(running, escrow, WalletRole.BUYER)
        await process.client.open_wallet(stranger.filename, stranger.password)
        before = calls.methods.copy()
        async with running.manager.lease(escrow) as lease:
            made = calls.since(before)
            assert made.keys() <= {"get_attribute", "get_address", *OPENING_CALLS}
            assert await lease.wallet(WalletRole.BUYER).get_address() == house.sets[escrow].address
        assert not process.is_alive
        assert (house.directory / "wallets" / stranger.filename).exists()


async def test_wallets_of_two_roles_swapped_are_noticed(build: Building, opened: Opening) -> None:
    """The wallets of one escrow share an address; still the vendor's wallet is never taken for the buyer's."""
    async with one_session(build, opened) as (house, escrow, running):
        buyer, vendor = (process_of(running, escrow, role) for role in (WalletRole.BUYER, WalletRole.VENDOR))
        wallets = house.sets[escrow].wallets
        await asyncio.gather(buyer.client.close_wallet(), vendor.client.close_wallet())
        await asyncio.gather(
            buyer.client.open_wallet(wallets[WalletRole.VENDOR].filename, wallets[WalletRole.VENDOR].password),
            vendor.client.open_wallet(wallets[WalletRole.BUYER].filename, wallets[WalletRole.BUYER].password),
        )
        assert await buyer.client.get_address() == house.sets[escrow].address
        await assert_all_answer(running, house, escrow)
        assert not buyer.is_alive
        assert not vendor.is_alive


async def test_closed_wallet_is_noticed(build: Building, opened: Opening) -> None:
    """A wallet that somebody closed in our process is opened again by the next lease."""
    async with one_session(build, opened) as (house, escrow, running):
        await process_of(running, escrow, WalletRole.BUYER).client.close_wallet()
        await assert_all_answer(running, house, escrow)


async def test_full_disk_is_an_error_and_no_loss(build: Building, opened: Opening) -> None:
    """When a wallet cannot be written, closing fails, the wallet stays open as it is, and a retry saves it."""
    async with one_session(build, opened) as (house, escrow, running):
        async with running.manager.lease(escrow) as lease:
            await lease.wallet(WalletRole.BUYER).set_attribute("note", "only in memory")
        with full_disk(house, escrow, WalletRole.BUYER):
            with pytest.raises(WalletNotSaved):
                await running.manager.close_session(escrow)
            assert running.manager.get_stats().counters.save_failures == 1
            async with running.manager.get_wallet(escrow, WalletRole.BUYER) as wallet:
                assert await wallet.get_attribute("note") == "only in memory"
                with pytest.raises(WalletNotSaved):
                    await wallet.store()
        await running.manager.close_session(escrow)
        async with running.manager.get_wallet(escrow, WalletRole.BUYER) as wallet:
            assert await wallet.get_attribute("note") == "only in memory"


async def test_full_disk_keeps_the_session_from_eviction(build: Building, opened: Opening) -> None:
    """A session that cannot be saved is not evicted: who wants its room waits, and learns that there is none."""
    house = build(2)
    full, other = house.escrows
    async with opened(house, max_sessions=1, save_retry=0.2) as running:
        await running.manager.get_or_create_session(full)
        with full_disk(house, full, WalletRole.ARBITER):
            with pytest.raises(Exception, match="no lease of"):
                await running.manager.get_or_create_session(other, timeout=0.5)
            assert {info.escrow for info in running.manager.list_sessions()} == {full}
        await asyncio.sleep(0.2)
        await running.manager.get_or_create_session(other)


async def test_process_killed_while_it_opens_fails_that_lease_only(build: Building, opened: Opening) -> None:
    """A process that dies while opening a wallet fails the opening; the next lease works, and nothing is left over."""
    house = build(1)
    (escrow,) = house.escrows
    async with opened(house) as running:
        opening = asyncio.create_task(running.manager.get_or_create_session(escrow))
        while running.pool.stats().in_use < 3:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        for server in running.pool._in_use:
            assert isinstance(server, WalletProcess)
            server.running.signal(signal.SIGKILL)
        with pytest.raises((OutcomeUnknown, Unreachable)):
            await opening
        assert running.pool.stats().in_use == 0
        await assert_all_answer(running, house, escrow)


async def test_caller_cancelled_at_any_moment_leaks_no_wallet(build: Building, opened: Opening) -> None:
    """Whenever a caller is cancelled, on a warm or on a cold session, nothing stays lent and no process is lost."""

    async def use() -> None:
        async with running.manager.lease(escrow) as lease:
            await lease.wallet(WalletRole.BUYER).get_address()

    async with one_session(build, opened) as (house, escrow, running):
        for moment in [*(step * 0.0004 for step in range(25)), 0.05]:
            task = asyncio.create_task(use())
            await asyncio.sleep(moment)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            stats = running.manager.get_stats()
            assert (stats.leased, stats.waiting) == (0, 0)
        assert running.manager.get_stats().counters.repairs == 0
        for moment in (0.0, 0.1, 0.6):
            await running.manager.close_session(escrow)
            task = asyncio.create_task(use())
            await asyncio.sleep(moment)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await assert_all_answer(running, house, escrow)
            assert running.pool.stats().in_use == 3


# ---------------------------------------------------------------------------------------------------------------------

OPENING_CALLS = {"get_version", "auto_refresh", "open_wallet", "set_attribute"}


@contextlib.contextmanager
def full_disk(house: LabHouse, escrow: EscrowId, role: WalletRole) -> Iterator[None]:
    """Let the kernel answer ENOSPC to every write of a wallet's cache, which wallet2 writes to ``NAME.new`` first."""
    draft: Path = house.directory / "wallets" / f"{house.sets[escrow].wallets[role].filename}.new"
    draft.symlink_to("/dev/full")
    try:
        yield
    finally:
        draft.unlink(missing_ok=True)
