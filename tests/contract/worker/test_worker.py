import asyncio
import sqlite3
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import select
from typing_extensions import override

from escrowd.domain.conflicts import LeaseLost
from escrowd.domain.errors import EscrowdError, Retry
from escrowd.domain.work import ClaimedRow
from escrowd.service.work_metrics import WorkCollector
from escrowd.service.worker import WorkClaim, Worker, WorkerSettings
from escrowd.store import schema
from escrowd.store.database import Database
from escrowd.store.errors import DatabaseUnavailable
from escrowd.store.migrating import migrate
from escrowd.store.node import Node
from escrowd.store.store import SqlKeyingJournal, SqlShelf, SqlStore, SqlWorkQueue
from escrowd.store.work import WorkTable
from escrowd.testing.postgres import PostgresServer
from tests.contract.store.samples import escrow_id, first_step, key_set

#: Seconds in which what must happen has to happen, on a machine that is busy.
PATIENCE = 60.0
QUICK = WorkerSettings(lease=3.0, poll=0.1, first_pause=0.05, longest_pause=0.2, stop_patience=20.0)
#: Nothing is found by looking: only a wake leads to it.
NEVER_LOOKS = WorkerSettings(lease=3.0, poll=3600.0)


class Steps:
    """A handler that notes what it does, and how many steps on one row are under way at the same time."""

    def __init__(self, act: Callable[[WorkClaim], Awaitable[float | None]] | None = None) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.most_at_once = 0
        self._act = act
        self._under_way: Counter[str] = Counter()

    async def __call__(self, claim: WorkClaim) -> float | None:
        self.begun.append(claim.subject)
        self._under_way[claim.key] += 1
        self.most_at_once = max(self.most_at_once, *self._under_way.values())
        try:
            result = await self._act(claim) if self._act else None
            self.ended.append(claim.subject)
            return result
        finally:
            self._under_way[claim.key] -= 1


async def wake(database: Database, *names: str, in_seconds: float = 0) -> None:
    async with database.transaction() as session:
        for name in names:
            await WorkTable(session).wake(f"test:{name}", in_seconds)


async def row(database: Database, name: str = "a") -> dict[str, object]:
    table = schema.work
    async with database.reading() as session:
        found = (await session.connection.execute(select(table).where(table.c.key == f"test:{name}"))).one()
    return dict(found._mapping)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


async def until_settled(database: Database, name: str = "a") -> dict[str, object]:
    async with asyncio.timeout(PATIENCE):
        while (found := await row(database, name))["owner"] is not None or found["due_at"] is not None:
            await asyncio.sleep(0.02)
        return found


def worker(
    database: Database, steps: Callable[[WorkClaim], Awaitable[float | None]], settings: WorkerSettings = QUICK
) -> Worker:
    made = Worker(SqlWorkQueue(database, "node"), {"test": steps}, settings)
    database.on_wake(made.wake)
    return made


# --- being woken -----------------------------------------------------------------------------------------------------


async def test_wake_during_a_step_is_lost(database: Database) -> None:
    """A row that is woken while its step runs is carried out once more."""

    async def act(_claim: WorkClaim) -> None:
        if len(steps.begun) == 1:
            await wake(database, "a")

    steps = Steps(act)
    async with worker(database, steps):
        await wake(database, "a")
        await until(lambda: len(steps.ended) == 2)
        assert (await until_settled(database))["due_at"] is None
    assert (steps.ended, steps.most_at_once) == (["a", "a"], 1)


async def test_worker_hears_nothing_of_a_commit(database: Database) -> None:
    """A step begins when the transaction that woke its row has committed, without waiting for the next look."""
    steps = Steps()
    async with worker(database, steps, NEVER_LOOKS):
        await asyncio.sleep(0.2)
        async with database.transaction() as session:
            await WorkTable(session).wake("test:a")
            await asyncio.sleep(0.1)
            assert steps.begun == []
        await until(lambda: steps.ended == ["a"])


async def test_other_node_hears_nothing_of_a_commit(postgres: PostgresServer) -> None:
    """On PostgreSQL a node hears what another one makes due, also after the server was away."""
    steps = Steps()
    async with postgres.database("migrated") as name:
        url = postgres.url(name)
        async with Database(url) as here, Database(url) as there, Node(here, "here"), worker(here, steps, NEVER_LOOKS):
            await wake(there, "a")
            await until(lambda: steps.ended == ["a"])
            await postgres.stop()
            await postgres.start()
            await wake(there, "b")
            await until(lambda: steps.ended == ["a", "b"])
            await asyncio.sleep(0.5)
            await wake(there, "c")
            await until(lambda: steps.ended == ["a", "b", "c"])


