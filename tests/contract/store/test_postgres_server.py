import psutil
import pytest

from escrowd.testing.postgres import PREFIX, PostgresServer


def servers() -> set[int]:
    return {
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if any(PREFIX in argument for argument in process.info["cmdline"] or [])
    }


async def test_server_is_left_behind() -> None:
    """A server for tests is gone when its block ends, also after a failure in it, and its directory with it."""
    before, seen = servers(), []

    async def fail() -> None:
        async with PostgresServer() as server:
            seen.append((server._home, servers() - before))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    ((home, running),) = seen
    assert running
    assert servers() == before
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
