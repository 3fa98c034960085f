import asyncio
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from escrowd.store import schema
from escrowd.store.database import Database
from escrowd.store.work import WorkTable
from escrowd.testing.worker_process import KIND, StepLine, WorkerOrders, WorkerProcess, read_steps

#: Seconds in which what must happen has to happen, on a machine that is busy.
PATIENCE = 60.0


@pytest.fixture
def steps(tmp_path: Path) -> Path:
    return tmp_path / "steps"


@pytest.fixture
def orders(database_url: str, steps: Path) -> Callable[..., WorkerOrders]:
    def make(node: str, **changes: Any) -> WorkerOrders:
        return WorkerOrders(url=database_url, node=node, steps=str(steps), **changes)

    return make


async def wake(database: Database, *names: str, in_seconds: float = 0) -> None:
    async with database.transaction() as session:
        work = WorkTable(session)
        for name in names:
            await work.wake(f"{KIND}:{name}", in_seconds)


async def stored(database: Database) -> dict[str, str]:
    """Return what steps stored: which node did which row under which fence."""
    table = schema.raw_transactions
    async with database.reading() as session:
        rows = (await session.connection.execute(select(table.c.txid, table.c.raw))).all()
    return {row.txid.removeprefix(f"{KIND}:"): row.raw for row in rows}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.02)


async def until_stored(database: Database, number: int) -> dict[str, str]:
    async with asyncio.timeout(PATIENCE):
        while len(found := await stored(database)) < number:
            await asyncio.sleep(0.05)
        return found


def begun(path: Path) -> list[StepLine]:
    return [each for each in read_steps(path) if each.what == "begin"]


def overlaps(path: Path) -> list[StepLine]:
    """Return the steps that began on a row while another step on it had not ended."""
    under_way: Counter[str] = Counter()
    found = []
    for line in read_steps(path):
        if line.what == "begin" and under_way[line.key]:
            found.append(line)
        under_way[line.key] += 1 if line.what == "begin" else -1
    return found


async def test_work_of_a_killed_process_is_left(
    database: Database, orders: Callable[..., WorkerOrders], steps: Path
) -> None:
    """What a process had in hand when it was killed, and a timer that was set then, are done by another one."""
    async with WorkerProcess(orders("one", duration=600.0, lease=2.0)) as one:
        await wake(database, "a", "b", "c")
        await until(lambda: len(begun(steps)) == 3)
        await wake(database, "timer", in_seconds=3.0)
        await one.kill()
    async with WorkerProcess(orders("two")):
        assert set((await until_stored(database, 4)).values()) == {"two"}
    firsts = begun(steps)
    assert {each.node for each in firsts[:3]} == {"one"}


async def test_node_that_comes_back_waits_for_its_own_leases(
    database: Database, orders: Callable[..., WorkerOrders], steps: Path
) -> None:
    """A node that is started again does its own work at once, however long the claims of its earlier run would last."""
    async with WorkerProcess(orders("one", duration=600.0, lease=600.0)):
        await wake(database, "a")
        await until(lambda: len(begun(steps)) == 1)
    async with WorkerProcess(orders("one")):
        assert await until_stored(database, 1) == {"a 2": "one"}


async def test_overtaken_process_stores_something(
    database: Database, orders: Callable[..., WorkerOrders], steps: Path
) -> None:
    """A process that stood still while another one took over its work stores nothing when it goes on."""
    # With one step at a time it does not look for others meanwhile: on SQLite it could be stopped in a transaction, and
    # whoever stands still in one keeps all others out.
    async with WorkerProcess(orders("one", duration=1.0, lease=2.0, concurrency=1)) as one:
        await wake(database, "a")
        await until(lambda: len(begun(steps)) == 1)
        one.signal(signal.SIGSTOP)
        async with WorkerProcess(orders("two")):
            assert await until_stored(database, 1) == {"a 2": "two"}
        one.signal(signal.SIGCONT)
        await until(lambda: any(each.what == "end" and each.node == "one" for each in read_steps(steps)))
        await wake(database, "b")
        await until_stored(database, 2)
    assert set(await stored(database)) == {"a 2", "b 1"}


async def test_two_processes_do_the_same_row_at_once(
    database: Database, orders: Callable[..., WorkerOrders], steps: Path
) -> None:
    """Of three processes that share 200 rows, woken again and again, one has a row at a time, and no wake is lost."""
    names = [f"{number:03}" for number in range(200)]
    async with (
        WorkerProcess(orders("one", duration=0.01)),
        WorkerProcess(orders("two", duration=0.01)),
        WorkerProcess(orders("three", duration=0.01)),
    ):
        for _ in range(3):
            await wake(database, *names)
            await asyncio.sleep(0.3)
        await wake(database, *names, in_seconds=0.2)
        async with asyncio.timeout(PATIENCE):
            while await rows_left(database):
                await asyncio.sleep(0.1)
    assert overlaps(steps) == []
    assert {each.key for each in begun(steps)} == {f"{KIND}:{name}" for name in names}
    assert len({each.node for each in begun(steps)}) > 1


async def rows_left(database: Database) -> int:
    table = schema.work
    async with database.reading() as session:
        query = select(func.count()).select_from(table).where(table.c.due_at.is_not(None) | table.c.owner.is_not(None))
        return int((await session.connection.execute(query)).scalar_one())


async def test_end_of_a_process_breaks_its_steps(
    database: Database, orders: Callable[..., WorkerOrders], steps: Path
) -> None:
    """A process that is asked to end brings the steps in hand to their end, begins no other, and signs off."""
    async with WorkerProcess(orders("one", duration=2.0, concurrency=1)) as one:
        await wake(database, "a")
        await until(lambda: len(begun(steps)) == 1)
        one.signal(signal.SIGTERM)
        await wake(database, "b")
        assert await one.ended()
    assert await stored(database) == {"a 1": "one"}
    async with database.reading() as session:
        assert (await session.connection.execute(select(schema.nodes))).all() == []


async def test_name_of_a_node_is_used_twice(database: Database, orders: Callable[..., WorkerOrders]) -> None:
    """A second process of the same name does not work, and says why; when the first is killed, the name is free."""
    async with WorkerProcess(orders("one")) as first:
        async with WorkerProcess(orders("one", name_patience=0.5)) as second:
            assert await second.ended()
            assert "another process works as node 'one'" in second.output.read_text()
        await first.kill()
        async with WorkerProcess(orders("one")) as third:
            assert third.is_alive
