"""The session manager under random load: many actors, cancellations, failures, and a clock that jumps."""

import asyncio
import random
from collections import Counter

from hypothesis import given, note, settings
from hypothesis import strategies as st

from escrowd.domain.errors import EscrowdError
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.parties import WalletRole
from escrowd.monero.errors import WalletNotSaved
from escrowd.testing.fakes import FakeOpener, FakeServer, FixedTip, ManualClock
from escrowd.wallets.errors import ProcessLost
from escrowd.wallets.sessions import WalletSessionManager
from escrowd.wallets.settings import AtExit, SessionSettings

ESCROWS = tuple(EscrowId(f"esc_{number}") for number in range(6))
CAPACITY = 3


class Load:
    """Actors that use a manager at random, and the laws that hold at each of their steps."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.clock = ManualClock()
        self.opener = FakeOpener()
        self.holders: Counter[EscrowId] = Counter()
        self.leases = 0

    async def run(self) -> None:
        limits = SessionSettings(
            max_sessions=CAPACITY, ttl=50, lease_timeout=0.2, save_retry=5, stop_patience=1, at_exit=AtExit.CLOSE
        )
        async with WalletSessionManager(self.opener, FixedTip(), limits, self.clock) as manager:
            tasks = [asyncio.create_task(self.actor(manager)) for _ in range(8)]
            for _ in range(60):
                await asyncio.sleep(0)
                self.disturb(manager)
                if self.random.random() < 0.1:
                    self.random.choice(tasks).cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.opener.open_fails = self.opener.close_fails = None
            self.clock.advance(1000)
            for escrow in ESCROWS:
                await manager.get_or_create_session(escrow, timeout=5)
            stats = manager.get_stats()
            assert (stats.leased, stats.waiting) == (0, 0)
            assert stats.active <= CAPACITY
        assert self.opener.open_now == set()

    async def actor(self, manager: WalletSessionManager) -> None:
        for _ in range(6):
            escrow = self.random.choice(ESCROWS)
            try:
                if self.random.random() < 0.2:
                    await manager.close_session(escrow, timeout=0.05)
                elif self.random.random() < 0.2:
                    await manager.cleanup_stale_sessions()
                else:
                    await self.hold(manager, escrow)
            except EscrowdError:
                continue

    async def hold(self, manager: WalletSessionManager, escrow: EscrowId) -> None:
        async with manager.lease(escrow, timeout=0.05) as lease:
            self.holders[escrow] += 1
            self.leases += 1
            try:
                assert self.holders[escrow] == 1, "two holders of one session"
                assert lease.roles == tuple(WalletRole)
                for _ in range(self.random.randrange(4)):
                    await asyncio.sleep(0)
            finally:
                self.holders[escrow] -= 1

    def disturb(self, manager: WalletSessionManager) -> None:
        assert len(self.opener.open_now) <= CAPACITY, "more sessions open than there is room for"
        assert all(manager.get_stats().leased >= count for count in self.holders.values())
        self.clock.advance(self.random.choice([0, 1, 10]))
        full = WalletNotSaved("close_wallet", -1, "disk full")
        self.opener.close_fails = full if self.random.random() < 0.1 else None
        self.opener.open_fails = ProcessLost("does not open") if self.random.random() < 0.1 else None
        slot = manager._slots.get(self.random.choice(ESCROWS))
        if slot is not None and slot.session is not None and slot.session.wallets and self.random.random() < 0.2:
            server = self.random.choice(list(slot.session.wallets.values())).server
            assert isinstance(server, FakeServer)
            server.condemn("killed")


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32))
def test_no_random_load_breaks_a_law(seed: int) -> None:
    """Whatever actors, faults and cancellations do: one holder per session, never too many open, nothing left over."""
    load = Load(seed)
    asyncio.run(load.run())
    note(f"{load.leases} leases")
    assert load.leases > 0
