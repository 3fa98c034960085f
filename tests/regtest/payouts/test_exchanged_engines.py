"""The programs are exchanged under escrows, forwards and back, and each of them is paid out.

Each test has a chain of its own: wallets without caches find all that earlier tests paid to the kept sets.
These tests need both engines, whichever is under test: the newest, and 0.18.0.0 (:mod:`escrowd.testing.two_engines`).
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from escrowd.domain.address import MoneroAddress
from escrowd.domain.escrow.events import Released, Resumed
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.networks import Network
from escrowd.domain.parties import WalletRole
from escrowd.testing.house import LabHouse
from escrowd.testing.lab import RegtestLab
from escrowd.testing.two_engines import new_wallet_rpc, old_wallet_rpc
from escrowd.testing.wallet_sets import wallet_sets
from tests.regtest.chain.hostile import Cases
from tests.regtest.chain.mining import mine_by_hand
from tests.regtest.payouts.office import AMOUNT, Office
from tests.regtest.payouts.test_damaged_caches import moved_aside, release
from tests.unit.chain.sender import keys_of


@pytest.fixture
async def own_lab() -> AsyncIterator[RegtestLab]:
    """Start a chain for one test."""
    async with RegtestLab.start() as lab:
        yield lab


@pytest.fixture
def house(own_lab: RegtestLab, tmp_path: Path) -> LabHouse:
    """Give wallets without caches."""
    return LabHouse.build(own_lab, tmp_path / "house", len(wallet_sets()))


@pytest.mark.parametrize("goes_back", [True, False])
async def test_exchange_of_the_programs_keeps_money_moving(
    own_lab: RegtestLab, house: LabHouse, *, goes_back: bool
) -> None:
    """Wallets that one engine saved are opened by the other one, older or newer, and pay (findings E5)."""
    older, newer = house.with_program(old_wallet_rpc()), house.with_program(new_wallet_rpc())
    first, second = (newer, older) if goes_back else (older, newer)
    opened = AsyncExitStack()
    before = await opened.enter_async_context(Office.over(own_lab, first))
    async with opened, before.trade(7) as trade:
        assert (await trade.fund()).status is Status.FUNDED
        async with trade.lease() as lease:
            for role in WalletRole:
                await lease.wallet(role).refresh()
        await opened.aclose()
        async with Office.over(own_lab, second) as after:
            moved = trade.at(after)
            await release(moved)
            assert {len(moved_aside(moved, role)) for role in WalletRole} == {int(goes_back)}


async def test_escrow_that_got_stuck_goes_on_with_newer_programs(own_lab: RegtestLab, house: LabHouse) -> None:
    """Wallets of 0.18.0.0 stop at a transaction made for that, so the escrow is held; those of 0.18.5.3 read on."""
    opened = AsyncExitStack()
    before = await opened.enter_async_context(Office.over(own_lab, house.with_program(old_wallet_rpc())))
    async with opened, before.trade(8) as trade:
        address = MoneroAddress.parse(trade.wallets.address, Network.REGTEST)
        extra, pays = Cases(address, keys_of(trade.wallets), "stuck").that_no_wallet_gets_over()
        await mine_by_hand(own_lab, pays, extra)
        await own_lab.mine(6)
        assert (await trade.fund(AMOUNT)).status is Status.FUNDED
        await trade.say(Released(), Who.BUYER)
        assert (await trade.advance()).status is Status.HELD
        await opened.aclose()
        async with Office.over(own_lab, house.with_program(new_wallet_rpc())) as after:
            moved = trade.at(after)
            await moved.say(Resumed(), Who.OPERATOR)
            assert (await moved.advance()).status is Status.PAYING
            assert (await moved.finish()).status is Status.COMPLETED
            assert await moved.money_left() == []
