"""What is old is removed in the background, again and again, whatever happens to the database."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import pytest
import structlog
from prometheus_client import CollectorRegistry

from escrowd.domain.errors import EscrowdError
from escrowd.domain.retention import Prunable, Retention
from escrowd.service import pruning
from escrowd.service.pruning import BATCH, Pruner
from escrowd.service.pruning_metrics import PruningCollector

DAY: Final = 86_400_000
RETENTION: Final = Retention(answers_days=2, deliveries_days=3)


class FakeStore:
    """So many old rows in each table. Each transaction may fail, before or at its commit."""

    def __init__(self, answers: int = 0, deliveries: int = 0) -> None:
        self.rows = {Prunable.ANSWERS: answers, Prunable.DELIVERIES: deliveries}
        self.asked: list[tuple[Prunable, int, int]] = []
        self.failures: list[Exception] = []
        self.commit_failures: list[Exception] = []

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["FakeTransaction"]:
        if self.failures:
            raise self.failures.pop()
        before = dict(self.rows)
        yield FakeTransaction(self)
        if self.commit_failures:
            self.rows = before
            raise self.commit_failures.pop()


class FakeTransaction:
    """One transaction, and what is old in it."""

    def __init__(self, store: FakeStore) -> None:
        self._store = store

    @property
    def pruning(self) -> "FakeTransaction":
        return self

    async def remove(self, what: Prunable, older_than: int, most: int) -> int:
        self._store.asked.append((what, older_than, most))
        removed = min(most, self._store.rows[what])
        self._store.rows[what] -= removed
        return removed


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "PAUSE", 0)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


async def test_something_old_is_left_or_taken_at_once() -> None:
    """Everything old goes, in transactions of a few rows, each table by the days that are said for it."""
    store = FakeStore(answers=2 * BATCH + 1, deliveries=BATCH)
    await Pruner(store, RETENTION).prune()
    assert set(store.rows.values()) == {0}
    assert store.asked == [(Prunable.ANSWERS, 2 * DAY, BATCH)] * 3 + [(Prunable.DELIVERIES, 3 * DAY, BATCH)] * 2


async def test_pruning_waits_for_its_first_hour() -> None:
    """It begins at the start, does it again after each interval, and ends with the block."""
    store = FakeStore(answers=1)
    async with Pruner(store, RETENTION, interval=0.001):
        await until(lambda: store.rows[Prunable.ANSWERS] == 0)
        store.rows[Prunable.DELIVERIES] = 1
        await until(lambda: store.rows[Prunable.DELIVERIES] == 0)
    asked = len(store.asked)
    await asyncio.sleep(0.02)
    assert len(store.asked) == asked


@pytest.mark.parametrize("failure", [EscrowdError("the database is away"), RuntimeError("a bug")])
async def test_failure_ends_pruning(failure: Exception) -> None:
    """Whatever fails is logged with its reason, and tried again a while later: long before the next hour."""
    store = FakeStore(answers=1)
    store.failures = [failure, failure]
    with structlog.testing.capture_logs() as logs:
        async with Pruner(store, RETENTION, interval=3600, after_failure=0.001):
            await until(lambda: store.rows[Prunable.ANSWERS] == 0)
    told = [each for each in logs if each["event"] == "store.not_pruned"]
    assert [str(each.get("error", each.get("exc_info"))) for each in told] == [str(failure)] * 2


async def test_row_is_counted_that_stays() -> None:
    """What was removed is counted for each table once it is committed, and told in the log and to Prometheus."""
    store = FakeStore(answers=BATCH + 2)
    store.commit_failures = [EscrowdError("the connection broke")]
    pruner = Pruner(store, RETENTION)
    registry = CollectorRegistry()
    registry.register(PruningCollector(pruner.removed))
    with pytest.raises(EscrowdError):
        await pruner.prune()
    assert pruner.removed == {Prunable.ANSWERS: 0, Prunable.DELIVERIES: 0}
    with structlog.testing.capture_logs() as logs:
        await pruner.prune()
    told = [(each["table"], each["rows"]) for each in logs if each["log_level"] == "info"]
    assert told == [("answers", BATCH + 2)]
    counted = {what: registry.get_sample_value("escrowd_pruned_rows_total", {"table": what}) for what in Prunable}
    assert counted == {Prunable.ANSWERS: BATCH + 2, Prunable.DELIVERIES: 0}
