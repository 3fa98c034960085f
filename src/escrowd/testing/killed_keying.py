"""A service that makes keys until it is killed: a process of its own, so that it can be killed with ``kill -9``.

What it stores is lost with it, so whoever starts it stores beforehand what a real service had stored by then.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Final

import msgspec

from escrowd.domain.escrow.terms import all_hosted
from escrowd.domain.identifiers import EscrowId
from escrowd.service.crash_points import CrashPoint, hit_by
from escrowd.service.keying.keyer import Job
from escrowd.testing.keying import KeyingHouse
from escrowd.wallets.running import RunningProcess
from escrowd.wallets.vault_key import ENVIRONMENT_VARIABLE, key_from_environment

#: Seconds in which the process must have come to its point.
PATIENCE: Final = 120.0


class KilledKeying(msgspec.Struct, frozen=True):
    """Where keys are made, under which id, and where the process kills itself."""

    directory: str
    daemon_port: int
    escrow: EscrowId
    point: CrashPoint


async def make_keys_until_killed(house: KeyingHouse, escrow: EscrowId, point: CrashPoint) -> None:
    """Begin the keys of an escrow in a process of its own, and return when it has killed itself at this point.

    Its wallet processes are left behind, for the next who opens the house.

    Raises:
        RuntimeError: it ended in another way.

    """
    told = KilledKeying(str(house.directory), house.daemon_port, escrow, point)
    output = house.directory / "killed.out"
    command = [sys.executable, "-m", "escrowd.testing.killed_keying", msgspec.json.encode(told).decode()]
    running = RunningProcess.spawn(command, os.environ | {ENVIRONMENT_VARIABLE: house.key.hex()}, output)
    try:
        await running.wait(PATIENCE)
    finally:
        await running.kill()
        running.close()
    if not (house.directory / _passed(point)).exists():
        raise RuntimeError(f"the process did not come to {point}: {output.read_text()}")


# ---------------------------------------------------------------------------------------------------------------------


async def _make_keys(told: KilledKeying) -> None:
    directory = Path(told.directory)
    house = KeyingHouse(told.daemon_port, directory, key_from_environment(os.environ))

    def hit(passed: CrashPoint) -> None:
        if passed is told.point:
            (directory / _passed(passed)).touch()
            os.kill(os.getpid(), signal.SIGKILL)

    with hit_by(hit):
        async with house.open() as workshop:
            await workshop.keyer.advance(Job(told.escrow, all_hosted(), house.journal))


def _passed(point: CrashPoint) -> str:
    return f"passed-{point}"


if __name__ == "__main__":
    asyncio.run(_make_keys(msgspec.json.decode(sys.argv[1], type=KilledKeying)))
