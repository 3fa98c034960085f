"""What many sessions cost at once: time, memory, idle processor time; and whether one of them is still quick."""

import asyncio
import itertools
import time
from collections.abc import Sequence
from functools import partial
from statistics import median

import psutil

from escrowd.bench.houses import LONG, built_house
from escrowd.bench.raw_calls import cores
from escrowd.bench.rows import Row, at_most, below, exactly, row
from escrowd.bench.sampling import Tell, seconds_of
from escrowd.bench.warm import BALANCE_GOAL, LEASE_GOAL, check_balance, take_lease
from escrowd.bootstrap import RunningHouse, open_wallet_house
from escrowd.domain.identifiers import EscrowId
from escrowd.testing.lab import RegtestLab
from escrowd.wallets.settings import AtExit, SessionSettings

#: MiB of memory for a wallet, and cores for all idle wallets together.
MEMORY_GOAL = at_most(9)
IDLE_GOAL = below(0.5)


async def measure_crowd(lab: RegtestLab, escrows: int, rounds: int, window: float, tell: Tell) -> tuple[Row, ...]:
    """Open so many sessions at once and look at them; ``window`` is how many seconds they are watched idle.

    Call :func:`escrowd.bootstrap.raise_open_files_limit` before the lab starts, whose daemon inherits the limit.
    """
    settings = SessionSettings(
        max_sessions=escrows,
        max_waiting=escrows,
        lease_timeout=LONG,
        at_exit=AtExit.CLOSE,
        stop_patience=1,  # interrupted, it need not wait for the openings under way
    )
    async with built_house(lab, "crowd", escrows) as house, open_wallet_house(house.house(settings)) as running:
        seconds = await seconds_of(partial(_open_all, running, house.escrows, tell))
        await _read_chain(running, house.escrows, tell)
        processes = _wallet_processes(running)
        memory = _mean_memory(processes)
        idle = await _idle_cores(processes, window, tell)
        leases = await _leases(running, house.escrows, rounds)
        balances = await _balances(running, house.escrows, rounds)
    return (
        row("wallets open at once", len(processes), "wallets", goal=exactly(3 * escrows)),
        row("time to open one of them", seconds / len(processes), "s"),
        row("memory of an open wallet (proportional set size)", memory, "MiB", goal=MEMORY_GOAL),
        row("all of them idle", idle, "cores", goal=IDLE_GOAL),
        row("lease of a warm session among them, verified", 1000 * median(leases), "ms", goal=LEASE_GOAL),
        row("balance among them, no new block", 1000 * median(balances), "ms", goal=BALANCE_GOAL),
    )


# ---------------------------------------------------------------------------------------------------------------------


async def _open_all(running: RunningHouse, escrows: Sequence[EscrowId], tell: Tell) -> None:
    what = f"opening {len(escrows)} sessions at once"
    tell(what, 0, len(escrows))
    opening = [asyncio.ensure_future(running.manager.get_or_create_session(escrow)) for escrow in escrows]
    try:
        for done, each in enumerate(asyncio.as_completed(opening), 1):
            await each
            tell(what, done, len(escrows))
    finally:
        for task in opening:
            task.cancel()
        await asyncio.gather(*opening, return_exceptions=True)


async def _read_chain(running: RunningHouse, escrows: Sequence[EscrowId], tell: Tell) -> None:
    """Let every wallet read the chain, as one in service has: what it knows then, and its connection, take memory."""
    core = asyncio.Semaphore(cores())
    done = itertools.count(1)

    async def read(escrow: EscrowId) -> None:
        async with core, running.manager.lease(escrow) as lease:
            for role in lease.roles:
                await lease.balance(role)
        tell("reading the chain with all wallets", next(done), len(escrows))

    await asyncio.gather(*(read(escrow) for escrow in escrows))


def _wallet_processes(running: RunningHouse) -> list[psutil.Process]:
    """Return the processes that hold a wallet."""
    return [
        psutil.Process(record.identity.pid)
        for record in running.pool.around.registry.records()
        if record.holding is not None and record.identity is not None
    ]


def _mean_memory(processes: Sequence[psutil.Process]) -> float:
    """Return the mean memory of a process, in MiB; what several share counts in parts."""
    return sum(process.memory_full_info().pss for process in processes) / len(processes) / 2**20


async def _idle_cores(processes: Sequence[psutil.Process], window: float, tell: Tell) -> float:
    """Return how many cores all the processes together keep busy while nobody asks them anything."""
    before, started = _processor_seconds(processes), time.perf_counter()
    ends = started + window
    while (now := time.perf_counter()) < ends:
        tell("watching them idle", round(now - started), round(window))
        await asyncio.sleep(min(1.0, ends - now))
    tell("watching them idle", round(window), round(window))
    return (_processor_seconds(processes) - before) / (time.perf_counter() - started)


def _processor_seconds(processes: Sequence[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes]
    return sum(each.user + each.system for each in times)


async def _leases(running: RunningHouse, escrows: Sequence[EscrowId], rounds: int) -> list[float]:
    return [
        await seconds_of(partial(take_lease, running, escrow))
        for escrow in itertools.islice(itertools.cycle(escrows), rounds)
    ]


async def _balances(running: RunningHouse, escrows: Sequence[EscrowId], rounds: int) -> list[float]:
    return [
        await seconds_of(partial(check_balance, running, escrow))
        for escrow in itertools.islice(itertools.cycle(escrows), rounds)
    ]