async def test_timer_comes_early(database: Database) -> None:
    """A row is carried out when it is due and not before; an earlier wake wins over a later one."""
    steps = Steps()
    async with worker(database, steps):
        begun = time.monotonic()
        await wake(database, "a", in_seconds=0.6)
        await wake(database, "a", in_seconds=3600)
        await until(lambda: steps.ended == ["a"])
        assert time.monotonic() - begun >= 0.59


async def test_step_says_when_to_come_back(database: Database) -> None:
    """A step that asks for it is carried out again after that time."""

    async def act(_claim: WorkClaim) -> float | None:
        return 0.3 if len(steps.begun) == 1 else None

    steps = Steps(act)
    async with worker(database, steps):
        await wake(database, "a")
        await until(lambda: len(steps.ended) == 2)
        await until_settled(database)


# --- failing ---------------------------------------------------------------------------------------------------------


class Trouble(EscrowdError):
    retry = Retry.SAFE


@pytest.mark.parametrize("trouble", [Trouble("no daemon"), ZeroDivisionError("a bug")])
async def test_failed_step_is_forgotten(database: Database, trouble: Exception) -> None:
    """A step that fails is tried again, later each time; its last error is kept until it goes well."""
    kept: list[tuple[object, object]] = []

    async def act(_claim: WorkClaim) -> None:
        kept.append(((found := await row(database))["attempt"], found["last_error"]))
        if len(steps.begun) < 4:
            raise trouble

    steps = Steps(act)
    async with worker(database, steps) as running:
        metrics = CollectorRegistry()
        metrics.register(WorkCollector(running))
        await wake(database, "a")
        after = await until_settled(database)
        counted = [metrics.get_sample_value(f"escrowd_work_{name}_total") for name in ("failures", "steps")]
    assert counted == [3, 1]
    described = f"{type(trouble).__name__}: {trouble}"
    assert kept == [(0, ""), (1, described), (2, described), (3, described)]
    assert (after["attempt"], after["last_error"]) == (0, "")


def test_pause_grows_for_ever(database_url: str) -> None:
    """The pause after a failure doubles and stays at most half a minute, after however many failures."""
    made = Worker(SqlWorkQueue(Database(database_url), "node"), {})
    assert [made._pause_after(failures) for failures in (0, 1, 2, 5, 6, 100_000)] == [0.5, 1.0, 2.0, 16.0, 30.0, 30.0]


async def test_row_of_another_kind_is_claimed(database: Database) -> None:
    """A row that this process cannot carry out is left to others."""
    steps = Steps()
    async with database.transaction() as session:
        await WorkTable(session).wake("webhook:a")
    async with worker(database, steps):
        await wake(database, "b")
        await until(lambda: steps.ended == ["b"])
    async with database.reading() as session:
        query = select(schema.work.c.fence).where(schema.work.c.kind == "webhook")
        assert (await session.connection.execute(query)).scalar_one() == 0


# --- claims that cannot be renewed -----------------------------------------------------------------------------------


class NoRenewals(SqlWorkQueue):
    """A queue whose renewals fail or hang, for as long as it is told to."""

    broken = True
    hangs = False

    @override
    async def renew(self, claimed: ClaimedRow, seconds: float) -> bool:
        if self.broken:
            await asyncio.sleep(3600 if self.hangs else 0)
            raise DatabaseUnavailable("cut off")
        return await super().renew(claimed, seconds)


@pytest.mark.parametrize("hangs", [True, False])
async def test_step_outlives_its_claim(database: Database, *, hangs: bool) -> None:
    """A step whose claim cannot be renewed is cancelled before the claim runs out, and never runs twice at once."""
    outlived: list[str] = []

    async def act(claim: WorkClaim) -> None:
        if len(steps.begun) > 2:
            queue.broken = False
            return
        try:
            await asyncio.sleep(60)
        finally:
            try:
                claim.check()
            except LeaseLost:
                outlived.append(claim.key)

    steps = Steps(act)
    queue = NoRenewals(database, "node")
    queue.hangs = hangs
    running = Worker(queue, {"test": steps}, QUICK)
    async with running:
        await wake(database, "a")
        await until(lambda: steps.ended == ["a"])
    assert (outlived, steps.most_at_once, len(steps.begun)) == ([], 1, 3)
    assert running.counters.leases_lost == 2


