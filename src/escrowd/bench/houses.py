"""The managed side of a comparison: wallet sessions over a lab, ended to the last process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from escrowd.bench.raw_calls import RawSession
from escrowd.bench.sampling import CallLog
from escrowd.bootstrap import RunningHouse, open_wallet_house
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.parties import WalletRole
from escrowd.testing.house import LabHouse
from escrowd.testing.lab import RegtestLab
from escrowd.testing.wallet_process import PATIENCE, end_leftover_wallets
from escrowd.testing.wallet_sets import wallet_sets
from escrowd.wallets.pool import PoolBounds
from escrowd.wallets.registry import Registry
from escrowd.wallets.running import RunningProcess
from escrowd.wallets.settings import AtExit, SessionSettings

#: Seconds that nothing in a benchmark takes.
LONG: Final = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class SideBySide:
    """The same 2-of-3 wallets twice, on one chain: open in processes of nobody's, and in a session."""

    lab: RegtestLab
    raw: RawSession
    running: RunningHouse
    escrow: EscrowId
    #: The calls of the managed side.
    calls: CallLog


@asynccontextmanager
async def both_sides(lab: RegtestLab) -> AsyncIterator[SideBySide]:
    """Open the first kept set on both sides, with caches in the same state: read up to the tip, saved, opened again."""
    calls = CallLog()
    async with built_house(lab, "managed", 1) as house:
        (escrow,) = house.escrows
        settings = SessionSettings(max_sessions=1, at_exit=AtExit.CLOSE, lease_timeout=LONG)
        # The pool would start processes in place of those handed out, in the middle of somebody's sample.
        pool = PoolBounds(maximum=9, check_interval=LONG)
        async with open_wallet_house(replace(house.house(settings), pool=pool), calls.observe) as running:
            raw = await RawSession.start(lab, wallet_sets()[0])
            await raw.open()
            for role in WalletRole:
                await raw.refreshed_balance(role)
                async with running.manager.lease(escrow) as lease:
                    await lease.balance(role)
            await raw.close()
            await running.manager.close_session(escrow, LONG)
            await raw.open()
            await running.manager.get_or_create_session(escrow)
            yield SideBySide(lab, raw, running, escrow, calls)


@asynccontextmanager
async def built_house(lab: RegtestLab, name: str, escrows: int) -> AsyncIterator[LabHouse]:
    """Build a house inside the lab's directory, and end whatever wallet processes of it run at the end of the block."""
    house = LabHouse.build(lab, lab.directory / name, escrows)
    try:
        yield house
    finally:
        await _end_all(Path(house.file.run_directory))


# ---------------------------------------------------------------------------------------------------------------------


async def _end_all(run_directory: Path) -> None:
    """End the wallet processes of a run directory: those in its records, and those killed before they got into one."""
    for identity in Registry(run_directory).unknown_processes():
        process = RunningProcess.grip(identity)
        if process is not None:
            await process.end(PATIENCE)
            process.close()
    await end_leftover_wallets(run_directory)
