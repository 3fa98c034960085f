import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from escrowd.domain.identifiers import EscrowId
from escrowd.domain.parties import WalletRole
from escrowd.monero.errors import WalletNotSaved
from escrowd.testing.fakes import FakeOpener, FakeServer, FixedTip, ManualClock, fake_session
from escrowd.wallets.errors import (
    ManagerClosed,
    ProcessLost,
    RoleNotHosted,
    SessionUnavailable,
    StaleLease,
    TooManyWaiting,
    WalletFileMissing,
)
from escrowd.wallets.plan import Phase
from escrowd.wallets.sessions import REPAIRS_PER_LEASE, WalletSessionManager
from escrowd.wallets.settings import AtExit, SessionSettings, sessions_that_fit_in_memory

A, B, C = (EscrowId(f"esc_{letter}") for letter in "abc")
DISK_FULL = WalletNotSaved("close_wallet", -1, "disk full")

Managing = Callable[..., AbstractAsyncContextManager[WalletSessionManager]]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def opener() -> FakeOpener:
    return FakeOpener()


@pytest.fixture
def managing(opener: FakeOpener, clock: ManualClock) -> Managing:
    @asynccontextmanager
    async def make(**settings: float | AtExit) -> AsyncIterator[WalletSessionManager]:
        defaults: dict[str, float | AtExit] = {"max_sessions": 2, "lease_timeout": 1, "stop_patience": 0.1}
        made = SessionSettings(**(defaults | settings))  # type: ignore[arg-type] # names and types are the test's
        async with WalletSessionManager(opener, FixedTip(), made, clock) as manager:
            yield manager

    return make


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_thirty_two_callers_open_a_session_once(managing: Managing, opener: FakeOpener) -> None:
    """Tasks that ask for the same missing session at once open it once, and each gets its turn."""
    served: list[int] = []

    async def one(number: int) -> None:
        async with manager.lease(A):
            served.append(number)
            await asyncio.sleep(0)

    async with managing() as manager:
        await asyncio.gather(*(one(number) for number in range(32)))
        assert opener.opened == {A: 1}
        assert served == list(range(32))
        assert (manager.get_stats().active, manager.get_stats().leased) == (1, 0)


async def test_two_holders_never_share_a_session(managing: Managing) -> None:
    """A session is lent to one holder at a time."""
    inside = 0
    most = 0

    async def one() -> None:
        nonlocal inside, most
        async with manager.lease(A):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    async with managing() as manager:
        await asyncio.gather(*(one() for _ in range(10)))
    assert most == 1


async def test_lease_that_has_ended_is_refused(managing: Managing) -> None:
    """A wallet kept beyond its lease refuses every call before it reaches the process."""
    async with managing() as manager:
        async with manager.lease(A) as lease:
            wallet = lease.wallet(WalletRole.BUYER)
        with pytest.raises(StaleLease):
            await wallet.get_address()
        async with manager.lease(A):
            with pytest.raises(StaleLease):
                await wallet.get_address()


async def test_lease_for_one_role_gives_no_other(managing: Managing) -> None:
    """A wallet that was not verified for this lease cannot be had from it."""
    async with managing() as manager, manager.lease(A, (WalletRole.BUYER,)) as lease:
        assert lease.roles == (WalletRole.BUYER,)
        with pytest.raises(RoleNotHosted):
            lease.wallet(WalletRole.VENDOR)


async def test_role_that_is_not_hosted_is_the_callers_error(managing: Managing) -> None:
    """Asking for a wallet that this service does not keep is refused, and the session stays usable."""
    session = fake_session(A)
    hosted = {WalletRole.ARBITER: session.records[WalletRole.ARBITER]}
    session.records = hosted
    session.wallets = {role: session.wallets[role] for role in hosted}
    async with managing() as manager:
        manager.adopt([session])
        with pytest.raises(RoleNotHosted, match="hosted here: arbiter"):
            async with manager.get_wallet(A, WalletRole.BUYER):
                pass
        async with manager.lease(A) as lease:
            assert lease.roles == (WalletRole.ARBITER,)


async def test_waiting_ends_with_a_clear_error_when_all_are_leased(managing: Managing) -> None:
    """When every session is leased, one more waits for its time and then learns why."""
    async with managing(max_sessions=1) as manager, manager.lease(A):
        with pytest.raises(SessionUnavailable, match="all 1 sessions that may be open are in use"):
            async with manager.lease(B, timeout=0.01):
                pass
        with pytest.raises(SessionUnavailable, match="its session is leased"):
            async with manager.lease(A, timeout=0.01):
                pass
        assert manager.get_stats().counters.refusals == 2
        assert manager.get_stats().waiting == 0


