import asyncio
import contextlib

import pytest

from escrowd.domain.identifiers import EscrowId
from escrowd.domain.parties import WalletRole
from escrowd.testing.fakes import FakeOpener, ManualClock, fake_session
from escrowd.wallets.errors import (
    RoleNotHosted,
    SessionUnavailable,
    StaleLease,
    TooManyWaiting,
)
from escrowd.wallets.plan import Phase
from escrowd.wallets.settings import AtExit, SessionSettings, sessions_that_fit_in_memory
from tests.unit.wallets.conftest import A, B, Managing, settle


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


async def test_call_that_waited_until_its_lease_ended_is_refused(managing: Managing) -> None:
    """A call that waits behind another one is not sent any more when its lease has ended meanwhile."""
    async with managing() as manager:
        async with manager.lease(A) as lease:
            wallet = lease.wallet(WalletRole.BUYER)
            server = manager._slots[A].open_session.wallets[WalletRole.BUYER].server
            await server.turn.acquire()
            waiting = asyncio.create_task(wallet.store())
            await settle()
        server.turn.release()
        with pytest.raises(StaleLease):
            await waiting
        assert server.fault is None


async def test_expired_sessions_are_looked_for_regularly(
    managing: Managing, opener: FakeOpener, clock: ManualClock
) -> None:
    """Nobody has to ask for it: expired sessions are closed by the manager's own task."""
    async with managing(ttl=100, cleanup_interval=0.001) as manager:
        await manager.get_or_create_session(A)
        clock.advance(100)
        async with asyncio.timeout(5):
            while manager.get_stats().active:
                await asyncio.sleep(0.001)
        assert opener.closed == {A: 1}


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
