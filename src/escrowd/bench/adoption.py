"""What it costs to come back after ``kill -9``: the wallets are still open, and are taken over."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from escrowd.bench.houses import built_house
from escrowd.bench.rows import Row, below, exactly, row
from escrowd.bench.sampling import CallLog, Tell
from escrowd.bootstrap import open_wallet_house
from escrowd.testing.house import LabHouse
from escrowd.testing.lab import RegtestLab
from escrowd.wallets.registry import Registry
from escrowd.wallets.settings import AtExit, SessionSettings

#: In seconds.
ADOPTION_GOAL = below(2)


@dataclass(frozen=True, slots=True)
class Adoption:
    """One start after a kill: its time in seconds, the sessions it found, and the wallets it had to open."""

    seconds: float
    sessions: int
    opens: int


async def measure_adoption(lab: RegtestLab, escrows: int, rounds: int, tell: Tell) -> tuple[Row, ...]:
    """Kill a service with so many sessions, and time the next start until it can lend them; do it again.

    Only the first round pays for opening the wallets: the service of the next round adopts what this one leaves.
    """
    async with built_house(lab, "adopted", escrows) as house, _shown(house, escrows, tell):
        seen = [await _adopt_after_kill(house, escrows) for _ in range(rounds)]
    return adoption_rows(seen, escrows)


def adoption_rows(seen: list[Adoption], escrows: int) -> tuple[Row, ...]:
    """Judge the starts: the median time, and the worst of the counts."""
    return (
        row(
            f"adopt {escrows} sessions ({3 * escrows} wallets) after kill -9",
            median(each.seconds for each in seen),
            "s",
            goal=ADOPTION_GOAL,
        ),
        row("sessions adopted", min(each.sessions for each in seen), "sessions", goal=exactly(escrows)),
        row("open_wallet calls of the adoption", max(each.opens for each in seen), "calls", goal=exactly(0)),
    )


# ---------------------------------------------------------------------------------------------------------------------


async def _adopt_after_kill(house: LabHouse, escrows: int) -> Adoption:
    async with house.service(escrows) as service:
        await service.kill()
    calls = CallLog()
    settings = SessionSettings(max_sessions=escrows, at_exit=AtExit.LEAVE)
    started = time.perf_counter()
    async with open_wallet_house(house.house(settings), calls.observe) as running:
        seconds = time.perf_counter() - started
        return Adoption(seconds, len(running.adopted.sessions), calls.count()["open_wallet"])


@asynccontextmanager
async def _shown(house: LabHouse, escrows: int, tell: Tell) -> AsyncIterator[None]:
    """Tell how many wallets the service in the other process has open, by the records of its processes."""
    watching = asyncio.create_task(_watch(house, escrows, tell))
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    tell(_opening(escrows), 3 * escrows, 3 * escrows)


async def _watch(house: LabHouse, escrows: int, tell: Tell) -> None:
    # Reads the files only: the directory belongs to the service.
    registry = Registry(Path(house.file.run_directory))
    done = 0
    while done < 3 * escrows:
        done = sum(record.holding is not None for record in registry.records())
        tell(_opening(escrows), done, 3 * escrows)
        await asyncio.sleep(1)


def _opening(escrows: int) -> str:
    return f"opening {escrows} sessions in a service to be killed"
