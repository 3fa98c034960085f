from pathlib import Path

import psutil
import pytest

from escrowd.testing.postgres import PostgresServer


def processes_of(home: Path) -> list[int]:
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if any(str(home) in argument for argument in process.info["cmdline"] or [])
    ]


async def test_server_is_left_behind() -> None:
    """A server for tests is gone when its block ends, also after a failure in it, and its directory with it."""
    seen = []

    async def fail() -> None:
        async with PostgresServer() as server:
            seen.append((server._home, processes_of(server._home)))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    ((home, running),) = seen
    assert running
    assert processes_of(home) == []
    assert not home.exists()


async def test_server_forgets_its_data_when_it_is_killed() -> None:
    """After a crash the server comes back at the same place with everything that was committed."""
    async with PostgresServer() as server, server.database() as name:
        await server.execute("CREATE TABLE kept (one integer)", name)
        await server.kill()
        await server.start()
        await server.execute("INSERT INTO kept VALUES (1)", name)
        await server.stop()
        await server.start()
        await server.execute("INSERT INTO kept VALUES (2)", name)
