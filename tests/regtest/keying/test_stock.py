"""The stock on the real engine: sets are ready when they are wanted, and a killed run leaves no half of one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from escrowd.domain.identifiers import EscrowId
from escrowd.domain.parties import WalletRole
from escrowd.service.crash_points import CrashPoint
from escrowd.service.keying.sets import HostedSets
from escrowd.testing.keying import KeyingHouse, Workshop, filenames, new_escrow_id
from escrowd.testing.killed_keying import make_keys_until_killed
from escrowd.wallets.caches import ASIDE
from escrowd.wallets.making import KeepOpen
from escrowd.wallets.stock import Stock, StockSettings, capacity_of
from tests.regtest.keying.conftest import CLOSING, hosted_keys
from tests.wallet_fixtures import Calls


@asynccontextmanager
async def stocked(house: KeyingHouse, workshop: Workshop, size: int) -> AsyncIterator[Stock]:
    wanted = StockSettings(size=size, low_water=size, pause=0, check_interval=0.1)
    capacity = partial(capacity_of, workshop.house.opener, workshop.house.manager)
    async with Stock(house.shelf, HostedSets(workshop.keyer), capacity, new_escrow_id, wanted) as stock:
        yield stock


async def reach(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        while not condition():
            await asyncio.sleep(0.02)


async def test_taken_set_has_to_be_opened(house: KeyingHouse, calls: Calls) -> None:
    """A set from the stock is three open wallets of one address: taking it and using it opens nothing."""
    async with house.open(CLOSING, KeepOpen.IF_ROOM, calls.observe) as workshop, stocked(house, workshop, 1) as stock:
        await reach(lambda: len(house.shelf.sets) == 1)
        keys = house.shelf.take()
        assert keys is not None
        async with workshop.house.manager.lease(keys.escrow) as lease:
            assert {await lease.wallet(role).get_address() for role in WalletRole} == {keys.address}
        assert calls.methods["open_wallet"] == 0
        assert stock.stats().made == 1


async def test_killed_service_leaves_half_a_set(house: KeyingHouse, escrow: EscrowId) -> None:
    """After kill -9 in the midst of a set, its processes are ended, its files put aside, and another set is made.

    The same for the keys of an escrow that were being made: the attempt goes on with other wallets.
    """
    await house.shelf.begin(escrow)
    await make_keys_until_killed(house, escrow, CrashPoint.K3_MADE)
    half = {name for name in house.files() if name.startswith(escrow) and name.endswith(".keys")}
    assert len(half) == 3
    async with house.open(CLOSING, KeepOpen.NEVER) as workshop:
        assert workshop.house.adopted.sessions == ()
        assert workshop.house.adopted.ended == 3
        async with stocked(house, workshop, 0):
            await reach(lambda: escrow in house.shelf.failures)
            await reach(lambda: not any(name.startswith(escrow) for name in house.files()))
        assert {f"{ASIDE}/{name}" for name in half} <= house.files()
        assert house.shelf.making == []

        await house.journal.begin(escrow, 1, 0, "")  # as the killed service had, for an escrow
        keys = await hosted_keys(house, workshop, escrow)
        assert not {f"{name}.keys" for name in filenames(keys).values()} & half
        # Closed, as the maker was told, and none of it lost.
        assert workshop.house.manager.get_stats().active == 0
        assert workshop.house.pool.stats().in_use == 0
        async with workshop.house.manager.lease(escrow) as lease:
            assert {await lease.wallet(role).get_address() for role in WalletRole} == {keys.address}
