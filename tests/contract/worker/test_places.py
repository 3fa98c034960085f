import asyncio
from dataclasses import replace

from typing_extensions import override

from escrowd.service.worker import WorkClaim, Worker, WorkerSettings
from escrowd.store.database import Database
from escrowd.store.store import SqlWorkQueue
from escrowd.store.work import WorkTable
from tests.contract.worker.test_worker import QUICK, Steps, until, wake

CROWD = 40


async def wake_webhooks(database: Database, count: int) -> None:
    async with database.transaction() as session:
        for number in range(count):
            await WorkTable(session).wake(f"webhook:{number}")


def worker(database: Database, steps: Steps, hanging: Steps, settings: WorkerSettings) -> Worker:
    made = Worker(SqlWorkQueue(database, "node"), {"test": steps, "webhook": hanging}, settings)
    database.on_wake(made.wake)
    return made


async def hang(_claim: WorkClaim) -> None:
    await asyncio.Event().wait()


async def test_hanging_kind_takes_the_places_of_others(database: Database) -> None:
    """Steps of a kind with places of its own that hang leave all other steps theirs, and their speed."""
    settings = replace(QUICK, concurrency=2, places={"webhook": 3}, poll=3600.0, stop_patience=0.1)
    steps, hanging = Steps(), Steps(hang)
    await wake_webhooks(database, CROWD)
    names = [str(number) for number in range(CROWD)]
    async with worker(database, steps, hanging, settings):
        await until(lambda: len(hanging.begun) == 3)
        # Nothing but the end of a step and a wake leads to a look: a look that waited for a hanging one would be seen.
        await wake(database, *names)
        await until(lambda: sorted(steps.ended) == sorted(names))
        assert len(hanging.begun) == 3


async def test_full_kind_is_asked_about(database: Database) -> None:
    """While a kind has no place left, what is due of it is not looked for again and again."""
    settings = replace(QUICK, places={"webhook": 1}, poll=3600.0, stop_patience=0.1)
    looks = 0

    class Counting(SqlWorkQueue):
        @override
        async def seconds_to_next(
            self, exclude: frozenset[str] = frozenset(), *, kinds: frozenset[str] | None = None
        ) -> float | None:
            nonlocal looks
            looks += 1
            return await super().seconds_to_next(exclude, kinds=kinds)

    hanging = Steps(hang)
    await wake_webhooks(database, CROWD)
    async with Worker(Counting(database, "node"), {"test": Steps(), "webhook": hanging}, settings):
        await until(lambda: len(hanging.begun) == 1)
        await asyncio.sleep(0.5)
        assert looks <= 3


async def test_others_take_the_places_of_a_kind(database: Database) -> None:
    """Steps without places of their own that hang leave those of the others free."""
    settings = replace(QUICK, concurrency=2, places={"webhook": 3}, stop_patience=0.1)
    steps, webhooks = Steps(hang), Steps()
    await wake(database, *(str(number) for number in range(CROWD)))
    async with worker(database, steps, webhooks, settings):
        await until(lambda: len(steps.begun) == 2)
        await wake_webhooks(database, CROWD)
        await until(lambda: len(webhooks.ended) == CROWD)
        assert len(steps.begun) == 2
