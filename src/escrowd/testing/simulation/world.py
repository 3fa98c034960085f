"""The world around the service: one source of chance, one clock, one chain; and the service, as often as it dies."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, TypeAlias

from escrowd.domain.conflicts import LeaseLost
from escrowd.domain.errors import EscrowdError
from escrowd.domain.escrow.events import Event, FundingVerified
from escrowd.domain.escrow.facts import Escrow
from escrowd.domain.escrow.machine import Step
from escrowd.domain.escrow.status import Who
from escrowd.domain.escrow.table import TABLE, Row, rows_for
from escrowd.domain.identifiers import RANDOM_BYTES, EscrowId, Prefix, make_identifier
from escrowd.domain.payouts.records import Attempt, AttemptStep
from escrowd.testing.simulation.chain import SimulatedChain
from escrowd.testing.simulation.faults import Crashed, Faults, Life, Trouble
from escrowd.testing.simulation.keying import Groups
from escrowd.testing.simulation.memory import LEASE, Memory, MemoryClaim
from escrowd.testing.simulation.nature import Nature
from escrowd.testing.simulation.people import draw_terms
from escrowd.testing.simulation.rivals import paid_besides
from escrowd.testing.simulation.service import Ground, SimulatedService, wallet_set
from escrowd.testing.simulation.sessions import WalletHouse
from escrowd.testing.simulation.signing import SigningLog
from escrowd.testing.simulation.spending import Costs
from escrowd.testing.simulation.wallet_rpc import NEW_RPC, OLD_RPC, Surroundings
from escrowd.testing.simulation.watcher import SimulatedWatcher

#: Milliseconds since 1970 when a world begins.
BEGINNING: Final = 1_760_000_000_000
#: Milliseconds between two beats of the running clock.
BEAT: Final = 25_000
#: Seconds between two blocks.
BLOCK_TIME: Final = 120
#: Rounds of work after each event, before whoever is still due has to wait for the next.
ROUNDS: Final = 8


class Violation(AssertionError):
    """Something happened that must never happen, whatever goes wrong."""


class Temper(Enum):
    """Which kind of events a world has more of than others."""

    MILD = "none"
    FORKING = "reorganisations"
    THIEVISH = "parties who spend outside"
    MORTAL = "crashes and lost replies"
    LYING = "a watcher that errs and wallets that lie"


@dataclass(frozen=True, slots=True)
class Command:
    """What somebody said, and was allowed to."""

    escrow: EscrowId
    who: Who
    event: Event
    #: The version of the escrow that it led to.
    version: int


@dataclass(slots=True)
class Tally:
    """What a world saw, for the tests of the simulation itself."""

    rows: Counter[int]
    happened: Counter[str]
    errors: Counter[str]


@dataclass(slots=True)
class Zombie:
    """A service that was stopped in the middle, and will go on when another one has taken over."""

    task: asyncio.Task[None]
    life: Life


#: Told of each event when it begins, and of each restart.
Listener: TypeAlias = Callable[["World", str], None]


class World:
    """One sequence of events. Everything in it follows from the seed."""

    #: How many milliseconds the wall clock of the service is ahead of the time.
    clock_error = 0

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.chance = random.Random(seed)  # noqa: S311 - a seed is what is wanted
        self.now = BEGINNING
        self.tally = Tally(Counter(), Counter(), Counter())
        #: Which kind of events this world likes.
        self.temper = self.chance.choice(tuple(Temper))
        self.listener: Listener = lambda _world, _event: None
        self.faults = Faults()
        self.chain = SimulatedChain(lambda: self.now // 1000)
        self.log = SigningLog()
        self.memory = Memory(lambda: self.wall_clock, lambda: self.now)
        self.memory.observer = self._observe
        self.memory.attempt_observer = self._check_signature
        self.watcher = SimulatedWatcher(self.memory, self.chain)
        self.nature = Nature(self.chain, self.chance)
        costs = Costs(most_inputs=self.chance.choice((2, 3, 146)), unexpected=self.chance.choice((0, 0, 0, 0, 2, 8)))
        version = self.chance.choice((OLD_RPC, OLD_RPC, NEW_RPC))
        around = Surroundings(self.chain, self.log, self.faults, costs, lambda: self.now // 1000, version)
        self.house = WalletHouse(around)
        self.ground = Ground(self.memory, self.chain, self.house, Groups(), self.faults, self.chance)
        self.life = Life(1)
        self.node = 1
        #: The life whose code runs now: that of the service, or of one that was frozen.
        self.running = self.life
        self.service = SimulatedService(self.ground, self.node, self.life)
        self.claim: MemoryClaim | None = None
        self.zombie: Zombie | None = None
        #: What the work for an escrow failed with at last.
        self.last_error: dict[EscrowId, str] = {}
        self.broken_laws: list[str] = []
        #: How many log entries of each escrow were checked.
        self.checked: dict[EscrowId, int] = {}
        self.commands: list[Command] = []
        self.beat()
        self.watcher.look()

    # --- what is there ------------------------------------------------------------------------------------------------

    @property
    def escrows(self) -> tuple[Escrow, ...]:
        """All escrows as they are stored."""
        return tuple(self.memory.tables.escrows.values())

    @property
    def wall_clock(self) -> int:
        """What the wall clock of the service shows, in milliseconds since 1970."""
        return self.now + self.clock_error

    @property
    def has_work(self) -> bool:
        """Whether the service has anything to do now."""
        return bool(self._due())

    def happens(self, event: str) -> None:
        """Note that something happens."""
        self.tally.happened[event] += 1
        self.listener(self, event)

    # --- time ---------------------------------------------------------------------------------------------------------

    def beat(self) -> None:
        """Let the running clock beat once: the time since the last beat counts while the daemon is up."""
        tables = self.memory.tables
        tables.clock = tables.clock.after_beat(self.wall_clock, counts=not self.faults.daemon_is_down)

    def jump_clock(self, seconds: float) -> None:
        """Let the wall clock of the service be set forward, or back, while no time passes."""
        self.clock_error += int(seconds * 1000)

    def pass_time(self, seconds: float, *, is_running: bool = True) -> None:
        """Let time pass, with a service that beats or, after a crash, with none."""
        passed = int(seconds * 1000)
        clock = self.memory.tables.clock
        # Of a beat that corrects the work clock where the wall clock has jumped.
        beaten = clock.after_beat(self.wall_clock, counts=clock.counted)
        self.now += passed
        if is_running:
            is_up = not self.faults.daemon_is_down
            counted = passed if clock.counted else max(0, passed - BEAT)
            running = clock.running + (counted if is_up else 0)
            self.memory.tables.clock = replace(
                beaten, running=running, last_beat=(beaten.last_beat or 0) + passed, counted=is_up
            )

    def sleep(self, seconds: float) -> None:
        """Let time pass while the service sleeps; the watcher works on, and the claim is kept."""
        self.pass_time(seconds)
        if self.claim is not None:
            self.service.store.renew(self.claim)
        if not self.faults.daemon_is_down:
            self.watcher.look()

    def mine(self, blocks: int = 1, leave_out: frozenset[str] = frozenset()) -> None:
        """Let blocks come, one after the other."""
        for _ in range(blocks):
            self.pass_time(BLOCK_TIME)
            self.chain.mine(leave_out=leave_out)

    # --- the service --------------------------------------------------------------------------------------------------

    def add_stock(self) -> None:
        """Let a set of wallets be ready before anybody needs it."""
        escrow = EscrowId(make_identifier(Prefix.ESCROW, self.now, self.chance.randbytes(RANDOM_BYTES)))
        self.memory.tables.wallet_sets[escrow] = wallet_set(self.ground, escrow)
        self.memory.tables.stock[escrow] = None

    async def create(self) -> None:
        """Let somebody begin an escrow."""
        await self._as_caller(self.service.orchestrator.create(draw_terms(self.chance)))

    async def command(self, escrow: EscrowId, who: Who, event: Event) -> bool:
        """Let somebody say something; return whether it was taken."""
        try:
            after = await self.service.orchestrator.command(escrow, event, who)
        except EscrowdError as error:
            self.tally.errors[type(error).__name__] += 1
            return False
        except Crashed:
            self._note_if_stored(escrow, who, event)
            self.restart()
            return False
        self.commands.append(Command(escrow, who, event, after.version))
        return True

    async def work(self) -> None:
        """Let the service do what is due, until nothing is, or for some rounds."""
        for _ in range(ROUNDS):
            due = self._due()
            if not due:
                return
            for escrow in due:
                await self.advance(escrow)

    async def advance(self, escrow: EscrowId) -> None:
        """Let the service advance one escrow, until it is done, fails, dies or freezes."""
        if self.faults.armed is not Trouble.FREEZE:
            await self._advance(self.service, escrow)
            return
        work = asyncio.create_task(self._advance(self.service, escrow))
        frozen = asyncio.create_task(self.faults.frozen.wait())
        await asyncio.wait({work, frozen}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            frozen.cancel()
            if self.faults.frozen.is_set():
                # Another call of the same step had failed already, so that only a left-over stood still.
                self.faults.thawed.set()
            await work
            return
        self.zombie, self.claim = Zombie(work, self.life), None
        self.pass_time(LEASE / 1000 + 1)
        self._begin_life(self.node + 1)

    async def thaw(self) -> None:
        """Let a frozen service go on, which has lost everything meanwhile, and does not know."""
        if self.zombie is not None:
            zombie, self.zombie = self.zombie, None
            self.running = zombie.life
            self.faults.thawed.set()
            await zombie.task
            self.running = self.life
            zombie.life.is_over = True

    def restart(self) -> None:
        """Start the service again after its death, here or on another node."""
        self.happens("restart")
        self.life.is_over = True
        fate = self.chance.random()
        if fate < 0.4:
            self.end_wallets(kindly=fate < 0.1)
        if self.chance.random() < 0.15:
            self.pass_time(LEASE / 1000 + 1, is_running=False)
            self._begin_life(self.node + 1)
            return
        # A node that starts frees its own claims.
        work = self.memory.tables.work
        for key in [each for each, row in work.items() if row.owner == self._owner]:
            work[key] = replace(work[key], owner="", lease_until=0)
        self.pass_time(self.chance.choice((1, 40)), is_running=False)
        self._begin_life(self.node)

    def end_wallets(self, *, kindly: bool) -> None:
        """End all wallet processes of this node; kindly, and each saves its wallet first."""
        for key in [each for each in self.house.processes if each[0] == self.node]:
            process = self.house.processes[key]
            if kindly and process.rpc.wallet is not None:
                self.house.write(key, process.rpc.wallet)
            self.house.kill(key)

    # --- private ------------------------------------------------------------------------------------------------------

    @property
    def _owner(self) -> str:
        return f"node {self.node}"

    def _due(self) -> list[EscrowId]:
        rows, now = self.memory.tables.work.items(), self.memory.work_now()
        return [escrow for escrow, row in rows if row.due is not None and row.due <= now]

    def _begin_life(self, node: int) -> None:
        self.node = node
        self.running = self.life = Life(self.life.number + 1)
        self.service = SimulatedService(self.ground, node, self.life)
        # The first beat adds nothing: the time in which nobody ran counts for nobody.
        tables = self.memory.tables
        tables.clock = tables.clock.after_beat(self.wall_clock, counts=False)
        self.beat()

    async def _advance(self, service: SimulatedService, escrow: EscrowId) -> None:
        """Do what a worker does with one row."""
        claim: MemoryClaim | None = None
        try:
            claim = self.claim = await service.store.claim(escrow, self._owner)
            if claim is not None:
                await service.store.settle(claim, await service.advance.advance(escrow, claim))
        except LeaseLost:
            self.tally.errors["LeaseLost"] += 1
        except EscrowdError as error:
            self.tally.errors[type(error).__name__] += 1
            self.last_error[escrow] = str(error)
            await self._fail(service, claim)
        except BaseException:
            # Whatever comes out of a service that died is its death.
            if not service.life.is_over:
                raise
            if service.life is self.life:
                self.restart()
        finally:
            self.claim = None

    async def _fail(self, service: SimulatedService, claim: MemoryClaim | None) -> None:
        if claim is None:
            return
        try:
            await service.store.fail(claim, 1)
        except LeaseLost:
            self.tally.errors["LeaseLost"] += 1
        except Crashed:
            if service.life is self.life:
                self.restart()

    async def _as_caller(self, call: "asyncio.Future[Escrow] | object") -> None:
        try:
            await call  # type: ignore[misc]
        except EscrowdError as error:
            self.tally.errors[type(error).__name__] += 1
        except Crashed:
            self.restart()

    def _note_if_stored(self, escrow: EscrowId, who: Who, event: Event) -> None:
        """Note a word that was stored although nobody heard the answer."""
        entries = self.memory.tables.log.get(escrow, ())
        stored = self.memory.tables.escrows[escrow]
        if entries and entries[-1].who == who and f'"{type(event).__name__}"' in entries[-1].data:
            self.commands.append(Command(escrow, who, event, stored.version))

    def _check_signature(self, attempt: Attempt) -> None:
        """No signature is given away before its wallet has forgotten its nonces on disk, or beside another payout."""
        if attempt.step is not AttemptStep.SIGNED:
            return
        if rival := paid_besides(self.chain, self.memory.tables, attempt):
            self.broken_laws.append(f"an attempt at {attempt.payout} can be mined beside {rival}")
        for one in self.log.txids[attempt.transactions[0].txid].transactions:
            for each in one.inputs:
                nonce = each.nonces[attempt.cosigner]
                if any(file.has_nonce(each.key, nonce) for file in self.house.files.values()):
                    self.broken_laws.append(f"a signature is stored, and a file still has its nonce {nonce[:8]}")

    def _observe(self, step: Step) -> None:
        """Count the row that a step took; an escrow counts as funded only when the money is there."""
        row = row_of(step)
        if isinstance(step.event, FundingVerified):
            terms = step.after.terms
            there = sum(
                each.output.amount
                for each in self.chain.mined_of(step.after.id)
                if each.output.is_to_primary_address
                and each.transaction.unlock_time == 0
                and self.chain.height - each.height >= terms.confirmations
            )
            if there < terms.least_deposit:
                self.broken_laws.append(f"{step.after.id} is {step.after.status} with {there} of {terms.least_deposit}")
        if row is not None and id(row) in _PLACES:
            self.tally.rows[_PLACES[id(row)]] += 1


def row_of(step: Step) -> Row | None:
    """Return the row of the state table that a step took; ``None`` for the first step of an escrow."""
    before = step.before
    if before is None:
        return None
    after = step.after
    rows = tuple(rows_for(before.status, type(step.event), step.who))
    if len(rows) == 1:
        return rows[0]
    noted = replace(
        before,
        deposit=after.deposit,
        address=after.address,
        restore_height=after.restore_height,
        outside_spends=after.outside_spends,
    )
    return next(row for row in rows if row.provided(noted, step.event, step.who))


#: Where each row stands in the table; rows that a test put there have no place.
_PLACES: Final = {id(row): place for place, row in enumerate(TABLE)}
