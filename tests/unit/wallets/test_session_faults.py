"""The session manager when wallets break, cannot be saved, or the service stops."""

import asyncio
from typing import TypeVar

import pytest

from escrowd.domain.parties import WalletRole
from escrowd.monero.errors import WalletNotSaved
from escrowd.monero.methods import Method
from escrowd.testing.fakes import FakeOpener, FakeServer, FixedTip, ManualClock, fake_session
from escrowd.wallets.errors import (
    ManagerClosed,
    ProcessLost,
    SessionUnavailable,
    WalletFileMissing,
)
from escrowd.wallets.session import SessionLease
from escrowd.wallets.sessions import REPAIRS_PER_LEASE
from escrowd.wallets.settings import AtExit
from tests.unit.wallets.conftest import A, B, C, Managing, settle

ResultT = TypeVar("ResultT")

DISK_FULL = WalletNotSaved("close_wallet", -1, "disk full")


async def test_failed_saving_comes_as_a_group_of_errors() -> None:
    """A wallet of a lease that cannot be saved raises its own error, after the other wallets were saved."""
    session = fake_session(A)
    asked: list[str] = []

    class FullDisk:
        async def call(self, method: Method, _params: object, result: type[ResultT]) -> ResultT:
            asked.append(method.name)
            if len(asked) == 1:
                raise DISK_FULL
            return result()

    for wallet in session.wallets.values():
        wallet.server.transport = FullDisk()
    lease = SessionLease(session, FixedTip(), tuple(WalletRole))
    with pytest.raises(WalletNotSaved):
        await lease.store()
    assert asked == ["store"] * 3


async def test_failed_opening_reaches_everyone_who_waits(managing: Managing, opener: FakeOpener) -> None:
    """When wallets do not open, each who waits for them gets the reason, and the next request tries again."""
    async with managing() as manager:
        opener.open_fails = WalletFileMissing("no such file")
        failures = await asyncio.gather(*(manager.get_or_create_session(A) for _ in range(3)), return_exceptions=True)
        assert [type(failure) for failure in failures] == [WalletFileMissing] * 3
        assert manager.get_stats().active == 0
        opener.open_fails = None
        await manager.get_or_create_session(A)
        assert opener.opened == {A: 2}


async def test_broken_wallet_is_repaired_by_the_next_lease(managing: Managing, opener: FakeOpener) -> None:
    """A wallet that fails its verification is opened again, without the caller noticing."""
    session = fake_session(A)
    server = session.wallets[WalletRole.VENDOR].server
    assert isinstance(server, FakeServer)
    async with managing() as manager:
        manager.adopt([session])
        server.condemn("killed")
        async with manager.lease(A) as lease:
            assert lease.roles == tuple(WalletRole)
        assert opener.repaired == {A: 1}
        assert session.wallets[WalletRole.VENDOR].server is not server
        assert manager.get_stats().counters.repairs == 1


