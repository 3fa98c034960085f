"""``escrowd bench escrow``: whole escrows beside the raw wallet RPC, on this machine, in one run.

The service runs as it does in earnest, with its database and its watcher, on a private chain. The raw side does the
same steps on wallets of the same kind, through the same transport, and both take their samples in turn.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import median

from escrowd.bench.raw_calls import RawSession
from escrowd.bench.raw_payouts import RawSetUp, sync_and_sweep
from escrowd.bench.rows import Row, at_most_times_floor, below, row
from escrowd.bench.sampling import CallLog, LoggedCall, Tell, seconds_of, tell_nobody
from escrowd.bench.watching import WatchingSamples, measure_watching
from escrowd.bootstrap.service import RunningService
from escrowd.domain.escrow.events import Released
from escrowd.domain.escrow.facts import Escrow
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.escrow.terms import Terms, all_hosted
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.money import PICONERO_PER_XMR
from escrowd.domain.networks import Network
from escrowd.domain.payouts.records import PayoutStatus
from escrowd.service.keying.keyer import Job
from escrowd.service.orchestrator import EscrowView
from escrowd.testing.escrow_house import EscrowHouse
from escrowd.testing.funder import FUNDER_ADDRESS
from escrowd.testing.keying import KeyingHouse, new_escrow_id
from escrowd.testing.lab import RegtestLab
from escrowd.testing.wallet_sets import wallet_sets

#: Seconds between two looks at whether something has happened.
LOOK = 0.01
#: Seconds that anything may take.
PATIENCE = 300.0


@dataclass(frozen=True, slots=True)
class EscrowSamples:
    """How much is measured. At most eleven escrows and raw sessions together: so many kept wallets there are."""

    escrows: int = 5
    set_ups: int = 3
    watching: WatchingSamples = field(default_factory=WatchingSamples)


async def measure_escrows(samples: EscrowSamples | None = None, tell: Tell = tell_nobody) -> tuple[Row, ...]:
    """Measure everything.

    Raises:
        ProgramMissing: Monero is not installed.
        EscrowdError: a measurement could not be made.

    """
    wanted = samples or EscrowSamples()
    rows: tuple[Row, ...] = ()
    async with RegtestLab.start(progress=lambda what: tell(what, 0, 1)) as lab:
        rows += await _measure_set_ups(lab, wanted.set_ups, tell)
        async with _stocked_service(lab, wanted.escrows) as bench:
            rows += await bench.creations(tell)
            rows += await bench.detection(tell)
            rows += await bench.releases(tell)
    return rows + await asyncio.to_thread(measure_watching, wanted.watching)


# --- keys ------------------------------------------------------------------------------------------------------------


async def _measure_set_ups(lab: RegtestLab, rounds: int, tell: Tell) -> tuple[Row, ...]:
    """Make keys live, beside three raw wallets.

    Nearly all of it is RSA keys that Monero makes, of 0.5 to 5 s at random each. So the goal is held against the very
    same calls: the floor of a set-up is the time in which at least one of its calls was under way.
    """
    log = CallLog()
    house = KeyingHouse(lab.daemon_endpoint.port, lab.directory / "bench-keys")
    raw = await RawSetUp.start(lab)
    raw_seconds, managed, floors = [], [], []
    async with house.open(observer=log.observe) as workshop:
        for done in range(rounds):
            tell("making keys", done, rounds)
            raw_seconds.append(await seconds_of(raw.make))
            log.clear()
            job = Job(new_escrow_id(), all_hosted(), house.journal)
            managed.append(await seconds_of(lambda job=job: workshop.keyer.advance(job)))  # type: ignore[misc]
            floors.append(busy_seconds(log.calls))
        tell("making keys", rounds, rounds)
    return (
        row("live set-up, beside its own calls", sum(managed), "s", floor=sum(floors), goal=at_most_times_floor(1.1)),
        row("live set-up, beside raw parallel calls", median(managed), "s", floor=median(raw_seconds)),
    )


def busy_seconds(calls: list[LoggedCall]) -> float:
    """Return for how long at least one of the calls was under way."""
    busy, until = 0.0, float("-inf")
    for call in sorted(calls, key=lambda each: each.began):
        ended = call.began + call.seconds
        busy += max(0.0, ended - max(until, call.began))
        until = max(until, ended)
    return busy


# --- the service -----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _stocked_service(lab: RegtestLab, escrows: int) -> AsyncIterator["_Bench"]:
    house = await EscrowHouse.build(lab, lab.directory / "bench-house", kept=escrows)
    log = CallLog()
    async with house.open(log.observe) as running:
        yield _Bench(lab, running, log, escrows)


class _Bench:
    """A service with a stock of kept wallets, and what was measured of it."""

    def __init__(self, lab: RegtestLab, running: RunningService, log: CallLog, escrows: int) -> None:
        self._lab = lab
        self._running = running
        self._log = log
        self._count = escrows
        self._escrows: list[Escrow] = []

    async def creations(self, tell: Tell) -> tuple[Row, ...]:
        """Make all escrows out of the stock."""
        seconds = []
        for done in range(self._count):
            tell("creating escrows", done + 1, self._count)
            started = time.perf_counter()
            self._escrows.append(await self._running.orchestrator.create(_TERMS))
            seconds.append(time.perf_counter() - started)
        return (row("create, from the stock", 1000 * median(seconds), "ms", goal=below(100)),)

    async def detection(self, tell: Tell) -> tuple[Row, ...]:
        """Pay each escrow, and see when the service knows of it: in the pool, then in a block."""
        in_pool, in_block = [], []
        for done, escrow in enumerate(self._escrows):
            tell("paying escrows", done + 1, self._count)
            await self._lab.pay(escrow.address or "", _TERMS.amount)
            in_pool.append(await self._until(escrow.id, lambda view: view.escrow.deposit.seen > 0))
            await self._lab.mine(1)
            in_block.append(await self._until(escrow.id, lambda view: view.ledger.outputs[0].is_mined))
        return (
            row("deposit seen, after the pool has it", max(in_pool), "s", goal=below(2.5)),
            row("deposit seen in a block, after that", max(in_block), "s", goal=below(1.0)),
        )

    async def releases(self, tell: Tell) -> tuple[Row, ...]:
        """Release each escrow on its warm session, and in turn sweep a raw one with the same calls."""
        raw = await self._raw_sessions()
        await self._lab.mine(10)
        for escrow in self._escrows:
            await self._until(escrow.id, lambda view: view.escrow.status is Status.FUNDED)
        ours, theirs, calls = [], [], []
        for done, (escrow, session) in enumerate(zip(self._escrows, raw, strict=True)):
            tell("releasing", done + 1, self._count)
            theirs.append(await seconds_of(lambda session=session: sync_and_sweep(session, FUNDER_ADDRESS)))  # type: ignore[misc]
            self._log.clear()
            started = time.perf_counter()
            await self._running.orchestrator.command(escrow.id, Released(), Who.BUYER)
            await self._until(escrow.id, _is_sent)
            ours.append(time.perf_counter() - started)
            calls.append(sum(self._log.count().values()))
        goal = at_most_times_floor(1.25)
        return (
            row("release, on a warm session", median(ours), "s", floor=median(theirs), goal=goal),
            row("release: calls to Monero, watching included", median(calls), "calls"),
        )

    async def _raw_sessions(self) -> list[RawSession]:
        """Fund as many raw wallets as there are escrows, and open them."""
        sets = wallet_sets()[self._count : 2 * self._count]
        sessions = [await RawSession.start(self._lab, kept, f"raw-{number}") for number, kept in enumerate(sets)]
        for session in sessions:
            await session.open()
            await self._lab.pay(session.wallets.address, _TERMS.amount)
            await self._lab.mine(1)
        return sessions

    async def _until(self, escrow: EscrowId, holds: Callable[[EscrowView], bool]) -> float:
        """Wait until something holds of an escrow; return how many seconds that took."""
        started = time.perf_counter()
        async with asyncio.timeout(PATIENCE):
            while not holds(await self._running.orchestrator.view(escrow)):  # noqa: ASYNC110 - seen from outside
                await asyncio.sleep(LOOK)
        return time.perf_counter() - started


# ---------------------------------------------------------------------------------------------------------------------

_TERMS = Terms(
    Network.REGTEST, PICONERO_PER_XMR, refund_address=wallet_sets()[-1].address, payout_address=FUNDER_ADDRESS
)


def _is_sent(view: EscrowView) -> bool:
    return bool(view.payouts) and view.payouts[-1].status is PayoutStatus.BROADCAST
