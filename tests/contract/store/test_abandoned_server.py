import asyncio
import os
import signal
import sys
from pathlib import Path

import psutil

from escrowd.testing.postgres import PostgresServer, remove_abandoned

STORY = """
import asyncio
from escrowd.testing.postgres import PostgresServer

async def main():
    async with PostgresServer() as server:
        print(server._home, flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


def is_served(home: Path) -> bool:
    return any(
        str(home) in argument
        for process in psutil.process_iter(["cmdline"])
        for argument in process.info["cmdline"] or []
    )


async def test_server_outlives_a_killed_process() -> None:
    """A server ends with the process that made it, also when that is killed; the next one removes what it left."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", STORY, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    home = Path((await process.stdout.readline()).decode().strip())
    assert is_served(home)
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    async with asyncio.timeout(30):
        while is_served(home):
            await asyncio.sleep(0.05)
    assert home.exists()
    async with PostgresServer() as other:
        for each in (home, other._home):
            os.utime(each / "lock", (0, 0))
        remove_abandoned()
        assert not home.exists()
        assert other._home.exists()