async def test_wallet_that_stays_broken_is_not_repaired_forever(
    managing: Managing, opener: FakeOpener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a few repairs in vain the caller gets the fault."""

    async def verify(self: FakeServer) -> None:
        raise ProcessLost("killed again")

    monkeypatch.setattr(FakeServer, "verify", verify)
    async with managing() as manager:
        with pytest.raises(ProcessLost, match="killed again"):
            await manager.get_or_create_session(A)
        await settle()
        assert opener.repaired == {A: REPAIRS_PER_LEASE + 1}
        assert manager.get_stats().leased == 0


async def test_failed_repair_keeps_the_wallets_that_are_well(managing: Managing, opener: FakeOpener) -> None:
    """When a broken wallet cannot be opened again, the other two stay open and the next lease tries again."""
    session = fake_session(A)
    server = session.wallets[WalletRole.BUYER].server
    assert isinstance(server, FakeServer)
    async with managing() as manager:
        manager.adopt([session])
        server.condemn("killed")
        opener.open_fails = ProcessLost("cannot start")
        with pytest.raises(ProcessLost, match="cannot start"):
            await manager.get_or_create_session(A)
        assert set(session.wallets) == {WalletRole.VENDOR, WalletRole.ARBITER}
        opener.open_fails = None
        await manager.get_or_create_session(A)
        assert set(session.wallets) == set(WalletRole)


async def test_hanging_wallet_counts_as_broken(
    managing: Managing, opener: FakeOpener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wallet that does not say in time who it is, is replaced."""
    session = fake_session(A)
    hanging = session.wallets[WalletRole.BUYER].server

    async def hang() -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(hanging, "verify", hang)
    async with managing(check_timeout=0.01) as manager:
        manager.adopt([session])
        await manager.get_or_create_session(A)
        assert opener.repaired == {A: 1}


async def test_session_that_cannot_be_saved_stays_open(
    managing: Managing, opener: FakeOpener, clock: ManualClock
) -> None:
    """A full disk keeps a session open; it is neither lost nor in the way of its next use."""
    async with managing(max_sessions=1, save_retry=60) as manager:
        await manager.get_or_create_session(A)
        opener.close_fails = DISK_FULL
        with pytest.raises(WalletNotSaved, match="disk full"):
            await manager.close_session(A)
        with pytest.raises(SessionUnavailable):
            await manager.get_or_create_session(B, timeout=0.01)
        await manager.get_or_create_session(A)
        assert manager.get_stats().counters.save_failures == 1
        opener.close_fails = None
        clock.advance(60)
        await manager.get_or_create_session(B)
        assert opener.closed == {A: 1}


async def test_unsaved_session_makes_room_for_another_victim(managing: Managing, opener: FakeOpener) -> None:
    """When the least recently used session cannot be saved, the next one is evicted instead."""
    async with managing(max_sessions=2) as manager:
        await manager.get_or_create_session(A)
        opener.close_fails = DISK_FULL
        with pytest.raises(WalletNotSaved):
            await manager.close_session(A)
        opener.close_fails = None
        await manager.get_or_create_session(B)
        await manager.get_or_create_session(C)
        assert opener.closed == {B: 1}


async def test_closing_waits_for_the_lease(managing: Managing, opener: FakeOpener) -> None:
    """A session is closed as soon as its holder returns it, not before."""
    async with managing() as manager:
        async with manager.lease(A):
            closing = asyncio.create_task(manager.close_session(A))
            await settle()
            assert not closing.done()
        await closing
        assert opener.closed == {A: 1}
        assert manager.get_stats().active == 0


async def test_closing_a_session_that_is_never_returned_gives_up(managing: Managing, opener: FakeOpener) -> None:
    """Closing gives up after its time, and then does not close the session behind its holder's back."""
    async with managing() as manager:
        async with manager.lease(A):
            with pytest.raises(SessionUnavailable, match="is leased"):
                await manager.close_session(A, timeout=0.01)
        await settle()
        assert opener.closed == {}


async def test_closing_what_is_not_open_does_nothing(managing: Managing, opener: FakeOpener) -> None:
    """Closing a session that is not there is no error."""
    async with managing() as manager:
        await manager.close_session(A)
    assert opener.closed == {}


async def test_closing_while_opening_closes_after_opening(managing: Managing, opener: FakeOpener) -> None:
    """A session that is told to close while it opens is closed when it is open."""
    opener.gate.clear()
    async with managing() as manager:
        opening = asyncio.create_task(manager.get_or_create_session(A, timeout=0.05))
        await settle()
        closing = asyncio.create_task(manager.close_session(A))
        await settle()
        opening.cancel()
        opener.gate.set()
        await closing
        assert opener.closed == {A: 1}
        assert opening.cancelled()


async def test_stopping_leaves_sessions_for_adoption(managing: Managing, opener: FakeOpener) -> None:
    """By default the end of the service saves the wallets and leaves them open."""
    async with managing() as manager:
        await manager.get_or_create_session(A)
    assert (opener.left, opener.closed) == ({A: 1}, {})
    with pytest.raises(ManagerClosed):
        await manager.get_or_create_session(A)


async def test_stopping_closes_sessions_if_told_to(managing: Managing, opener: FakeOpener) -> None:
    """With that setting the end of the service closes every wallet."""
    async with managing(at_exit=AtExit.CLOSE) as manager:
        await manager.get_or_create_session(A)
        await manager.get_or_create_session(B)
    assert (opener.left, opener.closed) == ({}, {A: 1, B: 1})


async def test_stopping_refuses_those_who_wait(managing: Managing) -> None:
    """Who waits for a lease when the service stops is told so."""
    async with managing(max_sessions=1) as manager:
        async with manager.lease(A):
            waiting = asyncio.create_task(manager.get_or_create_session(B))
            await settle()
            stopping = asyncio.create_task(manager.__aexit__(None, None, None))
            await settle()
        await stopping
        with pytest.raises(ManagerClosed):
            await waiting


async def test_adopted_sessions_beyond_the_capacity_are_closed(managing: Managing, opener: FakeOpener) -> None:
    """More sessions than may be open are closed after adoption."""
    async with managing(max_sessions=2) as manager:
        manager.adopt([fake_session(escrow) for escrow in (A, B, C)])
        await settle()
        assert manager.get_stats().active == 2
        assert manager.get_stats().counters.adoptions == 3
        assert sum(opener.closed.values()) == 1