async def test_queue_is_bounded(managing: Managing) -> None:
    """One more than may wait is refused at once."""
    async with managing(max_sessions=1, max_waiting=2) as manager, manager.lease(A):
        others = [asyncio.create_task(manager.get_or_create_session(B, timeout=0.05)) for _ in range(2)]
        await settle()
        with pytest.raises(TooManyWaiting):
            await manager.get_or_create_session(B)
        assert all(
            isinstance(each, SessionUnavailable) for each in await asyncio.gather(*others, return_exceptions=True)
        )


async def test_open_sessions_never_exceed_the_capacity(managing: Managing, opener: FakeOpener) -> None:
    """However many escrows are asked for, no more sessions are open at once than there is room for."""
    escrows = [EscrowId(f"esc_{number}") for number in range(12)]
    async with managing(max_sessions=3, at_exit=AtExit.CLOSE) as manager:
        await asyncio.gather(*(manager.get_or_create_session(escrow) for escrow in escrows * 3))
        assert opener.most_open <= 3
        assert manager.get_stats().counters.evictions >= 9
    assert opener.open_now == set()


async def test_opening_one_escrow_keeps_no_other_waiting(managing: Managing, opener: FakeOpener) -> None:
    """While one session opens slowly, the lease of another one is there at once."""
    async with managing() as manager:
        await manager.get_or_create_session(A)
        opener.gate.clear()
        slow = asyncio.create_task(manager.get_or_create_session(B))
        await settle()
        async with manager.lease(A, timeout=0.5):
            assert not slow.done()
        opener.gate.set()
        await slow


async def test_session_expires_by_the_clock_and_not_while_leased(
    managing: Managing, opener: FakeOpener, clock: ManualClock
) -> None:
    """An idle session closes after its lifetime; one in use does not, and lives a whole lifetime after its return."""
    async with managing(ttl=100, ttl_jitter=0) as manager:
        await manager.get_or_create_session(A)
        async with manager.lease(B):
            clock.advance(100)
            assert await manager.cleanup_stale_sessions() == 1
            assert opener.closed == {A: 1}
            clock.advance(1000)
            assert await manager.cleanup_stale_sessions() == 0
        clock.advance(99)
        assert await manager.cleanup_stale_sessions() == 0
        clock.advance(1)
        assert await manager.cleanup_stale_sessions() == 1
        assert manager.get_stats().counters.expirations == 2


async def test_lifetimes_are_spread(managing: Managing) -> None:
    """Sessions opened together do not all expire together, and none lives longer than the lifetime set."""
    escrows = [EscrowId(f"esc_{number}") for number in range(20)]
    async with managing(max_sessions=20, ttl=100, ttl_jitter=0.5) as manager:
        for escrow in escrows:
            await manager.get_or_create_session(escrow)
        left = [info.expires_in for info in manager.list_sessions()]
        assert len(set(left)) > 1
        assert all(50 <= seconds <= 100 for seconds in left)


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


async def test_callers_cancelled_at_any_step_leak_nothing(managing: Managing, opener: FakeOpener) -> None:
    """Whenever a caller is cancelled, no lease stays out, nobody waits, and the session can be had again."""

    async def use() -> None:
        async with manager.lease(A):
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    async with managing(max_sessions=1) as manager:
        for warm in (False, True):
            for steps in range(30):
                if not warm:
                    await manager.close_session(A)
                task = asyncio.create_task(use())
                for _ in range(steps):
                    await asyncio.sleep(0)
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
                await settle()
                stats = manager.get_stats()
                assert (stats.leased, stats.waiting) == (0, 0), f"cancelled after {steps} steps"
                await manager.get_or_create_session(A, timeout=0.5)
        assert opener.most_open == 1


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


async def test_stats_tell_hits_from_misses(managing: Managing, clock: ManualClock) -> None:
    """Statistics say how many sessions there are, how old, how often they were found open."""
    async with managing(max_sessions=4) as manager:
        await manager.get_or_create_session(A)
        clock.advance(10)
        await manager.get_or_create_session(B)
        async with manager.lease(A):
            stats = manager.get_stats()
            assert (stats.active, stats.leased, stats.utilisation) == (2, 1, 0.5)
            assert (stats.oldest_age, stats.mean_age) == (10, 5)
            assert (stats.counters.hits, stats.counters.misses) == (1, 2)
            assert stats.hit_rate == pytest.approx(1 / 3)
            phases = {info.escrow: info.phase for info in manager.list_sessions()}
            assert phases == {A: Phase.LEASED, B: Phase.IDLE}


async def test_default_capacity_comes_from_memory() -> None:
    """Without a setting there is room for at least one session, and for no more than memory holds."""
    assert SessionSettings().max_sessions >= 1
    assert abs(SessionSettings().max_sessions - sessions_that_fit_in_memory()) <= 10
