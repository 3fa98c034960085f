import asyncio

from escrowd.domain.parties import WalletRole
from escrowd.testing.fakes import FakeOpener, fake_session
from tests.unit.wallets.conftest import A, B, C, Managing, settle


async def test_fresh_wallets_are_opened_again(managing: Managing, opener: FakeOpener) -> None:
    """Wallets that were just made serve the first lease as they are."""
    async with managing() as manager:
        assert manager.admit(fake_session(A), evicting=True)
        async with manager.lease(A) as lease:
            assert lease.roles == tuple(WalletRole)
        assert opener.opened == {}
        assert manager.get_stats().counters.hits == 1


async def test_fresh_wallets_stay_out_though_an_idle_session_could_go(managing: Managing, opener: FakeOpener) -> None:
    """Without room, wallets that somebody waits for close the oldest idle session, and those of the stock stay out."""
    async with managing(max_sessions=2) as manager:
        assert manager.admit(fake_session(A), evicting=False)
        assert manager.admit(fake_session(B), evicting=False)
        assert not manager.admit(fake_session(C), evicting=False)
        assert manager.admit(fake_session(C), evicting=True)
        await settle()
        assert opener.closed == {A: 1}
        assert {info.escrow for info in manager.list_sessions()} == {B, C}


async def test_stock_takes_the_room_of_who_waits(managing: Managing) -> None:
    """While somebody waits for a lease, wallets of the stock stay out, whatever room there is."""
    async with managing(max_sessions=2) as manager:
        async with manager.lease(A):
            assert manager.has_room
            waiting = asyncio.create_task(manager.get_or_create_session(A))
            await settle()
            assert not manager.admit(fake_session(B), evicting=False)
        await waiting
        assert manager.admit(fake_session(B), evicting=False)


async def test_stopping_manager_takes_wallets_in(managing: Managing) -> None:
    """A manager that is stopping leaves fresh wallets to their owner."""
    async with managing() as manager:
        pass
    assert not manager.admit(fake_session(A), evicting=True)
