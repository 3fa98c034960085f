"""One run of the real service over the simulated world, from its start to its crash."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from escrowd.domain.conflicts import NoSuchEscrow
from escrowd.domain.escrow.effects import Effect
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.networks import Network
from escrowd.monero.daemon import MoneroDaemon
from escrowd.monero.results_signing import Priority
from escrowd.service.advance import EscrowAdvance
from escrowd.service.funding import FundingCheck
from escrowd.service.housekeeping import Housekeeping
from escrowd.service.keying.effect import KeysEffect
from escrowd.service.keying.keyer import Keyer
from escrowd.service.orchestrator import EscrowOrchestrator
from escrowd.service.payouts.desk import PayoutDesk
from escrowd.service.payouts.following import Following
from escrowd.service.ports import WalletSet
from escrowd.testing.chain_sight import ScriptedSight
from escrowd.testing.simulation.addresses import address, view_key
from escrowd.testing.simulation.chain import SimulatedChain
from escrowd.testing.simulation.daemon import SimulatedDaemon
from escrowd.testing.simulation.faults import Faults, Life
from escrowd.testing.simulation.keying import Groups, MemoryKeyingJournal, PlainSealer, SimulatedWorkshop
from escrowd.testing.simulation.memory import Memory, MemoryStore
from escrowd.testing.simulation.notices import RemadeCaches, announced_fork
from escrowd.testing.simulation.sessions import SimulatedSessions, WalletHouse
from escrowd.testing.simulation.spending import rate
from escrowd.testing.simulation.tables import Lane
from escrowd.testing.simulation.transport import SimulatedTransport


@dataclass(frozen=True, slots=True)
class Ground:
    """What a service stands on, and what is left of it after a crash."""

    memory: Memory
    chain: SimulatedChain
    house: WalletHouse
    groups: Groups
    faults: Faults
    chance: random.Random


class SimulatedService:
    """The parts of the real service, put together for one life on one node."""

    def __init__(self, ground: Ground, node: int, life: Life) -> None:
        self.life = life
        self.node = node
        self._ground = ground
        self.store = MemoryStore(ground.memory, self._commit)
        self.sessions = SimulatedSessions(ground.house, node, life)
        self.daemon = MoneroDaemon(
            SimulatedTransport(
                SimulatedDaemon(ground.chain, ground.faults, is_new=ground.house.around.is_new), ground.faults, life
            )
        )
        self.orchestrator = EscrowOrchestrator(
            self.store, ground.chance.randbytes, fee_rate=lambda: rate(Priority.NORMAL)
        )
        self.advance = self._advance()

    def _commit(self, act: Callable[[], None]) -> None:
        self._ground.faults.pass_commit(self.life, act)

    async def _height(self) -> int:
        return (await self.daemon.get_info()).height

    def _advance(self) -> EscrowAdvance:
        funding = FundingCheck(self.store, self.sessions, self.daemon)
        housekeeping = Housekeeping(StoredWalletSets(self.store), StoredLanes(self.store), self.sessions)
        payouts = PayoutDesk(
            self.store, self.sessions, self.daemon, PlainSealer(), ScriptedSight(), self._ground.chance.randbytes
        )
        workshop = SimulatedWorkshop(self._ground.house, self._ground.groups, self.node, self.life)
        keyer = Keyer(workshop, PlainSealer(), self._height, Network.REGTEST)
        keying = KeysEffect(keyer, MemoryKeyingJournal(self.store))
        return EscrowAdvance(
            self.store,
            {
                Effect.MAKE_KEYS: keying.make_keys,
                Effect.WATCH: housekeeping.watch,
                Effect.VERIFY_FUNDING: funding.verify_funding,
                Effect.VERIFY_UNFUNDED: funding.verify_unfunded,
                Effect.PAY: payouts.pay,
                Effect.RETURN_LATE: payouts.return_late,
                Effect.REST: housekeeping.rest,
                Effect.REMIND_ARBITER: housekeeping.remind_arbiter,
                Effect.TELL_OPERATOR: housekeeping.tell_operator,
            },
            Following(self.store, self.daemon),
            ScriptedSight(),
            fork_notice=lambda: announced_fork(self._ground.chain),
            cache_news=RemadeCaches(),
        )


class StoredWalletSets:
    """Finds finished wallets in the store."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def wallet_set(self, escrow: EscrowId) -> WalletSet:
        """Return the finished wallets of an escrow. Raises NoSuchEscrow where there are none."""
        async with self._store.transaction() as tx:
            found = await tx.wallet_set(escrow)
        if found is None:
            raise NoSuchEscrow(f"there are no wallets of {escrow}")
        return found


class StoredLanes:
    """Notes in the store how closely an address is watched."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def watch(self, wallets: WalletSet, from_height: int) -> None:  # noqa: ARG002 - all blocks are looked at
        """Watch an address at every look."""
        await self._set(wallets.escrow, Lane.ACTIVE)

    async def rest(self, escrow: EscrowId) -> None:
        """Watch an address at leisure."""
        await self._set(escrow, Lane.RESTING)

    async def _set(self, escrow: EscrowId, lane: Lane) -> None:
        async with self._store.transaction() as tx:
            tx.tables.lanes[escrow] = lane


def wallet_set(ground: Ground, escrow: EscrowId) -> WalletSet:
    """Make three wallets that share an address."""
    name = ground.groups.name([ground.chain.unique("stock")])
    ground.house.make(escrow, address(name))
    return WalletSet(escrow, address(name), view_key(name).reveal(), ground.chain.height)