async def test_step_that_does_not_end_is_begun_again(database: Database) -> None:
    """A row whose claim ran out is not claimed again here while its step still runs, and it is where it has ended."""
    may_end = asyncio.Event()

    async def act(_claim: WorkClaim) -> None:
        if len(steps.begun) == 1:
            try:
                await asyncio.sleep(60)
            finally:
                await may_end.wait()  # a call that cannot be interrupted

    steps = Steps(act)
    queue = NoRenewals(database, "node")
    async with Worker(queue, {"test": steps}, QUICK):
        await wake(database, "a")
        await asyncio.sleep(QUICK.lease + 1.0)
        assert len(steps.begun) == 1
        queue.broken = False
        may_end.set()
        await until(lambda: steps.ended == ["a"])
    assert steps.most_at_once == 1


async def test_steps_are_lost_while_the_server_is_away(postgres: PostgresServer) -> None:
    """While PostgreSQL is away steps are cut off, not run on; afterwards every row is done, none twice at once."""
    names = [str(number) for number in range(12)]

    async def act(_claim: WorkClaim) -> None:
        await asyncio.sleep(1.0)

    steps = Steps(act)
    async with (
        postgres.database("migrated") as name,
        Database(postgres.url(name)) as database,
        worker(database, steps),
    ):
        await wake(database, *names)
        await until(lambda: len(steps.begun) == len(names))
        await postgres.kill()
        await asyncio.sleep(QUICK.lease + 1.0)
        await postgres.start()
        for each in names:
            assert (await until_settled(database, each))["attempt"] == 0
    assert steps.most_at_once == 1
    assert set(steps.ended) == set(names)


async def test_steps_are_lost_while_the_file_is_locked(tmp_path: Path) -> None:
    """While another process keeps the SQLite file locked nothing is lost; afterwards every row is done."""
    steps = Steps()
    path = tmp_path / "escrowd.sqlite"
    async with Database(f"sqlite+aiosqlite:///{path}") as database:
        await migrate(database)
        locker = sqlite3.connect(path, isolation_level=None)
        async with worker(database, steps):
            await wake(database, *"abc")
            locker.execute("BEGIN IMMEDIATE")
            await asyncio.sleep(QUICK.lease + 1.0)
            locker.execute("ROLLBACK")
            locker.close()
            for name in "abc":
                await until_settled(database, name)
    assert steps.most_at_once == 1
    assert set(steps.ended) == set("abc")


# --- who does it -----------------------------------------------------------------------------------------------------


async def test_row_leaves_the_node_that_has_its_wallets(database: Database) -> None:
    """A row is left to the node that it prefers while that lives; who takes it over afterwards is preferred then."""
    one, two = SqlWorkQueue(database, "one"), SqlWorkQueue(database, "two")
    await one.begin(60)
    async with database.transaction() as session:
        await WorkTable(session).prefer("test:a", "one")
        await WorkTable(session).wake("test:a")
    assert await two.claim(frozenset(), 5, 60) == ()
    assert await two.seconds_to_next() is None
    (claimed,) = await one.claim(frozenset(), 5, 60)
    await one.settle(claimed, 0)
    await one.end()
    (claimed,) = await two.claim(frozenset(), 5, 60)
    await two.settle(claimed, 0)
    await two.begin(60)
    await one.begin(60)
    assert await one.claim(frozenset(), 5, 60) == ()
    assert (await row(database))["affinity"] == "two"


async def test_escrow_leaves_the_wallets_that_are_open(database: Database) -> None:
    """An escrow prefers the node on which its wallets were made, in stock or for itself: there they are still open."""
    await SqlShelf(database, "stocker").ready(key_set(1))
    journal = SqlKeyingJournal(database, "keyer")
    await journal.begin(escrow_id(2), 1, 50, "")
    await journal.finish(escrow_id(2), 1, key_set(2))
    async with SqlStore(database, "any").transaction() as tx:
        wallets = (await tx.provide()).wallets
        assert wallets is not None
        assert wallets.escrow == escrow_id(1)
        await tx.escrows.add(first_step(1))
        await tx.escrows.add(first_step(2))
    async with database.reading() as session:
        rows = await session.connection.execute(select(schema.work.c.key, schema.work.c.affinity))
        assert {key: node for key, node in rows} == {
            f"escrow:{escrow_id(1)}": "stocker",
            f"escrow:{escrow_id(2)}": "keyer",
        }


async def test_patience_has_no_end(database: Database) -> None:
    """A step that does not end when the worker does is cut off after a while, and is due again at once."""

    async def act(_claim: WorkClaim) -> None:
        await asyncio.sleep(3600)

    steps = Steps(act)
    async with worker(database, steps, WorkerSettings(lease=60.0, stop_patience=0.2)):
        await wake(database, "a")
        await until(lambda: steps.begun == ["a"])
    after = await row(database)
    assert (after["owner"], steps.ended) == (None, [])
    assert after["due_at"] is not None
